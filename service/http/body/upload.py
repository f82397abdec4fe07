"""Reads the films and options of a request body. Never fetches a URL, never writes to disk."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from starlette.requests import ClientDisconnect, Request

from service.errors import MalformedRequest, UploadTooLarge
from service.film.errors import UnsupportedFormat
from service.film.file_format import sniff_format
from service.http.body.multipart import read_parts
from service.http.body.options import OPTIONS, read_options

IMAGE_FIELD = "image"
IMAGES_FIELD = "images"
MAX_BATCH_FILMS = 10

# Reserves memory for a chunk of a body, given its size in bytes; may raise Overloaded.
Hold = Callable[[int], None]

# A URL or a path in place of a film, which the client expects the service to open.
_LINE_OF_TEXT = re.compile(rb"[\x20-\x7e]{1,4096}")

# Field names quoted in the error about a form without the expected field.
_NAMES_SHOWN = 5


@dataclass(frozen=True)
class Upload:
    """A request's films, as undecoded bytes in order, and its options, see `options.read_options`."""

    films: tuple[bytes, ...]
    options: Mapping[str, str]


async def read_films(request: Request, max_bytes: int, hold: Hold | None = None, *, batch: bool = False) -> Upload:
    """Read one film: the multipart field `image`, or the whole body. batch: 1 to MAX_BATCH_FILMS, in the field `images`.

    Raises MalformedRequest, UploadTooLarge or Overloaded.
    """
    body = await read_body(request, max_bytes, hold)
    if not _is_multipart(request, body):
        if batch:
            raise MalformedRequest(f"A batch is multipart/form-data with the field {IMAGES_FIELD!r} repeated, one film each.")
        return Upload(films=(body,), options=read_options(request.query_params.multi_items()))
    field, most = (IMAGES_FIELD, MAX_BATCH_FILMS) if batch else (IMAGE_FIELD, 1)
    films, options = _read_form(request, body, field)
    if len(films) > most:
        wanted = f"1 to {most} in a batch" if batch else "exactly one"
        raise MalformedRequest(f"The form has {len(films)} files in the field {field!r}; send {wanted}.")
    return Upload(films=films, options=options)


async def read_body(request: Request, max_bytes: int, hold: Hold | None = None) -> bytes:
    """Read the whole body.

    Raises UploadTooLarge, before reading if the declared length exceeds the limit, else as soon as the body does;
    MalformedRequest if the client disconnects; and what `hold` raises.
    """
    declared = request.headers.get("content-length", "0")
    if float(declared) > max_bytes:  # int would raise for more than 4300 digits, and leading zeros are allowed
        raise _too_large(max_bytes)
    chunks: list[bytes] = []
    received = 0
    try:
        async for chunk in request.stream():
            received += len(chunk)
            if received > max_bytes:
                raise _too_large(max_bytes)
            if hold is not None:
                hold(len(chunk))
            chunks.append(chunk)
    except ClientDisconnect as fault:
        raise MalformedRequest("The connection closed before the body was complete.") from fault
    return b"".join(chunks)


def _too_large(max_bytes: int) -> UploadTooLarge:
    return UploadTooLarge(f"The body is over the limit of {max_bytes} bytes; send a smaller copy.")


def _is_multipart(request: Request, body: bytes) -> bool:
    """Whether the body is declared as a form, and does not begin like an image."""
    if not request.headers.get("content-type", "").lower().startswith("multipart/"):
        return False
    try:
        sniff_format(body)
    except UnsupportedFormat:
        return True
    return False


def _read_form(request: Request, body: bytes, film_field: str) -> tuple[tuple[bytes, ...], dict[str, str]]:
    """The films, at least one, and the options."""
    parts = read_parts(request.headers["content-type"], body)
    films = [part for part in parts if part.name == film_field]
    if not films:
        raise MalformedRequest(_field_missing(film_field, [part.name for part in parts]))
    if any(not film.has_file_name and _LINE_OF_TEXT.fullmatch(film.content) for film in films):
        raise MalformedRequest(f"The field {film_field!r} holds text; send the film's bytes as a file. URLs are never fetched.")
    fields = [(part.name, part.content.decode("utf-8", "replace")) for part in parts if part.name in OPTIONS]
    return tuple(film.content for film in films), read_options(request.query_params.multi_items(), fields)


def _field_missing(wanted: str, names: Sequence[str]) -> str:
    shown = [repr(name[:64]) for name in dict.fromkeys(names)][:_NAMES_SHOWN]
    found = f"it has {', '.join(shown)}" if shown else "it is empty"
    return f"The form has no field {wanted!r}; {found}. Send the film in the field {wanted!r}."
