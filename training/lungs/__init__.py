"""Trains the lung segmenter, which `training.data.lung_segmenter` loads."""
