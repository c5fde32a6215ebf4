"""The ledger for the operator: accounts of the chart, their entries, and the journal."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from enum import IntEnum
from typing import Annotated, Any, Final
from urllib.parse import urlencode
from uuid import UUID

from pydantic import Field
from sqlalchemy import Connection

from sakk.console import booking
from sakk.console.listing import ROWS, Exact, csv_file
from sakk.console.route import Menu, Screen
from sakk.console.visit import Download, Page, Visit
from sakk.core import ids, money
from sakk.core.balance import source_prefix
from sakk.core.chart import AccountCode, TransferCode
from sakk.core.errors import ParameterInvalid, ResourceMissing
from sakk.core.volume import beginning
from sakk.pages.form import Form
from sakk.pages.language import mark
from sakk.pages.moment import zone_of
from sakk.store import chart_account as store
from sakk.store import network
from sakk.store.ledger import ALWAYS, Entry, balance_at, entries

PATH = "/console/ledger"
JOURNAL = "/console/journal"
FILE_ROWS_MAX = 1_000
NANOSECONDS = 1_000_000_000
# What became of a transfer, and with which tone.
STATUSES: Final[Mapping[str, tuple[str, str]]] = {
    "posted": (mark("Booked"), "good"),
    "pending": (mark("Pending"), "wait"),
    "voided": (mark("Undone"), "plain"),
    "expired": (mark("Expired"), "plain"),
}
Time = Annotated[int, Field(ge=0, le=(1 << 63) - 1)]


class AccountsQuery(Form):
    """Which accounts, by part of their name and by kind."""

    q: Annotated[str, Field(max_length=200)] | None = None
    code: AccountCode | None = None
    after: Annotated[str, Field(max_length=300)] | None = None


class EntriesQuery(Form):
    """Which entries: before which of the ledger's times, and the balance at the end of a day."""

    after: Time | None = None
    at: date | None = None
    format: Annotated[str, Field(pattern="csv")] | None = None


class JournalQuery(Form):
    """Which transfers."""

    code: TransferCode | None = None
    after: Time | None = None


def index(visit: Visit, query: AccountsQuery) -> Page:
    """The accounts by name, with their balances."""
    with visit.database.read() as connection:
        rows, older = store.list_accounts(
            connection,
            livemode=visit.livemode,
            q=query.q,
            code=query.code,
            after=query.after,
            limit=ROWS,
        )
        scales = network.unit_decimals(connection)
    return Page(
        "console/ledger.html",
        {
            "rows": rows,
            "older": _address(PATH, q=query.q, code=query.code, after=older) if older else None,
            "is_cut": older is not None and len(rows) < ROWS,
            "query": query,
            "codes": _options(visit, AccountCode, booking.KINDS),
            "kinds": booking.KINDS,
            "scales": scales,
            "code_name": lambda code: AccountCode(code).name,
        },
    )


def show(visit: Visit, account: str, query: EntriesQuery) -> Page | Download:
    """One account: its totals, its entries, and what it had at the end of a day."""
    try:
        identifier = UUID(account)
    except ValueError:
        raise ResourceMissing(
            "No such ledger account: {account}", param="account", account=repr(account)
        ) from None
    with visit.database.read() as connection:
        found = store.find_account(connection, identifier, livemode=visit.livemode)
        if found is None:
            raise ResourceMissing(
                "No such ledger account: {account}", param="account", account=repr(account)
            )
        scale = network.unit_decimals(connection).get(found.unit, 0)
        limit = FILE_ROWS_MAX if query.format else ROWS + 1
        lines = entries(connection, identifier.int, after=query.after, span=ALWAYS, limit=limit)
        past = None if query.at is None else _past(connection, visit, identifier, query.at)
    if query.format:
        return _file([_entry(each, scale) for each in lines])
    shown, more = lines[:ROWS], len(lines) > ROWS
    return Page(
        "console/ledger_account.html",
        {
            "account": found,
            "scale": scale,
            "code_name": AccountCode(found.code).name,
            "kinds": booking.KINDS,
            "reasons": booking.REASONS,
            "entries": [_entry(each, scale) for each in shown],
            "older": _address(visit.path, after=shown[-1].timestamp_ns) if more else None,
            "file": _address(visit.path, format="csv"),
            "past": past,
            "at": query.at,
        },
    )


def journal(visit: Visit, query: JournalQuery) -> Page:
    """What was booked, newest first."""
    with visit.database.read() as connection:
        rows, older = store.list_journal(
            connection, livemode=visit.livemode, code=query.code, after=query.after, limit=ROWS
        )
        scales = network.unit_decimals(connection)
    return Page(
        "console/journal.html",
        {
            "rows": [
                {
                    "line": row,
                    "at": _moment(row.timestamp_ns),
                    "code": TransferCode(row.code).name,
                    "amount": money.format_decimal(row.amount, scales.get(row.unit, 0)),
                    "source": _source(row.code, row.user_data),
                }
                for row in rows
            ],
            "older": _address(JOURNAL, code=query.code, after=older) if older else None,
            "is_cut": older is not None and len(rows) < ROWS,
            "query": query,
            "statuses": STATUSES,
            "codes": _options(visit, TransferCode, booking.REASONS),
            "reasons": booking.REASONS,
        },
    )


def _past(connection: Connection, visit: Visit, identifier: UUID, day: date) -> int:
    end = beginning(day + timedelta(days=1), zone_of(visit.time_zone))
    if end.year < 1971:
        raise ParameterInvalid("The ledger begins later than that.", param="at")
    at = int(end.timestamp()) * NANOSECONDS - 1
    return balance_at(connection, identifier.int, timestamp_ns=at)


def _entry(entry: Entry, scale: int) -> dict[str, Any]:
    return {
        "at": _moment(entry.timestamp_ns),
        "code": TransferCode(entry.code).name,
        "amount": money.format_decimal(entry.amount, scale),
        "balance_after": money.format_decimal(entry.balance_after, scale),
        "source": _source(entry.code, entry.user_data),
        "transfer": str(entry.transfer_id),
    }


def _options(visit: Visit, codes: type[IntEnum], words: Mapping[str, str]) -> list[tuple[int, str]]:
    """Codes to choose from, by their words."""
    told = [(int(each), visit.words.gettext(words.get(each.name, each.name))) for each in codes]
    return sorted(told, key=lambda each: each[1])


def _source(code: int, user_data: UUID) -> str | None:
    """The id of what a transfer was booked for."""
    prefix = source_prefix(code)
    return None if prefix is None or not user_data.int else ids.encode(prefix, user_data.int)


def _moment(timestamp_ns: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=timestamp_ns // 1000)


def _address(path: str, **values: object) -> str:
    given = {name: value for name, value in values.items() if value is not None}
    return f"{path}?{urlencode(given)}" if given else path


def _file(rows: list[dict[str, Any]]) -> Download:
    return csv_file(
        "entries.csv",
        [
            ("time", lambda row: row["at"]),
            ("why", lambda row: row["code"]),
            ("amount", lambda row: Exact(row["amount"])),
            ("balance_after", lambda row: Exact(row["balance_after"])),
            ("source", lambda row: row["source"]),
            ("transfer", lambda row: row["transfer"]),
        ],
        rows,
    )


SCREENS: tuple[Screen, ...] = (
    Screen("GET", PATH, index, "ledger", operator_only=True, menu=Menu("Money", mark("Ledger"))),
    Screen("GET", PATH + "/{account}", show, "ledger", operator_only=True),
    Screen(
        "GET", JOURNAL, journal, "ledger", operator_only=True, menu=Menu("Money", mark("Journal"))
    ),
)
