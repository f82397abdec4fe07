"""From a folder of radiographs to a PyTorch checkpoint, and the figures that judge it."""
