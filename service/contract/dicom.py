"""DICOM -> grey pixels. Reads the header first, pixels second, and keeps no patient tag.

Sources: DICOM PS3.3 C.7.6.3 (image pixel), PS3.5 A (transfer syntaxes).
"""

import io
from dataclasses import dataclass

import numpy as np
import pydicom
from pydicom.dataelem import RawDataElement
from pydicom.dataset import FileDataset
from pydicom.uid import DeflatedExplicitVRLittleEndian

from service.contract.display import Display
from service.contract.errors import UnreadableImage, UnsupportedDicom
from service.contract.grey import GreyPixels
from service.contract.voi import read_voi

# Attributes that decide how pixels are read; everything else in the file, patient tags first, is never parsed into memory.
_PIXEL_KEYWORDS = [
    "SamplesPerPixel", "PhotometricInterpretation", "NumberOfFrames", "Rows", "Columns", "BitsAllocated", "BitsStored",
    "HighBit", "PixelRepresentation", "PixelData", "RescaleIntercept", "RescaleSlope", "RescaleType",
    "ModalityLUTSequence", "VOILUTSequence", "VOILUTFunction", "WindowCenter", "WindowWidth",
]  # fmt: skip

# pydicom spends microseconds on each, in sequences even tens of them; a film's header needs some hundred.
MAX_READS = 50_000

# Tables that pydicom takes apart when they are first asked for: one of 65536 entries takes 128 KiB.
_TABLE_KEYWORDS = ("ModalityLUTSequence", "VOILUTSequence")
MAX_TABLE_BYTES = 512 * 1024

# Whatever pydicom raises on files that lie about themselves.
_DAMAGED = (Exception,)


@dataclass(frozen=True)
class DicomHeader:
    """A single-frame grey image, its pixels not yet decoded. width_px, height_px: Columns and Rows."""

    dataset: FileDataset
    width_px: int
    height_px: int


def read_header(data: bytes) -> DicomHeader:
    """Parse and judge the header. Raises UnreadableImage or UnsupportedDicom."""
    # Refused before parsing: inflating is part of parsing, and a small file can inflate to gigabytes. The file meta group
    # that names the transfer syntax (PS3.10, 7.1) may be of any length, so the name is looked for everywhere.
    if DeflatedExplicitVRLittleEndian.encode() in data:
        raise UnsupportedDicom(
            "The DICOM data set is deflated; send an uncompressed one, for example Explicit VR Little Endian."
        )
    file = _RationedFile(data)
    try:
        dataset = pydicom.dcmread(file, specific_tags=list(_PIXEL_KEYWORDS))
        syntax = dataset.file_meta.TransferSyntaxUID
        has_pixels = "PixelData" in dataset
        samples, frames = int(dataset.get("SamplesPerPixel", 1)), int(dataset.get("NumberOfFrames", 1) or 1)
        photometric = str(dataset.get("PhotometricInterpretation", ""))
        width_px, height_px = int(dataset.get("Columns", 0)), int(dataset.get("Rows", 0))
        longest_table = max(_unparsed_bytes(dataset, keyword) for keyword in _TABLE_KEYWORDS)
    except _DAMAGED as fault:
        if file.reads > MAX_READS:
            raise UnsupportedDicom(
                "The DICOM file has too many attributes; send one that holds a single film and its header."
            ) from fault
        raise UnreadableImage(
            f"The DICOM file cannot be parsed ({type(fault).__name__}); export it again as DICOM Part 10."
        ) from fault
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
    if syntax.is_compressed:
        raise UnsupportedDicom(
            f"The DICOM pixels are compressed ({syntax.name}); send an uncompressed transfer syntax, "
            "for example Explicit VR Little Endian."
        )
    if longest_table > MAX_TABLE_BYTES:
        raise UnsupportedDicom(
            f"The DICOM file's lookup tables take {longest_table} bytes, over the limit of {MAX_TABLE_BYTES}; "
            "send it with one VOI LUT or a window."
        )
    return DicomHeader(dataset, width_px, height_px)


class _RationedFile(io.BytesIO):
    """A file that can be read only so many times; each attribute and each item of a sequence takes at least one."""

    reads = 0

    def read(self, size: int | None = -1, /) -> bytes:
        self.reads += 1
        if self.reads > MAX_READS:
            raise OSError(f"more than {MAX_READS} reads")
        return super().read(size)


def _unparsed_bytes(dataset: FileDataset, keyword: str) -> int:
    element = dataset.get_item(keyword)
    return len(element.value or b"") if isinstance(element, RawDataElement) else 0


def decode_grey(header: DicomHeader) -> GreyPixels:
    """Pixels as a display shows them: modality LUT, VOI LUT or window, then MONOCHROME2 polarity. uint8 [H, W].

    A VOI LUT or window spreads its own output range from black to white (PS3.3 C.11.2), whatever the film holds of it.
    Without one the full range of values present is shown. Raises UnreadableImage or UnsupportedDicom.
    """
    dataset = header.dataset
    try:
        pixels = Display(dataset, read_voi(dataset)).show(dataset.pixel_array)
    except UnsupportedDicom:
        raise
    except _DAMAGED as fault:
        raise UnreadableImage(
            f"The DICOM pixels cannot be read ({type(fault).__name__}): the data do not match the header; export it again."
        ) from fault
    return np.subtract(255, pixels, out=pixels) if dataset.PhotometricInterpretation == "MONOCHROME1" else pixels
