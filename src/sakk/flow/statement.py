"""Statements of settlements: every line with its number, as JSON and as a file for spreadsheets."""

import csv
import io
from typing import Any

from sqlalchemy import Connection

from sakk.core import money
from sakk.core import settlement as rules
from sakk.core.balance import BalanceTransaction, kind_of, public_transaction
from sakk.core.settlement import Settlement
from sakk.store import settlement as store

HEADS = ("number", "id", "time", "type", "amount", "balance", "currency", "source")


def line(settlement: Settlement, number: int, found: BalanceTransaction) -> dict[str, Any]:
    """A balance transaction as a line of a settlement."""
    return {**public_transaction(found), "number": number, "settlement": settlement.id}


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
