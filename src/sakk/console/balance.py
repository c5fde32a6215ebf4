"""Balances and the statement of an account, now and at the end of a day."""

from datetime import date, datetime, timedelta
from typing import Annotated, Any

from pydantic import Field

from sakk.console.listing import Exact, ListQuery, csv_file, listing
from sakk.console.route import Menu, Screen
from sakk.console.visit import Download, Page, Visit
from sakk.core import chart, money
from sakk.core.balance import BalanceTransaction, kind_of
from sakk.core.volume import beginning
from sakk.flow import balance as flow
from sakk.pages.form import Form
from sakk.pages.language import mark
from sakk.pages.moment import zone_of
from sakk.store import balance as store
from sakk.store import chart_account, network
from sakk.store import refund as refunds
from sakk.store.ledger import balance_at
from sakk.store.page import PageRequest, Window

PATH = "/console/balances"
STATEMENT = "/console/statement"
KINDS = {
    "payment": mark("Payment"),
    "payment_reversal": mark("Payment taken back"),
    "payout": mark("Payout"),
    "transfer": mark("Transfer"),
    "conversion": mark("Conversion"),
    "fee": mark("Fee"),
    "application_fee": mark("Platform's fee"),
    "application_fee_refund": mark("Platform's fee given back"),
    "reserve_transaction": mark("Reserve"),
    "adjustment": mark("Adjustment"),
}


class BalanceQuery(Form):
    """The end of which day; now when left out."""

    at: date | None = None


class StatementQuery(ListQuery):
    """Which lines."""

    currency: Annotated[str, Field(max_length=20)] | None = None


def index(visit: Visit, query: BalanceQuery) -> Page:
    """What an account has, what is on its way to it, and what it had."""
    if visit.account_id is None:
        return Page("console/balances.html", {"balance": None, "past": None, "at": query.at})
    balance = flow.read(visit.parts, account_id=visit.account_id, livemode=visit.livemode)
    past = None if query.at is None else _past(visit, visit.account_id, query.at)
    return Page("console/balances.html", {"balance": balance, "past": past, "at": query.at})


def statement(visit: Visit, query: StatementQuery) -> Page | Download:
    """The lines of an account's statement, newest first."""
    if visit.account_id is None:
        return Page("console/statement.html", {"list": None, "kinds": KINDS, "kind_of": _kind})
    zone = zone_of(visit.time_zone)
    page = PageRequest(
        limit=query.limit,
        starting_after=None if query.is_file else query.after,
        ending_before=None if query.is_file else query.before,
        created_gte=None if query.since is None else beginning(query.since, zone),
        created_lt=None
        if query.until is None
        else beginning(query.until + timedelta(days=1), zone),
    )
    with visit.database.read() as connection:
        lines, more = store.list_lines(
            connection,
            account_id=visit.account_id,
            livemode=visit.livemode,
            page=page,
            currency=query.currency,
            source=query.q,
        )
        currencies = network.list_currencies(connection)
        given_back = refunds.carried_by(connection, [line.source for line in lines if line.source])
    if query.is_file:
        return _file(lines)
    is_back = query.before is not None
    window = Window(
        lines,
        newer=lines[0].id if lines and (query.after or (is_back and more)) else None,
        older=lines[-1].id if lines and (more or is_back) else None,
    )
    return Page(
        "console/statement.html",
        {
            "list": listing(visit, query, window, lines),
            "kinds": KINDS,
            "kind_of": _kind,
            "given_back": given_back,
            "choices": {
                "currency": [(each.currency, each.currency.upper()) for each in currencies]
            },
        },
    )


def _kind(line: BalanceTransaction) -> str:
    return kind_of(line.code, line.amount)


def _past(visit: Visit, account_id: str, day: date) -> list[dict[str, Any]]:
    """What an account had at the end of a day of the person's zone, as the ledger knew it."""
    end: datetime = beginning(day + timedelta(days=1), zone_of(visit.time_zone))
    at = int(end.timestamp()) * 1_000_000_000 - 1
    with visit.database.read() as connection:
        scales = network.unit_decimals(connection)
        found = chart_account.available_of(connection, account_id, livemode=visit.livemode)
        return [
            {
                "currency": chart.currency_of_unit(unit)[0],
                "amount_decimal": money.format_decimal(
                    balance_at(connection, identifier.int, timestamp_ns=at), scales.get(unit, 0)
                ),
            }
            for unit, identifier in sorted(found.items())
        ]


def _file(lines: list[BalanceTransaction]) -> Download:
    return csv_file(
        "statement.csv",
        [
            ("id", lambda line: line.id),
            ("created", lambda line: line.timestamp),
            ("type", _kind),
            ("amount", lambda line: Exact(money.format_decimal(line.amount, line.decimals))),
            ("currency", lambda line: line.currency),
            (
                "balance_after",
                lambda line: Exact(money.format_decimal(line.balance_after, line.decimals)),
            ),
            ("source", lambda line: line.source),
        ],
        lines,
    )


SCREENS: tuple[Screen, ...] = (
    Screen("GET", PATH, index, "balance", menu=Menu("Money", mark("Balances"))),
    Screen(
        "GET", STATEMENT, statement, "balance_transactions", menu=Menu("Money", mark("Statement"))
    ),
)
