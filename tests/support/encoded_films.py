"""Phantom films as the files that a client might send."""

import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.tag import Tag
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

from export.phantom import phantom_film
from service.model.findings import Finding


def film(size_px: int = 256, seed: int = 7) -> np.ndarray:
    """uint8 [size_px, size_px]; its corners differ, so that turning or mirroring it shows."""
    pixels = phantom_film(Finding.TUBERCULOSIS, seed, size_px).copy()
    corner = size_px // 8
    pixels[:corner, :corner] = 250
    pixels[-corner:, -corner:] = 5
    return pixels


# Of the frontal films: the patient's side or end to which the rows run, and the one to which the columns run.
ORIENTATIONS = ("LF", "RF", "LH", "RH", "FL", "FR", "HL", "HR")


def lying_as(orientation: str, upright: np.ndarray) -> np.ndarray:
    """The film as it is stored with that orientation: what one meets from the first pixel of a row, or of a column, to its last
    (DICOM PS3.3 C.7.6.1.1.1).
    """
    height_px, width_px = upright.shape
    met = {"L": range(width_px), "R": range(width_px)[::-1], "F": range(height_px), "H": range(height_px)[::-1]}
    along_row, along_column = (met[direction] for direction in orientation)
    if orientation[0] in "LR":
        return upright[np.ix_(along_column, along_row)]
    return np.ascontiguousarray(upright[np.ix_(along_row, along_column)].T)


def encode(pixels: np.ndarray, format_name: str, **options: Any) -> bytes:
    """A picture as a file of that Pillow format."""
    return encode_image(Image.fromarray(pixels), format_name, **options)


def encode_image(image: Image.Image, format_name: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format_name, **options)
    return stream.getvalue()


def _png(header: bytes, *chunks: tuple[bytes, bytes]) -> bytes:
    every = ((b"IHDR", header), *chunks, (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in every
    )


def png_16_bit(samples: np.ndarray, *chunks: tuple[bytes, bytes]) -> bytes:
    """uint16 [H, W] or [H, W, 2 (grey, alpha), 3 (RGB) or 4 (RGBA)]; Pillow cannot write these. chunks: before the pixels."""
    height, width = samples.shape[:2]
    colour_type = {1: 0, 2: 4, 3: 2, 4: 6}[samples[0, 0].size]
    rows = samples.astype(">u2").reshape(height, -1).view(np.uint8)
    body = np.pad(rows, ((0, 0), (1, 0))).tobytes()  # a filter byte of 0 (none) before each row
    header = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    return _png(header, *chunks, (b"IDAT", zlib.compress(body)))


# First column and row of each of Adam7's passes, and the steps between columns and rows (PNG specification, 8.1).
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def png_rows(samples: np.ndarray, depth: int, *, interlaced: bool = False) -> list[bytes]:
    """The rows of a PNG, each behind its filter byte, in the order of the file. samples: [H, W, channels], below 2 ** depth."""
    rows = []
    for left, top, across, down in _ADAM7 if interlaced else ((0, 0, 1, 1),):
        for row in samples[top::down, left::across]:
            bits = (row.reshape(-1, 1).astype(np.uint16) >> np.arange(depth - 1, -1, -1, dtype=np.uint16)) & 1
            rows.append(b"\0" + np.packbits(bits.astype(np.uint8).ravel()).tobytes())
    return rows


def png_of_rows(
    width_px: int,
    height_px: int,
    depth: int,
    colour_type: int,
    rows: list[bytes],
    *chunks: tuple[bytes, bytes],
    interlaced: bool = False,
) -> bytes:
    """A PNG of that header, whatever its rows are. chunks: before the pixels."""
    header = struct.pack(">IIBBBBB", width_px, height_px, depth, colour_type, 0, 0, interlaced)
    return _png(header, *chunks, (b"IDAT", zlib.compress(b"".join(rows))))


def png_of_chunks(count: int) -> bytes:
    """An 8-bit PNG of 100 x 100 px with so many empty IDAT chunks before its pixels."""
    body = zlib.compress(bytes(100 * 101))
    return _png(struct.pack(">IIBBBBB", 100, 100, 8, 0, 0, 0, 0), *[(b"IDAT", b"")] * count, (b"IDAT", body))


def tiff_file(
    samples: np.ndarray, photometric: int = 1, byte_order: str = "<", *, deflated: bool = False, **tags: int | None
) -> bytes:
    """A TIFF of one strip with the tags that Pillow cannot write. tags: tag_<number>=value, None leaves one out."""
    data = samples.astype(samples.dtype.newbyteorder(byte_order)).tobytes()
    data = zlib.compress(data) if deflated else data
    values: dict[int, int | None] = {256: samples.shape[1], 257: samples.shape[0], 258: samples.dtype.itemsize * 8}
    values |= {259: 8 if deflated else 1, 262: photometric, 273: 8, 277: samples[0, 0].size, 278: samples.shape[0]}
    values |= {279: len(data)} | {int(name.removeprefix("tag_")): value for name, value in tags.items()}
    present = sorted((tag, value) for tag, value in values.items() if value is not None)
    directory = struct.pack(byte_order + "H", len(present))
    directory += b"".join(struct.pack(byte_order + "HHII", tag, 4, 1, value) for tag, value in present) + bytes(4)
    data += b"\0" * (len(data) % 2)
    order, version = {"<": (b"II", b"*\0"), ">": (b"MM", b"\0*")}[byte_order]
    return order + version + struct.pack(byte_order + "I", 8 + len(data)) + data + directory


def tiff_of(data: bytes, tags: dict[int, int], size_px: int = 256) -> bytes:
    """A TIFF of one strip of these coded data: 8-bit grey, uncompressed, but for the tags."""
    values = {256: size_px, 257: size_px, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: size_px, 279: len(data)} | tags
    directory = struct.pack("<H", len(values))
    directory += b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(values.items())) + bytes(4)
    padded = data + b"\0" * (len(data) % 2)
    return b"II*\0" + struct.pack("<I", 8 + len(padded)) + padded + directory


def png_claiming(width_px: int, height_px: int) -> bytes:
    """A PNG of under 100 bytes whose header is valid and claims this size."""
    return _png(struct.pack(">IIBBBBB", width_px, height_px, 8, 0, 0, 0, 0), (b"IDAT", zlib.compress(b"")))


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


def dicom_with_texts(pixels: np.ndarray, texts: dict[str, bytes], **attributes: Any) -> bytes:
    """`dicom_file` with these code strings as they are, whether or not the standard allows such bytes in them."""
    dataset = dicom_dataset(pixels, **attributes)
    for name, text in texts.items():
        tag = Tag(tag_for_keyword(name))
        value = text + b" " * (len(text) % 2)
        dataset[tag] = RawDataElement(tag, "CS", len(value), value, 0, False, True)
    return dicom_bytes(dataset)
