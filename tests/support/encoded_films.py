"""Phantom films as the files that a client might send, and what they are decoded to."""

import io
import struct
import tracemalloc
import zlib
from typing import Any

import imagecodecs
import numpy as np
import pytest
from PIL import Image
from pydicom import uid
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.tag import Tag

from export.phantom import phantom_film
from service.film.errors import InputError
from service.film.film import Radiograph
from service.model.findings import Finding


def film(size_px: int = 256, seed: int = 7) -> np.ndarray:
    """uint8 [size_px, size_px]; its corners differ, so that turning or mirroring it shows."""
    pixels = phantom_film(Finding.TUBERCULOSIS, seed, size_px).copy()
    corner = size_px // 8
    pixels[:corner, :corner] = 250
    pixels[-corner:, -corner:] = 5
    return pixels


# The uncompressed transfer syntaxes.
SYNTAXES = (
    uid.ImplicitVRLittleEndian,
    uid.ExplicitVRLittleEndian,
    uid.ExplicitVRBigEndian,
    uid.DeflatedExplicitVRLittleEndian,
)

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


def encode(picture: np.ndarray | Image.Image, format_name: str, **options: Any) -> bytes:
    """A picture as a file of that Pillow format."""
    stream = io.BytesIO()
    image = Image.fromarray(picture) if isinstance(picture, np.ndarray) else picture
    image.save(stream, format_name, **options)
    return stream.getvalue()


def png_file(
    width_px: int,
    height_px: int,
    depth: int,
    colour_type: int,
    coded: bytes,
    *chunks: tuple[bytes, bytes],
    interlaced: bool = False,
) -> bytes:
    """A PNG of that header, whatever its coded (deflated) pixels are. chunks: before the pixels."""
    header = struct.pack(">IIBBBBB", width_px, height_px, depth, colour_type, 0, 0, interlaced)
    every = ((b"IHDR", header), *chunks, (b"IDAT", coded), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(name, body) for name, body in every)


def png_chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png_16_bit(samples: np.ndarray, *chunks: tuple[bytes, bytes]) -> bytes:
    """uint16 [H, W] or [H, W, 2 (grey, alpha), 3 (RGB) or 4 (RGBA)]; Pillow cannot write these. chunks: behind the header."""
    data = imagecodecs.png_encode(samples)
    return data[:33] + b"".join(png_chunk(name, body) for name, body in chunks) + data[33:]


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


def png_claiming(width_px: int, height_px: int) -> bytes:
    """A PNG of under 100 bytes whose header is valid and claims this size."""
    return png_file(width_px, height_px, 8, 0, zlib.compress(b""))


def tiff_file(
    samples: np.ndarray, photometric: int = 1, byte_order: str = "<", *, deflated: bool = False, **tags: int | None
) -> bytes:
    """A TIFF of one strip with the tags that Pillow cannot write. tags: tag_<number>=value, None leaves one out."""
    data = samples.astype(samples.dtype.newbyteorder(byte_order)).tobytes()
    values: dict[int, int | None] = {256: samples.shape[1], 257: samples.shape[0], 258: samples.dtype.itemsize * 8}
    values |= {259: 8 if deflated else 1, 262: photometric, 277: samples[0, 0].size, 278: samples.shape[0]}
    values |= {int(name.removeprefix("tag_")): value for name, value in tags.items()}
    return tiff_of(zlib.compress(data) if deflated else data, values, byte_order=byte_order)


def tiff_of(data: bytes, tags: dict[int, int | None], size_px: int = 256, byte_order: str = "<") -> bytes:
    """A TIFF of one strip of these coded data: 8-bit grey, uncompressed, but for the tags; None leaves one out."""
    values = {256: size_px, 257: size_px, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: size_px, 279: len(data)} | tags
    present = sorted((tag, value) for tag, value in values.items() if value is not None)
    directory = struct.pack(byte_order + "H", len(present))
    directory += b"".join(struct.pack(byte_order + "HHII", tag, 4, 1, value) for tag, value in present) + bytes(4)
    padded = data + b"\0" * (len(data) % 2)
    order, version = {"<": (b"II", b"*\0"), ">": (b"MM", b"\0*")}[byte_order]
    return order + version + struct.pack(byte_order + "I", 8 + len(padded)) + padded + directory


def dicom_dataset(pixels: np.ndarray, **attributes: Any) -> Dataset:
    """A single-frame MONOCHROME2 secondary capture; `attributes` are set last, None deletes one."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    dataset.SOPClassUID = uid.SecondaryCaptureImageStorage
    dataset.SOPInstanceUID = uid.generate_uid(entropy_srcs=["film"])
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


def dicom_bytes(dataset: Dataset, syntax: uid.UID | None = None) -> bytes:
    """A DICOM Part 10 file. syntax: the data set's own, if left out."""
    stream = io.BytesIO()
    dataset.file_meta.TransferSyntaxUID = syntax or dataset.file_meta.TransferSyntaxUID
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def dicom_file(pixels: np.ndarray, syntax: uid.UID = uid.ExplicitVRLittleEndian, **attributes: Any) -> bytes:
    """`dicom_dataset` as a file of that uncompressed transfer syntax."""
    dataset = dicom_dataset(pixels.astype(pixels.dtype.newbyteorder("<" if syntax.is_little_endian else ">")), **attributes)
    return dicom_bytes(dataset, syntax)


def dicom_with_texts(pixels: np.ndarray, texts: dict[str, bytes], **attributes: Any) -> bytes:
    """`dicom_file` with these attributes as they are, whether or not the standard allows such bytes in them."""
    dataset = dicom_dataset(pixels, **attributes)
    for name, text in texts.items():
        tag = Tag(tag_for_keyword(name))
        value = text + b" " * (len(text) % 2)
        dataset[tag] = RawDataElement(tag, dictionary_VR(tag), len(value), value, 0, False, True)
    return dicom_bytes(dataset)


def lut_sequence(descriptor: list[int], entries: np.ndarray, *, vr: str = "US", data_vr: str = "OW") -> list[Dataset]:
    """A sequence of one lookup table. vr: of the descriptor. entries: as they are to be encoded, or the words for US and SS."""
    item = Dataset()
    item.add_new("LUTDescriptor", vr, descriptor)
    item.add_new("LUTData", data_vr, entries.tolist() if data_vr in ("US", "SS") else entries.tobytes())
    item.ModalityLUTType = "US"
    return [item]


def pixels_of(data: bytes, **options: Any) -> np.ndarray:
    """The decoded film's pixels. options: as of `Radiograph.from_bytes`."""
    return Radiograph.from_bytes(data, **options).pixels


def assert_refused(data: bytes, kind: type[InputError] | tuple[type[InputError], ...], words: str = "", **options: Any) -> None:
    """The film is refused as that kind, with a message that matches `words`. options: as of `Radiograph.from_bytes`."""
    with pytest.raises(kind, match=words or None):
        Radiograph.from_bytes(data, **options)


def peak_bytes(data: bytes) -> int:
    """Most memory that NumPy's arrays take at a time while the film is decoded. Pillow's own memory is not counted."""
    tracemalloc.start()
    try:
        Radiograph.from_bytes(data)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
