"""Every prediction has an identifier of its own, and whatever refers to it names that."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# 96 random bits behind two zeros, which no identifier of the service's own begins with. The default stays, because servers of
# the release before go on writing until they are replaced.
_NEW_ID = {
    "sqlite": "'00' || hex(randomblob(12))",
    "postgresql": ("'00' || upper(left(replace(gen_random_uuid()::text, '-', ''), 12) || right(gen_random_uuid()::text, 12))"),
}

# A report copied the prediction that was then the latest of its request and place.
_FIND_PREDICTION = """
UPDATE {table} SET prediction_id = (
    SELECT predictions.prediction_id FROM predictions
    WHERE predictions.request_id = {table}.request_id
        AND predictions.film_index = {table}.film_index
        AND predictions.image_sha256 = {table}.image_sha256
        AND predictions.model_version = {table}.model_version
        AND predictions.timestamp <= {table}.timestamp
    ORDER BY predictions.id DESC
    LIMIT 1
)
"""


def upgrade() -> None:
    """Give predictions their identifiers, and reports those of their predictions. Reports on forgotten ones get none."""
    dialect = op.get_bind().dialect.name
    if dialect == "postgresql":
        # Writers take this lock first; locks in another order could deadlock.
        op.execute("SELECT last_seq FROM audit_state FOR UPDATE")
    prediction_id = sa.Column(
        "prediction_id", sa.String(length=26), nullable=False, server_default=sa.text(f"({_NEW_ID[dialect]})")
    )
    # SQLite adds no column whose default is computed; the table is copied instead.
    with op.batch_alter_table("predictions", recreate="always" if dialect == "sqlite" else "never") as table:
        table.add_column(prediction_id)
    op.create_index("ix_predictions_prediction_id", "predictions", ["prediction_id"], unique=True)
    # For the search below: one request_id may be that of every prediction.
    op.create_index("ix_predictions_film", "predictions", ["request_id", "film_index", "image_sha256"])
    for name in ("feedback", "incidents"):
        op.add_column(name, sa.Column("prediction_id", sa.String(length=26), nullable=True))
        op.execute(_FIND_PREDICTION.format(table=name))
        op.create_index(op.f(f"ix_{name}_image_sha256"), name, ["image_sha256"])
    op.drop_index("ix_predictions_film", "predictions")
    op.drop_index("ix_feedback_request", "feedback")
    op.add_column("audit", sa.Column("prediction_id", sa.String(length=512), nullable=True))
