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
    """What the caller sent cannot be used; the caller can correct it."""


class UnsupportedFormat(InputError):
    """The file is of none of the formats that are read."""


class UnreadableImage(InputError):
    """The format is known, but the file is damaged or truncated."""


class UnsupportedDicom(InputError):
    """An intact DICOM file that is no single grey film: several frames, colour, no pixels, or a transfer syntax not read."""


class UnsupportedImage(InputError):
    """An intact image that is no single film: several frames or pages, or a pixel type that is not read."""


class ImageTooSmall(InputError):
    """Below the shortest side that the model was trained on."""


class ImageTooLarge(InputError):
    """More pixels than the limit; refused before decoding."""


class AspectRatioTooExtreme(InputError):
    """Longer than the aspect-ratio limit: squeezing it to the model's square would distort anatomy."""


def damaged(format_name: str) -> UnreadableImage:
    """The refusal of a file that its format's decoder cannot read."""
    return UnreadableImage(f"The {format_name} file is damaged or truncated; export the film again.")
