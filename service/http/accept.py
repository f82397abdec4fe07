"""Content negotiation by the Accept header (RFC 9110, 12.5.1)."""

import re
from collections.abc import Sequence

# 0 to 1. RFC 9110 allows three decimals; some clients send more.
_WEIGHT = re.compile(r"0?\.[0-9]{1,9}|[01]|0\.|1\.0{0,9}")

# Browsers name fewer than ten; a header of 64 KiB would hold up all other requests.
MAX_RANGES = 100


def preferred_type(accept: Sequence[str], offered: Sequence[str]) -> str:
    """The offered type with the largest weight; among equals, the one named more specifically, then the one named first.

    accept: all lines of the header; only the first MAX_RANGES ranges are read.
    offered: the default first, which is returned if the client accepts none of them.
    """
    ranges = [_read_range(text) for text in ",".join(accept).split(",")[:MAX_RANGES]]
    return max(offered, key=lambda media_type: _rank(media_type, ranges))  # max gives the first of equals


def _rank(media_type: str, ranges: Sequence[tuple[str, float | None]]) -> tuple[float, int, int]:
    """Weight, specificity and negative index of the most specific range that covers the type; the highest rank wins."""
    from_wide_to_narrow = ("*/*", f"{media_type.partition('/')[0]}/*", media_type)
    covering = [
        (from_wide_to_narrow.index(name), -index, weight)
        for index, (name, weight) in enumerate(ranges)
        if name in from_wide_to_narrow and weight is not None
    ]
    specificity, index, weight = max(covering, default=(0, 0, 0.0))
    return (weight, specificity, index) if weight else (0.0, 0, 0)


def _read_range(text: str) -> tuple[str, float | None]:
    """Name and weight of one element of the list; no weight if it is malformed. Parameters other than q are ignored."""
    name, *parameters = text.lower().split(";")
    values = {key.strip(): value.strip() for key, _, value in (parameter.partition("=") for parameter in parameters)}
    weight = values.get("q", "1")
    return name.strip(), float(weight) if _WEIGHT.fullmatch(weight) else None
