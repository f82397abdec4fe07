"""Request bodies -> the bytes of films and the options beside them. Never fetches a URL, never writes to disk."""

import re
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass

from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from service.contract.errors import MalformedRequest, UnsupportedFormat, UploadTooLarge
from service.contract.file_format import sniff_format
from service.http.body_budget import Hold

IMAGE_FIELD = "image"
IMAGES_FIELD = "images"
MAX_BATCH_FILMS = 10

# One film too many is still parsed, so that the answer can say how many came.
_MAX_FILES = 64
_MAX_FIELDS = 16

# With these, decoding takes time linear in the text and fails only as the parser expects. A client may name any of Python's
# codecs, and some are quadratic.
_CHARSETS = ("utf-8", "us-ascii", "iso-8859-1", "latin-1")

# The parser walks the blanks that may follow a boundary (RFC 2046, 5.1.1) byte by byte; nobody sends more than a few.
_MAX_BOUNDARY_PADDING = 64


@dataclass(frozen=True)
class Upload:
    """What a client sent. films: their undecoded bytes, in order. options: form fields and query parameters by name."""

    films: tuple[bytes, ...]
    options: Mapping[str, str]


async def read_film(request: Request, max_bytes: int, hold: Hold) -> Upload:
    """One film: multipart field `image`, or the whole body. hold: is told of each chunk.

    Raises MalformedRequest, UploadTooLarge or Overloaded.
    """
    body = await read_body(request, max_bytes, hold)
    if not _is_multipart(request, body):
        return Upload(films=(body,), options=dict(request.query_params))
    films, options = await _read_form(request, body, IMAGE_FIELD)
    if len(films) != 1:
        raise MalformedRequest(f"The form holds {len(films)} files in the field {IMAGE_FIELD!r}; send exactly one.")
    return Upload(films=films, options=options)


async def read_films(request: Request, max_bytes: int, hold: Hold) -> Upload:
    """1 to MAX_BATCH_FILMS films: multipart field `images`, repeated. hold: is told of each chunk.

    Raises MalformedRequest, UploadTooLarge or Overloaded.
    """
    body = await read_body(request, max_bytes, hold)
    if not _is_multipart(request, body):
        raise MalformedRequest(f"A batch is multipart/form-data with the field {IMAGES_FIELD!r} repeated, one film each.")
    films, options = await _read_form(request, body, IMAGES_FIELD)
    if not 1 <= len(films) <= MAX_BATCH_FILMS:
        raise MalformedRequest(
            f"The form holds {len(films)} files in the field {IMAGES_FIELD!r}; send 1 to {MAX_BATCH_FILMS} in a batch."
        )
    return Upload(films=films, options=options)


def hold_nothing(size_bytes: int) -> None:
    """For bodies that are too small to count."""


async def read_body(request: Request, max_bytes: int, hold: Hold = hold_nothing) -> bytes:
    """The whole body. hold: is told of each chunk, and may raise Overloaded.

    Raises UploadTooLarge: at once if the declared length is over the limit, else as soon as it is passed.
    """
    declared = request.headers.get("content-length", "0")
    if not declared.isdecimal():
        raise MalformedRequest("The Content-Length is not a number.")
    if int(declared) > max_bytes:
        raise _too_large(max_bytes)
    chunks: list[bytes] = []
    received = 0
    try:
        async for chunk in request.stream():
            received += len(chunk)
            if received > max_bytes:
                raise _too_large(max_bytes)
            hold(len(chunk))
            chunks.append(chunk)
    except ClientDisconnect as fault:
        raise MalformedRequest("The connection closed before the body was complete.") from fault
    return b"".join(chunks)


def read_flag(options: Mapping[str, str], name: str) -> bool:
    """An option that is "true" or "false", by default false. Raises MalformedRequest."""
    value = options.get(name, "false")
    if value not in ("true", "false"):
        raise MalformedRequest(f"{name!r} is neither true nor false.")
    return value == "true"


def _too_large(max_bytes: int) -> UploadTooLarge:
    return UploadTooLarge(f"The body is over the limit of {max_bytes} bytes; send a smaller copy.")


def _is_multipart(request: Request, body: bytes) -> bool:
    """Whether the body is a form: declared to be one, and not an image under a wrong label."""
    if not request.headers.get("content-type", "").lower().startswith("multipart/"):
        return False
    try:
        sniff_format(body)
    except UnsupportedFormat:
        return True
    return False


class _InMemoryParser(MultiPartParser):
    """Films are patients' data: the parser's habit of spooling large parts to disk is switched off by a limit never reached."""

    spool_max_size = 2**62


async def _read_form(request: Request, body: bytes, file_field: str) -> tuple[tuple[bytes, ...], dict[str, str]]:
    async def stream() -> AsyncGenerator[bytes, None]:
        yield body

    _check_form(request, body)
    try:
        parser = _InMemoryParser(request.headers, stream(), max_files=_MAX_FILES, max_fields=_MAX_FIELDS)
        form = await parser.parse()
    except MultiPartException as fault:
        raise MalformedRequest(f"The multipart form cannot be read: {fault.message}") from fault
    films = []
    for value in form.getlist(file_field):
        if not isinstance(value, UploadFile):
            raise MalformedRequest(
                f"The field {file_field!r} holds text; send the film's bytes as a file. Addresses are never fetched."
            )
        films.append(value.file.read())
    options = _options(request, form)
    await form.close()
    return tuple(films), options


def _check_form(request: Request, body: bytes) -> None:
    """Refuse what would keep the parser, and with it the event loop, busy out of proportion to the body's size."""
    _, parameters = parse_options_header(request.headers["content-type"])
    charset = parameters.get(b"charset", b"utf-8").decode("latin-1").lower()
    if charset not in _CHARSETS:
        raise MalformedRequest(f"The form's charset is not one of {', '.join(_CHARSETS)}; leave it out, or send UTF-8.")
    boundary = re.escape(b"--" + parameters.get(b"boundary", b""))
    if re.search(boundary + rb"(?:--)?[ \t]{%d}" % (_MAX_BOUNDARY_PADDING + 1), body):
        raise MalformedRequest(
            f"A boundary of the form has more than {_MAX_BOUNDARY_PADDING} blanks behind it; leave them out."
        )


def _options(request: Request, form: FormData) -> dict[str, str]:
    options = dict(request.query_params)
    for name, value in form.multi_items():
        if isinstance(value, str) and options.setdefault(name, value) != value:
            raise MalformedRequest(f"{name!r} is given more than once with different values; give it once.")
    return options
