"""Parties under watch: their names against the lists, and the reviews that fall due.

A party that was handed in is compared when what is known of it changes and when a list of names
does. A likeness is a hit that a person decides on, and a case; nothing is decided here.
"""

from dataclasses import replace
from datetime import datetime
from typing import Any, Final

import msgspec
from sqlalchemy import Connection

from sakk.core import event
from sakk.core.case import CaseKind, Opening, Priority
from sakk.core.entity import EntityKind, parse_date
from sakk.core.event import NewEvent
from sakk.core.label import ListKind
from sakk.core.name_screening import COUNTRIES_MAX, NameHit, NameQuery, NameScreening, read_query
from sakk.core.party import HIT_PREFIX, Hit, HitState, Party, public_party
from sakk.core.profile import Individual, PartyKind, countries_of, load_details, names_of
from sakk.flow.case import open_cases
from sakk.flow.context import Parts
from sakk.flow.name import NameRequest, screen_names
from sakk.flow.stage import Stage
from sakk.screening.name import NameIndex
from sakk.store import event as events
from sakk.store import party as store
from sakk.store.database import fetch
from sakk.store.entity import names_version
from sakk.store.identity import new_id

# A name takes milliseconds, and nobody imports a list while a batch is compared.
PARTIES_MAX: Final = 20
REVIEWS_MAX: Final = 100
_KINDS: Final = {
    PartyKind.legal_entity.value: EntityKind.organization,
    PartyKind.individual.value: EntityKind.person,
}


def party_screen_stage(parts: Parts) -> Stage:
    """The stage that compares names of parties with the lists."""
    index = NameIndex(parts.database)

    def run() -> int:
        now = parts.clock()
        with parts.database.begin() as connection:
            version = names_version(connection)
            rows = store.due_for_names(connection, version, limit=PARTIES_MAX)
            for party in rows:
                _screen(connection, index, party, version=version, now=now)
            return len(rows)

    return Stage("party.screen", run)


def party_review_stage(parts: Parts) -> Stage:
    """The stage that tells which approved parties are to be looked at again."""

    def run() -> int:
        now = parts.clock()
        with parts.database.begin() as connection:
            rows = fetch(connection, store.to_review, now=now, limit=REVIEWS_MAX)
            for party in rows:
                store.change(connection, party.id, {"review_told": now})
            reason = "The review of this party is due."
            openings = [_opening(party, reason, Priority.normal) for party in rows]
            open_cases(connection, openings, now=now)
            events.append(
                connection, [_told(party, event.PARTY_REVIEW_DUE) for party in rows], now=now
            )
            return len(rows)

    return Stage("party.review", run, due=(store.to_review,), gives_way=True)


def _screen(
    connection: Connection, index: NameIndex, party: Party, *, version: int, now: datetime
) -> None:
    requests = [
        NameRequest(party.id, query, party.account_id, party.livemode) for query in _queries(party)
    ]
    decided = screen_names(connection, index, requests, now=now)
    hits = [hit for each in decided for hit in _hits(party, each, now=now)]
    found = store.put_hits(connection, hits)
    open_hits = store.count_open(connection, [party.id]).get(party.id, 0)
    changed = replace(
        party, screened_revision=party.revision, lists_version=version, open_hits=open_hits
    )
    store.change(
        connection,
        party.id,
        {
            "screened_revision": changed.screened_revision,
            "lists_version": changed.lists_version,
            "open_hits": changed.open_hits,
        },
    )
    if found:
        open_cases(connection, [_finding(party, hit) for hit in found], now=now)
        events.append(connection, [_told(changed, event.PARTY_HIT_FOUND)], now=now)


def _queries(party: Party) -> list[NameQuery]:
    """What is asked: a question that lists can not take would hold up every party behind it."""
    details = load_details(party.kind, party.details)
    birth = details.birth_date if isinstance(details, Individual) else None
    if birth is not None and parse_date(birth) is None:
        birth = None
    countries = countries_of(details)[:COUNTRIES_MAX]
    return [
        read_query(name, kind=_KINDS[party.kind].value, birth=birth, countries=countries)
        for name in names_of(details)
    ]


def _hits(party: Party, screening: NameScreening, *, now: datetime) -> list[Hit]:
    return [
        Hit(
            id=new_id(HIT_PREFIX),
            party_id=party.id,
            account_id=party.account_id,
            livemode=party.livemode,
            revision=party.revision,
            entity_id=hit.entity_id,
            entry_version=hit.entity_version,
            list_name=hit.list_name,
            list_version=hit.list_version,
            name=screening.query.name,
            matched=hit.matched,
            score=hit.score,
            evidence=_evidence(hit, screening),
            state=HitState.open.value,
            note=None,
            decided_by=None,
            decided_at=None,
            created=now,
        )
        for hit in screening.hits
        if hit.exemption is None
    ]


def _evidence(hit: NameHit, screening: NameScreening) -> dict[str, Any]:
    return {
        "screening": screening.id,
        "entry": hit.name,
        "ref": hit.ref,
        "kind": str(hit.kind),
        "list_kind": hit.list_kind,
        "programs": list(hit.programs),
        "name_score": hit.name_score,
        "pairs": msgspec.to_builtins(hit.pairs),
        "evidence": msgspec.to_builtins(hit.evidence),
    }


def _finding(party: Party, hit: Hit) -> Opening:
    grave = hit.evidence["list_kind"] == ListKind.sanctions
    reason = f"{hit.name} is like {hit.matched} of {hit.list_name} ({hit.score} of 1,000)."
    return _opening(party, reason, Priority.high if grave else Priority.normal)


def _opening(party: Party, reason: str, priority: Priority) -> Opening:
    return Opening(
        subject=party.id,
        kind=CaseKind.party,
        account_id=party.account_id,
        livemode=party.livemode,
        screening_id=None,
        reason=reason,
        priority=priority,
    )


def _told(party: Party, name: str) -> NewEvent:
    return NewEvent(
        account_id=party.account_id,
        livemode=party.livemode,
        type=name,
        object_id=party.id,
        object=public_party(party, to_operator=True),
    )
