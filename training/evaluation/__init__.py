"""Judges what ships: an exported bundle, through the service's own decoder and predictor, on labelled films.

Arrays and bundles in, figures, pictures and a model card out. Knows neither PyTorch nor checkpoints nor HTTP.
"""
