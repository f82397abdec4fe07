"""From a folder of films to a PyTorch checkpoint, and the metrics that judge it."""

from service.usage_data import switch_off

switch_off()
