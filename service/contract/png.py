"""PNG beyond what Pillow gives: samples of 16-bit colour, and a limit on chunks.

Source: PNG specification, third edition, 5.2 to 5.6 (chunks) and 11.2 (IHDR, IDAT, IEND).
"""

import struct
from collections.abc import Iterator

import cv2
import numpy as np
import numpy.typing as npt

from service.contract.errors import UnreadableImage, UnsupportedImage

# A film of 40 MiB in chunks of 8 KiB, libpng's habit, has about 5000. Each costs Pillow microseconds, however empty.
MAX_CHUNKS = 50_000

_SIGNATURE_BYTES = 8
_AROUND_DATA_BYTES = 12  # length and name before, CRC after
_WITH_COLOUR_OR_ALPHA = (2, 4, 6)


def check_chunks(data: bytes) -> None:
    """Raises UnsupportedImage for a file of so many chunks that reading it would take seconds."""
    for count, _ in enumerate(_chunks(data), start=1):
        if count > MAX_CHUNKS:
            raise UnsupportedImage(f"The PNG file is cut into more than {MAX_CHUNKS} chunks; save it again with larger ones.")


def has_deep_colour(data: bytes) -> bool:
    """Whether the header declares 16-bit samples with colour or alpha, of which Pillow keeps the high byte only."""
    depth, colour_type = data[24:26]
    return depth == 16 and colour_type in _WITH_COLOUR_OR_ALPHA


def decode_deep_colour(data: bytes, width_px: int, height_px: int) -> npt.NDArray[np.uint16]:
    """16-bit samples -> grey, uint16 [height_px, width_px]. Colour is weighted by ITU-R BT.601, alpha is dropped.

    width_px, height_px: the size that was checked against the limits. Raises UnreadableImage.
    """
    # The decoder sees nothing but pixels: it would weight colour by the file's gamma, and print names of profiles. It reads
    # the first header and Pillow the last, hence the comparison before any memory is asked for.
    pixels_only = [data[:_SIGNATURE_BYTES]]
    pixels_only += [data[chunk] for name, chunk in _chunks(data) if name in (b"IHDR", b"IDAT", b"IEND")]
    if data[12:16] != b"IHDR" or struct.unpack_from(">II", data, 16) != (width_px, height_px):
        raise UnreadableImage("The PNG file has more than one header; export the film again.")
    file = np.frombuffer(b"".join(pixels_only), dtype=np.uint8)
    grey = cv2.imdecode(file, cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION)
    if grey is None or grey.dtype != np.uint16 or grey.shape != (height_px, width_px):
        raise UnreadableImage("The PNG file's 16-bit colour samples cannot be decoded; export the film in 16 bit grey.")
    return np.asarray(grey, dtype=np.uint16)


def _chunks(data: bytes) -> Iterator[tuple[bytes, slice]]:
    """Name and place of each chunk up to IEND or the end of the file."""
    start, name = _SIGNATURE_BYTES, b""
    while name != b"IEND" and start + _AROUND_DATA_BYTES <= len(data):
        length, name = struct.unpack_from(">I4s", data, start)
        end = start + _AROUND_DATA_BYTES + length
        yield name, slice(start, end)
        start = end
