"""From a folder of films to a PyTorch checkpoint, and the metrics that judge it."""

from service.usage_data import switch_off

# Before any library that sends usage data is imported.
switch_off()
