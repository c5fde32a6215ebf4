"""Outcomes of cases that move money, on a real chain: each once, and the books agree afterwards."""

from datetime import timedelta

import pytest
from tests.flow.casing import acts, case_now, decide
from tests.flow.clones import use_factory
from tests.flow.conftest import MakeWorld
from tests.flow.harness import World
from tests.flow.money import dies_with_the_answer, fund_treasury, units_at
from tests.flow.test_recovery import claim, now_of, offer, settle, unlisted
from tests.flow.wiring import WHOLE_TOKEN

from sakk.core import chart
from sakk.core.case import Outcome, Place
from sakk.core.errors import ParameterInvalid, UnexpectedState
from sakk.core.network import DepositMethod
from sakk.core.payin import PayIn
from sakk.core.payment import PaymentIntent
from sakk.core.treasury import Tier
from sakk.flow import treasury
from sakk.flow.transaction import ask
from sakk.store import recovery as recoveries

USD_25 = 25 * WHOLE_TOKEN
VAULT = "0x000000000000000000000000000000000000bEEF"
FORBIDDEN = "0x" + "fa" * 20
PAYER = "0x8ba1f109551bd432803012645ac136ddd64dba72"


def held(world: World) -> tuple[PaymentIntent, PayIn]:
    """A payment from a sender that is listed."""
    world.import_list(world.chain.payer.address, name="payers", category="mixer")
    intent = world.intent(2_500)
    world.pay(intent)
    world.finalize()
    row = world.payin(intent)
    assert (row.status, row.quarantined) == ("held", True)
    return intent, row


def seized(world: World) -> int:
    return world.ledger(chart.seized(world.asset("usdc")))


def test_a_return_goes_to_the_address_that_was_named(world: World) -> None:
    fund_treasury(world)
    intent, row = held(world)
    with pytest.raises(UnexpectedState, match="by its case"):
        offer(world, intent.address, world.asset("usdc"))
    with pytest.raises(ParameterInvalid, match="deposit addresses"):
        decide(world, row.id, Outcome.return_, destination=intent.address)
    # An address that is on a list gets nothing, and the case is its officer's again.
    world.import_list(FORBIDDEN, name="doubtful", category="mixer")
    decide(world, row.id, Outcome.return_, destination=FORBIDDEN)
    settle(world)
    back = case_now(world, row.id)
    assert (back.status, back.outcome, back.proposal) == ("in_progress", None, None)
    assert acts(world, row.id)[-1] == "failed"
    with world.database.begin() as connection:
        recovery = recoveries.find(connection, back.carrier or "")
    assert recovery is not None
    assert (recovery.status, recovery.failure_reason) == ("failed", "declined")
    assert (world.payin(intent).status, units_at(world, FORBIDDEN)) == ("held", 0)
    confirmed = decide(world, row.id, Outcome.return_, destination=PAYER)
    assert confirmed.status == "carrying_out"
    # The same again, as when the answer was lost, is the same.
    with pytest.raises(UnexpectedState, match="carrying_out"):
        decide(world, row.id, Outcome.return_, destination=PAYER)
    settle(world)
    done = case_now(world, row.id)
    assert (done.status, done.outcome) == ("closed", "return")
    assert units_at(world, PAYER) == USD_25
    assert (world.quarantine(), world.custody(), world.balance()) == (0, 0, 0)
    assert world.payin(intent).status == "returned"
    assert world.event_types(about=row.id)[-1] == "payin.declined"
    told = world.events(about=row.id)[-1].object
    assert (told["status"], told["reason"], told["screening"]) == ("declined", None, None)
    # The payment that was asked for is not made, and can be made in another way.
    assert world.facts(intent)[:3] == ("requires_action", 0, None)
    world.check()
    # It leaves the chain and is called off: the coins stand there, and two people decide anew.
    [sent] = [each for each in world.transactions() if each.purpose == "recovery"]
    world.chain.reorg(world.chain.height() - (sent.block_number or 0) + 1)
    world.watch()
    ask(world.parts, sent.id, "cancel", livemode=False)
    settle(world)
    assert (world.payin(intent).status, case_now(world, row.id).status) == ("held", "open")
    assert (world.quarantine(), units_at(world, PAYER)) == (USD_25, 0)
    decide(world, row.id, Outcome.seize, place=Place.left)
    # The case is looked at before its coins are seized: it has no carrier of before.
    world.run_only("case.follow")
    world.run()
    assert (world.payin(intent).status, case_now(world, row.id).status) == ("seized", "closed")
    world.check()


def test_seized_and_left_where_it_came_to(make_world: MakeWorld) -> None:
    world = make_world(sweep=True)
    intent, row = held(world)
    decide(world, row.id, Outcome.seize, place=Place.left)
    world.run()
    assert (world.payin(intent).status, case_now(world, row.id).status) == ("seized", "closed")
    assert (world.quarantine(), seized(world), world.balance()) == (0, USD_25, 0)
    assert world.event_types(about=row.id)[-1] == "payin.declined"
    assert world.facts(intent)[:3] == ("requires_action", 0, None)
    # Clean coins that come to the same address are not swept with them, ever.
    world.import_list("0x" + "11" * 20, name="payers", category="mixer", allow_shrink=True)
    world.pay(intent, units=5_000_000)
    world.finalize()
    world.advance(timedelta(days=8))
    world.finalize()
    assert world.sweeps() == []
    world.check()


def test_what_was_seized_in_the_ledger_alone_is_taken_back_whole(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker that seizes dies with the ledger's answer, and the transfer leaves the chain."""
    intent, row = held(world)
    decide(world, row.id, Outcome.seize, place=Place.left)
    dies_with_the_answer(world, monkeypatch, "case.seize")
    assert (world.payin(intent).status, seized(world)) == ("held", USD_25)
    world.chain.reorg(3)
    world.run()
    assert world.payin(intent).status == "reversed"
    assert (world.quarantine(), seized(world), world.custody()) == (0, 0, 0)
    world.check()


@pytest.mark.parametrize("method", list(DepositMethod))
def test_seized_into_a_vault(make_world: MakeWorld, method: DepositMethod) -> None:
    world = make_world(sweep=True)
    if method is DepositMethod.clone:
        use_factory(world)
    intent, row = held(world)
    with pytest.raises(ParameterInvalid, match="no vault"):
        decide(world, row.id, Outcome.seize, place=Place.vault, destination=VAULT)
    with world.database.begin() as connection:
        treasury.put_vault(
            connection,
            name=world.chain.network,
            place=VAULT,
            tier=Tier.cold,
            label="authority",
            now=world.clock(),
        )
    confirmed = decide(world, row.id, Outcome.seize, place=Place.vault, destination=VAULT)
    assert confirmed.status == "carrying_out"
    # A top-up comes before the address's own transfer; a clone's factory needs none.
    settle(world)
    done = case_now(world, row.id)
    assert (done.status, world.payin(intent).status) == ("closed", "seized")
    assert units_at(world, VAULT) == USD_25
    assert (seized(world), world.custody(), world.custody("usdc", "cold")) == (USD_25, 0, USD_25)
    # Its arrival is no funding of the operator's.
    assert world.ledger(chart.equity_operator(world.asset("usdc"))) == 0
    [sweep] = world.sweeps()
    assert (sweep.method, sweep.status, sweep.id) == ("seizure", "posted", done.carrier)
    assert (sweep.factory is not None) is (method is DepositMethod.clone)
    world.check()
    # The address is free again: what comes clean is collected.
    world.import_list("0x" + "11" * 20, name="payers", category="mixer", allow_shrink=True)
    world.pay(intent, units=5_000_000)
    world.finalize()
    settle(world)
    assert world.custody("usdc", "hot") == 5_000_000
    world.check()


def test_what_was_offered_before_its_sender_was_listed_stays(world: World) -> None:
    """One person offered a token on no list to its payer; its case has overtaken that."""
    fund_treasury(world)
    contract = unlisted(world)
    intent = world.intent(2_500)
    world.pay(intent, contract, WHOLE_TOKEN)
    world.finalize()
    row = offer(world, intent.address, world.payin(intent).asset)
    world.import_list(world.chain.payer.address)
    world.run()
    assert case_now(world, world.payin(intent).id).status == "open"
    claim(world, row)
    settle(world)
    ended = now_of(world, row)
    assert (ended.status, ended.failure_reason, ended.sweep) == ("failed", "declined", None)
    assert (world.payin(intent).status, units_at(world, PAYER, contract)) == ("held", 0)
    with pytest.raises(UnexpectedState, match="by its case"):
        offer(world, intent.address, world.payin(intent).asset, token_hash="1" * 64)
    # Two people may let it go back, to an address that they name.
    decide(world, world.payin(intent).id, Outcome.return_, destination=PAYER)
    settle(world)
    assert (world.payin(intent).status, units_at(world, PAYER, contract)) == (
        "returned",
        WHOLE_TOKEN,
    )
    world.check()
