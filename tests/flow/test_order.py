"""Positions closed at simulated venues: split, filled once and booked once, whoever is silent."""

from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from tests.flow.harness import WHOLE_TOKEN, World
from tests.flow.money import credit
from tests.flow.policing import Desk, Member
from tests.flow.test_conversion import ask, convert
from tests.rails.fake_exchange import BINANCE_SECRET, KEY, FakeExchange, fake_exchange

from sakk.core import chart
from sakk.core.chart import LedgerAccount
from sakk.core.errors import (
    ApprovalStale,
    ParameterInvalid,
    PermissionDenied,
    ResourceMissing,
    SamePerson,
    StepUpRequired,
    UnexpectedState,
)
from sakk.core.hedge_policy import HedgePolicy, digest_of
from sakk.core.network import Currency
from sakk.core.order import WAITS_FOR, ChildOrder, Order, Report
from sakk.core.rate import SCALE, Price
from sakk.flow import hedge_policy as hedges
from sakk.flow import order as flow
from sakk.flow.stage import Stage
from sakk.flow.step_up import StepUp
from sakk.rails.exchange.adapter import SETTLE_SECONDS
from sakk.rails.exchange.binance import Binance
from sakk.rails.exchange.call import Caller
from sakk.rails.sandbox.venue import SimulatedVenue
from sakk.rails.venue import Venue
from sakk.store import hedge_policy as policies
from sakk.store import order as store
from sakk.store.actor import acting
from sakk.store.database import Database
from sakk.store.identity import new_id
from sakk.store.network import put_currency


def venue(
    folder: Path, name: str, *, fee_ppm: int = 500, depth: int = 30, livemode: bool = False
) -> SimulatedVenue:
    around = Price(SCALE, SCALE)
    return SimulatedVenue(
        name,
        folder / f"{name}.jsonl",
        lambda _base, _quote: around,
        fee_ppm=fee_ppm,
        depth=depth,
        livemode=livemode,
    )


def open_position(world: World, tokens: int = 50) -> None:
    """The house gave USDT for USDC."""
    credit(world, 100)
    convert(world, ask(world, tokens * WHOLE_TOKEN))


def close_by(world: World, *, threshold: int = 1_000, auto: int = 100_000) -> None:
    with world.database.begin() as connection:
        policies.put(
            connection,
            HedgePolicy("usdt", False, "usdc", threshold, auto, world.clock()),
        )


def stages(world: World, *venues: Venue) -> dict[str, Stage]:
    by_name = {each.name: each for each in venues}
    return {stage.name: stage for stage in flow.order_stages(world.parts, lambda: by_name)}


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
    # Test money is never exchanged where live money is, however good its price.
    live = venue(tmp_path, "live", fee_ppm=0, livemode=True)
    run = stages(world, live, cheap, dear)
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


class Counted(SimulatedVenue):
    """Notes what it is given; what else happens while it takes its first order."""

    given: list[str]
    meanwhile: Callable[[], object] | None

    def place(self, child: ChildOrder) -> Report:
        self.given.append(child.id)
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            meanwhile()
        return SimulatedVenue.place(self, child)


def test_who_lost_its_lease_places_nothing(world: World, tmp_path: Path) -> None:
    """An exchange would fill the same order twice."""
    open_position(world)
    close_by(world)
    venues = []
    for name in ("north", "south"):
        made = Counted(
            name, tmp_path / f"{name}.jsonl", lambda _base, _quote: Price(SCALE, SCALE), depth=30
        )
        made.given, made.meanwhile = [], None
        venues.append(made)
    run = stages(world, *venues)
    assert [run[f"order.{name}"].run() for name in ("hedge", "route")] == [1, 1]
    with world.database.begin() as connection:
        first, second = store.list_children(connection, newest(world).id)

    def another() -> None:
        """The first venue takes long, and another worker goes on."""
        world.advance(timedelta(minutes=1))
        assert stages(world, *venues)["order.place"].run() == 2

    [slow] = [each for each in venues if each.name == first.venue]
    slow.meanwhile = another
    assert run["order.place"].run() == 0
    assert [each.given for each in venues if each.name == second.venue] == [[second.id]]
    assert (newest(world).status, position(world, "usdt")) == ("done", 0)
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
    with pytest.raises(SamePerson, match="another person"):
        say_yes(waiting.id, one)
    assert say_yes(waiting.id, two).status == "approved"
    with pytest.raises(UnexpectedState, match="is approved"):
        flow.cancel(one.desk.parts, waiting.id, actor=one.actor, livemode=False)
    assert [run[f"order.{name}"].run() for name in ("route", "place")] == [1, 1]
    # Who said yes to it stands in the log, each under their own name.
    said = [(each["actor"], each["after"]["approvals"]) for each in noted(world, waiting.id)]
    assert said == [
        (one.actor.signature, [one.actor.person]),
        (two.actor.signature, [one.actor.person, two.actor.person]),
    ]
    # What the book did not have is ordered by the next one, which somebody calls off.
    close_by(world, auto=0)
    convert(world, ask(world, 20 * WHOLE_TOKEN))
    assert run["order.hedge"].run() == 1
    with pytest.raises(PermissionDenied):
        flow.cancel(viewer.desk.parts, newest(world).id, actor=viewer.actor, livemode=False)
    canceled = flow.cancel(two.desk.parts, newest(world).id, actor=two.actor, livemode=False)
    assert canceled.status == "canceled"
    with pytest.raises(ResourceMissing):
        say_yes(new_id("ord"), one)
    # And one of which nobody says anything ends, so that the next has the market's limit.
    world.advance(timedelta(hours=1))
    assert run["order.hedge"].run() == 1
    forgotten = newest(world)
    assert run["order.expire"].run() == 0
    world.advance(WAITS_FOR)
    desk.now = world.clock()
    with pytest.raises(UnexpectedState, match="waited too long"):
        say_yes(forgotten.id, one)
    assert run["order.expire"].run() == 1
    assert (newest(world).id, newest(world).status) == (forgotten.id, "expired")
    # Nothing is ordered for which there is no venue.
    convert(world, ask(world, 20 * WHOLE_TOKEN))
    assert stages(world, venue(tmp_path, "live", livemode=True))["order.hedge"].run() == 0
    assert stages(world)["order.hedge"].run() == 0


def noted(world: World, order: str) -> list[dict[str, Any]]:
    """What people said of an order, as the audit log has it."""
    with world.database.begin() as connection:
        rows = connection.execute(
            text(
                "SELECT actor, after FROM audit_inbox WHERE source = 'orders' AND key = :order"
                " AND act = 'update' AND after::jsonb -> 'approvals' IS NOT NULL ORDER BY id"
            ),
            {"order": order},
        )
        return [{"actor": row.actor, "after": row.after} for row in rows]


def test_more_by_itself_takes_two_people(database: Database) -> None:
    """One alone lowers what goes by itself; raising it waits for another, who proves to be there"""
    desk = Desk(database, new_id("acct"))
    one, two = desk.member("fay", "finance"), desk.member("amy", "approver")
    viewer = desk.member("vic", "viewer")
    with database.begin() as connection:
        for currency in ("usdc", "usdt"):
            put_currency(connection, Currency(currency, currency, "coin", 6, 1, 1, desk.now))

    def wish(by: Member, auto: int, **given: Any) -> Any:
        told: dict[str, Any] = {"currency": "usdt", "against": "usdc"} | given
        wanted = hedges.HedgeWish(**told, threshold_usd_cents=10, auto_usd_cents=auto)
        return hedges.propose(desk.parts, wanted, actor=by.actor, livemode=False)

    def sure(by: Member, digest: str, step_up: StepUp | None = None) -> HedgePolicy:
        return hedges.confirm(desk.parts, "usdt", by.yes(digest, step_up), livemode=False)

    def digest() -> str:
        with database.begin() as connection:
            stands = policies.find(connection, "usdt", livemode=False)
            waits = policies.find_proposal(connection, "usdt", livemode=False)
        assert waits is not None
        return digest_of(waits, stands)

    stands, waits = wish(one, 0)
    assert (stands.auto_usd_cents, waits) == (0, None)
    for wrong, param in (({"currency": "xxx"}, "currency"), ({"against": "usdt"}, "against")):
        with pytest.raises(ParameterInvalid) as caught:
            wish(one, 0, **wrong)
        assert caught.value.param == param
    with pytest.raises(PermissionDenied):
        wish(viewer, 0)
    stands, waits = wish(one, 500)
    assert (stands.auto_usd_cents, waits.auto_usd_cents) == (0, 500)
    shown = digest()
    # The same again is the same, and what was shown can still be confirmed.
    desk.advance(5)
    assert wish(one, 500)[1] == waits
    with pytest.raises(SamePerson):
        sure(one, shown)
    with pytest.raises(ApprovalStale):
        sure(two, "00" * 32)
    with pytest.raises(StepUpRequired):
        sure(two, shown, StepUp())
    assert sure(two, shown).auto_usd_cents == 500
    with pytest.raises(ResourceMissing):
        sure(two, shown)
    # The policy that was shown became another: what is confirmed is not what was seen.
    wish(two, 900)
    shown = digest()
    assert wish(one, 100)[0].auto_usd_cents == 100
    with pytest.raises(ApprovalStale):
        sure(one, shown)
    hedges.decline(desk.parts, "usdt", actor=one.actor, livemode=False)
    with database.begin() as connection:
        assert policies.find_proposal(connection, "usdt", livemode=False) is None
        stands = policies.find(connection, "usdt", livemode=False)
    assert stands is not None
    assert stands.auto_usd_cents == 100


def say_yes(order: str, by: Member, *, livemode: bool = False, **word: StepUp) -> Order:
    step_up = word.get("step_up") or StepUp(code=by.code())
    with acting(by.actor.signature, "req_test"):
        return flow.approve(
            by.desk.parts, order, actor=by.actor, livemode=livemode, step_up=step_up
        )


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
        policies.put(connection, HedgePolicy("usdc", False, "usd", 1, 10**9, world.clock()))
    convert(world, ask(world, 20 * WHOLE_TOKEN))
    assert run["order.hedge"].run() == 1
    assert (newest(world).base, run["order.hedge"].run()) == ("usdt", 0)
    with pytest.raises(ParameterInvalid, match="would come back"):
        hedges.propose(
            world.parts,
            hedges.HedgeWish("usdc", "usdt", 1, 0),
            actor=Desk(world.database, world.account).admins()[0].actor,
            livemode=False,
        )
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


class Died(BaseException):
    """As a killed process: nothing handles it, and no lease is given back."""


class Exchange:
    """An account at the fake exchange, by Binance's wire; each worker has an adapter of its own."""

    def __init__(self, fake: FakeExchange) -> None:
        self.fake, self.seconds, self.callers = fake, 1_000.0, list[Caller]()

    def adapter(self, *, key: str = KEY, **more: Any) -> Binance:
        caller = Caller("main", self.fake.url, monotonic=lambda: self.seconds, sleep=self.pass_by)
        self.callers.append(caller)
        return Binance(
            name="main",
            livemode=False,
            key=key,
            secret=BINANCE_SECRET,
            pairs={"usdt-usdc": "USDTZUSD"},
            fee_ppm=1_000,
            caller=caller,
            **more,
        )

    def pass_by(self, seconds: float) -> None:
        self.seconds += seconds


@pytest.fixture
def exchange() -> Iterator[Exchange]:
    around = [(Decimal("1.0000"), Decimal(10_000))]
    with fake_exchange(list(around), list(around)) as fake:
        made = Exchange(fake)
        yield made
        for each in made.callers:
            each.close()


def working(world: World, exchange: Exchange) -> None:
    """An order of twenty is on its way to the exchange."""
    open_position(world, 20)
    close_by(world)
    run = stages(world, exchange.adapter())
    assert [run[f"order.{name}"].run() for name in ("hedge", "route")] == [1, 1]


def later(world: World, exchange: Exchange) -> None:
    """A lease runs out, and what was signed can not come any more."""
    world.advance(timedelta(minutes=10))
    exchange.pass_by(SETTLE_SECONDS)


@pytest.mark.parametrize("where", ["order.place.before", "order.place.after", "order.book.after"])
def test_who_dies_beside_a_place_leaves_one_order_at_an_exchange(
    world: World, exchange: Exchange, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """It would fill a second one under the same id: that there is none is ours to see to."""
    working(world, exchange)

    def die(passed: str) -> None:
        if passed == where:
            raise Died

    with monkeypatch.context() as patched:
        patched.setattr(flow, "failpoint", die)
        with pytest.raises(Died):
            stages(world, exchange.adapter())["order.place"].run()
    # The next worker does not know when it was signed: it is asked after, and not placed at once.
    run = stages(world, exchange.adapter())
    placed = list(exchange.fake.placed)
    later(world, exchange)
    run["order.place"].run()
    assert exchange.fake.placed == placed
    for _ in range(2):
        later(world, exchange)
        run["order.place"].run()
    order = newest(world)
    assert (order.status, order.filled_units) == ("done", 20 * WHOLE_TOKEN)
    with world.database.begin() as connection:
        [child] = store.list_children(connection, order.id)
    assert len(exchange.fake.placed) == len(exchange.fake.orders) == 1
    assert child.waits_for is None
    assert held(world, "main", "usdt") == 20 * WHOLE_TOKEN - 20_000
    world.check()


def test_an_order_of_another_key_is_held_and_never_placed_again(
    world: World, exchange: Exchange
) -> None:
    working(world, exchange)
    fake = exchange.fake
    fake.loses_answers = True
    stages(world, exchange.adapter())["order.place"].run()
    assert len(fake.placed) == 1
    # The name has a key of another account there, which knows nothing of it; the former is revoked.
    fake.loses_answers, fake.hides = False, True
    revoked = exchange.adapter(key="revoked")
    for former in ({1: revoked}, {}):
        run = stages(world, exchange.adapter(number=2, former=former))
        for _ in range(3):
            later(world, exchange)
            assert run["order.place"].run() == 0
        [child] = children(world)
        assert (child.status, child.venue_number, child.attempt) == ("intended", 1, 1)
        assert "which account 1 was given" in (child.waits_for or "")
    assert len(fake.placed) == 1
    # By the key that it was placed with, or by another one that knows it, it ends as it ended.
    fake.hides = False
    known = exchange.adapter(number=2, former={})
    later(world, exchange)
    assert stages(world, known)["order.place"].run() == 1
    assert (len(fake.placed), newest(world).filled_units) == (1, 20 * WHOLE_TOKEN)
    world.check()


def test_what_the_former_account_never_had_is_placed_in_the_new_one(
    world: World, exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    working(world, exchange)
    with monkeypatch.context() as patched:
        patched.setattr(flow, "failpoint", lambda _: (_ for _ in ()).throw(Died))
        with pytest.raises(Died):
            stages(world, exchange.adapter())["order.place"].run()
    run = stages(world, exchange.adapter(number=2, former={1: exchange.adapter()}))
    for _ in range(3):
        later(world, exchange)
        run["order.place"].run()
    [child] = children(world)
    assert (child.status, child.venue_number, child.attempt) == ("done", 2, 2)
    assert len(exchange.fake.placed) == 1
    world.check()


def children(world: World) -> list[ChildOrder]:
    with world.database.begin() as connection:
        return store.list_children(connection, newest(world).id)
