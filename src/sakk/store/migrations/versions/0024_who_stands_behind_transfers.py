"""who stands behind transfers."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "regimes",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("regime", postgresql.JSONB(), nullable=True),
        sa.Column("institution", postgresql.JSONB(), nullable=True),
        sa.Column("chosen_by", sa.Text(), nullable=True),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_regimes")),
    )
    op.create_index("ix_regimes_newest", "regimes", ["livemode", "id"], unique=False)
    op.create_table(
        "travel_addresses",
        sa.Column("token_hash", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.Column("network", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("token_hash", name=op.f("pk_travel_addresses")),
    )
    op.create_table(
        "travel_messages",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("record", sa.Text(), nullable=False),
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("request_identifier", sa.Text(), nullable=False),
        sa.Column("detail", postgresql.JSONB(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=True),
        sa.Column("give_up_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("attempt", sa.Integer(), server_default="0", nullable=False),
        sa.Column("failures", sa.Integer(), server_default="0", nullable=False),
        sa.Column("retry_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lease_token", sa.Text(), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_travel_messages")),
    )
    op.create_index(
        "ix_travel_messages_due",
        "travel_messages",
        ["id"],
        unique=False,
        postgresql_where=sa.text("status = 'queued'"),
    )
    op.create_index("uq_travel_messages_kind", "travel_messages", ["record", "kind"], unique=True)
    op.create_table(
        "travel_parties",
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.Column("person", sa.LargeBinary(), nullable=False),
        sa.Column("updated", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "livemode", name=op.f("pk_travel_parties")),
    )
    op.create_table(
        "travel_rules",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=True),
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.Column("direction", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("regime", sa.Text(), nullable=False),
        sa.Column("network", sa.Text(), nullable=True),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=True),
        sa.Column("amount", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("counterparty", sa.Text(), nullable=False),
        sa.Column("vasp", sa.Text(), nullable=True),
        sa.Column("requirement", postgresql.JSONB(), nullable=False),
        sa.Column("missing", postgresql.JSONB(), nullable=False),
        sa.Column("ownership", sa.Text(), nullable=True),
        sa.Column("exchange", sa.Text(), nullable=False),
        sa.Column("request_identifier", sa.Text(), nullable=False),
        sa.Column("token_hash", sa.Text(), nullable=True),
        sa.Column("peer_callback", sa.Text(), nullable=True),
        sa.Column("tx_hash", sa.Text(), nullable=True),
        sa.Column("payload", sa.LargeBinary(), nullable=True),
        sa.Column("deadline_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("completed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("decided_by", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("legal_hold", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_travel_rules")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_travel_rules_token_hash")),
    )
    op.create_index(
        "ix_travel_rules_account", "travel_rules", ["account_id", "livemode", "id"], unique=False
    )
    op.create_index(
        "ix_travel_rules_address",
        "travel_rules",
        ["address"],
        unique=False,
        postgresql_where=sa.text("subject is null"),
    )
    op.create_index(
        "ix_travel_rules_kept",
        "travel_rules",
        ["created"],
        unique=False,
        postgresql_where=sa.text("payload is not null and not legal_hold"),
    )
    op.create_index(
        "ix_travel_rules_open",
        "travel_rules",
        ["status", "deadline_at"],
        unique=False,
        postgresql_where=sa.text("ended_at is null"),
    )
    op.create_index(
        "uq_travel_rules_inquiry",
        "travel_rules",
        ["request_identifier", "address"],
        unique=True,
        postgresql_where=sa.text("direction = 'incoming'"),
    )
    op.create_index(
        "uq_travel_rules_subject",
        "travel_rules",
        ["subject"],
        unique=True,
        postgresql_where=sa.text("subject is not null"),
    )
    op.create_table(
        "vasps",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("lei", sa.Text(), nullable=True),
        sa.Column("country", sa.Text(), nullable=True),
        sa.Column("travel_address", sa.Text(), nullable=True),
        sa.Column("addresses", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_vasps")),
    )
    op.create_index(
        "ix_vasps_addresses", "vasps", ["addresses"], unique=False, postgresql_using="gin"
    )
    op.create_index("ix_vasps_lei", "vasps", ["livemode", "lei"], unique=False)
    op.create_table(
        "wallet_proofs",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.Column("beneficiary", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("payment_intent", sa.Text(), nullable=False),
        sa.Column("amount", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("payin", sa.Text(), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_wallet_proofs")),
        sa.UniqueConstraint("payment_intent", name=op.f("uq_wallet_proofs_payment_intent")),
    )
    op.create_index(
        "ix_wallet_proofs_account", "wallet_proofs", ["account_id", "livemode", "id"], unique=False
    )
    op.create_index(
        "ix_wallet_proofs_open",
        "wallet_proofs",
        ["id"],
        unique=False,
        postgresql_where=sa.text("status = 'open'"),
    )
    op.add_column(
        "payouts",
        sa.Column("travel_rule", sa.Text(), server_default="not_required", nullable=False),
    )
