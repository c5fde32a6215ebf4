"""invoices that agents make under mandates."""

import sqlalchemy as sa
from alembic import op

revision = "0095"
down_revision = "0094"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "mandate_invoices",
        sa.Column("payment_intent", sa.Text(), nullable=False),
        sa.Column("mandate", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("payment_intent"),
    )
    op.create_index(
        "uq_mandate_invoices_reference",
        "mandate_invoices",
        ["mandate", "reference"],
        unique=True,
    )
