"""Parses multipart/form-data (RFC 7578) in memory: films are patient data, and must not reach the disk."""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from service.errors import MalformedRequest

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

# A batch has 10 films and an option. Some more are parsed, so that the answer can say how many were sent.
MAX_PARTS = 64

# Spaces may follow a boundary (RFC 2046, 5.1.1), and the parser reads them byte by byte; nobody sends more than a few.
_MAX_BOUNDARY_PADDING = 64


@dataclass(frozen=True)
class Part:
    """One field of a form. has_file_name: true for files, and for text that a browser sends as a Blob."""

    name: str
    content: bytes
    has_file_name: bool


def read_parts(content_type: str, body: bytes) -> list[Part]:
    """The parts in order. Raises MalformedRequest."""
    _, parameters = parse_options_header(content_type)
    boundary = parameters.get(b"boundary")
    if not boundary:
        raise MalformedRequest("The Content-Type names no boundary; let the HTTP library write this header.")
    if re.search(re.escape(b"--" + boundary) + rb"(?:--)?[ \t]{%d}" % (_MAX_BOUNDARY_PADDING + 1), body):
        raise MalformedRequest(
            f"A boundary of the form is followed by more than {_MAX_BOUNDARY_PADDING} blanks; leave them out."
        )
    reader = _Reader()
    try:
        MultipartParser(boundary, reader.callbacks()).write(_from_first_boundary(boundary, body))
    except FormParserError as fault:
        raise MalformedRequest("The multipart form is damaged; send it again as the HTTP library writes it.") from fault
    if reader.is_inside:
        raise MalformedRequest("The form ends within a field, before its closing boundary; send the whole form.")
    return reader.parts


def _from_first_boundary(boundary: bytes, body: bytes) -> bytes:
    """The body without the preamble (RFC 2046, 5.1.1) and without spaces after the first boundary, which the parser rejects."""
    line = b"--" + boundary
    if body.startswith(line + b"\r\n"):
        return body
    rest = re.escape(line) + rb"(--)?[ \t]*(?:\r\n|\Z)"
    first = re.match(rest, body) or re.search(rb"\r\n" + rest, body)
    return body if first is None else line + (first[1] or b"") + b"\r\n" + body[first.end() :]


class _Reader:
    """Collects the parts from the parser's callbacks."""

    def __init__(self) -> None:
        self.parts: list[Part] = []
        self.is_inside = False
        self._header = self._value = self._disposition = b""
        self._content: list[bytes] = []

    def callbacks(self) -> "MultipartCallbacks":
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._add_header,
            "on_header_value": self._add_value,
            "on_header_end": self._end_header,
            "on_part_data": self._add_content,
            "on_part_end": self._end,
        }

    def _begin(self) -> None:
        if len(self.parts) == MAX_PARTS:
            raise MalformedRequest(f"The form has more than {MAX_PARTS} fields; send fewer.")
        self.is_inside, self._disposition, self._content = True, b"", []

    def _add_header(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _add_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        if self._header.lower() == b"content-disposition":
            if self._disposition:
                raise MalformedRequest("A field of the form has two Content-Disposition lines; send one.")
            self._disposition = self._value
        self._header = self._value = b""

    def _add_content(self, data: bytes, start: int, end: int) -> None:
        self._content.append(data[start:end])

    def _end(self) -> None:
        _, parameters = parse_options_header(self._disposition)
        if b"name" not in parameters:
            raise MalformedRequest("A field of the form has no name in its Content-Disposition; name it.")
        name = parameters[b"name"].decode("utf-8", "replace")
        self.parts.append(Part(name, b"".join(self._content), b"filename" in parameters))
        self.is_inside = False
