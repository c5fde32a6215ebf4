"""Refunds end to end: cap, hold, claim, screening, cancellation, and what the ledger says after."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from tests.flow.harness import World
from tests.flow.money import credit, fund_treasury, hold_total, judge, payout_now, units_at
from tests.flow.refunding import (
    CLAIM,
    OTHER,
    PAYER,
    cancel,
    claim,
    paid,
    refund,
    refund_now,
    refunded,
)
from tests.flow.wiring import WHOLE_TOKEN

from sakk.core.errors import (
    BalanceInsufficient,
    ParameterInvalid,
    ResourceMissing,
    SakkError,
    UnexpectedState,
)
from sakk.core.payout import Initiator
from sakk.flow import refund as flow
from sakk.flow.refund_draft import Place
from sakk.store.identity import new_id


def test_a_payment_goes_back_in_whole_to_an_address(world: World) -> None:
    intent = paid(world)
    row = refund(world, intent, address=PAYER)
    assert (row.status, row.amount, row.coin, row.coin_amount) == (
        "pending",
        2_500,
        "usdc",
        25 * WHOLE_TOKEN,
    )
    assert (world.balance(), hold_total(world), refunded(world, intent)) == (
        0,
        25 * WHOLE_TOKEN,
        2_500,
    )
    world.run()
    assert refund_now(world, row).status == "pending"
    world.finalize()
    done = refund_now(world, row)
    assert (done.status, done.failure_reason) == ("succeeded", None)
    [payout] = world.payouts()
    assert (done.tx_hash, done.payout) == (payout.tx_hash, payout.id)
    assert (payout.purpose, payout.status) == ("refund", "posted")
    assert units_at(world, PAYER) == 25 * WHOLE_TOKEN
    assert (world.balance(), hold_total(world), refunded(world, intent)) == (0, 0, 2_500)
    assert world.refresh(intent).status == "succeeded"
    # The merchant is told of the refund, the operator of what carries it.
    assert world.event_types(about=row.id) == [
        "refund.created",
        "refund.updated",
        "refund.succeeded",
    ]
    assert world.event_types(about=payout.id) == []
    assert set(world.event_types(about=payout.id, operator=True)) == {"payout.moved"}
    world.check()


def test_parts_add_up_to_what_arrived_and_no_more(world: World) -> None:
    intent = paid(world)
    refund(world, intent, 1_000, address=PAYER)
    with pytest.raises(ParameterInvalid) as caught:
        refund(world, intent, 1_501, address=PAYER)
    assert caught.value.param == "amount"
    assert "1500" in caught.value.message
    refund(world, intent, 1_500, address=PAYER)
    with pytest.raises(UnexpectedState):
        refund(world, intent, 1, address=PAYER)
    with pytest.raises(UnexpectedState):
        refund(world, intent, address=PAYER)
    world.run()
    world.finalize()
    assert units_at(world, PAYER) == 25 * WHOLE_TOKEN
    world.check()


def test_parallel_refunds_never_exceed_what_arrived(world: World) -> None:
    intent = paid(world)
    # A balance that would bear more than the payment brought.
    credit(world, 100)

    def ask(_: int) -> bool:
        try:
            refund(world, intent, 600, address=PAYER)
        except (ParameterInvalid, UnexpectedState):
            return False
        return True

    with ThreadPoolExecutor(16) as pool:
        granted = list(pool.map(ask, range(16)))
    assert granted.count(True) == 4
    assert (refunded(world, intent), hold_total(world)) == (2_400, 24 * WHOLE_TOKEN)
    world.run()
    world.finalize()
    assert units_at(world, PAYER) == 24 * WHOLE_TOKEN
    world.check()


def test_one_identifier_is_one_refund(world: World) -> None:
    intent = paid(world)
    identifier = new_id("re")

    def ask(_: int) -> str:
        return refund(world, intent, 2_000, address=PAYER, identifier=identifier).id

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(ask, range(8))) == {identifier}
    assert hold_total(world) == 20 * WHOLE_TOKEN
    world.run()
    world.finalize()
    assert ask(0) == identifier
    assert units_at(world, PAYER) == 20 * WHOLE_TOKEN
    world.check()


def test_more_than_the_balance_has_left_is_refused_and_leaves_nothing(world: World) -> None:
    intent = paid(world)
    world.payout(20 * WHOLE_TOKEN, address=OTHER)
    with pytest.raises(BalanceInsufficient) as caught:
        refund(world, intent, address=PAYER)
    assert caught.value.param == "amount"
    assert refunded(world, intent) == 0
    # A part that the balance bears is fine.
    refund(world, intent, 500, address=PAYER)
    world.run()
    world.finalize()
    assert units_at(world, PAYER) == 5 * WHOLE_TOKEN
    world.check()


def test_the_payer_says_where_to(world: World) -> None:
    intent = paid(world)
    row = refund(world, intent, claim_hash=CLAIM)
    assert (row.status, row.destination, hold_total(world)) == (
        "requires_action",
        None,
        25 * WHOLE_TOKEN,
    )
    assert world.payouts() == []
    # Looked at and not confirmed, nothing is final.
    looked = claim(world, confirm=False)
    assert (looked.status, looked.address, looked.amount) == (
        "unconfirmed",
        PAYER,
        25 * WHOLE_TOKEN,
    )
    assert refund_now(world, row).destination is None
    claimed = claim(world)
    assert (claimed.status, claimed.address) == ("given", PAYER)
    assert (claimed.networks, claimed.network_name) == ([], looked.networks[0].name)
    with pytest.raises(UnexpectedState):
        claim(world, OTHER)
    world.run()
    world.finalize()
    assert refund_now(world, row).status == "succeeded"
    assert (units_at(world, PAYER), units_at(world, OTHER)) == (25 * WHOLE_TOKEN, 0)
    world.check()


def test_a_claim_at_once_from_two_browsers_is_one(world: World) -> None:
    intent = paid(world)
    row = refund(world, intent, claim_hash=CLAIM)

    def say(address: str) -> str | None:
        try:
            return claim(world, address).address
        except UnexpectedState:
            return None

    with ThreadPoolExecutor(4) as pool:
        said = [each for each in pool.map(say, [PAYER, OTHER] * 2) if each is not None]
    assert [refund_now(world, row).destination] == said
    world.run()
    world.finalize()
    assert units_at(world, said[0]) == 25 * WHOLE_TOKEN
    world.check()


def test_a_claim_that_is_forged_replaced_or_too_late_is_worth_nothing(world: World) -> None:
    intent = paid(world)
    row = refund(world, intent, claim_hash=CLAIM)
    with pytest.raises(ResourceMissing):
        claim(world, token_hash="0" * 64)
    with world.database.begin() as connection:
        flow.renew_claim(
            connection,
            row.id,
            account_id=row.account_id,
            livemode=False,
            claim_hash="1" * 64,
            expires_at=None,
            now=world.clock(),
            initiator=Initiator(),
        )
    with pytest.raises(ResourceMissing):
        claim(world)
    world.advance(timedelta(days=31))
    with pytest.raises(UnexpectedState):
        claim(world, token_hash="1" * 64)
    world.run()
    late = refund_now(world, row)
    assert (late.status, late.failure_reason, late.hold) == ("failed", "claim_expired", "voided")
    assert (world.balance(), hold_total(world), refunded(world, intent)) == (
        25 * WHOLE_TOKEN,
        0,
        0,
    )
    # What was not claimed may be refunded anew.
    refund(world, intent, address=PAYER)
    world.run()
    world.finalize()
    assert units_at(world, PAYER) == 25 * WHOLE_TOKEN
    world.check()


def bad_places(world: World) -> dict[str, Place]:
    here = world.chain.network
    deposit = world.payins()[0].address
    return {
        "checksum": Place(here, "0x70997970C51812dc3A010C7d01b50e0d17dc79c8"),
        "zero": Place(here, "0x" + "00" * 20),
        "the token": Place(here, world.contract("usdc")),
        "another token": Place(here, world.contract("usdt")),
        "the treasury": Place(here, world.treasury),
        "a deposit address": Place(here, deposit),
        "another family": Place(here, "TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t"),
        "another network": Place("eip155:1", PAYER),
    }


def test_bad_destinations_are_refused_and_change_nothing(world: World) -> None:
    intent = paid(world)
    row = refund(world, intent, 1_000, claim_hash=CLAIM)
    for name, place in bad_places(world).items():
        with pytest.raises(ParameterInvalid) as caught:
            claim(world, place.address, network=place.network)
        assert (caught.value.param or "").startswith("destination["), name
        with pytest.raises(ParameterInvalid):
            refund(world, intent, 1_000, address=place.address, network=place.network)
    assert refund_now(world, row).status == "requires_action"
    assert refunded(world, intent) == 1_000
    world.check()


def test_a_blocked_destination_fails_without_a_word_and_the_money_is_back(world: World) -> None:
    intent = paid(world)
    world.import_list(PAYER)
    row = refund(world, intent, claim_hash=CLAIM)
    claim(world)
    world.run()
    failed = refund_now(world, row)
    assert (failed.status, failed.failure_reason) == ("failed", "declined")
    assert (world.balance(), hold_total(world), refunded(world, intent)) == (
        25 * WHOLE_TOKEN,
        0,
        0,
    )
    for told in world.events():
        assert "sanction" not in str(told.object), told
        assert "screen" not in str(told.object.get("failure_reason")), told
    assert units_at(world, PAYER) == 0
    world.check()


@pytest.mark.parametrize("claimed", [False, True])
def test_a_refund_is_called_off_before_a_transaction_carries_it(
    world: World, claimed: bool
) -> None:
    intent = paid(world)
    row = refund(world, intent, claim_hash=CLAIM)
    if claimed:
        claim(world)
    assert cancel(world, row).status == "canceled"
    with pytest.raises(UnexpectedState):
        cancel(world, row)
    with pytest.raises(UnexpectedState):
        claim(world)
    world.run()
    assert (world.balance(), hold_total(world), refunded(world, intent)) == (
        25 * WHOLE_TOKEN,
        0,
        0,
    )
    assert world.event_types(about=row.id)[-1] == "refund.canceled"
    world.finalize()
    assert units_at(world, PAYER) == 0
    world.check()


def test_what_is_on_its_way_can_not_be_called_off(world: World) -> None:
    intent = paid(world)
    row = refund(world, intent, address=PAYER)
    world.run()
    with pytest.raises(UnexpectedState):
        cancel(world, row)
    with pytest.raises(UnexpectedState), world.database.begin() as connection:
        flow.redirect(
            connection,
            row.id,
            Place(world.chain.network, OTHER),
            livemode=False,
            now=world.clock(),
            initiator=Initiator(),
        )
    world.finalize()
    assert units_at(world, PAYER) == 25 * WHOLE_TOKEN
    world.check()


def test_the_operator_alone_changes_a_claimed_destination(world: World) -> None:
    intent = paid(world)
    row = refund(world, intent, claim_hash=CLAIM)
    claim(world)
    world.run_only("payout.screen")
    with world.database.begin() as connection:
        changed = flow.redirect(
            connection,
            row.id,
            Place(world.chain.network, OTHER),
            livemode=False,
            now=world.clock(),
            initiator=Initiator(),
        )
    assert changed.destination == OTHER
    [payout] = world.payouts()
    assert (payout.status, payout.screening) == ("requested", None)
    world.run()
    world.finalize()
    assert (units_at(world, PAYER), units_at(world, OTHER)) == (0, 25 * WHOLE_TOKEN)
    world.check()


def test_a_refund_under_review_waits_for_the_operator(world: World) -> None:
    intent = paid(world)
    world.import_list(PAYER, name="doubtful", category="mixer")
    row = refund(world, intent, address=PAYER)
    world.run()
    [payout] = world.payouts()
    assert payout.under_review
    assert refund_now(world, row).status == "pending"
    judge(world, payout, approve=False, reason="No.")
    world.run()
    failed = refund_now(world, row)
    assert (failed.status, failed.failure_reason) == ("failed", "declined")
    assert payout_now(world, payout).hold == "voided"
    assert world.balance() == 25 * WHOLE_TOKEN
    world.check()


def test_a_hold_that_a_request_left_behind_is_finished(world: World) -> None:
    intent = paid(world)
    row = refund(world, intent, address=PAYER)
    # As if the request had died after the ledger's answer and before the row knew it.
    with world.database.begin() as connection:
        connection.exec_driver_sql("DELETE FROM payouts")
        connection.exec_driver_sql("UPDATE refunds SET hold = 'none', payout = NULL")
    with pytest.raises(UnexpectedState):
        cancel(world, row)
    world.advance(timedelta(seconds=6))
    world.run()
    world.finalize()
    assert refund_now(world, row).status == "succeeded"
    assert units_at(world, PAYER) == 25 * WHOLE_TOKEN
    world.check()


def test_a_reversed_payment_takes_its_waiting_refund_along(world: World) -> None:
    fund_treasury(world)
    intent = world.intent(2_500)
    world.pay(intent)
    world.finalize()
    row = refund(world, intent, claim_hash=CLAIM)
    world.chain.reorg(3)
    world.run()
    failed = refund_now(world, row)
    assert (failed.status, failed.failure_reason) == ("failed", "payment_reversed")
    assert (refunded(world, intent), hold_total(world)) == (0, 0)
    # What was reserved came back after the reversal had asked for it: the merchant owes as much.
    assert world.balance() == world.receivable() == 25 * WHOLE_TOKEN
    with pytest.raises(SakkError):
        refund(world, intent, 1, address=PAYER)
    world.check()


def test_a_refund_that_a_request_left_behind_ends_with_its_payment(world: World) -> None:
    """Its money was not reserved yet when the chain took the payment back: it is not sent then."""
    fund_treasury(world)
    world.set_policy(over="refund_due")
    credit(world, 100)
    intent = world.intent(2_500)
    world.pay(intent, units=30 * WHOLE_TOKEN)
    world.finalize()
    of_payment = refund(world, intent, address=PAYER)
    of_suspense = refund(world, world.payin(intent), address=OTHER)
    with world.database.begin() as connection:
        connection.exec_driver_sql("DELETE FROM payouts WHERE purpose = 'refund'")
        connection.exec_driver_sql("UPDATE refunds SET hold = 'none', payout = NULL")
    world.chain.reorg(3)
    world.run()
    assert world.payin(intent).status == "reversed"
    world.advance(timedelta(seconds=6))
    world.run()
    world.finalize()
    for row in (of_payment, of_suspense):
        ended = refund_now(world, row)
        assert (ended.status, ended.failure_reason) == ("failed", "payment_reversed")
        assert world.event_types(about=row.id)[-1] == "refund.failed"
    assert (units_at(world, PAYER), units_at(world, OTHER)) == (0, 0)
    assert (refunded(world, intent), hold_total(world), world.suspense()) == (0, 0, 0)
    world.check()


def test_what_is_over_goes_back_out_of_suspense(world: World) -> None:
    fund_treasury(world)
    world.set_policy(over="refund_due")
    intent = world.intent(2_500)
    world.pay(intent, units=30 * WHOLE_TOKEN + 7)
    world.finalize()
    arrived = world.payin(intent)
    assert world.suspense() == 5 * WHOLE_TOKEN + 7
    part = refund(world, arrived, 200, address=PAYER)
    assert (part.currency, part.amount, part.token_amount) == ("usd", 200, 2 * WHOLE_TOKEN)
    with pytest.raises(ParameterInvalid):
        refund(world, arrived, 301, address=PAYER)
    rest = refund(world, arrived, claim_hash=CLAIM)
    assert rest.token_amount == 3 * WHOLE_TOKEN + 7
    with pytest.raises(UnexpectedState):
        refund(world, arrived, 1, address=PAYER)
    claim(world, OTHER)
    # The payment itself is refunded apart from that, and only what was credited for it.
    with pytest.raises(ParameterInvalid):
        refund(world, intent, 2_501, address=PAYER)
    world.run()
    world.finalize()
    assert (refund_now(world, part).status, refund_now(world, rest).status) == (
        "succeeded",
        "succeeded",
    )
    assert (units_at(world, PAYER), units_at(world, OTHER)) == (
        2 * WHOLE_TOKEN,
        3 * WHOLE_TOKEN + 7,
    )
    assert (world.suspense(), world.balance()) == (0, 25 * WHOLE_TOKEN)
    assert refunded(world, intent) == 500
    world.check()


def test_what_was_credited_without_an_intent_goes_back_out_of_the_balance(world: World) -> None:
    fund_treasury(world)
    address = world.customer_address(world.customer())
    world.pay(address, units=5 * WHOLE_TOKEN)
    world.finalize()
    [arrived] = world.payins()
    part = refund(world, arrived, 2 * WHOLE_TOKEN, address=PAYER)
    assert (part.payment_intent, part.payin, part.source) == (None, arrived.id, "balance")
    for amount in (3 * WHOLE_TOKEN + 1, 4 * WHOLE_TOKEN):
        with pytest.raises(ParameterInvalid):
            refund(world, arrived, amount, address=PAYER)
    with pytest.raises(ParameterInvalid):
        refund(world, arrived, 1, address=PAYER, coin="usdt")
    waiting = refund(world, arrived, claim_hash=CLAIM)
    assert waiting.amount == 3 * WHOLE_TOKEN
    with pytest.raises(UnexpectedState):
        refund(world, arrived, 1, address=PAYER)
    assert world.balance() == 0
    # What was called off can be refunded again.
    cancel(world, waiting)
    world.run()
    world.finalize()
    assert refund_now(world, part).status == "succeeded"
    assert units_at(world, PAYER) == 2 * WHOLE_TOKEN
    assert (world.balance(), world.suspense()) == (3 * WHOLE_TOKEN, 0)
    world.check()


def test_a_reversed_payin_takes_its_waiting_refund_along(world: World) -> None:
    fund_treasury(world)
    world.pay(world.customer_address(world.customer()), units=WHOLE_TOKEN)
    world.finalize()
    [arrived] = world.payins()
    row = refund(world, arrived, claim_hash=CLAIM)
    world.chain.reorg(3)
    world.run()
    failed = refund_now(world, row)
    assert (failed.status, failed.failure_reason) == ("failed", "payment_reversed")
    assert hold_total(world) == 0
    world.check()


def test_a_payment_in_two_coins_goes_back_in_each(world: World) -> None:
    fund_treasury(world)
    fund_treasury(world, token="usdt")
    intent = world.intent(2_500)
    world.pay(intent, "usdc", 15 * WHOLE_TOKEN)
    world.pay(intent, "usdt", 10 * WHOLE_TOKEN)
    world.finalize()
    assert world.facts(intent)[0] == "succeeded"
    with pytest.raises(ParameterInvalid) as caught:
        refund(world, intent, address=PAYER)
    assert caught.value.param == "currency"
    first = refund(world, intent, address=PAYER, coin="usdt")
    second = refund(world, intent, address=PAYER)
    assert [(each.coin, each.amount) for each in (first, second)] == [
        ("usdt", 1_000),
        ("usdc", 1_500),
    ]
    world.run()
    world.finalize()
    assert (units_at(world, PAYER), units_at(world, PAYER, "usdt")) == (
        15 * WHOLE_TOKEN,
        10 * WHOLE_TOKEN,
    )
    assert refunded(world, intent) == 2_500
    world.check()


def test_of_a_partly_reversed_payment_only_what_stands_can_be_refunded(world: World) -> None:
    fund_treasury(world)
    intent = world.intent(2_500)
    world.pay(intent, units=10 * WHOLE_TOKEN)
    world.finalize()
    sent = refund(world, intent, 400, address=PAYER)
    world.finalize()
    world.pay(intent, units=30 * WHOLE_TOKEN)
    world.mine(3)
    world.run()
    waiting = refund(world, intent, 3_000, claim_hash=CLAIM)
    world.chain.reorg(3)
    world.run()
    assert (refund_now(world, sent).status, refund_now(world, waiting).status) == (
        "succeeded",
        "failed",
    )
    with pytest.raises(ParameterInvalid):
        refund(world, intent, 601, address=PAYER)
    refund(world, intent, 600, address=PAYER)
    world.run()
    world.finalize()
    assert (units_at(world, PAYER), refunded(world, intent)) == (10 * WHOLE_TOKEN, 1_000)
    world.check()


def test_a_refund_that_leaves_the_chain_is_mined_again(world: World) -> None:
    intent = paid(world)
    row = refund(world, intent, address=PAYER)
    world.run()
    world.finalize()
    assert refund_now(world, row).status == "succeeded"
    world.advance(timedelta(seconds=5))
    world.chain.reorg(3)
    world.run()
    world.finalize()
    assert refund_now(world, row).status == "succeeded"
    assert units_at(world, PAYER) == 25 * WHOLE_TOKEN
    world.check()


@pytest.mark.parametrize(
    "altered",
    [
        "UPDATE refunds SET destination = '0x4838b106fce9647bdf1e7877bf73ce8b0bad5f97'",
        "UPDATE payment_intents SET amount_refunded = 0",
    ],
)
def test_an_altered_row_does_not_pass_reconciliation(world: World, altered: str) -> None:
    intent = paid(world)
    refund(world, intent, 1_000, address=PAYER)
    world.run()
    world.check()
    with world.database.begin() as connection:
        connection.exec_driver_sql(altered)
    assert len(world.reconcile(ok=False).row_breaks) == 1
