"""payments are paid without a chain."""

import sqlalchemy as sa
from alembic import op

revision = "0072"
down_revision = "0071"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("amount_credited", "amount_held"):
        op.add_column(
            "payment_intents",
            sa.Column(name, sa.Numeric(precision=78, scale=0), server_default="0", nullable=False),
        )
    op.add_column("gift_card_movements", sa.Column("payment_intent", sa.Text(), nullable=True))
    op.create_table(
        "payment_credits",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("payment_intent", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("value", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payment_credits")),
    )
    op.create_index(
        "ix_payment_credits_intent", "payment_credits", ["payment_intent", "id"], unique=False
    )
