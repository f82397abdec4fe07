"""Finds films that a program changed in transit because it took their bytes for text, and says what to do.

No intact film is reported: each rule of `explain` holds for no intact file, or with a chance below 1 in 10^12.

Source: PNG specification, third edition, 5.2, whose signature was made for this.
"""

import re
from itertools import islice

from service.film.file_format import PNG_SIGNATURE

_REMEDY = "send the file's own bytes: with curl by --data-binary @film or -F image=@film, with FTP in binary mode."
_LINE_ENDS = f"The film's line ends were rewritten in transit, as by curl -d, FTP in ASCII mode or a text editor; {_REMEDY}"
_LEFT_OUT = f"The film's zero bytes and line ends were left out in transit, as by curl -d; {_REMEDY}"
_RECODED = f"The film's bytes were taken for letters and re-encoded in transit; {_REMEDY}"

# First bytes of films, with the bytes over 127 replaced, cut to 7 bits, or written in UTF-8 as letters of Latin-1 or
# Windows-1252.
_RECODED_HEAD = re.compile(
    rb"(?:\xef\xbb\xbf)?(?:\xef\xbf\xbd|(?:\?|\x09|\xc2\x89|\xe2\x80\xb0)PNG[\r\n\x1a]|\xc3\xbf\xc3\x98\xc3\xbf"
    rb"|(?:\?{4}|\x7f\x58\x7f[`a]).{1,2}(?:JFIF|Exif)|RIFF.{5,12}WEBP)",
    re.DOTALL,
)
# First bytes of films as letters of UTF-16, with the bytes over 127 replaced or not.
_FILM_HEAD_IN_LETTERS = re.compile(rb"\0{128}DICM|II\*\0|MM\0\*|BM.{4,12}\0{4}|" + _RECODED_HEAD.pattern, re.DOTALL)
_UTF_16 = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}  # byte order marks
_LETTERS_OF_A_HEAD = 132

# What is left of the first bytes of a JPEG, TIFF, BMP, WebP or DICOM file.
_HEAD_WITHOUT_ZEROS = re.compile(rb"\x89PNG|\xff\xd8\xff|II\*|MM\*|BM|RIFF|DICM\x02UL")

_BARE_LINE_FEED = re.compile(rb"(?<!\r)\n")
# Behind a byte that is no text: texts inside a film may have such line ends.
_LINE_END_IN_PIXELS = re.compile(rb"[^\t\r\n -~]\r\n")
_LEAST_LINE_ENDS = 16

_LEFT_OUT_BYTES = b"\0\r\n"

_LEAST_BYTES = 8192
_LEAST_BYTES_WITH_ZERO = 2048
_LEAST_BYTES_FOR_PAIRS = 2_000_000  # which hold CR LF some thirty times, by chance
_LEAST_SHARE_OF_LETTERS = 1 / 16  # more than names and comments beside a dark film have
_LEAST_DISTINCT_STRIPPED = 200  # more than texts have
_EVERY_OTHER_BYTE = frozenset(range(256)) - {*b"\0\r\n"}
# Bounds the time for long films; enough for a decision.
_LOOKED_AT_BYTES = 1 << 20

# Their coded data hold all bytes alike often, and their decoders do not notice a change.
_CODED = ("jpeg", "webp")
# These have bytes over 127 in their headers; a film of another format may be so dark that it has none.
_NEVER_ASCII = (*_CODED, "dicom")


def explain(data: bytes, format_name: str) -> str:
    """What was done to a film, and what to do; "" if nothing was found. Reads some hundred bytes of an intact film.

    format_name: as recognised by the first bytes; "" if it was not.
    """
    if not format_name:
        return _explain_head(data)
    if _lacks_zeros(data):
        return _LEFT_OUT
    if _ends_lines_in_pixels(data):
        return _LINE_ENDS
    if format_name in _CODED and _lacks_line_ends(data):
        return _LINE_ENDS
    return _RECODED if _is_text(data, format_name) else ""


def _explain_head(data: bytes) -> str:
    if _RECODED_HEAD.match(data) or _FILM_HEAD_IN_LETTERS.match(_as_utf_16(data)):
        return _RECODED
    if _lacks_zeros(data) and (_HEAD_WITHOUT_ZEROS.match(data) or _is_stripped(data)):
        return _LEFT_OUT
    is_png = data.startswith(PNG_SIGNATURE[:4]) and not PNG_SIGNATURE.startswith(data)
    return _LINE_ENDS if is_png else ""


def _lacks_zeros(data: bytes) -> bool:
    """Whether a file that is no text has no zero byte; every intact film has some in its header."""
    return b"\0" not in data and len(data) >= _LEAST_BYTES_WITH_ZERO and not data[:_LEAST_BYTES_WITH_ZERO].isascii()


def _is_stripped(data: bytes) -> bool:
    """Whether nearly all values of a byte occur, but none that curl -d leaves out. It removes a DICOM file's beginning too."""
    return not any(byte in data for byte in _LEFT_OUT_BYTES) and len(set(data[:_LOOKED_AT_BYTES])) >= _LEAST_DISTINCT_STRIPPED


def _as_utf_16(data: bytes) -> bytes:
    """The first letters of a text in UTF-16, as UTF-8. Without a byte order mark it is read as little endian."""
    encoding = _UTF_16.get(data[:2])
    head = data[2 : 2 + 2 * _LETTERS_OF_A_HEAD] if encoding else data[: 2 * _LETTERS_OF_A_HEAD]
    return head.decode(encoding or "utf-16-le", "ignore").encode()


def _ends_lines_in_pixels(data: bytes) -> bool:
    """Whether every LF has a CR before it, even where there is no text."""
    first = data.find(b"\n")
    if first < 1 or data[first - 1] != ord("\r") or _BARE_LINE_FEED.search(data, first, _LOOKED_AT_BYTES):
        return False
    return len([*islice(_LINE_END_IN_PIXELS.finditer(data, 0, _LOOKED_AT_BYTES), _LEAST_LINE_ENDS)]) == _LEAST_LINE_ENDS


def _lacks_line_ends(data: bytes) -> bool:
    """Whether a long file holds every byte but CR or LF, or every pair but CR LF."""
    if b"\r" in data and b"\n" in data and (len(data) < _LEAST_BYTES_FOR_PAIRS or b"\r\n" in data):
        return False
    return len(data) >= _LEAST_BYTES and set(data[:_LOOKED_AT_BYTES]) >= _EVERY_OTHER_BYTE


def _is_text(data: bytes, format_name: str) -> bool:
    """Whether the file is UTF-8 with letters beyond ASCII. A dark film may be ASCII, unless its format is coded."""
    if data.isascii():
        return format_name in _NEVER_ASCII and len(data) >= _LEAST_BYTES
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return len(data) - len(text) >= len(data) * _LEAST_SHARE_OF_LETTERS
