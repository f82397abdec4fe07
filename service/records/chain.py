"""Hashes of the audit log's chain. Pure functions.

A row's hash covers the previous row's hash, the lasting fields and a salted digest of the personal fields. A row that is
changed, removed or moved breaks the chain. Anonymising a row, which empties its personal fields and its salt, does not; without
the salt the digest cannot be used to guess them.
"""

import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

# The hash before the first row.
GENESIS = "0" * 64

PERSONAL_FIELDS = ("request_id", "user_id", "address", "image_sha256", "prediction_id")

LASTING_FIELDS = (
    "seq", "timestamp", "method", "endpoint", "status", "outcome", "role", "prediction", "confidence", "inference_time_ms",
    "model_version", "site",
)  # fmt: skip


def personal_digest(row: Mapping[str, Any]) -> str:
    """SHA-256 over the row's salt and personal fields; 64 hexadecimal digits."""
    values = [row["salt"], *(row[name] for name in PERSONAL_FIELDS)]
    if row["prediction_id"] is None:
        # As releases before 1.4, which had no prediction_id, hashed every row.
        values.pop()
    return hashlib.sha256(_canonical(values)).hexdigest()


def row_hash(previous_hash: str, row: Mapping[str, Any], secret: bytes | None) -> str:
    """SHA-256 over the previous hash, the lasting fields and the personal digest; 64 hexadecimal digits.

    secret: if given, the hash is an HMAC (RFC 2104): writing to the database does not suffice to forge it.
    """
    values = [previous_hash, row["personal_digest"], *(row[name] for name in LASTING_FIELDS)]
    if row["site"] is None:
        # As releases before 1.7, which had no site profiles, hashed every row.
        values.pop()
    content = _canonical(values)
    return (hmac.new(secret, content, "sha256") if secret else hashlib.sha256(content)).hexdigest()


def _canonical(values: list[Any]) -> bytes:
    return json.dumps(values, ensure_ascii=False, separators=(",", ":")).encode()
