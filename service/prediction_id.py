"""Identifiers of predictions: ULIDs (github.com/ulid/spec), which sort by time and cannot be guessed."""

import secrets
import time

# Crockford's base 32 has no I, L, O and U, so that an identifier can be read aloud.
_DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def new_prediction_id() -> str:
    """A new ULID, 26 characters: 48 bits of milliseconds since 1970, then 80 random bits."""
    value = time.time_ns() // 1_000_000 << 80 | secrets.randbits(80)
    return "".join(_DIGITS[value >> 5 * digit & 31] for digit in reversed(range(26)))
