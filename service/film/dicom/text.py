"""What a DICOM header says in words, whatever value representation and character set it was written in.

Sources: DICOM PS3.5 6.1.2 (character sets), PS3.3 8.8 (code sequences), C.12.1.1.2 (Specific Character Set).
"""

import re
import unicodedata

from pydicom.charset import decode_bytes
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset

from service.film.dicom.values import raw

# Names and codes take some tens of bytes; a sequence of undefined length may hold longer ones.
MAX_TEXT_BYTES = 1024

# A coded concept with its version, mapping resource and modifiers takes a few hundred bytes.
MAX_CODE_SEQUENCE_BYTES = 4096

_ESCAPE = b"\x1b"
_LETTERS = re.compile(r"[^\W\d_]+")

# Whatever pydicom raises on sequences that lie about themselves.
_DAMAGED = (Exception,)


def text_of(dataset: Dataset, keyword: str) -> str:
    """The attribute's value without padding, several values parted by backslashes; empty without one of usual length."""
    value = _as_read(raw(dataset, keyword))
    return _decoded(value, dataset).strip(" \0") if len(value) <= MAX_TEXT_BYTES else ""


def coded_item(dataset: Dataset, keyword: str) -> Dataset | None:
    """The first item of a code sequence; the concepts read here have one each. None without one that can be read."""
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
    """Its value, which pydicom has not taken apart yet; empty for a sequence of undefined length, which it has."""
    return element.value or b"" if isinstance(element, RawDataElement) else b""


def _decoded(value: bytes, dataset: Dataset) -> str:
    """Text in the character set that it is written in: code strings should be ASCII (PS3.5 6.2), but people write their own
    language into them, and the declared character set is not always the one they use.
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
