"""From a PyTorch checkpoint to a validated, hashed ONNX bundle."""

from service.usage_data import switch_off

switch_off()
