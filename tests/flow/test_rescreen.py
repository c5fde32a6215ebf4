"""A list that changes is held against what is held, what waits, and what was paid of late."""

import json
from datetime import timedelta
from typing import Any

from tests.flow.harness import WHOLE_TOKEN, World
from tests.flow.money import BENEFICIARY, credit, fund_treasury, let_pass, payout_now, units_at

from sakk.flow.rescreen import LATE_DAYS
from sakk.screening.importers import retire_list
from sakk.store import rescreen as store
from sakk.store.event import Event
from sakk.store.screening import latest_screening


def payer(world: World) -> str:
    return world.chain.payer.address.lower()


def told(world: World) -> list[Event]:
    return [each for each in world.events(operator=True) if each.type == "screening.updated"]


def before(told: Event) -> Any:
    return json.loads(told.body)["data"]["previous_attributes"]


def verdict(world: World, subject: str) -> str:
    with world.database.begin() as connection:
        found = latest_screening(connection, subject)
    assert found is not None
    return str(found.verdict)


def test_a_payer_that_is_listed_later_is_told_to_the_operator_alone(world: World) -> None:
    credit(world, 100)
    row = world.payin(status="posted")
    assert (verdict(world, row.id), told(world)) == ("clear", [])
    world.import_list(payer(world))
    world.run()
    assert verdict(world, row.id) == "block"
    news = {each.object["subject"]: each for each in told(world)}
    assert news[row.id].object["verdict"] == "block"
    assert before(news[row.id]) == {"verdict": "clear"}
    # What was decided stands: the money is the merchant's, and a person's work.
    assert world.payin(id=row.id).status == "posted"
    assert world.balance() == 100 * WHOLE_TOKEN
    assert world.event_types(about=row.id)[-1] == "payin.posted"
    world.run()
    assert len(told(world)) == len(news)
    world.check()


def test_what_was_long_ago_is_left_alone(world: World) -> None:
    credit(world, 100)
    row = world.payin(status="posted")
    world.advance(timedelta(days=LATE_DAYS + 1))
    world.import_list(payer(world))
    world.run()
    assert (verdict(world, row.id), told(world)) == ("clear", [])


def test_a_held_one_is_judged_again_and_stays_held(world: World) -> None:
    world.import_list(payer(world))
    credit(world, 100)
    row = world.payin(status="held")
    world.advance(timedelta(days=LATE_DAYS + 1))
    retire_list(world.database, "sanctions", now=world.clock())
    world.run()
    now = world.payin(id=row.id)
    assert (now.status, verdict(world, row.id)) == ("held", "clear")
    assert now.screening not in (None, row.screening)
    assert before(told(world)[-1]) == {"verdict": "block"}
    assert world.balance() == 0
    world.release(now)
    world.run()
    assert world.balance() == 100 * WHOLE_TOKEN
    world.check()


def test_a_payout_that_waits_is_stopped_before_it_is_signed(world: World) -> None:
    credit(world, 100)
    row = world.payout(30 * WHOLE_TOKEN, address=BENEFICIARY)
    world.run()
    assert payout_now(world, row).status == "approved"  # the treasury has nothing yet
    world.import_list(BENEFICIARY)
    # The coins come at the same moment: what is stale is not built before it is judged.
    world.pay(world.treasury, "usdc", 1_000 * WHOLE_TOKEN)
    world.mine(10)
    world.watch()
    world.run_only("screening.rescreen", "payout.build")
    assert payout_now(world, row).transaction is None
    let_pass(world, 3)
    stopped = payout_now(world, row)
    assert (stopped.status, stopped.under_review) == ("requested", True)
    assert units_at(world, BENEFICIARY) == 0
    world.check()


def test_a_payout_that_was_sent_is_judged_again(world: World) -> None:
    credit(world, 100)
    fund_treasury(world)
    row = world.payout(30 * WHOLE_TOKEN, address=BENEFICIARY)
    world.run()
    world.finalize()
    world.import_list(BENEFICIARY)
    world.run()
    assert (payout_now(world, row).status, verdict(world, row.id)) == ("posted", "block")
    assert [each.object["subject"] for each in told(world)] == [row.id]
    world.check()


def test_a_list_that_touches_nobody_marks_nothing(world: World) -> None:
    credit(world, 100)
    world.import_list("0x" + "5a" * 20)
    assert world.run_only("screening.rescreen") == [0]
    with world.database.begin() as connection:
        assert (store.read_cursors(connection), store.pending(connection)) == ({store.LISTS: 1}, 0)
    assert told(world) == []


def test_the_operator_is_told_once_of_a_sanctions_list_that_grew_stale(world: World) -> None:
    def stale() -> list[Event]:
        return [each for each in world.events(operator=True) if each.type == "list.stale"]

    world.import_list(payer(world))
    world.run()
    assert stale() == []
    world.advance(timedelta(hours=25))
    world.run()
    (news,) = stale()
    assert news.object["kind"] == "sanctions"
    assert news.object["age_seconds"] >= 25 * 3600
    world.advance(timedelta(hours=25))
    world.run()
    assert stale() == [news]
    # An import makes it fresh, and then it may grow stale again.
    world.import_list(payer(world))
    world.run()
    world.advance(timedelta(hours=25))
    world.run()
    assert len(stale()) == 2
