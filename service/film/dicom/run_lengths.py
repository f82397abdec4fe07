"""A DICOM frame in RLE compression (run lengths) -> native samples.

Source: DICOM PS3.5 G.
"""

import struct
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

from service.film.arrays import Samples, Words
from service.film.dicom.samples import SampleLayout
from service.film.errors import UnreadableImage

_HEADER = struct.Struct("<16I")  # number of segments, offset of each (G.5)
_MOST_SEGMENTS = 15

# Bytes with which writers pad a frame.
PADDING = b"\0\xff \t\r\n"

_DAMAGED = "The DICOM frame's run lengths are damaged or truncated; export the film again."


def decode_run_lengths(codec: Callable[..., Any], frame: bytes, layout: SampleLayout, shape: tuple[int, int]) -> Samples:
    """Native samples, int [H, W]. codec: imagecodecs' for one segment. Raises UnreadableImage."""
    planes, pixels = layout.bits_allocated // 8, shape[0] * shape[1]
    if len(frame) < _HEADER.size:
        raise UnreadableImage(_DAMAGED)
    count, *starts = _HEADER.unpack_from(frame)
    if count > _MOST_SEGMENTS:
        raise UnreadableImage("The DICOM frame has no run lengths, but its transfer syntax is RLE; export the film again.")
    if count != planes:
        raise UnreadableImage(
            f"The DICOM frame has run lengths of {count} bytes a pixel, but its header says {planes}; export the film again."
        )
    bounds = [_HEADER.size, *starts[:count], len(frame)]
    if bounds != sorted(bounds):
        raise UnreadableImage(_DAMAGED)
    samples = np.empty((pixels, planes), np.uint8)
    for plane, (start, end) in enumerate(pairwise(bounds[1:])):
        # The most significant byte comes first (G.2).
        samples[:, planes - 1 - plane] = _decode_segment(codec, frame[start:end], pixels)
    return samples.view(f"<{'i' if layout.is_signed else 'u'}{planes}").reshape(shape)


def _decode_segment(codec: Callable[..., Any], segment: bytes, size: int) -> Words:
    # Allocated here at the declared size, so that runs beyond it raise and allocate nothing.
    plane = np.empty(size, np.uint8)
    try:
        decoded = codec(segment, out=plane)
    except Exception:  # the codec takes padding after the last run for runs; `_end_of_runs` raises if it is damage
        decoded = codec(segment[: _end_of_runs(segment, size)], out=plane)
    if len(decoded) < size:
        raise UnreadableImage(_DAMAGED)
    return plane


def _end_of_runs(segment: bytes, size: int) -> int:
    """Offset after the runs that decode to `size` bytes (G.3.2). Raises UnreadableImage if more than padding follows."""
    position = produced = 0
    while produced < size and position < len(segment):
        control = segment[position]
        if control < 128:  # literal run: the next control + 1 bytes
            produced += control + 1
            position += control + 2
        elif control > 128:  # replicate run: the next byte, 257 - control times
            produced += 257 - control
            position += 2
        else:  # no operation
            position += 1
    if produced != size or position > len(segment) or segment[position:].strip(PADDING):
        raise UnreadableImage(_DAMAGED)
    return position
