"""Where rates come from: what each kind of source answers, and how a price is read out of it.

A source is a file or an address, asked so often, of whose pairs each has its own place in the
answer. Answers are others' bytes: they are bounded, numbers are read from their digits, and one
pair that can not be read is a problem of that pair alone.

Shapes: the euro's reference rates of the European Central Bank (``eurofxref-daily.xml``, once a
working day at about 16:00 CET); Binance's ``/api/v3/ticker/bookTicker``, Kraken's
``/0/public/Ticker`` and the Coinbase Exchange's ``/products/{id}/ticker``, as their public
documentation has them; any JSON by pointers (RFC 6901); CSV with the columns base, quote, bid, ask
and at.
"""

import csv
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final
from urllib.parse import urlsplit
from xml.parsers import expat

from sakk.core.errors import ParameterInvalid
from sakk.core.rate import AHEAD_MAX, Observation, Refusal, pair_of, read_price

BODY_BYTES_MAX: Final = 1 << 20
NAME_MAX: Final = 40
LOCATION_MAX: Final = 2_000
PAIRS_MAX: Final = 200
POINTER_MAX: Final = 300
EVERY_SECONDS_MIN: Final = 1
EVERY_SECONDS_MAX: Final = 86_400
AGE_SECONDS_MAX: Final = 14 * 86_400
PROBLEM_MAX: Final = 200
# No source is believed so long: what is older is not taken, and no longer kept.
OLD_MAX: Final = timedelta(days=30)
_JSON_DEPTH_MAX: Final = 32
# A bracket, or a text with whatever is in it. One that never ends is the rest of the answer, so
# that no quote in it is a beginning to look from again.
_BRACKETS = re.compile(rb'"(?:[^"\\]|\\.)*+"?|[\[\]{}]', re.DOTALL)
_XML_DEPTH_MAX: Final = 8
_XML_ELEMENTS_MAX: Final = 1_000
# A number so large is of milliseconds since 1970.
_MILLISECONDS_FROM: Final = 10**11
_TIME_MAX: Final = 10**14


class SourceKind(StrEnum):
    """What a source answers."""

    csv = "csv"
    json = "json"
    ecb = "ecb"
    binance = "binance"
    kraken = "kraken"
    coinbase = "coinbase"


# How often a source of a kind is asked, and how old its word may be, in seconds, unless said. The
# bank's word of a Friday holds over the longest weekend of its calendar.
DEFAULTS: Final[dict[SourceKind, tuple[int, int]]] = {
    SourceKind.csv: (15, 300),
    SourceKind.json: (15, 120),
    SourceKind.ecb: (3_600, 6 * 86_400),
    SourceKind.binance: (5, 60),
    SourceKind.kraken: (5, 60),
    SourceKind.coinbase: (5, 60),
}


class SourceState(StrEnum):
    """How a source does: heard, not heard lately, or far from what others say."""

    ok = "ok"
    silent = "silent"
    outlier = "outlier"


@dataclass(frozen=True, slots=True)
class RateSource:
    """One source. ``id`` is its name; ``pairs`` are documents: ``base``, ``quote`` and, where the
    kind needs one, ``symbol``, or the pointers ``bid``, ``ask`` and ``at``."""

    id: str
    kind: str
    location: str
    pairs: list[dict[str, str]]
    every_seconds: int
    age_seconds: int
    enabled: bool
    state: str
    error: str | None
    checked: datetime | None
    next_at: datetime
    created: datetime
    attempt: int = 0
    failures: int = 0
    retry_at: datetime | None = None
    lease_token: str | None = None
    lease_until: datetime | None = None
    # What somebody wants of it, until another person confirms that: `sakk.core.rate_proposal`.
    proposal: dict[str, Any] | None = None

    @property
    def is_remote(self) -> bool:
        return not self.location.startswith("/")

    @property
    def quoted(self) -> list[tuple[str, str]]:
        """The pairs that it is asked for."""
        return [(each["base"], each["quote"]) for each in self.pairs]


@dataclass(frozen=True, slots=True)
class Answer:
    """What was read: prices, and what could not be read, in words."""

    observations: tuple[Observation, ...]
    problems: tuple[str, ...]

    @property
    def problem(self) -> str | None:
        """All that could not be read, in one line that is not too long."""
        return "; ".join(self.problems)[:PROBLEM_MAX] or None


def check(source: RateSource, currencies: Mapping[str, int]) -> RateSource:
    """The source; ParameterInvalid by its field for one that could not be asked."""
    name = source.id
    if not (0 < len(name) <= NAME_MAX and name.isascii() and name.replace("_", "").isalnum()):
        raise ParameterInvalid(
            "A source's name has 1 to {most} letters, digits and underscores.",
            param="name",
            most=NAME_MAX,
        )
    if len(source.location) > LOCATION_MAX or not source.location.isprintable():
        raise ParameterInvalid(
            "location is a path or an address of at most {most} characters.",
            param="location",
            most=LOCATION_MAX,
        )
    if source.is_remote and urlsplit(source.location).scheme not in ("https", "http"):
        raise ParameterInvalid(
            "location is the whole path of a file, or an https address.", param="location"
        )
    for field, value, most in (
        ("every_seconds", source.every_seconds, EVERY_SECONDS_MAX),
        ("age_seconds", source.age_seconds, AGE_SECONDS_MAX),
    ):
        if not EVERY_SECONDS_MIN <= value <= most:
            raise ParameterInvalid(
                "{field} is {least} to {most}.",
                param=field,
                field=field,
                least=EVERY_SECONDS_MIN,
                most=most,
            )
    if not 0 < len(source.pairs) <= PAIRS_MAX:
        raise ParameterInvalid("A source has 1 to {most} pairs.", param="pairs", most=PAIRS_MAX)
    if source.kind == SourceKind.coinbase and len(source.pairs) > 1:
        raise ParameterInvalid(
            "A ticker of Coinbase is of one product: make a source of each.", param="pairs"
        )
    for place, pair in enumerate(source.pairs):
        _check_pair(SourceKind(source.kind), pair, f"pairs[{place}]", currencies)
    return source


def _check_pair(
    kind: SourceKind, pair: Mapping[str, str], param: str, currencies: Mapping[str, int]
) -> None:
    known = {"base", "quote", *_FIELDS[kind]}
    if set(pair) - known or not set(pair) >= {"base", "quote", *_FIELDS[kind][:1]}:
        raise ParameterInvalid(
            "A pair here has: {fields}.", param=param, fields=", ".join(sorted(known))
        )
    for value in pair.values():
        if type(value) is not str or not 0 < len(value) <= POINTER_MAX:
            raise ParameterInvalid(
                "All of a pair is text, at most {most}.", param=param, most=POINTER_MAX
            )
    for field in ("base", "quote"):
        if pair[field] not in currencies:
            raise ParameterInvalid(
                "There is no currency {currency}. GET /v1/currencies lists them.",
                param=f"{param}[{field}]",
                currency=repr(pair[field]),
            )
    if pair["base"] == pair["quote"]:
        raise ParameterInvalid("A pair is of two currencies.", param=f"{param}[quote]")
    for field in ("bid", "ask", "at"):
        if not pair.get(field, "/").startswith("/"):
            raise ParameterInvalid(
                "A pointer begins with a slash, as /data/bid (RFC 6901).",
                param=f"{param}[{field}]",
            )


# What a pair has beside its currencies; the first of them it must have.
_FIELDS: Final[dict[SourceKind, tuple[str, ...]]] = {
    SourceKind.csv: (),
    SourceKind.json: ("bid", "ask", "at"),
    SourceKind.ecb: (),
    SourceKind.binance: ("symbol",),
    SourceKind.kraken: ("symbol",),
    SourceKind.coinbase: (),
}


def parse_pair(kind: SourceKind, text: str) -> dict[str, str]:
    """A pair as people write it: ``usdc-usd``, ``usdt-usd=USDTUSD`` with the symbol, or
    ``usdc-usd=/bid,/ask,/time`` with pointers; ValueError."""
    name, _, rest = text.partition("=")
    base, quote = pair_of(name)
    fields = _FIELDS[kind]
    values = rest.split(",") if rest else []
    if len(values) > len(fields):
        raise ValueError(f"{text[:60]!r} says more than a pair of {kind.value} has")
    return {"base": base, "quote": quote, **dict(zip(fields, values, strict=False))}


def write_pair(kind: SourceKind, pair: Mapping[str, str]) -> str:
    """A pair as `parse_pair` reads it."""
    values = [pair[name] for name in _FIELDS[kind] if name in pair]
    return f"{pair['base']}-{pair['quote']}" + (f"={','.join(values)}" if values else "")


def read(source: RateSource, body: bytes, *, received: datetime) -> Answer:
    """Every pair of a source out of its answer; what can not be read is a problem, in words."""
    try:
        if len(body) > BODY_BYTES_MAX:
            raise ValueError(f"more than {BODY_BYTES_MAX} bytes")
        look = _READERS[SourceKind(source.kind)](source, body)
    except (ValueError, TypeError) as error:
        return Answer((), (f"the answer can not be read: {error}"[:PROBLEM_MAX],))
    found: list[Observation] = []
    problems: list[str] = []
    for pair in source.pairs:
        name = f"{pair['base']}-{pair['quote']}"
        try:
            bid, ask, at = look(pair)
            low, high = read_price(bid), read_price(ask, up=True)
            if low > high:
                raise ValueError("bids are above asks")
            moment = received if at is None else _moment(at)
            if moment > received + AHEAD_MAX:
                raise ValueError("its time is ahead of ours")
            # Nor is anything kept that can never count, such as a year that a database has not.
            if moment < received - OLD_MAX:
                raise ValueError("its time is too long ago")
            found.append(
                Observation(source.id, pair["base"], pair["quote"], low, high, moment, received)
            )
        except (ValueError, KeyError, TypeError, IndexError, OverflowError) as error:
            why = "is not there" if isinstance(error, KeyError | IndexError) else str(error)
            problems.append(f"{name}: {why}"[:PROBLEM_MAX])
    return Answer(tuple(found), tuple(problems))


# Bid, ask and time of a pair, as they are written; a time that is not said is when it was read.
Words = tuple[str, str, str | None]
Look = Callable[[Mapping[str, str]], Words]


def _moment(text: str) -> datetime:
    """Seconds or milliseconds since 1970, a date, or a time by ISO 8601."""
    if text.replace(".", "", 1).isdigit() and text.isascii():
        whole = int(text.partition(".")[0])
        if whole > _TIME_MAX:
            raise ValueError(f"not a time: {text[:40]!r}")
        seconds = whole // 1_000 if whole >= _MILLISECONDS_FROM else whole
        return datetime.fromtimestamp(seconds, UTC)
    found = datetime.fromisoformat(text)
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def _json(body: bytes) -> Any:
    """JSON whose numbers stay the digits that were written. Deep nesting is refused before it is
    parsed: a parser that recurses could overflow its stack."""
    depth = 0
    for found in _BRACKETS.finditer(body):
        depth += {b"[": 1, b"{": 1, b"]": -1, b"}": -1}.get(found[0], 0)
        if depth > _JSON_DEPTH_MAX:
            raise ValueError("it nests too deep")
    return json.loads(body, parse_float=str, parse_int=str, parse_constant=str)


def _pointed(document: Any, pointer: str) -> str:
    """What a pointer (RFC 6901) leads to."""
    for token in pointer.split("/")[1:]:
        name = token.replace("~1", "/").replace("~0", "~")
        document = document[int(name)] if isinstance(document, list) else document[name]
    return _word(document)


def _word(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("it is no number")
    return value


def _read_json(_: RateSource, body: bytes) -> Look:
    document = _json(body)

    def look(pair: Mapping[str, str]) -> Words:
        bid = _pointed(document, pair["bid"])
        ask = _pointed(document, pair["ask"]) if "ask" in pair else bid
        return bid, ask, _pointed(document, pair["at"]) if "at" in pair else None

    return look


def _read_csv(_: RateSource, body: bytes) -> Look:
    rows = csv.DictReader(body.decode("utf-8-sig").splitlines(), strict=True)
    try:
        found = {((row["base"] or "").lower(), (row["quote"] or "").lower()): row for row in rows}
    except (KeyError, csv.Error) as error:
        raise ValueError("the first line is base,quote,bid,ask,at") from error

    def look(pair: Mapping[str, str]) -> Words:
        row = found[pair["base"], pair["quote"]]
        return row["bid"], row["ask"] or row["bid"], row.get("at") or None

    return look


def _read_binance(_: RateSource, body: bytes) -> Look:
    document = _json(body)
    rows = document if isinstance(document, list) else [document]
    found = {row["symbol"]: row for row in rows if isinstance(row, dict) and "symbol" in row}

    def look(pair: Mapping[str, str]) -> Words:
        row = found[pair["symbol"]]
        return _word(row["bidPrice"]), _word(row["askPrice"]), None

    return look


def _read_kraken(_: RateSource, body: bytes) -> Look:
    document = _json(body)
    if not isinstance(document, dict) or not isinstance(document.get("result"), dict):
        raise ValueError("there is no result")
    found = document["result"]

    def look(pair: Mapping[str, str]) -> Words:
        row = found[pair["symbol"]]
        return _word(row["b"][0]), _word(row["a"][0]), None

    return look


def _read_coinbase(_: RateSource, body: bytes) -> Look:
    document = _json(body)

    def look(_: Mapping[str, str]) -> Words:
        return _word(document["bid"]), _word(document["ask"]), _word(document["time"])

    return look


def _read_ecb(_: RateSource, body: bytes) -> Look:
    """Units of a currency for one euro; the day is that of the enclosing element."""
    found: dict[str, tuple[str, str]] = {}
    day = ""
    for attributes in _cubes(body):
        day = attributes.get("time", day)
        if "currency" in attributes and "rate" in attributes:
            found[attributes["currency"].lower()] = (attributes["rate"], day)

    def look(pair: Mapping[str, str]) -> Words:
        if pair["base"] != "eur":
            raise ValueError("the bank's rates are of the euro: name the pair eur first")
        rate, at = found[pair["quote"]]
        return rate, rate, at

    return look


def _cubes(body: bytes) -> Iterator[dict[str, str]]:
    """The attributes of every element ``Cube``, in their order.

    The parser is expat. The file needs no document type, so one is refused where it begins, and
    with it every entity; depth and elements have maxima, and the bytes were counted before.
    """
    parser = expat.ParserCreate("utf-8", " ")
    found: list[dict[str, str]] = []
    depth = elements = 0

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth, elements
        depth, elements = depth + 1, elements + 1
        if depth > _XML_DEPTH_MAX or elements > _XML_ELEMENTS_MAX:
            raise ValueError("more elements than such a file has")
        if name.rpartition(" ")[2] == "Cube":
            found.append(attributes)

    def end(_: str) -> None:
        nonlocal depth
        depth -= 1

    def refuse(*_: object) -> None:
        raise ValueError("a document type")

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(body, True)
    except expat.ExpatError as error:
        raise ValueError(f"no XML ({error})") from error
    return iter(found)


_READERS: Final[dict[SourceKind, Callable[[RateSource, bytes], Look]]] = {
    SourceKind.csv: _read_csv,
    SourceKind.json: _read_json,
    SourceKind.ecb: _read_ecb,
    SourceKind.binance: _read_binance,
    SourceKind.kraken: _read_kraken,
    SourceKind.coinbase: _read_coinbase,
}


def state_of(source: RateSource, refused: Sequence[Refusal], heard: int) -> SourceState:
    """How a source does, by what came of its pairs: ``heard`` are those that count."""
    if Refusal.outlier in refused:
        return SourceState.outlier
    return SourceState.ok if heard == len(source.pairs) else SourceState.silent


def ages(sources: Sequence[RateSource]) -> dict[str, timedelta]:
    """How old each source's word may be."""
    return {each.id: timedelta(seconds=each.age_seconds) for each in sources}


def public(source: RateSource, *, livemode: bool) -> dict[str, Any]:
    """The object ``rate_source``, the operator's alone."""
    return {
        "id": source.id,
        "object": "rate_source",
        "age_seconds": source.age_seconds,
        "checked": None if source.checked is None else int(source.checked.timestamp()),
        "created": int(source.created.timestamp()),
        "enabled": source.enabled,
        "error": source.error,
        "every_seconds": source.every_seconds,
        "kind": source.kind,
        "livemode": livemode,
        "location": source.location,
        "metadata": {},
        "pairs": source.pairs,
        "state": source.state,
    }
