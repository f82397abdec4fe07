import io
import re
import struct
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
import pytest
from pydicom import uid
from pydicom.data import get_testdata_file
from pydicom.encaps import generate_frames

from service.film.dicom import frame as dicom_frame
from service.film.dicom.frame import CODEC_OF
from service.film.errors import ChestXrayError, InputError, UnreadableImage, UnsupportedDicom
from service.film.film import Radiograph
from service.film.formats.jpeg import structure as jpeg
from service.film.limits import DecodeLimits
from tests.support.compressed_dicom import LOSSY, SYNTAXES, compressed_dicom, with_frame
from tests.support.encoded_films import dicom_dataset, dicom_file, film

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
    cut = frame[: int(share * len(frame))]
    for ended in (cut, cut + b"\xff\xd9"):
        with pytest.raises(InputError):
            Radiograph.from_bytes(with_frame(dicom_dataset(pixels, **attributes), syntax, ended))


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda syntax: syntax.name)
def test_noise_instead_of_a_frame_is_unreadable(syntax):
    pixels, attributes = pixels_for(syntax)
    noise = np.random.default_rng(3).bytes(5000) + b"\xff\xd9"
    with pytest.raises(ChestXrayError):
        Radiograph.from_bytes(with_frame(dicom_dataset(pixels, **attributes), syntax, noise))


@pytest.mark.parametrize("segment", [b"\xff\xd8", b"\xff\xe0\x00\x02", b"\xff\xe0\x00\x00"])
def test_a_frame_header_is_looked_for_behind_so_many_segments_and_no_more(segment):
    dataset = dicom_dataset(FILM)
    frame = frame_of(compressed_dicom(FILM, uid.JPEGBaseline8Bit))
    few, many = (frame[:2] + segment * count + frame[2:] for count in (100, jpeg.MAX_SEGMENTS))
    assert jpeg.first_frame(few) == jpeg.first_frame(frame)
    with pytest.raises(UnreadableImage, match="no header of its own"):
        Radiograph.from_bytes(with_frame(dataset, uid.JPEGBaseline8Bit, many))


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


# What writers fill a frame up with, to an even length or to that of a block; PS3.5 A.4 knows one zero byte.
FILLERS = (b"\0", b"\0\0", b"\0" * 1001, b" ", b"   ", b"\r\n", b"\n", b"\xff", b"\xff\xff", b"\xff\0\0", b" \r\n\0\0")


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda syntax: syntax.name)
def test_padding_behind_a_frame_is_no_damage(syntax):
    pixels, attributes = pixels_for(syntax)
    dataset = dicom_dataset(pixels, **attributes)
    frame = frame_of(compressed_dicom(pixels, syntax, **attributes))
    plain = Radiograph.from_bytes(with_frame(dataset, syntax, frame)).pixels
    for filler in FILLERS:
        padded = Radiograph.from_bytes(with_frame(dataset, syntax, frame + filler)).pixels
        assert np.array_equal(padded, plain), filler


def run_length_segments(frame: bytes) -> list[bytes]:
    count, *starts = struct.unpack("<16I", frame[:64])
    return [frame[start:end] for start, end in zip(starts[:count], [*starts[1:count], len(frame)], strict=True)]


def run_length_frame(segments: list[bytes]) -> bytes:
    starts = [64 + sum(map(len, segments[:place])) for place in range(len(segments))]
    return struct.pack("<16I", len(segments), *starts, *[0] * (15 - len(segments))) + b"".join(segments)


@pytest.mark.parametrize("filler", FILLERS, ids=repr)
def test_padding_behind_every_run_length_segment_is_no_damage(filler):
    segments = run_length_segments(frame_of(compressed_dicom(DEEP, uid.RLELossless, **TWELVE)))
    data = with_frame(dicom_dataset(DEEP, **TWELVE), uid.RLELossless, run_length_frame([each + filler for each in segments]))
    assert np.array_equal(Radiograph.from_bytes(data).pixels, Radiograph.from_bytes(dicom_file(DEEP, **TWELVE)).pixels)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda segments: [segments[0], segments[1] + b"\x05abcdef"],
        lambda segments: [segments[0], segments[1][:-40]],
        lambda segments: [segments[0][: len(segments[0]) // 2], segments[1]],
        lambda segments: segments[:1],
        lambda segments: [*segments, segments[1]],
        lambda segments: [b"", segments[1]],
    ],
    ids=["more runs", "the end cut off", "half a segment", "a segment missing", "a segment too many", "an empty segment"],
)
def test_run_lengths_that_are_no_film_of_this_size_are_unreadable(spoil):
    segments = run_length_segments(frame_of(compressed_dicom(DEEP, uid.RLELossless, **TWELVE)))
    data = with_frame(dicom_dataset(DEEP, **TWELVE), uid.RLELossless, run_length_frame(spoil(segments)))
    with pytest.raises(UnreadableImage, match="run lengths"):
        Radiograph.from_bytes(data)


@pytest.mark.parametrize("start", [0, 63, 1 << 31])
def test_run_lengths_that_begin_elsewhere_are_unreadable(start):
    frame = bytearray(frame_of(compressed_dicom(DEEP, uid.RLELossless, **TWELVE)))
    frame[8:12] = struct.pack("<I", start)
    with pytest.raises(UnreadableImage, match="run lengths"):
        Radiograph.from_bytes(with_frame(dicom_dataset(DEEP, **TWELVE), uid.RLELossless, bytes(frame)))


def windowed(bits: int, **attributes) -> dict[str, object]:
    """Attributes of a film whose window is all that its bits hold."""
    middle = 0 if attributes.get("PixelRepresentation") else 1 << (bits - 1)
    window = {"WindowCenter": middle, "WindowWidth": 1 << bits, "VOILUTFunction": "LINEAR_EXACT"}
    return {"BitsAllocated": 16, "BitsStored": bits, "HighBit": bits - 1, **window, **attributes}


def saturated(bits: int) -> np.ndarray:
    """A film whose air is at the largest value that so many bits hold, as in MONOCHROME1."""
    return np.where(FILM < 60, (1 << bits) - 1, FILM.astype(int) * ((1 << bits) - 1) // 300).astype(np.uint16)


LOSSY_FRAMES = {
    "JPEG Extended": (uid.JPEGExtended12Bit, lambda deep: imagecodecs.jpeg8_encode(deep, level=70, bitspersample=12)),
    "JPEG 2000": (uid.JPEG2000, lambda deep: imagecodecs.jpeg2k_encode(deep, level=66, codecformat="j2k", bitspersample=16)),
    "HTJ2K": (uid.HTJ2K, lambda deep: imagecodecs.htj2k_encode(deep, level=0.001, reversible=False)),
    "JPEG-LS": (uid.JPEGLSNearLossless, lambda deep: near_lossless(deep, 16)),
}


def near_lossless(deep: np.ndarray, bits: int) -> bytes:
    """JPEG-LS of that precision with values up to 20 beside those given, as its coder's own error may be."""
    noise = np.random.default_rng(5).integers(-20, 21, deep.shape)
    return jpeg_ls((np.clip(deep.astype(int) + noise, 0, None)).astype(np.uint16), bits)


def jpeg_ls(pixels: np.ndarray, bits: int) -> bytes:
    dataset = dicom_dataset(pixels, BitsStored=bits, HighBit=bits - 1)
    dataset.compress(uid.JPEGLSLossless)
    return next(generate_frames(dataset.PixelData, number_of_frames=1))


# PS3.5 8.1.1 and 8.2.1: what a codec gives is the value itself. A value over the range is noise of the codec, and no overlay.
@pytest.mark.parametrize("bits", [9, 10, 11])
@pytest.mark.parametrize("name", LOSSY_FRAMES)
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_a_lossy_codecs_values_beyond_the_stored_bits_are_clipped(name, bits, photometric):
    syntax, encode = LOSSY_FRAMES[name]
    stored = saturated(bits)
    frame = encode(stored)
    decoded = getattr(imagecodecs, CODEC_OF[syntax])(frame)
    assert decoded.max() >= 1 << bits, "the frame shows nothing if no value runs over"
    attributes = windowed(bits, PhotometricInterpretation=photometric)
    expected = np.clip(decoded, 0, (1 << bits) - 1) * (255 / (1 << bits))
    shown = Radiograph.from_bytes(with_frame(dicom_dataset(stored, **attributes), syntax, frame)).pixels
    assert np.abs(shown - (255 - expected if photometric == "MONOCHROME1" else expected)).max() <= 1


@pytest.mark.parametrize("bits", [9, 10, 12])
def test_signed_values_beyond_the_stored_bits_are_clipped_at_both_ends(bits):
    half = 1 << (bits - 1)
    stored = np.where(FILM < 60, -half, np.where(FILM > 180, half - 1, FILM.astype(int) - 100)).astype(np.int16)
    frame = imagecodecs.jpeg2k_encode(stored, level=66, codecformat="j2k", bitspersample=16)
    decoded = imagecodecs.jpeg2k_decode(frame)
    assert decoded.min() < -half and decoded.max() >= half
    data = with_frame(dicom_dataset(stored, **windowed(bits, PixelRepresentation=1)), uid.JPEG2000, frame)
    expected = (np.clip(decoded, -half, half - 1) + half) * (255 / (1 << bits))
    assert np.abs(Radiograph.from_bytes(data).pixels - expected).max() <= 1


@pytest.mark.parametrize("kind", [np.uint16, np.int16])
@pytest.mark.parametrize("name", ["JPEG 2000", "JPEG-LS", "JPEG lossless"])
def test_values_that_the_stored_bits_do_not_hold_at_all_are_refused(name, kind):
    """A header of 12 bits over a film of 16: neither clipped to a white film nor wrapped round."""
    deep = (FILM.astype(int) * 250 - (30000 if kind is np.int16 else 0)).astype(kind)
    syntax, frame = {
        "JPEG 2000": (uid.JPEG2000Lossless, imagecodecs.jpeg2k_encode(deep, level=0, codecformat="j2k", bitspersample=16)),
        "JPEG-LS": (uid.JPEGLSLossless, jpeg_ls(deep.view(np.uint16), 16)),
        "JPEG lossless": (
            uid.JPEGLosslessSV1, imagecodecs.jpeg8_encode(deep.view(np.uint16), lossless=True, predictor=1, bitspersample=16)
        ),
    }[name]  # fmt: skip
    with pytest.raises(UnsupportedDicom, match="12 bits for them"):
        Radiograph.from_bytes(with_frame(dicom_dataset(deep, **TWELVE), syntax, frame))


@pytest.mark.parametrize("name", ["JPEG 2000", "JPEG-LS", "JPEG lossless"])
@pytest.mark.parametrize("kind", [np.uint16, np.int16])
@pytest.mark.parametrize("is_extended", [False, True])
def test_a_frame_of_more_bits_than_are_stored_is_read_where_its_values_fit(name, kind, is_extended):
    """Signed values of 12 bits in a frame of 16, whose coder extended the sign or did not."""
    stored = (FILM.astype(int) * 16 - (2048 if kind is np.int16 else 0)).astype(kind)
    words = stored.view(np.uint16) if is_extended else stored.view(np.uint16) & 0x0FFF
    syntax, frame = {
        "JPEG 2000": (uid.JPEG2000Lossless, imagecodecs.jpeg2k_encode(stored, level=0, codecformat="j2k", bitspersample=16)),
        "JPEG-LS": (uid.JPEGLSLossless, jpeg_ls(words, 16)),
        "JPEG lossless": (uid.JPEGLosslessSV1, imagecodecs.jpeg8_encode(words, lossless=True, predictor=1, bitspersample=16)),
    }[name]
    plain = Radiograph.from_bytes(dicom_file(stored, **TWELVE)).pixels
    assert np.array_equal(Radiograph.from_bytes(with_frame(dicom_dataset(stored, **TWELVE), syntax, frame)).pixels, plain)


@pytest.mark.parametrize("bits", [10, 12, 16])
def test_signed_films_of_lossless_jpeg_keep_their_sign(bits):
    stored = ((FILM.astype(int) - 128) << (bits - 8)).astype(np.int16)
    words = stored.view(np.uint16) & ((1 << bits) - 1)
    frame = imagecodecs.jpeg8_encode(words, lossless=True, predictor=1, bitspersample=bits)
    attributes = windowed(bits, PixelRepresentation=1)
    plain = Radiograph.from_bytes(dicom_file(stored, **attributes)).pixels
    data = with_frame(dicom_dataset(stored, **attributes), uid.JPEGLosslessSV1, frame)
    assert np.array_equal(Radiograph.from_bytes(data).pixels, plain)


@pytest.mark.parametrize("syntax", [uid.JPEG2000Lossless, uid.JPEGLSLossless, uid.JPEGLosslessSV1])
@pytest.mark.parametrize("kind", [np.uint16, np.int16])
def test_a_frame_of_8_bits_under_a_header_of_more_has_the_values_that_it_says(syntax, kind):
    frame = {
        uid.JPEG2000Lossless: lambda: imagecodecs.jpeg2k_encode(FILM, level=0, codecformat="j2k"),
        uid.JPEGLSLossless: lambda: jpeg_ls(FILM, 8),
        uid.JPEGLosslessSV1: lambda: imagecodecs.jpeg8_encode(FILM, lossless=True, predictor=1),
    }[syntax]()
    attributes = {**TWELVE, "WindowCenter": 128, "WindowWidth": 256}
    data = with_frame(dicom_dataset(FILM.astype(kind), **attributes), syntax, frame)
    assert np.array_equal(Radiograph.from_bytes(data).pixels, FILM)


def jpeg_2000(pixels: np.ndarray, codec_format: str = "j2k", bits: int = 12) -> bytes:
    return imagecodecs.jpeg2k_encode(pixels, level=0, codecformat=codec_format, bitspersample=bits)


CONTRADICTIONS = {
    "signed frame, unsigned header": (DEEP.astype(np.int16) - 2048, np.uint16),
    "unsigned frame, signed header": (DEEP, np.int16),
}


# T.800 A.5.1 has the sign in Ssiz. Where that is not Pixel Representation's, a value with the highest bit has two readings.
@pytest.mark.parametrize("name", CONTRADICTIONS)
@pytest.mark.parametrize("syntax", [uid.JPEG2000Lossless, uid.JPEG2000, uid.HTJ2KLossless, uid.HTJ2K])
def test_values_to_which_frame_and_header_give_different_signs_are_refused(name, syntax):
    pixels, kind = CONTRADICTIONS[name]
    with pytest.raises(UnsupportedDicom, match="Pixel Representation says the opposite"):
        Radiograph.from_bytes(with_frame(dicom_dataset(pixels.astype(kind), **TWELVE), syntax, jpeg_2000(pixels)))


@pytest.mark.parametrize("kind", [np.uint16, np.int16])
def test_values_that_have_the_same_sign_by_frame_and_header_are_read(kind):
    pixels = FILM.astype(np.int16 if kind is np.uint16 else np.uint16) * 8
    attributes = {**TWELVE, "WindowCenter": 1000, "WindowWidth": 2000}
    plain = Radiograph.from_bytes(dicom_file(pixels.astype(kind), **attributes)).pixels
    data = with_frame(dicom_dataset(pixels.astype(kind), **attributes), uid.JPEG2000Lossless, jpeg_2000(pixels))
    assert np.array_equal(Radiograph.from_bytes(data).pixels, plain)


@pytest.mark.parametrize("syntax", [uid.JPEG2000Lossless, uid.JPEG2000])
@pytest.mark.parametrize("filler", [b"", b"\0\0\0", b" "])
def test_a_codestream_in_a_jp2_file_is_read(syntax, filler):
    wrapped = jpeg_2000(DEEP, "jp2")
    assert wrapped.startswith(b"\0\0\0\x0cjP  ")
    data = with_frame(dicom_dataset(DEEP, **TWELVE), syntax, wrapped + filler)
    assert np.array_equal(Radiograph.from_bytes(data).pixels, Radiograph.from_bytes(dicom_file(DEEP, **TWELVE)).pixels)


def test_a_jp2_box_may_have_a_length_of_64_bits_or_none():
    stream, signature = jpeg_2000(DEEP), b"\0\0\0\x0cjP  \r\n\x87\n"
    plain = Radiograph.from_bytes(dicom_file(DEEP, **TWELVE)).pixels
    for head in (struct.pack(">I4sQ", 1, b"jp2c", 16 + len(stream)), struct.pack(">I4s", 0, b"jp2c")):
        frame = signature + struct.pack(">I4s", 24, b"free") + bytes(16) + head + stream
        assert np.array_equal(
            Radiograph.from_bytes(with_frame(dicom_dataset(DEEP, **TWELVE), uid.JPEG2000, frame)).pixels, plain
        )


@pytest.mark.parametrize(
    "boxes", [b"", struct.pack(">I4s", 0, b"free"), struct.pack(">I4s", 3, b"free"), bytes(4), b"\0" * 4000]
)
def test_a_jp2_file_without_a_codestream_is_unreadable(boxes):
    with pytest.raises(UnreadableImage, match="no codestream"):
        Radiograph.from_bytes(with_frame(dicom_dataset(DEEP, **TWELVE), uid.JPEG2000, b"\0\0\0\x0cjP  \r\n\x87\n" + boxes))


@pytest.mark.parametrize("offsets", [(0,), (0, 2000), (0, 1 << 30), (77,), (3, 2, 1, 0)], ids=str)
def test_an_offset_table_says_nothing_of_a_film_that_has_one_frame(offsets):
    frame = frame_of(compressed_dicom(DEEP, uid.JPEGLSLossless, **TWELVE))
    data = with_frame(dicom_dataset(DEEP, **TWELVE), uid.JPEGLSLossless, frame[:1992], frame[1992:])
    empty, filled = (
        b"\xfe\xff\x00\xe0" + struct.pack(f"<I{len(table)}I", 4 * len(table), *table) + b"\xfe\xff\x00\xe0"
        for table in ((), offsets)
    )
    assert data.count(empty) == 1
    plain = Radiograph.from_bytes(dicom_file(DEEP, **TWELVE)).pixels
    assert np.array_equal(Radiograph.from_bytes(data.replace(empty, filled)).pixels, plain)


SEQUENCE_DELIMITER = b"\xfe\xff\xdd\xe0\0\0\0\0"


CUT_OFF = pytest.mark.filterwarnings("ignore:End of file reached before delimiter")


# PS3.5 A.4 asks for a delimiter behind the last fragment; a film is whole without.
@CUT_OFF
@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda syntax: syntax.name)
def test_a_frame_without_a_delimiter_behind_it_is_read(syntax):
    pixels, attributes = pixels_for(syntax)
    data = compressed_dicom(pixels, syntax, **attributes)
    assert data.endswith(SEQUENCE_DELIMITER)
    whole = Radiograph.from_bytes(data).pixels
    for missing in (8, 4, 1):
        assert np.array_equal(Radiograph.from_bytes(data[:-missing]).pixels, whole)


@CUT_OFF
@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda syntax: syntax.name)
def test_a_compressed_film_that_was_cut_off_is_said_to_be_truncated(syntax):
    pixels, attributes = pixels_for(syntax)
    data = compressed_dicom(pixels, syntax, **attributes)
    with pytest.raises(UnreadableImage, match="truncated"):
        Radiograph.from_bytes(data[: -len(SEQUENCE_DELIMITER) - 1500])


@pytest.mark.parametrize("syntax", [syntax for syntax in SYNTAXES if syntax != uid.RLELossless], ids=lambda syntax: syntax.name)
def test_a_frame_without_an_offset_table_before_it_is_read(syntax):
    pixels, attributes = pixels_for(syntax)
    data = compressed_dicom(pixels, syntax, **attributes)
    table = data.index(b"\xfe\xff\x00\xe0")
    length = struct.unpack_from("<I", data, table + 4)[0]
    without = data[:table] + data[table + 8 + length :]
    assert np.array_equal(Radiograph.from_bytes(without).pixels, Radiograph.from_bytes(data).pixels)


def test_pixels_that_are_not_encapsulated_are_refused_as_such():
    data = dicom_file(DEEP, **TWELVE)  # which names the syntax of its own pixels
    data = data.replace(uid.ExplicitVRLittleEndian.encode(), uid.RLELossless.encode())
    with pytest.raises(UnreadableImage, match="not encapsulated"):
        Radiograph.from_bytes(data)


KINDS = {"JPEG": uid.JPEGLosslessSV1, "JPEG-LS": uid.JPEGLSLossless, "JPEG 2000": uid.JPEG2000Lossless}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("syntax", [*KINDS.values(), uid.RLELossless], ids=lambda syntax: syntax.name)
def test_a_frame_of_another_kind_than_its_transfer_syntax_is_named(kind, syntax):
    data = with_frame(dicom_dataset(DEEP, **TWELVE), syntax, frame_of(compressed_dicom(DEEP, KINDS[kind], **TWELVE)))
    if syntax == KINDS[kind]:
        Radiograph.from_bytes(data)
        return
    said = "has no run lengths" if syntax == uid.RLELossless else f"frame is {kind}, and its transfer syntax is {syntax.name}"
    with pytest.raises(UnreadableImage, match=re.escape(said)):
        Radiograph.from_bytes(data)


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda syntax: syntax.name)
def test_an_empty_frame_is_refused_without_a_programs_words(syntax):
    pixels, attributes = pixels_for(syntax)
    for fragments in ((), (b"",), (b"\0\0",)):
        with pytest.raises(InputError) as refused:
            Radiograph.from_bytes(with_frame(dicom_dataset(pixels, **attributes), syntax, *fragments))
        assert "export" in str(refused.value) and "Error" not in str(refused.value)


def test_compressed_pixels_under_an_uncompressed_syntax_are_refused_as_such():
    data = compressed_dicom(FILM, uid.RLELossless).replace(uid.RLELossless.encode(), uid.ExplicitVRLittleEndian.encode())
    with pytest.raises(UnreadableImage, match="pixels are compressed"):
        Radiograph.from_bytes(data)
