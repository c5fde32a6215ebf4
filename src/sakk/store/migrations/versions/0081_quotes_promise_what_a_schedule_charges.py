"""quotes promise what a schedule charges."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0081"
down_revision = "0080"
branch_labels = None
depends_on = None

UNITS = sa.Numeric(precision=78, scale=0)


def upgrade() -> None:
    op.add_column("quotes", sa.Column("amount", UNITS, nullable=True))
    op.add_column("quotes", sa.Column("service_fee", UNITS, nullable=True))
    op.add_column("quotes", sa.Column("fee_terms", postgresql.JSONB(), nullable=True))
