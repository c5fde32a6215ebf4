"""Rates: what currencies are worth and whose word that is, who does not count, what is stopped."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Annotated, Any, Final

from pydantic import Field
from sqlalchemy import Connection

from sakk.console.amount import currencies, ppm_of
from sakk.console.fee import percent
from sakk.console.proposal import ConfirmForm, yes_to
from sakk.console.route import ROOT, Menu, Screen
from sakk.console.visit import Page, Redirect, Rejected, Visit
from sakk.core import rate as rules
from sakk.core import rate_proposal as proposal_rules
from sakk.core import rate_source as source_rules
from sakk.core.errors import ParameterInvalid, ResourceMissing
from sakk.core.rate import Market, Peg, Refusal
from sakk.core.rate_source import RateSource, SourceKind
from sakk.flow import rate as flow
from sakk.flow import rate_proposal as proposals
from sakk.pages.form import Form
from sakk.pages.language import mark
from sakk.store import person as persons
from sakk.store import rate as store

PATH: Final = f"{ROOT}/rates"
WORDS_SHOWN: Final = 50
PAIRS_LENGTH_MAX: Final = 20_000
KINDS: Final[Mapping[SourceKind, str]] = {
    SourceKind.csv: "CSV",
    SourceKind.json: "JSON",
    SourceKind.ecb: mark("European Central Bank"),
    SourceKind.binance: "Binance",
    SourceKind.kraken: "Kraken",
    SourceKind.coinbase: "Coinbase",
}
# The parameters of the commands, as the forms name them.
_FIELDS: Final = {"every_seconds": "every", "age_seconds": "age", "bound_ppm": "bound"}
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


class SourceForm(Form):
    """Where prices are asked, and for which pairs, one a line."""

    kind: SourceKind
    location: Annotated[str, Field(max_length=source_rules.LOCATION_MAX)] | None = None
    pairs: Annotated[str, Field(max_length=PAIRS_LENGTH_MAX)]
    every: Annotated[int, Field(ge=1, le=source_rules.EVERY_SECONDS_MAX)] | None = None
    age: Annotated[int, Field(ge=1, le=source_rules.AGE_SECONDS_MAX)] | None = None


class NewSourceForm(SourceForm):
    """The same with the name that it gets."""

    name: Annotated[str, Field(max_length=source_rules.NAME_MAX)]


class PegForm(Form):
    """What a coin should be worth one of, how far it may be from that, and when it goes on."""

    currency: Annotated[str, Field(max_length=20)]
    peg: Annotated[str, Field(max_length=20)]
    bound: Annotated[str, Field(max_length=12)]
    recover: Annotated[int, Field(ge=0, le=source_rules.AGE_SECONDS_MAX)]


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
    return _source(visit, source, query, None)


def _source(visit: Visit, source: str, query: WordsQuery, rejected: Rejected | None) -> Page:
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
        people = _people(connection, [found])
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
        "may_write": visit.may("rates", "write"),
        "wanted": _wanted(found),
        "digest": None if found.proposal is None else proposal_rules.digest_of(found),
        "people": people,
        "kind_choices": _kinds(visit),
        "given": _written(found) if rejected is None else rejected.values,
        "faults": _faults(rejected),
        "message": None if rejected is None else rejected.message,
        "write_price": rules.write_price,
    }
    return Page("console/rate_source.html", values)


def list_again(visit: Visit, rejected: Rejected) -> Page:
    """The screen with what was wrong in a form."""
    return _listed(visit, rejected)


def source_again(visit: Visit, rejected: Rejected, source: str) -> Page:
    """A source with what was wrong in its form."""
    return _source(visit, source, WordsQuery(), rejected)


def ask(visit: Visit, form: NewSourceForm) -> Redirect:
    """Say that a source is asked; another person confirms it."""
    with visit.database.begin() as connection:
        if store.find_source(connection, form.name) is not None:
            raise ParameterInvalid(
                "There is a source of this name. Open it to change it.", param="name"
            )
        _propose(connection, visit, form.name, form, None)
    return _proposed(visit, f"{PATH}/sources/{form.name}")


def change(visit: Visit, source: str, form: SourceForm) -> Redirect:
    """Say that a source is asked otherwise; another person confirms it."""
    with visit.database.begin() as connection:
        found = store.find_source(connection, source)
        if found is None:
            raise ResourceMissing("There is no such source.")
        _propose(connection, visit, source, form, found)
    return _proposed(visit, f"{PATH}/sources/{source}")


def enable(visit: Visit, source: str) -> Redirect:
    """Say that a source is asked again; another person confirms it."""
    with visit.database.begin() as connection:
        proposals.propose_enabled(connection, source, **_who(visit))
    return _proposed(visit, f"{PATH}/sources/{source}")


def disable(visit: Visit, source: str) -> Redirect:
    """Ask a source no more; what it said does not count from now on."""
    with visit.database.begin() as connection:
        proposals.disable(connection, source, **_who(visit))
    told = visit.words.gettext("It is not asked any more.")
    return Redirect(f"{PATH}/sources/{source}", told)


def confirm_source(visit: Visit, source: str, form: ConfirmForm) -> Redirect:
    """Confirm what another person said of a source."""
    proposals.confirm_source(visit.parts, source, yes_to(visit, form), livemode=visit.livemode)
    return Redirect(f"{PATH}/sources/{source}", visit.words.gettext("It is asked so now."))


def decline_source(visit: Visit, source: str) -> Redirect:
    """Refuse what was said of a source, or take it back."""
    with visit.database.begin() as connection:
        proposals.decline_source(connection, source, actor=visit.actor, livemode=visit.livemode)
    return Redirect(f"{PATH}/sources/{source}", visit.words.gettext("The proposal is gone."))


def watch(visit: Visit, form: PegForm) -> Redirect:
    """Stop quotes and conversions over a coin while it is off its peg; what stops it later than
    now another person confirms."""
    with visit.database.begin() as connection:
        wanted = flow.drafted_peg(
            connection,
            currency=form.currency,
            peg=form.peg,
            bound_ppm=ppm_of(form.bound, param="bound"),
            recover_seconds=form.recover,
            now=visit.now,
        )
        waits = proposals.propose_peg(
            connection, wanted, actor=visit.actor, livemode=visit.livemode
        )
    if waits:
        return _proposed(visit, PATH)
    told = visit.words.gettext("It is watched: off its peg it stops by itself.")
    return Redirect(PATH, told)


def stop(visit: Visit, currency: str) -> Redirect:
    """Stop a coin until people let it go."""
    with visit.database.begin() as connection:
        proposals.stop(connection, currency, **_who(visit))
    told = visit.words.gettext("Nothing is quoted or converted over it any more.")
    return Redirect(PATH, told, tone="warn")


def clear(visit: Visit, currency: str) -> Redirect:
    """Say that a coin is let go that was stopped and is back; another person confirms it."""
    with visit.database.begin() as connection:
        proposals.propose_clear(connection, currency, **_who(visit))
    return _proposed(visit, PATH)


def confirm_peg(visit: Visit, currency: str, form: ConfirmForm) -> Redirect:
    """Confirm what another person said of a coin."""
    proposals.confirm_peg(visit.parts, currency, yes_to(visit, form), livemode=visit.livemode)
    return Redirect(PATH, visit.words.gettext("It is so from now on."))


def decline_peg(visit: Visit, currency: str) -> Redirect:
    """Refuse what was said of a coin, or take it back."""
    with visit.database.begin() as connection:
        proposals.decline_peg(connection, currency, actor=visit.actor, livemode=visit.livemode)
    return Redirect(PATH, visit.words.gettext("The proposal is gone."))


def _who(visit: Visit) -> dict[str, Any]:
    return {"actor": visit.actor, "livemode": visit.livemode, "now": visit.now}


def _proposed(visit: Visit, path: str) -> Redirect:
    return Redirect(path, visit.words.gettext("Proposed: another person confirms it."))


def _propose(
    connection: Connection, visit: Visit, name: str, form: SourceForm, before: RateSource | None
) -> None:
    """Say how a source is asked. A browser names no file of the server: whoever runs it does."""
    location = form.location or ""
    if before is not None and not before.is_remote:
        location = before.location
    elif not location.startswith("https://"):
        raise ParameterInvalid(
            "Write an https address. A file is named on the server, by whoever runs it.",
            param="location",
        )
    pairs = []
    for line in form.pairs.splitlines():
        if not line.strip():
            continue
        try:
            pairs.append(source_rules.parse_pair(form.kind, line.strip()))
        except ValueError:
            raise ParameterInvalid(
                "Write a pair a line, as the help says. This is not so: {line}",
                param="pairs",
                line=line.strip()[:80],
            ) from None
    wanted = flow.drafted_source(
        connection,
        name=name,
        kind=form.kind,
        location=location,
        pairs=pairs,
        every_seconds=form.every,
        age_seconds=form.age,
        enabled=before is None or before.enabled,
        now=visit.now,
    )
    proposals.propose_source(connection, wanted, **_who(visit))


def _listed(visit: Visit, rejected: Rejected | None) -> Page:
    with visit.database.read() as connection:
        market = flow.read_market(connection, now=visit.now)
        sources = store.list_sources(connection)
        known = currencies(connection)
        people = _people(connection, market.pegs)
    values = {
        "lines": _lines(market),
        "pegs": [_watched(market, each) for each in market.pegs],
        "people": people,
        "digests": {
            each.currency: proposal_rules.digest_of(each)
            for each in market.pegs
            if each.proposal is not None
        },
        "sources": sources,
        "states": STATES,
        "refusals": REFUSALS,
        "may_write": visit.may("rates", "write"),
        "kind_choices": _kinds(visit),
        "currencies": known,
        "usual": {
            "bound": percent(rules.PEG_BOUND_PPM).removesuffix(" %"),
            "recover": rules.RECOVERY_SECONDS,
        },
        "given": {} if rejected is None else rejected.values,
        "faults": _faults(rejected),
        "message": None if rejected is None else rejected.message,
    }
    return Page("console/rates.html", values)


def _people(connection: Connection, rows: Sequence[RateSource | Peg]) -> dict[str, str]:
    said = [each.proposal["by"] for each in rows if each.proposal is not None]
    return persons.names(connection, said)


def _wanted(source: RateSource) -> dict[str, Any] | None:
    """What somebody wants of a source, as its form has it; None where it is only to be asked."""
    said = source.proposal
    if said is None or said["wanted"] is None:
        return None
    return _written(replace(source, **said["wanted"])) | {"location": said["wanted"]["location"]}


def _kinds(visit: Visit) -> list[tuple[str, str]]:
    """What sources may answer; the files are what each is called in the guide."""
    return [(kind.value, visit.words.gettext(KINDS[kind])) for kind in SourceKind]


def _written(source: RateSource) -> dict[str, Any]:
    """A source as its form has it."""
    lines = [source_rules.write_pair(SourceKind(source.kind), each) for each in source.pairs]
    return {
        "kind": source.kind,
        "location": source.location if source.is_remote else "",
        "pairs": "\n".join(lines),
        "every": source.every_seconds,
        "age": source.age_seconds,
    }


def _faults(rejected: Rejected | None) -> dict[str, str]:
    """What is wrong by the form's fields."""
    found = {} if rejected is None else rejected.faults
    return {_FIELDS.get(name, name.partition("[")[0]): text for name, text in found.items()}


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


def _set(path: str, handler: Any, shown_again: Any) -> Screen:
    return Screen(
        "POST",
        f"{PATH}{path}",
        handler,
        "rates",
        step_up=True,
        operator_only=True,
        again=shown_again,
    )


SCREENS: tuple[Screen, ...] = (
    Screen("GET", PATH, index, "rates", operator_only=True, menu=Menu("Money", mark("Rates"))),
    Screen("GET", f"{PATH}/sources/{{source}}", source, "rates", operator_only=True),
    _act("stop", stop),
    _act("clear", clear),
    _act("confirm", confirm_peg),
    _act("decline", decline_peg),
    _set("/sources", ask, list_again),
    _set("/pegs", watch, list_again),
    _set("/sources/{source}", change, source_again),
    _set("/sources/{source}/enable", enable, source_again),
    _set("/sources/{source}/disable", disable, source_again),
    _set("/sources/{source}/confirm", confirm_source, source_again),
    _set("/sources/{source}/decline", decline_source, source_again),
)
