"""The hash chain of the audit log: what a row's hash is made of. Pure.

A row's hash covers the hash before it, its lasting fields and a salted digest of its personal ones. So a row that is changed,
removed or moved breaks the chain; while emptying the personal fields and the salt, which anonymises a row, does not, and leaves
nothing from which they could be guessed.
"""

import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

# What stands before the first row.
GENESIS = "0" * 64

PERSONAL_FIELDS = ("request_id", "user_id", "address", "image_sha256", "prediction_id")

LASTING_FIELDS = (
    "seq", "timestamp", "method", "endpoint", "status", "outcome", "role", "prediction", "confidence", "inference_time_ms",
    "model_version",
)  # fmt: skip


def personal_digest(row: Mapping[str, Any]) -> str:
    """SHA-256 over the row's salt and personal fields; 64 hexadecimal digits."""
    values = [row["salt"], *(row[name] for name in PERSONAL_FIELDS)]
    if row["prediction_id"] is None:
        # As releases before 1.4 hashed every row: they knew no prediction_id.
        values.pop()
    return hashlib.sha256(_canonical(values)).hexdigest()


def row_hash(previous_hash: str, row: Mapping[str, Any], secret: bytes | None) -> str:
    """SHA-256 over the hash before, the lasting fields and the personal digest; 64 hexadecimal digits.

    secret: makes it an HMAC (RFC 2104), which nobody can forge who may write the database but does not know the secret.
    """
    content = _canonical([previous_hash, row["personal_digest"], *(row[name] for name in LASTING_FIELDS)])
    return (hmac.new(secret, content, "sha256") if secret else hashlib.sha256(content)).hexdigest()


def _canonical(values: list[Any]) -> bytes:
    return json.dumps(values, ensure_ascii=False, separators=(",", ":")).encode()
