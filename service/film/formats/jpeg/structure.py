"""The segments of JPEG data, in a file, a TIFF strip or a DICOM frame: frame header, metadata and the coded data of each scan.

Decodes nothing. Limits what would be slow to decode, and helps to find data that end early.

Sources: ITU-T T.81, B (markers, headers) and F to J (processes); T.87 (JPEG-LS).
"""

import re
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from service.film.errors import UnreadableImage, UnsupportedFormat, UnsupportedImage
from service.film.file_format import READABLE_FORMATS

# libjpeg's own progressive script has 10 scans, and each is decoded over the whole film.
MAX_SCANS = 50
# A profile fills up to 255 segments; a progressive film adds a few tables to each scan.
MAX_SEGMENTS = 1000
# One holds 64 KiB. Pillow joins them one by one, copying all before.
MAX_EXIF_SEGMENTS = 8
# Pillow steps over these one by one until the first scan.
MAX_STRAY_BYTES = 65_536

# In coded data FF 00 is a data byte, FF D0 to FF D7 a restart and FF FF a fill byte.
_MARKER = re.compile(rb"\xff([^\x00\xd0-\xd7\xff])")
_RESTART = re.compile(rb"\xff[\xd0-\xd7]")
_START_OF_IMAGE, _END_OF_IMAGE, _START_OF_SCAN, _APP1, _JPEG_LS = 0xD8, 0xD9, 0xDA, 0xE1, 0xF7
_EXIF = b"Exif\0\0"
# APP2 to APP13, APP15 and comments: profiles, previews and texts, which change no pixel. Pillow parses them.
_METADATA = frozenset((*range(0xE2, 0xEE), 0xEF, 0xFE))
# Markers after which Pillow reads no length: TEM, JPG, SOI, EOI and JPG0 to JPG13, of which JPG7 is a frame of JPEG-LS.
_WITHOUT_LENGTH_TO_PILLOW = frozenset((0x01, 0xC8, _START_OF_IMAGE, _END_OF_IMAGE, *range(0xF0, 0xFE)))

# Frame headers by process, and DE, the header of several frames. Not C4, C8 and CC, which are tables and a reserved one.
_FRAMES = frozenset((*range(0xC0, 0xD0), 0xDE)) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = (0xC2, 0xCA)
_LOSSLESS = 0xC3
_ARITHMETIC = (0xC9, 0xCA)

_COEFFICIENTS = 64

# Every byte that stands for itself in coded data. The leading 00 turns a fill byte (FF) before it into data.
_FURTHER_DATA = bytes(range(0xFF))


@dataclass(frozen=True)
class Frame:
    """A frame header (T.81, B.2.2)."""

    process: int  # second byte of its marker
    bits: int  # of a sample
    width_px: int
    height_px: int
    components: tuple[int, ...]  # their identifiers

    @property
    def is_lossless(self) -> bool:
        """Whether samples were predicted instead of transformed (T.81, H); such a film cannot be decoded at a lower scale."""
        return self.process == _LOSSLESS

    @property
    def is_jpeg_ls(self) -> bool:
        """Whether it is a frame of JPEG-LS (T.87, C.1.1), which shares the markers of JPEG."""
        return self.process == _JPEG_LS

    @property
    def ends_with_data(self) -> bool:
        """Whether the coded data hold every bit that is decoded; an arithmetic coder leaves out zeros at the end."""
        return self.process not in _ARITHMETIC

    def may_end_early(self, last_pixel: Iterable[int]) -> bool:
        """Whether the coded data of a decoded film may end early. last_pixel: the values of its components.

        Decoders take missing coefficients for zero, which gives a mid-grey, or its complement, as CMYK is stored; they continue
        a lossless film with its last values.
        """
        middle = 1 << (self.bits - 1)
        return self.ends_with_data and (self.is_lossless or {*last_pixel} <= {middle - 1, middle})


@dataclass(frozen=True)
class Structure:
    """What JPEG data consist of."""

    frame: Frame | None  # the first frame header; None if there is none
    exif: bytes  # contents of the EXIF segments, joined
    metadata: tuple[slice, ...]  # segments before the first scan that change neither pixels nor orientation
    scan_data: tuple[slice, ...]  # coded data of each scan; each takes the decoder a pass over the film
    is_ended: bool  # whether an end marker follows the last scan
    lacks_scans: bool  # whether the film is progressive, and not all of its first component was sent


def with_further_data(data: bytes, structure: Structure) -> bytes:
    """The file with further coded data after those of its first scan. If that scan is complete, no decoder reads them.

    If it ends early, a decoder takes them for what is missing, and its pixels change. They follow twice, because a decoder that
    expects a restart marker skips the first copy.
    """
    coded = structure.scan_data[0]
    restarts = len(_RESTART.findall(data, coded.start, coded.stop))
    next_restart = bytes((0xFF, 0xD0 + restarts % 8))
    return data[: coded.stop] + _FURTHER_DATA + next_restart + _FURTHER_DATA + data[coded.stop :]


def read_structure(data: bytes) -> Structure:
    """The structure of JPEG data. Damage after the start of the first scan is left to the decoder to find.

    Raises UnsupportedImage for more scans, segments or stray bytes than films have, UnreadableImage for a file without a scan,
    UnsupportedFormat for JPEG-LS.
    """
    stray_bytes = position = 0
    frame: Frame | None = None
    exif: list[bytes] = []
    metadata: list[slice] = []
    scans: list[bytes] = []  # headers
    scan_data: list[slice] = []
    is_ended = False
    for number, (code, offset, body) in enumerate(_segments(data, _WITHOUT_LENGTH_TO_PILLOW), start=1):
        if not scans:
            stray_bytes += offset - position
        elif len(scan_data) < len(scans):
            scan_data.append(slice(position, offset))
        position = body.stop
        if code == _JPEG_LS and frame is None and not scans:
            raise UnsupportedFormat(f"The file is JPEG-LS, which is read inside DICOM only. Send a {READABLE_FORMATS} file.")
        if code == _START_OF_SCAN:
            scans.append(data[body])
        elif code in _FRAMES and frame is None:
            frame = _frame(code, data, offset)
        elif code == _APP1 and data[body].startswith(_EXIF):
            exif.append(data[body])
        elif code in _METADATA and not scans:
            metadata.append(slice(offset, position))
        _check_counts(len(scans), number, len(exif), stray_bytes)
        is_ended = bool(scans) and code == _END_OF_IMAGE
        if is_ended:
            break
    if not scans:
        raise UnreadableImage("The JPEG file is damaged or truncated: it holds no scan. Export the film again.")
    if len(scan_data) < len(scans):
        scan_data.append(slice(position, len(data)))
    joined = b"".join(part if number == 0 else part[len(_EXIF) :] for number, part in enumerate(exif))
    return Structure(frame, joined, tuple(metadata), tuple(scan_data), is_ended, _lacks_scans(frame, scans))


def first_frame(data: bytes) -> Frame | None:
    """The frame header before the first scan of JPEG or JPEG-LS data in a DICOM file; None if none of MAX_SEGMENTS is one.

    Coded data of JPEG-LS have other escapes than those of JPEG, so that `read_structure` cannot read them.
    """
    for code, offset, _ in islice(_segments(data, frozenset((_START_OF_IMAGE,))), MAX_SEGMENTS):
        if code in _FRAMES or code == _JPEG_LS:
            return _frame(code, data, offset)
        if code == _START_OF_SCAN:
            return None
    return None


def _segments(data: bytes, without_length: frozenset[int]) -> Iterator[tuple[int, int, slice]]:
    """The marker, the offset and the content of each segment. without_length: markers that are a segment by themselves."""
    position = 0
    while marker := _MARKER.search(data, position):
        code, position = marker[1][0], marker.end()
        body = slice(position, position)
        if code not in without_length:
            length = int.from_bytes(data[position : position + 2], "big")
            body = slice(position + 2, max(position, position + length))
        yield code, marker.start(), body
        position = body.stop


def _frame(code: int, data: bytes, offset: int) -> Frame:
    """offset: of the frame header's marker."""
    length = int.from_bytes(data[offset + 2 : offset + 4], "big")
    body = data[offset + 4 : offset + 2 + length]
    bits, height, width, components = struct.unpack_from(">BHHB", body)
    return Frame(code, bits, width, height, tuple(body[6 : 6 + 3 * components : 3]))


def _check_counts(scans: int, segments: int, exif_segments: int, stray_bytes: int) -> None:
    if scans > MAX_SCANS:
        raise UnsupportedImage(f"The JPEG file holds more than {MAX_SCANS} scans; save it as a baseline JPEG.")
    if segments > MAX_SEGMENTS or exif_segments > MAX_EXIF_SEGMENTS or stray_bytes > MAX_STRAY_BYTES:
        raise UnsupportedImage(
            f"The JPEG file holds more than {MAX_SEGMENTS} segments, {MAX_EXIF_SEGMENTS} segments of EXIF data or "
            f"{MAX_STRAY_BYTES} bytes between segments; save it without metadata."
        )


def _lacks_scans(frame: Frame | None, scans: list[bytes]) -> bool:
    """Whether a progressive film lacks bits of its first component, because it was cut off between two scans.

    Scans send each coefficient at first without its lowest bits, then bit by bit (T.81, G.1.1.1). The standard lets an encoder
    leave some bits out, but none does.
    """
    if frame is None or frame.process not in _PROGRESSIVE:
        return False
    bits_left = [16] * _COEFFICIENTS
    for header in scans:
        count = header[0] if header else 0
        selectors, parameters = header[1 : 1 + 2 * count : 2], header[1 + 2 * count : 4 + 2 * count]
        if frame.components[0] in selectors and len(parameters) == 3:
            first, last, approximation = parameters
            for coefficient in range(first, min(last + 1, _COEFFICIENTS)):
                bits_left[coefficient] = min(bits_left[coefficient], approximation & 0x0F)
    return any(bits_left)
