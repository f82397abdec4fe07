"""Films as compressed DICOM files, by other encoders than the codecs that read them wherever there is one."""

import io

import imagecodecs
import numpy as np
from pydicom import dcmread, uid
from pydicom.encaps import generate_frames

from tests.support.encoded_films import dicom_bytes, dicom_dataset, dicom_file

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


# What writers fill a frame up with, to an even length or to that of a block; PS3.5 A.4 knows one zero byte.
FILLERS = (b"\0", b"\0\0", b"\0" * 1001, b" ", b"   ", b"\r\n", b"\n", b"\xff", b"\xff\xff", b"\xff\0\0", b" \r\n\0\0")


def compressed_dicom(pixels: np.ndarray, syntax: uid.UID, **attributes) -> bytes:
    """A DICOM file of that transfer syntax, which may also be an uncompressed one. attributes: as of `dicom_dataset`."""
    if not syntax.is_compressed:
        return dicom_file(pixels, syntax, **attributes)
    dataset = dicom_dataset(pixels, **attributes)
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
    return dicom_bytes(dataset, syntax)


def frame_of(data: bytes) -> bytes:
    """The one frame of a compressed DICOM file."""
    return next(generate_frames(dcmread(io.BytesIO(data)).PixelData, number_of_frames=1))


def jpeg_2000(pixels: np.ndarray, codec_format: str = "j2k", bits: int = 12) -> bytes:
    """A lossless JPEG 2000 codestream, or a JP2 file."""
    return imagecodecs.jpeg2k_encode(pixels, level=0, codecformat=codec_format, bitspersample=bits)
