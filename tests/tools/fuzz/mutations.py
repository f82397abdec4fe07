"""Seed films of every format, and the ways to spoil them. The same number always gives the same file."""

import struct
import zlib

import imagecodecs
import numpy as np
from PIL import Image
from pydicom import uid

from tests.support.compressed_dicom import SYNTAXES, compressed_dicom
from tests.support.encoded_films import dicom_file, encode, film, lut_sequence, png_16_bit, png_file, png_rows, tiff_file

FILM = film(160)
DEEP = FILM.astype(np.uint16) * 16


def seeds() -> dict[str, bytes]:
    """Small films of every format that is read, by name."""
    rgb = np.dstack([FILM, FILM // 2, FILM // 3])
    interlaced = png_rows(FILM[..., None], 8, interlaced=True)
    films = {
        "jpeg": encode(FILM, "JPEG"),
        "jpeg progressive": encode(rgb, "JPEG", progressive=True),
        "jpeg lossless": imagecodecs.jpeg8_encode(FILM, lossless=True),
        "jpeg of 12 bits": imagecodecs.jpeg8_encode(DEEP, lossless=True, bitspersample=12),
        "png": encode(FILM, "PNG"),
        "png interlaced": png_file(160, 160, 8, 0, zlib.compress(b"".join(interlaced)), interlaced=True),
        "png 16": png_16_bit(DEEP),
        "png rgba 16": png_16_bit(np.dstack([DEEP] * 4)),
        "png palette": encode(FILM // 64, "PNG", bits=2),
        "tiff": encode(FILM, "TIFF"),
        "tiff lzw": encode(rgb, "TIFF", compression="tiff_lzw"),
        "tiff 16": tiff_file(DEEP, deflated=True),
        "tiff 16 of white zeros": tiff_file(DEEP, 0, ">"),
        "tiff with a copy": encode(
            Image.fromarray(FILM), "TIFF", save_all=True, append_images=[Image.fromarray(FILM[::2, ::2])]
        ),
        "bmp": encode(rgb, "BMP"),
        "webp": encode(FILM, "WEBP"),
        "webp lossless": encode(rgb, "WEBP", lossless=True),
        "dicom": dicom_file(DEEP, BitsStored=12, HighBit=11, WindowCenter=2000, WindowWidth=3000),
    }
    entries = np.arange(4096, dtype="<u2")
    tables = {
        "ModalityLUTSequence": lut_sequence([4096, 0, 16], entries),
        "VOILUTSequence": lut_sequence([4096, 0, 12], entries),
    }
    films["dicom tables"] = dicom_file(DEEP, **tables, BitsStored=12, HighBit=11)
    films["dicom deflated"] = dicom_file(FILM, uid.DeflatedExplicitVRLittleEndian)
    for syntax in SYNTAXES:
        pixels, options = (FILM, {}) if syntax == uid.JPEGBaseline8Bit else (DEEP, {"BitsStored": 12, "HighBit": 11})
        films[f"dicom {syntax.keyword}"] = compressed_dicom(pixels, syntax, **options)
    return films


def bombs() -> dict[str, bytes]:
    """Files made to cost more than they hold, beside those that the tests of each format refuse by a limit."""
    row = zlib.compress(bytes(200_000_000), 9)
    coded = zlib.compress(bytes(100 * 101))
    text = b"Raw profile type exif\0\0" + zlib.compress(bytes(1 << 20))
    plain_tiff = tiff_file(FILM, tag_259=8)
    lying = bytearray(dicom_file(FILM))
    offset = lying.rindex(b"\xe0\x7f\x10\x00")
    lying[offset + 8 : offset + 12] = struct.pack("<I", 0xFFFFFFF0)
    nested = struct.pack("<HHI", 0x0028, 0x3010, 0xFFFFFFFF) + struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
    flat = dicom_file(FILM, uid.ImplicitVRLittleEndian)
    cut = flat.index(struct.pack("<HH", 0x7FE0, 0x0010))
    return {
        "a png whose pixels inflate to 200 MB": png_file(160, 160, 8, 0, row),
        "a png of a hundred thousand chunks": png_file(100, 100, 8, 0, coded, *[(b"IDAT", b"")] * 100_000),
        "a png of ten thousand texts of a megabyte": png_file(100, 100, 8, 0, coded, *[(b"zTXt", text)] * 10_000),
        "a tiff whose strip inflates to 200 MB": plain_tiff[:8] + row + plain_tiff[8 + FILM.size :],
        "a deflated dicom of 100 MB": dicom_file(np.zeros((7000, 7000), np.uint16), uid.DeflatedExplicitVRLittleEndian),
        "a dicom with a lying length": bytes(lying),
        "a dicom of nested sequences": flat[:cut] + nested * 20_000 + flat[cut:],
    }


def _truncate(data: bytearray, rng: np.random.Generator, others: list[bytes]) -> None:
    del data[rng.integers(0, len(data)) :]


def _flip_bits(data: bytearray, rng: np.random.Generator, others: list[bytes]) -> None:
    for offset in rng.integers(0, len(data), rng.integers(1, 12)):
        data[offset] ^= 1 << int(rng.integers(0, 8))


def _flip_in_the_head(data: bytearray, rng: np.random.Generator, others: list[bytes]) -> None:
    for offset in rng.integers(0, min(len(data), 700), rng.integers(1, 6)):
        data[offset] = int(rng.integers(0, 256))


def _fill(data: bytearray, rng: np.random.Generator, others: list[bytes]) -> None:
    start, length = int(rng.integers(0, len(data))), int(rng.integers(1, 400))
    data[start : start + length] = bytes([int(rng.choice([0, 255, 127, 1]))]) * length


def _lie_in_a_number(data: bytearray, rng: np.random.Generator, others: list[bytes]) -> None:
    """Write an extreme number of 2 or 4 bytes somewhere in the first kilobytes, where lengths and sizes are."""
    size = int(rng.choice([2, 4]))
    value = int(rng.choice([0, 1, 2, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 60_000, 0x7FFFFFFF, 0xFFFFFFFF])) & ((1 << 8 * size) - 1)
    offset = int(rng.integers(0, max(1, min(len(data), 3000) - size)))
    data[offset : offset + size] = value.to_bytes(size, str(rng.choice(["little", "big"])))


def _cut_out(data: bytearray, rng: np.random.Generator, others: list[bytes]) -> None:
    start = int(rng.integers(0, len(data)))
    del data[start : start + int(rng.integers(1, 300))]


def _double(data: bytearray, rng: np.random.Generator, others: list[bytes]) -> None:
    start = int(rng.integers(0, len(data)))
    piece = data[start : start + int(rng.integers(1, 600))]
    data[start:start] = piece * int(rng.integers(2, 30))


def _splice(data: bytearray, rng: np.random.Generator, others: list[bytes]) -> None:
    other = others[int(rng.integers(0, len(others)))]
    del data[rng.integers(0, len(data)) :]
    data += other[int(rng.integers(0, len(other))) :]


MUTATIONS = (
    _truncate, _flip_bits, _flip_bits, _flip_in_the_head, _flip_in_the_head, _fill, _lie_in_a_number, _lie_in_a_number,
    _cut_out, _double, _splice,
)  # fmt: skip


def mutant(number: int, seed: int, films: dict[str, bytes]) -> tuple[str, bytes]:
    """The file of that number, and what it was made of."""
    rng = np.random.default_rng([seed, number])
    name = list(films)[number % len(films)]
    data, names = bytearray(films[name]), []
    for mutation in rng.choice(len(MUTATIONS), rng.integers(1, 3)):
        if data:
            MUTATIONS[mutation](data, rng, list(films.values()))
        names.append(MUTATIONS[mutation].__name__.strip("_"))
    return f"{name}: {', '.join(names)}", bytes(data)
