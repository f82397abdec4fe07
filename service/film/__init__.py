"""What training and export must agree on with what is served.

Depends on the standard library, numpy, OpenCV, Pillow, pydicom and pydantic only; knows neither PyTorch, ONNX Runtime nor HTTP.
"""
