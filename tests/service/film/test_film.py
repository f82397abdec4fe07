import re
import struct
import tracemalloc

import numpy as np
import pytest
from PIL import Image

from service.film.errors import (
    AspectRatioTooExtreme,
    ImageTooLarge,
    ImageTooSmall,
    InputError,
    UnreadableImage,
    UnsupportedFormat,
    UnsupportedImage,
)
from service.film.file_format import sniff_format
from service.film.film import Radiograph
from service.film.limits import DecodeLimits
from service.film.picture import MAX_EXIF_BYTES
from tests.support.encoded_films import dicom_file, encode, encode_image, film, pixels_of, png_16_bit, png_claiming, tiff_file

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


DEEP = FILM.astype(np.uint16) * 257
DEEP_FILES = {
    "colour png": png_16_bit(np.dstack([DEEP] * 3)),
    "grey tiff": tiff_file(DEEP, 0, ">"),
    "deflated tiff": tiff_file(DEEP, deflated=True),
    "signed dicom": dicom_file(DEEP.astype(np.int16), RescaleSlope=2, RescaleIntercept=-3, WindowCenter=9, WindowWidth=99),
}


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("clean", [pytest.param(data, id=name) for name, data in (FILES | DEEP_FILES).items()])
def test_noise_in_a_file_gives_a_film_or_an_input_error_and_nothing_else(clean):
    rng = np.random.default_rng(3)
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


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", [name for name in FILES if name != "dicom"])
def test_damage_is_told_in_our_own_words(name):
    rng = np.random.default_rng(9)
    said = set()
    for _ in range(200):
        data = bytearray(FILES[name])
        for place in rng.integers(2, min(len(data), 900), size=6):
            data[place] = rng.integers(256)
        try:
            Radiograph.from_bytes(bytes(data[: rng.integers(100, len(data))]), limits=DecodeLimits(max_pixels=1_000_000))
        except InputError as refused:
            said.add(str(refused))
    assert said
    assert not [
        words for words in said if re.search(r"Error|Exception|decoder|chunk b|driver|errno|unpack|not processed|0x", words)
    ]


@pytest.mark.parametrize("data", [b"", b"GIF89a" + b"\0" * 200, b"%PDF-1.7", b"http://127.0.0.1/film.png", b"\x89PNG"])
def test_other_bytes_are_an_unsupported_format(data):
    with pytest.raises(UnsupportedFormat, match="JPEG, PNG, TIFF, BMP, WebP or DICOM"):
        Radiograph.from_bytes(data)


def test_the_format_is_told_by_the_magic_bytes():
    assert {name: sniff_format(data) for name, data in FILES.items()} == {name: name for name in FILES}


def test_pixels_are_read_only():
    with pytest.raises(ValueError, match="read-only"):
        pixels_of(FILES["png"])[0, 0] = 1


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
@pytest.mark.parametrize("format_name", ["PNG", "TIFF"])
def test_deep_grey_is_scaled_by_its_own_depth(bits, format_name):
    deep = (FILM.astype(np.uint32) * ((1 << bits) - 1) // 255).astype(np.uint16)
    deep[0, 0] = (1 << bits) - 1
    pixels = pixels_of(encode(deep, format_name))
    assert np.abs(pixels[1:].astype(int) - FILM[1:]).max() <= 1
    assert pixels[0, 0] == 255


@pytest.mark.parametrize("deflated", [False, True])
@pytest.mark.parametrize("byte_order", ["<", ">"])
@pytest.mark.parametrize("photometric", [0, 1], ids=["white is zero", "black is zero"])
@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_a_tiff_gives_the_same_film_whatever_its_polarity_depth_and_byte_order(bits, photometric, byte_order, deflated):
    full_range = FILM.copy()
    full_range[0, :2] = 0, 255  # so that the depth shows
    deep = np.rint(full_range / 255 * ((1 << bits) - 1)).astype(np.uint8 if bits == 8 else np.uint16)
    stored = (1 << bits) - 1 - deep if photometric == 0 else deep
    pixels = pixels_of(tiff_file(stored, photometric, byte_order, deflated=deflated))
    assert np.abs(pixels.astype(int) - full_range).max() <= 1


def test_a_tiff_without_the_photometric_tag_is_read_alike_at_every_depth():
    eight = pixels_of(tiff_file(FILM, tag_262=None))
    sixteen = pixels_of(tiff_file(DEEP, tag_262=None))
    assert np.array_equal(sixteen, eight)


@pytest.mark.parametrize("bits", [12, 16])
@pytest.mark.parametrize("planes", ["grey, alpha", "RGB", "RGBA"])
def test_16_bit_colour_or_alpha_gives_the_same_film_as_16_bit_grey(planes, bits):
    deep = DEEP >> (16 - bits)
    stacked = {"grey, alpha": [deep, deep * 0], "RGB": [deep] * 3, "RGBA": [deep] * 3 + [deep * 0]}[planes]
    of_grey = Radiograph.from_bytes(png_16_bit(deep))
    of_colour = Radiograph.from_bytes(png_16_bit(np.dstack(stacked)))
    assert np.array_equal(of_colour.pixels, of_grey.pixels)
    assert np.abs(of_colour.pixels.astype(int) - FILM).max() <= 1
    assert (of_colour.format, of_colour.width_px, of_colour.height_px) == ("png", 256, 256)


def test_16_bit_colour_is_weighted_as_8_bit_colour_is():
    colour = np.random.default_rng(1).integers(0, 256, (120, 130, 3), dtype=np.uint8)
    of_16_bit = pixels_of(png_16_bit(colour.astype(np.uint16) * 257))
    of_8_bit = pixels_of(encode(colour, "PNG"))
    assert np.abs(of_16_bit.astype(int) - of_8_bit).max() <= 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_16_bit_colour_film_is_turned_upright_as_an_8_bit_one_is(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    narrow = FILM[:, :150]
    deep = np.dstack([narrow.astype(np.uint16) * 257] * 3)
    of_16_bit = Radiograph.from_bytes(png_16_bit(deep, (b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0"))))
    of_8_bit = Radiograph.from_bytes(encode(narrow, "PNG", exif=exif))
    assert np.abs(of_16_bit.pixels.astype(int) - of_8_bit.pixels).max() <= 1
    assert (of_16_bit.width_px, of_16_bit.height_px) == (of_8_bit.width_px, of_8_bit.height_px)


def test_16_bit_colour_in_a_tiff_is_refused_not_read_by_its_high_byte():
    with pytest.raises(UnsupportedImage, match="16-bit grey TIFF"):
        Radiograph.from_bytes(tiff_file(np.dstack([DEEP >> 4] * 3), photometric=2))


def test_a_deep_film_is_not_widened_to_be_scaled():
    side_px = 2000
    data = png_16_bit(np.full((side_px, side_px), 4000, np.uint16))
    tracemalloc.start()  # counts NumPy's arrays, not Pillow's own two bytes a pixel
    try:
        assert pixels_of(data).max() == 249
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 4 * side_px * side_px


def test_grey_values_beyond_16_bit_are_refused():
    with pytest.raises(UnsupportedImage, match="65535"):
        Radiograph.from_bytes(encode_image(Image.fromarray(np.full((120, 120), 70_000, np.int32)), "TIFF"))


def test_floating_point_pixels_are_refused():
    with pytest.raises(UnsupportedImage, match="floating-point"):
        Radiograph.from_bytes(encode(FILM.astype(np.float32), "TIFF"))


def test_alpha_is_dropped_not_blended():
    transparent = np.zeros_like(FILM)
    for planes in ([FILM, transparent], [FILM, FILM, FILM, transparent]):
        pixels = pixels_of(encode(np.dstack(planes), "PNG"))
        assert np.array_equal(pixels, FILM)


def test_a_palette_is_looked_up():
    image = Image.fromarray(255 - FILM, mode="P")
    image.putpalette([255 - index // 3 for index in range(768)])
    assert np.array_equal(pixels_of(encode_image(image, "PNG")), FILM)


def test_colour_is_weighted_by_bt_601():
    red = np.zeros((120, 120, 3), np.uint8)
    red[..., 0] = 255
    assert np.all(pixels_of(encode(red, "PNG")) == 76)


@pytest.mark.parametrize("format_name", ["PNG", "WEBP"])
def test_exif_data_beyond_what_a_jpeg_can_hold_is_refused(format_name):
    orientation = struct.pack("<2sHIHHHIII", b"II", 42, 8, 1, 0x0112, 5, MAX_EXIF_BYTES // 8, 26, 0) + bytes(MAX_EXIF_BYTES)
    with pytest.raises(UnsupportedImage, match="EXIF"):
        Radiograph.from_bytes(encode(film(200), format_name, exif=b"Exif\0\0" + orientation))


@pytest.mark.parametrize("format_name", ["PNG", "WEBP"])
def test_damaged_exif_data_are_named(format_name):
    with pytest.raises(UnreadableImage, match="EXIF data are damaged"):
        Radiograph.from_bytes(encode(FILM, format_name, exif=b"Exif\0\0MM\0*"))


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


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format_name", ["PNG", "TIFF", "WEBP"])
def test_every_orientation_is_undone(format_name, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    upright = FILM[:, :150]
    as_stored = {
        1: upright, 2: upright[:, ::-1], 3: upright[::-1, ::-1], 4: upright[::-1],
        5: upright.T, 6: np.rot90(upright), 7: upright[::-1, ::-1].T, 8: np.rot90(upright, -1),
    }[orientation]  # fmt: skip
    options = {"lossless": True} if format_name == "WEBP" else {}
    radiograph = Radiograph.from_bytes(encode(as_stored, format_name, exif=exif, **options))
    assert np.abs(radiograph.pixels.astype(int) - upright).max() <= 1
    assert (radiograph.width_px, radiograph.height_px) == (150, 256)


def test_a_jpeg_is_reduced_while_decoding_but_never_below_the_side_asked_for():
    data = encode(film(1024), "JPEG", quality=95)
    radiograph = Radiograph.from_bytes(data, decode_side_px=256)
    assert radiograph.pixels.shape == (256, 256)
    assert (radiograph.width_px, radiograph.height_px) == (1024, 1024)
    assert pixels_of(data, decode_side_px=257).shape == (512, 512)
    assert pixels_of(data).shape == (1024, 1024)


@pytest.mark.parametrize("side", [0x3FFF, 12_000])
def test_a_webp_that_claims_more_pixels_than_can_be_decoded_is_too_large(side):
    """Pillow judges the size by a limit of its own before the header can be asked for it."""
    data = bytearray(encode(FILM, "WEBP"))
    start_code = data.index(b"\x9d\x01\x2a")  # before width and height (RFC 6386, 9.1)
    data[start_code + 3 : start_code + 7] = struct.pack("<HH", side, side)
    with pytest.raises(ImageTooLarge):
        Radiograph.from_bytes(bytes(data))


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
    with pytest.raises(UnsupportedImage, match="more than one frame or page"):
        Radiograph.from_bytes(data)
