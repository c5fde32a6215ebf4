"""Reports that are lists: statements, fees, volumes, Travel Rule records, large values."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from sakk.core import chart, rate
from sakk.core.balance import BalanceTransaction, kind_of
from sakk.core.money import format_decimal
from sakk.core.network import Currency
from sakk.core.report import ReportParameters, tax_within
from sakk.core.sheet import Exact, Sheet
from sakk.flow.rate import read_market
from sakk.flow.report_books import ns
from sakk.store import report_books as books
from sakk.store import report_list as store
from sakk.store.balance import source_of
from sakk.store.network import list_currencies


def merchant_statement(
    connection: Connection, parameters: ReportParameters, *, live: bool
) -> Sheet:
    """Opening, every line with its number among all of the account's, and closing."""
    account_id, currency = parameters.account, parameters.currency
    assert account_id is not None
    assert currency is not None
    unit = chart.currency_unit(currency, livemode=live)
    account = chart.merchant(account_id, "available", unit)
    span = {"start_ns": ns(parameters.start), "end_ns": ns(parameters.end)}
    before, opening, total = books.statement_head(connection, account, **span)
    lines = books.statement_lines(connection, account, **span)
    decimals = _decimals(connection)[currency]
    columns = ("number", "id", "time", "type", "amount", "balance", "currency", "source")
    rows = _statement(
        parameters, lines, before=before, opening=opening, decimals=decimals, live=live
    )
    return Sheet(columns, total + 2, rows)


def _statement(
    parameters: ReportParameters,
    lines: Iterator[Any],
    *,
    before: int,
    opening: int,
    decimals: int,
    live: bool,
) -> Iterator[Sequence[object]]:
    currency = str(parameters.currency)

    def exact(units: int) -> Exact:
        return Exact(format_decimal(units, decimals))

    yield (None, None, parameters.start, "opening", None, exact(opening), currency, None)
    balance = opening
    for number, row in enumerate(lines, before + 1):
        amount = int(row.amount)
        balance = int(row.balance_after)
        line = BalanceTransaction(
            timestamp_ns=row.timestamp_ns,
            currency=currency,
            decimals=decimals,
            amount=amount,
            balance_after=balance,
            code=row.code,
            source=source_of(row.code, row.user_data),
            livemode=live,
        )
        at = line.timestamp.isoformat(timespec="microseconds")
        kind = kind_of(row.code, amount)
        yield (number, line.id, at, kind, exact(amount), exact(balance), currency, line.source)
    total = exact(balance - opening)
    yield (None, None, parameters.end, "closing", total, exact(balance), currency, None)


def fees(connection: Connection, parameters: ReportParameters, *, live: bool) -> Sheet:
    """Every fee that was charged or went back, by whose rule, and the tax that is in it."""
    given = _window(parameters, live) | {"currency": parameters.currency}
    total, found = store.fees(connection, **given)
    columns = (
        "id", "time", "account", "country", "kind", "reason", "source", "currency", "basis",
        "amount", "net", "tax", "tax_percent", "schedule", "version", "rule",
    )  # fmt: skip
    return Sheet(columns, total, _fee_rows(found, parameters.tax_ppm))


def _fee_rows(found: Iterator[Any], tax_ppm: int) -> Iterator[Sequence[object]]:
    percent = Exact(format_decimal(tax_ppm, 4))
    for row in found:
        net, tax = tax_within(int(row.amount), tax_ppm)
        amounts = (int(row.basis), int(row.amount), net, tax)
        yield (
            row.id,
            row.created,
            row.account_id,
            row.country,
            row.kind,
            row.reason,
            row.source,
            row.currency,
            *(Exact(format_decimal(units, row.decimals)) for units in amounts),
            percent,
            row.schedule,
            row.version,
            row.rule,
        )


def volumes(connection: Connection, parameters: ReportParameters, *, live: bool) -> Sheet:
    """What came in and went out, by network, asset, currency and the account's country."""
    found = list(store.volumes(connection, **_window(parameters, live)))
    columns = (
        "direction", "network", "asset", "currency", "country", "transfers", "amount",
    )  # fmt: skip
    rows = (
        (
            row.kind,
            row.network,
            row.asset,
            row.currency,
            row.country,
            row.transfers,
            Exact(format_decimal(int(row.units), row.decimals)),
        )
        for row in found
    )
    return Sheet(columns, len(found), rows)


def travel_rule(connection: Connection, parameters: ReportParameters, *, live: bool) -> Sheet:
    """Every Travel Rule record, and how it ended; names stay sealed where they are."""
    total, found = store.travel_rule(connection, **_window(parameters, live))
    columns = (
        "id", "time", "account", "direction", "transfer", "status", "regime", "network", "address",
        "currency", "amount", "counterparty", "vasp", "exchange", "tx_hash", "completed_at",
        "ended_at",
    )  # fmt: skip
    rows = (
        (
            row.id,
            row.created,
            row.account_id,
            row.direction,
            row.subject,
            row.status,
            row.regime,
            row.network,
            row.address,
            row.currency,
            Exact(format_decimal(int(row.amount), row.decimals or 0)),
            row.counterparty,
            row.vasp,
            row.exchange,
            row.tx_hash,
            row.completed_at,
            row.ended_at,
        )
        for row in found
    )
    return Sheet(columns, total, rows)


def large_values(
    connection: Connection, parameters: ReportParameters, *, live: bool, now: datetime
) -> Sheet:
    """Transfers that are worth the threshold or more in the currency that is reported in.

    By the middle of the market now; what has no price is listed too, without its worth.
    """
    assert parameters.threshold is not None
    currencies = {each.currency: each for each in list_currencies(connection)}
    target = currencies[str(parameters.currency)]
    total, found = store.moved(connection, **_window(parameters, live))
    columns = (
        "direction", "id", "time", "account", "country", "network", "asset", "currency", "amount",
        "address", "tx_hash", "value", "value_currency",
    )  # fmt: skip
    market = read_market(connection, now=now)
    worth = {
        name: rated.price.mid
        for name in currencies
        if (rated := market.find(name, target.currency)) is not None
    }
    return Sheet(columns, total, _large(found, worth, target, parameters.threshold))


def _large(
    found: Iterator[Any], worth: Mapping[str, int], target: Currency, threshold: int
) -> Iterator[Sequence[object]]:
    for row in found:
        units = int(row.units)
        value = _worth(units, row.decimals, worth.get(row.currency), target)
        if value is not None and value < threshold:
            continue
        yield (
            row.kind,
            row.id,
            row.posted_at,
            row.account_id,
            row.country,
            row.network,
            row.asset,
            row.currency,
            Exact(format_decimal(units, row.decimals)),
            row.address,
            row.tx_hash,
            None if value is None else Exact(format_decimal(value, target.decimals)),
            target.currency,
        )


def _worth(units: int, decimals: int, price: int | None, target: Currency) -> int | None:
    if price is None:
        return None
    return rate.convert(units, price, base_decimals=decimals, quote_decimals=target.decimals)


def _window(parameters: ReportParameters, live: bool) -> dict[str, Any]:
    return store.window(
        account=parameters.account, livemode=live, start=parameters.start, end=parameters.end
    )


def _decimals(connection: Connection) -> dict[str, int]:
    return {each.currency: each.decimals for each in list_currencies(connection)}
