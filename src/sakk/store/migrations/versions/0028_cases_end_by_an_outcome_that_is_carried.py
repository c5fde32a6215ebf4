"""cases end by an outcome that is carried."""

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        "ix_cases_carried",
        "cases",
        ["id"],
        unique=False,
        postgresql_where=sa.text("status = 'carrying_out'"),
    )
    op.drop_column("cases", "lease_until")
    op.drop_column("cases", "attempt")
    op.drop_column("cases", "lease_token")
    op.drop_column("cases", "failures")
    op.drop_column("cases", "retry_at")
