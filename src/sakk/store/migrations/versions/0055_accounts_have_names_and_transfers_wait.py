"""accounts have names and transfers wait."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0055"
down_revision = "0054"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "aliases",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("code_hash", sa.Text(), nullable=True),
        sa.Column("code_expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("activated_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("metadata", postgresql.JSONB(), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_aliases")),
    )
    op.create_index("ix_aliases_account", "aliases", ["account_id", "livemode", "id"], unique=False)
    op.create_index(
        "uq_aliases_held",
        "aliases",
        ["livemode", "kind", "value"],
        unique=True,
        postgresql_where=sa.text("status in ('active', 'released')"),
    )
    op.add_column("transfers", sa.Column("recipient", sa.Text(), nullable=True))
    op.add_column("transfers", sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("transfers", sa.Column("reason", sa.Text(), nullable=True))
    op.add_column("transfers", sa.Column("initiator", sa.Text(), nullable=True))
    op.add_column("transfers", sa.Column("initiator_person", sa.Text(), nullable=True))
    op.alter_column("transfers", "destination", existing_type=sa.TEXT(), nullable=True)
    op.create_index(
        "ix_transfers_destination", "transfers", ["destination", "livemode", "id"], unique=False
    )
    op.create_index(
        "ix_transfers_reason",
        "transfers",
        ["reason"],
        unique=False,
        postgresql_where=sa.text("reason is not null"),
    )
    op.create_index(
        "ix_transfers_waiting",
        "transfers",
        ["id"],
        unique=False,
        postgresql_where=sa.text("status in ('pending', 'claiming', 'returning')"),
    )
