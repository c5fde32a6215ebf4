"""Statements of settlements: every line with its number, as JSON, CSV and a bank's statement."""

import csv
import io
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from sakk.core import money
from sakk.core import settlement as rules
from sakk.core.balance import BalanceTransaction, kind_of, public_transaction
from sakk.core.bank_payment import compact
from sakk.core.errors import ParameterInvalid
from sakk.core.network import CurrencyKind
from sakk.core.settlement import Settlement
from sakk.rails.bank.camt053 import Entry, Statement, write_camt053
from sakk.store import account as accounts
from sakk.store import network
from sakk.store import settlement as store

HEADS = ("number", "id", "time", "type", "amount", "balance", "currency", "source")


def line(settlement: Settlement, number: int, found: BalanceTransaction) -> dict[str, Any]:
    """A balance transaction as a line of a settlement."""
    return {**public_transaction(found), "number": number, "settlement": settlement.id}


def camt053_of(connection: Connection, settlement: Settlement) -> bytes:
    """The statement as banks write it (camt.053): of a currency that banks have alone.

    It is numbered on from the one before in its currency, without a gap. ParameterInvalid.
    """
    listed = {each.currency: each for each in network.list_currencies(connection)}
    currency = listed.get(settlement.currency)
    if currency is None or currency.kind != CurrencyKind.fiat.value:
        raise ParameterInvalid(
            "{currency} is no currency that banks have: use the form csv.",
            param="form",
            currency=settlement.currency,
        )
    owner = accounts.find_account(connection, settlement.account_id)
    zone = ZoneInfo(rules.read_terms(settlement.terms).timezone)
    start, end = (_moment(each) for each in (settlement.from_ns, settlement.to_ns))
    written = Statement(
        id=compact(settlement.id),
        number=store.number_in_currency(connection, settlement),
        created=settlement.created,
        account=settlement.account_id,
        is_iban=False,
        holder=None if owner is None else owner.name,
        currency=settlement.currency,
        decimals=settlement.decimals,
        opening=settlement.opening,
        closing=settlement.closing,
        opened=start.astimezone(zone).date(),
        closed=end.astimezone(zone).date(),
        start=start,
        end=end,
    )
    lines = (
        Entry(
            number=str(number),
            units=found.amount,
            booked=found.timestamp.astimezone(zone).date(),
            reference=found.id,
            code=kind_of(found.code, found.amount),
            end_to_end_id=found.source,
        )
        for number, found in store.all_lines(connection, settlement)
        # What moved nothing is no entry of a bank's.
        if found.amount
    )
    return write_camt053(written, lines)


def _moment(nanoseconds: int) -> datetime:
    return datetime.fromtimestamp(nanoseconds // 1_000_000_000, UTC)


def json_of(connection: Connection, settlement: Settlement) -> dict[str, Any]:
    """The settlement with all its lines. Of many lines the API's pages or the CSV are better."""
    lines = [
        line(settlement, number, found) for number, found in store.all_lines(connection, settlement)
    ]
    return {**rules.public(settlement), "data": lines}


def csv_of(connection: Connection, settlement: Settlement) -> bytes:
    """The lines as RFC 4180 has them, read a page at a time; a head and a foot have the sums.

    Every cell is a number, an id or a word of ours: none is taken for a formula.
    """
    file = io.StringIO(newline="")
    writer = csv.writer(file, lineterminator="\r\n")
    writer.writerow(HEADS)
    decimals, currency = settlement.decimals, settlement.currency
    opening = money.format_decimal(settlement.opening, decimals)
    writer.writerow(["", settlement.id, "", "opening", "", opening, currency, ""])
    for number, found in store.all_lines(connection, settlement):
        writer.writerow(
            [
                number,
                found.id,
                found.timestamp.isoformat(timespec="microseconds"),
                kind_of(found.code, found.amount),
                money.format_decimal(found.amount, decimals),
                money.format_decimal(found.balance_after, decimals),
                currency,
                found.source or "",
            ]
        )
    total = money.format_decimal(settlement.credits - settlement.debits, decimals)
    closing = money.format_decimal(settlement.closing, decimals)
    writer.writerow(["", settlement.id, "", "closing", total, closing, currency, ""])
    if settlement.exchange is not None:
        paid = settlement.exchange
        amount = money.format_decimal(paid["amount"], paid["decimals"])
        last = [f"converted at {paid['price']}", amount, "", paid["currency"], paid["conversion"]]
        writer.writerow(["", settlement.id, "", *last])
    return file.getvalue().encode()
