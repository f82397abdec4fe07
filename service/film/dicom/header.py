"""The header of a DICOM film: what decides how its pixels are read and shown. Keeps no patient tag.

Sources: DICOM PS3.3 C.7.6.3 (image pixel); PS3.5 A (transfer syntaxes).
"""

from dataclasses import dataclass

import pydicom
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import FileDataset
from pydicom.uid import UID

from service.film.dicom.file import MAX_READS, MAX_VALUE_BYTES, SEQUENCE_DELIMITER, RationedFile, too_long
from service.film.dicom.frame import CODEC_OF
from service.film.dicom.object import CODE_SEQUENCE_KEYWORDS, OBJECT_KEYWORDS, check_class, denies_frontal_chest
from service.film.dicom.orientation import exif_orientation
from service.film.dicom.samples import SampleLayout
from service.film.dicom.values import integer, raw, text
from service.film.errors import UnreadableImage, UnsupportedDicom

# Attributes that decide how pixels are read. Everything else in the file, patient tags above all, is never parsed.
_PIXEL_KEYWORDS = [
    "SamplesPerPixel", "PhotometricInterpretation", "NumberOfFrames", "Rows", "Columns", "BitsAllocated", "BitsStored",
    "HighBit", "PixelRepresentation", "PixelData", "RescaleIntercept", "RescaleSlope",
    "ModalityLUTSequence", "VOILUTSequence", "VOILUTFunction", "WindowCenter", "WindowWidth",
    "PixelPaddingValue", "PixelPaddingRangeLimit",
    "SOPClassUID", *OBJECT_KEYWORDS, *CODE_SEQUENCE_KEYWORDS,
]  # fmt: skip

_UNSIGNED, _SIGNED = 0, 1  # Pixel Representation (PS3.3 C.7.6.3.1)

# Tables, which pydicom parses when they are first read: one of 65536 entries takes 128 KiB.
_TABLE_KEYWORDS = ("ModalityLUTSequence", "VOILUTSequence")
MAX_TABLE_BYTES = 512 * 1024

# `values.coded_item` limits the code sequences.
_LONG_KEYWORDS = ("PixelData", *_TABLE_KEYWORDS, *CODE_SEQUENCE_KEYWORDS)
_SHORT_KEYWORDS = tuple(name for name in _PIXEL_KEYWORDS if name not in _LONG_KEYWORDS)


@dataclass(frozen=True)
class DicomHeader:
    """A single-frame grey image, its pixels not yet decoded.

    width_px, height_px: Columns and Rows.
    """

    dataset: FileDataset  # the attributes of _PIXEL_KEYWORDS
    syntax: UID  # how the data set and its pixels are encoded
    width_px: int
    height_px: int
    layout: SampleLayout  # where the samples have their values
    is_negative: bool  # whether the photometric interpretation is MONOCHROME1
    denies_frontal_chest: bool  # see `object.denies_frontal_chest`
    exif_orientation: int | None  # see `orientation.exif_orientation`


def read_header(data: bytes) -> DicomHeader:
    """Parse and check the header of a file that is not deflated. Raises UnreadableImage or UnsupportedDicom."""
    try:
        dataset, is_cut_off = _parse(data)
        _check_lengths(dataset)
        syntax = UID(str(dataset.file_meta.get("TransferSyntaxUID") or ""))
        sop_class = str(dataset.get("SOPClassUID") or dataset.file_meta.get("MediaStorageSOPClassUID") or "")
        is_denied, orientation = denies_frontal_chest(dataset), exif_orientation(dataset)
        pixel_data = raw(dataset, "PixelData")
        layout = _read_layout(dataset)
        samples, frames = integer(dataset, "SamplesPerPixel") or 1, integer(dataset, "NumberOfFrames") or 1
        photometric = text(dataset, "PhotometricInterpretation").upper()
        width_px, height_px = integer(dataset, "Columns") or 0, integer(dataset, "Rows") or 0
    except (UnsupportedDicom, UnreadableImage):
        raise
    except Exception as fault:  # whatever pydicom raises on damage
        raise UnreadableImage("The DICOM file cannot be parsed; export it again as DICOM Part 10.") from fault
    check_class(sop_class)
    if is_cut_off:
        raise UnreadableImage("The DICOM file ends before its pixels; it was cut off: export or send it again.")
    if pixel_data is None or not pixel_data.value or width_px <= 0 or height_px <= 0:
        raise UnsupportedDicom("The DICOM file holds no image (no PixelData, Rows or Columns); send the image object itself.")
    if samples != 1 or photometric not in ("MONOCHROME1", "MONOCHROME2"):
        raise UnsupportedDicom(
            f"The DICOM image has the photometric interpretation {photometric[:16]!r} and {samples} samples per pixel; "
            "send a grey image (MONOCHROME1 or MONOCHROME2)."
        )
    if frames != 1:
        raise UnsupportedDicom(f"The DICOM file holds {frames} frames; send a single-frame radiograph.")
    if not syntax:
        raise UnreadableImage("The DICOM file names no transfer syntax; export it again as DICOM Part 10.")
    if not syntax.is_transfer_syntax:  # pydicom does not know whether such a UID is compressed
        raise UnsupportedDicom("The DICOM file names an unknown transfer syntax; send Explicit VR Little Endian, for example.")
    if syntax.is_compressed and syntax not in CODEC_OF:
        raise UnsupportedDicom(
            f"The DICOM pixels are compressed in a way that is not read ({syntax.name}); send JPEG, JPEG-LS, JPEG 2000, RLE, "
            "or an uncompressed transfer syntax."
        )
    if layout.bits_allocated not in (8, 16, 32) or not 1 <= layout.bits_stored <= layout.bits_allocated:
        raise UnsupportedDicom(
            f"The DICOM image has values of {layout.bits_stored} bits in samples of {layout.bits_allocated} bits; send samples "
            "of 8, 16 or 32 bits, with values that they hold."
        )
    is_negative = photometric == "MONOCHROME1"
    return DicomHeader(dataset, syntax, width_px, height_px, layout, is_negative, is_denied, orientation)


def _parse(data: bytes) -> tuple[FileDataset, bool]:
    """The attributes of _PIXEL_KEYWORDS, and whether the file ends before its pixels.

    Raises UnsupportedDicom, or whatever pydicom raises on damage.
    """
    file = RationedFile(data)
    try:
        dataset = pydicom.dcmread(file, specific_tags=list(_PIXEL_KEYWORDS))
    except Exception as fault:  # whatever pydicom raises on damage
        if file.reads > MAX_READS:
            raise UnsupportedDicom(
                "The DICOM file has too many attributes; send one that holds a single film and its header."
            ) from fault
        raise
    if raw(dataset, "PixelData") is not None or not file.was_too_short:
        return dataset, False
    if data.endswith(SEQUENCE_DELIMITER):
        return dataset, True
    # pydicom drops compressed pixels whose end is not marked. Whether they are complete, `decode_frame` checks.
    return _parse(data + SEQUENCE_DELIMITER)


def _read_layout(dataset: FileDataset) -> SampleLayout:
    """The layout as the header says, possible or not. Raises UnsupportedDicom."""
    allocated = integer(dataset, "BitsAllocated") or 0
    stored, high = integer(dataset, "BitsStored"), integer(dataset, "HighBit")
    stored = allocated if stored is None else stored
    representation = integer(dataset, "PixelRepresentation") or _UNSIGNED
    if representation not in (_UNSIGNED, _SIGNED):
        raise UnsupportedDicom(
            f"The DICOM image's PixelRepresentation is {representation}, neither {_UNSIGNED} for unsigned values nor {_SIGNED} "
            "for signed ones; export the film again."
        )
    return SampleLayout(allocated, stored, stored - 1 if high is None else high, representation == _SIGNED)


def _check_lengths(dataset: FileDataset) -> None:
    """Raise UnsupportedDicom for values that would take seconds to parse; none of the data set was parsed until now."""
    for keyword in _SHORT_KEYWORDS:
        if (length := _held_bytes(raw(dataset, keyword))) > MAX_VALUE_BYTES:
            raise too_long(keyword, length)
    tables = sum(_held_bytes(raw(dataset, keyword)) for keyword in _TABLE_KEYWORDS)
    if tables > MAX_TABLE_BYTES:
        raise UnsupportedDicom(
            f"The DICOM file's lookup tables take {tables} bytes, over the limit of {MAX_TABLE_BYTES}; "
            "send it with one VOI LUT or a window."
        )


def _held_bytes(element: DataElement | RawDataElement | None) -> int:
    """Bytes of a value that is not parsed yet.

    pydicom parses a sequence of undefined length while it reads; for that it is the bytes of all items.
    """
    if element is None:
        return 0
    if isinstance(element, RawDataElement):
        return len(element.value or b"")
    if element.VR != "SQ":
        return len(element.value) if isinstance(element.value, bytes) else 0
    return sum(_held_bytes(raw(item, tag)) for item in element.value for tag in item.keys())  # noqa: SIM118 (a Dataset yields its parsed elements)
