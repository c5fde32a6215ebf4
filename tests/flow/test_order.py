"""Positions closed at simulated venues: split, filled once and booked once, whoever is silent."""

from datetime import timedelta
from pathlib import Path

import pytest
from tests.flow.harness import WHOLE_TOKEN, World
from tests.flow.money import credit
from tests.flow.test_conversion import ask, convert

from sakk.core import chart
from sakk.core.errors import ParameterInvalid, ResourceMissing, UnexpectedState
from sakk.core.order import HedgePolicy, Order
from sakk.core.rate import SCALE, Price
from sakk.flow import order as flow
from sakk.flow.stage import Stage
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
    with world.database.begin() as connection:
        flow.approve(connection, waiting.id, "per_1")
    refused = pytest.raises(ParameterInvalid, match="another person")
    with refused, world.database.begin() as connection:
        flow.approve(connection, waiting.id, "per_1")
    with world.database.begin() as connection:
        assert flow.approve(connection, waiting.id, "per_2").status == "approved"
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
        with pytest.raises(ResourceMissing):
            flow.approve(connection, new_id("ord"), "per_1")
        for wrong, param in (
            (HedgePolicy("xxx", False, "usdc", 1, 0, world.clock()), "currency"),
            (HedgePolicy("usdt", False, "usdt", 1, 0, world.clock()), "against"),
        ):
            with pytest.raises(ParameterInvalid) as caught:
                flow.put_policy(connection, wrong)
            assert caught.value.param == param
    assert flow.order_stages(world.parts, []) == []
