"""Rates: what currencies are worth and whose word that is, who does not count, what is stopped."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final

from pydantic import Field

from sakk.console.route import ROOT, Menu, Screen
from sakk.console.visit import Page, Redirect, Rejected, Visit
from sakk.core import rate as rules
from sakk.core.errors import ResourceMissing
from sakk.core.rate import Market, Peg, Refusal
from sakk.flow import rate as flow
from sakk.pages.form import Form
from sakk.pages.language import mark
from sakk.store import rate as store

PATH: Final = f"{ROOT}/rates"
WORDS_SHOWN: Final = 50
STATES: Final[Mapping[str, tuple[str, str]]] = {
    "ok": (mark("Counts"), "good"),
    "silent": (mark("Silent"), "bad"),
    "outlier": (mark("Far from the others"), "bad"),
    "off": (mark("Not asked"), "plain"),
}
REFUSALS: Final[Mapping[str, tuple[str, str]]] = {
    Refusal.stale.value: (mark("Too old"), "bad"),
    Refusal.ahead.value: (mark("Its clock is ahead"), "bad"),
    Refusal.outlier.value: (mark("Far from the others"), "bad"),
}


class WordsQuery(Form):
    """Of which pair, and from which moment back."""

    pair: Annotated[str, Field(max_length=41)] | None = None
    before: datetime | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """A pair: its price, or none; ``why``: the sources that do not count, each with its reason."""

    base: str
    quote: str
    bid: str | None
    ask: str | None
    sources: tuple[str, ...]
    age_seconds: int | None
    stopped_on: str | None
    why: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Watched:
    """A coin and what it is worth of its peg now; ``off_ppm``: how far from one."""

    peg: Peg
    price: str | None
    off_ppm: int | None
    is_off: bool


def index(visit: Visit) -> Page:
    """What is known now, what is stopped, and the sources."""
    return _listed(visit, None)


def again(visit: Visit, rejected: Rejected, currency: str) -> Page:
    """The same with why something could not be done."""
    return _listed(visit, rejected)


def source(visit: Visit, source: str, query: WordsQuery) -> Page:
    """One source: how its newest words do, and what it said of one pair."""
    with visit.database.read() as connection:
        found = store.find_source(connection, source)
        if found is None:
            raise ResourceMissing("There is no such source.")
        market = flow.read_market(connection, now=visit.now)
        newest = {
            (each.base, each.quote): each
            for each in store.newest(connection)
            if each.source == source
        }
        pairs = found.quoted
        named = {f"{base}-{quote}": (base, quote) for base, quote in pairs}
        shown = query.pair if query.pair in named else next(iter(named), None)
        words = []
        if shown is not None:
            base, quote = named[shown]
            words = store.words_of(
                connection,
                source,
                base=base,
                quote=quote,
                before=query.before,
                limit=WORDS_SHOWN + 1,
            )
    values: dict[str, Any] = {
        "row": found,
        "state": found.state if found.enabled else "off",
        "states": STATES,
        "refusals": REFUSALS,
        "newest": [
            (base, quote, newest.get((base, quote)), _verdict(market, source, (base, quote)))
            for base, quote in pairs
        ],
        "ages": {pair: int((visit.now - each.at).total_seconds()) for pair, each in newest.items()},
        "pair": shown,
        "pairs": [(each, each.upper()) for each in named],
        "words": words[:WORDS_SHOWN],
        "older": words[WORDS_SHOWN - 1].at.isoformat() if len(words) > WORDS_SHOWN else None,
        "is_begin": query.before is None,
        "write_price": rules.write_price,
    }
    return Page("console/rate_source.html", values)


def stop(visit: Visit, currency: str) -> Redirect:
    """Stop a coin until a person lets it go."""
    with visit.database.begin() as connection:
        flow.stop(connection, currency, now=visit.now)
    told = visit.words.gettext("Nothing is quoted or converted over it any more.")
    return Redirect(PATH, told, tone="warn")


def clear(visit: Visit, currency: str) -> Redirect:
    """Let a coin go that was stopped and is back."""
    with visit.database.begin() as connection:
        flow.clear(connection, currency, now=visit.now)
    return Redirect(PATH, visit.words.gettext("It is quoted and converted again."))


def _listed(visit: Visit, rejected: Rejected | None) -> Page:
    with visit.database.read() as connection:
        market = flow.read_market(connection, now=visit.now)
        sources = store.list_sources(connection)
    values = {
        "lines": _lines(market),
        "pegs": [_watched(market, each) for each in market.pegs],
        "sources": sources,
        "states": STATES,
        "refusals": REFUSALS,
        "may_write": visit.may("rates", "write"),
        "message": None if rejected is None else rejected.message,
    }
    return Page("console/rates.html", values)


def _lines(market: Market) -> list[Line]:
    """What is known, and the pairs that sources are asked for without a price."""
    known = {(each.base, each.quote): each for each in market.known}
    found = []
    for pair in sorted({*known, *market.judged}):
        rated, judged = known.get(pair), market.judged.get(pair)
        is_written = rated is not None and rated.sources == (rules.CONFIGURED,)
        found.append(
            Line(
                *pair,
                bid=None if rated is None else rules.write_price(rated.price.bid),
                ask=None if rated is None else rules.write_price(rated.price.ask),
                sources=() if rated is None else rated.sources,
                age_seconds=None
                if rated is None or is_written
                else int((market.at - rated.at).total_seconds()),
                stopped_on=rules.stopped_on(pair, market.pegs),
                why=()
                if judged is None
                else tuple((name, why.value) for name, why in judged.refused),
            )
        )
    return found


def _watched(market: Market, peg: Peg) -> Watched:
    price = flow.peg_price(market, peg)
    if price is None:
        return Watched(peg, None, None, is_off=False)
    off = (price.mid - rules.SCALE) * rules.MILLION // rules.SCALE
    return Watched(peg, rules.write_price(price.mid), off, is_off=rules.is_off(peg, price))


def _verdict(market: Market, source: str, pair: tuple[str, str]) -> str | None:
    """Why a source's word on a pair does not count; None where it does, or nothing is said."""
    judged = market.judged.get(pair)
    return (
        next((why.value for name, why in judged.refused if name == source), None)
        if judged
        else None
    )


def _act(name: str, handler: Any) -> Screen:
    return Screen(
        "POST",
        f"{PATH}/{{currency}}/{name}",
        handler,
        "rates",
        step_up=True,
        operator_only=True,
        again=again,
    )


SCREENS: tuple[Screen, ...] = (
    Screen("GET", PATH, index, "rates", operator_only=True, menu=Menu("Money", mark("Rates"))),
    Screen("GET", f"{PATH}/sources/{{source}}", source, "rates", operator_only=True),
    _act("stop", stop),
    _act("clear", clear),
)
