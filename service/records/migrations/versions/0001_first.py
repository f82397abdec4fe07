"""The first tables."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# What the chain starts from, as a copy: a migration does not change when the code does.
GENESIS = "0" * 64


def upgrade() -> None:
    """Create them, and the row that holds the ends of the audit log's chain."""
    op.create_table(
        "api_keys",
        sa.Column("key_id", sa.String(32), primary_key=True),
        _text("name", 256),
        _text("role", 32),
        _text("secret_hash", 64),
        _text("created_at", 27),
        _text("expires_at", 27, nullable=True),
        _text("revoked_at", 27, nullable=True),
    )
    op.create_table(
        "audit",
        sa.Column("seq", _row_number(), primary_key=True, autoincrement=False),
        _text("timestamp", 27),
        _text("method", 16),
        _text("endpoint", 128),
        sa.Column("status", sa.Integer, nullable=False),
        _text("outcome", 64),
        _text("role", 32, nullable=True),
        _text("prediction", 256, nullable=True),
        sa.Column("confidence", sa.Float(53)),
        sa.Column("inference_time_ms", sa.Float(53)),
        _text("model_version", 64, nullable=True),
        _text("request_id", 128, nullable=True),
        _text("user_id", 256, nullable=True),
        _text("address", 64, nullable=True),
        _text("image_sha256", 64, nullable=True),
        _text("salt", 32, nullable=True),
        _text("personal_digest", 64),
        _text("hash", 64),
    )
    op.create_index("ix_audit_timestamp", "audit", ["timestamp"])
    op.create_index("ix_audit_user_id", "audit", ["user_id"])
    state = op.create_table(
        "audit_state",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("last_seq", _row_number(), nullable=False),
        _text("last_hash", 64),
        sa.Column("deleted_seq", _row_number(), nullable=False),
        _text("deleted_hash", 64),
    )
    op.execute(state.insert().values(id=1, last_seq=0, last_hash=GENESIS, deleted_seq=0, deleted_hash=GENESIS))
    op.create_table("feedback", *_beginning(), _text("label", 32), *_of_a_prediction())
    op.create_index("ix_feedback_request", "feedback", ["request_id", "film_index"])
    op.create_index("ix_feedback_timestamp", "feedback", ["timestamp"])
    op.create_table(
        "incidents",
        *_beginning(),
        _text("case_id", 128),
        _text("label", 32, nullable=True),
        sa.Column("note", sa.Text),
        _text("status", 16),
        sa.Column("manual_review", sa.Boolean, nullable=False),
        sa.Column("retraining", sa.Boolean, nullable=False),
        *_of_a_prediction(),
    )
    op.create_index("ix_incidents_timestamp", "incidents", ["timestamp"])
    op.create_table(
        "predictions",
        sa.Column("id", _row_number(), primary_key=True),
        _text("timestamp", 27),
        _text("request_id", 128),
        sa.Column("film_index", sa.Integer, nullable=False),
        _text("endpoint", 128),
        _text("user_id", 256, nullable=True),
        _text("model_version", 64),
        _text("image_sha256", 64),
        _text("image_format", 16),
        sa.Column("width_px", sa.Integer, nullable=False),
        sa.Column("height_px", sa.Integer, nullable=False),
        _text("prediction", 32),
        sa.Column("confidence", sa.Float(53), nullable=False),
        sa.Column("probabilities", sa.Text, nullable=False),
        _text("operating_point", 64),
        sa.Column("prediction_set", sa.Text, nullable=False),
        sa.Column("review_reasons", sa.Text, nullable=False),
        sa.Column("inference_time_ms", sa.Float(53), nullable=False),
    )
    op.create_index("ix_predictions_request", "predictions", ["request_id", "film_index"])
    op.create_index("ix_predictions_timestamp", "predictions", ["timestamp"])


def _row_number() -> sa.types.TypeEngine[int]:
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _text(name: str, length: int, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.String(length), nullable=nullable)


def _beginning() -> list[sa.Column[Any]]:
    return [sa.Column("id", _row_number(), primary_key=True), _text("timestamp", 27), _text("user_id", 256, nullable=True)]


def _of_a_prediction() -> list[sa.Column[Any]]:
    return [
        _text("request_id", 128),
        sa.Column("film_index", sa.Integer, nullable=False),
        _text("model_version", 64),
        _text("image_sha256", 64),
        _text("prediction", 32),
        sa.Column("confidence", sa.Float(53), nullable=False),
        sa.Column("probabilities", sa.Text, nullable=False),
    ]
