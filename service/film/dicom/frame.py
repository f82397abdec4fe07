"""The compressed frame of a DICOM image: its header is checked, then the one codec for its transfer syntax decodes it.

Sources: DICOM PS3.5 A.4 (encapsulation), 8.2 (sign and depth of compressed pixels); ITU-T T.81, B.2.2 (JPEG frame header);
T.87, C.2.2 (JPEG-LS); T.800, A.5.1 (JPEG 2000), I.4 (boxes of its file format).
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from pydicom import uid
from pydicom.encaps import generate_fragments

from service.film.arrays import Samples
from service.film.dicom.run_lengths import PADDING, decode_run_lengths
from service.film.dicom.samples import SampleLayout, values_of
from service.film.errors import UnreadableImage, UnsupportedDicom
from service.film.formats.jpeg.reader import lacks_data
from service.film.formats.jpeg.structure import first_frame, read_structure

_JPEG_2000 = (uid.JPEG2000Lossless, uid.JPEG2000, uid.HTJ2KLossless, uid.HTJ2KLosslessRPCL, uid.HTJ2K)
_JPEG = (uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit, uid.JPEGLossless, uid.JPEGLosslessSV1)
_JPEG_LS = (uid.JPEGLSLossless, uid.JPEGLSNearLossless)

# Transfer syntax -> function of imagecodecs.
CODEC_OF: Mapping[str, str] = {
    **dict.fromkeys(_JPEG, "jpeg8_decode"),  # 8, 12 and 16 bit, lossy and lossless
    **dict.fromkeys(_JPEG_LS, "jpegls_decode"),
    **dict.fromkeys(_JPEG_2000, "jpeg2k_decode"),  # the high-throughput kind too
    uid.RLELossless: "packbits_decode",
}

_KIND_OF = {"jpeg8_decode": "JPEG", "jpegls_decode": "JPEG-LS", "jpeg2k_decode": "JPEG 2000"}

# Marker at the end of JPEG, JPEG-LS and JPEG 2000; only padding may follow.
_END = b"\xff\xd9"

# Tag of an item. The offset table is the first item, each fragment is another (PS3.5 A.4).
_ITEM = b"\xfe\xff\x00\xe0"

# First bytes of a JPEG 2000 codestream: the markers SOC and SIZ (T.800, A.4.1, A.5.1).
_JPEG_2000_START = b"\xff\x4f\xff\x51"

# First bytes of a JP2 file (T.800, I.5.1). It has four boxes before the codestream, and may have some more.
_JP2_SIGNATURE = b"\0\0\0\x0cjP  \r\n\x87\n"
MAX_BOXES = 64

# First bytes of a frame, by which it is told from an offset table; that begins with 0.
_BEGINNINGS = (b"\xff\xd8\xff", _JPEG_2000_START)

# Enough for 64 million pixels in tiles of 128 px. Each tile costs memory and time of its own.
MAX_TILES = 4096

# A lossy codec overshoots at edges, by less than MAX_OVERSHOOT of the range of values. If more than MAX_OVERSHOOT_PIXELS of the
# pixels lie further out, the film needs more bits than its header says.
MAX_OVERSHOOT = 0.25
MAX_OVERSHOOT_PIXELS = 0.01


@dataclass(frozen=True)
class _Declared:
    """What the header of the frame itself declares."""

    kind: str  # "JPEG", "JPEG-LS" or "JPEG 2000"
    width_px: int
    height_px: int
    components: int
    bits: int
    is_signed: bool | None = None  # whether its samples are signed; None if the kind has no such field


def decode_frame(data: bytes, syntax: uid.UID, layout: SampleLayout, shape: tuple[int, int]) -> Samples:
    """The stored values of the only frame, int [H, W], within the range of the layout.

    data: the PixelData element's value (PS3.5 A.4).
    syntax: one of CODEC_OF.

    pydicom would try all codecs that are installed; here one library decodes, so that a film has the same pixels everywhere.
    Raises UnsupportedDicom, UnreadableImage, or whatever the codec raises on a damaged frame.
    """
    # Not at import: most films need no codec.
    import imagecodecs

    if not data.startswith(_ITEM):
        raise UnreadableImage(
            f"The DICOM pixels are not encapsulated, as their transfer syntax ({syntax.name}) demands; export the film again."
        )
    # The first item is the offset table (PS3.5 A.4), useless for one frame. A few writers leave it out.
    table, *fragments = generate_fragments(data)
    frame = b"".join([table, *fragments] if table.startswith(_BEGINNINGS) else fragments)
    codec = getattr(imagecodecs, CODEC_OF[syntax])
    if syntax == uid.RLELossless:
        # RLE holds native samples, unused bits included (PS3.5 G.2).
        return values_of(decode_run_lengths(codec, frame, layout, shape), layout)
    frame = _codestream(frame)
    declared = _jpeg_2000_header(frame) if frame.startswith(_JPEG_2000_START) else _jpeg_header(frame)
    if declared.kind != _KIND_OF[CODEC_OF[syntax]]:
        raise UnreadableImage(
            f"The DICOM frame is {declared.kind}, but its transfer syntax is {syntax.name}; export the film again."
        )
    _compare(declared, layout, shape)
    frame = frame.rstrip(PADDING)
    # The codecs would make up the missing part of a truncated film.
    if not frame.endswith(_END):
        raise UnreadableImage("The compressed DICOM frame is truncated; export the film again.")
    pixels = codec(frame)
    if pixels.shape != shape:
        raise UnreadableImage("The compressed DICOM frame does not decode to the size in its header; export the film again.")
    if syntax in _JPEG and _ends_early(frame, pixels):
        raise UnreadableImage("The compressed DICOM frame ends before its last pixel; export the film again.")
    return _within_range(_signed_as_declared(pixels, declared, layout), layout)


def _ends_early(frame: bytes, pixels: Samples) -> bool:
    structure = read_structure(frame)
    if structure.lacks_scans:
        return True
    may_end_early = structure.frame is not None and structure.frame.may_end_early((int(pixels[-1, -1]),))
    return may_end_early and lacks_data(frame, structure, pixels)


def _compare(declared: _Declared, layout: SampleLayout, shape: tuple[int, int]) -> None:
    """Refuse a frame of another size before a codec allocates memory for it."""
    if declared.components != 1:
        raise UnsupportedDicom(f"The compressed DICOM frame has {declared.components} components; send a grey film.")
    if (declared.height_px, declared.width_px) != shape or not 1 <= declared.bits <= layout.bits_allocated:
        raise UnreadableImage(
            f"The compressed DICOM frame has {declared.width_px} x {declared.height_px} px of {declared.bits} bits, but the "
            f"DICOM header says {shape[1]} x {shape[0]} px of {layout.bits_allocated} bits at most; export the film again."
        )


def _signed_as_declared(pixels: Samples, declared: _Declared, layout: SampleLayout) -> Samples:
    """The codec's pixels with their sign. Raises UnsupportedDicom where DICOM header and codestream contradict each other.

    JPEG and JPEG-LS state no sign, so the DICOM header's applies (PS3.5 8.1.1). JPEG 2000 states one. If that differs from the
    DICOM header's, either may be wrong; such a film is read only if its values are the same with both signs.
    """
    if declared.is_signed is not None:
        if declared.is_signed != layout.is_signed and (pixels.min() < 0 or pixels.max() > layout.highest):
            raise UnsupportedDicom(
                f"The JPEG 2000 frame has {'signed' if declared.is_signed else 'unsigned'} values, but the DICOM header's "
                "Pixel Representation says the opposite; send the film with values and header of one sign."
            )
        return pixels
    if not layout.is_signed:
        return pixels
    # Two's complement of the stored bits, or of all the frame's bits if its values take more than those.
    bits = layout.bits_stored if not (pixels >> layout.bits_stored).any() else declared.bits
    values = pixels.astype(f"i{layout.bits_allocated // 8}")
    shift = layout.bits_allocated - bits
    return np.right_shift(np.left_shift(values, shift), shift)


def _within_range(values: Samples, layout: SampleLayout) -> Samples:
    """Clip values that a lossy codec let overshoot. Unlike native samples, these have no other bits to mask away."""
    lowest, highest = int(values.min()), int(values.max())
    if layout.holds(lowest) and layout.holds(highest):
        return values
    margin = int(MAX_OVERSHOOT * (layout.highest - layout.lowest))
    beyond = np.count_nonzero((values < layout.lowest - margin) | (values > layout.highest + margin))
    if beyond > MAX_OVERSHOOT_PIXELS * values.size:
        raise UnsupportedDicom(
            f"The compressed DICOM frame has values from {lowest} to {highest}, but the DICOM header has {layout.bits_stored} "
            "bits for them; send the film with a BitsStored that holds them."
        )
    return np.clip(values, layout.lowest, layout.highest)


def _codestream(frame: bytes) -> bytes:
    """The JPEG 2000 codestream alone (PS3.5 A.4.4). Some writers wrap it in a JP2 file, whose other boxes are not needed."""
    if not frame.startswith(_JP2_SIGNATURE):
        return frame
    position = 0
    for _ in range(MAX_BOXES):
        head = 8
        length, kind = int.from_bytes(frame[position : position + 4], "big"), frame[position + 4 : position + head]
        if length == 1:  # the length follows, in 8 bytes (T.800 I.4)
            length, head = int.from_bytes(frame[position + 8 : position + 16], "big"), 16
        if kind == b"jp2c":
            return frame[position + head : position + length if length else None]
        if length < head:
            break
        position += length
    raise UnreadableImage("The JP2 file in the DICOM frame holds no codestream; export the film again.")


def _jpeg_header(frame: bytes) -> _Declared:
    header = first_frame(frame)
    if header is None:
        raise UnreadableImage("The compressed DICOM frame has no frame header before its data; export the film again.")
    return _Declared(
        "JPEG-LS" if header.is_jpeg_ls else "JPEG", header.width_px, header.height_px, len(header.components), header.bits
    )


def _jpeg_2000_header(frame: bytes) -> _Declared:
    fields = struct.unpack(">HHIIIIIIIIHB", frame[4:43])
    right, bottom, left, top, tile_width, tile_height = fields[2:8]
    if right <= left or bottom <= top or not tile_width or not tile_height:
        raise UnreadableImage("The JPEG 2000 frame has no size; export the film again.")
    if -(-right // tile_width) * -(-bottom // tile_height) > MAX_TILES:
        raise UnsupportedDicom(f"The JPEG 2000 frame has more than {MAX_TILES} tiles; save it with larger ones.")
    return _Declared(
        "JPEG 2000", right - left, bottom - top, fields[10], (fields[11] & 0x7F) + 1, is_signed=bool(fields[11] & 0x80)
    )
