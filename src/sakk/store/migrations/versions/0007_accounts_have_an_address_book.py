"""accounts have an address book."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "beneficiaries",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("lookalike", sa.Text(), nullable=False),
        sa.Column("networks", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("usable_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ownership", postgresql.JSONB(), nullable=True),
        sa.Column("travel_rule", postgresql.JSONB(), nullable=True),
        sa.Column("confirmed_unlike", sa.Text(), nullable=True),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("metadata", postgresql.JSONB(), nullable=False),
        sa.Column("deleted", sa.Boolean(), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_beneficiaries")),
    )
    op.create_index(
        "ix_beneficiaries_account", "beneficiaries", ["account_id", "livemode", "id"], unique=False
    )
    op.create_index(
        "ix_beneficiaries_lookalike",
        "beneficiaries",
        ["account_id", "livemode", "lookalike"],
        unique=False,
    )
    op.create_index(
        "uq_beneficiaries_address",
        "beneficiaries",
        ["account_id", "livemode", "address"],
        unique=True,
        postgresql_where=sa.text("not deleted"),
    )
    op.add_column(
        "accounts",
        sa.Column("payouts", postgresql.JSONB(), server_default=sa.text("'{}'"), nullable=False),
    )
    op.add_column("payouts", sa.Column("beneficiary", sa.Text(), nullable=True))
    op.create_index(
        "ix_payouts_beneficiary",
        "payouts",
        ["beneficiary"],
        unique=False,
        postgresql_where=sa.text("beneficiary is not null"),
    )
    op.create_index(
        "ix_payouts_lookalike",
        "payouts",
        [
            "account_id",
            "livemode",
            sa.literal_column("(substr(destination, 3, 3) || right(destination, 3))"),
        ],
        unique=False,
    )
