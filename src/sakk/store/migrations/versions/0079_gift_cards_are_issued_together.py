"""gift cards are issued together."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0079"
down_revision = "0078"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "gift_card_batches",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.Column("cards", sa.Integer(), nullable=False),
        sa.Column("rejected", sa.Integer(), nullable=False),
        sa.Column("amount", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("decimals", sa.Integer(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("codes_taken_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("metadata", postgresql.JSONB(), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_gift_card_batches")),
    )
    op.create_index(
        "ix_gift_card_batches_account",
        "gift_card_batches",
        ["account_id", "livemode", "id"],
        unique=False,
    )
    op.create_index(
        "ix_gift_card_batches_requested",
        "gift_card_batches",
        ["created"],
        unique=False,
        postgresql_where=sa.text("status = 'requested'"),
    )
    op.add_column("gift_card_movements", sa.Column("batch", sa.Text(), nullable=True))
    op.create_index(
        "ix_gift_card_movements_batch",
        "gift_card_movements",
        ["batch", "id"],
        unique=False,
        postgresql_where=sa.text("batch is not null"),
    )
    op.add_column("gift_cards", sa.Column("batch", sa.Text(), nullable=True))
    op.create_index(
        "ix_gift_cards_batch",
        "gift_cards",
        ["batch", "id"],
        unique=False,
        postgresql_where=sa.text("batch is not null"),
    )
