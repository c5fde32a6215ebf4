"""Withdrawals, as rules: what the policy judges, what people approve, what the books get."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from tests.networks import a_token

from sakk.core import chart
from sakk.core.chart import TransferCode
from sakk.core.network import Currency
from sakk.core.person import Actor
from sakk.core.policy import Action, Decision
from sakk.core.posting import Posting
from sakk.core.withdrawal import (
    Withdrawal,
    amount_of,
    approvable,
    decided,
    facts_of,
    may_be_rejected,
    postings,
    public,
)

ASSET = "eip155:84532/erc20:0x036cbd53842c5426634e7929541ec2318f3dcf7e"
COLD = "0x" + "c0" * 20
MOMENT = datetime(2026, 1, 2, tzinfo=UTC)
WITHDRAWAL = Withdrawal(
    id="wd_1",
    livemode=True,
    network="eip155:84532",
    asset=ASSET,
    destination=COLD,
    token_amount=5_000_000,
    currency="usdc",
    decimals=6,
    amount=5_000_000,
    status="requested",
    initiator="key_1",
    initiator_person="per_1",
    created=MOMENT,
)


def decision(action: Action) -> Decision:
    return Decision(action=action, rule="vaults", index=0, approvals=2, role="approver", passed=())


def test_a_withdrawal_moves_from_hot_to_cold() -> None:
    hot, cold = chart.custody(ASSET, "hot"), chart.custody(ASSET, "cold")
    assert postings(WITHDRAWAL) == [Posting(cold, hot, 5_000_000, TransferCode.withdrawal)]


@pytest.mark.parametrize(
    ("action", "status", "failure"),
    [
        (Action.allow, "approved", None),
        (Action.approve, "screened", None),
        (Action.block, "rejected", "policy_blocked"),
    ],
)
def test_what_the_policy_makes_of_it(action: Action, status: str, failure: str | None) -> None:
    row = decided(WITHDRAWAL, decision(action), version="pol_1", now=MOMENT)
    assert (row.status, row.failure_code) == (status, failure)
    assert (row.policy_version, row.rule, row.approvals_needed) == ("pol_1", "vaults", 2)
    shown = public(row)
    assert shown["awaiting_approvals"] is (action is Action.approve)
    assert (shown["amount_decimal"], shown["token_amount"]) == ("5.000000", "5000000")


def test_the_policy_judges_who_asks_and_that_it_is_a_vault() -> None:
    facts = facts_of(WITHDRAWAL, ["finance"])
    assert (facts.purpose, facts.is_vault, facts.person) == ("withdrawal", True, "per_1")
    assert (facts.amount, facts.currency, facts.roles) == (
        5_000_000,
        "usdc",
        frozenset({"finance"}),
    )


def test_what_is_approved_is_who_gets_how_much() -> None:
    subject = approvable(WITHDRAWAL)
    assert subject.asked_by == Actor("key_1", "per_1")
    assert subject.content.decode().splitlines()[1:3] == ["wd_1", "withdrawal"]
    for change in ({"destination": "0x" + "aa" * 20}, {"token_amount": 5_000_001}):
        assert approvable(replace(WITHDRAWAL, **change)).digest != subject.digest


@pytest.mark.parametrize(
    ("asset_decimals", "currency_decimals", "units", "amount"),
    [(6, 6, 7, 7), (18, 6, 10**12, 1), (18, 6, 10**12 + 1, 2), (6, 18, 1, 10**12)],
)
def test_the_policy_judges_no_less_than_leaves(
    asset_decimals: int, currency_decimals: int, units: int, amount: int
) -> None:
    asset = a_token(
        ASSET, network="eip155:84532", contract=COLD, decimals=asset_decimals, created=MOMENT
    )
    currency = Currency("usdc", "USDC", "coin", currency_decimals, 1, 1, MOMENT)
    assert amount_of(units, asset, currency) == amount


@pytest.mark.parametrize(
    ("status", "transaction", "may_be"),
    [
        ("screened", None, True),
        ("approved", None, True),
        ("approved", "tx_1", False),
        ("signed", "tx_1", False),
        ("posted", "tx_1", False),
    ],
)
def test_what_no_transaction_carries_may_be_rejected(
    status: str, transaction: str | None, may_be: bool
) -> None:
    row = replace(WITHDRAWAL, status=status, transaction=transaction)
    assert may_be_rejected(row) is may_be
