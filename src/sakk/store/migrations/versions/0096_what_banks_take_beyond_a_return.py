"""what a bank took beyond what was agreed to for a return, or sent too little."""

import sqlalchemy as sa
from alembic import op

revision = "0096"
down_revision = "0095"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "bank_returns",
        sa.Column("difference_units", sa.Numeric(78, 0), nullable=False, server_default="0"),
    )
