"""Content negotiation by the Accept header (RFC 9110, 12.5.1)."""

import re
from collections.abc import Sequence
from typing import NamedTuple

_RANGE = re.compile(r"([!#$%&'*+.^_`|~0-9a-z-]+)/([!#$%&'*+.^_`|~0-9a-z-]+)")

# 0 to 1. RFC 9110 allows three decimals; some clients send more.
_WEIGHT = re.compile(r"0?\.[0-9]{1,9}|[01]|0\.|1\.0{0,9}")

# Browsers name fewer than ten; a header of 64 KiB would hold up all other requests.
MAX_RANGES = 100


class _Range(NamedTuple):
    kind: str
    subtype: str
    weight: float

    def closeness(self, media_type: str) -> int:
        """How specifically the range covers the type. 0: not at all; 1: */*; 2: kind/*; 3: exactly."""
        kind, _, subtype = media_type.partition("/")
        if self.kind == "*":
            return 1 if self.subtype == "*" else 0
        if self.kind != kind:
            return 0
        return 2 if self.subtype == "*" else 3 if self.subtype == subtype else 0


def preferred_type(accept: Sequence[str], offered: Sequence[str]) -> str:
    """The offered type with the largest weight; among equals, the one named more specifically, then the one named first.

    accept: all lines of the header; only the first MAX_RANGES ranges are read.
    offered: the default first, which is returned if the client accepts none of them.
    """
    parts = ",".join(accept).split(",")[:MAX_RANGES]
    ranges = [found for part in parts if (found := _read_range(part)) is not None]
    return max(offered, key=lambda media_type: _rank(media_type, ranges))  # max gives the first of equals


def _rank(media_type: str, ranges: Sequence[_Range]) -> tuple[float, int, int]:
    """Weight, closeness and negative index of the most specific range that covers the type; the highest rank wins."""
    covering = [(found.closeness(media_type), -index, found.weight) for index, found in enumerate(ranges)]
    closeness, index, weight = max(covering, default=(0, 0, 0.0))
    return (weight, closeness, index) if closeness and weight else (0.0, 0, 0)


def _read_range(text: str) -> _Range | None:
    """One element of the list; None if it is malformed. Parameters other than q are ignored."""
    name, *parameters = text.lower().split(";")
    found = _RANGE.fullmatch(name.strip())
    values = {key.strip(): value.strip() for key, _, value in (parameter.partition("=") for parameter in parameters)}
    weight = values.get("q", "1")
    return _Range(found[1], found[2], float(weight)) if found and _WEIGHT.fullmatch(weight) else None
