from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import pytest

from sakk.core import chart
from sakk.core.bank_account import BankAccount
from sakk.core.bank_payment import (
    ID_LENGTH_MAX,
    BankPayment,
    BankPaymentStatus,
    StatusWord,
    compact,
    draft,
    expand,
    order_for,
    public,
    reason_words,
    return_postings,
    told,
    word_of,
)
from sakk.core.beneficiary import Wanted
from sakk.core.chart import TransferCode
from sakk.core.errors import AmountTooSmall, ParameterInvalid
from sakk.core.fee import OnRefund, Price
from sakk.core.payout import Payout, PayoutRequest, delivered
from sakk.core.payout import public as public_payout
from sakk.core.posting import Posting

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
PAYOUT = "po_01kb0000000000000000000000"
PLACE = BankAccount(
    id="ba_1",
    account_id="acct_1",
    livemode=False,
    role="payee",
    holder="Anna",
    country="DE",
    currency="eur",
    decimals=2,
    iban="DE89370400440532013000",
    usable_at=NOW,
    metadata={},
    created=NOW,
)
REQUEST = PayoutRequest(amount=2_500, currency="eur", destination=Wanted(bank_account="ba_1"))
PRICE = Price("fsch_1", 1, 1, 2_500, 30, (), OnRefund.kept)


def drafted(request: PayoutRequest = REQUEST, price: Price | None = None) -> Payout:
    return draft(
        request,
        PLACE,
        price=price,
        identifier=PAYOUT,
        account_id="acct_1",
        livemode=False,
        now=NOW,
    )


def ordered(**changes: Any) -> BankPayment:
    row = order_for(
        drafted(),
        identifier="bp_1",
        bank_account="ba_own",
        file="bf_1",
        number=1,
        execution_date=date(2026, 11, 27),
        now=NOW,
    )
    return replace(row, **changes)


def test_a_payout_to_a_bank_account() -> None:
    payout = drafted(replace(REQUEST, metadata={"order": "7"}), PRICE)
    assert (payout.network, payout.asset, payout.destination) == ("bank", "iso4217:eur", "ba_1")
    assert (delivered(payout), payout.service_fee) == (2_500, 30)
    shown = public_payout(payout, operator=False)["destination"]
    assert shown == {
        "network": "bank",
        "address": "ba_1",
        "bank_account": "ba_1",
        "beneficiary": None,
    }


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"quote": "qt_1"}, "quote"),
        ({"travel_rule": {}}, "travel_rule"),
        ({"amount": 0}, "amount"),
        ({"scheduled_at": NOW}, "scheduled_at"),
    ],
)
def test_what_can_not_be_asked_for(changes: dict[str, Any], param: str) -> None:
    with pytest.raises((ParameterInvalid, AmountTooSmall)) as raised:
        drafted(replace(REQUEST, **changes))
    assert raised.value.param == param


def test_names_in_files_follow_from_rows() -> None:
    row = ordered()
    assert row.end_to_end_id == "PO01KB0000000000000000000000"
    assert len(row.end_to_end_id) <= ID_LENGTH_MAX
    assert expand(row.end_to_end_id.lower(), "po") == PAYOUT
    assert expand(compact("bp_01kb0000000000000000000000"), "po") is None
    assert expand("NOTPROVIDED", "po") is None


@pytest.mark.parametrize(
    ("code", "word"),
    [
        ("ACSC", StatusWord.accepted),
        ("RJCT", StatusWord.rejected),
        ("PDNG", StatusWord.nothing),
        # Blocked money is not given back.
        ("BLCK", StatusWord.nothing),
        ("", StatusWord.nothing),
    ],
)
def test_status_codes(code: str, word: StatusWord) -> None:
    assert word_of(code) is word


@pytest.mark.parametrize(
    ("status", "word", "after"),
    [
        ("ordered", "accepted", "accepted"),
        ("sent", "accepted", "accepted"),
        ("sent", "rejected", "rejected"),
        ("accepted", "rejected", "rejected"),
        ("sent", "nothing", "sent"),
        # A late word changes nothing of what ended.
        ("booked", "rejected", "booked"),
        ("rejected", "accepted", "rejected"),
        ("returned", "accepted", "returned"),
    ],
)
def test_what_a_bank_says(status: str, word: str, after: str) -> None:
    row = told(ordered(status=status), StatusWord(word), now=NOW)
    assert row.status == after
    assert (row.ended_at is None) is (after != "rejected" or status == after)


@pytest.mark.parametrize(
    ("code", "text", "words"),
    [
        ("AC04", None, "The account is closed. (the bank says AC04)"),
        ("AC04", "closed 2024", "The account is closed."),
        ("ZZ99", None, "The bank did not pay it (the bank says ZZ99)."),
        (None, None, "The bank did not pay it (the bank gives no code)."),
    ],
)
def test_reasons(code: str | None, text: str | None, words: str) -> None:
    assert reason_words(code, text) == words


def test_what_is_booked() -> None:
    unit = "test/eur"
    merchant = chart.merchant("acct_1", "available", unit)
    bank, earned = chart.bank("ba_own", unit), chart.fee_revenue(unit)
    plain, charged = drafted(), drafted(price=PRICE)
    returned = [Posting(bank, merchant, 2_500, TransferCode.bank_returned)]
    assert return_postings(plain, "ba_own") == returned
    assert return_postings(charged, "ba_own") == [
        *returned,
        Posting(earned, merchant, 30, TransferCode.bank_returned),
    ]
    # What a platform had of it, it owes.
    taken = replace(plain, application_fee=9, application_terms={"platform": "acct_2"})
    owing = chart.receivable("acct_2", unit)
    assert return_postings(taken, "ba_own") == [
        *returned,
        Posting(owing, merchant, 9, TransferCode.bank_returned),
    ]


def test_what_is_shown() -> None:
    assert public(ordered())["execution_date"] == "2026-11-27"
    ended = ordered(status=BankPaymentStatus.rejected.value, ended_at=NOW)
    assert public(ended)["ended_at"] == int(NOW.timestamp())
