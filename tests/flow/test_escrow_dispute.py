"""Disputes of charges by voucher: what is given back goes into the channel, or past it."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.flow.conftest import MakeWorld
from tests.flow.harness import WHOLE_TOKEN, World
from tests.flow.money import fund_treasury, hold_total
from tests.flow.test_escrow import Shop, settle

from sakk.core import chart
from sakk.core.charge_refund import ChargeRefund
from sakk.core.dispute import PREFIX, Dispute, Outcome
from sakk.core.errors import ParameterInvalid, ResourceMissing, Unavailable, UnexpectedState
from sakk.core.escrow_call import EscrowCall
from sakk.flow import charge_refund
from sakk.flow import dispute as disputes
from sakk.flow import payout as payout_flow
from sakk.flow.charge_refund import Paid, charge_named
from sakk.flow.confirm import _book_again
from sakk.flow.context import Parts
from sakk.flow.escrow_channel import Refused
from sakk.flow.escrow_refund import order_refund
from sakk.flow.transaction import find_subject, finish_subject
from sakk.store import dispute as dispute_store
from sakk.store import transaction as transaction_store
from sakk.store.charge_refund import list_posted
from sakk.store.database import update_records
from sakk.store.identity import new_id
from sakk.store.network import gas_coins
from sakk.store.vault import KEY_BYTES, Vault

PRICE = 2 * WHOLE_TOKEN


class Desk:
    """A shop, and a payer of it who is not content."""

    def __init__(self, world: World) -> None:
        world.parts = replace(world.parts, vault=Vault(bytes(KEY_BYTES)))
        self.world = world
        self.shop = Shop(world)

    def dispute(self, ceiling: int, **more: Any) -> Dispute:
        channel = self.shop.channel()
        said: dict[str, Any] = {
            "identifier": new_id(PREFIX),
            "payer": channel.payer,
            "reason": "empty",
            "amount": None,
            "signed": {},
        }
        name = charge_named(self.world.parts, channel, ceiling)
        return disputes.create_of_voucher(self.world.parts, channel, name, **(said | more))

    def resolve(self, dispute: Dispute, outcome: Outcome = Outcome.refund) -> Dispute:
        channel = self.shop.channel()
        return disputes.resolve(self.world.parts, channel, dispute.id, outcome, note=None)

    def available(self) -> int:
        return self.world.ledger(chart.merchant(self.world.account, "available", "test/usdc"))


@pytest.fixture
def desk(make_world: MakeWorld) -> Desk:
    return Desk(make_world())


def test_what_is_given_back_is_in_the_channel_until_it_is_claimed(desk: Desk) -> None:
    shop, world = desk.shop, desk.world
    channel = shop.deposit(units=4 * PRICE)
    for place in range(1, 4):
        shop.pay(place * PRICE, amount=PRICE)
    # Nothing is on the payee's balance yet, so nothing is held; nobody can dispute twice.
    first = desk.dispute(PRICE)
    assert (first.status, first.is_held, first.amount) == ("open", False, PRICE)
    assert first.records["authority"]["signature"]
    with pytest.raises(UnexpectedState):
        desk.dispute(PRICE)
    with pytest.raises(ResourceMissing):
        desk.dispute(7)
    part = desk.dispute(2 * PRICE, amount=400)
    for _ in range(2):
        assert desk.resolve(first).status == "refunded"
        assert desk.resolve(part).status == "refunded"
    assert shop.totals().charged == 2 * PRICE - 400
    assert shop.incoming() == 2 * PRICE - 400
    shop.check()
    # It pays for calls again, by the vouchers that official clients sign from where they stood.
    shop.pay(4 * PRICE, amount=PRICE)
    assert (shop.totals().charged, shop.totals().signed) == (3 * PRICE - 400, 4 * PRICE)
    # And what is claimed is what was charged, not what vouchers would allow.
    settle(world)
    assert shop.channel().redeemed == shop.payer.state().total_claimed == 3 * PRICE - 400
    assert desk.available() == 3 * PRICE - 400
    shop.check()

    # Claimed by now: it is held on the balance, and goes to the payer's address.
    late = desk.dispute(3 * PRICE)
    assert (late.is_held, desk.available()) == (True, 2 * PRICE - 400)
    taken_back = desk.dispute(4 * PRICE)
    assert desk.resolve(taken_back, Outcome.withdraw).status == "withdrawn"
    assert desk.available() == 2 * PRICE - 400
    ended = desk.resolve(late)
    assert ended.status == "refunded"
    [sent] = world.payouts()
    assert (sent.destination, sent.amount, sent.hold) == (channel.payer, PRICE, "held")
    assert desk.available() == 2 * PRICE - 400
    assert shop.totals().charged == 3 * PRICE - 400
    # What was taken back of the charges and not spent again comes off the chain with the rest.
    with pytest.raises(Refused, match="has been charged"):
        _refund(desk, 4 * PRICE)
    assert _refund(desk, 3 * PRICE - 400).token_amount == PRICE + 400
    settle(world)
    assert shop.payer.state().balance == shop.payer.state().total_claimed
    assert shop.totals().balance == shop.totals().charged == 3 * PRICE - 400


def test_what_is_held_is_free_at_no_time_until_its_payer_has_it(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process dies before the payout is made, the payout is called off, the next arrives."""
    shop, world = desk.shop, desk.world
    channel = shop.deposit(units=2 * PRICE)
    for place in range(1, 3):
        shop.pay(place * PRICE, amount=PRICE)
    settle(world)
    claimed = desk.available()
    dispute = desk.dispute(PRICE)
    assert (dispute.is_held, desk.available()) == (True, claimed - PRICE)

    def cut(*_: Any, **__: Any) -> Any:
        raise Cut

    with monkeypatch.context() as patched:
        patched.setattr(payout_flow, "create", cut)
        with pytest.raises(Cut):
            desk.resolve(dispute)
    # Nobody else gets at it meanwhile.
    assert desk.available() == claimed - PRICE
    world.advance(timedelta(seconds=30))
    disputes.left_behind_stage(world.parts).run()
    assert (_status(desk, dispute), desk.available()) == ("refunded", claimed - PRICE)
    [first] = world.payouts()
    assert (first.hold, first.amount) == ("held", PRICE)

    # What does not arrive is on the balance again, told, disputed as before, and held.
    own: Any = {"account_id": world.account, "livemode": False}
    with pytest.raises(UnexpectedState, match="gives back a charge"):
        payout_flow.cancel(world.parts, first.id, **own)
    payout_flow.cancel(world.parts, first.id, **own, by_operator=True)
    world.run_only("charge_refund.follow")
    assert _status(desk, dispute) == "refunded", "its money is not back yet"
    world.run_only("payout.release", "charge_refund.follow")
    assert world.event_types()[-1] == "charge_refund.failed"
    assert desk.available() == claimed
    disputes.left_behind_stage(world.parts).run()
    assert (_status(desk, dispute), desk.available()) == ("open", claimed - PRICE)
    with pytest.raises(UnexpectedState):
        desk.dispute(PRICE)
    assert desk.resolve(dispute).status == "refunded"
    [second] = [each for each in world.payouts() if each.id != first.id]
    fund_treasury(world)
    world.finalize()
    world.finalize()
    assert world.event_types()[-1] == "charge_refund.posted"
    with world.database.begin() as connection:
        [refund] = list_posted(connection, channel.id)
    assert (refund.payout, desk.available()) == (second.id, claimed - PRICE)
    shop.check()


def test_a_dispute_that_opens_again_stands_beside_another_of_its_charge(desk: Desk) -> None:
    """What did not arrive is disputed again, also where the charge's rest is disputed by now."""
    shop, world = desk.shop, desk.world
    shop.deposit(units=PRICE)
    shop.pay(PRICE, amount=PRICE)
    settle(world)
    claimed = desk.available()
    first = desk.dispute(PRICE, amount=PRICE // 2)
    assert desk.resolve(first).status == "refunded"
    second = desk.dispute(PRICE)
    assert (second.amount, second.is_held) == (PRICE // 2, True)
    _call_off(desk)
    world.advance(timedelta(seconds=30))
    disputes.left_behind_stage(world.parts).run()
    assert [_status(desk, each) for each in (first, second)] == ["open", "open"]
    assert desk.available() == claimed - PRICE
    with pytest.raises(UnexpectedState, match="disputed already"):
        desk.dispute(PRICE)
    for each in (first, second):
        assert desk.resolve(each).status == "refunded"
    assert desk.available() == claimed - PRICE
    assert sum(each.amount for each in world.payouts() if each.hold == "held") == PRICE
    with pytest.raises(ParameterInvalid, match="given back already"):
        desk.dispute(PRICE)
    shop.check()


def test_a_refund_that_fails_before_its_dispute_has_ended_is_held_anew(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process dies between the payout and the dispute's end; another, slow one wakes late."""
    shop, world = desk.shop, desk.world
    shop.deposit(units=PRICE)
    shop.pay(PRICE, amount=PRICE)
    settle(world)
    claimed = desk.available()
    dispute = desk.dispute(PRICE)

    def cut(*_: Any, **__: Any) -> Any:
        raise Cut

    with monkeypatch.context() as patched:
        patched.setattr(world.parts.books, "settle_hold", cut)
        with pytest.raises(Cut):
            desk.resolve(dispute)
    stale = _find(desk, dispute)
    assert (stale.status, stale.outcome, stale.is_held) == ("open", "refund", True)
    _call_off(desk)
    assert (_status(desk, dispute), desk.available()) == ("requested", claimed)
    # Who saw it before it was opened again neither ends it nor takes the old hold for the new.
    channel = shop.channel()
    with pytest.raises(Unavailable, match="meanwhile"):
        disputes._carry_out(world.parts, channel, stale)
    disputes._hold(world.parts, channel, dispute)
    assert (_status(desk, dispute), desk.available()) == ("requested", claimed)
    world.advance(timedelta(seconds=30))
    disputes.left_behind_stage(world.parts).run()
    again = _find(desk, dispute)
    assert (again.status, again.is_held, again.attempt) == ("open", True, 1)
    assert desk.available() == claimed - PRICE
    with pytest.raises(Unavailable, match="meanwhile"):
        disputes._carry_out(world.parts, channel, stale)
    assert (_status(desk, dispute), desk.available()) == ("open", claimed - PRICE)
    assert desk.resolve(dispute).status == "refunded"
    assert [each.hold for each in world.payouts()].count("held") == 1
    assert desk.available() == claimed - PRICE
    shop.check()


def test_a_chain_that_decides_anew_holds_a_dispute_once(desk: Desk) -> None:
    """The payout of a refund fails, arrives after all, and fails again, by reorganisations."""
    shop, world = desk.shop, desk.world
    shop.deposit(units=PRICE)
    shop.pay(PRICE, amount=PRICE)
    settle(world)
    fund_treasury(world)
    dispute = desk.dispute(PRICE)
    assert desk.resolve(dispute).status == "refunded"
    world.finalize()
    world.finalize()
    [payout] = world.payouts()
    assert (payout.status, hold_total(world)) == ("posted", 0)
    found = []
    for decided in ("failed", "posted") * 2:
        _decide_anew(world, payout.transaction or "", succeeded=decided == "posted")
        assert [each.status for each in world.payouts()] == [decided]
        world.run_only("charge_refund.follow")
        world.advance(timedelta(seconds=30))
        disputes.left_behind_stage(world.parts).run()
        found.append((_status(desk, dispute), hold_total(world)))
    # What the payer has is not disputed any more; what it lost again is held once.
    assert found == [("open", PRICE), ("refunded", 0)] * 2
    world.check()


def test_one_that_waits_keeps_no_other_waiting(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A refund whose payout can not be made now is tried again, and those after it have ended."""
    shop, world = desk.shop, desk.world
    shop.deposit(units=4 * PRICE)
    for place in range(1, 3):
        shop.pay(place * PRICE, amount=PRICE)
    opened = [desk.dispute(place * PRICE) for place in range(1, 3)]
    finish = charge_refund._finish

    def away(parts: Parts, channel: Paid, refund: ChargeRefund) -> ChargeRefund:
        if refund.dispute == opened[0].id:
            raise Unavailable("The network is away.")
        raise Cut

    monkeypatch.setattr(charge_refund, "_finish", away)
    for each, cause in zip(opened, (Unavailable, Cut), strict=True):
        with pytest.raises(cause):
            desk.resolve(each)

    def partly(parts: Parts, channel: Paid, refund: ChargeRefund) -> ChargeRefund:
        if refund.dispute == opened[0].id:
            raise Unavailable("The network is away.")
        return finish(parts, channel, refund)

    monkeypatch.setattr(charge_refund, "_finish", partly)
    world.advance(timedelta(seconds=30))
    for stage in (charge_refund.left_behind_stage, disputes.left_behind_stage):
        with pytest.raises(Unavailable):
            stage(world.parts).run()
    assert [_status(desk, each) for each in opened] == ["open", "refunded"]
    monkeypatch.undo()
    disputes.left_behind_stage(world.parts).run()
    assert _status(desk, opened[0]) == "refunded"
    shop.check()


class Cut(Exception):
    """The process is gone here."""


def _find(desk: Desk, dispute: Dispute) -> Dispute:
    with desk.world.database.begin() as connection:
        found = dispute_store.find(connection, dispute.id)
    assert found is not None
    return found


def _status(desk: Desk, dispute: Dispute) -> str:
    return _find(desk, dispute).status


def _call_off(desk: Desk) -> None:
    """The one payout that is under way does not happen, and its refund has heard of it."""
    world = desk.world
    [payout] = [each for each in world.payouts() if each.hold == "held"]
    payout_flow.cancel(
        world.parts, payout.id, account_id=world.account, livemode=False, by_operator=True
    )
    world.run_only("payout.release", "charge_refund.follow")


def _decide_anew(world: World, identifier: str, *, succeeded: bool) -> None:
    """What `confirm` books when a transaction is in another block, where it ends otherwise."""
    with world.database.begin() as connection:
        row = transaction_store.find(connection, identifier)
        assert row is not None
        subject = find_subject(connection, row)
        coin = gas_coins(connection)[row.network]
    arrived = row.token_amount if succeeded else None
    block = new_id("blk")
    again = replace(row, succeeded=succeeded, arrived_units=arrived, block_hash=block)
    assert _book_again(world.parts, row, again, subject, subject, coin=coin)
    with world.database.begin() as connection:
        change = {"succeeded": succeeded, "arrived_units": arrived, "block_hash": block}
        update_records(connection, transaction_store.transactions, [{"id": row.id, **change}])
        finish_subject(connection, again, now=world.parts.clock(), before=row)


def _refund(desk: Desk, ceiling: int) -> EscrowCall:
    """What the payer asks back, by a voucher for what it believes to be charged."""
    signature = desk.shop.payer.voucher(ceiling)
    channel, vouchers = desk.shop.channel(), desk.shop.vouchers
    return order_refund(
        desk.world.parts, vouchers, channel, ceiling=ceiling, signature=signature, amount=None
    )
