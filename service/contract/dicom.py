"""DICOM -> grey pixels. Reads the header first, pixels second, and keeps no patient tag.

Sources: DICOM PS3.3 C.7.6.3 (image pixel), C.11.1 (modality LUT), C.11.2 (VOI LUT), PS3.5 A (transfer syntaxes).
"""

import io
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pydicom
from pydicom.dataset import FileDataset
from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut
from pydicom.uid import DeflatedExplicitVRLittleEndian

from service.contract.errors import UnreadableImage, UnsupportedDicom

# Attributes that decide how pixels are read; everything else in the file, patient tags first, is never parsed into memory.
_PIXEL_KEYWORDS = [
    "SamplesPerPixel", "PhotometricInterpretation", "NumberOfFrames", "Rows", "Columns", "BitsAllocated", "BitsStored",
    "HighBit", "PixelRepresentation", "PixelData", "RescaleIntercept", "RescaleSlope", "RescaleType",
    "ModalityLUTSequence", "VOILUTSequence", "VOILUTFunction", "WindowCenter", "WindowWidth",
]  # fmt: skip

# The file meta group (PS3.10, 7.1) that names the transfer syntax comes first and is far shorter than this.
_META_HEADER_BYTES = 8192

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
    # Refused before parsing: inflating is part of parsing, and a small file can inflate to gigabytes.
    if DeflatedExplicitVRLittleEndian.encode() in data[:_META_HEADER_BYTES]:
        raise UnsupportedDicom(
            "The DICOM data set is deflated; send an uncompressed one, for example Explicit VR Little Endian."
        )
    try:
        dataset = pydicom.dcmread(io.BytesIO(data), specific_tags=list(_PIXEL_KEYWORDS))
        syntax = dataset.file_meta.TransferSyntaxUID
        has_pixels = "PixelData" in dataset
        samples, frames = int(dataset.get("SamplesPerPixel", 1)), int(dataset.get("NumberOfFrames", 1) or 1)
        photometric = str(dataset.get("PhotometricInterpretation", ""))
        width_px, height_px = int(dataset.get("Columns", 0)), int(dataset.get("Rows", 0))
    except _DAMAGED as fault:
        raise UnreadableImage(
            f"The DICOM file cannot be parsed ({type(fault).__name__}); export it again as DICOM Part 10."
        ) from fault
    if not has_pixels or width_px <= 0 or height_px <= 0:
        raise UnsupportedDicom("The DICOM file holds no image (no PixelData, Rows or Columns); send the image object itself.")
    if samples != 1 or photometric not in ("MONOCHROME1", "MONOCHROME2"):
        raise UnsupportedDicom(
            f"The DICOM image is {photometric or 'of unknown photometric interpretation'} with {samples} samples per "
            "pixel; send a grey image (MONOCHROME1 or MONOCHROME2)."
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
    return DicomHeader(dataset, width_px, height_px)


def decode_grey(header: DicomHeader) -> npt.NDArray[np.uint8]:
    """Pixels as a display shows them: modality LUT, VOI LUT or window, then MONOCHROME2 polarity. uint8 [H, W].

    Without a VOI LUT the full range of values present is shown. Raises UnreadableImage.
    """
    dataset = header.dataset
    try:
        values = apply_modality_lut(dataset.pixel_array, dataset)
        shown = np.asarray(apply_voi_lut(values, dataset, index=0), dtype=np.float64)
    except _DAMAGED as fault:
        raise UnreadableImage(
            f"The DICOM pixels cannot be read ({type(fault).__name__}): the data do not match the header; export it again."
        ) from fault
    darkest, brightest = shown.min(), shown.max()
    span = brightest - darkest
    grey = (shown - darkest) * (255.0 / span) + 0.5 if span > 0 else np.zeros_like(shown)
    pixels = grey.astype(np.uint8)
    return 255 - pixels if dataset.PhotometricInterpretation == "MONOCHROME1" else pixels
