"""Spends as rows: what is shown, what a person approves, and what is told again."""

from dataclasses import replace

import pytest

from sakk.core import mandate_spend as rules
from sakk.core.errors import MandateExceeded, MandateRefused
from sakk.core.mandate_spend import MandateSpend

from .test_mandate import SELLER
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
    ("code", "kind"), [("mandate_exceeded", MandateExceeded), ("mandate_refused", MandateRefused)]
)
def test_a_refusal_is_told_again(code: str, kind: type[MandateRefused]) -> None:
    failure = {"message": "The mandate …", "limit": "total", "left": "0"}
    error = rules.error_of(replace(RECORD, failure_code=code, failure=failure))
    assert type(error) is kind
    assert (error.message, error.details) == ("The mandate …", {"limit": "total", "left": "0"})
