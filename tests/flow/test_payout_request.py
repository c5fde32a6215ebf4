"""What a payout's request refuses, reserves and repeats; how it is called off and decided."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest
from tests.flow.harness import World
from tests.flow.money import (
    BENEFICIARY,
    credit,
    fund_treasury,
    hold_total,
    judge,
    payout_now,
    rich,
    units_at,
)
from tests.flow.wiring import WHOLE_TOKEN

from sakk.core.errors import (
    BalanceInsufficient,
    ParameterInvalid,
    ResourceMissing,
    UnexpectedState,
)
from sakk.flow import payout as flow
from sakk.store import network
from sakk.store import payout as payouts
from sakk.store.identity import new_id


def test_more_than_the_balance_is_refused_at_once(world: World) -> None:
    rich(world, 100)
    with pytest.raises(BalanceInsufficient) as caught:
        world.payout(100 * WHOLE_TOKEN + 1, address=BENEFICIARY)
    assert (caught.value.status, caught.value.code) == (400, "balance_insufficient")
    assert caught.value.param == "amount"
    assert world.payouts() == []
    assert (world.balance(), hold_total(world)) == (100 * WHOLE_TOKEN, 0)
    world.run()
    world.check()


def test_the_whole_balance_can_be_paid_out(world: World) -> None:
    rich(world, 100)
    world.payout(100 * WHOLE_TOKEN, address=BENEFICIARY)
    world.run()
    world.finalize()
    assert world.balance() == 0
    assert units_at(world, BENEFICIARY) == 100 * WHOLE_TOKEN
    world.check()


def test_parallel_payouts_never_overdraw(world: World) -> None:
    rich(world, 100)

    def ask(_: int) -> bool:
        try:
            world.payout(30 * WHOLE_TOKEN, address=BENEFICIARY)
        except BalanceInsufficient:
            return False
        return True

    with ThreadPoolExecutor(20) as pool:
        granted = list(pool.map(ask, range(20)))
    assert granted.count(True) == 3
    assert (world.balance(), hold_total(world)) == (10 * WHOLE_TOKEN, 90 * WHOLE_TOKEN)
    world.run()
    world.finalize()
    assert units_at(world, BENEFICIARY) == 90 * WHOLE_TOKEN
    statuses = sorted(row.status for row in world.payouts())
    assert statuses.count("posted") == 3
    assert set(statuses) <= {"posted", "rejected"}
    world.check()


def test_one_identifier_is_one_payout(world: World) -> None:
    rich(world, 100)
    identifier = new_id("po")

    def ask(_: int) -> str:
        return world.payout(30 * WHOLE_TOKEN, address=BENEFICIARY, identifier=identifier).id

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(ask, range(8))) == {identifier}
    assert ask(0) == identifier
    assert hold_total(world) == 30 * WHOLE_TOKEN
    world.run()
    world.finalize()
    assert ask(0) == identifier
    assert units_at(world, BENEFICIARY) == 30 * WHOLE_TOKEN
    assert world.event_types(about=identifier).count("payout.created") == 1
    world.check()


def test_a_refused_request_repeated_is_refused_again(world: World) -> None:
    credit(world, 10)
    row = world.payout(10 * WHOLE_TOKEN, address=BENEFICIARY)
    # What it looks like when another request took the balance between the look and the hold.
    late = replace(row, id=new_id("po"), hold="none", amount=5 * WHOLE_TOKEN)
    with world.database.begin() as connection:
        payouts.insert(connection, late)
    for _ in range(2):
        with pytest.raises(BalanceInsufficient):
            world.payout(5 * WHOLE_TOKEN, address=BENEFICIARY, identifier=late.id)
    assert payout_now(world, late).status == "rejected"
    assert payout_now(world, late).hold == "refused"
    assert hold_total(world) == 10 * WHOLE_TOKEN
    world.check()


BAD_ADDRESSES = {
    "checksum": "0x70997970C51812dc3A010C7d01b50e0d17dc79c8",
    "zero": "0x" + "00" * 20,
    "short": "0x70997970",
    "another family": "TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t",
    "empty": "",
}


@pytest.mark.parametrize("address", BAD_ADDRESSES.values(), ids=BAD_ADDRESSES.keys())
def test_a_bad_address_is_refused_at_once(world: World, address: str) -> None:
    credit(world, 10)
    with pytest.raises(ParameterInvalid) as caught:
        world.payout(WHOLE_TOKEN, address=address)
    assert (caught.value.status, caught.value.param) == (400, "destination[address]")
    assert (world.payouts(), hold_total(world)) == ([], 0)


def test_destinations_that_would_lose_or_circle_the_money(world: World) -> None:
    credit(world, 10)
    for address in (world.contract("usdc"), world.contract("usdt"), world.treasury):
        with pytest.raises(ParameterInvalid) as caught:
            world.payout(WHOLE_TOKEN, address=address)
        assert caught.value.param == "destination[address]"


def test_networks_that_are_not_offered(world: World) -> None:
    credit(world, 10)
    with world.database.begin() as connection:
        [found] = network.list_networks(connection)
        network.put_network(connection, replace(found, enabled=False))
    for name in (found.network, "eip155:1", "nonsense"):
        with pytest.raises(ParameterInvalid, match="not an enabled network") as caught:
            world.payout(WHOLE_TOKEN, address=BENEFICIARY, network=name)
        assert caught.value.param == "destination[address]"


@pytest.mark.parametrize("currency", ["eth", "usd", "eur", "dai"])
def test_currencies_that_no_token_here_carries(world: World, currency: str) -> None:
    credit(world, 10)
    with pytest.raises(ParameterInvalid, match="can not be paid out") as caught:
        world.payout(1, currency, address=BENEFICIARY)
    assert caught.value.param == "currency"


def test_it_is_called_off_before_it_is_signed(world: World) -> None:
    rich(world, 100)
    row = world.payout(30 * WHOLE_TOKEN, address=BENEFICIARY)
    world.run_only("payout.screen")
    canceled = flow.cancel(world.parts, row.id, account_id=world.account, livemode=False)
    assert (canceled.status, hold_total(world)) == ("canceled", 30 * WHOLE_TOKEN)
    world.run()
    assert (world.balance(), hold_total(world)) == (100 * WHOLE_TOKEN, 0)
    assert payout_now(world, row).hold == "voided"
    assert world.transactions() == []
    assert world.event_types(about=row.id)[-1] == "payout.canceled"
    with pytest.raises(UnexpectedState):
        flow.cancel(world.parts, row.id, account_id=world.account, livemode=False)
    world.check()


def test_it_is_not_called_off_once_a_transaction_has_its_nonce(world: World) -> None:
    rich(world, 100)
    row = world.payout(30 * WHOLE_TOKEN, address=BENEFICIARY)
    world.run_only("payout.screen", "payout.decide", "payout.build")
    for _ in range(2):
        with pytest.raises(UnexpectedState, match="can not be canceled"):
            flow.cancel(world.parts, row.id, account_id=world.account, livemode=False)
        world.run()
    world.finalize()
    with pytest.raises(UnexpectedState):
        flow.cancel(world.parts, row.id, account_id=world.account, livemode=False)
    assert payout_now(world, row).status == "posted"
    world.check()


def test_nobody_cancels_anothers(world: World) -> None:
    rich(world, 100)
    row = world.payout(WHOLE_TOKEN, address=BENEFICIARY)
    with pytest.raises(ResourceMissing):
        flow.cancel(world.parts, row.id, account_id=world.merchant(), livemode=False)


@pytest.mark.parametrize("approve", [True, False])
def test_a_sanctioned_destination_waits_for_the_operator(world: World, approve: bool) -> None:
    rich(world, 100)
    world.import_list(BENEFICIARY)
    row = world.payout(30 * WHOLE_TOKEN, address=BENEFICIARY)
    world.run()
    waiting = payout_now(world, row)
    assert (waiting.status, waiting.under_review) == ("requested", True)
    assert waiting.screening is not None
    assert (world.transactions(), hold_total(world)) == ([], 30 * WHOLE_TOKEN)
    world.reconcile()

    judge(world, row, approve=approve, reason="seen")
    world.run()
    world.finalize()
    done = payout_now(world, row)
    if approve:
        assert (done.status, units_at(world, BENEFICIARY)) == ("posted", 30 * WHOLE_TOKEN)
    else:
        assert (done.status, done.failure_message) == ("rejected", "The payout was not approved.")
        assert (world.balance(), hold_total(world)) == (100 * WHOLE_TOKEN, 0)
    with pytest.raises(UnexpectedState):
        judge(world, row, approve=True)
    world.check()


def test_nothing_is_decided_that_is_not_under_review(world: World) -> None:
    rich(world, 100)
    row = world.payout(WHOLE_TOKEN, address=BENEFICIARY)
    with pytest.raises(UnexpectedState):
        judge(world, row, approve=True)
    with pytest.raises(ResourceMissing):
        judge(world, replace(row, id=new_id("po")), approve=True)


def test_a_hold_that_a_crash_left_behind_is_made(world: World) -> None:
    rich(world, 100)
    row = world.payout(30 * WHOLE_TOKEN, address=BENEFICIARY)
    with world.database.begin() as connection:
        connection.exec_driver_sql("UPDATE payouts SET hold = 'none'")
    with pytest.raises(UnexpectedState):
        flow.cancel(world.parts, row.id, account_id=world.account, livemode=False)
    assert world.run_only("payout.hold") == [0]
    world.advance(timedelta(seconds=6))
    assert world.run_only("payout.hold") == [1]
    assert (payout_now(world, row).hold, hold_total(world)) == ("held", 30 * WHOLE_TOKEN)
    world.run()
    world.finalize()
    assert payout_now(world, row).status == "posted"
    world.check()


def test_a_payout_to_another_merchants_deposit_address_pays_it(world: World) -> None:
    rich(world, 100)
    other = world.merchant("The other")
    intent = world.intent(3000, account=other)
    row = world.payout(30 * WHOLE_TOKEN, address=intent.address)
    world.run()
    world.finalize()
    world.run()
    assert payout_now(world, row).status == "posted"
    assert world.refresh(intent).status == "succeeded"
    assert world.payin(intent).sender == world.treasury
    assert world.balance() == 70 * WHOLE_TOKEN
    assert world.balance(account=other) == 30 * WHOLE_TOKEN
    assert world.outflows() == []
    world.check()


def test_it_waits_for_liquidity(world: World) -> None:
    credit(world, 100)
    row = world.payout(30 * WHOLE_TOKEN, address=BENEFICIARY)
    world.run()
    assert (payout_now(world, row).status, world.transactions()) == ("approved", [])
    world.advance(timedelta(minutes=10))
    world.run()
    assert payout_now(world, row).status == "approved"
    assert hold_total(world) == 30 * WHOLE_TOKEN
    fund_treasury(world, 50)
    world.advance(timedelta(seconds=3))
    world.run()
    world.finalize()
    assert payout_now(world, row).status == "posted"
    assert units_at(world, BENEFICIARY) == 30 * WHOLE_TOKEN
    world.check()
