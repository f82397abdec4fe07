"""Predictions, reports and audit rows say which site profile answered."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column. It stays empty, which is no profile: in old rows, and in those of servers of the release before."""
    if op.get_bind().dialect.name == "postgresql":
        # Writers take this lock first; locks in another order could deadlock.
        op.execute("SELECT last_seq FROM audit_state FOR UPDATE")
    for table in ("audit", "predictions", "feedback", "incidents"):
        op.add_column(table, sa.Column("site", sa.String(64), nullable=True))
