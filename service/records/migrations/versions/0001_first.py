"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# What the chain starts from, as a copy: a migration does not change when the code does.
GENESIS = "0" * 64


def upgrade() -> None:
    """Make them, and the row that holds the ends of the audit log's chain."""
    op.create_table(
        "api_keys",
        sa.Column("key_id", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=256), nullable=False),
        sa.Column("role", sa.String(length=32), nullable=False),
        sa.Column("secret_hash", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.String(length=27), nullable=False),
        sa.Column("expires_at", sa.String(length=27), nullable=True),
        sa.Column("revoked_at", sa.String(length=27), nullable=True),
        sa.PrimaryKeyConstraint("key_id"),
    )
    op.create_table(
        "audit",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("timestamp", sa.String(length=27), nullable=False),
        sa.Column("method", sa.String(length=16), nullable=False),
        sa.Column("endpoint", sa.String(length=128), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("outcome", sa.String(length=64), nullable=False),
        sa.Column("role", sa.String(length=32), nullable=True),
        sa.Column("prediction", sa.String(length=256), nullable=True),
        sa.Column("confidence", sa.Float(precision=53), nullable=True),
        sa.Column("inference_time_ms", sa.Float(precision=53), nullable=True),
        sa.Column("model_version", sa.String(length=64), nullable=True),
        sa.Column("request_id", sa.String(length=128), nullable=True),
        sa.Column("user_id", sa.String(length=256), nullable=True),
        sa.Column("address", sa.String(length=64), nullable=True),
        sa.Column("image_sha256", sa.String(length=64), nullable=True),
        sa.Column("salt", sa.String(length=32), nullable=True),
        sa.Column("personal_digest", sa.String(length=64), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("seq"),
    )
    op.create_index(op.f("ix_audit_timestamp"), "audit", ["timestamp"], unique=False)
    op.create_index(op.f("ix_audit_user_id"), "audit", ["user_id"], unique=False)
    op.create_table(
        "audit_state",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("last_seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("last_hash", sa.String(length=64), nullable=False),
        sa.Column("deleted_seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("deleted_hash", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "feedback",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("timestamp", sa.String(length=27), nullable=False),
        sa.Column("user_id", sa.String(length=256), nullable=True),
        sa.Column("label", sa.String(length=32), nullable=False),
        sa.Column("request_id", sa.String(length=128), nullable=False),
        sa.Column("film_index", sa.Integer(), nullable=False),
        sa.Column("model_version", sa.String(length=64), nullable=False),
        sa.Column("image_sha256", sa.String(length=64), nullable=False),
        sa.Column("prediction", sa.String(length=32), nullable=False),
        sa.Column("confidence", sa.Float(precision=53), nullable=False),
        sa.Column("probabilities", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_feedback_request", "feedback", ["request_id", "film_index"], unique=False)
    op.create_index(op.f("ix_feedback_timestamp"), "feedback", ["timestamp"], unique=False)
    op.create_table(
        "incidents",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("timestamp", sa.String(length=27), nullable=False),
        sa.Column("user_id", sa.String(length=256), nullable=True),
        sa.Column("case_id", sa.String(length=128), nullable=False),
        sa.Column("label", sa.String(length=32), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("manual_review", sa.Boolean(), nullable=False),
        sa.Column("retraining", sa.Boolean(), nullable=False),
        sa.Column("request_id", sa.String(length=128), nullable=False),
        sa.Column("film_index", sa.Integer(), nullable=False),
        sa.Column("model_version", sa.String(length=64), nullable=False),
        sa.Column("image_sha256", sa.String(length=64), nullable=False),
        sa.Column("prediction", sa.String(length=32), nullable=False),
        sa.Column("confidence", sa.Float(precision=53), nullable=False),
        sa.Column("probabilities", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_incidents_timestamp"), "incidents", ["timestamp"], unique=False)
    op.create_table(
        "predictions",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("timestamp", sa.String(length=27), nullable=False),
        sa.Column("request_id", sa.String(length=128), nullable=False),
        sa.Column("film_index", sa.Integer(), nullable=False),
        sa.Column("endpoint", sa.String(length=128), nullable=False),
        sa.Column("user_id", sa.String(length=256), nullable=True),
        sa.Column("model_version", sa.String(length=64), nullable=False),
        sa.Column("image_sha256", sa.String(length=64), nullable=False),
        sa.Column("image_format", sa.String(length=16), nullable=False),
        sa.Column("width_px", sa.Integer(), nullable=False),
        sa.Column("height_px", sa.Integer(), nullable=False),
        sa.Column("prediction", sa.String(length=32), nullable=False),
        sa.Column("confidence", sa.Float(precision=53), nullable=False),
        sa.Column("probabilities", sa.Text(), nullable=False),
        sa.Column("operating_point", sa.String(length=64), nullable=False),
        sa.Column("prediction_set", sa.Text(), nullable=False),
        sa.Column("review_reasons", sa.Text(), nullable=False),
        sa.Column("inference_time_ms", sa.Float(precision=53), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_predictions_request", "predictions", ["request_id", "film_index"], unique=False)
    op.create_index(op.f("ix_predictions_timestamp"), "predictions", ["timestamp"], unique=False)
    state = sa.table(
        "audit_state", *(sa.column(name) for name in ("id", "last_seq", "last_hash", "deleted_seq", "deleted_hash"))
    )
    op.execute(state.insert().values(id=1, last_seq=0, last_hash=GENESIS, deleted_seq=0, deleted_hash=GENESIS))
