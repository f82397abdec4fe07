"""Types of the arrays that hold what a network computes of films."""

import numpy as np
import numpy.typing as npt

# An output of the network, and statistics of it, of any shape.
NetworkValues = npt.NDArray[np.float32]

# A Grad-CAM map that covers the whole film: [h, w], 0 to 1, top row first.
Grid = npt.NDArray[np.float32]

# A film reduced to a few pixels: [s, s].
CoarseFilm = npt.NDArray[np.float32]
