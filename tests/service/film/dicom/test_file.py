"""What surrounds a data set: which files are deflated, and which are no files of DICOM Part 10."""

import struct

import numpy as np
import pytest
from pydicom import uid

from service.film.dicom.file import RationedFile, is_deflated
from service.film.errors import ImageTooLarge, UnreadableImage, UnsupportedDicom, UnsupportedFormat
from service.film.film import Radiograph, open_film
from service.film.limits import DecodeLimits
from tests.support.encoded_films import assert_refused, dicom_file, film, pixels_of

FILM = film(128)
FILM[0, :2] = 0, 255
DEFLATED = uid.DeflatedExplicitVRLittleEndian
META = 132  # where the file meta group begins (PS3.10 7.1)


def in_syntax(syntax: uid.UID, **attributes: object) -> bytes:
    return dicom_file(FILM.astype(np.uint16), syntax, BitsStored=8, HighBit=7, **attributes)


def meta_end(data: bytes) -> int:
    return META + 12 + int.from_bytes(data[META + 8 : META + 12], "little")


def with_meta(data: bytes, meta: bytes) -> bytes:
    return data[:META] + meta + data[meta_end(data) :]


def meta_of(data: bytes) -> bytes:
    return data[META : meta_end(data)]


def element(number: int, vr: bytes, value: bytes) -> bytes:
    """Of the file meta group, explicit VR."""
    value += b"\0" * (len(value) % 2)
    length = struct.pack("<HI", 0, len(value)) if vr in (b"OB", b"UN", b"UT") else struct.pack("<H", len(value))
    return struct.pack("<HH", 0x0002, number) + vr + length + value


MENTION = "sent as 1.2.840.10008.1.2.1.99 before"


# PS3.10 7.1: Transfer Syntax UID (0002,0010) says how the data set is encoded, and nothing else does.
@pytest.mark.parametrize("keyword", ["ImageComments", "PatientComments", "SeriesDescription"])
def test_a_data_set_that_mentions_the_deflated_syntax_is_read_by_its_own(syntax, keyword):
    data = in_syntax(syntax, **{keyword: MENTION})
    assert is_deflated(data) == (syntax == DEFLATED)
    assert np.array_equal(pixels_of(data), FILM)


def test_pixels_a_preamble_and_other_meta_elements_may_mention_it_too():
    plain = in_syntax(uid.ExplicitVRLittleEndian)
    mentioned = (
        MENTION.encode().ljust(128) + plain[128:],
        with_meta(plain, meta_of(plain) + element(0x0013, b"SH", b"1.2.840.10008.1.2.1.99")),
        with_meta(plain, meta_of(plain) + element(0x0102, b"OB", DEFLATED.encode())),
        plain + DEFLATED.encode(),
    )
    for data in mentioned:
        assert not is_deflated(data)
        assert not open_film(data, DecodeLimits()).is_costly
        assert np.array_equal(pixels_of(data), FILM)


SHAPES = {
    "as written": lambda meta: meta,
    "without its length": lambda meta: meta[12:],
    "with a length that is too small": lambda meta: meta[:8] + struct.pack("<I", 10) + meta[12:],
    "with a length that is too large": lambda meta: meta[:8] + struct.pack("<I", 100_000) + meta[12:],
    "with a length of 0": lambda meta: meta[:8] + bytes(4) + meta[12:],
    "with an empty length": lambda meta: struct.pack("<HH2sH", 2, 0, b"UL", 0) + meta[12:],
    "with more elements": lambda meta: meta + element(0x0100, b"UI", b"1.2.3") + element(0x0102, b"OB", bytes(70_000)),
    "with its elements in disorder": lambda meta: meta + element(0x0001, b"OB", b"\0\1"),
    "with a length and more elements": lambda meta: meta + element(0x0016, b"AE", b"STORE"),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("syntax", [DEFLATED, uid.ExplicitVRLittleEndian], ids=lambda syntax: syntax.name)
def test_a_file_meta_group_of_any_shape_tells_whether_a_file_is_deflated(shape, syntax):
    data = in_syntax(syntax)
    data = with_meta(data, SHAPES[shape](meta_of(data)))
    assert is_deflated(data) == (syntax == DEFLATED)
    assert np.array_equal(pixels_of(data), FILM)


def test_a_deflated_film_is_refused_before_it_has_inflated_beyond_the_limits():
    limits = DecodeLimits(max_pixels=1_000_000)
    bomb = dicom_file(np.zeros((8000, 8000), np.uint16), DEFLATED)
    assert len(bomb) < 200_000
    assert_refused(bomb, UnsupportedDicom, "inflates to more", limits=limits)
    assert_refused(dicom_file(np.zeros((1200, 1200), np.uint8), DEFLATED), ImageTooLarge, limits=limits)
    assert_refused(dicom_file(FILM, DEFLATED)[:400] + b"not a deflate stream" * 20, UnreadableImage)


def test_of_two_transfer_syntaxes_the_parsers_counts_and_nothing_inflates_without_a_limit():
    data = dicom_file(np.zeros((8000, 8000), np.uint16), DEFLATED)
    for order in (1, -1):
        both = [element(0x0010, b"UI", syntax.encode()) for syntax in (uid.ExplicitVRLittleEndian, DEFLATED)][::order]
        spoilt = with_meta(data, b"".join(both))
        assert_refused(spoilt, (UnsupportedDicom, UnreadableImage), limits=DecodeLimits(max_pixels=1_000_000))


def test_a_parser_is_never_handed_the_rest_of_a_file_to_inflate():
    with pytest.raises(OSError, match="without a size"):
        RationedFile(b"abc").read()


@pytest.mark.parametrize("length", [0, 100, META, META + 6, META + 30])
def test_a_file_that_ends_in_its_meta_group_is_not_deflated(length):
    assert not is_deflated(in_syntax(DEFLATED)[:length])


# PS3.10 7.1: the preamble is for the application to use, and a DICOM file may be one of another format as well.
@pytest.mark.parametrize(
    "preamble",
    [b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08", b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"BM", b"RIFF....WEBP", b"%PDF-"],
)
def test_a_preamble_that_begins_like_another_format_makes_no_other_file_of_it(preamble):
    film = Radiograph.from_bytes(preamble.ljust(128, b"\0") + in_syntax(uid.ExplicitVRLittleEndian)[128:])
    assert film.format == "dicom"
    assert np.array_equal(film.pixels, FILM)


@pytest.mark.parametrize("syntax", [uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian], ids=lambda syntax: syntax.name)
def test_a_file_that_was_cut_off_before_its_pixels_is_said_to_be(syntax):
    data = in_syntax(syntax, ImageComments="a" * 100)
    for length in (data.index(b"Phantom") + 3, data.index(b"aaaa") + 20):
        assert_refused(data[:length], UnreadableImage, "ends before its pixels; it was cut off")


FIRST_ELEMENTS = [{}, {"SpecificCharacterSet": "ISO_IR 100"}, {"ImageType": ["ORIGINAL", "PRIMARY"]}]


# PS3.10 7.1: a file begins with 128 bytes and "DICM". What comes from the network or an old archive has neither.
@pytest.mark.parametrize(
    "syntax", [uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian], ids=lambda syntax: syntax.name
)
def test_a_data_set_without_a_file_around_it_is_named(syntax):
    order = "<" if syntax.is_little_endian else ">"
    # (0008,0000), retired, as ACR-NEMA files have it
    length = struct.pack("<I", 4) if syntax.is_implicit_VR else b"UL" + struct.pack(order + "H", 4)
    files = [in_syntax(syntax, **attributes) for attributes in FIRST_ELEMENTS]
    bare = [data[meta_end(data) :] for data in files]
    with_length = struct.pack(order + "HH", 8, 0) + length + bytes(4) + bare[0]
    for data in (*bare, with_length, files[0][META:], files[0][128:]):  # the last two from the meta group, or its prefix, on
        assert_refused(data, UnsupportedDicom, r"without the preamble .* DICOM Part 10")


OTHER = (
    *(b"\x08\0", b"\x08\0\x05\0", b"\x08\0\x08\0" * 40, b"\x02\0" * 80, b"\0\x08" * 80, b"\x08" + bytes(200), bytes(200)),
    *(b"\x08\0\x05\0CS\x0a\0ISO_IR 100", b"\x08\0\x05\0CS\xff\xffISO_IR 100" * 3),  # one element; one that does not end
    b"\x08\0\x16\0" + struct.pack("<I", 4) + b"abcd" + b"\x08\0\x05\0" + struct.pack("<I", 4) + b"abcd" * 9,  # descending
)


@pytest.mark.parametrize("data", OTHER)
def test_other_bytes_are_no_data_set(data):
    assert_refused(data, UnsupportedFormat)
