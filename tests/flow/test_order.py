"""Positions closed at simulated venues: split, filled once and booked once, whoever is silent."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from tests.flow.harness import WHOLE_TOKEN, World
from tests.flow.money import credit
from tests.flow.policing import Desk, Member
from tests.flow.test_conversion import ask, convert

from sakk.core import chart
from sakk.core.chart import LedgerAccount
from sakk.core.errors import (
    ParameterInvalid,
    PermissionDenied,
    ResourceMissing,
    StepUpRequired,
    UnexpectedState,
)
from sakk.core.order import HedgePolicy, Order, Report
from sakk.core.rate import SCALE, Price
from sakk.flow import order as flow
from sakk.flow.stage import Stage
from sakk.flow.step_up import StepUp
from sakk.rails.sandbox.venue import SimulatedVenue
from sakk.store import order as store
from sakk.store.identity import new_id


def venue(folder: Path, name: str, *, fee_ppm: int = 500, depth: int = 30) -> SimulatedVenue:
    around = Price(SCALE, SCALE)
    return SimulatedVenue(
        name, folder / f"{name}.jsonl", lambda _base, _quote: around, fee_ppm=fee_ppm, depth=depth
    )


def open_position(world: World, tokens: int = 50) -> None:
    """The house gave USDT for USDC."""
    credit(world, 100)
    convert(world, ask(world, tokens * WHOLE_TOKEN))


def close_by(world: World, *, threshold: int = 1_000, auto: int = 100_000) -> None:
    with world.database.begin() as connection:
        flow.put_policy(
            connection,
            HedgePolicy("usdt", False, "usdc", threshold, auto, world.clock()),
        )


def stages(world: World, *venues: SimulatedVenue) -> dict[str, Stage]:
    return {stage.name: stage for stage in flow.order_stages(world.parts, venues)}


def newest(world: World) -> Order:
    with world.database.begin() as connection:
        return store.list_newest(connection, limit=1)[0]


def held(world: World, name: str, currency: str) -> int:
    """What a venue has of ours; below zero: what we owe it."""
    return -world.ledger(chart.venue(name, f"test/{currency}"))


def position(world: World, currency: str) -> int:
    return world.ledger(chart.fx("usdc", "usdt", f"test/{currency}"))


def test_a_position_is_closed_over_two_venues(world: World, tmp_path: Path) -> None:
    open_position(world)
    close_by(world)
    cheap, dear = venue(tmp_path, "cheap"), venue(tmp_path, "dear", fee_ppm=600, depth=1_000)
    run = stages(world, cheap, dear)
    assert run["order.hedge"].run() == 1
    # One at a time.
    assert run["order.hedge"].run() == 0
    assert run["order.route"].run() == 1
    order = newest(world)
    assert (order.side, order.units, order.status) == ("buy", 50 * WHOLE_TOKEN, "working")
    assert order.route is not None
    assert [each["venue"] for each in order.route["children"]] == ["cheap", "dear"]
    assert order.route["left"] == 0
    assert run["order.place"].run() == 2
    order = newest(world)
    assert (order.status, order.filled_units) == ("done", 50 * WHOLE_TOKEN)
    assert position(world, "usdt") == 0
    # What is left of the position in the other currency is the result.
    assert position(world, "usdc") == 50 * WHOLE_TOKEN - order.quote_units
    bought = {name: held(world, name, "usdt") for name in ("cheap", "dear")}
    assert sum(bought.values()) == 50 * WHOLE_TOKEN
    assert bought["cheap"] == 30 * WHOLE_TOKEN
    assert -world.ledger(chart.fee_venue("test/usdc")) == order.fee_units
    paid = sum(held(world, name, "usdc") for name in ("cheap", "dear"))
    assert -paid == order.quote_units + order.fee_units
    assert run["order.hedge"].run() == 0
    world.check()


def test_an_answer_that_is_lost_is_asked_for_and_a_venue_that_is_gone_waited_for(
    world: World, tmp_path: Path
) -> None:
    open_position(world, 20)
    close_by(world)
    lossy = venue(tmp_path, "lossy")
    run = stages(world, lossy)
    assert [run[f"order.{name}"].run() for name in ("hedge", "route")] == [1, 1]
    lossy.loses_answers = True
    assert run["order.place"].run() == 0
    assert position(world, "usdt") == -20 * WHOLE_TOKEN
    lossy.is_down = True
    world.advance(timedelta(minutes=10))
    assert run["order.place"].run() == 0
    assert newest(world).status == "working"
    # It has the order, and says so: nothing is placed again.
    lossy.is_down = False
    world.advance(timedelta(minutes=10))
    assert run["order.place"].run() == 1
    assert len((tmp_path / "lossy.jsonl").read_text().splitlines()) == 1
    assert (newest(world).status, position(world, "usdt")) == ("done", 0)
    # A venue that does not answer offers nothing, and the order is over.
    convert(world, ask(world, 20 * WHOLE_TOKEN))
    lossy.is_down = True
    assert [run[f"order.{name}"].run() for name in ("hedge", "route")] == [1, 1]
    order = newest(world)
    assert (order.status, order.filled_units) == ("done", 0)
    assert order.route is not None
    assert order.route["reasons"] == ["lossy: left out, it offers nothing within the limit"]
    world.check()


def test_above_its_limit_two_people_say_so(world: World, tmp_path: Path) -> None:
    open_position(world)
    close_by(world, threshold=6_000)
    run = stages(world, venue(tmp_path, "only"))
    assert run["order.hedge"].run() == 0
    close_by(world, auto=4_999)
    assert run["order.hedge"].run() == 1
    assert run["order.route"].run() == 0
    waiting = newest(world)
    assert waiting.status == "awaiting"
    desk = Desk(world.database, world.account, now=world.clock())
    one, two = desk.member("fay", "finance"), desk.member("amy", "approver")
    viewer = desk.member("vic", "viewer")
    with pytest.raises(PermissionDenied, match="role finance"):
        say_yes(waiting.id, viewer)
    with pytest.raises(StepUpRequired):
        say_yes(waiting.id, one, step_up=StepUp())
    # A key of test money says nothing of live money, nor the other way round.
    with pytest.raises(ResourceMissing):
        say_yes(waiting.id, one, livemode=True)
    assert say_yes(waiting.id, one).status == "awaiting"
    with pytest.raises(ParameterInvalid, match="another person"):
        say_yes(waiting.id, one)
    assert say_yes(waiting.id, two).status == "approved"
    over = pytest.raises(UnexpectedState, match="is approved")
    with over, world.database.begin() as connection:
        flow.cancel(connection, waiting.id, now=world.clock())
    assert [run[f"order.{name}"].run() for name in ("route", "place")] == [1, 1]
    # What the book did not have is ordered by the next one, which somebody calls off.
    close_by(world, auto=0)
    convert(world, ask(world, 20 * WHOLE_TOKEN))
    assert run["order.hedge"].run() == 1
    with world.database.begin() as connection:
        canceled = flow.cancel(connection, newest(world).id, now=world.clock())
        assert canceled.status == "canceled"
        for wrong, param in (
            (HedgePolicy("xxx", False, "usdc", 1, 0, world.clock()), "currency"),
            (HedgePolicy("usdt", False, "usdt", 1, 0, world.clock()), "against"),
        ):
            with pytest.raises(ParameterInvalid) as caught:
                flow.put_policy(connection, wrong)
            assert caught.value.param == param
    with pytest.raises(ResourceMissing):
        say_yes(new_id("ord"), one)
    assert flow.order_stages(world.parts, []) == []


def say_yes(order: str, by: Member, *, livemode: bool = False, **word: StepUp) -> Order:
    step_up = word.get("step_up") or StepUp(code=by.code())
    return flow.approve(by.desk.parts, order, actor=by.actor, livemode=livemode, step_up=step_up)


def test_what_another_order_has_just_closed_is_not_closed_again(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ledger's word is of before, and an order of somebody else's ends after it."""
    open_position(world, 20)
    close_by(world)
    run = stages(world, venue(tmp_path, "only"))
    balances = world.parts.books.balances

    def slowly(accounts: Sequence[LedgerAccount]) -> list[int]:
        found = balances(accounts)
        monkeypatch.setattr(world.parts.books, "balances", balances)
        world.advance(timedelta(seconds=1))
        assert [run[f"order.{name}"].run() for name in ("hedge", "route", "place")] == [1, 1, 1]
        return found

    monkeypatch.setattr(world.parts.books, "balances", slowly)
    assert run["order.hedge"].run() == 0
    assert position(world, "usdt") == 0
    # The other side of an open order waits for it, and so does whoever looks while it ends.
    with world.database.begin() as connection:
        flow.put_policy(connection, HedgePolicy("usdc", False, "usd", 1, 10**9, world.clock()))
    convert(world, ask(world, 20 * WHOLE_TOKEN))
    assert run["order.hedge"].run() == 1
    assert (newest(world).base, run["order.hedge"].run()) == ("usdt", 0)
    with pytest.raises(ParameterInvalid, match="would come back"), world.database.begin() as held:
        flow.put_policy(held, HedgePolicy("usdc", False, "usdt", 1, 0, world.clock()))
    world.check()


def test_a_venue_that_fills_nothing_is_not_asked_at_once_again(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or it would be asked for ever; and its word is booked only if there are amounts in it."""
    open_position(world, 20)
    close_by(world)
    only = venue(tmp_path, "only")
    run = stages(world, only)
    words = iter([Report(1, -1, 0), Report(0, 0, 0)])
    monkeypatch.setattr(SimulatedVenue, "place", lambda *_: next(words))
    woken: list[str] = []
    monkeypatch.setattr(flow, "wake", lambda _, *names: woken.extend(names))
    assert [run[f"order.{name}"].run() for name in ("hedge", "route", "place")] == [1, 1, 0]
    assert newest(world).status == "working"
    world.advance(timedelta(minutes=10))
    assert run["order.place"].run() == 1
    assert (newest(world).status, newest(world).filled_units) == ("done", 0)
    assert woken == ["order.route", "order.place"]
    world.check()
