"""The compressed frame of a DICOM image: judged by its own header, then decoded by the one codec for its syntax.

Sources: DICOM PS3.5 A.4 (encapsulation), G (RLE); ITU-T T.81, B.2.2 (JPEG frame header), T.87, C.2.2 (JPEG-LS); T.800, A.5.1
(JPEG 2000).
"""

import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames

from service.contract.display import Samples
from service.contract.errors import UnreadableImage, UnsupportedDicom

_JPEG_2000 = (uid.JPEG2000Lossless, uid.JPEG2000, uid.HTJ2KLossless, uid.HTJ2KLosslessRPCL, uid.HTJ2K)
_JPEG = (uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit, uid.JPEGLossless, uid.JPEGLosslessSV1)
_JPEG_LS = (uid.JPEGLSLossless, uid.JPEGLSNearLossless)

# Functions of imagecodecs.
CODEC_OF: Mapping[str, str] = {
    **dict.fromkeys(_JPEG, "jpeg8_decode"),  # 8, 12 and 16 bit, lossy and lossless
    **dict.fromkeys(_JPEG_LS, "jpegls_decode"),
    **dict.fromkeys(_JPEG_2000, "jpeg2k_decode"),  # the high-throughput kind too
    uid.RLELossless: "dicomrle_decode",
}

# What JPEG, JPEG-LS and JPEG 2000 end with; behind it there is only padding.
_END = b"\xff\xd9"

# A film of 64 million pixels in tiles of 128 px; each tile takes memory and time of its own.
MAX_TILES = 4096

# Frame headers of JPEG and JPEG-LS. Not C4, C8 and CC, which are tables and a reserved one.
_MARKER = re.compile(rb"\xff([^\x00\xd0-\xd7\xff])")
_FRAME_HEADERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {0xF7}
_START_OF_SCAN = 0xDA


@dataclass(frozen=True)
class _Declared:
    """What a frame says of itself."""

    width_px: int
    height_px: int
    components: int
    bits: int


def decode_frame(dataset: Dataset, syntax: uid.UID) -> Samples:
    """The stored values of the only frame, int [H, W]; signed if the header says so. syntax: one of CODEC_OF.

    pydicom would try whatever codecs it finds installed; here one library decodes, and a film has the same pixels everywhere.
    Raises UnsupportedDicom, UnreadableImage, or whatever the codec raises on a damaged frame.
    """
    # Not at import: most films need no codec.
    import imagecodecs

    frame = next(generate_frames(dataset.PixelData, number_of_frames=1))
    codec = getattr(imagecodecs, CODEC_OF[syntax])
    if syntax == uid.RLELossless:
        pixels = _decode_run_lengths(codec, frame, dataset)
    else:
        # The codecs make up what is missing of a truncated film.
        if not frame.rstrip(b"\0\xff").endswith(_END):
            raise UnreadableImage("The compressed DICOM frame is truncated; export the film again.")
        _compare(_jpeg_2000_header(frame) if syntax in _JPEG_2000 else _jpeg_header(frame), dataset)
        pixels = codec(frame)
    if pixels.shape != (dataset.Rows, dataset.Columns):
        raise UnreadableImage("The compressed DICOM frame does not decode to its own size; export the film again.")
    # JPEG and JPEG-LS know no sign; what the header says of it holds for all (PS3.5 8.1.1).
    kind = "i" if int(dataset.get("PixelRepresentation", 0)) else "u"
    return pixels.view(f"{kind}{pixels.dtype.itemsize}")


def _decode_run_lengths(codec: Callable[..., Any], frame: bytes, dataset: Dataset) -> Samples:
    sample = np.dtype(f"<u{int(dataset.BitsAllocated) // 8}")
    # A buffer of the declared size: runs that go beyond it are an error, not an allocation.
    buffer = np.zeros(int(dataset.Rows) * int(dataset.Columns) * sample.itemsize, np.uint8)
    codec(frame, sample, out=buffer)
    return buffer.view(sample).reshape(int(dataset.Rows), int(dataset.Columns))


def _compare(declared: _Declared, dataset: Dataset) -> None:
    """Refuse a frame of another size before a codec makes room for it."""
    if declared.components != 1:
        raise UnsupportedDicom(f"The compressed DICOM frame has {declared.components} components; send a grey film.")
    size = (int(dataset.Columns), int(dataset.Rows))
    if (declared.width_px, declared.height_px) != size or not 1 <= declared.bits <= int(dataset.BitsAllocated):
        raise UnreadableImage(
            f"The compressed DICOM frame says it has {declared.width_px} x {declared.height_px} px of {declared.bits} bits, "
            f"its header {size[0]} x {size[1]} px of {dataset.BitsAllocated} bits at most; export the film again."
        )


def _jpeg_header(frame: bytes) -> _Declared:
    position = 0
    while marker := _MARKER.search(frame, position):
        code, position = marker[1][0], marker.end()
        if code in _FRAME_HEADERS:
            bits, height, width, components = struct.unpack(">BHHB", frame[position + 2 : position + 8])
            return _Declared(width, height, components, bits)
        if code == _START_OF_SCAN:
            break
        if code != 0xD8:  # the start of the image has no length
            position += int.from_bytes(frame[position : position + 2], "big")
    raise UnreadableImage("The compressed DICOM frame has no header of its own before its data; export the film again.")


def _jpeg_2000_header(frame: bytes) -> _Declared:
    # The codestream itself (PS3.5 A.4.4), not one in a file format's boxes, in which others could hide.
    if frame[:4] != b"\xff\x4f\xff\x51":
        raise UnreadableImage("The DICOM frame is no JPEG 2000 codestream; export the film again.")
    fields = struct.unpack(">HHIIIIIIIIHB", frame[4:43])
    right, bottom, left, top, tile_width, tile_height = fields[2:8]
    if right <= left or bottom <= top or not tile_width or not tile_height:
        raise UnreadableImage("The JPEG 2000 frame has no size; export the film again.")
    if -(-right // tile_width) * -(-bottom // tile_height) > MAX_TILES:
        raise UnsupportedDicom(f"The JPEG 2000 frame has more than {MAX_TILES} tiles; save it with larger ones.")
    return _Declared(right - left, bottom - top, fields[10], (fields[11] & 0x7F) + 1)
