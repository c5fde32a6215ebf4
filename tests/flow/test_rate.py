"""Rates over real HTTP and files: who counts, what stops, and what a payment is locked at."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.flow.harness import World
from tests.flow.policing import Desk
from tests.flow.ticker import Ticker, ticking

from sakk.core import rate_source as sources
from sakk.core.errors import (
    ParameterInvalid,
    PermissionDenied,
    ResourceMissing,
    UnexpectedState,
)
from sakk.core.rate import Market, read_price
from sakk.core.rate_proposal import digest_of
from sakk.core.rate_source import BODY_BYTES_MAX, RateSource, SourceKind
from sakk.flow import rate as flow
from sakk.flow import rate_proposal as proposals
from sakk.flow.context import Parts
from sakk.flow.rate_fetch import Fetcher
from sakk.store import event as events
from sakk.store import rate as store
from sakk.store.database import Database
from sakk.store.identity import new_id
from sakk.store.seed import seed_currencies

BINANCE = "/api/v3/ticker/bookTicker?symbol=USDTUSD"
KRAKEN = "/0/public/Ticker?pair=USDTZUSD"
COINBASE = "/products/USDT-USD/ticker"


class Clock:
    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def ticker() -> Iterator[Ticker]:
    with ticking() as made:
        yield made


def say(ticker: Ticker, at: datetime, binance: str, kraken: str, coinbase: str) -> None:
    """Each in its own shape."""
    ticker.answers[BINANCE] = json.dumps(
        {"symbol": "USDTUSD", "bidPrice": binance, "bidQty": "1", "askPrice": binance}
    ).encode()
    ticker.answers[KRAKEN] = json.dumps(
        {"error": [], "result": {"USDTZUSD": {"a": [kraken, "1"], "b": [kraken, "1"]}}}
    ).encode()
    ticker.answers[COINBASE] = json.dumps(
        {"bid": coinbase, "ask": coinbase, "time": at.isoformat()}
    ).encode()


def put(parts: Parts, name: str, kind: SourceKind, location: str, pair: str) -> RateSource:
    with parts.database.begin() as connection:
        return flow.put_source(
            connection,
            name=name,
            kind=kind,
            location=location,
            pairs=[sources.parse_pair(kind, pair)],
            now=parts.clock(),
        )


def market(parts: Parts) -> Market:
    with parts.database.begin() as connection:
        return flow.read_market(connection, now=parts.clock())


def told(database: Database) -> list[str]:
    """Events of rates and pegs for test money, oldest first, with what each is about."""
    with database.begin() as connection:
        statement = (
            events.events.select()
            .where(~events.events.c.livemode, events.events.c.audience == "operator")
            .order_by(events.events.c.id)
        )
        rows = connection.execute(statement).all()
    kinds = ("peg.", "rate_source.")
    return [f"{row.type} {row.object_id}" for row in rows if row.type.startswith(kinds)]


def test_exchanges_are_asked_judged_and_a_coin_off_its_peg_stops(
    database: Database, ticker: Ticker
) -> None:
    clock = Clock()
    parts = Parts(database, clock=clock)
    with database.begin() as connection:
        seed_currencies(connection)
    for name, kind, path in (
        ("binance", SourceKind.binance, BINANCE),
        ("kraken", SourceKind.kraken, KRAKEN),
        ("coinbase", SourceKind.coinbase, COINBASE),
    ):
        symbol = {"binance": "=USDTUSD", "kraken": "=USDTZUSD"}.get(name, "")
        put(parts, name, kind, ticker.url + path, f"usdt-usd{symbol}")
    with database.begin() as connection:
        flow.put_peg(connection, currency="usdt", peg="usd", recover_seconds=60, now=clock())
    stage = flow.rate_stage(parts, Fetcher(allow_loopback=True))

    def hear(*words: str, seconds: int = 30) -> Market:
        clock.now += timedelta(seconds=seconds)
        say(ticker, clock.now, *words)
        assert stage.run() == 3
        return market(parts)

    heard = hear("0.9998", "1.0001", "1.0002").find("usdt", "usd")
    assert heard is not None
    assert (heard.price.bid, heard.sources) == (
        read_price("1.0001"),
        ("binance", "coinbase", "kraken"),
    )
    assert told(database) == []
    # Nothing is due, and nothing is asked.
    asked = len(ticker.asked)
    assert stage.run() == 0
    assert len(ticker.asked) == asked
    # One that is far off is left out, and told of once.
    for _ in range(2):
        heard = hear("1.2", "1.0001", "1.0002").find("usdt", "usd")
        assert heard is not None
        assert heard.sources == ("coinbase", "kraken")
    assert told(database) == ["rate_source.outlier binance"]
    # All agree that the coin has left its peg: it stops at the first look.
    found = hear("0.94", "0.941", "0.939")
    rated = found.find("usdt", "usd")
    assert rated is not None
    assert found.stopped_on(rated) == "usdt"
    assert told(database)[1:] == ["rate_source.recovered binance", "peg.stopped usdt"]
    with pytest.raises(UnexpectedState, match="would stop again"), database.begin() as connection:
        flow.clear(connection, "usdt", now=clock())
    # It is back, falls, and is back for a minute.
    for words, seconds in (("1", 30), ("0.95", 30), ("1", 30), ("1", 30)):
        found = hear(words, words, words, seconds=seconds)
        assert found.pegs[0].stopped_at is not None
    assert hear("1", "1", "1").pegs[0].stopped_at is None
    assert told(database)[3:] == ["peg.resumed usdt"]
    # A word that is old does not count, and nobody is believed instead.
    clock.now += timedelta(minutes=5)
    ticker.answers.clear()
    stage.run()
    assert market(parts).find("usdt", "usd") is None
    assert sorted(told(database)[4:]) == [
        f"rate_source.silent {name}" for name in ("binance", "coinbase", "kraken")
    ]
    with database.begin() as connection:
        rows = store.list_sources(connection)
        kept = store.list_observations(
            connection, base="usdt", quote="usd", since=clock() - timedelta(hours=1), limit=100
        )
    assert {row.error for row in rows} == {"it answered 404"}
    assert len(kept) == 27


def test_a_person_stops_and_lets_go(database: Database) -> None:
    parts = Parts(database)
    now = parts.clock()
    with database.begin() as connection:
        seed_currencies(connection)
        flow.put_peg(connection, currency="usdc", peg="usd", now=now)
        flow.stop(connection, "usdc", now=now)
        flow.look(connection, now=now + timedelta(days=1))
        # Other bounds do not let it go.
        assert flow.put_peg(connection, currency="usdc", peg="usd", bound_ppm=5, now=now).manual
        found = flow.read_market(connection, now=now)
        rated = found.find("usdc", "usd")
        assert rated is not None
        assert found.stopped_on(rated) == "usdc"
        assert flow.clear(connection, "usdc", now=now).stopped_at is None
        with pytest.raises(ResourceMissing):
            flow.stop(connection, "eur", now=now)
        for wrong, param in (
            ({"currency": "xxx", "peg": "usd"}, "currency"),
            ({"currency": "usdc", "peg": "usdc"}, "peg"),
            ({"currency": "usdc", "peg": "usd", "bound_ppm": 0}, "bound_ppm"),
            ({"currency": "usdc", "peg": "usd", "recover_seconds": -1}, "recover_seconds"),
        ):
            with pytest.raises(ParameterInvalid) as caught:
                flow.put_peg(connection, now=now, **wrong)
            assert caught.value.param == param
    assert told(database) == ["peg.stopped usdc", "peg.resumed usdc"]


def test_what_was_proposed_in_one_mode_is_confirmed_in_no_other(database: Database) -> None:
    desk = Desk(database, new_id("acct"))
    with database.begin() as connection:
        seed_currencies(connection)
    put(desk.parts, "desk", SourceKind.csv, "/rates.csv", "usdt-usd")
    one = desk.admins()[0]
    with database.begin() as connection:
        flow.set_enabled(connection, "desk", enabled=False, now=desk.now)
        proposals.propose_enabled(connection, "desk", actor=one.actor, livemode=False, now=desk.now)
        said = store.find_source(connection, "desk")
    assert said is not None
    # Whoever works in both modes is two persons, and stands for nobody else.
    live = desk.admin("ann", livemode=True)
    with pytest.raises(PermissionDenied, match="other mode"):
        proposals.confirm_source(desk.parts, "desk", live.yes(digest_of(said)), livemode=True)
    with database.begin() as connection:
        proposals.decline_source(connection, "desk", actor=live.actor, livemode=True)
        after = store.find_source(connection, "desk")
    assert after is not None
    assert (after.enabled, after.proposal) == (False, None)


def test_a_source_that_breaks_keeps_no_other_from_being_heard(
    database: Database, tmp_path: Path
) -> None:
    parts = Parts(database)
    with database.begin() as connection:
        seed_currencies(connection)
    for name in ("broken", "whole"):
        put(parts, name, SourceKind.csv, str(tmp_path / name), "usdt-usd")
    whole = Fetcher()
    (tmp_path / "whole").write_text("base,quote,bid,ask\nusdt,usd,1,1\n")

    def fetch(source: RateSource) -> bytes:
        if source.id == "broken":
            raise KeyError("unforeseen")
        return whole(source)

    assert flow.rate_stage(parts, fetch).run() == 2
    found = market(parts).find("usdt", "usd")
    assert found is not None
    assert found.sources == ("whole",)
    with database.begin() as connection:
        row = store.find_source(connection, "broken")
    assert row is not None
    assert row.error == "it could not be asked (KeyError)"


def asking(location: str) -> RateSource:
    """A source that is nowhere written down."""
    now = datetime.now(UTC)
    return RateSource(
        "s", "json", location, [], 5, 60, True, "ok", None, None, next_at=now, created=now
    )


@pytest.mark.parametrize(
    ("location", "loopback", "problem"),
    [
        ("{url}/moved", True, "it answered 302"),
        ("{url}/broken", True, "it answered 500"),
        ("{url}/x", False, "not a public address"),
        ("https://10.0.0.1/x", True, "not a public address"),
        ("http://rates.example/x", True, "must use https"),
        ("/nowhere/rates.csv", True, "No such file"),
    ],
)
def test_a_source_leads_nowhere_else(
    ticker: Ticker, location: str, loopback: bool, problem: str
) -> None:
    ticker.answers |= {"/moved": 302, "/broken": 500}
    asked = asking(location.format(url=ticker.url))
    with pytest.raises(ValueError, match=problem):
        Fetcher(allow_loopback=loopback)(asked)
    assert "/elsewhere" not in ticker.asked


def test_no_more_is_read_than_a_source_may_say(ticker: Ticker) -> None:
    ticker.answers["/big"] = b" " * (2 * BODY_BYTES_MAX)
    asked = asking(f"{ticker.url}/big")
    assert len(Fetcher(allow_loopback=True)(asked)) == BODY_BYTES_MAX + 1


def test_a_payment_in_a_fiat_currency_is_locked_at_the_sources_rate(
    world: World, tmp_path: Path
) -> None:
    """A file says what euros are worth; coins that nobody quotes keep what was written down."""
    day = world.clock().isoformat()
    (tmp_path / "rates.csv").write_text(f"base,quote,bid,ask,at\neur,usd,1.25,1.28,{day}\n")
    put(world.parts, "desk", SourceKind.csv, str(tmp_path / "rates.csv"), "eur-usd")
    flow.rate_stage(world.parts, Fetcher()).run()
    intent = world.intent(1_000, currency="eur")
    quote = world.quote(intent, "usdc")
    # A dollar buys 1 / 1.28 of a euro: ten euros are 12.80 dollars.
    assert (quote.token_amount, quote.sources) == (12_800_000, ("configured", "desk"))
    assert world.quote(world.intent(1_000), "usdc").token_amount == 10_000_000
    with world.database.begin() as connection:
        flow.set_enabled(connection, "desk", enabled=False, now=world.clock())
    with pytest.raises(ParameterInvalid, match="no rate between eur"):
        world.intent(1_000, currency="eur")
    with pytest.raises(ResourceMissing), world.database.begin() as connection:
        flow.set_enabled(connection, "nobody", enabled=True, now=world.clock())
