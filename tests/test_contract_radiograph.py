import struct

import numpy as np
import pytest
from PIL import Image

from service.contract.errors import (
    AspectRatioTooExtreme,
    ImageTooLarge,
    ImageTooSmall,
    UnreadableImage,
    UnsupportedFormat,
    UnsupportedImage,
)
from service.contract.radiograph import DecodeLimits, Radiograph, scale_to_8_bit, sniff_format
from tests.encoded_films import dicom_file, encode, encode_image, film, png_claiming

FILM = film()

FILES = {
    "jpeg": encode(FILM, "JPEG", quality=95),
    "png": encode(FILM, "PNG"),
    "tiff": encode(FILM, "TIFF"),
    "bmp": encode(FILM, "BMP"),
    "webp": encode(FILM, "WEBP", lossless=True),
    "dicom": dicom_file(FILM),
}


@pytest.mark.parametrize("format_name", FILES)
def test_every_format_gives_the_same_film(format_name):
    radiograph = Radiograph.from_bytes(FILES[format_name])
    assert (radiograph.format, radiograph.width_px, radiograph.height_px) == (format_name, 256, 256)
    assert radiograph.pixels.dtype == np.uint8
    tolerance = {"jpeg": 12, "webp": 1, "dicom": 1}.get(format_name, 0)
    if format_name == "dicom":  # the range of values present is shown in full
        darkest, brightest = int(FILM.min()), int(FILM.max())
        expected = ((FILM.astype(float) - darkest) * 255 / (brightest - darkest) + 0.5).astype(np.uint8)
    else:
        expected = FILM
    assert np.abs(radiograph.pixels.astype(int) - expected).max() <= tolerance


@pytest.mark.parametrize("format_name", FILES)
@pytest.mark.parametrize("kept", [0.02, 0.5, 0.95])
def test_a_truncated_file_is_unreadable_in_every_format(format_name, kept):
    data = FILES[format_name]
    with pytest.raises(UnreadableImage, match=r"again"):
        Radiograph.from_bytes(data[: max(160, int(len(data) * kept))])


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("format_name", FILES)
def test_noise_in_a_file_gives_a_film_or_an_input_error_and_nothing_else(format_name):
    rng = np.random.default_rng(3)
    clean = FILES[format_name]
    for _ in range(60):
        data = bytearray(clean)
        for place in rng.integers(0, min(len(data), 600), size=4):
            data[place] = rng.integers(256)
        try:
            Radiograph.from_bytes(bytes(data), limits=DecodeLimits(max_pixels=1_000_000))
        except (UnreadableImage, UnsupportedFormat, UnsupportedImage, ImageTooLarge, ImageTooSmall, AspectRatioTooExtreme):
            pass
        except Exception as error:
            assert type(error).__name__ == "UnsupportedDicom", repr(error)


@pytest.mark.parametrize("data", [b"", b"GIF89a" + b"\0" * 200, b"%PDF-1.7", b"http://127.0.0.1/film.png", b"\x89PNG"])
def test_other_bytes_are_an_unsupported_format(data):
    with pytest.raises(UnsupportedFormat, match="JPEG, PNG, TIFF, BMP, WebP or DICOM"):
        Radiograph.from_bytes(data)


def test_the_format_is_told_by_the_magic_bytes():
    assert {name: sniff_format(data) for name, data in FILES.items()} == {name: name for name in FILES}


def test_pixels_are_read_only():
    with pytest.raises(ValueError, match="read-only"):
        Radiograph.from_bytes(FILES["png"]).pixels[0, 0] = 1


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
@pytest.mark.parametrize("format_name", ["PNG", "TIFF"])
def test_deep_grey_is_scaled_by_its_own_depth(bits, format_name):
    deep = (FILM.astype(np.uint32) * ((1 << bits) - 1) // 255).astype(np.uint16)
    deep[0, 0] = (1 << bits) - 1
    pixels = Radiograph.from_bytes(encode(deep, format_name)).pixels
    assert np.abs(pixels[1:].astype(int) - FILM[1:]).max() <= 1
    assert pixels[0, 0] == 255


def test_a_12_bit_film_in_a_16_bit_file_is_not_rendered_black():
    assert scale_to_8_bit(np.full((100, 100), 4095)).min() == 255


def test_grey_values_beyond_16_bit_are_refused():
    with pytest.raises(UnsupportedImage, match="65535"):
        Radiograph.from_bytes(encode_image(Image.fromarray(np.full((120, 120), 70_000, np.int32)), "TIFF"))


def test_floating_point_pixels_are_refused():
    with pytest.raises(UnsupportedImage, match="floating-point"):
        Radiograph.from_bytes(encode(FILM.astype(np.float32), "TIFF"))


def test_alpha_is_dropped_not_blended():
    transparent = np.zeros_like(FILM)
    for planes in ([FILM, transparent], [FILM, FILM, FILM, transparent]):
        pixels = Radiograph.from_bytes(encode(np.dstack(planes), "PNG")).pixels
        assert np.array_equal(pixels, FILM)


def test_a_palette_is_looked_up():
    image = Image.fromarray(255 - FILM, mode="P")
    image.putpalette([255 - index // 3 for index in range(768)])
    assert np.array_equal(Radiograph.from_bytes(encode_image(image, "PNG")).pixels, FILM)


def test_colour_is_weighted_by_bt_601():
    red = np.zeros((120, 120, 3), np.uint8)
    red[..., 0] = 255
    assert np.all(Radiograph.from_bytes(encode(red, "PNG")).pixels == 76)


@pytest.mark.parametrize("decode_side_px", [None, 100])
def test_exif_orientation_is_undone(decode_side_px):
    upright = film(512)[:, :300]
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown after a quarter turn clockwise
    data = encode(np.rot90(upright), "JPEG", quality=95, exif=exif)
    radiograph = Radiograph.from_bytes(data, decode_side_px=decode_side_px)
    assert (radiograph.width_px, radiograph.height_px) == (300, 512)
    height, width = radiograph.pixels.shape
    assert height > width
    assert radiograph.pixels[: height // 20, : width // 20].mean() > 200  # the bright corner is top left again
    assert radiograph.pixels[-height // 20 :, : width // 20].mean() < 150


def test_a_jpeg_is_reduced_while_decoding_but_never_below_the_side_asked_for():
    data = encode(film(1024), "JPEG", quality=95)
    radiograph = Radiograph.from_bytes(data, decode_side_px=256)
    assert radiograph.pixels.shape == (256, 256)
    assert (radiograph.width_px, radiograph.height_px) == (1024, 1024)
    assert Radiograph.from_bytes(data, decode_side_px=257).pixels.shape == (512, 512)
    assert Radiograph.from_bytes(data).pixels.shape == (1024, 1024)


def test_a_forged_header_is_refused_before_any_pixel_is_decoded():
    bomb = png_claiming(100_000, 100_000)
    assert len(bomb) < 100
    # Decoding would find the pixels missing and raise UnreadableImage instead, after asking for ten gigabytes.
    with pytest.raises(ImageTooLarge, match="100000 x 100000"):
        Radiograph.from_bytes(bomb)


def test_a_forged_bitmap_or_dicom_header_is_refused_before_decoding():
    bitmap = bytearray(FILES["bmp"])
    bitmap[18:26] = struct.pack("<ii", 60_000, 60_000)
    with pytest.raises(ImageTooLarge):
        Radiograph.from_bytes(bytes(bitmap))
    with pytest.raises(ImageTooLarge):
        Radiograph.from_bytes(dicom_file(FILM, Rows=60_000, Columns=60_000))


def test_limits_include_their_bound():
    limits = DecodeLimits(min_side_px=100, max_pixels=30_000, max_aspect_ratio=3.0)
    assert Radiograph.from_bytes(encode(np.zeros((100, 300), np.uint8), "PNG"), limits=limits).width_px == 300
    with pytest.raises(ImageTooSmall, match="at least 100"):
        Radiograph.from_bytes(encode(np.zeros((99, 200), np.uint8), "PNG"), limits=limits)
    with pytest.raises(AspectRatioTooExtreme, match=r"3\.01:1"):
        Radiograph.from_bytes(encode(np.zeros((301, 100), np.uint8), "PNG"), limits=DecodeLimits())
    with pytest.raises(ImageTooLarge, match="30000"):
        Radiograph.from_bytes(encode(np.zeros((150, 201), np.uint8), "PNG"), limits=limits)


@pytest.mark.parametrize("format_name", ["PNG", "TIFF", "WEBP"])
def test_several_frames_or_pages_are_refused(format_name):
    pages = [Image.fromarray(FILM), Image.fromarray(255 - FILM)]
    data = encode_image(pages[0], format_name, save_all=True, append_images=pages[1:])
    with pytest.raises(UnsupportedImage, match="2 frames or pages"):
        Radiograph.from_bytes(data)
