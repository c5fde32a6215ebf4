"""Alembic's entry: runs on the connection, and in the transaction, of ``sakk.store.migrate``."""

from alembic import context

from sakk.store.migrate import all_tables

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=all_tables(),
    compare_type=True,
    compare_server_default=True,
)
with context.begin_transaction():
    context.run_migrations()
