"""What the proof of banks reads: real rows of statements, lines and orders."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sakk.core import ids
from sakk.core.bank_account import BankAccount
from sakk.core.bank_payment import BankPayment
from sakk.core.bank_proof import BankBalance, BankMoment, findings_of_banks
from sakk.core.bank_statement import BankLine, BankStatement
from sakk.core.matching import Side
from sakk.store import bank_account, bank_payment, bank_statement
from sakk.store.bank_proof import read_moment
from sakk.store.database import Database, row_of

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
DAY = date(2026, 3, 2)
OWN, NEW = (ids.encode("ba", number) for number in (1, 2))
FINE, TWICE, LESS, YOUNG, GIVEN = (ids.encode("bl", number) for number in range(11, 16))
PAYOUTS = {"fine": 21, "more": 22, "lost": 23, "unsent": 24, "other": 25}
MONEY: dict[str, Any] = {"livemode": False, "currency": "eur", "decimals": 2}


def line(name: str, number: int, units: int, **more: Any) -> BankLine:
    blank: dict[str, Any] = dict.fromkeys(
        (
            "bank_reference",
            "remittance",
            "creditor_reference",
            "counterparty_name",
            "counterparty_iban",
            "counterparty_bic",
            "code",
            "return_code",
        )
    )
    return BankLine(
        **{
            **MONEY,
            **blank,
            "id": name,
            "bank_account": OWN,
            "statement": "bst_1",
            "number": number,
            "booking_date": DAY,
            "value_date": DAY,
            "units": units,
            "end_to_end_id": None,
            "is_reversal": False,
            "status": "booked",
            "created": NOW,
            **more,
        }
    )


def test_what_an_account_was_opened_with_is_no_difference(database: Database) -> None:
    row = row_of(replace(own_account(), id=NEW, iban=None, number="7", opening_units=300))
    # Nothing of it stays: it is never committed.
    with database.engine.connect() as connection:
        connection.execute(bank_account.bank_accounts.insert().values(row))
        moment = read_moment(connection, livemode=False)
    [balance] = [each for each in moment.balances if each.bank_account == NEW]
    assert (balance.statement_units, balance.unbooked_units, balance.difference) == (300, 300, 0)


def order(name: str, units: int, **more: Any) -> BankPayment:
    return BankPayment(
        **{
            **MONEY,
            "id": name,
            "account_id": "acct_1",
            "payout": ids.encode("po", PAYOUTS[name]),
            "bank_account": OWN,
            "destination": "ba_other",
            "file": "bf_1",
            "number": 1,
            "units": units,
            "end_to_end_id": f"e2e-{name}",
            "execution_date": DAY,
            "status": "booked",
            "created": NOW,
            **more,
        }
    )


def own_account() -> BankAccount:
    return BankAccount(
        id=OWN,
        account_id=None,
        livemode=False,
        role="operator",
        holder="Operator",
        country="DE",
        currency="eur",
        decimals=2,
        iban="DE89370400440532013000",
        usable_at=NOW,
        metadata={},
        created=NOW,
    )


def statement(closing: int) -> BankStatement:
    return BankStatement(
        **MONEY,
        id="bst_1",
        bank_account=OWN,
        file="bf_1",
        kind="camt.053",
        reference="1",
        number=1,
        from_date=DAY,
        to_date=DAY,
        opening_units=1_000,
        closing_units=closing,
        credits=0,
        debits=0,
        lines=4,
        digest="00",
        status="accepted",
        created=NOW,
    )


def test_what_is_read_of_banks(database: Database) -> None:
    lines = [
        line(FINE, 1, -100, end_to_end_id="e2e-fine", payment="fine"),
        line(TWICE, 2, -100, end_to_end_id="e2e-fine", outcome="suspense"),
        line(LESS, 3, -90, end_to_end_id="e2e-more", payment="more"),
        line(YOUNG, 4, 50, status="new"),
        # Its money has been at the bank since it was booked.
        line(GIVEN, 5, 30, status="matched", outcome="assigned"),
    ]
    orders = [
        order("fine", 100, line=FINE),
        order("more", 95, line=LESS),
        order("lost", 70, status="sent"),
        order("unsent", 60, status="ordered"),
        order("other", 55, line="bl_other"),
    ]
    with database.begin() as connection:
        connection.execute(bank_account.bank_accounts.insert().values(row_of(own_account())))
        bank_statement.insert(connection, statement(791), lines)
        bank_payment.insert_many(connection, orders)
        moment = read_moment(connection, livemode=False)
        assert read_moment(connection, livemode=True) == BankMoment([], [], [], [], [])
    [balance] = moment.balances
    assert balance == BankBalance(OWN, "test/eur", "bst_1", 791, 50, 0)
    [broken] = moment.broken
    assert (broken.statement, broken.difference) == ("bst_1", 1)
    sides = {side: {each.id for each in moment.movements if each.side is side} for side in Side}
    assert sides == {
        Side.left: {"fine", "more", "lost"},
        Side.right: {FINE, TWICE, LESS},
    }
    found = findings_of_banks(moment, now=NOW + timedelta(days=18))
    assert {(each.kind.value, each.subject, each.units) for each in found} == {
        # No posting is there at all, so that lines are named, and what else there should be.
        ("bank_without_ledger", OWN, 741),
        ("bank_without_ledger", FINE, -100),
        ("bank_without_ledger", TWICE, -100),
        ("bank_without_ledger", LESS, -90),
        ("bank_without_ledger", GIVEN, 30),
        ("in_flight", YOUNG, 50),
        ("in_flight", GIVEN, 30),
        ("row_differs", "bst_1", 1),
        ("duplicate", TWICE, -100),
        ("amount_differs", "more", 5),
        ("ledger_without_bank", "lost", 70),
    }
