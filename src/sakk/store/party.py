"""Parties: what is known of them in revisions, their links, documents, hits and acts."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Index,
    Integer,
    Table,
    Text,
    func,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from sakk.core.party import Hit, HitState, Link, Party, PartyDocument, PartyRole, PartyStatus
from sakk.store.database import among, due, fetch_all, fetch_one, insert_records
from sakk.store.lease import NOW
from sakk.store.page import PageRequest, fetch_page
from sakk.store.schema import Bytes, Document, Timestamp, metadata

parties = Table(
    "parties",
    metadata,
    Column("id", Text, primary_key=True),
    Column("account_id", Text, nullable=False),
    Column("customer_id", Text),
    Column("livemode", Boolean, nullable=False),
    Column("role", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("details", Document, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("status", Text, nullable=False),
    Column("rating", Text, nullable=False),
    Column("approval", Document),
    Column("reason", Text),
    Column("screened_revision", Integer),
    Column("lists_version", BigInteger),
    Column("open_hits", Integer, nullable=False),
    Column("submitted_at", Timestamp),
    Column("decided_at", Timestamp),
    Column("decided_by", Text),
    Column("review_at", Timestamp),
    Column("review_told", Timestamp),
    Column("metadata", Document, nullable=False),
    Column("created", Timestamp, nullable=False),
    Index("ix_parties_account", "account_id", "livemode", "id"),
    Index("ix_parties_status", "livemode", "status", "id"),
    Index("ix_parties_customer", "customer_id", postgresql_where=text("customer_id IS NOT NULL")),
    Index("ix_parties_review", "review_at", postgresql_where=text("status = 'approved'")),
    # What is compared with the lists next: those that saw the oldest ones first.
    Index(
        "ix_parties_lists_version",
        text("coalesce(lists_version, 0)"),
        postgresql_where=text("status <> 'draft'"),
    ),
)

party_revisions = Table(
    "party_revisions",
    metadata,
    Column("party_id", Text, primary_key=True),
    Column("revision", Integer, primary_key=True),
    Column("details", Document, nullable=False),
    Column("changed_by", Text, nullable=False),
    Column("created", Timestamp, nullable=False),
)

party_links = Table(
    "party_links",
    metadata,
    Column("id", Text, primary_key=True),
    Column("account_id", Text, nullable=False),
    Column("livemode", Boolean, nullable=False),
    Column("of_party", Text, nullable=False),
    Column("party_id", Text, nullable=False),
    Column("relation", Text, nullable=False),
    Column("share_ppm", Integer, nullable=False),
    Column("title", Text),
    Column("removed_at", Timestamp),
    Column("created", Timestamp, nullable=False),
    Index(
        "uq_party_links",
        "of_party",
        "party_id",
        "relation",
        unique=True,
        postgresql_where=text("removed_at IS NULL"),
    ),
    Index("ix_party_links_account", "account_id", "livemode", "id"),
)

party_documents = Table(
    "party_documents",
    metadata,
    Column("id", Text, primary_key=True),
    Column("account_id", Text, nullable=False),
    Column("livemode", Boolean, nullable=False),
    Column("party_id", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("media_type", Text, nullable=False),
    Column("size", Integer, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("country", Text),
    Column("issued_on", Text),
    Column("expires_on", Text),
    Column("removed_at", Timestamp),
    Column("created", Timestamp, nullable=False),
    Index("ix_party_documents_party", "party_id", "id"),
)

# Apart, so that no list ever reads ten megabytes a row.
party_contents = Table(
    "party_contents",
    metadata,
    Column("document_id", Text, primary_key=True),
    Column("sealed", Bytes, nullable=False),
)

party_hits = Table(
    "party_hits",
    metadata,
    Column("id", Text, primary_key=True),
    Column("party_id", Text, nullable=False),
    Column("account_id", Text, nullable=False),
    Column("livemode", Boolean, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("entity_id", Text, nullable=False),
    Column("entry_version", BigInteger, nullable=False),
    Column("list_name", Text, nullable=False),
    Column("list_version", BigInteger, nullable=False),
    Column("name", Text, nullable=False),
    Column("matched", Text, nullable=False),
    Column("score", Integer, nullable=False),
    Column("evidence", Document, nullable=False),
    Column("state", Text, nullable=False),
    Column("note", Text),
    Column("decided_by", Text),
    Column("decided_at", Timestamp),
    Column("created", Timestamp, nullable=False),
    # A decision holds for an entry in one form, against what was known in one revision.
    Index("uq_party_hits", "party_id", "entity_id", "entry_version", "name", unique=True),
    Index("ix_party_hits_state", "livemode", "state", "id"),
)

# Who did what: never changed, and sealed into the audit log.
party_acts = Table(
    "party_acts",
    metadata,
    Column("id", Text, primary_key=True),
    Column("party_id", Text, nullable=False),
    Column("livemode", Boolean, nullable=False),
    Column("act", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("detail", Document, nullable=False),
    Column("created", Timestamp, nullable=False),
    Index("ix_party_acts_party", "party_id", "id"),
)


def insert_party(connection: Connection, party: Party) -> None:
    """Record a party."""
    insert_records(connection, parties, [party])


def insert_revision(
    connection: Connection, party: Party, *, changed_by: str, now: datetime
) -> None:
    """Keep what is known from now on; what was known before stays."""
    connection.execute(
        party_revisions.insert().values(
            party_id=party.id,
            revision=party.revision,
            details=party.details,
            changed_by=changed_by,
            created=now,
        )
    )


def insert_act(connection: Connection, **values: Any) -> None:
    """Keep who did what."""
    connection.execute(party_acts.insert().values(values))


def acts_of(connection: Connection, party_id: str, *, limit: int) -> list[dict[str, Any]]:
    """The newest acts on a party, newest first: ``act``, ``actor``, ``detail``, ``created``."""
    c = party_acts.c
    statement = select(c.act, c.actor, c.detail, c.created).where(c.party_id == party_id)
    found = connection.execute(statement.order_by(c.id.desc()).limit(limit)).mappings()
    return [dict(each) for each in found]


def revisions_of(connection: Connection, party_id: str, *, limit: int) -> list[dict[str, Any]]:
    """What was known of a party and by whom it was written, the newest revision first."""
    c = party_revisions.c
    statement = select(c.revision, c.details, c.changed_by, c.created).where(c.party_id == party_id)
    found = connection.execute(statement.order_by(c.revision.desc()).limit(limit)).mappings()
    return [dict(each) for each in found]


def find_party(
    connection: Connection,
    identifier: str,
    *,
    livemode: bool,
    account_id: str | None,
    lock: bool = False,
) -> Party | None:
    """One party; with ``account_id`` only one of that account."""
    statement = select(parties).where(parties.c.id == identifier, parties.c.livemode == livemode)
    if account_id is not None:
        statement = statement.where(parties.c.account_id == account_id)
    return fetch_one(connection, statement.with_for_update() if lock else statement, Party)


def find_parties(connection: Connection, identifiers: Collection[str]) -> list[Party]:
    """Parties by their ids."""
    return fetch_all(connection, select(parties).where(among(parties.c.id, identifiers)), Party)


def change(connection: Connection, identifier: str, values: Mapping[str, Any]) -> None:
    """Set fields of a party that is locked."""
    connection.execute(update(parties).where(parties.c.id == identifier).values(dict(values)))


def list_parties(
    connection: Connection,
    page: PageRequest,
    *,
    livemode: bool,
    account_id: str | None,
    filters: Sequence[ColumnElement[bool]] = (),
) -> tuple[list[Party], bool]:
    """A page of parties, newest first."""
    return fetch_page(
        connection,
        parties,
        Party,
        account_id=account_id,
        livemode=livemode,
        page=page,
        filters=list(filters),
    )


def is_verified(connection: Connection, account_id: str, *, livemode: bool) -> bool:
    """Is a party approved that is the account itself, and none suspended?"""
    own = (
        parties.c.account_id == account_id,
        parties.c.livemode == livemode,
        parties.c.role == PartyRole.account.value,
    )
    found = connection.execute(
        select(
            func.bool_or(parties.c.status == PartyStatus.approved.value),
            func.bool_or(parties.c.status == PartyStatus.suspended.value),
        ).where(*own)
    ).one()
    return bool(found[0]) and not found[1]


def lock_links(connection: Connection, account_id: str) -> None:
    """Until this transaction ends nobody else adds links between an account's parties.

    Two at once could make more than the whole.
    """
    connection.execute(
        select(func.pg_advisory_xact_lock(func.hashtextextended(f"links:{account_id}", 0)))
    )


def insert_link(connection: Connection, link: Link) -> bool:
    """Record a link; False where the same one stands already."""
    values = {name: getattr(link, name) for name in Link.__slots__}
    statement = insert(party_links).values(values).on_conflict_do_nothing()
    return connection.execute(statement.returning(party_links.c.id)).first() is not None


def links_of_account(connection: Connection, account_id: str, *, livemode: bool) -> list[Link]:
    """All links between an account's parties that stand."""
    statement = select(party_links).where(
        party_links.c.account_id == account_id,
        party_links.c.livemode == livemode,
        party_links.c.removed_at.is_(None),
    )
    return fetch_all(connection, statement.order_by(party_links.c.id), Link)


def remove_link(
    connection: Connection, identifier: str, *, of_party: str, now: datetime
) -> Link | None:
    """End a link that stands; None where there is none."""
    statement = (
        update(party_links)
        .where(
            party_links.c.id == identifier,
            party_links.c.of_party == of_party,
            party_links.c.removed_at.is_(None),
        )
        .values(removed_at=now)
        .returning(party_links)
    )
    return fetch_one(connection, statement, Link)


def insert_document(connection: Connection, document: PartyDocument, sealed: bytes) -> None:
    """Record a document, and its sealed content beside it."""
    insert_records(connection, party_documents, [document])
    connection.execute(party_contents.insert().values(document_id=document.id, sealed=sealed))


def documents_of(connection: Connection, party_id: str) -> list[PartyDocument]:
    """A party's documents that were not removed, oldest first."""
    statement = select(party_documents).where(
        party_documents.c.party_id == party_id, party_documents.c.removed_at.is_(None)
    )
    return fetch_all(connection, statement.order_by(party_documents.c.id), PartyDocument)


def find_document(
    connection: Connection, identifier: str, *, party_id: str
) -> PartyDocument | None:
    """One document of a party, a removed one too."""
    statement = select(party_documents).where(
        party_documents.c.id == identifier, party_documents.c.party_id == party_id
    )
    return fetch_one(connection, statement, PartyDocument)


def content_of(connection: Connection, document_id: str) -> bytes:
    """A document's content, sealed."""
    found = connection.execute(
        select(party_contents.c.sealed).where(party_contents.c.document_id == document_id)
    ).scalar_one()
    return bytes(found)


def remove_document(connection: Connection, identifier: str, *, now: datetime) -> None:
    """A removed document keeps its row and content: what was shown once can be asked for."""
    connection.execute(
        update(party_documents)
        .where(party_documents.c.id == identifier, party_documents.c.removed_at.is_(None))
        .values(removed_at=now)
    )


def due_for_names(connection: Connection, version: int, *, limit: int) -> list[Party]:
    """Lock parties that were not compared with these lists, or not in what is known now."""
    statement = (
        select(parties)
        .where(
            parties.c.status != PartyStatus.draft.value,
            or_(
                func.coalesce(parties.c.lists_version, 0) < version,
                parties.c.screened_revision.is_distinct_from(parties.c.revision),
            ),
        )
        .order_by(func.coalesce(parties.c.lists_version, 0), parties.c.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return fetch_all(connection, statement, Party)


# Approved parties whose review is due and was not told yet, locked.
to_review = due(
    select(parties).where(
        parties.c.status == PartyStatus.approved.value,
        parties.c.review_at <= NOW,
        or_(parties.c.review_told.is_(None), parties.c.review_told < parties.c.review_at),
    ),
    Party,
    parties.c.review_at,
    lock=parties,
)


def put_hits(connection: Connection, hits: Sequence[Hit]) -> list[Hit]:
    """Record likenesses that nobody saw in this form before; those that wait for a person now.

    One that a person called a false positive comes here only when that word was taken back: it is
    open again.
    """
    found = []
    for hit in hits:
        values = {name: getattr(hit, name) for name in Hit.__slots__}
        statement = insert(party_hits).values(values)
        again = statement.on_conflict_do_update(
            index_elements=["party_id", "entity_id", "entry_version", "name"],
            set_={
                "state": HitState.open.value,
                "revision": statement.excluded.revision,
                "note": None,
                "decided_by": None,
                "decided_at": None,
            },
            where=party_hits.c.state == HitState.false_positive.value,
        ).returning(*party_hits.c)
        row = fetch_one(connection, again, Hit)
        if row is not None:
            found.append(row)
    return found


def hits_of(connection: Connection, party_id: str) -> list[Hit]:
    """All likenesses of a party, the best first."""
    statement = select(party_hits).where(party_hits.c.party_id == party_id)
    return fetch_all(
        connection, statement.order_by(party_hits.c.score.desc(), party_hits.c.id), Hit
    )


def find_hit(connection: Connection, identifier: str, *, party_id: str) -> Hit | None:
    """One likeness, locked."""
    statement = select(party_hits).where(
        party_hits.c.id == identifier, party_hits.c.party_id == party_id
    )
    return fetch_one(connection, statement.with_for_update(), Hit)


def decide_hit(
    connection: Connection,
    identifier: str,
    *,
    state: HitState,
    note: str,
    by: str,
    now: datetime,
) -> None:
    """Write what a person said of a likeness."""
    connection.execute(
        update(party_hits)
        .where(party_hits.c.id == identifier)
        .values(state=state.value, note=note, decided_by=by, decided_at=now)
    )


def count_open(connection: Connection, party_ids: Collection[str]) -> dict[str, int]:
    """How many likenesses of each party nobody decided on."""
    statement = (
        select(party_hits.c.party_id, func.count())
        .where(among(party_hits.c.party_id, party_ids), party_hits.c.state == HitState.open.value)
        .group_by(party_hits.c.party_id)
    )
    return {row[0]: row[1] for row in connection.execute(statement)}
