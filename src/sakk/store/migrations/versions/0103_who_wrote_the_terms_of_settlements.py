"""who wrote the terms of settlements."""

import sqlalchemy as sa
from alembic import op

revision = "0103"
down_revision = "0102"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table in ("settlement_schedules", "settlements"):
        op.add_column(table, sa.Column("initiator", sa.Text()))
        op.add_column(table, sa.Column("initiator_person", sa.Text()))
