"""The file around a DICOM data set: its transfer syntax, deflated data sets, and limits on parsing. Knows nothing of images.

Sources: DICOM PS3.10 7.1 (preamble, prefix, file meta information); PS3.5 7.1 (data elements), A.5 (deflated data sets).
"""

import io
import struct
import zlib

from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag, Tag
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian
from pydicom.valuerep import EXPLICIT_VR_LENGTH_32, STANDARD_VR

from service.film.dicom.values import text
from service.film.errors import UnreadableImage, UnsupportedDicom

# A read costs pydicom microseconds, inside sequences tens of them. A film's header needs a few hundred reads.
MAX_READS = 50_000

# Longest name, code or number. pydicom parses them value by value, and a file may claim millions of values.
MAX_VALUE_BYTES = 1024

# Tags that pydicom parses while it is still reading, in either byte order: group length, class and transfer syntax of the file
# meta group, and the character set, which sequences have as well.
_PARSED_AT_ONCE = frozenset(
    struct.pack(order + "HH", *tag)
    for order in "<>"
    for tag in ((0x0002, 0x0000), (0x0002, 0x0002), (0x0002, 0x0010), (0x0008, 0x0005))
)

_PREAMBLE_BYTES = 128
_META_START = _PREAMBLE_BYTES + len(b"DICM")

# Size of a film's header and tables beside its pixels.
_HEADER_BYTES = 4 * 1024 * 1024

# Ends a sequence of undefined length, and pixels in fragments (PS3.5 7.5 and A.4), in little endian.
SEQUENCE_DELIMITER = struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)


class RationedFile(io.BytesIO):
    """A file with limits for its parser, which reads at least once for each attribute and each item of a sequence.

    reads: how often it was read.
    was_too_short: whether the file ended inside an attribute.
    """

    reads = 0
    was_too_short = False

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self._size = len(data)

    def read(self, size: int | None = -1, /) -> bytes:
        """Raises OSError beyond MAX_READS, UnsupportedDicom for a value that would take seconds to parse."""
        self.reads += 1
        if self.reads > MAX_READS:
            raise OSError(f"more than {MAX_READS} reads")
        if size is None or size < 0:
            raise OSError("read without a size, as parsers do that inflate without a limit")
        if size > MAX_VALUE_BYTES:
            # The tag stands 8 bytes before its value, or 12 where the length has 4 bytes and a VR before it (PS3.5 7.1).
            offset = self.tell()
            self.seek(max(0, offset - 12))
            head = super().read(min(12, offset))  # not by getbuffer, which would copy the whole file
            if head[-8:-4] in _PARSED_AT_ONCE or head[-12:-8] in _PARSED_AT_ONCE:
                raise too_long("a header attribute", size)
        value = super().read(size)
        # An empty read is the normal end of a file. Beyond the end, it follows an attribute that claims more than the file has.
        self.was_too_short |= len(value) < size and (bool(value) or self.tell() > self._size)
        return value


def too_long(name: str, length: int) -> UnsupportedDicom:
    """The refusal of a value over MAX_VALUE_BYTES."""
    return UnsupportedDicom(
        f"The DICOM file holds {length} bytes in {name}, over the limit of {MAX_VALUE_BYTES}; export the film again."
    )


def is_deflated(data: bytes) -> bool:
    """Whether the file meta group names the deflated transfer syntax; False if it cannot be parsed."""
    try:
        syntax, _ = _read_meta(data)
    except Exception:  # whatever pydicom raises on damage, which `header.read_header` reports
        return False
    return syntax == DeflatedExplicitVRLittleEndian


def inflated(data: bytes, max_pixels: int) -> bytes:
    """A deflated file with its data set inflated, as a file in Explicit VR Little Endian (PS3.5 A.5).

    max_pixels: bounds the inflated size. Raises UnreadableImage or UnsupportedDicom.
    """
    _, start = _read_meta(data)
    limit = 2 * max_pixels + _HEADER_BYTES
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        content = inflater.decompress(data[start:], limit)
    except zlib.error as fault:
        raise UnreadableImage("The deflated DICOM data set is damaged or truncated; export the film again.") from fault
    if inflater.unconsumed_tail:
        raise UnsupportedDicom(f"The DICOM data set inflates to more than {limit} bytes; send an uncompressed one.")
    plain = ExplicitVRLittleEndian.encode().ljust(len(DeflatedExplicitVRLittleEndian), b"\0")
    return data[:start].replace(DeflatedExplicitVRLittleEndian.encode(), plain) + content


def _read_meta(data: bytes) -> tuple[str, int]:
    """Transfer syntax, and offset of the data set. Ignores the group's length, which some writers leave out or get wrong."""
    file = RationedFile(data)
    file.seek(_META_START)
    meta = read_dataset(
        file,
        is_implicit_VR=False,
        is_little_endian=True,
        stop_when=lambda tag, _vr, _length: BaseTag(tag).group != 0x0002,
        specific_tags=[Tag("TransferSyntaxUID")],
    )
    return text(meta, "TransferSyntaxUID"), file.tell()


def is_bare_data_set(data: bytes) -> bool:
    """Whether the bytes are a DICOM data set or file meta group without the preamble of a file (PS3.10 7.1).

    Such bytes begin with two elements in ascending order, the first of group 0002 or 0008, in explicit or implicit VR.
    """
    return any(_begins_a_data_set(data.removeprefix(b"DICM"), order) for order in "<>")


def _begins_a_data_set(data: bytes, order: str) -> bool:
    first, end = _element(data, 0, order)
    second, second_end = _element(data, end, order)
    # Both groups begin with standard elements of low numbers.
    return first >> 16 in (0x0002, 0x0008) and first & 0xFFFF < 0x0100 and first < second and second_end <= len(data)


def _element(data: bytes, start: int, order: str) -> tuple[int, int]:
    """Tag and end of the element at `start`; 0 and the end of the data without one. order: "<" or ">"."""
    head = data[start : start + 12]
    if len(head) < 12:
        return 0, len(data)
    group, element = struct.unpack(order + "HH", head[:4])
    vr = head[4:6].decode("latin-1")
    if vr not in STANDARD_VR:
        size, length = 8, struct.unpack(order + "I", head[4:8])[0]
    elif vr in EXPLICIT_VR_LENGTH_32:
        size, length = 12, struct.unpack(order + "I", head[8:])[0]
    else:
        size, length = 8, struct.unpack(order + "H", head[6:8])[0]
    return group << 16 | element, start + size + length
