"""From a folder of radiographs to a PyTorch checkpoint, and the figures that judge it."""

from service.usage_data import switch_off

switch_off()
