"""Chain transactions, as rules: who pays gas, what a top-up moves, how long a rebroadcast waits."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sakk.core import chart
from sakk.core.chart import TransferCode
from sakk.core.posting import Posting
from sakk.core.transaction import (
    REBROADCAST_AFTER_MAX,
    Attempt,
    ChainTransaction,
    GasCoin,
    Purpose,
    TransactionStatus,
    attempt_view,
    cancel_intent,
    forgotten_postings,
    gas_postings,
    is_replaceable,
    operator_view,
    public,
    rebroadcast_delay,
    topup_postings,
)

NETWORK = "eip155:84532"
NATIVE = f"{NETWORK}/slip44:60"
ASSET = f"{NETWORK}/erc20:0x036cbd53842c5426634e7929541ec2318f3dcf7e"


def transaction(**changes: Any) -> ChainTransaction:
    row = ChainTransaction(
        id="tx_1",
        livemode=False,
        network=NETWORK,
        purpose="payout",
        subject="po_1",
        sender="0x70997970c51812dc3a010c7d01b50e0d17dc79c8",
        key_branch="treasury",
        key_index=0,
        nonce=4,
        asset=ASSET,
        destination="0x3c44cdddb6a900fa2b585dd299e03d12fa4293bc",
        token_amount=1_000,
        gas_limit=80_000,
        max_fee_per_gas=2_000,
        max_priority_fee_per_gas=1_000,
        unsigned=b"\x02",
        since_block=9,
        status="confirmed",
        created=datetime(2026, 1, 2, tzinfo=UTC),
    )
    return replace(row, **changes)


COIN = GasCoin(asset=NATIVE, unit="eth", decimals=18, unit_decimals=18)
TANK = chart.gas_tank(NETWORK, NATIVE)
HOT = chart.custody(NATIVE, "hot")


@pytest.mark.parametrize(("branch", "source"), [("deposit", TANK), ("treasury", HOT)])
def test_gas_is_an_expense_out_of_what_paid_it(branch: str, source: chart.LedgerAccount) -> None:
    row = transaction(key_branch=branch, gas_cost=21_000, succeeded=False)
    assert gas_postings(row, coin=COIN) == [
        Posting(chart.conversion_asset(NATIVE), source, 21_000, TransferCode.gas),
        Posting(
            chart.fee_network("eth"),
            chart.conversion_currency(NATIVE, "eth"),
            21_000,
            TransferCode.gas,
        ),
    ]


@pytest.mark.parametrize(
    ("cost", "amount", "dust"), [(5_000_000_007, 5, 7), (7, 0, 7), (5_000_000_000, 5, 0)]
)
def test_what_is_too_small_for_the_currency_is_dust(cost: int, amount: int, dust: int) -> None:
    coin = GasCoin(asset=NATIVE, unit="eth", decimals=18, unit_decimals=9)
    legs = gas_postings(transaction(gas_cost=cost), coin=coin)
    assert sum(each.amount for each in legs if each.credit == HOT) == cost
    expense = [each.amount for each in legs if each.debit == chart.fee_network("eth")]
    assert sum(expense) == amount
    assert sum(each.amount for each in legs if each.debit == chart.dust(NATIVE)) == dust


@pytest.mark.parametrize("cost", [None, 0])
def test_what_was_never_mined_cost_nothing(cost: int | None) -> None:
    assert gas_postings(transaction(gas_cost=cost), coin=COIN) == []


def test_a_topup_goes_into_the_tank() -> None:
    row = transaction(purpose="topup", asset=NATIVE, token_amount=5, destination_index=3)
    assert topup_postings(row, native_asset=NATIVE) == [
        Posting(debit=TANK, credit=HOT, amount=5, code=TransferCode.topup)
    ]


def test_gas_for_another_treasury_address_stays_hot() -> None:
    row = transaction(purpose="topup", asset=NATIVE, token_amount=5)
    assert topup_postings(row, native_asset=NATIVE) == []


def test_rebroadcasts_grow_rarer_to_a_limit() -> None:
    delays = [rebroadcast_delay(count) for count in range(12)]
    assert delays[:3] == [timedelta(seconds=5), timedelta(seconds=10), timedelta(seconds=20)]
    assert delays == sorted(delays)
    assert delays[-1] == rebroadcast_delay(10**6) == REBROADCAST_AFTER_MAX


@pytest.mark.parametrize(
    ("changes", "replaceable"),
    [
        ({"status": "built"}, False),
        ({"status": "signed"}, False),
        ({"status": "broadcast"}, True),
        ({"status": "broadcast", "block_hash": "0x1"}, False),
        ({"status": "unknown"}, True),
        ({"status": "confirmed"}, False),
        ({"status": "posted"}, False),
        ({"status": "posted", "orphaned": True}, True),
        ({"status": "failed", "orphaned": True}, True),
        ({"status": "refused"}, False),
    ],
)
def test_what_may_be_replaced(changes: dict[str, Any], replaceable: bool) -> None:
    assert is_replaceable(transaction(**changes)) is replaceable


def test_the_intent_of_a_cancel_is_one_nonce_of_one_key() -> None:
    row = transaction()
    named = cancel_intent(NETWORK, row.sender, 4)
    assert named == f"cancel:{NETWORK}:{row.sender}:4"
    assert named != cancel_intent(NETWORK, row.sender, 5)


def test_the_operator_sees_all_of_it() -> None:
    shown = operator_view(transaction(gas_cost=21_000, hash="0xab", waits_for="fees"))
    assert (shown["id"], shown["object"], shown["gas_cost"]) == (
        "tx_1",
        "chain_transaction",
        "21000",
    )
    assert shown["sender"] == "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
    assert shown["waits_for"] == "fees"
    assert operator_view(transaction())["gas_cost"] is None


def test_an_attempt_is_shown_with_its_price() -> None:
    attempt = Attempt(
        id="txa_1",
        transaction="tx_1",
        attempt=1,
        network=NETWORK,
        cancels=True,
        max_fee_per_gas=2_200,
        max_priority_fee_per_gas=1_125,
        unsigned=b"\x02",
        status="built",
        created=datetime(2026, 1, 2, tzinfo=UTC),
    )
    shown = attempt_view(attempt)
    assert (shown["attempt"], shown["cancels"], shown["hash"]) == (1, True, None)
    assert (shown["max_fee_per_gas"], shown["max_priority_fee_per_gas"]) == ("2200", "1125")


@pytest.mark.parametrize(("cost", "shown"), [(None, None), (21_000, "21000"), (0, "0")])
def test_what_is_shown(cost: int | None, shown: str | None) -> None:
    document = public(transaction(gas_cost=cost, hash="0xab", block_number=7))
    assert document == {
        "id": "tx_1",
        "hash": "0xab",
        "nonce": 4,
        "network": NETWORK,
        "block_number": 7,
        "status": "confirmed",
        "gas_cost": shown,
    }


@pytest.mark.parametrize(
    ("changes", "paid", "why"),
    [
        ({"succeeded": True}, {None, 0, 1}, "The transaction reverted on the chain."),
        (
            {"succeeded": True, "failed_lines": {"1": "it is paused"}},
            {None, 0},
            "The token did not make this transfer: it is paused.",
        ),
        ({"succeeded": False, "error": "replaced by 0xab"}, set(), "replaced by 0xab"),
        ({"succeeded": None}, set(), "The transaction reverted on the chain."),
    ],
)
def test_what_a_line_did(changes: dict[str, Any], paid: set[int | None], why: str) -> None:
    row = transaction(purpose="disperse", **changes)
    assert {line for line in (None, 0, 1) if row.pays(line)} == paid
    assert row.why_unpaid(1) == why


@pytest.mark.parametrize("purpose", Purpose)
def test_what_carries_payouts(purpose: Purpose) -> None:
    carrying = {Purpose.payout, Purpose.refund, Purpose.disperse}
    assert transaction(purpose=purpose.value).carries_payouts is (purpose in carrying)


@pytest.mark.parametrize("status", TransactionStatus)
def test_what_is_over(status: TransactionStatus) -> None:
    over = {TransactionStatus.posted, TransactionStatus.failed, TransactionStatus.refused}
    assert status.is_over is (status in over)


def test_what_a_forgotten_payout_took_is_a_persons_work() -> None:
    row = transaction(token_amount=7)
    assert forgotten_postings(row) == [
        Posting(chart.suspense(ASSET), chart.custody(ASSET, "hot"), 7, TransferCode.outflow)
    ]
