"""Training of the lung segmenter, which `training.data.lung_segmenter` runs."""
