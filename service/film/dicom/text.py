"""Texts and code sequences of a DICOM header, in any value representation and character set.

Sources: DICOM PS3.5 6.1.2 (character sets), PS3.3 8.8 (code sequences), C.12.1.1.2 (Specific Character Set).
"""

import re
import unicodedata

from pydicom.charset import decode_bytes
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset

from service.film.dicom.values import raw

# Names and codes take some tens of bytes; only sequences of undefined length may hold longer ones.
MAX_TEXT_BYTES = 1024

# A coded concept with its version, mapping resource and modifiers takes a few hundred bytes.
MAX_CODE_SEQUENCE_BYTES = 4096

_ESCAPE = b"\x1b"
_LETTERS = re.compile(r"[^\W\d_]+")

# Whatever pydicom raises on damaged sequences.
_DAMAGED = (Exception,)


def text_of(dataset: Dataset, keyword: str) -> str:
    """The attribute's value without padding, several values parted by backslashes; "" if it is missing or too long."""
    value = _as_read(raw(dataset, keyword))
    return _decoded(value, dataset).strip(" \0") if len(value) <= MAX_TEXT_BYTES else ""


def coded_item(dataset: Dataset, keyword: str) -> Dataset | None:
    """The first item of a code sequence, which has only one for the concepts read here; None if it cannot be read."""
    if len(_as_read(raw(dataset, keyword))) > MAX_CODE_SEQUENCE_BYTES:
        return None
    try:
        items = dataset.get(keyword)
        return items[0] if items and isinstance(items[0], Dataset) else None
    except _DAMAGED:
        return None


def plain(text: str) -> str:
    """The text's words in capitals, without accents, punctuation and digits, with one blank between two."""
    return " ".join(_LETTERS.findall(without_accents(text.upper())))


def without_accents(text: str) -> str:
    """The text in Unicode's NFKD without the marks on its letters: TORAX for TÓRAX."""
    return "".join(letter for letter in unicodedata.normalize("NFKD", text) if unicodedata.category(letter)[0] != "M")


def _as_read(element: DataElement | RawDataElement | None) -> bytes:
    """The value that pydicom has not parsed yet; empty for a sequence of undefined length, which it parses while reading."""
    return element.value or b"" if isinstance(element, RawDataElement) else b""


def _decoded(value: bytes, dataset: Dataset) -> str:
    """The text. Code strings should be ASCII (PS3.5 6.2), but people write their own language into them, and not always in the
    declared character set.
    """
    declared = dataset.original_character_set
    encodings = [declared] if isinstance(declared, str) else list(declared or ())
    if _ESCAPE in value:  # code extensions: only pydicom knows DICOM's (PS3.5 6.1.2.5)
        return decode_bytes(value, encodings or ["latin-1"], set())
    for encoding in ("utf-8", *encodings[:1]):  # no other text passes for UTF-8
        try:
            return value.decode(encoding)
        except (UnicodeError, LookupError):
            continue
    return value.decode("latin-1")
