"""Alembic's entry: runs on the connection, and in the transaction, of ``sakk.store.migrate``."""

from typing import Any, Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext
from sqlalchemy.dialects import postgresql
from sqlalchemy.types import TypeDecorator, TypeEngine

from sakk.store.migrate import all_tables, is_ours


def render_item(kind: str, item: Any, autogen: AutogenContext) -> str | Literal[False]:
    """Write a type of the house as what it is in the database: a migration never changes later."""
    if kind != "type" or not isinstance(item, TypeEngine):
        return False
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    plain = item.impl if isinstance(item, TypeDecorator) else item.dialect_impl(dialect)
    if isinstance(plain, postgresql.JSONB):
        autogen.imports.add("from sqlalchemy.dialects import postgresql")
        return "postgresql.JSONB()"
    if isinstance(item, TypeDecorator):
        return f"sa.{plain!r}"
    return False


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=all_tables(),
    compare_type=True,
    compare_server_default=True,
    include_name=is_ours,
    render_item=render_item,
)
with context.begin_transaction():
    context.run_migrations()
