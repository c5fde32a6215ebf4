"""Names against the lists: an index in memory, fresh at every question.

One index lives in each process that asks. Each question reads the lists version first and catches
up with what changed, as the engine of addresses does, so that a list that has been imported is in
force at the next question everywhere. It is loaded at the first question and not before: a process
that screens no names pays nothing. If the lists cannot be read the call raises `Unavailable`.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection

from sakk.core.entity import EntityKind, ListedEntity, NameQuality
from sakk.core.name import Likeness, compare_names
from sakk.core.name_screening import (
    HITS_MAX,
    NameHit,
    NameQuery,
    read_query,
    total_score,
    weigh_evidence,
)
from sakk.core.name_text import Name, read_name
from sakk.screening.engine import reading
from sakk.store import entity as entity_store
from sakk.store import label as label_store
from sakk.store.database import Database
from sakk.store.identity import now as clock

if TYPE_CHECKING:
    from sakk.screening.name_index import NameCandidates

# Beyond this many changed entries, loading anew is cheaper than catching up.
CHANGES_MAX: Final = 20_000
LIMIT: Final = 10


@dataclass(frozen=True, slots=True)
class _Entry:
    """An entity in force, as it is compared."""

    entity_id: str
    list_id: str
    ref: str
    kind: EntityKind
    version: int
    names: tuple[tuple[str, NameQuality, Name], ...]
    births: tuple[str, ...]
    countries: tuple[str, ...]
    programs: tuple[str, ...]
    valid_from: datetime | None
    valid_to: datetime | None


class NameIndex:
    """Finds who of the lists a name may be. Safe to share between threads."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._version: int | None = None
        self._entries: dict[str, _Entry] = {}
        self._lists: dict[str, tuple[str, str, int]] = {}
        self._candidates: NameCandidates | None = None
        self._owners: list[tuple[_Entry, str, NameQuality]] = []

    def __len__(self) -> int:
        """How many names are compared, with all aliases."""
        return len(self._owners)

    @property
    def version(self) -> int | None:
        """The lists version in memory; None before the first question."""
        return self._version

    def match(
        self,
        name: str,
        *,
        kind: EntityKind | str | None = None,
        birth: str | None = None,
        countries: Sequence[str] = (),
        limit: int = LIMIT,
        score_min: int = 0,
        connection: Connection | None = None,
    ) -> tuple[NameHit, ...]:
        """Who it may be, the likeliest first, each entity once.

        With ``connection`` the lists are held as they are until the caller's transaction ends.
        Raises `ParameterInvalid` for a name that can not be, `Unavailable` without the lists.
        """
        query = read_query(name, kind=kind, birth=birth, countries=countries)
        _, hits = self.screen(query, limit=limit, score_min=score_min, connection=connection)
        return hits

    def screen(
        self,
        query: NameQuery,
        *,
        limit: int = LIMIT,
        score_min: int = 0,
        connection: Connection | None = None,
    ) -> tuple[int, tuple[NameHit, ...]]:
        """The lists version that was asked, and who it may be."""
        if connection is not None:
            return self._screen(query, limit, score_min, connection, hold=True)
        with reading(), self._database.begin() as own:
            return self._screen(query, limit, score_min, own, hold=False)

    def _screen(
        self, query: NameQuery, limit: int, score_min: int, connection: Connection, *, hold: bool
    ) -> tuple[int, tuple[NameHit, ...]]:
        with reading():
            version = label_store.lists_version(connection, lock=hold)
            with self._lock:
                version = self._refresh(connection, version)
                candidates, owners, lists = self._candidates, self._owners, self._lists
        assert candidates is not None, "the index was built at its first question"
        # What was read is never changed, only replaced: the search needs no lock.
        hits = _hits(query, candidates, owners, lists, at=clock())
        kept = [hit for hit in hits if hit.score >= score_min]
        return version, tuple(kept[: min(limit, HITS_MAX)])

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
        changes = (
            CHANGES_MAX + 1
            if known is None or version < known
            else entity_store.count_entity_changes(connection, after=known)
        )
        if known is None or changes > CHANGES_MAX:
            scanned = entity_store.scan_entities(connection, version=version)
            self._entries = {row.entity_id: _entry(row) for row in scanned}
        elif changes:
            self._apply_changes(connection, after=known, version=version)
        if known is None or changes:
            self._build()
        self._lists = _lists(connection, version)
        self._version = version
        return version

    def _apply_changes(self, connection: Connection, *, after: int, version: int) -> None:
        closed, opened = entity_store.scan_entity_changes(connection, after=after, version=version)
        for entity_id, _ in closed:
            self._entries.pop(entity_id, None)
        for row in opened:
            self._entries[row.entity_id] = _entry(row)

    def _build(self) -> None:
        # Imported where it is used: whoever screens no names does without numpy.
        from sakk.screening.name_index import NameCandidates

        owners, names = [], []
        for entry in self._entries.values():
            for text, quality, name in entry.names:
                owners.append((entry, text, quality))
                names.append(name)
        self._candidates = NameCandidates(names)
        self._owners = owners


def _entry(row: ListedEntity) -> _Entry:
    kind = EntityKind(row.kind)
    named = [(row.name, NameQuality.primary)]
    named += [(alias.name, alias.quality) for alias in row.content.aliases]
    return _Entry(
        entity_id=row.entity_id,
        list_id=row.list_id,
        ref=row.ref,
        kind=kind,
        version=row.opened_version,
        # Not remembered: what is in the lists is kept here.
        names=tuple((text, quality, read_name.__wrapped__(text, kind)) for text, quality in named),
        births=row.content.births,
        countries=row.content.countries,
        programs=row.content.programs,
        valid_from=row.valid_from,
        valid_to=row.valid_to,
    )


def _lists(connection: Connection, version: int) -> dict[str, tuple[str, str, int]]:
    """Per list id: its name, kind and own version."""
    kinds = {each.id: each.kind for each in label_store.list_lists(connection)}
    found = label_store.list_versions_at(connection, version=version)
    return {list_id: (name, kinds[list_id], own) for list_id, (name, own) in found.items()}


def _hits(
    query: NameQuery,
    candidates: "NameCandidates",
    owners: Sequence[tuple[_Entry, str, NameQuality]],
    lists: dict[str, tuple[str, str, int]],
    *,
    at: datetime,
) -> list[NameHit]:
    """Each entity by the name of it that scores most, the likeliest first."""
    asked = read_name(query.name, query.kind)
    best: dict[str, NameHit] = {}
    for number in candidates.search(asked):
        entry, text, quality = owners[number]
        if not _is_valid(entry, at):
            continue
        likeness = compare_names(asked, candidates.names[number], weigh=candidates.weigh)
        hit = _hit(query, entry, text, quality, likeness, lists[entry.list_id])
        before = best.get(entry.entity_id)
        if before is None or (hit.score, hit.name_score) > (before.score, before.name_score):
            best[entry.entity_id] = hit
    return sorted(best.values(), key=lambda hit: (-hit.score, hit.list_name, hit.ref))


def _is_valid(entry: _Entry, at: datetime) -> bool:
    return not (
        (entry.valid_from is not None and at < entry.valid_from)
        or (entry.valid_to is not None and at >= entry.valid_to)
    )


def _hit(
    query: NameQuery,
    entry: _Entry,
    text: str,
    quality: NameQuality,
    likeness: Likeness,
    named: tuple[str, str, int],
) -> NameHit:
    evidence = weigh_evidence(
        query,
        kind=entry.kind,
        quality=quality,
        births=entry.births,
        countries=entry.countries,
    )
    list_name, list_kind, list_version = named
    return NameHit(
        entity_id=entry.entity_id,
        list_name=list_name,
        list_kind=list_kind,
        list_version=list_version,
        ref=entry.ref,
        entity_version=entry.version,
        kind=entry.kind,
        name=entry.names[0][0],
        matched=text,
        quality=quality,
        score=total_score(likeness.score, evidence),
        name_score=likeness.score,
        pairs=likeness.pairs,
        query_left=likeness.query_left,
        listed_left=likeness.listed_left,
        evidence=evidence,
        programs=entry.programs,
    )
