import io
import struct
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
import pytest
from pydicom import uid
from pydicom.data import get_testdata_file
from pydicom.encaps import generate_frames

from service.contract import dicom_frame
from service.contract.dicom_frame import CODEC_OF
from service.contract.errors import ChestXrayError, InputError, UnreadableImage, UnsupportedDicom
from service.contract.radiograph import DecodeLimits, Radiograph
from tests.compressed_dicom import LOSSY, SYNTAXES, compressed_dicom, with_frame
from tests.encoded_films import dicom_dataset, dicom_file, film

FILM = film()
DEEP = FILM.astype(np.uint16) * 16  # 12 bit
TWELVE = {"BitsStored": 12, "HighBit": 11}
EIGHT_BIT_ONLY = (uid.JPEGBaseline8Bit,)


def pixels_for(syntax):
    return (FILM, {}) if syntax in EIGHT_BIT_ONLY else (DEEP, TWELVE)


def frame_of(data):
    return next(generate_frames(pydicom.dcmread(io.BytesIO(data)).PixelData, number_of_frames=1))


def test_every_syntax_that_is_read_is_tried_here():
    assert set(SYNTAXES) == set(CODEC_OF)


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda syntax: syntax.name)
def test_a_compressed_film_is_the_uncompressed_one(syntax):
    pixels, attributes = pixels_for(syntax)
    plain = Radiograph.from_bytes(dicom_file(pixels, **attributes)).pixels.astype(int)
    film = Radiograph.from_bytes(compressed_dicom(pixels, syntax, **attributes))
    assert film.format == "dicom"
    difference = np.abs(film.pixels - plain)
    if syntax in LOSSY:
        assert difference.mean() < 1
        assert difference.max() < 24
    else:
        assert difference.max() == 0


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda syntax: syntax.name)
def test_a_compressed_negative_is_inverted_once(syntax):
    pixels, attributes = pixels_for(syntax)
    data = compressed_dicom(pixels.max() - pixels, syntax, PhotometricInterpretation="MONOCHROME1", **attributes)
    plain = Radiograph.from_bytes(dicom_file(pixels, **attributes)).pixels.astype(int)
    assert np.abs(Radiograph.from_bytes(data).pixels - plain).mean() < 1.5


SIGNED = (uid.JPEG2000Lossless, uid.JPEGLSLossless, uid.RLELossless)


@pytest.mark.parametrize("syntax", SIGNED, ids=lambda syntax: syntax.name)
@pytest.mark.parametrize("bits", [13, 16])
def test_signed_values_keep_their_sign(syntax, bits):
    stored = FILM.astype(np.int16) * 10 - 900
    attributes = {"BitsStored": bits, "HighBit": bits - 1, "WindowCenter": 0, "WindowWidth": 1000}
    plain = Radiograph.from_bytes(dicom_file(stored, **attributes)).pixels
    assert np.array_equal(Radiograph.from_bytes(compressed_dicom(stored, syntax, **attributes)).pixels, plain)
    assert 0 < plain.mean() < 255


@pytest.mark.parametrize("bits", [10, 12, 14, 15, 16])
@pytest.mark.parametrize("syntax", SIGNED, ids=lambda syntax: syntax.name)
def test_odd_bit_depths_are_read(syntax, bits):
    stored = (FILM.astype(np.uint32) * ((1 << bits) - 1) // 255).astype(np.uint16)
    attributes = {"BitsStored": bits, "HighBit": bits - 1}
    plain = Radiograph.from_bytes(dicom_file(stored, **attributes)).pixels
    assert np.array_equal(Radiograph.from_bytes(compressed_dicom(stored, syntax, **attributes)).pixels, plain)


@pytest.mark.parametrize("syntax", [uid.JPEG2000Lossless, uid.JPEGLSLossless, uid.JPEGLosslessSV1])
def test_a_frame_in_several_fragments_is_one_frame(syntax):
    frame = frame_of(compressed_dicom(DEEP, syntax, **TWELVE))
    cut = len(frame) // 3 * 2
    data = with_frame(dicom_dataset(DEEP, **TWELVE), syntax, frame[:cut], frame[cut:])
    plain = Radiograph.from_bytes(dicom_file(DEEP, **TWELVE)).pixels
    assert np.array_equal(Radiograph.from_bytes(data).pixels, plain)


WITH_A_SIZE = [syntax for syntax in SYNTAXES if syntax != uid.RLELossless]


@pytest.mark.parametrize("syntax", WITH_A_SIZE, ids=lambda syntax: syntax.name)
@pytest.mark.parametrize("size", [{"Rows": 512}, {"Columns": 128}], ids=str)
def test_a_frame_of_another_size_than_its_header_says_is_not_decoded(syntax, size, monkeypatch):
    pixels, attributes = pixels_for(syntax)
    data = compressed_dicom(pixels, syntax, **attributes)
    frame = frame_of(data)
    lying = with_frame(dicom_dataset(pixels, **attributes, **size), syntax, frame)

    def never(*_):
        raise AssertionError("it was decoded")

    monkeypatch.setattr(imagecodecs, CODEC_OF[syntax], never)
    with pytest.raises(UnreadableImage, match="says it has 256 x 256"):
        Radiograph.from_bytes(lying)


def test_runs_beyond_the_declared_size_are_unreadable():
    frame = frame_of(compressed_dicom(DEEP, uid.RLELossless, **TWELVE))
    with pytest.raises(UnreadableImage):
        Radiograph.from_bytes(with_frame(dicom_dataset(DEEP, **TWELVE, Rows=128), uid.RLELossless, frame))


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda syntax: syntax.name)
@pytest.mark.parametrize("share", [0.005, 0.05, 0.5, 0.9])
def test_a_truncated_frame_is_unreadable_not_half_a_film(syntax, share):
    pixels, attributes = pixels_for(syntax)
    frame = frame_of(compressed_dicom(pixels, syntax, **attributes))
    data = with_frame(dicom_dataset(pixels, **attributes), syntax, frame[: int(share * len(frame))])
    with pytest.raises(InputError):
        Radiograph.from_bytes(data)


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda syntax: syntax.name)
def test_noise_instead_of_a_frame_is_unreadable(syntax):
    pixels, attributes = pixels_for(syntax)
    noise = np.random.default_rng(3).bytes(5000) + b"\xff\xd9"
    with pytest.raises(ChestXrayError):
        Radiograph.from_bytes(with_frame(dicom_dataset(pixels, **attributes), syntax, noise))


def test_a_jpeg_2000_frame_of_countless_tiles_is_refused():
    frame = bytearray(frame_of(compressed_dicom(DEEP, uid.JPEG2000Lossless, **TWELVE)))
    frame[24:32] = struct.pack(">II", 1, 1)  # the size of a tile
    with pytest.raises(UnsupportedDicom, match=f"{dicom_frame.MAX_TILES} tiles"):
        Radiograph.from_bytes(with_frame(dicom_dataset(DEEP, **TWELVE), uid.JPEG2000Lossless, bytes(frame)))


def test_a_colour_frame_behind_a_grey_header_is_refused():
    frame = imagecodecs.jpeg8_encode(np.dstack([FILM] * 3))
    with pytest.raises(UnsupportedDicom, match="3 components"):
        Radiograph.from_bytes(with_frame(dicom_dataset(FILM), uid.JPEGBaseline8Bit, frame))


def test_a_syntax_that_is_not_read_is_refused_by_name():
    data = with_frame(dicom_dataset(FILM), uid.MPEG2MPML, b"\0" * 64)
    with pytest.raises(UnsupportedDicom, match="MPEG2"):
        Radiograph.from_bytes(data)


@pytest.mark.parametrize("name", ["JPGExtended.dcm", "JPEG-lossy.dcm", "JPEG2000.dcm", "JPEGLSNearLossless_16.dcm"])
def test_files_of_other_makers_are_read(name):
    data = Path(get_testdata_file(name, download=False)).read_bytes()
    shown = Radiograph.from_bytes(data, limits=DecodeLimits(min_side_px=8, max_aspect_ratio=6)).pixels
    assert (shown.min(), shown.max()) == (0, 255)
