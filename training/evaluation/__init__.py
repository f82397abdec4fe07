"""Judges what ships: an exported bundle, through the service's own decoder and predictor, on labelled films.

Arrays and bundles in, figures, pictures and a model card out. Knows neither checkpoints nor HTTP; PyTorch only to follow
gradients through the exported graph and its head.
"""
