"""payout batches may leave out wrong lines."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0037"
down_revision = "0036"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "payout_batch_skipped_lines",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("batch", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.Column("line", sa.Integer(), nullable=False),
        sa.Column("faults", postgresql.JSONB(), nullable=False),
        sa.Column("said", postgresql.JSONB(), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payout_batch_skipped_lines")),
    )
    op.create_index(
        "ix_payout_batch_skipped_lines_batch",
        "payout_batch_skipped_lines",
        ["batch", "id"],
        unique=False,
    )
    op.add_column(
        "payout_batches",
        sa.Column("on_invalid", sa.Text(), server_default="refuse", nullable=False),
    )
    op.add_column(
        "payout_batches", sa.Column("skipped", sa.Integer(), server_default="0", nullable=False)
    )
    op.add_column("payout_batches", sa.Column("asked", sa.Text(), nullable=True))
    op.create_index(
        "ix_payout_batches_asked",
        "payout_batches",
        ["account_id", "livemode", "asked"],
        unique=False,
    )
