"""rotations lifts and gas limits."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "freeze_lifts",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("freeze", sa.Text(), nullable=False),
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("approvals", postgresql.JSONB(), nullable=False),
        sa.Column("proposed_by", sa.Text(), nullable=False),
        sa.Column("decided_by", sa.Text(), nullable=True),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_freeze_lifts")),
    )
    op.create_index(
        "uq_freeze_lifts_proposed",
        "freeze_lifts",
        ["freeze"],
        unique=True,
        postgresql_where=sa.text("status = 'proposed'"),
    )
    op.create_table(
        "key_rotations",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("source_index", sa.BigInteger(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("target_index", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("approvals", postgresql.JSONB(), nullable=False),
        sa.Column("target_role", sa.Text(), nullable=True),
        sa.Column("left", postgresql.JSONB(), nullable=False),
        sa.Column("moving_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("retired_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("aborted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_key_rotations")),
    )
    op.create_index(
        "uq_key_rotations_source",
        "key_rotations",
        ["source"],
        unique=True,
        postgresql_where=sa.text("status <> 'aborted'"),
    )
    op.add_column("addresses", sa.Column("role", sa.Text(), nullable=True))
    op.add_column(
        "gas_tanks", sa.Column("limited_wei", sa.Numeric(precision=78, scale=0), nullable=True)
    )
    op.add_column(
        "networks",
        sa.Column("topup_wei_per_day_max", sa.Numeric(precision=78, scale=0), nullable=True),
    )
