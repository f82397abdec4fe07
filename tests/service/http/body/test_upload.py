"""Forms and raw bodies -> films, without a server."""

import asyncio
import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from service.errors import MalformedRequest, UploadTooLarge
from service.http.body.upload import read_films

LIMIT = 1_000_000


def request(body: bytes, content_type: str, **headers: str) -> Request:
    async def receive():
        return {"type": "http.request", "body": body, "more_body": False}

    fields = {"content-type": content_type, "content-length": str(len(body))} | headers
    raw = [(name.encode(), value.encode()) for name, value in fields.items()]
    return Request({"type": "http", "method": "POST", "query_string": b"", "headers": raw}, receive)


def form(boundary: str = "b", padding: bytes = b"", text: bytes = b"balanced") -> bytes:
    part = f'--{boundary}\r\nContent-Disposition: form-data; name="image"; filename="f"\r\n\r\nfilm\r\n--{boundary}'.encode()
    option = b'\r\nContent-Disposition: form-data; name="operating_point"\r\n\r\n' + text + f"\r\n--{boundary}--".encode()
    return part + padding + option


def read(body: bytes, content_type: str):
    return asyncio.run(read_films(request(body, content_type), LIMIT))


@pytest.mark.parametrize("charset", ["", "; charset=utf-8", "; charset=UTF-8", "; charset=us-ascii", "; charset=iso-8859-1"])
def test_a_form_gives_its_film_and_options(charset):
    upload = read(form(), f"multipart/form-data; boundary=b{charset}")
    assert (upload.films, upload.options) == ((b"film",), {"operating_point": "balanced"})


@pytest.mark.parametrize("charset", ["punycode", "undefined", "idna", "zlib", "no-such"])
def test_a_charset_whose_decoder_could_fail_or_crawl_is_refused(charset):
    with pytest.raises(MalformedRequest, match="charset"):
        read(form(text=b"a" * 80_000), f"multipart/form-data; boundary=b; charset={charset}")


def parts(*fields: tuple[str, bytes], name: str = "image") -> bytes:
    """A form with a film in `name`, and before it fields: a disposition's parameters, and content."""
    film = (f'name="{name}"; filename="f"', b"film")
    lines = [f"--b\r\nContent-Disposition: form-data; {head}\r\n\r\n".encode() + text for head, text in (*fields, film)]
    return b"\r\n".join([*lines, b"--b--\r\n"])


def read_parts(*fields: tuple[str, bytes], query: bytes = b"", **options: str):
    sent = request(parts(*fields, **options), "multipart/form-data; boundary=b")
    sent.scope["query_string"] = query
    return asyncio.run(read_films(sent, LIMIT))


@pytest.mark.parametrize(
    "field",
    [
        # A browser's FormData gives every Blob a file name, "blob" (XMLHttpRequest standard, "create an entry").
        ('name="operating_point"; filename="blob"', b"tb_screening"),
        ('name="operating_point"', b'"tb_screening"'),  # BentoML's client writes JSON
    ],
)
def test_an_option_that_comes_as_a_file_or_as_json_is_read_as_any_other(field):
    assert read_parts(field).options == {"operating_point": "tb_screening"}


FIELD, BLOB = ('name="operating_point"', b"balanced"), ('name="operating_point"; filename="blob"', b"balanced")


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
        read_parts(*fields, query=query)


def test_an_option_in_the_query_of_a_raw_body_counts_once_too():
    sent = request(b"film", "image/png")
    sent.scope["query_string"] = b"film=true&film=true"
    with pytest.raises(MalformedRequest, match="'film' is given more than once"):
        asyncio.run(read_films(sent, LIMIT))


def test_names_that_are_no_options_are_not_looked_at():
    csrf = 'name="csrf"', b"1"
    assert read_parts(csrf, csrf, query=b"utm=1&utm=2&film=true").options == {"film": "true"}


@pytest.mark.parametrize("charset", ["", "; charset=iso-8859-1"])
def test_a_film_without_a_file_name_is_read_byte_by_byte_whatever_its_size(charset):
    film = bytes(range(256)) * 6000  # more than the megabyte that Starlette allows a field of text
    body = b'--b\r\nContent-Disposition: form-data; name="image"\r\n\r\n' + film + b"\r\n--b--\r\n"
    sent = request(body, f"multipart/form-data; boundary=b{charset}")
    assert asyncio.run(read_films(sent, 2 * LIMIT)).films == (film,)


def test_the_field_that_came_instead_is_named():
    with pytest.raises(MalformedRequest, match=r"^The form has no field 'image'; it has 'csrf', 'file'\. Send the film in"):
        read_parts(('name="csrf"', b"1"), name="file")
    with pytest.raises(MalformedRequest, match="no field 'image'; it is empty"):
        read(b"--b--\r\n", "multipart/form-data; boundary=b")
    with pytest.raises(MalformedRequest) as refused:
        read_parts(*((f'name="{index}{"x" * 500}"', b"") for index in range(50)), name="y")
    assert len(str(refused.value)) < 600


@pytest.mark.parametrize("content_type", ["multipart/form-data", "multipart/form-data; boundary=", "multipart/related"])
def test_a_form_without_a_boundary_says_what_to_do(content_type):
    with pytest.raises(MalformedRequest, match="names no boundary"):
        read(form(), content_type)


@pytest.mark.parametrize(
    "body",
    [b"no boundary in sight", b"--b\r\nbroken\x00: x\r\n", b"--b\r\n" + b"a" * 9000 + b": x\r\n"],
)
def test_a_damaged_form_is_refused_in_words_of_our_own(body):
    with pytest.raises(MalformedRequest, match="The multipart form is damaged; send it again"):
        read(body, "multipart/form-data; boundary=b")


def test_more_fields_than_anybody_sends_are_refused():
    with pytest.raises(MalformedRequest, match="more than 64 fields"):
        read_parts(*[('name="x"', b"")] * 64)


@given(st.binary(max_size=200), st.binary(max_size=200), st.sampled_from([b"", b"--b\r\n", b"\r\n--b\r\n", b"\r\n--b--\r\n"]))
def test_no_form_breaks_the_reading_of_it(head, tail, boundary):
    for body in (head + boundary + tail, parts() + head + tail, parts()[: len(head)] + tail):
        with contextlib.suppress(MalformedRequest):
            read(body, "multipart/form-data; boundary=b")


@given(st.text(max_size=200))
def test_no_content_type_breaks_the_reading_of_a_form(text):
    content_type = f"multipart/form-data; {text}".encode("utf-8", "replace").decode("latin-1")
    sent = request(parts(), "multipart/form-data")
    sent.scope["headers"] = [(b"content-type", content_type.encode("latin-1"))]
    with contextlib.suppress(MalformedRequest):
        asyncio.run(read_films(sent, LIMIT))


def test_a_few_blanks_after_a_boundary_are_allowed_and_a_flood_of_them_is_refused():
    assert read(form(padding=b"  "), "multipart/form-data; boundary=b").films == (b"film",)
    with pytest.raises(MalformedRequest, match="blanks"):
        read(form(padding=b" " * 900_000), "multipart/form-data; boundary=b")


@pytest.mark.parametrize("preamble", [b"This is a multi-part message.\r\n", b"--bc\r\n--b c\r\n", b"\r\n\r\n", b"--\r\n"])
@pytest.mark.parametrize("blanks", [b"", b" \t"])
def test_what_stands_before_the_first_boundary_is_ignored(preamble, blanks):
    """RFC 2046, 5.1.1: a preamble is to be ignored, and blanks may follow every boundary."""
    body = preamble + form().replace(b"--b\r\n", b"--b" + blanks + b"\r\n", 1)
    upload = read(body, "multipart/form-data; boundary=b")
    assert (upload.films, upload.options) == ((b"film",), {"operating_point": "balanced"})


def test_a_form_that_is_cut_off_anywhere_is_refused():
    for length in range(len(form())):
        with pytest.raises(MalformedRequest):
            read(form()[:length], "multipart/form-data; boundary=b")


CUT = [parts().removesuffix(end) for end in (b"\r\n--b--\r\n", b"film\r\n--b--\r\n", b'"f"\r\n\r\nfilm\r\n--b--\r\n')]


@pytest.mark.parametrize("body", [*CUT, b"--b\r\n\r\n--b--\r\n"])
def test_a_form_that_ends_within_a_field_is_refused_not_read_without_it(body):
    """RFC 2046, 5.1.1: a field ends with a boundary. An option that is lost would be a film judged by another rule."""
    with pytest.raises(MalformedRequest, match="ends within a field"):
        read(body, "multipart/form-data; boundary=b")


def test_a_field_with_two_dispositions_is_refused():
    """The second one counted: an option could be dropped unseen, and the film judged by another rule."""
    for second in ("x", "image", "operating_point"):
        twice = f'name="operating_point"\r\nContent-Disposition: form-data; name="{second}"'
        with pytest.raises(MalformedRequest, match="two Content-Disposition"):
            read_parts((twice, b"tb_screening"))


def test_a_body_is_refused_by_its_declared_length_before_it_is_read():
    async def never():
        raise AssertionError("the body was read")

    refused = request(b"", "image/png", **{"content-length": str(LIMIT + 1)})
    refused._receive = never
    with pytest.raises(UploadTooLarge):
        asyncio.run(read_films(refused, LIMIT))
