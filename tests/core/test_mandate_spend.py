"""Spends as rows: what is shown, what a person approves, and what is told again."""

from dataclasses import replace
from typing import Any

import pytest

from sakk.core import chart, eip712
from sakk.core import mandate_spend as rules
from sakk.core.chart import TransferCode
from sakk.core.errors import BalanceInsufficient, MandateExceeded, MandateRefused, SakkError
from sakk.core.mandate_spend import MandateSpend
from sakk.core.posting import Posting
from sakk.core.spend import Payee

from .test_mandate import OWNER, SELLER, numbers
from .test_spend import ADDRESS, MANDATE, NOW, SPEND

RECORD = MandateSpend(
    id="spn_1",
    mandate=MANDATE,
    account_id="acct_1",
    livemode=False,
    reference="order 7",
    fingerprint=b"",
    amount=1_000,
    currency="usdc",
    decimals=6,
    payee_account=SELLER,
    payee_network=None,
    payee_address=None,
    payee_host=None,
    scheme="transfer",
    status="posted",
    failure_code=None,
    failure=None,
    reserved_at=NOW,
    approve_by=None,
    approved_by=None,
    description=None,
    metadata={},
    created=NOW,
)


def test_a_row_is_a_spend() -> None:
    assert RECORD.asked == SPEND
    outside = replace(
        RECORD, payee_account=None, payee_address=ADDRESS, payee_network="eip155:1", scheme="exact"
    )
    assert outside.asked.network == "eip155:1"
    assert outside.payee.key == f"eip155:1:{ADDRESS}"


def test_a_spend_is_shown() -> None:
    assert rules.public_spend(RECORD)["payee"]["address"] is None
    waits = replace(RECORD, payee_address=ADDRESS, approve_by=NOW)
    shown = rules.public_spend(waits)
    assert shown["payee"]["address"].lower() == ADDRESS
    assert shown["approve_by"] == int(NOW.timestamp())


def test_a_person_approves_what_is_spent_on_whom() -> None:
    content = rules.approval_content(RECORD)
    assert b"order 7" in content
    for change in ({"amount": 1_001}, {"payee_host": "a.com"}, {"payee_account": "acct_2"}):
        assert rules.approval_content(replace(RECORD, **change)) != content


@pytest.mark.parametrize(
    "error",
    [
        MandateExceeded("The limit …", param="amount", details={"limit": "total", "left": 0}),
        MandateRefused("Not to …", details={"limit": "revoked"}),
        BalanceInsufficient("The balance …", param="amount"),
    ],
)
def test_a_refusal_is_told_again(error: SakkError) -> None:
    row = replace(RECORD, failure_code=error.code, failure=rules.failure_of(error))
    again = rules.error_of(row)
    assert type(again) is type(error)
    assert (again.message, again.param, again.details) == (
        error.message,
        error.param,
        error.details,
    )


def test_money_moves_here_or_not_at_all() -> None:
    assert rules.payment(RECORD) == [
        Posting(
            chart.merchant("acct_1", "available", "test/usdc"),
            chart.merchant(SELLER, "available", "test/usdc"),
            1_000,
            TransferCode.mandate_spend,
        )
    ]
    assert rules.payment(replace(RECORD, payee_account=None)) == []


def test_an_owner_signs_for_one_spend() -> None:
    waits = replace(RECORD, status="waiting")
    typed = rules.public_spend(waits)["approval_typed_data"]
    assert typed["message"]["statement"] == (
        f"I let the agent pay 0.001000 usdc to {SELLER}, once, under the mandate {MANDATE}."
    )
    signature = OWNER.sign_typed_data(full_message=numbers(typed)).signature.hex()
    assert eip712.signer(typed, signature) == OWNER.address.lower()
    for change in ({"id": "spn_2"}, {"amount": 1_001}, {"payee_host": "a.com"}):
        other = rules.approval_typed_data(replace(waits, **change))
        assert eip712.signer(other, signature) != OWNER.address.lower()


@pytest.mark.parametrize(
    "change",
    [
        {"amount": 2},
        {"scheme": "exact"},
        {"currency": "usdt"},
        {"payee": Payee(account="acct_2")},
        {"payee": Payee(account=SELLER, host="a.com")},
    ],
)
def test_a_reference_is_of_one_content(change: dict[str, Any]) -> None:
    plain = rules.fingerprint(SPEND, description=None)
    assert rules.fingerprint(SPEND, description=None) == plain
    assert rules.fingerprint(SPEND, description="x") != plain
    assert rules.fingerprint(replace(SPEND, **change), description=None) != plain
