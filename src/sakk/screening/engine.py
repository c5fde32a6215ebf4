"""The screening engine: labels in memory, judged by the core's rules, fresh at every decision.

One engine lives in each process that decides; what the rules ask for beside labels is read for a
whole batch at once (`sakk.screening.facts`). Each call reads the lists version and the number of
the rules in force first (a row by its key each) and catches up with what changed since, so a
decision that begins after a change has committed always uses it, in every process, without a
restart. If any of it cannot be read, nothing is passed: the call raises `Unavailable` and what was
to be judged waits.
"""

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from types import MappingProxyType
from typing import Any, NamedTuple

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from sakk.core.errors import Unavailable
from sakk.core.label import EVM, family_of_network, normalise_address
from sakk.core.rule import BUILT_IN, Rule, load_rules, version_name
from sakk.core.screening import (
    Facts,
    Hit,
    Reason,
    Screening,
    ScreeningRequest,
    Side,
    Verdict,
    counterparty,
    facts_from_document,
    hit_order,
    input_hash,
    inputs_of,
    party,
    request_of,
)
from sakk.core.verdict import Needs, decide, needs
from sakk.screening.exposure import Exposures
from sakk.screening.facts import IssuerAnswers, deny_listing, gather
from sakk.store import label as label_store
from sakk.store import rule as rule_store
from sakk.store.database import Database
from sakk.store.identity import new_id
from sakk.store.identity import now as clock

# Beyond this many changed labels, loading anew is cheaper than catching up.
CHANGES_MAX = 200_000
VERSIONS_REMEMBERED_MAX = 64
NOTHING_READ: IssuerAnswers = MappingProxyType({})


class Mark(NamedTuple):
    """What a label says, without whom: equal marks are one object for a million addresses."""

    list_id: str
    category: str
    confidence: int
    entity: str | None
    valid_from: datetime | None
    valid_to: datetime | None


Key = bytes | str
# One mark stands alone; only addresses with several carry a list.
Entry = Mark | list[Mark]


class Engine:
    """Judges transfers by the lists in the database. Safe to share between threads."""

    def __init__(self, database: Database, *, exposures: Exposures | None = None) -> None:
        self._database = database
        # A process has one, whoever asks: a graph is large.
        self._exposures = exposures or Exposures(database)
        # Versions never change, so one that was read once is known for good.
        self._rules: dict[tuple[str, bool], tuple[Rule, ...]] = {}
        self._lock = threading.Lock()
        self._version: int | None = None
        self._index: dict[Key, Entry] = {}
        self._lists: dict[str, tuple[str, int]] = {}
        self._marks: dict[Mark, Mark] = {}

    @property
    def version(self) -> int | None:
        """The lists version in memory; None before the first load."""
        return self._version

    def __len__(self) -> int:
        """How many addresses carry a label."""
        return len(self._index)

    def marks(self, family: str, address: str) -> tuple[Mark, ...]:
        """What the lists in memory say of an address in its one spelling; nothing is refreshed."""
        entry = self._index.get(_key(family, address))
        if entry is None:
            return ()
        return tuple(entry) if isinstance(entry, list) else (entry,)

    def refresh(self) -> int:
        """Catch up with the lists, or load them at first; returns their version.

        Raises `Unavailable` if they cannot be read.
        """
        with reading(), self._database.begin() as connection:
            version = label_store.lists_version(connection)
            with self._lock:
                return self._refresh(connection, version)

    def screen(
        self,
        batch: Sequence[ScreeningRequest],
        *,
        connection: Connection | None = None,
        at: datetime | None = None,
        issuer: IssuerAnswers = NOTHING_READ,
        asked: bool = True,
    ) -> list[Screening]:
        """Judge each transfer, in order; nothing is written.

        With ``connection`` the lists and the rules are held as they are until the caller's
        transaction ends, so that no change can come between the verdict and what the caller does
        with it. ``at``: the moment that labels and windows are looked at from, now by default.
        ``issuer``: what `issuer_wanted` asked for; with ``asked`` False an answer may lack. Raises
        `Unavailable` if any of it cannot be read.
        """
        if not batch:
            return []
        moment = at or clock()
        if connection is not None:
            return self._screen(batch, connection, True, moment, issuer, asked)
        with reading(), self._database.begin() as own:
            return self._screen(batch, own, False, moment, issuer, asked)

    def issuer_wanted(
        self, connection: Connection, batch: Sequence[ScreeningRequest]
    ) -> set[tuple[str, str]]:
        """Of which assets' contracts what addresses must be asked before these can be judged.

        The caller asks them outside of any transaction, and gives the answers to `screen`.
        """
        with reading():
            numbers = rule_store.numbers_in_force(connection)
            wanted = self._needs(connection, batch, numbers)
            denying = deny_listing(connection, wanted)
        return {
            (request.asset, counterparty(request))
            for request, need in zip(batch, wanted, strict=True)
            if need.issuer and request.asset in denying
        }

    def _screen(
        self,
        batch: Sequence[ScreeningRequest],
        connection: Connection,
        hold: bool,
        at: datetime,
        issuer: IssuerAnswers,
        asked: bool,
    ) -> list[Screening]:
        with reading():
            # Before the thread lock: this may wait for an import, which may wait for a caller
            # whose next step needs the thread lock.
            version = label_store.lists_version(connection, lock=hold)
            numbers = rule_store.numbers_in_force(connection, lock=hold)
            with self._lock:
                version = self._refresh(connection, version)
                labelled = [_facts(request, self._index, self._lists, at=at) for request in batch]
            wanted = self._needs(connection, batch, numbers)
            found = gather(
                connection,
                batch,
                wanted,
                labelled,
                at=at,
                issuer=issuer,
                asked=asked,
                exposures=self._exposures,
            )
            return [
                self._judged(connection, request, facts, numbers, version=version, at=at)
                for request, facts in zip(batch, found, strict=True)
            ]

    def _needs(
        self,
        connection: Connection,
        batch: Sequence[ScreeningRequest],
        numbers: Mapping[bool, int],
    ) -> list[Needs]:
        rules = {
            mode: self._rules_of(connection, version_name(number), livemode=mode)
            for mode, number in numbers.items()
        }
        return [needs(request, rules[request.livemode]) for request in batch]

    def _judged(
        self,
        connection: Connection,
        request: ScreeningRequest,
        facts: Facts,
        numbers: Mapping[bool, int],
        *,
        version: int,
        at: datetime,
    ) -> Screening:
        name = version_name(numbers[request.livemode])
        rules = self._rules_of(connection, name, livemode=request.livemode)
        verdict, reasons = decide(request, facts, rules, version=name)
        inputs = inputs_of(request, facts)
        return Screening(
            id=new_id("scr"),
            account_id=request.account_id,
            livemode=request.livemode,
            subject=request.subject,
            network=request.network,
            asset=request.asset,
            direction=request.direction,
            sender=request.sender,
            receiver=request.receiver,
            token_units=request.token_units,
            verdict=verdict,
            reasons=reasons,
            lists_version=version,
            rules_version=name,
            input_hash=input_hash(request, inputs),
            created=at,
            inputs=inputs,
        )

    def replay(self, screening: Screening) -> tuple[Verdict, tuple[Reason, ...]]:
        """Reach an old decision again, by its version of the rules.

        What the lists say is read anew, from the labels in force at its lists version; every other
        fact is the recorded one. Raises `Unavailable` if the lists cannot be read, and ValueError
        if the rules are not there, or if what is recorded is not what was hashed.
        """
        request = request_of(screening)
        if input_hash(request, screening.inputs) != screening.input_hash:
            raise ValueError(f"{screening.id}: its inputs are not those that were hashed")
        family = family_of_network(request.network)
        wanted = [
            (family, address)
            for side in Side
            if (address := _readable(family, party(request, side))) is not None
        ]
        version = screening.lists_version
        with reading(), self._database.begin() as connection:
            rules = self._rules_of(connection, screening.rules_version, livemode=screening.livemode)
            lists = label_store.list_versions_at(connection, version=version)
            found = label_store.labels_at(connection, version=version, addresses=wanted)
        index: dict[Key, Entry] = {}
        for row in found:
            _add(index, _key(row.family, row.address), _mark_of(row))
        anew = _facts(request, index, lists, at=screening.created)
        recorded = facts_from_document(screening.inputs or {})
        facts = replace(recorded, hits=anew.hits, unreadable=anew.unreadable)
        return decide(request, facts, rules, version=screening.rules_version)

    def _rules_of(self, connection: Connection, name: str, *, livemode: bool) -> tuple[Rule, ...]:
        """The rules of a version, read once; ValueError if there is none of this name."""
        if name in BUILT_IN:
            return BUILT_IN[name]
        known = self._rules.get((name, livemode))
        if known is None:
            found = rule_store.find(connection, name, livemode=livemode)
            if found is None:
                raise ValueError(f"there are no screening rules {name!r}")
            known = load_rules(found.rules)
            while len(self._rules) >= VERSIONS_REMEMBERED_MAX:
                self._rules.pop(next(iter(self._rules)), None)
            self._rules[name, livemode] = known
        return known

    def _refresh(self, connection: Connection, version: int) -> int:
        """Bring the memory to ``version`` or later; the caller holds the thread lock."""
        known = self._version
        if known is not None and version < known:
            # Another thread was faster; or the database was set back, and the memory is wrong.
            version = label_store.lists_version(connection)
        if version == known:
            return version
        # Until all is applied the memory is of no version: a failure here loads anew next time.
        self._version = None
        if known is None or version < known or self._is_far(connection, after=known):
            self._load(connection, version)
        else:
            self._apply_changes(connection, after=known, version=version)
        self._lists = label_store.list_versions_at(connection, version=version)
        self._version = version
        return version

    def _is_far(self, connection: Connection, *, after: int) -> bool:
        return label_store.count_changes(connection, after=after) > CHANGES_MAX

    def _load(self, connection: Connection, version: int) -> None:
        self._index = {}
        self._marks = {}
        index: dict[Key, Entry] = {}
        for row in label_store.scan_labels(connection, version=version):
            _add(index, _key(row.family, row.address), self._mark(row))
        self._index = index

    def _apply_changes(self, connection: Connection, *, after: int, version: int) -> None:
        closed, opened = label_store.scan_changes(connection, after=after, version=version)
        for row in closed:
            _remove(self._index, _key(row.family, row.address), self._mark(row))
        for row in opened:
            _add(self._index, _key(row.family, row.address), self._mark(row))

    def _mark(self, row: Any) -> Mark:
        mark = _mark_of(row)
        return self._marks.setdefault(mark, mark)


def _facts(
    request: ScreeningRequest,
    index: dict[Key, Entry],
    lists: dict[str, tuple[str, int]],
    *,
    at: datetime,
) -> Facts:
    """What the lists say of the two parties."""
    family = family_of_network(request.network)
    hits: list[Hit] = []
    unreadable: list[Side] = []
    for side in Side:
        address = _readable(family, party(request, side))
        if address is None:
            unreadable.append(side)
            continue
        entry = index.get(_key(family, address))
        if entry is not None:
            hits.extend(_hits(side, address, entry, lists, at=at))
    hits.sort(key=hit_order)
    return Facts(hits=tuple(hits), unreadable=tuple(unreadable))


def _hits(
    side: Side,
    address: str,
    entry: Entry,
    lists: dict[str, tuple[str, int]],
    *,
    at: datetime,
) -> Iterable[Hit]:
    for mark in entry if isinstance(entry, list) else (entry,):
        if (mark.valid_from is not None and at < mark.valid_from) or (
            mark.valid_to is not None and at >= mark.valid_to
        ):
            continue
        name, version = lists[mark.list_id]
        yield Hit(
            side=side,
            address=address,
            category=mark.category,
            list_name=name,
            list_version=version,
            confidence=mark.confidence,
            entity=mark.entity,
            path=(address,),
        )


def _readable(family: str, text: str) -> str | None:
    try:
        return normalise_address(family, text)
    except ValueError:
        return None


def _key(family: str, address: str) -> Key:
    """Twenty bytes for an EVM address; a million of them weigh half of what their texts do."""
    return bytes.fromhex(address[2:]) if family == EVM else f"{family}:{address}"


def _mark_of(row: Any) -> Mark:
    return Mark(row.list_id, row.category, row.confidence, row.entity, row.valid_from, row.valid_to)


def _add(index: dict[Key, Entry], key: Key, mark: Mark) -> None:
    entry = index.get(key)
    if entry is None:
        index[key] = mark
    elif isinstance(entry, list):
        entry.append(mark)
    else:
        index[key] = [entry, mark]


def _remove(index: dict[Key, Entry], key: Key, mark: Mark) -> None:
    entry = index[key]
    if isinstance(entry, list):
        entry.remove(mark)
        if len(entry) == 1:
            index[key] = entry[0]
    else:
        del index[key]


@contextmanager
def reading() -> Iterator[None]:
    """Fail closed: whatever keeps the lists from being read is `Unavailable`."""
    try:
        yield
    except SQLAlchemyError as error:
        raise Unavailable(
            "The screening lists cannot be read, so nothing is passed ({error}). Is the database"
            " up?",
            error=type(error).__name__,
        ) from error
