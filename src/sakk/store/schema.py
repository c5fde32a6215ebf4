"""What all tables share: one metadata, names of constraints, and the column types of the house.

Each noun's tables stand at the head of its own file. Amounts are ``NUMERIC(78,0)``: they hold any
unsigned 256-bit integer exactly and arrive in Python as ``int``.
"""

from decimal import Decimal
from typing import Any

from sqlalchemy import JSON, DateTime, MetaData, Numeric, Text
from sqlalchemy.dialects.postgresql import BYTEA, JSONB
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class Units(TypeDecorator[int]):
    """A whole number of smallest units, up to 78 digits; never a float."""

    impl = Numeric(78, 0, asdecimal=True)
    cache_ok = True

    def process_bind_param(self, value: int | None, dialect: Dialect) -> Decimal | None:
        if value is None:
            return None
        if type(value) is not int:
            raise TypeError(f"units must be an int, not {type(value).__name__}")
        return Decimal(value)

    def process_result_value(self, value: Decimal | None, dialect: Dialect) -> int | None:
        return None if value is None else int(value)


Timestamp = DateTime(timezone=True)
Document = JSON().with_variant(JSONB(), "postgresql")
Bytes = BYTEA
Identifier = Text

Row = dict[str, Any]
