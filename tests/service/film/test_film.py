import struct

import cv2
import imagecodecs
import numpy as np
import pytest
from PIL import Image
from pydicom import uid

from service.film.errors import UnreadableImage, UnsupportedImage
from service.film.film import Radiograph, open_film
from service.film.limits import DecodeLimits
from service.film.picture import MAX_EXIF_BYTES
from tests.support.compressed_dicom import compressed_dicom
from tests.support.encoded_films import assert_refused, dicom_file, encode, film, lying_as, peak_bytes, pixels_of, png_16_bit

FILM = film()

FILES = {
    "jpeg": encode(FILM, "JPEG", quality=95),
    "png": encode(FILM, "PNG"),
    "tiff": encode(FILM, "TIFF"),
    "bmp": encode(FILM, "BMP"),
    "webp": encode(FILM, "WEBP", lossless=True),
    "dicom": dicom_file(FILM, WindowCenter=128, WindowWidth=256),  # which shows it as it is
}


@pytest.mark.parametrize("format_name", FILES)
def test_every_format_gives_the_same_film(format_name):
    radiograph = Radiograph.from_bytes(FILES[format_name])
    assert (radiograph.format, radiograph.width_px, radiograph.height_px) == (format_name, 256, 256)
    assert radiograph.pixels.dtype == np.uint8
    assert np.abs(radiograph.pixels.astype(int) - FILM).max() <= {"jpeg": 12, "webp": 1}.get(format_name, 0)


@pytest.mark.parametrize("format_name", FILES)
@pytest.mark.parametrize("kept", [0.02, 0.5, 0.95])
def test_a_truncated_file_is_unreadable_in_every_format(format_name, kept):
    data = FILES[format_name]
    assert_refused(data[: max(160, int(len(data) * kept))], UnreadableImage, r"again")


DEEP = FILM.astype(np.uint16) * 257


def test_pixels_are_read_only():
    with pytest.raises(ValueError, match="read-only"):
        pixels_of(FILES["png"])[0, 0] = 1


def test_a_deep_film_is_not_widened_to_be_scaled():
    side_px = 2000
    data = png_16_bit(np.full((side_px, side_px), 4000, np.uint16))
    assert pixels_of(data).max() == 249
    assert peak_bytes(data) < 4 * side_px * side_px


def test_alpha_is_dropped_not_blended():
    transparent = np.zeros_like(FILM)
    for planes in ([FILM, transparent], [FILM, FILM, FILM, transparent]):
        pixels = pixels_of(encode(np.dstack(planes), "PNG"))
        assert np.array_equal(pixels, FILM)


def test_a_palette_is_looked_up():
    image = Image.fromarray(255 - FILM, mode="P")
    image.putpalette([255 - index // 3 for index in range(768)])
    assert np.array_equal(pixels_of(encode(image, "PNG")), FILM)


def test_colour_is_weighted_by_bt_601():
    red = np.zeros((120, 120, 3), np.uint8)
    red[..., 0] = 255
    assert np.all(pixels_of(encode(red, "PNG")) == 76)


@pytest.mark.parametrize("format_name", ["PNG", "WEBP"])
def test_exif_data_that_are_damaged_or_beyond_what_a_jpeg_can_hold_are_refused(format_name):
    orientation = struct.pack("<2sHIHHHIII", b"II", 42, 8, 1, 0x0112, 5, MAX_EXIF_BYTES // 8, 26, 0) + bytes(MAX_EXIF_BYTES)
    assert_refused(encode(FILM, format_name, exif=b"Exif\0\0" + orientation), UnsupportedImage, "EXIF")
    assert_refused(encode(FILM, format_name, exif=b"Exif\0\0MM\0*"), UnreadableImage, "EXIF data are damaged")


def with_exif_text(jpeg: bytes, exif: Image.Exif) -> bytes:
    body = exif.tobytes()
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + jpeg[2:]


ENCODERS = {
    "JPEG": lambda pixels, exif: encode(pixels, "JPEG", exif=exif, quality=95),
    "PNG": lambda pixels, exif: encode(pixels, "PNG", exif=exif),
    "PNG of 16-bit colour": lambda pixels, exif: png_16_bit(
        np.dstack([pixels.astype(np.uint16) * 257] * 3), (b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0"))
    ),
    "TIFF": lambda pixels, exif: encode(pixels, "TIFF", exif=exif),
    "WebP": lambda pixels, exif: encode(pixels, "WEBP", exif=exif, lossless=True),
    "JPEG of 12 bits": lambda pixels, exif: with_exif_text(
        imagecodecs.jpeg8_encode(pixels.astype(np.uint16) * 257 >> 4, lossless=True, bitspersample=12), exif
    ),
}


# Where rows and columns run to, by EXIF orientation.
DIRECTIONS = {1: "LF", 2: "RF", 3: "RH", 4: "LH", 5: "FL", 6: "FR", 7: "HR", 8: "HL"}


@pytest.mark.parametrize("orientation", DIRECTIONS)
@pytest.mark.parametrize("name", ENCODERS)
def test_every_orientation_is_undone_at_any_scale(name, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    upright = FILM[:, :150].copy()
    data = ENCODERS[name](lying_as(DIRECTIONS[orientation], upright), exif)
    for side_px in (None, 75):
        radiograph = Radiograph.from_bytes(data, decode_side_px=side_px)
        assert (radiograph.width_px, radiograph.height_px) == (150, 256)
        assert radiograph.pixels.shape == ((128, 75) if name == "JPEG" and side_px else (256, 150))
        expected = cv2.resize(upright, radiograph.pixels.shape[::-1], interpolation=cv2.INTER_AREA)
        difference = np.abs(radiograph.pixels.astype(int) - expected)
        assert difference.mean() < 2 if name == "JPEG" else difference.max() <= 1


def test_a_jpeg_is_reduced_while_decoding_but_never_below_the_side_asked_for():
    data = encode(film(1024), "JPEG", quality=95)
    radiograph = Radiograph.from_bytes(data, decode_side_px=256)
    assert radiograph.pixels.shape == (256, 256)
    assert (radiograph.width_px, radiograph.height_px) == (1024, 1024)
    assert pixels_of(data, decode_side_px=257).shape == (512, 512)
    assert pixels_of(data).shape == (1024, 1024)


@pytest.mark.parametrize("format_name", ["PNG", "TIFF", "WEBP"])
def test_several_frames_or_pages_are_refused(format_name):
    pages = [Image.fromarray(FILM), Image.fromarray(255 - FILM)]
    data = encode(pages[0], format_name, save_all=True, append_images=pages[1:])
    assert_refused(data, UnsupportedImage, "more than one frame or page")


CHEAP = {
    **FILES,
    "16-bit PNG": png_16_bit(DEEP),
    "JPEG of 9 million pixels": encode(np.zeros((3000, 3000), np.uint8), "JPEG"),
    "PNG of 9 million pixels": encode(np.zeros((3000, 3000), np.uint8), "PNG"),
    "JPEG of 25 million pixels": encode(np.zeros((5000, 5000), np.uint8), "JPEG"),
}
COSTLY = {
    "JPEG 2000": compressed_dicom(DEEP, uid.JPEG2000Lossless),
    "deflated DICOM": dicom_file(FILM, uid.DeflatedExplicitVRLittleEndian),
    "PNG of 25 million pixels": encode(np.zeros((5000, 5000), np.uint8), "PNG"),
    "progressive JPEG of 25 million pixels": encode(np.zeros((5000, 5000), np.uint8), "JPEG", progressive=True),
    "lossless JPEG": imagecodecs.jpeg8_encode(FILM, lossless=True),
    "lossless JPEG of 12 bits": imagecodecs.jpeg8_encode(DEEP >> 4, lossless=True, bitspersample=12),
    "JPEG of 12 bits": imagecodecs.jpeg8_encode(DEEP >> 4, level=97, bitspersample=12),
}


@pytest.mark.parametrize("name", [*CHEAP, *COSTLY])
def test_only_what_takes_long_or_needs_a_codec_is_costly(name):
    assert open_film((CHEAP | COSTLY)[name], DecodeLimits()).is_costly == (name in COSTLY)
