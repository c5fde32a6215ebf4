"""Statements: an account's ledger entries, read from the projection."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    case,
    func,
    select,
    text,
    true,
)
from sqlalchemy.sql.selectable import LateralFromClause

from sakk.core import balance, chart, ids
from sakk.core.balance import BalanceTransaction
from sakk.core.chart import AccountCode
from sakk.core.errors import CursorMissing
from sakk.store.ledger import (
    NO_USER_DATA,
    ledger_account_names,
    ledger_entries,
    ledger_transfers,
)
from sakk.store.network import currencies
from sakk.store.page import PageRequest

_TEST = "test/"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


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
        at = balance.timestamp_of(identifier)
    except ValueError:
        return None
    line = _line(ledger_entries.c.timestamp_ns == at)
    found = _read(connection, _lines(line, account_id, livemode=livemode), livemode=livemode)
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
    at = ledger_entries.c.timestamp_ns
    bounds = _bounds(page)
    if source is not None:
        bounds += [
            ledger_transfers.c.user_data == _row_uuid(source),
            ledger_transfers.c.user_data != text(NO_USER_DATA),
        ]
    if page.ending_before is not None:
        bounds.append(
            at > _timestamp(connection, page.ending_before, "ending_before", account_id, livemode)
        )
    elif page.starting_after is not None:
        bounds.append(
            at < _timestamp(connection, page.starting_after, "starting_after", account_id, livemode)
        )
    oldest_first = page.ending_before is not None
    # Of each of the account's ledger accounts as many as may be shown; then of all of them.
    line = _line(*bounds, oldest_first=oldest_first, limit=page.limit + 1)
    statement = _lines(line, account_id, livemode=livemode)
    if currency is not None:
        unit = chart.currency_unit(currency, livemode=livemode)
        statement = statement.where(ledger_account_names.c.unit == unit)
    order = line.c.timestamp_ns.asc() if oldest_first else line.c.timestamp_ns.desc()
    rows = _read(connection, statement.order_by(order).limit(page.limit + 1), livemode=livemode)
    shown = rows[: page.limit]
    return shown[::-1] if oldest_first else shown, len(rows) > page.limit


def list_between(
    connection: Connection,
    *,
    account_id: str,
    livemode: bool,
    currency: str,
    after_ns: int,
    until_ns: int,
    limit: int,
) -> list[BalanceTransaction]:
    """Lines of one currency after a moment of the ledger and up to another, oldest first."""
    at = ledger_entries.c.timestamp_ns
    line = _line(at > after_ns, at <= until_ns, oldest_first=True, limit=limit)
    unit = chart.currency_unit(currency, livemode=livemode)
    statement = _lines(line, account_id, livemode=livemode).where(
        ledger_account_names.c.unit == unit
    )
    order = line.c.timestamp_ns.asc()
    return _read(connection, statement.order_by(order).limit(limit), livemode=livemode)


def _line(
    *conditions: ColumnElement[bool], oldest_first: bool = False, limit: int | None = None
) -> LateralFromClause:
    """The entries of one ledger account with their transfers."""
    at = ledger_entries.c.timestamp_ns
    return (
        select(
            at,
            ledger_entries.c.amount,
            ledger_entries.c.balance_after,
            ledger_transfers.c.code,
            ledger_transfers.c.user_data,
        )
        .join(
            ledger_transfers,
            (ledger_transfers.c.shard == ledger_entries.c.shard)
            & (ledger_transfers.c.timestamp_ns == at),
        )
        .where(ledger_entries.c.account_id == ledger_account_names.c.id, *conditions)
        .order_by(at.asc() if oldest_first else at.desc())
        .limit(limit)
        .lateral("line")
    )


def _lines(
    line: LateralFromClause, account_id: str, *, livemode: bool
) -> Select[tuple[object, ...]]:
    """The statement of an account in one mode: the modes' units are apart in the ledger."""
    unit = ledger_account_names.c.unit
    is_test = unit.startswith(_TEST)
    name = case((is_test, _without_test(unit)), else_=unit)
    return (
        select(*line.c, currencies.c.currency, currencies.c.decimals)
        .select_from(ledger_account_names)
        .join(currencies, currencies.c.currency == name)
        .join(line, true())
        .where(
            ledger_account_names.c.account == account_id,
            ledger_account_names.c.code == int(AccountCode.merchant_available),
            ~is_test if livemode else is_test,
        )
    )


def _without_test(unit: ColumnElement[str]) -> ColumnElement[str]:
    return func.substr(unit, len(_TEST) + 1)


def _bounds(page: PageRequest) -> list[ColumnElement[bool]]:
    at = ledger_entries.c.timestamp_ns
    bounds: list[ColumnElement[bool]] = []
    if page.created_gte is not None:
        bounds.append(at >= _nanoseconds(page.created_gte))
    if page.created_lt is not None:
        bounds.append(at < _nanoseconds(page.created_lt))
    return bounds


def _nanoseconds(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(microseconds=1) * 1000


def _timestamp(
    connection: Connection, identifier: str, param: str, account_id: str, livemode: bool
) -> int:
    if find_line(connection, identifier, account_id=account_id, livemode=livemode) is None:
        raise CursorMissing(
            "No such object in this list: {identifier}. Use an id that the list returned.",
            param=param,
            identifier=repr(identifier),
        )
    return balance.timestamp_of(identifier)


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
            timestamp_ns=row.timestamp_ns,
            currency=row.currency,
            decimals=row.decimals,
            amount=int(row.amount),
            balance_after=int(row.balance_after),
            code=row.code,
            source=source_of(row.code, row.user_data),
            livemode=livemode,
        )
        for row in connection.execute(statement)
    ]


def source_of(code: int, user_data: UUID) -> str | None:
    """What a movement is about, by its own id; None where the ledger does not say."""
    prefix = balance.source_prefix(code)
    return None if prefix is None or not user_data.int else ids.encode(prefix, user_data.int)
