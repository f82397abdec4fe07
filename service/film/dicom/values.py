"""Values of DICOM attributes, from their bytes, in any value representation (VR) and character set.

An empty attribute counts as absent.

Sources: DICOM PS3.5 6.1.2 (character sets), 6.2 (value representations), 7.4.5 (a value of zero length); PS3.3 8.8 (code
sequences), C.12.1.1.2 (Specific Character Set).
"""

import re
import unicodedata
from math import nan

import numpy as np
from pydicom.charset import decode_bytes
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag

from service.film.errors import UnreadableImage

# Names and codes take some tens of bytes; only sequences of undefined length may hold longer ones.
MAX_TEXT_BYTES = 1024

# A coded concept with its version, mapping resource and modifiers takes a few hundred bytes.
MAX_CODE_SEQUENCE_BYTES = 4096

_ESCAPE = b"\x1b"
_LETTERS = re.compile(r"[^\W\d_]+")

# VR -> NumPy's name of the number. The caller decides on the sign of "US or SS". All other VRs are text.
_NUMBERS = {
    "US": "u2", "SS": "i2", "US or SS": "u2", "OW": "u2", "US or OW": "u2", "US or SS or OW": "u2",
    "UL": "u4", "SL": "i4", "FL": "f4", "FD": "f8",
}  # fmt: skip


def raw(dataset: Dataset, key: str | BaseTag) -> DataElement | RawDataElement | None:
    """The attribute, not parsed. Without `keep_deferred` pydicom parses an empty one, and may fail at it."""
    return dataset.get_item(key, keep_deferred=True)


def texts(dataset: Dataset, keyword: str) -> list[str]:
    """The attribute's values as text, numbers too; without padding. An empty list if it is absent or empty."""
    values = [value.strip(" \0") for value in _split(raw(dataset, keyword))]
    return values if any(values) else []


def text(dataset: Dataset, keyword: str) -> str:
    """The first of `texts`, "" if there is none."""
    return next(iter(texts(dataset, keyword)), "")


def integers(dataset: Dataset, keyword: str) -> list[int]:
    """Whole numbers; none if the attribute is absent or empty. Raises UnreadableImage if one is no whole number."""
    numbers = [decimal(value) for value in texts(dataset, keyword)]
    if not all(number.is_integer() for number in numbers):  # which infinity and NaN are not
        raise UnreadableImage(f"The DICOM file's {keyword} is no whole number; export the film again.")
    return [int(number) for number in numbers]


def integer(dataset: Dataset, keyword: str) -> int | None:
    """The first whole number; see `integers`."""
    return next(iter(integers(dataset, keyword)), None)


def decimal(value: str) -> float:
    """A decimal string as a number, NaN if it is none. A comma, which some locales write, is read as a point."""
    try:
        return float(value.replace(",", "."))
    except ValueError:
        return nan


def _split(element: DataElement | RawDataElement | None) -> list[str]:
    if element is None or element.value is None:
        return []
    if not isinstance(element, RawDataElement):  # pydicom has parsed it
        return [str(value) for value in (element.value if element.VM > 1 else [element.value])]
    # None in Implicit VR; UN for a VR that a writer did not know (PS3.5 6.2.2).
    vr = dictionary_VR(element.tag) if element.VR in (None, "UN") else element.VR
    if vr not in _NUMBERS:
        return element.value.decode("latin-1").split("\\")
    kind = np.dtype(_NUMBERS[vr]).newbyteorder("<" if element.is_little_endian else ">")
    return [str(number) for number in np.frombuffer(element.value, kind, count=len(element.value) // kind.itemsize).tolist()]


def decoded_text(dataset: Dataset, keyword: str) -> str:
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
    except Exception:  # whatever pydicom raises on damage
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
    for encoding in ("utf-8", *encodings[:1]):  # text in another encoding is hardly ever valid UTF-8
        try:
            return value.decode(encoding)
        except (UnicodeError, LookupError):
            continue
    return value.decode("latin-1")
