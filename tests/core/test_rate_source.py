"""Sources of rates: every shape that is answered, and every way in which it is not what it says."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sakk.core import rate_source as rules
from sakk.core.errors import ParameterInvalid
from sakk.core.rate import Refusal, read_price
from sakk.core.rate_source import RateSource, SourceKind, SourceState

NOW = datetime(2026, 11, 26, 17, tzinfo=UTC)
CURRENCIES = {"usd": 2, "eur": 2, "usdc": 6, "usdt": 6}
ECB = b"""<?xml version="1.0" encoding="UTF-8"?>
<gesmes:Envelope xmlns:gesmes="http://www.gesmes.org/xml/2002-08-01"
    xmlns="http://www.ecb.int/vocabulary/2002-08-01/eurofxref">
  <gesmes:subject>Reference rates</gesmes:subject>
  <Cube><Cube time="2026-11-26">
    <Cube currency="USD" rate="1.0856"/><Cube currency="JPY" rate="171.23"/>
    <Cube currency="GBP"/>
  </Cube></Cube>
</gesmes:Envelope>"""
BOOK = b"""[{"symbol":"USDCUSDT","bidPrice":"0.99970000","bidQty":"1","askPrice":"0.99980000",
  "askQty":"2"},{"symbol":"EURUSDT","bidPrice":"1.0849","bidQty":"1","askPrice":"1.0850"},7]"""
KRAKEN = b"""{"error":[],"result":{"USDTZUSD":{"a":["1.00010","9","9.000"],
  "b":["1.00000","5","5.000"],"c":["1.00005","1"]}}}"""
COINBASE = b"""{"ask":"1.0002","bid":"1.0001","price":"1.0001","size":"10","trade_id":1,
  "time":"2026-11-26T16:59:58.123456Z"}"""
JSON = b"""{"data":{"rates":[{"a~b/c":0.99950,"ask":1.0005,"ts":1795712399000}],"n":null}}"""
CSV = "\ufeffbase,quote,bid,ask,at\nUSDC,usd,0.999,1.001,2026-11-26\neur,usd,1.08,,\n".encode()


def source(kind: SourceKind, *pairs: str, **changes: Any) -> RateSource:
    made = RateSource(
        id="s",
        kind=kind.value,
        location="https://rates.example/x",
        pairs=[rules.parse_pair(kind, pair) for pair in pairs],
        every_seconds=5,
        age_seconds=60,
        enabled=True,
        state="ok",
        error=None,
        checked=None,
        next_at=NOW,
        created=NOW,
    )
    return replace(made, **changes)


@pytest.mark.parametrize(
    ("kind", "pairs", "body", "expected"),
    [
        (
            SourceKind.ecb,
            ["eur-usd"],
            ECB,
            [("1.0856", "1.0856", datetime(2026, 11, 26, tzinfo=UTC))],
        ),
        (
            SourceKind.binance,
            ["usdc-usdt=USDCUSDT", "eur-usdt=EURUSDT"],
            BOOK,
            [("0.9997", "0.9998", NOW), ("1.0849", "1.085", NOW)],
        ),
        (
            SourceKind.binance,
            ["usdc-usdt=U"],
            b'{"symbol":"U","bidPrice":"1","askPrice":"2"}',
            [("1", "2", NOW)],
        ),
        (SourceKind.kraken, ["usdt-usd=USDTZUSD"], KRAKEN, [("1", "1.0001", NOW)]),
        (
            SourceKind.coinbase,
            ["usdt-usd"],
            COINBASE,
            [("1.0001", "1.0002", NOW - timedelta(seconds=1, microseconds=876_544))],
        ),
        (
            SourceKind.json,
            ["usdc-usd=/data/rates/0/a~0b~1c,/data/rates/0/ask,/data/rates/0/ts"],
            JSON,
            [("0.9995", "1.0005", datetime.fromtimestamp(1795712399, UTC))],
        ),
        (SourceKind.json, ["usdc-usd=/p"], b'{"p":1.1}', [("1.1", "1.1", NOW)]),
        (
            SourceKind.json,
            ["usdc-usd=/a"],
            b'{"a":1,"b":"[[\\"' + b"[" * 99 + b'"}',
            [("1", "1", NOW)],
        ),
        (
            SourceKind.json,
            ["usdc-usd=/p,/p,/t"],
            b'{"p":1,"t":1795712399.5}',
            [("1", "1", datetime.fromtimestamp(1795712399, UTC))],
        ),
        (
            SourceKind.csv,
            ["usdc-usd", "eur-usd"],
            CSV,
            [("0.999", "1.001", datetime(2026, 11, 26, tzinfo=UTC)), ("1.08", "1.08", NOW)],
        ),
    ],
)
def test_every_shape_is_read(
    kind: SourceKind, pairs: list[str], body: bytes, expected: list[tuple[str, str, datetime]]
) -> None:
    answer = rules.read(source(kind, *pairs), body, received=NOW)
    assert answer.problem is None
    assert [(each.bid, each.ask, each.at) for each in answer.observations] == [
        (read_price(bid), read_price(ask), at) for bid, ask, at in expected
    ]
    assert {each.received for each in answer.observations} == {NOW}


LAUGHS = b'<!DOCTYPE a [<!ENTITY b "&b;&b;">]><a><Cube time="2026-11-26"/></a>'


@pytest.mark.parametrize(
    ("kind", "pair", "body", "problem"),
    [
        (SourceKind.ecb, "eur-usd", LAUGHS, "a document type"),
        (SourceKind.ecb, "eur-usd", b"<a>", "no XML"),
        (SourceKind.ecb, "eur-usd", b"<a>" * 9, "more elements"),
        (SourceKind.ecb, "eur-usd", b"<a>" + b"<b/>" * 1_000 + b"</a>", "more elements"),
        (SourceKind.ecb, "usdc-usd", ECB, "name the pair eur first"),
        (SourceKind.ecb, "eur-usdc", ECB, "is not there"),
        (SourceKind.binance, "usdc-usdt=X", BOOK, "is not there"),
        (
            SourceKind.binance,
            "usdc-usdt=X",
            b'{"symbol":"X","bidPrice":null,"askPrice":"1"}',
            "no number",
        ),
        (SourceKind.binance, "usdc-usdt=X", b'[{"symbol":[]}]', "can not be read"),
        (SourceKind.kraken, "usdt-usd=X", b'{"error":["E"]}', "there is no result"),
        (SourceKind.kraken, "usdt-usd=X", b"[]", "there is no result"),
        (SourceKind.kraken, "usdt-usd=X", b'{"result":{"X":{"a":[],"b":["1"]}}}', "is not there"),
        (SourceKind.coinbase, "usdt-usd", b"[]", "indices"),
        (SourceKind.coinbase, "usdt-usd", COINBASE.replace(b"16:59", b"17:02"), "ahead of ours"),
        (SourceKind.json, "usdc-usd=/p", b"{", "can not be read"),
        (SourceKind.json, "usdc-usd=/p", b"[" * 100_000, "too deep"),
        (SourceKind.json, "usdc-usd=/p", b'"' + b'\\"' * 500_000, "can not be read"),
        (SourceKind.json, "usdc-usd=/p/x", b'{"p":1}', "indices"),
        (SourceKind.json, "usdc-usd=/p", b'{"p":NaN}', "not a price"),
        (SourceKind.json, "usdc-usd=/p", b'{"p":true}', "no number"),
        (SourceKind.json, "usdc-usd=/0,/1", b"[2,1]", "bids are above asks"),
        (SourceKind.json, "usdc-usd=/0,/0,/1", b'[2,"soon"]', "Invalid isoformat"),
        (SourceKind.json, "usdc-usd=/0,/0,/1", b"[2,9999999999999999]", "not a time"),
        (SourceKind.json, "usdc-usd=/0,/0,/1", b'[2,"0001-01-01T00:00+14:00"]', "too long ago"),
        (SourceKind.json, "usdc-usd=/0,/0,/1", b'[2,"2026-10-01"]', "too long ago"),
        (SourceKind.json, "usdc-usd=/0", b" " * (rules.BODY_BYTES_MAX + 1), "more than"),
        (SourceKind.csv, "usdc-usd", b"from,to\na,b\n", "the first line is"),
        (SourceKind.csv, "usdc-usd", b'base,quote\n"a', "the first line is"),
        (SourceKind.csv, "usdc-usd", b"\xff", "can not be read"),
        (SourceKind.csv, "usdc-usd", b"base,quote,bid,ask\nusdc,usd\n", "object"),
    ],
)
def test_what_can_not_be_read_is_told(
    kind: SourceKind, pair: str, body: bytes, problem: str
) -> None:
    answer = rules.read(source(kind, pair), body, received=NOW)
    assert answer.observations == ()
    assert problem in (answer.problem or "")


def test_one_pair_that_fails_leaves_the_others() -> None:
    asked = source(SourceKind.binance, "usdc-usdt=USDCUSDT", "usdc-eur=NONE")
    answer = rules.read(asked, BOOK, received=NOW)
    assert len(answer.observations) == 1
    assert answer.problem == "usdc-eur: is not there"
    assert asked.quoted == [("usdc", "usdt"), ("usdc", "eur")]


@pytest.mark.parametrize(
    ("kind", "text", "problem"),
    [(SourceKind.ecb, "eur-usd=USD", "more than a pair"), (SourceKind.json, "eur", "as eur-usd")],
)
def test_pairs_that_can_not_be_written_so(kind: SourceKind, text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        rules.parse_pair(kind, text)


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"id": ""}, "name"),
        ({"id": "a b"}, "name"),
        ({"location": "rates.csv"}, "location"),
        ({"location": "ftp://rates.example"}, "location"),
        ({"location": "https://\n"}, "location"),
        ({"every_seconds": 0}, "every_seconds"),
        ({"age_seconds": rules.AGE_SECONDS_MAX + 1}, "age_seconds"),
        ({"pairs": []}, "pairs"),
        ({"kind": "coinbase", "pairs": [{"base": "eur", "quote": "usd"}] * 2}, "pairs"),
        ({"pairs": [{"base": "eur", "quote": "usd"}]}, "pairs[0]"),
        ({"pairs": [{"base": "eur", "quote": "usd", "bid": "/p", "x": "y"}]}, "pairs[0]"),
        ({"pairs": [{"base": "eur", "quote": "usd", "bid": ""}]}, "pairs[0]"),
        ({"pairs": [{"base": "eur", "quote": "xxx", "bid": "/p"}]}, "pairs[0][quote]"),
        ({"pairs": [{"base": "usd", "quote": "usd", "bid": "/p"}]}, "pairs[0][quote]"),
        ({"pairs": [{"base": "eur", "quote": "usd", "bid": "p"}]}, "pairs[0][bid]"),
    ],
)
def test_a_source_that_could_not_be_asked_is_refused(changes: dict[str, Any], param: str) -> None:
    with pytest.raises(ParameterInvalid) as caught:
        rules.check(replace(source(SourceKind.json, "eur-usd=/p"), **changes), CURRENCIES)
    assert caught.value.param == param


def test_sources_that_can_be_asked() -> None:
    for made in (
        source(SourceKind.json, "eur-usd=/p"),
        source(SourceKind.csv, "eur-usd", location="/srv/rates.csv", id="bank_1"),
    ):
        assert rules.check(made, CURRENCIES) is made
    assert rules.ages([made]) == {"bank_1": timedelta(seconds=60)}
    assert not made.is_remote
    shown = rules.public(replace(made, checked=NOW), livemode=False)
    assert (shown["id"], shown["checked"]) == ("bank_1", int(NOW.timestamp()))
    assert rules.public(made, livemode=True)["checked"] is None


@pytest.mark.parametrize(
    ("refused", "heard", "state"),
    [
        ([], 1, SourceState.ok),
        ([], 0, SourceState.silent),
        ([Refusal.stale], 0, SourceState.silent),
        ([Refusal.outlier], 0, SourceState.outlier),
    ],
)
def test_how_a_source_does(refused: list[Refusal], heard: int, state: SourceState) -> None:
    assert rules.state_of(source(SourceKind.ecb, "eur-usd"), refused, heard) is state


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (SourceKind.csv, "eur-usd"),
        (SourceKind.kraken, "usdt-usd=USDTZUSD"),
        (SourceKind.json, "usdc-usd=/bid"),
        (SourceKind.json, "usdc-usd=/bid,/ask,/time"),
    ],
)
def test_a_pair_is_written_as_it_is_read(kind: SourceKind, text: str) -> None:
    stored = dict(sorted(rules.parse_pair(kind, text).items()))
    assert rules.write_pair(kind, stored) == text
