"""The tables, as `migrations/` creates them; a test compares the two.

Times are text (see `utc_text`), lists and mappings are JSON text, so that all databases store, and hash, the same. `site` is
the site profile that answered, as name-version; none did where it is empty, as in all rows of releases before 1.7.
"""

from sqlalchemy import BigInteger, Boolean, Column, Float, Index, Integer, MetaData, String, Table, Text

metadata = MetaData()

# SQLite numbers rows itself only if the column's type is exactly INTEGER.
_ROW_ID = BigInteger().with_variant(Integer, "sqlite")

audit = Table(
    "audit",
    metadata,
    Column("seq", _ROW_ID, primary_key=True, autoincrement=False),
    Column("timestamp", String(27), nullable=False, index=True),
    Column("method", String(16), nullable=False),
    Column("endpoint", String(128), nullable=False),
    Column("status", Integer, nullable=False),
    Column("outcome", String(64), nullable=False),
    Column("role", String(32)),
    Column("prediction", String(256)),
    Column("confidence", Float(53)),
    Column("inference_time_ms", Float(53)),
    Column("model_version", String(64)),
    Column("site", String(64)),
    # Personal fields: emptied when the row is anonymised; the chain covers them by their salted digest only.
    Column("request_id", String(128)),
    Column("user_id", String(256), index=True),
    Column("address", String(64)),
    Column("image_sha256", String(64)),
    Column("prediction_id", String(512)),
    Column("salt", String(32)),
    Column("personal_digest", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
)

# One row with both ends of the chain, so that rows missing at an end are noticed.
audit_state = Table(
    "audit_state",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("last_seq", _ROW_ID, nullable=False),
    Column("last_hash", String(64), nullable=False),
    Column("deleted_seq", _ROW_ID, nullable=False),
    Column("deleted_hash", String(64), nullable=False),
)

predictions = Table(
    "predictions",
    metadata,
    Column("id", _ROW_ID, primary_key=True),
    Column("timestamp", String(27), nullable=False, index=True),
    Column("prediction_id", String(26), nullable=False),
    Column("request_id", String(128), nullable=False),
    Column("film_index", Integer, nullable=False),
    Column("endpoint", String(128), nullable=False),
    Column("user_id", String(256)),
    Column("model_version", String(64), nullable=False),
    Column("site", String(64)),
    Column("image_sha256", String(64), nullable=False),
    Column("image_format", String(16), nullable=False),
    Column("width_px", Integer, nullable=False),
    Column("height_px", Integer, nullable=False),
    Column("prediction", String(32), nullable=False),
    Column("confidence", Float(53), nullable=False),
    Column("probabilities", Text, nullable=False),
    Column("operating_point", String(64), nullable=False),
    Column("prediction_set", Text, nullable=False),
    Column("review_reasons", Text, nullable=False),
    Column("inference_time_ms", Float(53), nullable=False),
    Index("ix_predictions_prediction_id", "prediction_id", unique=True),
    Index("ix_predictions_request", "request_id", "film_index"),
)


def _of_a_prediction() -> tuple[Column[object], ...]:
    """Copied from the prediction, which may be deleted before its label is used for training."""
    return (
        # None in reports of releases before 1.4 whose prediction was deleted before 1.4 gave it an identifier.
        Column("prediction_id", String(26)),
        Column("request_id", String(128), nullable=False),
        Column("film_index", Integer, nullable=False),
        Column("model_version", String(64), nullable=False),
        Column("site", String(64)),
        Column("image_sha256", String(64), nullable=False, index=True),
        Column("prediction", String(32), nullable=False),
        Column("confidence", Float(53), nullable=False),
        Column("probabilities", Text, nullable=False),
    )


feedback = Table(
    "feedback",
    metadata,
    Column("id", _ROW_ID, primary_key=True),
    Column("timestamp", String(27), nullable=False, index=True),
    Column("user_id", String(256)),
    Column("label", String(32), nullable=False),
    *_of_a_prediction(),
)

incidents = Table(
    "incidents",
    metadata,
    Column("id", _ROW_ID, primary_key=True),
    Column("timestamp", String(27), nullable=False, index=True),
    Column("user_id", String(256)),
    Column("case_id", String(128), nullable=False),
    Column("label", String(32)),
    Column("note", Text),
    Column("status", String(16), nullable=False),
    Column("manual_review", Boolean, nullable=False),
    Column("retraining", Boolean, nullable=False),
    *_of_a_prediction(),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("key_id", String(32), primary_key=True),
    Column("name", String(256), nullable=False),
    Column("role", String(32), nullable=False),
    Column("secret_hash", String(64), nullable=False),
    Column("created_at", String(27), nullable=False),
    Column("expires_at", String(27)),
    Column("revoked_at", String(27)),
)
