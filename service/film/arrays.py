"""Types of the arrays that hold a film, from its file to what a network computes of it."""

from typing import Any

import numpy as np
import numpy.typing as npt

# A film as it is shown: [H, W], MONOCHROME2 polarity, 0 (air, black) to 255 (bone, white). Also a table of such values, and
# [N, H, W] for films of one size.
GreyPixels = npt.NDArray[np.uint8]

# Grey values of 10 to 16 bits; the file may not state how many: [H, W], 0 to 65535.
DeepPixels = npt.NDArray[np.uint16]

# Unsigned samples of 8 or 16 bits as stored in the file, of any shape.
Words = npt.NDArray[np.uint8 | np.uint16]

# Signed or unsigned samples from a codec or from DICOM's PixelData: [H, W], or [H, W, components] from a JPEG.
Samples = npt.NDArray[np.integer[Any]]

# Input or output of a lookup table or window, of any shape, in its units.
Values = npt.NDArray[np.float64]

# A yes or no for each pixel: [H, W].
Mask = npt.NDArray[np.bool_]

# Outputs of the network and their statistics, of any shape.
NetworkValues = npt.NDArray[np.float32]

# A Grad-CAM map that covers the whole film: [h, w], 0 to 1, top row first.
Grid = npt.NDArray[np.float32]

# A film reduced to a few pixels: [s, s].
CoarseFilm = npt.NDArray[np.float32]
