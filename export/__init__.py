"""From a PyTorch checkpoint to a validated, hashed ONNX bundle."""
