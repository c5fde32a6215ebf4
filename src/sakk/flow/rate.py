"""Rates: sources are asked, what they say is kept, and what it means for pegs is told.

A source is asked outside of any transaction. Asking changes nothing out there, so that a worker
that dies between is repaired by asking again; what was heard of one moment is kept once.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

import structlog
from prometheus_client import Counter, Gauge
from sqlalchemy import Connection

from sakk.core import rate as rules
from sakk.core import rate_event as news
from sakk.core import rate_source as source_rules
from sakk.core.errors import ParameterInvalid, ResourceMissing, UnexpectedState
from sakk.core.event import NewEvent
from sakk.core.rate import Market, Peg, Price
from sakk.core.rate_source import Answer, RateSource, SourceState
from sakk.flow.context import Parts
from sakk.flow.stage import Stage, wake
from sakk.store import event as events
from sakk.store import network
from sakk.store import rate as store
from sakk.store.identity import new_id
from sakk.store.lease import NOW, claim, claimable, given_back_on_error, settle

STAGE: Final = "rate.read"
SOURCES_MAX: Final = 8
IDLE_SECONDS: Final = 1.0
# Silence is noticed though no source is due.
LOOK_EVERY: Final = timedelta(seconds=5)

# The bytes that a source answers; ValueError, in words for people, where it does not.
Fetch = Callable[[RateSource], bytes]

log = structlog.get_logger(__name__)

source_age = Gauge("sakk_rate_age_seconds", "Age of a source's newest price.", ["source"])
source_down = Gauge("sakk_rate_source_down", "1 while a source does not count.", ["source"])
pegs_stopped = Gauge("sakk_rate_peg_stopped", "1 while a coin is stopped.", ["currency"])
problems = Counter("sakk_rate_problems_total", "Answers that could not be read.", ["source"])

_due = claimable(
    store.rate_sources,
    RateSource,
    store.rate_sources.c.enabled,
    store.rate_sources.c.next_at <= NOW,
    limit=SOURCES_MAX,
)


def read_market(connection: Connection, *, now: datetime) -> Market:
    """All that is known of rates now."""
    sources = store.list_sources(connection, enabled=True)
    return rules.market_of(
        store.newest(connection) if sources else (),
        quoted=sorted({pair for each in sources for pair in each.quoted}),
        ages=source_rules.ages(sources),
        currencies=network.list_currencies(connection),
        pegs=store.list_pegs(connection),
        now=now,
    )


def put_source(
    connection: Connection,
    *,
    name: str,
    kind: source_rules.SourceKind,
    location: str,
    pairs: list[dict[str, str]],
    every_seconds: int | None = None,
    age_seconds: int | None = None,
    enabled: bool = True,
    now: datetime,
) -> RateSource:
    """Write a source down, or change it; it is asked at once. ParameterInvalid."""
    source = drafted_source(
        connection,
        name=name,
        kind=kind,
        location=location,
        pairs=pairs,
        every_seconds=every_seconds,
        age_seconds=age_seconds,
        enabled=enabled,
        now=now,
    )
    store.put_source(connection, source)
    wake(connection, STAGE)
    return source


def drafted_source(
    connection: Connection,
    *,
    name: str,
    kind: source_rules.SourceKind,
    location: str,
    pairs: list[dict[str, str]],
    every_seconds: int | None,
    age_seconds: int | None,
    enabled: bool,
    now: datetime,
) -> RateSource:
    """A source as it would be, not written yet. ParameterInvalid."""
    every, age = source_rules.DEFAULTS[kind]
    source = RateSource(
        id=name,
        kind=kind.value,
        location=location,
        pairs=pairs,
        every_seconds=every if every_seconds is None else every_seconds,
        age_seconds=age if age_seconds is None else age_seconds,
        enabled=enabled,
        state=SourceState.ok.value,
        error=None,
        checked=None,
        next_at=now,
        created=now,
    )
    decimals = {each.currency: each.decimals for each in network.list_currencies(connection)}
    return source_rules.check(source, decimals)


def set_enabled(connection: Connection, name: str, *, enabled: bool, now: datetime) -> RateSource:
    """Ask a source, or do not ask it any more and forget what it says. ResourceMissing."""
    found = store.find_source(connection, name)
    if found is None:
        raise ResourceMissing("No such source: {name}.", param="name", name=repr(name))
    changed = replace(found, enabled=enabled, next_at=now)
    store.put_source(connection, changed)
    wake(connection, STAGE)
    return changed


def put_peg(
    connection: Connection,
    *,
    currency: str,
    peg: str,
    bound_ppm: int = rules.PEG_BOUND_PPM,
    recover_seconds: int = rules.RECOVERY_SECONDS,
    now: datetime,
) -> Peg:
    """Watch a coin against what it should be worth one of; a stop that stands, stands."""
    made = drafted_peg(
        connection,
        currency=currency,
        peg=peg,
        bound_ppm=bound_ppm,
        recover_seconds=recover_seconds,
        now=now,
    )
    store.put_peg(connection, made)
    wake(connection, STAGE)
    return made


def drafted_peg(
    connection: Connection,
    *,
    currency: str,
    peg: str,
    bound_ppm: int,
    recover_seconds: int,
    now: datetime,
) -> Peg:
    """A peg as it would be, not written yet; all of them are locked. ParameterInvalid."""
    known = {each.currency for each in network.list_currencies(connection)}
    for param, name in (("currency", currency), ("peg", peg)):
        if name not in known:
            raise ParameterInvalid(
                "There is no currency {currency}. GET /v1/currencies lists them.",
                param=param,
                currency=repr(name),
            )
    if currency == peg:
        raise ParameterInvalid("A coin is pegged to another currency.", param="peg")
    if not 0 < bound_ppm < rules.MILLION:
        raise ParameterInvalid(
            "{field} is {least} to {most}.",
            param="bound_ppm",
            field="bound_ppm",
            least=1,
            most=rules.MILLION - 1,
        )
    if not 0 <= recover_seconds <= source_rules.AGE_SECONDS_MAX:
        raise ParameterInvalid(
            "{field} is {least} to {most}.",
            param="recover_seconds",
            field="recover_seconds",
            least=0,
            most=source_rules.AGE_SECONDS_MAX,
        )
    before = find_peg(connection, currency)
    made = Peg(currency, peg, bound_ppm, recover_seconds, None, None, False, now)
    if before is not None:
        made = replace(made, stopped_at=before.stopped_at, manual=before.manual)
    return made


def stop(connection: Connection, currency: str, *, now: datetime) -> Peg:
    """Stop a coin until a person lets it go. ResourceMissing for one without a peg."""
    found = required_peg(connection, currency)
    stopped = replace(found, stopped_at=found.stopped_at or now, recovered_since=None, manual=True)
    _put(connection, found, stopped, now=now)
    return stopped


def clear(connection: Connection, currency: str, *, now: datetime) -> Peg:
    """Let a coin go; UnexpectedState while it is off its peg still, since it would stop at once."""
    found = clearable(connection, currency, now=now)
    cleared = replace(found, stopped_at=None, recovered_since=None, manual=False, proposal=None)
    _put(connection, found, cleared, now=now)
    return cleared


def clearable(connection: Connection, currency: str, *, now: datetime) -> Peg:
    """A coin that may be let go, locked; UnexpectedState, ResourceMissing."""
    found = required_peg(connection, currency)
    price = peg_price(read_market(connection, now=now), found)
    if price is not None and rules.is_off(found, price):
        raise UnexpectedState(
            "{currency} is at {price} {peg}, beyond its bound of {bound_ppm} parts per million, and"
            " would stop again at once. Wait until it is back, or change its bound.",
            currency=currency,
            price=rules.write_price(price.mid),
            peg=found.peg,
            bound_ppm=found.bound_ppm,
        )
    return found


def rate_stage(parts: Parts, fetch: Fetch) -> Stage:
    """The stage that asks the sources that are due, and looks what became of sources and pegs."""
    table = store.rate_sources
    looked: list[datetime] = []

    def run() -> int:
        token, now = new_id("lease"), parts.clock()
        with parts.database.begin() as connection:
            rows = claim(connection, _due, token=token, now=now)
        if rows:
            with given_back_on_error(parts.database, table, [row.id for row in rows], token=token):
                answers = _asked(rows, fetch, now=now)
            with parts.database.begin() as connection:
                _keep(connection, rows, answers, token=token, now=now)
        if rows or not looked or now - looked[-1] >= LOOK_EVERY:
            looked[:] = [now]
            with parts.database.begin() as connection:
                look(connection, now=now)
        return len(rows)

    return Stage(STAGE, run, idle_seconds=IDLE_SECONDS, keeps_time=True)


def _asked(rows: Sequence[RateSource], fetch: Fetch, *, now: datetime) -> list[Answer]:
    """What each answered; one that does not is waited for beside the others."""

    def ask(row: RateSource) -> Answer:
        try:
            return source_rules.read(row, fetch(row), received=now)
        except ValueError as error:
            return Answer((), (str(error),))
        except Exception as error:
            # The others are heard all the same, and pegs are looked at.
            log.error("rate.broken", source=row.id, exc_info=error)
            return Answer((), (f"it could not be asked ({type(error).__name__})",))

    with ThreadPoolExecutor(SOURCES_MAX, thread_name_prefix="rate") as threads:
        return list(threads.map(ask, rows))


def _keep(
    connection: Connection,
    rows: Sequence[RateSource],
    answers: Sequence[Answer],
    *,
    token: str,
    now: datetime,
) -> None:
    for row, answer in zip(rows, answers, strict=True):
        store.insert_observations(connection, answer.observations)
        if answer.problem is not None:
            problems.labels(row.id).inc()
            log.warning("rate.problem", source=row.id, problem=answer.problem)
    settle(
        connection,
        store.rate_sources,
        [
            {
                "id": row.id,
                "error": answer.problem,
                "checked": now,
                "next_at": now + timedelta(seconds=row.every_seconds),
            }
            for row, answer in zip(rows, answers, strict=True)
        ],
        token=token,
    )


def look(connection: Connection, *, now: datetime) -> None:
    """Tell which sources count no more or again, and stop or let go what is pegged."""
    pegs = store.list_pegs(connection, lock=True)
    sources = store.list_sources(connection, enabled=True)
    if not sources and not pegs:
        return
    market = read_market(connection, now=now)
    for each in sources:
        _look_at(connection, each, market, now=now)
    for peg in pegs:
        after = rules.watched(peg, peg_price(market, peg), now=now)
        pegs_stopped.labels(peg.currency).set(after.stopped_at is not None)
        _put(connection, peg, after, now=now)


def _look_at(connection: Connection, source: RateSource, market: Market, *, now: datetime) -> None:
    judged = [market.judged[pair] for pair in source.quoted]
    refused = [why for each in judged for name, why in each.refused if name == source.id]
    heard = sum(source.id in each.sources for each in judged)
    state = source_rules.state_of(source, refused, heard)
    times = [each.at for each in judged if each.at is not None and source.id in each.sources]
    if times:
        source_age.labels(source.id).set((now - min(times)).total_seconds())
    source_down.labels(source.id).set(state is not SourceState.ok)
    # One that was just written down has not been asked yet.
    if state == source.state or source.checked is None:
        return
    store.set_state(connection, source.id, state.value)
    told = {
        SourceState.ok: news.RATE_SOURCE_RECOVERED,
        SourceState.silent: news.RATE_SOURCE_SILENT,
        SourceState.outlier: news.RATE_SOURCE_OUTLIER,
    }[state]
    _tell(
        connection,
        told,
        source.id,
        lambda live: source_rules.public(replace(source, state=state.value), livemode=live),
        now=now,
    )


def _put(connection: Connection, before: Peg, after: Peg, *, now: datetime) -> None:
    """Write a peg where it changed, and tell when it stopped or began again."""
    if after == before:
        return
    store.put_peg(connection, after)
    if (before.stopped_at is None) != (after.stopped_at is None):
        name = news.PEG_RESUMED if after.stopped_at is None else news.PEG_STOPPED
        log.warning(name, currency=after.currency)
        _tell(
            connection,
            name,
            after.currency,
            lambda live: rules.public_peg(after, livemode=live),
            now=now,
        )


def _tell(
    connection: Connection,
    name: str,
    about: str,
    public: Callable[[bool], dict[str, object]],
    *,
    now: datetime,
) -> None:
    """Rates are of both modes, and so is what is told of them."""
    events.append(
        connection,
        [
            NewEvent(
                account_id=None, livemode=live, type=name, object_id=about, object=public(live)
            )
            for live in (False, True)
        ],
        now=now,
    )


def peg_price(market: Market, peg: Peg) -> Price | None:
    """What a coin is worth of its peg, by sources; what was written down is no news."""
    found = market.find(peg.currency, peg.peg)
    return None if found is None or rules.CONFIGURED in found.sources else found.price


def find_peg(connection: Connection, currency: str) -> Peg | None:
    """A coin's peg, locked with all others."""
    pegs = store.list_pegs(connection, lock=True)
    return next((each for each in pegs if each.currency == currency), None)


def required_peg(connection: Connection, currency: str) -> Peg:
    """A coin's peg, locked; ResourceMissing."""
    found = find_peg(connection, currency)
    if found is None:
        raise ResourceMissing(
            "{currency} has no peg: `sakk rates peg` writes one.",
            param="currency",
            currency=repr(currency),
        )
    return found
