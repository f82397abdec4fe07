"""Which of the offered media types a client would rather have: the Accept header (RFC 9110, 12.5.1)."""

import re
from collections.abc import Sequence
from typing import NamedTuple

_RANGE = re.compile(r"([!#$%&'*+.^_`|~0-9a-z-]+)/([!#$%&'*+.^_`|~0-9a-z-]+)")

# From 0 to 1; more than RFC 9110's three decimals are read, too.
_WEIGHT = re.compile(r"0?\.[0-9]{1,9}|[01]|0\.|1\.0{0,9}")

# A browser names less than ten; reading a header's 64 KiB of them would hold up all other requests.
MAX_RANGES = 100


class _Range(NamedTuple):
    kind: str
    subtype: str
    weight: float

    def closeness(self, media_type: str) -> int:
        """0: does not cover it; 1: by */*; 2: by its kind; 3: names it."""
        kind, _, subtype = media_type.partition("/")
        if self.kind == "*":
            return 1 if self.subtype == "*" else 0
        if self.kind != kind:
            return 0
        return 2 if self.subtype == "*" else 3 if self.subtype == subtype else 0


def preferred_type(accept: Sequence[str], offered: Sequence[str]) -> str:
    """The offered type that weighs most.

    accept: every line of the header, of which the first MAX_RANGES ranges are read. offered: the default first; it is answered
    where the client accepts none of them, or says nothing that can be read. Of equal weight, the one that is named more closely
    is taken, then the one named first.
    """
    parts = ",".join(accept).split(",")[:MAX_RANGES]
    ranges = [found for part in parts if (found := _read_range(part)) is not None]
    return max(offered, key=lambda media_type: _rank(media_type, ranges))  # max gives the first of equals


def _rank(media_type: str, ranges: Sequence[_Range]) -> tuple[float, int, int]:
    """Weight, closeness and negative index of the range that covers the type most closely; a higher rank is preferred."""
    covering = [(found.closeness(media_type), -index, found.weight) for index, found in enumerate(ranges)]
    closeness, index, weight = max(covering, default=(0, 0, 0.0))
    # What no range covers is not accepted, as if it weighed nothing.
    return (weight, closeness, index) if closeness and weight else (0.0, 0, 0)


def _read_range(text: str) -> _Range | None:
    """One element of the list; None if it is malformed, and says nothing then. Parameters beside q are not told apart."""
    name, *parameters = text.lower().split(";")
    found = _RANGE.fullmatch(name.strip())
    values = {key.strip(): value.strip() for key, _, value in (parameter.partition("=") for parameter in parameters)}
    weight = values.get("q", "1")
    return _Range(found[1], found[2], float(weight)) if found and _WEIGHT.fullmatch(weight) else None
