"""Forms and raw bodies -> films, without a server."""

import asyncio
import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from service.errors import MalformedRequest, UploadTooLarge
from service.http.body.upload import read_films

FORM = "multipart/form-data; boundary=b"

# Fields: the parameters of a disposition, and content.
FILM = ('name="image"; filename="f"', b"film")
FIELD = ('name="operating_point"', b"balanced")
# A browser's FormData gives every Blob a file name, "blob" (XMLHttpRequest standard, "create an entry").
BLOB = ('name="operating_point"; filename="blob"', b"balanced")


def form(*fields: tuple[str, bytes]) -> bytes:
    lines = [f"--b\r\nContent-Disposition: form-data; {head}\r\n\r\n".encode() + content for head, content in fields]
    return b"\r\n".join([*lines, b"--b--\r\n"])


def read(body: bytes, content_type: str = FORM, query: bytes = b""):
    async def receive():
        return {"type": "http.request", "body": body, "more_body": False}

    headers = [(b"content-type", content_type.encode("latin-1"))]
    request = Request({"type": "http", "method": "POST", "query_string": query, "headers": headers}, receive)
    return asyncio.run(read_films(request, 2_000_000))


@pytest.mark.parametrize(
    "field",
    [FIELD, BLOB, ('name="operating_point"', b'"balanced"')],  # the last is JSON, as BentoML's client writes it
)
def test_a_form_gives_its_film_and_options(field):
    upload = read(form(FILM, field))
    assert (upload.films, upload.options) == ((b"film",), {"operating_point": "balanced"})


@pytest.mark.parametrize(
    ("fields", "query"),
    [
        ((), b"operating_point=balanced&operating_point=balanced"),
        ((), b"operating_point=balanced&operating%5Fpoint=tb_screening"),
        ((FIELD, FIELD), b""),
        ((FIELD, BLOB), b""),
        ((FIELD,), b"operating_point=balanced"),
        ((BLOB,), b"operating_point="),
    ],
)
def test_an_option_that_is_given_twice_is_refused_wherever_and_whatever_the_value(fields, query):
    with pytest.raises(MalformedRequest, match="'operating_point' is given more than once"):
        read(form(*fields, FILM), query=query)


def test_an_option_in_the_query_of_a_raw_body_counts_once_too():
    with pytest.raises(MalformedRequest, match="'film' is given more than once"):
        read(b"film", "image/png", b"film=true&film=true")


def test_names_that_are_no_options_are_not_looked_at():
    csrf = 'name="csrf"', b"1"
    assert read(form(csrf, csrf, FILM), query=b"utm=1&utm=2&film=true").options == {"film": "true"}


def test_a_film_without_a_file_name_is_read_byte_by_byte_whatever_its_size():
    film = bytes(range(256)) * 6000  # more than the megabyte that Starlette allows a field of text
    assert read(form(('name="image"', film))).films == (film,)


def test_the_field_that_came_instead_is_named():
    with pytest.raises(MalformedRequest, match=r"^The form has no field 'image'; it has 'csrf', 'file'\. Send the film in"):
        read(form(('name="csrf"', b"1"), ('name="file"; filename="f"', b"film")))
    with pytest.raises(MalformedRequest, match="no field 'image'; it is empty"):
        read(form())
    with pytest.raises(MalformedRequest) as refused:
        read(form(*((f'name="{index}{"x" * 500}"', b"") for index in range(50))))
    assert len(str(refused.value)) < 600


@pytest.mark.parametrize("content_type", ["multipart/form-data", "multipart/form-data; boundary=", "multipart/related"])
def test_a_form_without_a_boundary_says_what_to_do(content_type):
    with pytest.raises(MalformedRequest, match="names no boundary"):
        read(form(FILM), content_type)


@pytest.mark.parametrize(
    "body",
    [b"no boundary in sight", b"--b\r\nbroken\x00: x\r\n", b"--b\r\n" + b"a" * 9000 + b": x\r\n"],
)
def test_a_damaged_form_is_refused_in_words_of_our_own(body):
    with pytest.raises(MalformedRequest, match="The multipart form is damaged; send it again"):
        read(body)


def test_more_fields_than_anybody_sends_are_refused():
    with pytest.raises(MalformedRequest, match="more than 64 fields"):
        read(form(*[('name="x"', b"")] * 64, FILM))


@given(st.binary(max_size=200), st.binary(max_size=200), st.sampled_from([b"", b"--b\r\n", b"\r\n--b\r\n", b"\r\n--b--\r\n"]))
def test_no_form_breaks_the_reading_of_it(head, tail, boundary):
    whole = form(FILM)
    for body in (head + boundary + tail, whole + head + tail, whole[: len(head)] + tail):
        with contextlib.suppress(MalformedRequest):
            read(body)


@given(st.text(max_size=200))
def test_no_content_type_breaks_the_reading_of_a_form(text):
    content_type = f"multipart/form-data; {text}".encode("utf-8", "replace").decode("latin-1")
    with contextlib.suppress(MalformedRequest):
        read(form(FILM), content_type)


def test_a_few_blanks_after_a_boundary_are_allowed_and_a_flood_of_them_is_refused():
    head, _, rest = form(FILM, FIELD).rpartition(b"--b\r\n")
    assert read(head + b"--b  \r\n" + rest).films == (b"film",)
    with pytest.raises(MalformedRequest, match="blanks"):
        read(head + b"--b" + b" " * 900_000 + b"\r\n" + rest)


@pytest.mark.parametrize("preamble", [b"This is a multi-part message.\r\n", b"--bc\r\n--b c\r\n", b"\r\n\r\n", b"--\r\n"])
@pytest.mark.parametrize("blanks", [b"", b" \t"])
def test_what_stands_before_the_first_boundary_is_ignored(preamble, blanks):
    """RFC 2046, 5.1.1: a preamble is to be ignored, and blanks may follow every boundary."""
    upload = read(preamble + form(FILM, FIELD).replace(b"--b\r\n", b"--b" + blanks + b"\r\n", 1))
    assert (upload.films, upload.options) == ((b"film",), {"operating_point": "balanced"})


def test_a_form_that_is_cut_off_anywhere_is_refused():
    whole = form(FILM, FIELD).rstrip()
    for length in range(len(whole)):
        with pytest.raises(MalformedRequest):
            read(whole[:length])


@pytest.mark.parametrize("body", [form(FILM).removesuffix(b"\r\n--b--\r\n"), b"--b\r\n\r\n--b--\r\n"])
def test_a_form_that_ends_within_a_field_is_refused_not_read_without_it(body):
    """RFC 2046, 5.1.1: a field ends with a boundary. An option that is lost would be a film judged by another rule."""
    with pytest.raises(MalformedRequest, match="ends within a field"):
        read(body)


@pytest.mark.parametrize("second", ["x", "image", "operating_point"])
def test_a_field_with_two_dispositions_is_refused(second):
    """The second one counted: an option could be dropped unseen, and the film judged by another rule."""
    twice = f'name="operating_point"\r\nContent-Disposition: form-data; name="{second}"'
    with pytest.raises(MalformedRequest, match="two Content-Disposition"):
        read(form((twice, b"tb_screening"), FILM))


def test_a_body_is_refused_by_its_declared_length_before_it_is_read():
    headers = [(b"content-type", b"image/png"), (b"content-length", b"2000001")]
    with pytest.raises(UploadTooLarge):  # and not a RuntimeError: this request has nothing to receive
        asyncio.run(read_films(Request({"type": "http", "headers": headers}), 2_000_000))
