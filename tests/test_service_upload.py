"""Forms and raw bodies -> films, without a server."""

import asyncio

import pytest
from starlette.requests import Request

from service.contract.errors import MalformedRequest, UploadTooLarge
from service.http.upload import hold_nothing, read_film

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
    return asyncio.run(read_film(request(body, content_type), LIMIT, hold_nothing))


def test_a_form_gives_its_film_and_options():
    upload = read(form(), "multipart/form-data; boundary=b")
    assert upload.films == (b"film",)
    assert upload.options == {"operating_point": "balanced"}


@pytest.mark.parametrize("charset", ["utf-8", "UTF-8", "us-ascii", "iso-8859-1"])
def test_the_usual_charsets_are_read(charset):
    assert read(form(), f"multipart/form-data; boundary=b; charset={charset}").films == (b"film",)


@pytest.mark.parametrize("charset", ["punycode", "undefined", "idna", "zlib", "no-such"])
def test_a_charset_whose_decoder_could_fail_or_crawl_is_refused(charset):
    with pytest.raises(MalformedRequest, match="charset"):
        read(form(text=b"a" * 80_000), f"multipart/form-data; boundary=b; charset={charset}")


def test_a_few_blanks_after_a_boundary_are_allowed_and_a_flood_of_them_is_refused():
    assert read(form(padding=b"  "), "multipart/form-data; boundary=b").films == (b"film",)
    with pytest.raises(MalformedRequest, match="blanks"):
        read(form(padding=b" " * 900_000), "multipart/form-data; boundary=b")


def test_a_body_is_refused_by_its_declared_length_before_it_is_read():
    async def never():
        raise AssertionError("the body was read")

    refused = request(b"", "image/png", **{"content-length": str(LIMIT + 1)})
    refused._receive = never
    with pytest.raises(UploadTooLarge):
        asyncio.run(read_film(refused, LIMIT, hold_nothing))
