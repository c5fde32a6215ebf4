"""mandates, spends, the pool and refills."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0036"
down_revision = "0035"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "mandate_spends",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("mandate", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("fingerprint", postgresql.BYTEA(), nullable=False),
        sa.Column("amount", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("decimals", sa.Integer(), nullable=False),
        sa.Column("payee_account", sa.Text(), nullable=True),
        sa.Column("payee_network", sa.Text(), nullable=True),
        sa.Column("payee_address", sa.Text(), nullable=True),
        sa.Column("payee_host", sa.Text(), nullable=True),
        sa.Column("scheme", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("failure_code", sa.Text(), nullable=True),
        sa.Column("failure", postgresql.JSONB(), nullable=True),
        sa.Column("reserved_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("approve_by", sa.DateTime(timezone=True), nullable=True),
        sa.Column("approved_by", sa.Text(), nullable=True),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("metadata", postgresql.JSONB(), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_mandate_spends")),
    )
    op.create_index(
        "ix_mandate_spends_account",
        "mandate_spends",
        ["account_id", "livemode", "id"],
        unique=False,
    )
    op.create_index(
        "ix_mandate_spends_requested",
        "mandate_spends",
        ["reserved_at"],
        unique=False,
        postgresql_where=sa.text("status IN ('requested', 'releasing')"),
    )
    op.create_index(
        "ix_mandate_spends_waiting",
        "mandate_spends",
        ["approve_by"],
        unique=False,
        postgresql_where=sa.text("status IN ('waiting', 'approved')"),
    )
    op.create_index(
        "uq_mandate_spends_reference", "mandate_spends", ["mandate", "reference"], unique=True
    )
    op.create_table(
        "mandates",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.Column("owner_key", sa.Text(), nullable=False),
        sa.Column("agent", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("terms", postgresql.JSONB(), nullable=False),
        sa.Column("signed", postgresql.BYTEA(), nullable=False),
        sa.Column("digest", postgresql.BYTEA(), nullable=False),
        sa.Column("signature", postgresql.BYTEA(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("replaces", sa.Text(), nullable=True),
        sa.Column("replaced_by", sa.Text(), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_by", sa.Text(), nullable=True),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("metadata", postgresql.JSONB(), nullable=False),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_mandates")),
        sa.UniqueConstraint("digest", name=op.f("uq_mandates_digest")),
    )
    op.create_index(
        "ix_mandates_account", "mandates", ["account_id", "livemode", "id"], unique=False
    )
    op.create_index("ix_mandates_agent", "mandates", ["agent", "id"], unique=False)
    op.create_index("ix_mandates_owner_key", "mandates", ["owner_key", "id"], unique=False)
    op.create_index(
        "ix_mandates_revoking",
        "mandates",
        ["revoked_at"],
        unique=False,
        postgresql_where=sa.text("status = 'revoking'"),
    )
    op.create_table(
        "owner_keys",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("signature", postgresql.BYTEA(), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_owner_keys")),
    )
    op.create_index(
        "ix_owner_keys_account", "owner_keys", ["account_id", "livemode", "id"], unique=False
    )
    op.create_index(
        "uq_owner_keys_address",
        "owner_keys",
        ["account_id", "livemode", "address"],
        unique=True,
        postgresql_where=sa.text("revoked_at IS NULL"),
    )
    op.create_table(
        "pool_movements",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.Column("mandate", sa.Text(), nullable=True),
        sa.Column("reference", sa.Text(), nullable=True),
        sa.Column("direction", sa.Text(), nullable=False),
        sa.Column("amount", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("decimals", sa.Integer(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("failure_code", sa.Text(), nullable=True),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pool_movements")),
    )
    op.create_index(
        "ix_pool_movements_account",
        "pool_movements",
        ["account_id", "livemode", "id"],
        unique=False,
    )
    op.create_index(
        "ix_pool_movements_requested",
        "pool_movements",
        ["created"],
        unique=False,
        postgresql_where=sa.text("status = 'requested'"),
    )
    op.create_index(
        "uq_pool_movements_reference", "pool_movements", ["mandate", "reference"], unique=True
    )
    op.create_table(
        "refills",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("mandate", sa.Text(), nullable=False),
        sa.Column("below", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("up_to", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("failure_code", sa.Text(), nullable=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("retry_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_refills")),
    )
    op.create_index("ix_refills_account", "refills", ["account_id", "livemode", "id"], unique=False)
    op.create_index(
        "uq_refills_channel",
        "refills",
        ["channel"],
        unique=True,
        postgresql_where=sa.text("status <> 'ended'"),
    )
    op.add_column("api_keys", sa.Column("mandate", sa.Text(), nullable=True))
