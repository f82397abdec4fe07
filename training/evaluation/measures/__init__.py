"""Measures of probabilities, maps and embeddings: arrays in, numbers out."""
