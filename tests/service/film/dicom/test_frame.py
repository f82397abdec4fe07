import re
import struct
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from pydicom import uid
from pydicom.data import get_testdata_file

from service.film.dicom import frame as dicom_frame
from service.film.dicom.file import SEQUENCE_DELIMITER
from service.film.dicom.frame import CODEC_OF
from service.film.errors import InputError, UnreadableImage, UnsupportedDicom
from service.film.film import Radiograph
from service.film.formats.jpeg import structure as jpeg
from service.film.limits import DecodeLimits
from tests.support.compressed_dicom import FILLERS, LOSSY, SYNTAXES, compressed_dicom, frame_of, jpeg_2000, with_frame
from tests.support.encoded_films import assert_refused, dicom_dataset, dicom_file, film, pixels_of

FILM = film()
DEEP = FILM.astype(np.uint16) * 16  # 12 bit
TWELVE = {"BitsStored": 12, "HighBit": 11}
PLAIN = pixels_of(dicom_file(DEEP, **TWELVE))


@pytest.fixture(params=SYNTAXES, ids=lambda syntax: syntax.name)
def syntax(request):
    """Each of the compressed transfer syntaxes, unless a test names others."""
    return request.param


def stored(syntax):
    """The pixels and attributes that are encoded in that syntax here."""
    return (FILM, {}) if syntax == uid.JPEGBaseline8Bit else (DEEP, TWELVE)


def compressed(syntax, **attributes):
    pixels, usual = stored(syntax)
    return compressed_dicom(pixels, syntax, **usual, **attributes)


def of_frame(syntax, *fragments, **attributes):
    """A file whose frame consists of these fragments."""
    pixels, usual = stored(syntax)
    return with_frame(dicom_dataset(pixels, **usual, **attributes), syntax, *fragments)


def test_every_syntax_that_is_read_is_tried_here():
    assert set(SYNTAXES) == set(CODEC_OF)


def test_a_compressed_film_is_the_uncompressed_one(syntax):
    pixels, attributes = stored(syntax)
    plain = pixels_of(dicom_file(pixels, **attributes)).astype(int)
    film = Radiograph.from_bytes(compressed(syntax))
    assert film.format == "dicom"
    difference = np.abs(film.pixels - plain)
    if syntax in LOSSY:
        assert difference.mean() < 1
        assert difference.max() < 24
    else:
        assert difference.max() == 0


WITH_A_SIZE = [syntax for syntax in SYNTAXES if syntax != uid.RLELossless]


@pytest.mark.parametrize("syntax", WITH_A_SIZE, ids=lambda syntax: syntax.name)
@pytest.mark.parametrize("size", [{"Rows": 512}, {"Columns": 128}], ids=str)
def test_a_frame_of_another_size_than_its_header_says_is_not_decoded(syntax, size, monkeypatch):
    lying = of_frame(syntax, frame_of(compressed(syntax)), **size)
    monkeypatch.setattr(imagecodecs, CODEC_OF[syntax], lambda *_: pytest.fail("it was decoded"))
    assert_refused(lying, UnreadableImage, "frame has 256 x 256")


@pytest.mark.parametrize("share", [0.005, 0.05, 0.5, 0.9])
def test_a_truncated_frame_or_noise_is_refused_and_no_half_film_read(syntax, share):
    frame = frame_of(compressed(syntax))
    cut, noise = frame[: int(share * len(frame))], np.random.default_rng(3).bytes(5000)
    for ended in (cut, cut + b"\xff\xd9", noise + b"\xff\xd9"):
        assert_refused(of_frame(syntax, ended), InputError)


@pytest.mark.parametrize("segment", [b"\xff\xd8", b"\xff\xe0\x00\x02", b"\xff\xe0\x00\x00"])
def test_a_frame_header_is_looked_for_behind_so_many_segments_and_no_more(segment):
    frame = frame_of(compressed(uid.JPEGBaseline8Bit))
    few, many = (frame[:2] + segment * count + frame[2:] for count in (100, jpeg.MAX_SEGMENTS))
    assert jpeg.first_frame(few) == jpeg.first_frame(frame)
    assert_refused(of_frame(uid.JPEGBaseline8Bit, many), UnreadableImage, "no frame header")


@pytest.mark.parametrize("name", ["JPGExtended.dcm", "JPEG-lossy.dcm", "JPEG2000.dcm", "JPEGLSNearLossless_16.dcm"])
def test_files_of_other_makers_are_read(name):
    data = Path(get_testdata_file(name, download=False)).read_bytes()
    shown = pixels_of(data, limits=DecodeLimits(min_side_px=8, max_aspect_ratio=6))
    assert (shown.min(), shown.max()) == (0, 255)


def test_padding_behind_a_frame_is_no_damage(syntax):
    frame = frame_of(compressed(syntax))
    plain = pixels_of(of_frame(syntax, frame))
    for filler in FILLERS:
        assert np.array_equal(pixels_of(of_frame(syntax, frame + filler)), plain), filler


JP2_SIGNATURE = b"\0\0\0\x0cjP  \r\n\x87\n"
FREE_BOX = struct.pack(">I4s", 24, b"free") + bytes(16)
NO_CODESTREAM = (b"", FREE_BOX, struct.pack(">I4s", 0, b"free"), struct.pack(">I4s", 3, b"free"), bytes(4), bytes(4000))


@pytest.mark.parametrize("syntax", [uid.JPEG2000Lossless, uid.JPEG2000])
@pytest.mark.parametrize("behind", [b"", b"\0\0\0", b" "])
def test_a_codestream_in_a_jp2_file_is_read(syntax, behind):
    wrapped, stream = jpeg_2000(DEEP, "jp2"), jpeg_2000(DEEP)
    assert wrapped.startswith(JP2_SIGNATURE)
    to_the_end, of_64_bits = struct.pack(">I4s", 0, b"jp2c"), struct.pack(">I4sQ", 1, b"jp2c", 16 + len(stream))
    for frame in (wrapped, *(JP2_SIGNATURE + FREE_BOX + head + stream for head in (to_the_end, of_64_bits))):
        assert np.array_equal(pixels_of(of_frame(syntax, frame + behind)), PLAIN)
    assert_refused(of_frame(syntax, wrapped[:-1500] + behind), UnreadableImage, "truncated")


@pytest.mark.parametrize("offsets", [(), (0,), (0, 2000), (0, 1 << 30), (77,), (3, 2, 1, 0)], ids=str)
def test_a_frame_may_have_several_fragments_and_any_offset_table(offsets):
    frame = frame_of(compressed(uid.JPEGLSLossless))
    data = of_frame(uid.JPEGLSLossless, frame[:1992], frame[1992:])
    empty, filled = (
        b"\xfe\xff\x00\xe0" + struct.pack(f"<I{len(table)}I", 4 * len(table), *table) + b"\xfe\xff\x00\xe0"
        for table in ((), offsets)
    )
    assert data.count(empty) == 1
    assert np.array_equal(pixels_of(data.replace(empty, filled)), PLAIN)


# PS3.5 A.4 asks for a delimiter behind the last fragment; a film is whole without.
@pytest.mark.filterwarnings("ignore:End of file reached before delimiter")
def test_a_frame_without_a_delimiter_behind_it_is_read_unless_it_is_truncated(syntax):
    data = compressed(syntax)
    assert data.endswith(SEQUENCE_DELIMITER)
    whole = pixels_of(data)
    for missing in (8, 4, 1):
        assert np.array_equal(pixels_of(data[:-missing]), whole)
    assert_refused(data[: -len(SEQUENCE_DELIMITER) - 1500], UnreadableImage, "truncated")


@pytest.mark.parametrize("syntax", WITH_A_SIZE, ids=lambda syntax: syntax.name)
def test_a_frame_without_an_offset_table_before_it_is_read(syntax):
    data = compressed(syntax)
    table = data.index(b"\xfe\xff\x00\xe0")
    length = struct.unpack_from("<I", data, table + 4)[0]
    without = data[:table] + data[table + 8 + length :]
    assert np.array_equal(pixels_of(without), pixels_of(data))


KINDS = {"JPEG": uid.JPEGLosslessSV1, "JPEG-LS": uid.JPEGLSLossless, "JPEG 2000": uid.JPEG2000Lossless}
CONTRADICTIONS = [(kind, syntax) for kind in KINDS for syntax in (*KINDS.values(), uid.RLELossless) if syntax != KINDS[kind]]


@pytest.mark.parametrize(("kind", "syntax"), CONTRADICTIONS)
def test_a_frame_of_another_kind_than_its_transfer_syntax_is_named(kind, syntax):
    data = of_frame(syntax, frame_of(compressed(KINDS[kind])))
    said = "has no run lengths" if syntax == uid.RLELossless else f"frame is {kind}, but its transfer syntax is {syntax.name}"
    assert_refused(data, UnreadableImage, re.escape(said))


def test_an_empty_frame_is_refused_without_a_programs_words(syntax):
    for fragments in ((), (b"",), (b"\0\0",)):
        with pytest.raises(InputError) as refused:
            Radiograph.from_bytes(of_frame(syntax, *fragments))
        assert "export" in str(refused.value) and "Error" not in str(refused.value)


PLAIN_SYNTAX, RUN_LENGTHS = uid.ExplicitVRLittleEndian.encode(), uid.RLELossless.encode()
JPEG_2000_FRAME = frame_of(compressed(uid.JPEG2000Lossless))
TILES_OF_ONE_PIXEL = JPEG_2000_FRAME[:24] + struct.pack(">II", 1, 1) + JPEG_2000_FRAME[32:]
REFUSED = [
    (UnsupportedDicom, "MPEG2", of_frame(uid.MPEG2MPML, bytes(64))),
    (UnsupportedDicom, "3 components", of_frame(uid.JPEGBaseline8Bit, imagecodecs.jpeg8_encode(np.dstack([FILM] * 3)))),
    (UnsupportedDicom, f"{dicom_frame.MAX_TILES} tiles", of_frame(uid.JPEG2000Lossless, TILES_OF_ONE_PIXEL)),
    *[(UnreadableImage, "no codestream", of_frame(uid.JPEG2000, JP2_SIGNATURE + box)) for box in NO_CODESTREAM],
    # Pixels that contradict their transfer syntax.
    (UnreadableImage, "not encapsulated", dicom_file(DEEP, **TWELVE).replace(PLAIN_SYNTAX, RUN_LENGTHS)),
    (UnreadableImage, "pixels are compressed", compressed(uid.RLELossless).replace(RUN_LENGTHS, PLAIN_SYNTAX)),
]


@pytest.mark.parametrize(("kind", "words", "data"), REFUSED, ids=range(len(REFUSED)))
def test_frames_that_are_not_read_are_refused_by_name(kind, words, data):
    assert_refused(data, kind, words)
