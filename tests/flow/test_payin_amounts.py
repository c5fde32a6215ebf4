"""Pay-ins by their amount: exact, under, over, split, many at once. On a real node."""

from typing import Any

import pytest
from tests.flow.harness import WHOLE_TOKEN, World
from tests.flow.money import fund_treasury
from tests.flow.refunding import CLAIM, PAYER, cancel, refund

from sakk.core import evm
from sakk.rails.sandbox.chain import deploy_contract
from sakk.rails.sandbox.wallet import Transfer

PAID = [
    "payment_intent.created",
    "payin.seen",
    "payment_intent.processing",
    "payin.confirmed",
    "payin.posted",
    "payment_intent.succeeded",
]
PART = ["payin.seen", "payin.confirmed", "payin.posted", "payment_intent.partially_funded"]
USD_25 = 25_000_000


@pytest.mark.parametrize("token", ["usdc", "usdt"])
def test_exact_amount_is_credited_in_the_coin_that_came(world: World, token: str) -> None:
    intent = world.intent(2500)
    transaction = world.pay(intent, token)
    world.finalize()
    assert world.position(token) == {"custody": USD_25, "balance": USD_25}
    assert world.amounts() == [USD_25]
    assert world.statement()[0].source == world.payin(intent).id
    assert world.event_types() == PAID
    assert world.facts(intent) == ("succeeded", 2500, "exact", "on_time")
    row = world.payin(intent)
    assert (row.status, row.role, row.tx_hash) == ("posted", "payment", transaction)
    assert (row.credit_units, row.suspense_units) == (USD_25, 0)
    world.check()


def test_nothing_is_credited_before_finality(world: World) -> None:
    intent = world.intent(2500)
    world.pay(intent)
    world.mine(2)
    world.run()
    assert world.facts(intent) == ("processing", 0, None, "on_time")
    assert world.payin(intent).status == "seen"
    assert world.position() == {}
    assert world.event_types() == PAID[:3]
    world.check()
    world.mine()
    world.run()
    assert world.facts(intent) == ("succeeded", 2500, "exact", "on_time")
    assert world.event_types() == PAID
    world.check()


def test_under_stays_open_and_a_top_up_completes_it(world: World) -> None:
    intent = world.intent(2500)
    world.pay(intent, units=10_000_000)
    world.finalize()
    assert world.facts(intent) == ("requires_action", 1000, "under", "on_time")
    assert world.position() == {"custody": 10_000_000, "balance": 10_000_000}
    assert world.event_types() == ["payment_intent.created", *PART]
    world.check()

    world.pay(intent, units=15_000_000)
    world.finalize()
    assert world.facts(intent) == ("succeeded", 2500, "exact", "on_time")
    assert world.position() == {"custody": USD_25, "balance": USD_25}
    assert world.amounts() == [10_000_000, 15_000_000]
    assert world.event_types() == ["payment_intent.created", *PART, *PAID[1:]]
    assert [row.status for row in world.payins(intent)] == ["posted", "posted"]
    world.check()


def test_top_up_before_the_first_part_is_final(world: World) -> None:
    intent = world.intent(2500)
    world.pay(intent, units=10_000_000)
    world.mine()
    world.run()
    assert world.facts(intent)[0] == "requires_action"
    world.pay(intent, units=15_000_000)
    world.mine()
    world.run()
    assert world.facts(intent)[:2] == ("processing", 0)
    world.mine()
    world.run()
    # The first part is final, the second not yet.
    assert world.facts(intent)[:3] == ("processing", 1000, "under")
    world.mine()
    world.run()
    assert world.facts(intent) == ("succeeded", 2500, "exact", "on_time")
    assert world.event_types(about=intent.id) == [
        "payment_intent.created",
        "payment_intent.processing",
        "payment_intent.partially_funded",
        "payment_intent.succeeded",
    ]
    world.check()


@pytest.mark.parametrize("policy", ["accept", "credit"])
def test_over_is_credited_in_full(world: World, policy: str) -> None:
    world.set_policy(over=policy)
    intent = world.intent(2500)
    world.pay(intent, units=30_000_000)
    world.finalize()
    assert world.facts(intent) == ("succeeded", 3000, "over", "on_time")
    assert world.position() == {"custody": 30_000_000, "balance": 30_000_000}
    assert world.payin(intent).reason == "over"
    assert world.event_types() == PAID
    world.check()


def test_over_with_refund_due_keeps_the_excess_in_suspense(world: World) -> None:
    world.set_policy(over="refund_due")
    intent = world.intent(2500)
    world.pay(intent, units=30_000_001)
    world.finalize()
    assert world.facts(intent) == ("succeeded", 3000, "over", "on_time")
    assert world.position() == {"custody": 30_000_001, "balance": USD_25, "suspense": 5_000_001}
    row = world.payin(intent)
    assert (row.credit_units, row.suspense_units) == (USD_25, 5_000_001)
    assert row.reason == "over_refund_due"
    assert world.event_types() == PAID
    assert "payin.suspense" in world.event_types(about=row.id, operator=True)
    world.check()


def test_what_went_back_before_a_payment_was_paid_is_not_over_when_it_is(world: World) -> None:
    fund_treasury(world)
    world.set_policy(over="refund_due")
    intent = world.intent(2_500)
    world.pay(intent, units=10 * WHOLE_TOKEN)
    world.finalize()
    refund(world, intent, 1_000, address=PAYER)
    world.run()
    world.finalize()
    assert (world.facts(intent)[0], world.balance()) == ("requires_action", 0)
    world.pay(intent, units=26 * WHOLE_TOKEN)
    world.finalize()
    assert world.facts(intent)[0] == "succeeded"
    assert (world.balance(), world.suspense()) == (25 * WHOLE_TOKEN, WHOLE_TOKEN)
    world.check()


def test_a_payment_that_its_refund_kept_open_succeeds_when_that_is_called_off(world: World) -> None:
    fund_treasury(world)
    intent = world.intent(2_500)
    world.pay(intent, units=10 * WHOLE_TOKEN)
    world.finalize()
    waiting = refund(world, intent, 1_000, claim_hash=CLAIM)
    world.pay(intent, units=15 * WHOLE_TOKEN)
    world.finalize()
    assert world.facts(intent)[:2] == ("requires_action", 2_500)
    cancel(world, waiting)
    assert world.facts(intent) == ("succeeded", 2_500, "exact", "on_time")
    assert world.event_types(about=intent.id)[-1] == "payment_intent.succeeded"
    world.run()
    assert world.balance() == 25 * WHOLE_TOKEN
    world.check()


def test_over_by_the_second_transfer_of_two_tokens(world: World) -> None:
    world.set_policy(over="refund_due")
    intent = world.intent(2500)
    world.pay(intent, "usdt", units=20_000_000)
    world.finalize()
    world.pay(intent, "usdc", units=20_000_000)
    world.finalize()
    assert world.facts(intent) == ("succeeded", 4000, "over", "on_time")
    assert world.position("usdt") == {"custody": 20_000_000, "balance": 20_000_000}
    assert world.position("usdc") == {
        "custody": 20_000_000,
        "balance": 5_000_000,
        "suspense": 15_000_000,
    }
    world.check()


def test_split_over_transfers_and_two_tokens(world: World) -> None:
    intent = world.intent(2500)
    for token, units in (("usdc", 5_000_000), ("usdt", 7_000_000), ("usdc", 13_000_000)):
        world.pay(intent, token, units=units)
        world.finalize()
    assert world.facts(intent) == ("succeeded", 2500, "exact", "on_time")
    assert world.position("usdc") == {"custody": 18_000_000, "balance": 18_000_000}
    assert world.position("usdt") == {"custody": 7_000_000, "balance": 7_000_000}
    assert world.event_types() == ["payment_intent.created", *PART, *PART, *PAID[1:]]
    world.check()


def test_several_payments_of_one_intent_in_one_block(world: World) -> None:
    intent = world.intent(2500)
    address = evm.checksum_address(intent.address)
    contract = world.contract("usdc")
    units = (1_000_000, 4_000_000, 20_000_000)
    world.chain.payer.transfer_many([Transfer(contract, address, each) for each in units])
    world.finalize()
    rows = world.payins(intent)
    assert len({row.block_hash for row in rows}) == 1
    assert {row.log_index: row.token_amount for row in rows} == dict(enumerate(units))
    assert sorted(world.amounts()) == list(units)
    assert world.facts(intent) == ("succeeded", 2500, "exact", "on_time")
    world.check()


def test_intents_of_two_merchants_in_one_block(world: World) -> None:
    other = world.merchant()
    ours, theirs = world.intent(2500), world.intent(700, account=other)
    world.pay(ours)
    world.pay(theirs)
    world.finalize()
    assert world.payin(ours).block_hash == world.payin(theirs).block_hash
    assert world.position() == {"custody": 32_000_000, "balance": USD_25}
    assert world.position(account=other) == {"custody": 32_000_000, "balance": 7_000_000}
    assert world.amounts() == [USD_25]
    assert world.amounts(account=other) == [7_000_000]
    assert world.event_types() == PAID
    assert world.event_types(account=other) == PAID
    assert {each.account_id for each in world.events()} == {world.account}
    world.check()


def test_one_transaction_with_many_transfers(world: World) -> None:
    batcher = deploy_contract(world.chain.contracts, "Batcher")
    payer = world.chain.payer
    first, second = world.intent(2500), world.intent(900)
    usdc, usdt = world.contract("usdc"), world.contract("usdt")
    for contract in (usdc, usdt):
        payer.call_contract(contract, "approve(address,uint256)", batcher, 10**12)
    world.mine()
    payments = [
        (usdc, evm.checksum_address(first.address), 10_000_000),
        (usdt, evm.checksum_address(second.address), 9_000_000),
        (usdc, payer.address, 1),
        (usdc, evm.checksum_address(first.address), 15_000_000),
    ]
    transaction = payer.call_contract(
        batcher, "transferMany((address,address,uint256)[])", payments
    )
    world.finalize()
    rows = world.payins()
    assert {row.tx_hash for row in rows} == {transaction}
    assert len({row.log_index for row in rows}) == 3
    assert world.facts(first) == ("succeeded", 2500, "exact", "on_time")
    assert world.facts(second) == ("succeeded", 900, "exact", "on_time")
    assert world.position("usdc") == {"custody": USD_25, "balance": USD_25}
    assert world.position("usdt") == {"custody": 9_000_000, "balance": 9_000_000}
    world.check()


@pytest.mark.parametrize(
    ("policy", "units", "status"),
    [
        ({"tolerance_under_units": 10}, 24_900_000, "succeeded"),
        ({"tolerance_under_units": 10}, 24_899_999, "requires_action"),
        ({"tolerance_percent_bps": 100}, 24_750_000, "succeeded"),
        ({"tolerance_percent_bps": 100}, 24_740_000, "requires_action"),
        ({"tolerance_under_units": 10, "tolerance_percent_bps": 100}, 24_750_000, "succeeded"),
        ({}, 24_999_999, "requires_action"),
    ],
)
def test_tolerance(world: World, policy: dict[str, Any], units: int, status: str) -> None:
    world.set_policy(**policy)
    intent = world.intent(2500)
    world.pay(intent, units=units)
    world.finalize()
    received = units // 10_000
    assert world.facts(intent) == (status, received, "under", "on_time")
    # What is missing is nobody's debt: the merchant has what came.
    assert world.position() == {"custody": units, "balance": units}
    world.check()


def test_a_thousand_dust_transfers(world: World) -> None:
    intent = world.intent(1000, "usdc")
    address = evm.checksum_address(intent.address)
    dust = [Transfer(world.contract("usdc"), address, 1)] * 1000
    world.chain.payer.transfer_many(dust)
    while int(world.chain.rpc.call("txpool_status")["pending"], 16):
        world.mine()
    world.finalize()
    rows = world.payins(intent)
    assert len(rows) == 1000
    assert {row.status for row in rows} == {"posted"}
    assert world.position() == {"custody": 1000, "balance": 1000}
    assert world.facts(intent) == ("succeeded", 1000, "exact", "on_time")
    assert world.event_types(about=intent.id)[-1] == "payment_intent.succeeded"
    assert world.event_types().count("payment_intent.succeeded") == 1
    world.check()


def test_transfer_of_nothing_is_no_payin(world: World) -> None:
    intent = world.intent(2500)
    world.pay(intent, units=0)
    world.finalize()
    assert world.payins() == []
    assert world.facts(intent) == ("requires_action", 0, None, None)
    world.check()
