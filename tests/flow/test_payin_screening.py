"""Pay-ins and screening: held, under review, released; lists that change; lists out of reach."""

from datetime import timedelta

import pytest
from sqlalchemy import text
from tests.flow.conftest import MakeWorld
from tests.flow.harness import World

from sakk.core import chart
from sakk.core.errors import Unavailable, UnexpectedState
from sakk.core.screening import Verdict
from sakk.screening.engine import Engine
from sakk.store.screening import latest_screening

USD_25 = 25_000_000
HELD = [
    "payment_intent.created",
    "payin.seen",
    "payment_intent.processing",
    "payin.confirmed",
    "payin.under_review",
]


def test_sanctioned_sender_is_held_then_released(world: World) -> None:
    world.import_list(world.chain.payer.address)
    intent = world.intent(2500)
    world.pay(intent)
    world.finalize()
    row = world.payin(intent)
    assert (row.status, row.reason, row.quarantined) == ("held", "screening_block", True)
    assert world.position() == {"custody": USD_25, "quarantine": USD_25}
    assert world.amounts() == []
    assert world.facts(intent) == ("processing", 0, None, "on_time")
    assert world.event_types() == HELD
    told = world.events(about=row.id)[-1].object
    assert (told["status"], told["reason"], told["screening"]) == ("under_review", None, None)
    assert world.event_types(about=row.id, operator=True) == [
        "payin.seen",
        "payin.confirmed",
        "payin.held",
        "payin.under_review",
    ]
    with world.database.begin() as connection:
        screening = latest_screening(connection, row.id)
    assert screening is not None
    assert screening.verdict == Verdict.block
    world.check()

    world.release(row)
    world.run()
    assert world.payin(intent).status == "released"
    assert world.position() == {"custody": USD_25, "balance": USD_25}
    assert world.amounts() == [USD_25]
    assert world.facts(intent) == ("succeeded", 2500, "exact", "on_time")
    assert world.event_types() == [*HELD, "payin.posted", "payment_intent.succeeded"]
    assert "payin.released" in world.event_types(about=row.id, operator=True)
    # What screening said stays the operator's to know, also afterwards.
    told = world.events(about=row.id)[-1].object
    assert (told["status"], told["reason"]) == ("released", None)
    world.check()
    with pytest.raises(UnexpectedState, match="released, not held"):
        world.release(row)


def test_release_waits_for_the_quarantine(world: World) -> None:
    world.import_list(world.chain.payer.address)
    intent = world.intent(2500)
    world.pay(intent)
    world.mine(3)
    world.run_except("payin.post")
    with pytest.raises(UnexpectedState, match="just being quarantined"):
        world.release(world.payin(intent))
    world.run()
    world.release(world.payin(intent))
    world.run()
    assert world.position() == {"custody": USD_25, "balance": USD_25}
    world.check()


def test_held_money_is_swept_only_after_its_release(make_world: MakeWorld) -> None:
    world = make_world(sweep=True)
    intent = world.intent(2500)
    world.import_list(world.chain.payer.address)
    world.pay(intent)
    world.finalize()
    # A clean payment to the same address does not take the held one along.
    world.import_list("0x" + "11" * 20, allow_shrink=True)
    world.pay(intent, units=5_000_000)
    world.finalize()
    assert [row.status for row in world.payins(intent)] == ["held", "posted"]
    assert world.position() == {
        "custody": 30_000_000,
        "quarantine": USD_25,
        "balance": 5_000_000,
    }
    assert world.sweeps() == []
    world.check()

    world.release(world.payin(intent, status="held"))
    world.run()
    for _ in range(4):
        # A top-up for the gas, a moment for the sweep that waits for it, then the sweep itself.
        world.advance(timedelta(seconds=30))
        world.finalize()
    [sweep] = world.sweeps()
    assert (sweep.status, sweep.token_amount) == ("posted", 30_000_000)
    assert world.custody("usdc", "hot") == 30_000_000
    assert world.position() == {"balance": 30_000_000}
    world.check()


def test_import_changes_the_next_decision(world: World) -> None:
    """Without a restart, and in another process too: the second engine stands for it."""
    elsewhere = Engine(world.database)
    elsewhere.refresh()
    first, second, third = (world.intent(2500) for _ in range(3))
    world.pay(first)
    world.finalize()
    world.import_list(world.chain.payer.address)
    world.pay(second)
    world.finalize()
    assert elsewhere.refresh() == world.parts.screening_engine().version
    world.import_list("0x" + "11" * 20, allow_shrink=True)
    world.pay(third)
    world.finalize()
    assert [world.payin(each).status for each in (first, second, third)] == [
        "posted",
        "held",
        "posted",
    ]
    assert world.position() == {"custody": 75_000_000, "balance": 50_000_000, "quarantine": USD_25}
    world.check()


def test_import_between_sight_and_finality_counts(world: World) -> None:
    intent = world.intent(2500)
    world.pay(intent)
    world.mine()
    world.run()
    world.import_list(world.chain.payer.address)
    world.mine(2)
    world.run()
    assert world.payin(intent).status == "held"
    assert world.position() == {"custody": USD_25, "quarantine": USD_25}
    world.check()


def test_nothing_is_credited_while_the_lists_are_out_of_reach(world: World) -> None:
    with world.database.begin() as connection:
        connection.execute(text("ALTER TABLE lists_version RENAME TO lists_version_away"))
    intent = world.intent(2500)
    world.pay(intent)
    world.mine(3)
    with pytest.raises(Unavailable, match="screening lists cannot be read"):
        world.run()
    world.run_except("payin.screen", "payout.screen", "screening.rescreen")
    assert world.payin(intent).status == "confirmed"
    assert world.position() == {}
    world.check()
    with world.database.begin() as connection:
        connection.execute(text("ALTER TABLE lists_version_away RENAME TO lists_version"))
    world.run()
    assert world.facts(intent) == ("succeeded", 2500, "exact", "on_time")
    assert world.position() == {"custody": USD_25, "balance": USD_25}
    world.check()


def test_sanctioned_money_for_the_treasury(world: World) -> None:
    """The operator's own funding is screened like any other, and is nobody's balance."""
    equity = chart.equity_operator(world.asset("usdc"))
    world.import_list(world.chain.payer.address)
    world.pay(world.treasury, units=USD_25)
    world.finalize()
    row = world.payin(treasury=True, status="held")
    assert world.quarantine() == USD_25
    assert world.custody("usdc", "hot") == USD_25
    assert world.ledger(equity) == 0
    world.check()
    world.release(row)
    world.run()
    assert world.quarantine() == 0
    assert world.custody("usdc", "hot") == USD_25
    assert world.ledger(equity) == USD_25
    world.check()


def test_held_part_of_a_split_payment(world: World) -> None:
    """The clean part is credited; the intent waits for a person's word on the other."""
    intent = world.intent(2500)
    world.pay(intent, units=10_000_000)
    world.finalize()
    world.import_list(world.chain.payer.address)
    world.pay(intent, units=15_000_000)
    world.finalize()
    assert world.facts(intent) == ("processing", 1000, "under", "on_time")
    assert world.position() == {
        "custody": USD_25,
        "balance": 10_000_000,
        "quarantine": 15_000_000,
    }
    world.check()
    world.release(world.payin(intent, status="held"))
    world.run()
    assert world.facts(intent) == ("succeeded", 2500, "exact", "on_time")
    assert world.position() == {"custody": USD_25, "balance": USD_25}
    world.check()
