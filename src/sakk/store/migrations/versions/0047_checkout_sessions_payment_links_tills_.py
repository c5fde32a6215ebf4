"""checkout sessions, payment links, tills and branding."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0047"
down_revision = "0046"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "brandings",
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("logo", postgresql.BYTEA(), nullable=True),
        sa.Column("logo_hash", sa.Text(), nullable=True),
        sa.Column("color", sa.Text(), nullable=True),
        sa.Column("support_email", sa.Text(), nullable=True),
        sa.Column("support_url", sa.Text(), nullable=True),
        sa.Column("support_phone", sa.Text(), nullable=True),
        sa.Column("origins", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("updated", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_brandings")),
    )
    op.create_index("ix_brandings_logo", "brandings", ["logo_hash"], unique=False)
    op.create_table(
        "checkout_sessions",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.Column("payment_intent", sa.Text(), nullable=False),
        sa.Column("token_hash", sa.Text(), nullable=False),
        sa.Column("lines", postgresql.JSONB(), nullable=False),
        sa.Column("success_url", sa.Text(), nullable=True),
        sa.Column("cancel_url", sa.Text(), nullable=True),
        sa.Column("client_reference_id", sa.Text(), nullable=True),
        sa.Column("locale", sa.Text(), nullable=True),
        sa.Column("metadata", postgresql.JSONB(), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("payment_link", sa.Text(), nullable=True),
        sa.Column("pos_device", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_checkout_sessions")),
    )
    op.create_index(
        "ix_checkout_sessions_account",
        "checkout_sessions",
        ["account_id", "livemode", "id"],
        unique=False,
    )
    op.create_index(
        "ix_checkout_sessions_device",
        "checkout_sessions",
        ["pos_device", "id"],
        unique=False,
        postgresql_where=sa.text("pos_device is not null"),
    )
    op.create_index(
        "ix_checkout_sessions_link",
        "checkout_sessions",
        ["payment_link", "id"],
        unique=False,
        postgresql_where=sa.text("payment_link is not null"),
    )
    op.create_index(
        "uq_checkout_sessions_intent", "checkout_sessions", ["payment_intent"], unique=True
    )
    op.create_index("uq_checkout_sessions_token", "checkout_sessions", ["token_hash"], unique=True)
    op.create_table(
        "payment_links",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.Column("token_hash", sa.Text(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("decimals", sa.Integer(), nullable=False),
        sa.Column("lines", postgresql.JSONB(), nullable=False),
        sa.Column("amount", sa.Numeric(precision=78, scale=0), nullable=True),
        sa.Column("amount_min", sa.Numeric(precision=78, scale=0), nullable=True),
        sa.Column("amount_max", sa.Numeric(precision=78, scale=0), nullable=True),
        sa.Column("amount_preset", sa.Numeric(precision=78, scale=0), nullable=True),
        sa.Column("networks", sa.ARRAY(sa.Text()), nullable=True),
        sa.Column("currencies", sa.ARRAY(sa.Text()), nullable=True),
        sa.Column("uses_max", sa.Integer(), nullable=True),
        sa.Column("uses", sa.Integer(), nullable=False),
        sa.Column("success_url", sa.Text(), nullable=True),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("inactive_message", sa.Text(), nullable=True),
        sa.Column("metadata", postgresql.JSONB(), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payment_links")),
    )
    op.create_index(
        "ix_payment_links_account", "payment_links", ["account_id", "livemode", "id"], unique=False
    )
    op.create_index("uq_payment_links_token", "payment_links", ["token_hash"], unique=True)
    op.create_table(
        "pos_devices",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("decimals", sa.Integer(), nullable=False),
        sa.Column("networks", sa.ARRAY(sa.Text()), nullable=True),
        sa.Column("currencies", sa.ARRAY(sa.Text()), nullable=True),
        sa.Column("pairing_hash", sa.Text(), nullable=True),
        sa.Column("pairing_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("token_hash", sa.Text(), nullable=True),
        sa.Column("paired_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("metadata", postgresql.JSONB(), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pos_devices")),
    )
    op.create_index(
        "ix_pos_devices_account", "pos_devices", ["account_id", "livemode", "id"], unique=False
    )
    op.create_index("uq_pos_devices_pairing", "pos_devices", ["pairing_hash"], unique=True)
    op.create_index("uq_pos_devices_token", "pos_devices", ["token_hash"], unique=True)
