"""What a refund is charged, and refunds that wait for people or travel with others."""

from typing import Any

import pytest
from tests.flow.conftest import MakeWorld
from tests.flow.harness import WHOLE_TOKEN, World
from tests.flow.money import units_at
from tests.flow.policing import Desk
from tests.flow.refunding import CLAIM, OTHER, PAYER, claim, paid, refund, refund_now, refunded
from tests.flow.test_disperse import allowed
from tests.flow.test_quote import price, revenue

from sakk.core.errors import BalanceInsufficient, SamePerson
from sakk.core.payout import Initiator
from sakk.core.policy import Action, Rule
from sakk.flow import account as accounts
from sakk.flow import refund as refunds
from sakk.flow.refund_draft import Place
from sakk.store import payout as payouts

FIXED = 500_000


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    return make_world()


def charging(world: World, who: str) -> None:
    """The operator says who bears the fee of refunds, and what a transfer costs is known."""
    settings: dict[str, Any] = {"refund_fee": who, "refund_fee_fixed": {"usdc": FIXED}}
    with world.database.begin() as connection:
        accounts.update(
            connection,
            world.account,
            {"payouts": settings},
            livemode=False,
            by_operator=True,
            now=world.clock(),
        )
    price(world, 3_000)
    world.run_only("quote.measure")


@pytest.mark.parametrize("who", ["merchant", "payer"])
def test_the_fee_is_borne_by_whom_the_settings_say(world: World, who: str) -> None:
    intent = paid(world)
    charging(world, who)
    row = refund(world, intent, 1_000, address=PAYER)
    assert row.fee is not None
    assert row.fee > FIXED
    world.run()
    world.finalize()
    arrived = 10 * WHOLE_TOKEN - (row.fee if who == "payer" else 0)
    assert (refund_now(world, row).status, units_at(world, PAYER)) == ("succeeded", arrived)
    assert revenue(world) == row.fee
    assert world.balance() == 25 * WHOLE_TOKEN - arrived - row.fee
    # The cap counts what the payer is given up to, whoever bears the fee.
    assert refunded(world, intent) == 1_000
    world.check()


def test_a_payers_fee_is_known_when_the_network_is(world: World) -> None:
    intent = paid(world)
    charging(world, "merchant")
    row = refund(world, intent, 1_000, claim_hash=CLAIM, fee_mode="payer")
    assert (row.fee, row.fee_mode) == (None, "payer")
    shown = claim(world, confirm=False)
    assert 0 < shown.amount < 10 * WHOLE_TOKEN - FIXED
    assert claim(world).amount == shown.amount
    world.run()
    world.finalize()
    done = refund_now(world, row)
    assert (done.status, units_at(world, PAYER)) == ("succeeded", shown.amount)
    assert done.fee == 10 * WHOLE_TOKEN - shown.amount == revenue(world)
    world.check()


def test_a_merchants_fee_is_reserved_with_the_refund(world: World) -> None:
    intent = paid(world)
    charging(world, "merchant")
    with pytest.raises(BalanceInsufficient):
        refund(world, intent, claim_hash=CLAIM)
    row = refund(world, intent, 2_000, claim_hash=CLAIM)
    assert row.fee is not None
    assert world.balance() == 5 * WHOLE_TOKEN - row.fee
    claim(world)
    world.run()
    world.finalize()
    assert refund_now(world, row).fee == row.fee == revenue(world)
    assert units_at(world, PAYER) == 20 * WHOLE_TOKEN
    world.check()


def test_a_refund_waits_for_as_many_people_as_its_rule_asks_for(world: World) -> None:
    intent = paid(world)
    desk = Desk(world.database, world.account, now=world.clock())
    eve, fay = desk.member("eve", "approver"), desk.member("fay", "approver")
    desk.enact(
        Rule(name="back", action=Action.approve, approvals=2, role="approver", purposes=("refund",))
    )
    row = refund(world, intent, address=PAYER)
    world.run()
    [payout] = world.payouts()
    assert (payout.status, payout.approvals_needed) == ("screened", 2)
    desk.approve(payout, eve)
    with pytest.raises(SamePerson):
        desk.approve(payout, eve)
    world.run()
    assert (refund_now(world, row).status, world.transactions()) == ("pending", [])
    desk.approve(payout, fay)
    world.run()
    world.finalize()
    assert refund_now(world, row).status == "succeeded"
    assert units_at(world, PAYER) == 25 * WHOLE_TOKEN
    world.check()


def test_who_says_where_to_does_not_approve_it(world: World) -> None:
    """An officer who sends a refund elsewhere, or takes its link, could send it to themselves."""
    intent = paid(world)
    desk = Desk(world.database, world.account, now=world.clock())
    eve, fay = desk.member("eve", "approver"), desk.member("fay", "approver")
    desk.enact(
        Rule(name="back", action=Action.approve, approvals=1, role="approver", purposes=("refund",))
    )
    by_eve = Initiator(eve.actor.key, eve.actor.person)
    place = Place(world.chain.network, OTHER)
    sent_on = refund(world, intent, 1_000, address=PAYER)
    linked = refund(world, intent, 1_500, claim_hash="0" * 64)
    world.run()
    with world.database.begin() as connection:
        refunds.redirect(
            connection, sent_on.id, place, livemode=False, now=world.clock(), initiator=by_eve
        )
        refunds.renew_claim(
            connection,
            linked.id,
            account_id=world.account,
            livemode=False,
            claim_hash=CLAIM,
            expires_at=None,
            now=world.clock(),
            initiator=by_eve,
        )
    claim(world, OTHER)
    world.run()
    for row in (sent_on, linked):
        [payout] = [each for each in world.payouts() if each.id == refund_now(world, row).payout]
        assert (payout.status, payout.destination) == ("screened", OTHER)
        with pytest.raises(SamePerson, match="You asked"):
            desk.approve(payout, eve)
        assert desk.approve(payout, fay).status == "approved"
    world.check()


def test_a_refund_travels_with_payouts_in_one_transaction(make_world: MakeWorld) -> None:
    world = make_world(disperse_min=2)
    intent = paid(world)
    allowed(world)
    before = len(world.transactions())
    row = refund(world, intent, 1_000, address=PAYER)
    other = world.payout(3 * WHOLE_TOKEN, address="0x" + "be" * 20)
    world.run()
    [carrier] = world.transactions()[before:]
    assert carrier.purpose == "disperse"
    with world.database.begin() as connection:
        carried = payouts.lock_carried(connection, carrier.id)
    assert {each.id for each in carried} == {other.id, refund_now(world, row).payout}
    world.finalize()
    assert (refund_now(world, row).status, units_at(world, PAYER)) == (
        "succeeded",
        10 * WHOLE_TOKEN,
    )
    world.check()
