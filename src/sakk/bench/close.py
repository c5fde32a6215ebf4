"""``sakk bench close``: a month of a thousand merchants with known errors, reconciled and closed.

Everything is the product's own: pay-ins are posted by their stage, payouts are ordered in files of
pain.001, the bank answers by a statement a day in camt.053, and both books are in the real ledger.
What stands in for others is a chain that knows what each address holds, and the bank's pen. Errors
of every kind are put in and written down; the reconciliation has to find each of them and nothing
else. Then people work: what two of them correct is gone, what they explain stands, and the month
is closed as one day, whose report is verified as an auditor does.
"""

import json
import time
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import pyotp
from sqlalchemy import text

from sakk.bench.close_world import (
    DAYS,
    ERROR_EVERY,
    MERCHANTS,
    PATIENCE,
    SENT,
    STRAY,
    TOO_MANY_COINS,
    UNIT,
    Chain,
    Office,
    Say,
    live,
    open_office,
    post_payins,
    tamper,
)
from sakk.bench.figures import WrongResult, cost, rate
from sakk.bench.machine import describe_machine
from sakk.bench.settle import NETWORK, TOKEN
from sakk.client.day import verify_day
from sakk.core import caip, chart
from sakk.core import day as day_rules
from sakk.core import ledger_break as break_rules
from sakk.core.api_key import token_hash
from sakk.core.bank_payment import BankPayment
from sakk.core.day import Day
from sakk.core.ledger_break import LedgerBreak, Leg
from sakk.core.person import STEP_SECONDS, Actor
from sakk.flow import day as days
from sakk.flow import ledger_break, person, reconciliation
from sakk.flow.book import Books
from sakk.flow.step_up import StepUp
from sakk.flow.word import Word
from sakk.ledger.projection import Projector, wait_projected
from sakk.ledger.verify import verify
from sakk.ledger.writer import open_ledger
from sakk.runtime.postgres import start_postgres
from sakk.store import ledger_break as breaks
from sakk.store.api_key import find_principal
from sakk.store.bank_payment import bank_payments
from sakk.store.bank_statement import bank_lines
from sakk.store.database import fetch_all, open_database
from sakk.store.identity import new_id
from sakk.store.migrate import upgrade

NOTE: Final = "looked into, and left as it is"
# What a break says: its kind, what it is of, and by how much; None where only its kind says it.
Found = tuple[str, str | None, int | None]


@dataclass(slots=True)
class Person:
    """Somebody of the finance team, with a key and a device."""

    office: "Office"
    id: str
    actor: Actor
    secret: str

    def code(self) -> StepUp:
        """A code that was never used: time passes between two of them."""
        self.office.now += timedelta(seconds=STEP_SECONDS)
        step = int(self.office.now.timestamp()) // STEP_SECONDS
        return StepUp(code=pyotp.TOTP(self.secret).generate_otp(step))


def run(
    *,
    merchants: int = MERCHANTS,
    month_days: int = DAYS,
    error_every: int = ERROR_EVERY,
    say: Say = lambda _: None,
) -> dict[str, Any]:
    """Measure; the result is an object of ``sakk bench``'s shape.

    WrongResult unless every error is found and none invented, corrections end their breaks and no
    other, the day closes with a report that verifies, and the ledger holds.
    """
    machine = describe_machine()
    with start_postgres(ephemeral=True) as postgres:
        upgrade(postgres.url())
        results = in_database(
            postgres.url(),
            merchants=merchants,
            month_days=month_days,
            error_every=error_every,
            say=say,
        )
    return {"machine": machine, "results": results}


def in_database(
    url: str, *, merchants: int, month_days: int, error_every: int, say: Say
) -> list[dict[str, Any]]:
    """The same against a database that is there, migrated and empty."""
    database = open_database(url)
    projector = Projector(url)
    ledger = open_ledger(url, on_append=projector.wake, lag_events=projector.lag_events)
    try:
        with TemporaryDirectory(prefix="sakk-close-") as directory:
            office = Office(
                database, Books(database, ledger), Path(directory), Chain(), datetime.now(UTC)
            )
            results = _month(office, merchants, month_days, error_every, say)
    finally:
        ledger.close()
        wait_projected(url)
        projector.close()
        database.close()
    report = verify(url)
    if not report.ok:
        raise WrongResult(f"the ledger does not hold: {report.breaks}")
    return results


def _month(
    office: Office, merchants: int, month_days: int, error_every: int, say: Say
) -> list[dict[str, Any]]:
    began = time.perf_counter()
    say(f"{merchants:,} merchants")
    open_office(office, merchants)
    post_payins(office)
    live(office, month_days, error_every, say)
    tamper(office)
    lived = time.perf_counter() - began
    office.now += PATIENCE
    expected = _expected(office)
    say(f"reconciling a month with {len(expected)} known errors")
    began = time.perf_counter()
    found = _reconciled(office)
    reconciled = time.perf_counter() - began
    compare(found, expected, "the reconciliation")
    for kind, count in sorted(Counter(kind for kind, _, _ in expected).items()):
        say(f"{kind}: {count} found of {count}")
    began = time.perf_counter()
    ann, ben = (_admin(office, name) for name in ("ann", "ben"))
    left = _worked(office, expected, ann, ben)
    say(f"{len(expected) - len(left)} ended, {len(left)} explained")
    day = _closed(office, left, ben)
    worked = time.perf_counter() - began
    lines = _count(office, "bank_lines") + _count(office, "payins") + _count(office, "payouts")
    say(f"the day {day.date} is closed, report {day.sha256}")
    return [
        cost(f"month_lived_{merchants}_merchants", "s", [lived]),
        rate("month_rows", "rows/s", [lines / lived]),
        cost(f"month_reconciled_{lines}_rows", "s", [reconciled]),
        cost("month_errors_found", "errors", [len(expected)]),
        cost("month_worked_and_closed", "s", [worked]),
    ]


def _expected(office: Office) -> set[Found]:
    """What a reconciliation should find, each by its kind, what it is of and its units."""
    assert office.own is not None
    wait_projected(office.database.url)
    with office.database.begin() as connection:
        orders = {
            each.end_to_end_id: each
            for each in fetch_all(connection, bank_payments.select(), BankPayment)
        }
        lines: dict[str, list[str]] = {}
        for row in connection.execute(bank_lines.select().order_by(bank_lines.c.id)):
            lines.setdefault(row.end_to_end_id or "", []).append(row.id)
    found: set[Found] = {
        ("chain_without_ledger", caip.erc20_asset(NETWORK, TOKEN), TOO_MANY_COINS),
        ("suspense", chart.bank_suspense(office.own.id, UNIT).name, office.suspended),
        *(("ledger_without_bank", each, -STRAY) for each in office.strays),
        *(("row_differs", each, None) for each in office.altered),
        *(
            ("bank_without_ledger", lines[f"STRANGER{each}"][0], -55)
            for each in range(1, office.unordered + 1)
        ),
    }
    for name, error in office.errors.items():
        order = orders[name].id
        match error:
            case "missing":
                found.add(("ledger_without_bank", order, SENT))
            case "doubled":
                found.add(("duplicate", lines[name][1], -SENT))
            case "wrong":
                found.add(("amount_differs", order, 1))
            case _:
                found.add(("counterparty_differs", order, 0))
    return found


def _reconciled(office: Office) -> set[Found]:
    """What stands after a run."""
    wait_projected(office.database.url)
    ran = reconciliation.run(office.parts, livemode=False)
    if ran.error is not None:
        raise ran.error
    return {_told(each) for each in _standing(office)}


def _told(row: LedgerBreak) -> Found:
    return row.kind, row.subject, None if row.kind == "row_differs" else row.units


def _standing(office: Office) -> list[LedgerBreak]:
    with office.database.begin() as connection:
        return breaks.list_standing(connection, livemode=False)


def compare(found: set[Found], expected: set[Found], who: str) -> None:
    """WrongResult for what was missed and for what is not there."""
    if found != expected:
        missed, invented = expected - found, found - expected
        raise WrongResult(
            f"{who} did not find {sorted(missed)!s}, and invented {sorted(invented)!s}"
        )


def _worked(office: Office, expected: set[Found], ann: Person, ben: Person) -> set[Found]:
    """Two people correct what the ledger has wrong and mend what was altered; the rest is
    explained. What stands after another run."""
    asset = caip.erc20_asset(NETWORK, TOKEN)
    assert office.own is not None
    own = chart.equity_operator(UNIT).name
    legs = {
        asset: Leg(
            chart.custody(asset, "deposit").name,
            chart.equity_operator(asset).name,
            TOO_MANY_COINS,
        ),
        **{each: Leg(own, chart.bank(office.own.id, UNIT).name, STRAY) for each in office.strays},
    }
    with office.database.begin() as connection:
        for table in ("payins", "payouts"):
            connection.execute(
                text(f"UPDATE {table} SET amount = amount - 1 WHERE id = ANY(:ids)"),
                {"ids": office.altered},
            )
    gone = {*legs, *office.altered}
    for row in _standing(office):
        if row.subject in legs:
            _corrected(office, row, legs[row.subject], ann, ben)
        elif row.subject not in gone:
            _explained(office, row, ben)
    office.now += timedelta(seconds=1)
    left = {each for each in expected if each[1] not in gone}
    compare(_reconciled(office), left, "the run after the corrections")
    return left


def _corrected(office: Office, row: LedgerBreak, leg: Leg, by: Person, other: Person) -> None:
    proposed = ledger_break.propose(
        office.parts, row.id, [leg], actor=by.actor, livemode=False, note=NOTE
    )
    word = Word(other.actor, other.code(), break_rules.digest_of(proposed))
    ledger_break.confirm(office.parts, row.id, word, livemode=False)
    ledger_break.correct_stage(office.parts).run()
    with office.database.begin() as connection:
        after = breaks.find(connection, row.id, livemode=False)
    if after is None or after.status != "corrected":
        raise WrongResult(f"a correction was not booked: {after}")


def _explained(office: Office, row: LedgerBreak, by: Person) -> None:
    ledger_break.assign(office.parts, row.id, actor=by.actor, livemode=False, owner=None)
    ledger_break.note(
        office.parts,
        row.id,
        NOTE,
        actor=by.actor,
        livemode=False,
        act_id=new_id(break_rules.ACT_PREFIX),
    )


def _admin(office: Office, name: str) -> Person:
    made, token = person.bootstrap(
        office.parts, name=name, email=f"{name}@example.com", livemode=False
    )
    with office.database.begin() as connection:
        principal = find_principal(connection, token_hash(token))
    assert principal is not None
    actor = Actor(principal.key.id, principal.key.person)
    member = Person(office, made.person.id, actor, made.secret)
    person.confirm(
        office.parts,
        member.id,
        actor=member.actor,
        livemode=False,
        code=member.code().code or "",
    )
    return member


def _closed(office: Office, left: set[Found], by: Person) -> Day:
    """The month is closed as one day; its file is held to what an auditor holds it to."""
    day = days.close(
        office.parts,
        identifier=new_id(day_rules.PREFIX),
        day=None,
        actor=by.actor,
        livemode=False,
        step_up=by.code(),
    )
    verified = verify_day(
        json.dumps(day_rules.file_document(day)).encode(),
        authority=office.parts.secrets_vault().authority_key().hex(),
    )
    told = {(each["kind"], each["subject"]) for each in verified.report["breaks"]}
    if told != {(kind, subject) for kind, subject, _ in left}:
        raise WrongResult(f"the day's report says {sorted(told)}, and {sorted(left)} stand")
    if any(each["owner"] is None for each in verified.report["breaks"]):
        raise WrongResult("a break was closed over without an owner")
    return day


def _count(office: Office, table: str) -> int:
    with office.database.begin() as connection:
        return int(connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())
