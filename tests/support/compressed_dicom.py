"""Films as compressed DICOM files, by other encoders than the codecs that read them wherever there is one."""

import imagecodecs
import numpy as np
from pydicom import uid

from tests.support.encoded_films import dicom_bytes, dicom_dataset

# pydicom's own way to write these, through pylibjpeg-openjpeg, pyjpegls and itself.
_BY_PYDICOM = (uid.JPEG2000Lossless, uid.JPEG2000, uid.JPEGLSLossless, uid.JPEGLSNearLossless, uid.RLELossless)
_OPTIONS = {
    uid.JPEG2000: {"j2k_psnr": [60]},
    uid.JPEGLSNearLossless: {"jls_error": 2},
    uid.RLELossless: {"encoding_plugin": "pydicom"},
}

# And what nobody else writes.
_BY_IMAGECODECS = {
    uid.JPEGBaseline8Bit: lambda pixels: imagecodecs.jpeg8_encode(pixels, level=97),
    uid.JPEGExtended12Bit: lambda pixels: imagecodecs.jpeg8_encode(pixels, level=97, bitspersample=12),
    uid.JPEGLossless: lambda pixels: imagecodecs.jpeg8_encode(pixels, lossless=True, predictor=4, bitspersample=16),
    uid.JPEGLosslessSV1: lambda pixels: imagecodecs.jpeg8_encode(pixels, lossless=True, predictor=1, bitspersample=16),
    uid.HTJ2KLossless: lambda pixels: imagecodecs.htj2k_encode(pixels, reversible=True),
    uid.HTJ2KLosslessRPCL: lambda pixels: imagecodecs.htj2k_encode(pixels, reversible=True),
    uid.HTJ2K: lambda pixels: imagecodecs.htj2k_encode(pixels, reversible=False),
}

SYNTAXES = (*_BY_PYDICOM, *_BY_IMAGECODECS)
LOSSY = (uid.JPEG2000, uid.JPEGLSNearLossless, uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit, uid.HTJ2K)


def compressed_dicom(pixels: np.ndarray, syntax: uid.UID, **attributes) -> bytes:
    """A DICOM file of that transfer syntax, which may also be an uncompressed one. attributes: as of `dicom_dataset`."""
    dataset = dicom_dataset(pixels, **attributes)
    if not syntax.is_compressed:
        dataset.file_meta.TransferSyntaxUID = syntax
        return dicom_bytes(dataset)
    if syntax in _BY_PYDICOM:
        dataset.compress(syntax, **_OPTIONS.get(syntax, {}))
        return dicom_bytes(dataset)
    return with_frame(dataset, syntax, _BY_IMAGECODECS[syntax](pixels))


def with_frame(dataset, syntax: uid.UID, *fragments: bytes) -> bytes:
    """A DICOM file with these bytes as the fragments of its one frame."""
    items = [fragment + b"\0" * (len(fragment) % 2) for fragment in fragments]
    # Before them an empty offset table (PS3.5 A.4); by hand, since pydicom encapsulates no frame that is empty.
    dataset.PixelData = b"".join(b"\xfe\xff\x00\xe0" + len(item).to_bytes(4, "little") + item for item in (b"", *items))
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = syntax
    return dicom_bytes(dataset)
