"""one word a person on one content."""

from alembic import op

revision = "0101"
down_revision = "0100"
branch_labels = None
depends_on = None

# Built when the transaction of all migrations is over: see `sakk.store.migrate`. Until then who
# says a word has locked what it is about.
CONCURRENTLY_UNIQUE = (("uq_approvals_word", "ON approvals (subject, actor, digest)"),)


def upgrade() -> None:
    op.drop_index("uq_approvals_actor", table_name="approvals")
