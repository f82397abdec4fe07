"""Root of all errors of this project, and what can be wrong with a film. Free of HTTP.

A message names the thing, the fault and the remedy, and never contains pixel data or patient tags.
"""

import re


def kebab_case(class_name: str) -> str:
    """ImageTooSmall -> image-too-small, as answers, metrics and tables name kinds of errors."""
    return re.sub(r"(?<!^)(?=[A-Z])", "-", class_name).lower()


class ChestXrayError(Exception):
    """Root of every error that this project raises on purpose."""


class InputError(ChestXrayError):
    """The bytes that a caller sent cannot be judged; the caller can mend it."""


class UnsupportedFormat(InputError):
    """The bytes are not one of the image formats we read."""


class UnreadableImage(InputError):
    """The format is known, but the file is damaged or truncated."""


class UnsupportedDicom(InputError):
    """A DICOM file that we read but will not judge: multi-frame, colour, no pixels, or an unsupported transfer syntax."""


class UnsupportedImage(InputError):
    """An image that is intact but not a single grey film: several frames or pages, or an exotic pixel type."""


class ImageTooSmall(InputError):
    """Below the shortest side that the model was trained on."""


class ImageTooLarge(InputError):
    """More pixels than the configured limit; refused before decoding."""


class AspectRatioTooExtreme(InputError):
    """Longer than the aspect-ratio limit: squeezing it to the model's square would distort anatomy."""
