"""Adapters of exchanges, against a fake that speaks their wires: what is signed, taken and lost."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction

import pytest

from sakk.core.order import ChildOrder, Report, check_report, postings
from sakk.core.rate import SCALE
from sakk.core.router import Side
from sakk.core.venue import PairRules
from sakk.rails.exchange import binance, kraken
from sakk.rails.exchange.adapter import SETTLE_SECONDS, Adapter
from sakk.rails.exchange.binance import Binance
from sakk.rails.exchange.call import PAUSE_SECONDS, Caller
from sakk.rails.exchange.kraken import Kraken
from sakk.rails.venue import VenueRefused, VenueUnavailable
from sakk.store.identity import new_id
from tests.rails.fake_exchange import (
    BINANCE_SECRET,
    KEY,
    KRAKEN_SECRET,
    FakeExchange,
    fake_exchange,
)

KINDS = (Kraken, Binance)
UNIT = 10**6


OPENED: list[Caller] = []


@pytest.fixture
def exchange() -> Iterator[FakeExchange]:
    asks = [(Decimal("1.0002"), Decimal(20)), (Decimal("1.0010"), Decimal(30))]
    bids = [(Decimal("0.9998"), Decimal(20)), (Decimal("0.9990"), Decimal(30))]
    with fake_exchange(asks, bids) as fake:
        yield fake
        while OPENED:
            OPENED.pop().close()


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def adapter(kind: type[Adapter], fake: FakeExchange, clock: Clock | None = None) -> Adapter:
    clock = clock or Clock()
    OPENED.append(Caller("main", fake.url, monotonic=clock, sleep=clock.sleep))
    return kind(
        name="main",
        livemode=False,
        key=KEY,
        secret=KRAKEN_SECRET if kind is Kraken else BINANCE_SECRET,
        pairs={"usdt-usd": "USDTZUSD"},
        fee_ppm=1_000,
        caller=OPENED[-1],
    )


def child(side: str = "buy", units: int = 50 * UNIT, price: str = "1.0011") -> ChildOrder:
    return ChildOrder(
        id=new_id("ordc"),
        order_id="ord_1",
        livemode=False,
        venue="main",
        base="usdt",
        base_decimals=6,
        quote="usd",
        quote_decimals=2,
        side=side,
        units=units,
        price=int(Decimal(price) * SCALE),
        status="intended",
        asked=True,
        filled_units=0,
        quote_units=0,
        fee_units=0,
        created=datetime.now(UTC),
    )


def test_signatures_are_those_of_the_exchanges_documents() -> None:
    body = "nonce=1616492376594&ordertype=limit&pair=XBTUSD&price=37500&type=buy&volume=1.25"
    assert kraken.signature(KRAKEN_SECRET, "/0/private/AddOrder", 1616492376594, body) == (
        "4/dpxb3iT4tp/ZCVEwSnEsLxx0bqyhLpdfOpc6fn7OR8+UClSV5n9E6aSS8MPtnRfp32bAb0nmbRn6H8ndwLUQ=="
    )
    query = (
        "symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=0.1&recvWindow=5000"
        "&timestamp=1499827319559"
    )
    assert binance.signature(BINANCE_SECRET, query) == (
        "c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71"
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_book_an_order_and_its_fee(kind: type[Adapter], exchange: FakeExchange) -> None:
    venue = adapter(kind, exchange)
    book = venue.book("usdt", "usd", Side.buy, base_decimals=6)
    assert book is not None
    assert [(each.price, each.units) for each in book.levels] == [
        (1_000_200 * 10**12, 20 * UNIT),
        (1_001_000 * 10**12, 30 * UNIT),
    ]
    # Five dollars' worth at the best price, on the exchange's step.
    assert (book.minimum, book.fee_ppm) == (5 * UNIT, 1_000)
    assert venue.book("usdc", "usd", Side.buy, base_decimals=6) is None
    # What does not fit its steps is cut off, and the price is no worse than the limit.
    bought = child(units=30 * UNIT + 4_999, price="1.00109")
    report = venue.place(bought)
    assert (report.filled_units, report.quote_units) == (30 * UNIT, 30_02)
    # Each takes its fee where it says: three cents and a bit, or a thousandth of what was bought.
    fees = (report.fee_units, report.base_fee_units)
    assert fees == ((4, 0) if kind is Kraken else (0, 30_000))
    assert check_report(bought, report) is None
    # In part: what the book gives within the limit.
    sold = child("sell", 50 * UNIT, "0.9998")
    report = venue.place(sold)
    assert (report.filled_units, report.quote_units) == (20 * UNIT, 19_99)
    assert report.fee_units == 2
    assert check_report(sold, report) is None
    # Asked again, both are as they were, and nothing more is filled.
    assert venue.find(sold) == report
    assert len(exchange.orders) == 2


@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_that_is_lost_is_asked_for(kind: type[Adapter], exchange: FakeExchange) -> None:
    clock = Clock()
    venue, wanted = adapter(kind, exchange, clock), child(units=20 * UNIT)
    exchange.loses_answers = True
    with pytest.raises(VenueUnavailable):
        venue.place(wanted)
    exchange.loses_answers = False
    # Not visible, not ended, not readable, too often: nothing of that is an end.
    exchange.hides = True
    with pytest.raises(VenueUnavailable, match="may yet"):
        venue.find(wanted)
    exchange.hides, exchange.is_late = False, True
    with pytest.raises(VenueUnavailable, match="not ended"):
        venue.find(wanted)
    exchange.is_late, exchange.answers_garbage = False, True
    with pytest.raises(VenueUnavailable, match="no JSON"):
        venue.find(wanted)
    exchange.answers_garbage, exchange.is_too_much = False, True
    with pytest.raises(VenueUnavailable, match="too often"):
        venue.find(wanted)
    exchange.is_too_much = False
    before = len(exchange.asked)
    with pytest.raises(VenueUnavailable, match="is not asked for"):
        venue.find(wanted)
    assert len(exchange.asked) == before
    clock.now += PAUSE_SECONDS
    found = venue.find(wanted)
    assert found is not None
    assert (found.filled_units, found.quote_units) == (20 * UNIT, 20_01)
    # One that never came is known to be none when it can not come any more.
    exchange.hides = True
    clock.now += SETTLE_SECONDS
    assert venue.find(wanted) is None
    # Another worker that runs as long may have signed it just now, each time that it was given.
    for given in (1, 2):
        theirs = replace(child(), id=wanted.id, attempt=given)
        with pytest.raises(VenueUnavailable, match="may yet"):
            venue.find(theirs)
        clock.now += SETTLE_SECONDS
        assert venue.find(theirs) is None


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_refused_did_nothing(kind: type[Adapter], exchange: FakeExchange) -> None:
    venue = adapter(kind, exchange)
    for wanted, why in (
        (child(units=UNIT // 2), "below its minimum"),
        (child(units=2 * UNIT), "worth less than"),
        (child(price="0.00001"), "below its smallest price"),
        (replace(child(), base="usdc"), "takes no order"),
        (child(units=200_000 * UNIT), r"(?i)insufficient"),
    ):
        with pytest.raises(VenueRefused, match=why):
            venue.place(wanted)
    # By the exchange itself, where it knows better than what it said of its steps.
    lot, tick = Fraction(1, 100), Fraction(1, 100_000)
    venue._rules["USDTZUSD"] = (1e9, PairRules(lot, tick, Fraction(0), Fraction(0)))
    with pytest.raises(VenueRefused):
        venue.place(child(units=2 * UNIT))
    assert not exchange.orders
    # A symbol that it does not know is no book, and nothing else: the other venues are asked.
    wrong = adapter(kind, exchange)
    wrong.pairs["usdt-usd"] = "NOPAIR"
    with pytest.raises(VenueUnavailable):
        wrong.book("usdt", "usd", Side.buy, base_decimals=6)
    # A key that does not sign is no word about an order.
    wrong = adapter(kind, exchange)
    wrong.key = "another"
    for ask in (wrong.place, wrong.find):
        with pytest.raises(VenueUnavailable):
            ask(child(units=20 * UNIT))
    venue.enabled = False
    assert venue.book("usdt", "usd", Side.sell, base_decimals=6) is None
    with pytest.raises(VenueRefused):
        venue.place(child())


def test_a_fee_in_what_was_bought_is_booked_there() -> None:
    legs = postings(child(), Report(100, 50, 0, base_fee_units=7))
    moved: dict[str, int] = {}
    for leg in legs:
        moved[leg.debit.name] = moved.get(leg.debit.name, 0) - leg.amount
        moved[leg.credit.name] = moved.get(leg.credit.name, 0) + leg.amount
    assert moved == {
        "venue:main#test/usdt": -93,
        "fx:usd-usdt#test/usdt": 100,
        "fx:usd-usdt#test/usd": -50,
        "venue:main#test/usd": 50,
        "fee:venue#test/usdt": -7,
    }
