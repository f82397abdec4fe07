"""The serving process: HTTP in, calibrated predictions and Grad-CAM out.

Never imports `training` or `export`: what it needs to know about a model is in the bundle.
"""

from service.usage_data import switch_off

switch_off()

# Version of the service, for its API document and its container image.
__version__ = "1.10.0"
