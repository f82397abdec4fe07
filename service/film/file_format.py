"""Recognises a file's format by its first bytes, and names formats that are not read.

Sources: DICOM PS3.10, 7.1; TIFF 6.0, section 2; the other formats' own specifications.
"""

import re

from service.film.dicom.file import is_bare_data_set
from service.film.errors import UnsupportedDicom, UnsupportedFormat

READABLE_FORMATS = "JPEG, PNG, TIFF, BMP, WebP or DICOM"

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"

_UNPACK = "; unpack it and send the film in it"

# Patterns at the start of the formats that are read. DICOM is first: its preamble may be the beginning of another format
# (PS3.10 7.1).
_READ: tuple[tuple[bytes, str], ...] = (
    (rb".{128}DICM", "dicom"),
    (rb"\xff\xd8\xff", "jpeg"),
    (re.escape(PNG_SIGNATURE), "png"),
    (rb"II\*\0|MM\0\*", "tiff"),
    (rb"RIFF.{4}WEBP", "webp"),
    (rb"BM", "bmp"),
)

# Patterns at the start of other files, and what those are.
_OTHERS: tuple[tuple[bytes, str], ...] = (
    (rb"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51", "JPEG 2000, which is read inside DICOM only"),
    (rb"\0\0\0\x0cJXL \r\n\x87\n|\xff\x0a", "JPEG XL"),
    (rb"II\x2b\0|MM\0\x2b", "a BigTIFF; save it as a classic TIFF"),
    (rb"GIF8[79]a", "a GIF"),
    (rb"....ftyp(heic|heix|hevc|mif1|msf1|heim|heis)", "HEIC"),
    (rb"....ftypavi[fs]", "AVIF"),
    (rb"....ftyp|\x1aE\xdf\xa3|RIFF....AVI |\0\0\x01[\xb3\xba]", "a video"),
    (rb"%PDF-", "a PDF document; export the film itself, as DICOM if you can"),
    (rb"\x5c\x01\0\0.{340}n[i+]1\0|\0\0\x01\x5c.{340}n[i+]1\0|(\x1c\x02\0\0|\0\0\x02\x1c)n[i+]2\0", "NIfTI"),
    (rb"NRRD000", "NRRD"),
    (rb"PK(\x03\x04|\x05\x06)", "a ZIP archive" + _UNPACK),
    (rb"\x1f\x8b", "compressed with gzip" + _UNPACK),
    (rb"BZh[1-9]1AY|\xfd7zXZ\0|7z\xbc\xaf\x27\x1c|Rar!\x1a\x07|\x28\xb5\x2f\xfd|.{257}ustar", "an archive" + _UNPACK),
    (rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an Office document or another OLE file; export the film itself"),
    (
        rb"--[^\r\n]{1,200}\r?\n.{0,400}Content-Disposition",
        "a multipart form without its Content-Type header; let the client set it",
    ),
    (rb"\s*data:[\w/+.;=-]*base64,", "a data: URL; decode its base64 text and send the bytes"),
    (
        rb"\s*[\"']?(/9j/|iVBORw0KGgo|SUkqA|TU0AK|UklGR[\w+/]{6}XRUJQ|(?:A\s*){170}B\s*E\s*S\s*U\s*N|Qk[\w+/]{6}AAAAA)",
        "base64 text; decode it and send the bytes",
    ),
    (
        rb"\s*\{.{0,200}:\s*\"(data:|/9j/|iVBORw0KGgo|SUkqA|TU0AK|AAAAAAAAAAA)",
        "JSON that holds base64 text; decode that and send the bytes",
    ),
    (rb"[\w.-]+=@", "the name of a file, and not the film; with curl, send it by -F instead of -d"),
    (rb"https?://", "an address, which is never fetched; send the film's bytes"),
    (rb"\s*<(?i:!doctype html|html|head|body)", "an HTML page; a server's error page may have been saved in place of the film"),
    (rb"\s*<\?xml|\s*<[a-zA-Z]", "XML or HTML"),
    (rb"\s*[{\[]\s*[\"{\[\]}]", "JSON; a server's error may have been saved in place of the film"),
)
# Bytes that the patterns need.
_HEAD_BYTES = 1024

_TEXT_BYTES = bytes((9, 10, 13, *range(32, 127)))


def sniff_format(data: bytes) -> str:
    """Recognise a file by its first bytes: "jpeg", "png", "tiff", "bmp", "webp" or "dicom".

    Raises UnsupportedFormat, whose message names the format if it is known, or UnsupportedDicom for a DICOM data set without
    preamble and file meta information.
    """
    head = data[:_HEAD_BYTES]
    if name := _first_match(_READ, head):
        return name
    if not data:
        raise UnsupportedFormat(f"The image is empty (0 bytes); send a {READABLE_FORMATS} file.")
    if is_bare_data_set(data):
        raise UnsupportedDicom(
            "The file is a DICOM data set without the preamble and file meta information of DICOM Part 10; send the film as a "
            "DICOM Part 10 file, as a viewer or a PACS exports it."
        )
    if name := _first_match(_OTHERS, head) or ("" if head.translate(None, _TEXT_BYTES) else "text and no picture"):
        raise UnsupportedFormat(f"The file is {name}. Send a {READABLE_FORMATS} file.")
    raise UnsupportedFormat(
        f"The first bytes ({data[:4].hex(' ')}) are not those of a format that is read; send a {READABLE_FORMATS} file."
    )


def _first_match(patterns: tuple[tuple[bytes, str], ...], head: bytes) -> str:
    return next((name for pattern, name in patterns if re.match(pattern, head, re.DOTALL)), "")
