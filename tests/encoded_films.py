"""Phantom films as the files that a client might send."""

import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

from export.phantom import phantom_film
from service.contract.findings import Finding


def film(size_px: int = 256, seed: int = 7) -> np.ndarray:
    """uint8 [size_px, size_px]; its corners differ, so that turning or mirroring it shows."""
    pixels = phantom_film(Finding.TUBERCULOSIS, seed, size_px).copy()
    corner = size_px // 8
    pixels[:corner, :corner] = 250
    pixels[-corner:, -corner:] = 5
    return pixels


def encode(pixels: np.ndarray, format_name: str, **options: Any) -> bytes:
    """A picture as a file of that Pillow format."""
    return encode_image(Image.fromarray(pixels), format_name, **options)


def encode_image(image: Image.Image, format_name: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format_name, **options)
    return stream.getvalue()


def png_claiming(width_px: int, height_px: int) -> bytes:
    """A PNG of under 100 bytes whose header is valid and claims this size."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width_px, height_px, 8, 0, 0, 0, 0)
    ihdr = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    body = b"IDAT" + zlib.compress(b"")
    return b"\x89PNG\r\n\x1a\n" + ihdr + struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))


def dicom_dataset(pixels: np.ndarray, **attributes: Any) -> Dataset:
    """A single-frame MONOCHROME2 secondary capture; `attributes` are set last, None deletes one."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=["film"])
    dataset.SOPClassUID = SecondaryCaptureImageStorage
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID
    dataset.PatientName = "Phantom^Film"
    dataset.Modality = "DX"
    dataset.Rows, dataset.Columns = pixels.shape[:2]
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = pixels.dtype.itemsize * 8
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = int(np.issubdtype(pixels.dtype, np.signedinteger))
    data = pixels.tobytes()
    dataset.add_new("PixelData", "OW" if pixels.dtype.itemsize == 2 else "OB", data + b"\0" * (len(data) % 2))
    for name, value in attributes.items():
        if value is None:
            delattr(dataset, name)
        else:
            setattr(dataset, name, value)
    return dataset


def dicom_bytes(dataset: Dataset) -> bytes:
    """A DICOM Part 10 file."""
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def dicom_file(pixels: np.ndarray, **attributes: Any) -> bytes:
    """`dicom_dataset` as a file."""
    return dicom_bytes(dicom_dataset(pixels, **attributes))
