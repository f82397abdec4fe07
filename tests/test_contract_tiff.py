import io
import struct

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from service.contract import tiff
from service.contract.errors import ImageTooLarge, UnsupportedImage
from service.contract.radiograph import DecodeLimits, Radiograph
from tests.encoded_films import encode_image, film, tiff_file

FILM = film()


def in_one_tile(side_px: int) -> bytes:
    """A film of 200 x 200 px in a tile of this side."""
    tile = np.zeros((side_px, side_px), np.uint8)
    tile[:200, :200] = FILM[:200, :200]
    data = tiff_file(tile, deflated=True)
    (length,) = struct.unpack_from("<I", data, len(data) - 8)  # the last entry's value
    without_strips: dict[str, int | None] = {"tag_273": None, "tag_278": None, "tag_279": None}
    tags = {"tag_256": 200, "tag_257": 200, "tag_322": side_px, "tag_323": side_px, "tag_324": 8, "tag_325": length}
    return tiff_file(tile, deflated=True, **without_strips, **tags)


def test_tiles_count_against_the_pixel_limit_as_they_are_decoded():
    limits = DecodeLimits(max_pixels=256 * 256)
    assert np.array_equal(Radiograph.from_bytes(in_one_tile(256), limits=limits).pixels, FILM[:200, :200])
    with pytest.raises(ImageTooLarge, match="272 x 272"):
        Radiograph.from_bytes(in_one_tile(272), limits=limits)


@pytest.mark.parametrize("kind", [1, 4], ids=["bytes", "longs"])
def test_a_directory_of_a_hundred_thousand_strips_is_refused(kind):
    data = bytearray(tiff_file(FILM))
    entry = data.index(struct.pack("<HH", 273, 4))
    for count, refused in ((tiff.MAX_VALUES // 2, False), (tiff.MAX_VALUES + 1, True)):
        data[entry : entry + 8] = struct.pack("<HHI", 273, kind, count)
        if refused:
            with pytest.raises(UnsupportedImage, match="fewer strips"):
                tiff.check_directory(bytes(data))
        else:
            tiff.check_directory(bytes(data))


def test_a_long_profile_is_no_reason_to_refuse_a_film():
    data = encode_image(Image.fromarray(FILM), "TIFF", icc_profile=bytes(tiff.MAX_VALUES + 1))
    assert np.array_equal(Radiograph.from_bytes(data).pixels, FILM)


def test_exif_directories_are_never_parsed(monkeypatch):
    data = tiff_file(FILM, tag_34665=8, tag_34853=8, tag_40965=8)
    parsed: list[int] = []
    monkeypatch.setattr(Image.Exif, "get_ifd", lambda _, directory: parsed.append(directory))
    TiffImagePlugin.TiffImageFile(io.BytesIO(data)).load()
    assert parsed, "Pillow parses them of itself"
    parsed.clear()
    assert np.array_equal(Radiograph.from_bytes(data).pixels, FILM)
    assert parsed == []


def test_pages_are_not_counted(monkeypatch):
    data = encode_image(Image.fromarray(FILM), "TIFF", save_all=True, append_images=[Image.fromarray(FILM)])
    monkeypatch.setattr(TiffImagePlugin.TiffImageFile, "n_frames", property(lambda _: pytest.fail("pages were counted")))
    with pytest.raises(UnsupportedImage, match="more than one frame or page"):
        Radiograph.from_bytes(data)
