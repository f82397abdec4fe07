"""Types of the arrays that hold a film, from its file to what a network computes of it."""

from typing import Any

import numpy as np
import numpy.typing as npt

# A film as it is shown: [H, W], MONOCHROME2 polarity, 0 (air, black) to 255 (bone, white). Also a table of such values, and
# [N, H, W] for films of one size.
GreyPixels = npt.NDArray[np.uint8]

# Grey values of 10 to 16 bits, whose depth the file may not say: [H, W], 0 to 65535.
DeepPixels = npt.NDArray[np.uint16]

# Bytes or words, of any shape, as a file has them.
Words = npt.NDArray[np.uint8 | np.uint16]

# Samples as a codec or DICOM's PixelData gives them, with or without sign: [H, W], or [H, W, components] of a JPEG.
Samples = npt.NDArray[np.integer[Any]]

# Values before and behind a lookup table or window, of any shape, in units of that table or window.
Values = npt.NDArray[np.float64]

# What holds of each pixel: [H, W].
Mask = npt.NDArray[np.bool_]

# An output of the network, and statistics of it, of any shape.
NetworkValues = npt.NDArray[np.float32]

# A Grad-CAM map that covers the whole film: [h, w], 0 to 1, top row first.
Grid = npt.NDArray[np.float32]

# A film reduced to a few pixels: [s, s].
CoarseFilm = npt.NDArray[np.float32]
