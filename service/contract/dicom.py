"""DICOM -> grey pixels. Reads the header first, pixels second, and keeps no patient tag.

Sources: DICOM PS3.3 C.7.6.3 (image pixel), C.7.5.1.1.2 (padding); PS3.5 A (transfer syntaxes).
"""

import io
import struct
import zlib
from dataclasses import dataclass

import numpy as np
import pydicom
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import FileDataset
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from service.contract.dicom_frame import CODEC_OF, decode_frame
from service.contract.dicom_object import CODE_SEQUENCE_KEYWORDS, OBJECT_KEYWORDS, check_class, says_otherwise
from service.contract.dicom_orientation import exif_orientation
from service.contract.display import Display, Samples
from service.contract.errors import UnreadableImage, UnsupportedDicom
from service.contract.grey import GreyPixels
from service.contract.voi import read_voi

# Attributes that decide how pixels are read; everything else in the file, patient tags first, is never parsed into memory.
_PIXEL_KEYWORDS = [
    "SamplesPerPixel", "PhotometricInterpretation", "NumberOfFrames", "Rows", "Columns", "BitsAllocated", "BitsStored",
    "HighBit", "PixelRepresentation", "PixelData", "RescaleIntercept", "RescaleSlope", "RescaleType",
    "ModalityLUTSequence", "VOILUTSequence", "VOILUTFunction", "WindowCenter", "WindowWidth",
    "PixelPaddingValue", "PixelPaddingRangeLimit", "ExtendedOffsetTable", "ExtendedOffsetTableLengths",
    "SOPClassUID", *OBJECT_KEYWORDS, *CODE_SEQUENCE_KEYWORDS,
]  # fmt: skip

# pydicom spends microseconds on each, in sequences even tens of them; a film's header needs some hundred.
MAX_READS = 50_000

# Tables that pydicom takes apart when they are first asked for: one of 65536 entries takes 128 KiB.
_TABLE_KEYWORDS = ("ModalityLUTSequence", "VOILUTSequence")
MAX_TABLE_BYTES = 512 * 1024

# Names, codes and numbers; pydicom takes them apart value by value, and a file may claim millions of values.
MAX_VALUE_BYTES = 1024
_LONG_KEYWORDS = (
    "PixelData", *_TABLE_KEYWORDS, "ExtendedOffsetTable", "ExtendedOffsetTableLengths",
    *CODE_SEQUENCE_KEYWORDS,  # read as far as `dicom_text.coded_item` says
)  # fmt: skip
_SHORT_KEYWORDS = tuple(name for name in _PIXEL_KEYWORDS if name not in _LONG_KEYWORDS)

# Those that pydicom takes apart while it is still reading: group length, class and transfer syntax of the file meta group, and
# the character set, which sequences have as well. In either byte order.
_TAKEN_AT_ONCE = frozenset(
    struct.pack(order + "HH", *tag)
    for order in "<>"
    for tag in ((0x0002, 0x0000), (0x0002, 0x0002), (0x0002, 0x0010), (0x0008, 0x0005))
)

# Whatever pydicom raises on files that lie about themselves.
_DAMAGED = (Exception,)


@dataclass(frozen=True)
class DicomHeader:
    """A single-frame grey image, its pixels not yet decoded. width_px, height_px: Columns and Rows.

    bits_stored, high_bit: which bits of a sample hold its value. is_compressed: whether a codec is needed.
    says_otherwise: see `dicom_object.says_otherwise`. exif_orientation: see `dicom_orientation.exif_orientation`.
    """

    dataset: FileDataset
    width_px: int
    height_px: int
    bits_stored: int
    high_bit: int
    is_compressed: bool
    says_otherwise: bool
    exif_orientation: int | None


def is_deflated(data: bytes) -> bool:
    """Whether a file may be deflated. The file meta group that names the transfer syntax (PS3.10, 7.1) may be of any length, so
    the name is looked for everywhere.
    """
    return DeflatedExplicitVRLittleEndian.encode() in data


def read_header(data: bytes, max_pixels: int) -> DicomHeader:
    """Parse and judge the header. max_pixels: bounds what a deflated file may inflate to.

    Raises UnreadableImage or UnsupportedDicom.
    """
    if is_deflated(data):  # the parser would inflate without a limit
        data = _inflated(data, max_pixels)
    file = _RationedFile(data)
    try:
        dataset = pydicom.dcmread(file, specific_tags=list(_PIXEL_KEYWORDS))
        _check_lengths(dataset)
        syntax = UID(str(dataset.file_meta.TransferSyntaxUID))
        sop_class = str(dataset.get("SOPClassUID") or dataset.file_meta.get("MediaStorageSOPClassUID") or "")
        is_no_chest, orientation = says_otherwise(dataset), exif_orientation(dataset)
        has_pixels = "PixelData" in dataset
        allocated = int(dataset.get("BitsAllocated", 0))
        stored = int(dataset.get("BitsStored", allocated))
        high = int(dataset.get("HighBit", stored - 1))
        samples, frames = int(dataset.get("SamplesPerPixel", 1)), int(dataset.get("NumberOfFrames", 1) or 1)
        photometric = str(dataset.get("PhotometricInterpretation", ""))
        width_px, height_px = int(dataset.get("Columns", 0)), int(dataset.get("Rows", 0))
    except UnsupportedDicom:
        raise
    except _DAMAGED as fault:
        if file.reads > MAX_READS:
            raise UnsupportedDicom(
                "The DICOM file has too many attributes; send one that holds a single film and its header."
            ) from fault
        raise UnreadableImage(
            f"The DICOM file cannot be parsed ({type(fault).__name__}); export it again as DICOM Part 10."
        ) from fault
    check_class(sop_class)
    if not has_pixels or width_px <= 0 or height_px <= 0:
        raise UnsupportedDicom("The DICOM file holds no image (no PixelData, Rows or Columns); send the image object itself.")
    if samples != 1 or photometric not in ("MONOCHROME1", "MONOCHROME2"):
        raise UnsupportedDicom(
            f"The DICOM image has the photometric interpretation {photometric[:16]!r} and {samples} samples per pixel; "
            "send a grey image (MONOCHROME1 or MONOCHROME2)."
        )
    if frames != 1:
        raise UnsupportedDicom(f"The DICOM file holds {frames} frames; send a single-frame radiograph.")
    if not syntax.is_transfer_syntax:  # of such a UID pydicom cannot say whether it is compressed
        raise UnsupportedDicom("The DICOM file names an unknown transfer syntax; send Explicit VR Little Endian, for example.")
    if syntax.is_compressed and syntax not in CODEC_OF:
        raise UnsupportedDicom(
            f"The DICOM pixels are compressed in a way that is not read ({syntax.name}); send JPEG, JPEG-LS, JPEG 2000, RLE, "
            "or an uncompressed transfer syntax."
        )
    if (allocated, 0 < stored <= allocated, stored - 1 <= high < allocated) not in _DEPTHS:
        raise UnsupportedDicom(
            f"The DICOM image has {stored} of {allocated} bits, the highest at {high}; send one of 8, 16 or 32 bits allocated."
        )
    return DicomHeader(dataset, width_px, height_px, stored, high, bool(syntax.is_compressed), is_no_chest, orientation)


# Bits allocated; whether the stored ones fit into them; whether the highest of those lies within.
_DEPTHS = frozenset((allocated, True, True) for allocated in (8, 16, 32))

# What a film's header and tables take beside its pixels.
_HEADER_BYTES = 4 * 1024 * 1024


def _inflated(data: bytes, max_pixels: int) -> bytes:
    """The file with its data set inflated, and named Explicit VR Little Endian, which it is then (PS3.5 A.5)."""
    try:
        # The group length is the first element of the file meta group; the data set follows the group.
        start = 144 + int.from_bytes(data[140:144], "little")
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        limit = 2 * max_pixels + _HEADER_BYTES
        content = inflater.decompress(data[start:], limit)
    except zlib.error as fault:
        raise UnreadableImage("The deflated DICOM data set is damaged or truncated; export the film again.") from fault
    if inflater.unconsumed_tail:
        raise UnsupportedDicom(f"The DICOM data set inflates to more than {limit} bytes; send an uncompressed one.")
    plain = ExplicitVRLittleEndian.encode().ljust(len(DeflatedExplicitVRLittleEndian), b"\0")
    return data[:start].replace(DeflatedExplicitVRLittleEndian.encode(), plain) + content


class _RationedFile(io.BytesIO):
    """A file that can be read only so many times; each attribute and each item of a sequence takes at least one."""

    reads = 0

    def read(self, size: int | None = -1, /) -> bytes:
        self.reads += 1
        if self.reads > MAX_READS:
            raise OSError(f"more than {MAX_READS} reads")
        if size is not None and size > MAX_VALUE_BYTES:
            # The tag stands 8 bytes before its value, or 12 where the length has 4 bytes and a VR before it (PS3.5 7.1).
            place = self.tell()
            self.seek(max(0, place - 12))
            head = super().read(min(12, place))  # not by getbuffer, which would copy the whole file
            if head[-8:-4] in _TAKEN_AT_ONCE or head[-12:-8] in _TAKEN_AT_ONCE:
                raise _too_long("a header attribute", size)
        return super().read(size)


def _check_lengths(dataset: FileDataset) -> None:
    """Raise UnsupportedDicom for values that would take seconds to take apart; nothing of the data set was, until now."""
    for keyword in _SHORT_KEYWORDS:
        if (length := _held_bytes(dataset.get_item(keyword))) > MAX_VALUE_BYTES:
            raise _too_long(keyword, length)
    tables = sum(_held_bytes(dataset.get_item(keyword)) for keyword in _TABLE_KEYWORDS)
    if tables > MAX_TABLE_BYTES:
        raise UnsupportedDicom(
            f"The DICOM file's lookup tables take {tables} bytes, over the limit of {MAX_TABLE_BYTES}; "
            "send it with one VOI LUT or a window."
        )


def _held_bytes(element: DataElement | RawDataElement | None) -> int:
    """Of a value as it was read; of a sequence of undefined length, which was taken apart on the way, of all its items."""
    if element is None:
        return 0
    if isinstance(element, RawDataElement):
        return len(element.value or b"")
    if element.VR != "SQ":
        return len(element.value) if isinstance(element.value, bytes) else 0
    return sum(_held_bytes(item.get_item(tag)) for item in element.value for tag in item.keys())  # noqa: SIM118 (no values)


def _too_long(name: str, length: int) -> UnsupportedDicom:
    return UnsupportedDicom(
        f"The DICOM file holds {length} bytes in {name}, over the limit of {MAX_VALUE_BYTES}; export the film again."
    )


def decode_grey(header: DicomHeader) -> GreyPixels:
    """Pixels as a display shows them: modality LUT, VOI LUT or window, then MONOCHROME2 polarity. uint8 [H, W].

    The film lies as it is stored: see `dicom_orientation` for how to turn it.

    A VOI LUT or window spreads its own output range from black to white (PS3.3 C.11.2), whatever the film holds of it.
    Without one the full range of values present is shown. Raises UnreadableImage or UnsupportedDicom.
    """
    dataset = header.dataset
    try:
        syntax = dataset.file_meta.TransferSyntaxUID
        stored = decode_frame(dataset, syntax) if header.is_compressed else _native_samples(dataset)
        is_inverted = dataset.PhotometricInterpretation == "MONOCHROME1"
        display = Display(dataset, read_voi(dataset), padding=_padding(dataset), background=255 if is_inverted else 0)
        pixels = display.show(_without_unused_bits(stored, header))
    except (UnsupportedDicom, UnreadableImage):
        raise
    except _DAMAGED as fault:
        raise UnreadableImage(
            f"The DICOM pixels cannot be read ({type(fault).__name__}): the data do not match the header; export it again."
        ) from fault
    return np.subtract(255, pixels, out=pixels) if is_inverted else pixels


def _native_samples(dataset: FileDataset) -> Samples:
    # pydicom takes the lowest bits for those that are stored, whatever the header says, and so is told that all are.
    dataset.BitsStored = int(dataset.BitsAllocated)
    dataset.HighBit = dataset.BitsStored - 1
    samples: Samples = dataset.pixel_array
    return samples


def _without_unused_bits(samples: Samples, header: DicomHeader) -> Samples:
    """Samples that hold their stored bits only: the others may hold overlays (PS3.5 8.1.1, and retired 8.1.2)."""
    allocated, stored = 8 * samples.dtype.itemsize, header.bits_stored
    # Codecs give the value itself, wherever it lay.
    shift = 0 if header.is_compressed else header.high_bit - stored + 1
    if stored >= allocated:
        return samples
    kind = "i" if int(header.dataset.get("PixelRepresentation", 0)) else "u"
    values: Samples = samples.astype(f"{kind}{samples.dtype.itemsize}", copy=True)
    # To the top, where the sign bit is, and back again.
    np.left_shift(values, allocated - stored - shift, out=values)
    return np.right_shift(values, allocated - stored, out=values)


def _padding(dataset: FileDataset) -> tuple[int, int] | None:
    """The stored values, from the first to the last, that stand for no picture at all; None if there are none."""
    value = dataset.get("PixelPaddingValue")
    if value is None:
        return None
    limit = dataset.get("PixelPaddingRangeLimit")
    ends = sorted((int(value), int(value if limit is None else limit)))
    return ends[0], ends[1]
