"""Money in suspense on its way back to its sender, as rules."""

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import pytest
from tests.core.test_bank_assignment import WAITS
from tests.core.test_bank_statement import BANK, UNIT, WAITING

from sakk.core import chart
from sakk.core.bank_account import BankTerms, Place, Profile
from sakk.core.bank_payment import StatusWord
from sakk.core.bank_return import (
    BankReturn,
    BankReturnStatus,
    Payee,
    carries_out,
    check_line,
    check_place,
    comes_back,
    confirmed,
    digest_of,
    payee_of,
    postings,
    public,
    remittance_of,
    split,
    told,
)
from sakk.core.bank_statement import Outcome
from sakk.core.chart import TransferCode
from sakk.core.errors import ApprovalStale, ParameterInvalid, SamePerson, UnexpectedState
from sakk.core.posting import Posting
from sakk.core.proposal import SecondPerson

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
IBAN = "FR7630006000011234567890189"
HERE = Place("FR", IBAN, None, None, None)
LOCAL = Place("US", None, None, "123", "021000021")
CAME = replace(WAITS, counterparty_name="Petra", counterparty_iban=f"{IBAN[:4]} {IBAN[4:]}")
BACK = BankReturn(
    id="bret_1",
    livemode=False,
    line=CAME.id,
    bank_account="ba_1",
    units=500,
    currency="eur",
    decimals=2,
    holder="Petra",
    country="FR",
    iban=IBAN,
    by_hand=False,
    fee_max=20,
    note="Not ours.",
    line_outcome="suspense",
    status=BankReturnStatus.awaiting.value,
    end_to_end_id="BRET1",
    proposed_by="per_1",
    created=NOW,
)
SENT = replace(BACK, status="sent")


def test_only_what_came_in_and_waits_goes_back() -> None:
    check_line(CAME, is_case_open=False)
    others: list[dict[str, Any]] = [{"status": "matched"}, {"units": -1}, {"outcome": "sent_back"}]
    for changes in others:
        with pytest.raises(UnexpectedState, match="stands in suspense"):
            check_line(replace(CAME, **changes), is_case_open=False)
    with pytest.raises(UnexpectedState, match="case is open"):
        check_line(replace(CAME, outcome=Outcome.held), is_case_open=True)


@pytest.mark.parametrize(
    ("line", "holder", "said", "expected"),
    [
        (CAME, None, None, Payee("Petra", HERE, False)),
        (CAME, "Paul", None, "holder"),
        (CAME, None, LOCAL, "iban"),
        (replace(CAME, counterparty_iban=None), None, None, "iban"),
        (replace(CAME, counterparty_iban="12-34"), None, LOCAL, Payee("Petra", LOCAL, True)),
        (replace(CAME, counterparty_name=None), None, None, "holder"),
        (replace(CAME, counterparty_name=None), "a\x00b", None, "holder"),
        (replace(CAME, counterparty_name="\x07"), " Paul  P ", None, Payee("Paul P", HERE, False)),
    ],
)
def test_it_goes_to_whom_the_line_names_and_to_nobody_else(
    line: Any, holder: str | None, said: Place | None, expected: Payee | str
) -> None:
    if isinstance(expected, Payee):
        assert payee_of(line, holder=holder, said=said) == expected
        return
    with pytest.raises(ParameterInvalid) as raised:
        payee_of(line, holder=holder, said=said)
    assert raised.value.param == expected


def test_an_order_must_be_possible() -> None:
    check_place(HERE, BankTerms("a"))
    check_place(LOCAL, BankTerms("a", profile=Profile.generic))
    for place in (LOCAL, Place("BR", "BR1800360305000010009795493C1", None, None, None)):
        with pytest.raises(ParameterInvalid, match="SEPA"):
            check_place(place, BankTerms("a"))


def test_another_person_confirms_what_was_shown() -> None:
    digest = digest_of(BACK)
    done = confirmed(BACK, SecondPerson("per_2", True, digest), now=NOW)
    assert (done.status, done.decided_by, done.decided_at) == ("confirmed", "per_2", NOW)
    assert confirmed(BACK, SecondPerson("per_1", False, digest), now=NOW)
    with pytest.raises(SamePerson):
        confirmed(BACK, SecondPerson("per_1", True, digest), now=NOW)
    shown: list[dict[str, Any]] = [
        *({"iban": None}, {"holder": "Paul"}, {"fee_max": 21}, {"units": 501}, {"by_hand": True}),
    ]
    for changes in shown:
        assert digest_of(replace(BACK, **changes)) != digest
    with pytest.raises(ApprovalStale):
        confirmed(BACK, SecondPerson("per_2", True, "0" * 64), now=NOW)


@pytest.mark.parametrize(
    ("units", "changes", "expected"),
    [
        (-500, {}, True),
        (-520, {}, True),
        (-9_999, {}, True),
        (-1, {}, True),
        (500, {}, False),
        (-500, {"status": "rejected"}, True),
        (-500, {"status": "booked"}, False),
        (-500, {"bank_account": "ba_2"}, False),
    ],
)
def test_its_debit_is_what_the_bank_books_under_its_name(
    units: int, changes: dict[str, Any], expected: bool
) -> None:
    assert carries_out(replace(SENT, **changes), replace(CAME, units=units)) is expected


def test_it_comes_back_by_a_line_that_says_so() -> None:
    booked, back = replace(BACK, status="booked"), replace(CAME, return_code="AC04")
    assert comes_back(booked, back)
    assert comes_back(booked, replace(CAME, is_reversal=True))
    for row, line in (
        (booked, CAME),
        (SENT, back),
        (booked, replace(back, units=499)),
        (replace(booked, bank_account="ba_2"), back),
    ):
        assert not comes_back(row, line)


@pytest.mark.parametrize(
    ("status", "word", "after"),
    [
        ("ordered", StatusWord.accepted, "accepted"),
        ("sent", StatusWord.rejected, "rejected"),
        ("accepted", StatusWord.rejected, "rejected"),
        ("sent", StatusWord.nothing, "sent"),
        ("booked", StatusWord.rejected, "booked"),
        ("confirmed", StatusWord.accepted, "confirmed"),
    ],
)
def test_what_a_bank_says_of_it(status: str, word: StatusWord, after: str) -> None:
    row = told(replace(BACK, status=status), word, now=NOW)
    assert (row.status, row.ended_at) == (after, NOW if after == "rejected" else None)


@pytest.mark.parametrize(
    ("units", "gone", "fee", "difference"),
    [(-500, 500, 0, 0), (-520, 500, 20, 0), (-527, 500, 20, 7), (-490, 490, 0, -10)],
)
def test_what_leaves_is_out_of_suspense_the_fee_a_cost_and_the_rest_a_difference(
    units: int, gone: int, fee: int, difference: int
) -> None:
    line = replace(CAME, units=units)
    assert split(BACK, line) == (gone, fee, difference)
    moved = [Posting(WAITING, BANK, gone, TransferCode.bank_sent_back)]
    if fee:
        moved.append(Posting(chart.fee_network(UNIT), BANK, fee, TransferCode.bank_return_fee))
    if difference > 0:
        moved.append(Posting(WAITING, BANK, difference, TransferCode.bank_suspended))
    assert postings(BACK, line) == moved
    assert sum(each.amount for each in moved) == -units


def test_what_is_shown() -> None:
    shown = public(BACK)
    assert (shown["amount_decimal"], shown["digest"]) == ("5.00", digest_of(BACK))
    ended = public(
        replace(
            BACK, status="booked", decided_at=NOW, ended_at=NOW, execution_date=date(2026, 1, 2)
        )
    )
    assert (ended["digest"], ended["execution_date"]) == (None, "2026-01-02")
    assert ended["decided_at"] == ended["ended_at"] == int(NOW.timestamp())
    assert remittance_of(replace(CAME, remittance="Order 7")) == "Return: Order 7"
    assert remittance_of(replace(CAME, bank_reference="B1")) == "Return: B1"
    assert remittance_of(CAME) == f"Return: {CAME.id}"
