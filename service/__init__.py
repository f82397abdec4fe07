"""The serving process: HTTP in, calibrated predictions and Grad-CAM out.

Never imports `training` or `export`; what it must know about a model travels in the bundle.
"""

from service.usage_data import switch_off

switch_off()

# Of the service, as its API document, its image and the tag of its container say it: here alone.
__version__ = "1.5.0"
