"""Statements: an account's ledger entries, read from the projection."""

from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Select, case, func, select

from sakk.core import balance, chart, ids
from sakk.core.balance import BalanceTransaction
from sakk.core.chart import AccountCode
from sakk.core.errors import CursorMissing
from sakk.store.ledger import ledger_account_names, ledger_entries, ledger_transfers
from sakk.store.network import currencies
from sakk.store.page import PageRequest

_TEST = "test/"


def balance_units(connection: Connection, *, account_id: str, livemode: bool) -> list[str]:
    """The units in which an account has, or had, an available balance."""
    rows = connection.execute(
        select(ledger_account_names.c.unit)
        .where(
            ledger_account_names.c.account == account_id,
            ledger_account_names.c.code == int(AccountCode.merchant_available),
        )
        .order_by(ledger_account_names.c.unit)
    )
    return [unit for unit in rows.scalars() if chart.currency_of_unit(unit)[1] == livemode]


def find_line(
    connection: Connection, identifier: str, *, account_id: str, livemode: bool
) -> BalanceTransaction | None:
    """One line of an account's statement by its ``txn_`` id; None if it is not the account's."""
    try:
        sequence = balance.sequence_of(identifier)
    except ValueError:
        return None
    found = _read(
        connection,
        _lines(account_id, livemode=livemode).where(ledger_entries.c.sequence == sequence),
        livemode=livemode,
    )
    return found[0] if found and found[0].id == identifier else None


def list_lines(
    connection: Connection,
    *,
    account_id: str,
    livemode: bool,
    page: PageRequest,
    currency: str | None = None,
    source: str | None = None,
) -> tuple[list[BalanceTransaction], bool]:
    """A page of an account's statement, newest first, and whether there is more."""
    sequence = ledger_entries.c.sequence
    statement = _lines(account_id, livemode=livemode).where(*_bounds(page))
    if currency is not None:
        unit = chart.currency_unit(currency, livemode=livemode)
        statement = statement.where(ledger_account_names.c.unit == unit)
    if source is not None:
        statement = statement.where(ledger_transfers.c.user_data == _row_uuid(source))
    if page.ending_before is not None:
        after = _sequence(connection, page.ending_before, "ending_before", account_id, livemode)
        statement = statement.where(sequence > after).order_by(sequence.asc())
        rows = _read(connection, statement.limit(page.limit + 1), livemode=livemode)
        return rows[: page.limit][::-1], len(rows) > page.limit
    if page.starting_after is not None:
        before = _sequence(connection, page.starting_after, "starting_after", account_id, livemode)
        statement = statement.where(sequence < before)
    rows = _read(
        connection, statement.order_by(sequence.desc()).limit(page.limit + 1), livemode=livemode
    )
    return rows[: page.limit], len(rows) > page.limit


def _lines(account_id: str, *, livemode: bool) -> Select[tuple[object, ...]]:
    """The statement of an account in one mode: the modes' units are apart in the ledger."""
    unit = ledger_account_names.c.unit
    is_test = unit.startswith(_TEST)
    name = case((is_test, _without_test(unit)), else_=unit)
    return (
        select(
            ledger_entries.c.sequence,
            ledger_entries.c.timestamp,
            currencies.c.currency,
            currencies.c.decimals,
            ledger_entries.c.direction,
            ledger_entries.c.amount,
            ledger_entries.c.balance_after,
            ledger_entries.c.code,
            ledger_transfers.c.user_data,
        )
        .join(ledger_account_names, ledger_account_names.c.id == ledger_entries.c.account_id)
        .join(ledger_transfers, ledger_transfers.c.id == ledger_entries.c.transfer_id)
        .join(currencies, currencies.c.currency == name)
        .where(
            ledger_account_names.c.account == account_id,
            ledger_account_names.c.code == int(AccountCode.merchant_available),
            ~is_test if livemode else is_test,
        )
    )


def _without_test(unit: ColumnElement[str]) -> ColumnElement[str]:
    return func.substr(unit, len(_TEST) + 1)


def _bounds(page: PageRequest) -> list[ColumnElement[bool]]:
    at = ledger_entries.c.timestamp
    bounds: list[ColumnElement[bool]] = []
    if page.created_gte is not None:
        bounds.append(at >= page.created_gte)
    if page.created_lt is not None:
        bounds.append(at < page.created_lt)
    return bounds


def _sequence(
    connection: Connection, identifier: str, param: str, account_id: str, livemode: bool
) -> int:
    if find_line(connection, identifier, account_id=account_id, livemode=livemode) is None:
        raise CursorMissing(
            f"No such object in this list: {identifier!r}. Use an id that the list returned.",
            param=param,
        )
    return balance.sequence_of(identifier)


def _row_uuid(identifier: str) -> UUID:
    try:
        return UUID(int=ids.decode(identifier)[1])
    except ValueError:
        return UUID(int=0)


def _read(
    connection: Connection, statement: Select[tuple[object, ...]], *, livemode: bool
) -> list[BalanceTransaction]:
    return [
        BalanceTransaction(
            sequence=row.sequence,
            timestamp=row.timestamp,
            currency=row.currency,
            decimals=row.decimals,
            amount=int(row.amount) if row.direction == "credit" else -int(row.amount),
            balance_after=int(row.balance_after),
            code=row.code,
            source=_source(row.code, row.user_data),
            livemode=livemode,
        )
        for row in connection.execute(statement)
    ]


def _source(code: int, user_data: UUID) -> str | None:
    prefix = balance.source_prefix(code)
    return None if prefix is None or not user_data.int else ids.encode(prefix, user_data.int)
