"""screening rules count in windows."""

from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_payins_account_created", "payins", ["account_id", "created"], unique=False)
    op.create_index("ix_payins_sender_created", "payins", ["sender", "created"], unique=False)
    op.drop_index(op.f("ix_payouts_destination"), table_name="payouts")
    op.create_index(
        "ix_payouts_destination", "payouts", ["account_id", "destination", "created"], unique=False
    )
    op.create_index(
        "ix_payouts_account_created", "payouts", ["account_id", "created"], unique=False
    )
    op.create_index(
        "ix_payouts_destination_created", "payouts", ["destination", "created"], unique=False
    )
