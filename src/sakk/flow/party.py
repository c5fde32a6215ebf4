"""Parties: what an account says of itself and its customers, and the papers that show it.

A merchant writes and submits, and sees of its parties that they are looked at; what people of the
operator decide on them is in `sakk.flow.due_diligence`.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection

from sakk.core import event
from sakk.core import party as rules
from sakk.core.errors import (
    ParameterInvalid,
    ResourceMissing,
    UnexpectedState,
)
from sakk.core.event import NewEvent
from sakk.core.metadata import merge
from sakk.core.ownership import Holding, Ownership, Relation, overheld, owners_of
from sakk.core.party import Link, Party, PartyDocument, PartyStatus, Rating
from sakk.core.person import Actor
from sakk.core.profile import (
    PartyKind,
    check_content,
    check_country,
    check_date,
    details_document,
    load_details,
    name_of,
    read_details,
)
from sakk.flow.context import Parts
from sakk.flow.stage import wake
from sakk.store import customer as customers
from sakk.store import event as events
from sakk.store import party as store
from sakk.store.identity import new_id

ACT_PREFIX: Final = "pact"


@dataclass(frozen=True, slots=True)
class Whose:
    """Whose parties a command may touch, and who gives it: a merchant sees only its own."""

    account_id: str | None
    livemode: bool
    actor: Actor
    request_id: str | None = None

    @property
    def name(self) -> str:
        """Who did it, as the acts say: a person, or the key that nobody's name is on."""
        return self.actor.person or self.actor.key


def create(
    connection: Connection,
    whose: Whose,
    *,
    identifier: str,
    account_id: str,
    kind: str,
    details: object,
    role: str | None,
    customer_id: str | None,
    metadata: Mapping[str, str | None] | None,
    now: datetime,
) -> Party:
    """Write down a party as a draft; ParameterInvalid names what is wrong with it."""
    read = read_details(kind, details)
    if customer_id is not None and not _is_customer(
        connection, customer_id, account_id, livemode=whose.livemode
    ):
        raise ParameterInvalid(
            "No such customer: {customer}.", param="customer", customer=repr(customer_id)
        )
    party = Party(
        id=identifier,
        account_id=account_id,
        customer_id=customer_id,
        livemode=whose.livemode,
        role=rules.role_of(role, customer_id).value,
        kind=PartyKind(kind).value,
        name=name_of(read),
        details=details_document(read),
        revision=1,
        status=PartyStatus.draft.value,
        rating=Rating.medium.value,
        metadata=merge({}, metadata or {}),
        created=now,
    )
    store.insert_party(connection, party)
    store.insert_revision(connection, party, changed_by=whose.name, now=now)
    record(connection, party, "created", whose.name, {}, now=now)
    tell(connection, party, event.PARTY_CREATED, whose, now=now)
    return party


def update(
    connection: Connection,
    whose: Whose,
    identifier: str,
    *,
    changes: Mapping[str, Any],
    now: datetime,
) -> Party:
    """Change what is known (``details``, as a whole) or ``metadata``; the revision before stays.

    An approved party stays approved, is compared with the lists anew, and is due for review at once
    when what is known of it changed.
    """
    party = locked(connection, whose, identifier)
    changed = party
    if "metadata" in changes:
        changed = replace(changed, metadata=merge(party.metadata, changes["metadata"]))
    if "details" in changes:
        read = read_details(party.kind, changes["details"])
        document = details_document(read)
        if document != party.details:
            changed = replace(
                changed,
                name=name_of(read),
                details=document,
                revision=party.revision + 1,
                approval=None,
                review_at=now if party.status == PartyStatus.approved else party.review_at,
            )
            store.insert_revision(connection, changed, changed_by=whose.name, now=now)
    if changed == party:
        return party
    write(connection, changed)
    detail = {"revision": changed.revision}
    record(connection, changed, "updated", whose.name, detail, now=now)
    tell(connection, changed, event.PARTY_UPDATED, whose, now=now)
    wake(connection, "party.screen", "party.review")
    return changed


def submit(connection: Connection, whose: Whose, identifier: str, *, now: datetime) -> Party:
    """Hand a party in to be decided on; UnexpectedState names everything that is missing."""
    party = locked(connection, whose, identifier)
    status = rules.after(party.status, "submit")
    check_complete(connection, party, now=now)
    changed = replace(party, status=status.value, submitted_at=now, reason=None, approval=None)
    write(connection, changed)
    record(connection, changed, "submitted", whose.name, {}, now=now)
    tell(connection, changed, event.PARTY_SUBMITTED, whose, now=now)
    wake(connection, "party.screen")
    return changed


def add_link(
    connection: Connection,
    whose: Whose,
    of_party: str,
    *,
    identifier: str,
    party_id: str,
    relation: Relation,
    share_ppm: int,
    title: str | None,
    now: datetime,
) -> Link:
    """Say what one party is to another, once under an id; no more than a whole party is held."""
    held = locked(connection, whose, of_party)
    holder = find(connection, replace(whose, account_id=held.account_id), party_id, param="party")
    rules.check_link(held, holder, relation, share_ppm)
    store.lock_links(connection, held.account_id)
    links = store.links_of_account(connection, held.account_id, livemode=held.livemode)
    known = next((each for each in links if each.id == identifier), None)
    if known is not None:
        return known
    if sum(each.of_party == held.id for each in links) >= rules.LINKS_MAX:
        raise ParameterInvalid(
            "A party has at most {links_max} links.", param="party", links_max=rules.LINKS_MAX
        )
    link = Link(
        id=identifier,
        account_id=held.account_id,
        livemode=held.livemode,
        of_party=held.id,
        party_id=holder.id,
        relation=relation.value,
        share_ppm=share_ppm,
        title=title,
        removed_at=None,
        created=now,
    )
    if held.id in overheld([_holding(each) for each in (*links, link)]):
        raise ParameterInvalid(
            "More than 1000000 parts of this party would be held: remove or correct another"
            " owner's link first.",
            param="share_ppm",
        )
    if not store.insert_link(connection, link):
        raise ParameterInvalid(
            "There is a link of this kind already. Remove it first, to change it ({relation}).",
            param="party",
            relation=relation,
        )
    _touched(connection, whose, held, "linked", {"link": link.id, "party": holder.id}, now=now)
    return link


def remove_link(
    connection: Connection, whose: Whose, of_party: str, identifier: str, *, now: datetime
) -> Link:
    """Say that one party is this to another no longer; the row stays."""
    held = locked(connection, whose, of_party)
    link = store.remove_link(connection, identifier, of_party=held.id, now=now)
    if link is None:
        raise ResourceMissing("No such link: {link}.", param="link", link=repr(identifier))
    _touched(connection, whose, held, "unlinked", {"link": link.id}, now=now)
    return link


def add_document(
    parts: Parts,
    connection: Connection,
    whose: Whose,
    identifier: str,
    *,
    document_id: str,
    content: bytes,
    described: Mapping[str, Any],
    now: datetime,
) -> PartyDocument:
    """Keep a document, its content sealed under the vault's key; the same again under its id.

    ``described``: ``kind``, ``name``, ``media_type``, ``country``, ``issued_on``, ``expires_on``.
    """
    party = locked(connection, whose, identifier)
    known = store.find_document(connection, document_id, party_id=party.id)
    if known is not None:
        return known
    check_content(described["media_type"], content)
    check_country(described["country"], param="country")
    check_date(described["issued_on"], param="issued_on")
    check_date(described["expires_on"], param="expires_on")
    if len(store.documents_of(connection, party.id)) >= rules.DOCUMENTS_MAX:
        raise ParameterInvalid(
            "A party has at most {documents_max} documents: remove one first.",
            param="party",
            documents_max=rules.DOCUMENTS_MAX,
        )
    document = PartyDocument(
        id=document_id,
        account_id=party.account_id,
        livemode=party.livemode,
        party_id=party.id,
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        removed_at=None,
        created=now,
        **described,
    )
    sealed = parts.secrets_vault().seal_bytes(content, document.id)
    store.insert_document(connection, document, sealed)
    detail = {"document": document.id, "sha256": document.sha256}
    _touched(connection, whose, party, "documented", detail, now=now)
    return document


def read_document(
    parts: Parts, connection: Connection, whose: Whose, identifier: str, document_id: str
) -> tuple[PartyDocument, bytes]:
    """A document and its content."""
    party = find(connection, whose, identifier)
    document = _document(connection, party, document_id)
    sealed = store.content_of(connection, document.id)
    return document, parts.secrets_vault().open_bytes(sealed, document.id)


def remove_document(
    connection: Connection, whose: Whose, identifier: str, document_id: str, *, now: datetime
) -> PartyDocument:
    """A document shows nothing any more; what it showed is kept."""
    party = locked(connection, whose, identifier)
    document = _document(connection, party, document_id)
    store.remove_document(connection, document.id, now=now)
    _touched(connection, whose, party, "undocumented", {"document": document.id}, now=now)
    return replace(document, removed_at=document.removed_at or now)


def ownership(connection: Connection, party: Party) -> Ownership:
    """Who owns a party in the end, by the links that stand."""
    links = store.links_of_account(connection, party.account_id, livemode=party.livemode)
    found = store.find_parties(connection, {each.party_id for each in links})
    persons = {each.id for each in found if each.kind == PartyKind.individual}
    return owners_of(party.id, [_holding(each) for each in links], persons)


def digest_of(connection: Connection, party: Party) -> str:
    """The digest of what a person approves."""
    links = [
        each
        for each in store.links_of_account(connection, party.account_id, livemode=party.livemode)
        if each.of_party == party.id
    ]
    return rules.digest_of(party, links, store.documents_of(connection, party.id))


def find(connection: Connection, whose: Whose, identifier: str, *, param: str = "id") -> Party:
    """A party that the caller may see; ResourceMissing otherwise."""
    return _found(connection, whose, identifier, param=param, lock=False)


def locked(connection: Connection, whose: Whose, identifier: str) -> Party:
    """The same, locked until the transaction ends."""
    return _found(connection, whose, identifier, param="id", lock=True)


def _found(
    connection: Connection, whose: Whose, identifier: str, *, param: str, lock: bool
) -> Party:
    found = store.find_party(
        connection, identifier, livemode=whose.livemode, account_id=whose.account_id, lock=lock
    )
    if found is None:
        raise ResourceMissing("No such party: {party}.", param=param, party=repr(identifier))
    return found


def _is_customer(
    connection: Connection, customer_id: str, account_id: str, *, livemode: bool
) -> bool:
    found = customers.find_customer(
        connection, customer_id, account_id=account_id, livemode=livemode
    )
    return found is not None and not found.deleted


def _document(connection: Connection, party: Party, identifier: str) -> PartyDocument:
    found = store.find_document(connection, identifier, party_id=party.id)
    if found is None:
        raise ResourceMissing(
            "No such document: {document}.", param="document", document=repr(identifier)
        )
    return found


def _holding(link: Link) -> Holding:
    return Holding(link.party_id, link.of_party, Relation(link.relation), link.share_ppm)


def check_complete(connection: Connection, party: Party, *, now: datetime) -> None:
    """Raise UnexpectedState that names everything that is missing."""
    lacking = rules.missing(
        load_details(party.kind, party.details),
        store.documents_of(connection, party.id),
        ownership(connection, party) if party.kind == PartyKind.legal_entity else Ownership((), 0),
        today=now.date(),
    )
    if lacking:
        raise UnexpectedState("Something is missing: {lacking}.", lacking="; ".join(lacking))


def _touched(
    connection: Connection,
    whose: Whose,
    party: Party,
    act: str,
    detail: dict[str, Any],
    *,
    now: datetime,
) -> None:
    """What hangs on a party changed: a yes to what it was is void."""
    changed = replace(
        party,
        approval=None,
        review_at=now if party.status == PartyStatus.approved else party.review_at,
    )
    write(connection, changed)
    record(connection, changed, act, whose.name, detail, now=now)
    tell(connection, changed, event.PARTY_UPDATED, whose, now=now)
    wake(connection, "party.review")


def write(connection: Connection, party: Party) -> None:
    """Write every field that may change; the party is locked."""
    fixed = ("id", "account_id", "customer_id", "livemode", "role", "kind", "created")
    values = {name: getattr(party, name) for name in Party.__slots__ if name not in fixed}
    store.change(connection, party.id, values)


def record(
    connection: Connection,
    party: Party,
    act: str,
    actor: str,
    detail: dict[str, Any],
    *,
    now: datetime,
) -> None:
    """Keep who did what to a party, and what it was then."""
    store.insert_act(
        connection,
        id=new_id(ACT_PREFIX),
        party_id=party.id,
        livemode=party.livemode,
        act=act,
        actor=actor,
        detail={"status": party.status, "revision": party.revision, **detail},
        created=now,
    )


def tell(connection: Connection, party: Party, name: str, whose: Whose, *, now: datetime) -> None:
    """Append the event; an operator\'s holds what a merchant\'s does not."""
    to_operator = event.event_type(name).audience == "operator"
    told = NewEvent(
        account_id=party.account_id,
        livemode=party.livemode,
        type=name,
        object_id=party.id,
        object=rules.public_party(party, to_operator=to_operator),
        request_id=whose.request_id,
    )
    events.append(connection, [told], now=now)
