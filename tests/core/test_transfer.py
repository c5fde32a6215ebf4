"""Book transfers, as rules."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from sakk.core import chart
from sakk.core.chart import TransferCode
from sakk.core.policy import TRANSFER as FOR_TRANSFERS
from sakk.core.policy import Action, Facts, Period, Rule
from sakk.core.posting import Posting
from sakk.core.transfer import (
    BookTransfer,
    TransferStatus,
    after,
    facts_of,
    postings,
    public,
    rules_to_judge,
)

TRANSFER = BookTransfer(
    id="tr_1",
    account_id="acct_1",
    livemode=True,
    destination="acct_2",
    amount=1_234_567,
    currency="usdc",
    decimals=6,
    status="requested",
    failure_code=None,
    description="a share",
    metadata={"order": "7"},
    created=datetime(2026, 1, 2, tzinfo=UTC),
)


def test_one_balance_gives_what_the_other_takes() -> None:
    assert postings(TRANSFER) == [
        Posting(
            debit=chart.merchant("acct_1", "available", "usdc"),
            credit=chart.merchant("acct_2", "available", "usdc"),
            amount=1_234_567,
            code=TransferCode.book_transfer,
        )
    ]
    # Where it pays a payment, whoever is paid bears the fee.
    assert postings(replace(TRANSFER, fee=9))[1:] == [
        Posting(
            debit=chart.merchant("acct_2", "available", "usdc"),
            credit=chart.fee_revenue("usdc"),
            amount=9,
            code=TransferCode.transfer_fee,
        )
    ]


def test_test_money_moves_in_its_own_unit() -> None:
    [leg] = postings(replace(TRANSFER, livemode=False))
    assert (leg.debit.unit, leg.credit.unit) == ("test/usdc", "test/usdc")


def test_what_is_shown() -> None:
    assert public(replace(TRANSFER, status="posted")) == {
        "id": "tr_1",
        "object": "transfer",
        "amount": 1_234_567,
        "amount_decimal": "1.234567",
        "amount_reversed": 0,
        "created": int(TRANSFER.created.timestamp()),
        "currency": "usdc",
        "description": "a share",
        "destination": "acct_2",
        "expires_at": None,
        "failure_code": None,
        "livemode": True,
        "metadata": {"order": "7"},
        "reason": None,
        "recipient": None,
        "reversed": False,
        "source": "acct_1",
        "status": "posted",
    }


WAITING = replace(
    TRANSFER,
    destination=None,
    recipient="ann@example.com",
    expires_at=datetime(2026, 1, 16, tzinfo=UTC),
)


def test_what_waits_for_somebody_stands_apart_until_it_is_claimed_or_back() -> None:
    own = chart.merchant("acct_1", "available", "usdc")
    apart = chart.unclaimed("acct_1", "usdc")
    theirs = chart.merchant("acct_2", "available", "usdc")
    claimed = replace(WAITING, status="claiming", destination="acct_2")
    legs = [*postings(WAITING), *postings(claimed), *postings(replace(WAITING, status="returning"))]
    assert legs == [
        Posting(own, apart, 1_234_567, TransferCode.transfer_left),
        Posting(apart, theirs, 1_234_567, TransferCode.transfer_claimed),
        Posting(apart, own, 1_234_567, TransferCode.transfer_returned),
    ]
    assert public(WAITING)["expires_at"] == int(datetime(2026, 1, 16, tzinfo=UTC).timestamp())


@pytest.mark.parametrize("status", ["pending", "posted", "returned", "rejected"])
def test_what_is_at_no_step_moves_nothing(status: str) -> None:
    resting = replace(TRANSFER, status=status)
    assert postings(resting) == []
    assert after(resting, booked=True) is TransferStatus(status)


@pytest.mark.parametrize(
    ("transfer", "booked", "status"),
    [
        (TRANSFER, True, "posted"),
        (TRANSFER, False, "rejected"),
        (WAITING, True, "pending"),
        (replace(TRANSFER, status="claiming"), True, "posted"),
        (replace(WAITING, status="returning"), True, "returned"),
    ],
)
def test_where_a_step_leads(transfer: BookTransfer, booked: bool, status: str) -> None:
    assert after(transfer, booked=booked) is TransferStatus(status)


@pytest.mark.parametrize(
    ("transfer", "destination"),
    [
        (TRANSFER, "acct_2"),
        (WAITING, "ann@example.com"),
        (replace(WAITING, recipient=None), ""),
    ],
)
def test_what_a_policy_is_told(transfer: BookTransfer, destination: str) -> None:
    asked = replace(transfer, initiator="key_1", initiator_person="per_1")
    assert facts_of(asked) == Facts(
        account="acct_1",
        currency="usdc",
        decimals=6,
        network="",
        asset="",
        destination=destination,
        amount=1_234_567,
        purpose="transfer",
        key="key_1",
        person="per_1",
    )


def test_what_was_paid_to_nobody_yet_is_not_added_up() -> None:
    conditions: dict[str, Any] = {"action": Action.block, "purposes": (FOR_TRANSFERS,)}
    each = Rule(name="each", **conditions)
    of_account = Rule(name="day", period=Period(seconds=86_400, per="account"), **conditions)
    to_one = Rule(name="one", period=Period(seconds=86_400, per="destination"), **conditions)
    rules = [each, of_account, to_one]
    assert rules_to_judge(rules, facts_of(TRANSFER)) == rules
    nobody = replace(facts_of(TRANSFER), destination="")
    assert rules_to_judge(rules, nobody) == [each, of_account]
