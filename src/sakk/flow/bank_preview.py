"""What a file of a bank's would do, a payment a line, before anybody believes it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection

from sakk.core import bank_payment as rules
from sakk.core.bank_account import minor_units
from sakk.core.bank_payment import BankPayment
from sakk.core.bank_return import BankReturn
from sakk.flow.bank_payment import ReportRefused, file_of
from sakk.rails.bank.reader import ReadFile, StatusReport
from sakk.store import bank_account as accounts
from sakk.store import bank_payment as payments
from sakk.store import bank_return as returns

SHOWN_MAX: Final = 1_000
IN: Final = "in"
OUT: Final = "out"


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One payment that a file tells of. ``units`` as they stand there, below zero for what went
    out; ``word``: in or out, or what a status report makes of an order of ours; ``text``: what
    was written with it, or the bank's reason. ``subject``: our payout or line, where it is one's.
    """

    name: str | None
    account: str | None
    units: int
    currency: str
    decimals: int
    word: str
    text: str | None
    subject: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """The first payments of a file, how many more there are, and all of them added up: units by
    currency and word. ``untold``: the messages of status reports that are about nothing of ours.
    """

    shown: list[Told]
    left_out: int
    sums: list[tuple[str, str, int, int]]
    untold: list[str]


def preview(connection: Connection, read: ReadFile, *, livemode: bool) -> Preview:
    """All payments that a file tells of."""
    found: list[Told] = []
    untold = []
    for statement in read.statements:
        decimals = minor_units(statement.currency)
        found += [
            Told(
                name=line.counterparty_name,
                account=line.counterparty_iban,
                units=line.units,
                currency=statement.currency,
                decimals=decimals,
                word=OUT if line.units < 0 else IN,
                text=line.remittance,
            )
            for line in statement.lines
        ]
    for report in read.reports:
        about = list(_about(connection, report, livemode=livemode))
        found += about
        if not about:
            untold.append(report.message_id)
    sums: dict[tuple[str, int, str], int] = {}
    for each in found:
        key = (each.currency, each.decimals, each.word)
        sums[key] = sums.get(key, 0) + each.units
    return Preview(
        shown=found[:SHOWN_MAX],
        left_out=max(0, len(found) - SHOWN_MAX),
        sums=[(word, currency, units, scale) for (currency, scale, word), units in sums.items()],
        untold=untold,
    )


def _about(connection: Connection, report: StatusReport, *, livemode: bool) -> Iterator[Told]:
    """The orders of ours that a status report speaks of, payouts and what goes back; nothing where
    it would be refused.

    What it says of a file is said of each order that it does not name.
    """
    try:
        file = file_of(connection, report, place=None, livemode=livemode)
    except ReportRefused:
        return
    said = {each.end_to_end_id.upper(): each for each in report.payments}
    orders = payments.of_file(connection, file)
    places = accounts.list_by_ids(connection, {each.destination for each in orders})
    known: list[tuple[BankPayment | BankReturn, str, str | None, str]] = [
        (each, (place := places[each.destination]).holder, place.iban or place.number, each.payout)
        for each in orders
    ]
    known += [
        (each, each.holder, each.iban or each.number, each.line)
        for each in returns.list_of_file(connection, file)
    ]
    for order, holder, account, subject in known:
        named = said.get(order.end_to_end_id.upper())
        reason = (named.reason_code, named.reason) if named else (report.reason_code, report.reason)
        yield Told(
            name=holder,
            account=account,
            units=order.units,
            currency=order.currency,
            decimals=order.decimals,
            word=rules.word_of((named.code if named else report.code) or "").value,
            text=" ".join(each for each in reason if each) or None,
            subject=subject,
        )
