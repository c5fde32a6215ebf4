"""Events: appended with the change they tell of, and the outbox of webhook deliveries with them.

The whole envelope is encoded once, at append, and kept as the exact text (``json``, not
``jsonb``): every delivery and redelivery carries the same bytes, and a string that ``jsonb``
would refuse (a NUL in a token's name) cannot fail the transaction that records money.
"""

import hashlib
import json
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import msgspec
from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Index,
    Table,
    Text,
    cast,
    func,
    select,
)
from sqlalchemy.dialects.postgresql import JSON

from sakk.core import ids
from sakk.core.audit import DECISIONS
from sakk.core.event import ALARMS, API_VERSION, NewEvent, wants
from sakk.core.webhook_event import ADDRESSED
from sakk.store import audit
from sakk.store.database import drive, fetch_all, fetch_one, notify_after, run
from sakk.store.schema import Identifier, Timestamp, metadata
from sakk.store.webhook import (
    NOTIFY_WEBHOOK_DELIVERY,
    webhook_deliveries,
)

BATCH_EVENTS_MAX: Final = 10_000
PAGE_EVENTS_MAX: Final = 100

events = Table(
    "events",
    metadata,
    Column("id", Identifier, primary_key=True),
    Column("account_id", Identifier),
    Column("livemode", Boolean, nullable=False),
    Column("type", Text, nullable=False),
    Column("audience", Text, nullable=False),
    Column("object_id", Identifier, nullable=False),
    Column("request_id", Text),
    Column("body", JSON(none_as_null=True), nullable=False),
    Column("created", Timestamp, nullable=False),
    Index(None, "account_id", "livemode", "id"),
    Index(None, "object_id", "id"),
)


@dataclass(frozen=True, slots=True)
class Event:
    """A row: ``body`` is the envelope's exact text; ``pending_webhooks`` is counted now."""

    id: str
    account_id: str | None
    livemode: bool
    type: str
    audience: str
    object_id: str
    request_id: str | None
    body: str
    created: datetime
    pending_webhooks: int

    @property
    def object(self) -> dict[str, Any]:
        """The object as it stood after the change."""
        return dict(json.loads(self.body)["data"]["object"])


@dataclass(frozen=True, slots=True)
class Head:
    """An event without its body, for lists."""

    id: str
    account_id: str | None
    livemode: bool
    type: str
    audience: str
    object_id: str
    request_id: str | None
    created: datetime


# The bodies travel as one JSON array, whose elements keep their exact text: escaping every quote
# of every body for a text[] would cost more than all the rest.
_INSERT_EVENTS: Final = """
INSERT INTO events
    (id, account_id, livemode, type, audience, object_id, request_id, body, created)
SELECT id, account_id, livemode, type, audience, object_id, request_id, body, %(created)s
FROM ROWS FROM (
    json_to_recordset(CAST(%(rows)s AS json)) AS (
        id text, account_id text, livemode boolean, type text, audience text, object_id text,
        request_id text
    ),
    json_array_elements(CAST(%(bodies)s AS json))
) AS new(id, account_id, livemode, type, audience, object_id, request_id, body)
"""

_SELECT_ENDPOINTS: Final = """
SELECT id, account_id, livemode, enabled_events
FROM webhook_endpoints
WHERE account_id {matches} AND status = 'enabled'
ORDER BY id
"""
# By one account the plan is made once, of ``= ANY`` PostgreSQL makes it for every call.
_SELECT_ENDPOINTS_OF_ONE: Final = _SELECT_ENDPOINTS.format(matches="= %(account)s")
_SELECT_ENDPOINTS_OF_MANY: Final = _SELECT_ENDPOINTS.format(matches="= ANY(%(accounts)s)")

_SELECT_OPERATORS: Final = """
SELECT id, account_id, livemode
FROM webhook_endpoints
WHERE account_id IN (SELECT id FROM accounts WHERE kind = 'operator') AND status = 'enabled'
    AND '*' = ANY(enabled_events)
ORDER BY id
"""

_NUL: Final = "\\u0000"
_SHOWN_NUL: Final = "\\ufffd"
_ENCODER: Final = json.JSONEncoder(separators=(",", ":"), allow_nan=False)

_INSERT_DELIVERIES: Final = """
INSERT INTO webhook_deliveries
    (id, event_id, endpoint_id, account_id, status, next_attempt_at, created)
SELECT id, event_id, endpoint_id, account_id, 'pending', %(now)s, %(now)s
FROM json_to_recordset(CAST(%(rows)s AS json))
    AS new(id text, event_id text, endpoint_id text, account_id text)
"""


def append(connection: Connection, events: Sequence[NewEvent], *, now: datetime) -> list[str]:
    """Write events, and a due delivery for every endpoint that wants one; their ids, in order.

    At most three statements, whatever the number of events. The notifier is woken at commit.
    """
    if not events:
        return []
    if len(events) > BATCH_EVENTS_MAX:
        raise ValueError(f"at most {BATCH_EVENTS_MAX} events in one batch, not {len(events)}")
    identifiers = consecutive_ids("evt", len(events), now=now)
    deliveries = _deliveries(connection, identifiers, events)
    told: dict[str, int] = {}
    for event_id, _, _ in deliveries:
        told[event_id] = told.get(event_id, 0) + 1
    created = int(now.timestamp())
    bodies = [
        encode(identifier, event, created=created, pending=told.get(identifier, 0))
        for identifier, event in zip(identifiers, events, strict=True)
    ]
    rows = [
        {
            "id": identifier,
            "account_id": event.account_id,
            "livemode": event.livemode,
            "type": event.type,
            "audience": event.audience,
            "object_id": event.object_id,
            "request_id": event.request_id,
        }
        for identifier, event in zip(identifiers, events, strict=True)
    ]
    drive(
        connection,
        _INSERT_EVENTS,
        {
            "rows": msgspec.json.encode(rows).decode(),
            "bodies": f"[{','.join(bodies)}]",
            "created": now,
        },
    )
    _note_decisions(connection, identifiers, events, bodies)
    if deliveries:
        drive(
            connection,
            _INSERT_DELIVERIES,
            {
                "rows": msgspec.json.encode(
                    [
                        {
                            "id": identifier,
                            "event_id": event_id,
                            "endpoint_id": endpoint_id,
                            "account_id": account_id,
                        }
                        for identifier, (event_id, endpoint_id, account_id) in zip(
                            consecutive_ids("whd", len(deliveries), now=now),
                            deliveries,
                            strict=True,
                        )
                    ]
                ).decode(),
                "now": now,
            },
        )
        notify_after(connection, NOTIFY_WEBHOOK_DELIVERY)
    return identifiers


def _note_decisions(
    connection: Connection,
    identifiers: Sequence[str],
    events: Sequence[NewEvent],
    bodies: Sequence[str],
) -> None:
    """What is decided is in the audit log too, with the hash of what was told."""
    audit.note(
        connection,
        [
            audit.Note(
                source="events",
                act=event.type,
                key=identifier,
                subject=event.object_id,
                after={
                    "type": event.type,
                    "sha256": hashlib.sha256(body.encode()).hexdigest(),
                    # To be read; PostgreSQL takes no NUL where it looks into a document.
                    "object": json.loads(_ENCODER.encode(event.object).replace(_NUL, _SHOWN_NUL)),
                },
            )
            for identifier, event, body in zip(identifiers, events, bodies, strict=True)
            if event.type in DECISIONS
        ],
    )


def encode(identifier: str, event: NewEvent, *, created: int, pending: int) -> str:
    """The envelope as it is kept, signed and sent: plain ASCII JSON."""
    data: dict[str, Any] = {"object": event.object}
    if event.previous_attributes is not None:
        data["previous_attributes"] = event.previous_attributes
    envelope = {
        "id": identifier,
        "object": "event",
        "api_version": API_VERSION,
        "account": event.account_id,
        "created": created,
        "livemode": event.livemode,
        "pending_webhooks": pending,
        "request": {"id": event.request_id, "idempotency_key": None},
        "type": event.type,
        "data": data,
    }
    return _ENCODER.encode(envelope)


def to_public(event: Event) -> dict[str, Any]:
    """The Event in Stripe's envelope, with the deliveries that are still pending now."""
    public: dict[str, Any] = json.loads(event.body)
    public["pending_webhooks"] = event.pending_webhooks
    return public


def get(
    connection: Connection, identifier: str, *, account_id: str | None, livemode: bool
) -> Event | None:
    """One event. A merchant (``account_id``) sees its own; the operator (None) sees all."""
    return fetch_one(
        connection,
        _SELECT.where(events.c.id == identifier, *_visible(account_id, livemode=livemode)),
        Event,
    )


def types_of(connection: Connection, identifiers: Sequence[str]) -> dict[str, str]:
    """What kind of event each is."""
    rows = connection.execute(
        select(events.c.id, events.c.type).where(events.c.id.in_(list(identifiers)))
    )
    return {row.id: row.type for row in rows}


def times_of(connection: Connection, object_id: str, *, type: str, limit: int) -> list[datetime]:
    """When an object's newest events of a type were, newest first."""
    statement = (
        select(events.c.created)
        .where(events.c.object_id == object_id, events.c.type == type)
        .order_by(events.c.id.desc())
        .limit(limit)
    )
    return list(connection.scalars(statement))


def page(
    connection: Connection,
    *,
    account_id: str | None,
    livemode: bool,
    limit: int = 10,
    starting_after: str | None = None,
    ending_before: str | None = None,
    types: Sequence[str] | None = None,
    object_id: str | None = None,
    created_gte: datetime | None = None,
    created_gt: datetime | None = None,
    created_lte: datetime | None = None,
    created_lt: datetime | None = None,
) -> tuple[list[Event], bool]:
    """A page of events, newest first, and whether more follow in the direction asked for.

    ``account_id`` None is the operator: every account and every audience. ``types`` may hold
    ``noun.*``.
    """
    if not 1 <= limit <= PAGE_EVENTS_MAX:
        raise ValueError(f"limit must be 1 to {PAGE_EVENTS_MAX}")
    statement = _SELECT.where(*_visible(account_id, livemode=livemode))
    if types is not None:
        exact = [name for name in types if not name.endswith(".*")]
        nouns = [name.removesuffix(".*") for name in types if name.endswith(".*")]
        statement = statement.where(
            events.c.type.in_(exact) | func.split_part(events.c.type, ".", 1).in_(nouns)
        )
    if object_id is not None:
        statement = statement.where(events.c.object_id == object_id)
    if created_gte is not None:
        statement = statement.where(events.c.created >= created_gte)
    if created_gt is not None:
        statement = statement.where(events.c.created > created_gt)
    if created_lte is not None:
        statement = statement.where(events.c.created <= created_lte)
    if created_lt is not None:
        statement = statement.where(events.c.created < created_lt)
    if starting_after is not None:
        statement = statement.where(events.c.id < starting_after)
    if ending_before is not None:
        statement = statement.where(events.c.id > ending_before).order_by(events.c.id)
    else:
        statement = statement.order_by(events.c.id.desc())
    rows = fetch_all(connection, statement.limit(limit + 1), Event)
    found = rows[:limit]
    return (found[::-1] if ending_before is not None else found), len(rows) > limit


_SELECT: Final = select(
    events.c.id,
    events.c.account_id,
    events.c.livemode,
    events.c.type,
    events.c.audience,
    events.c.object_id,
    events.c.request_id,
    cast(events.c.body, Text).label("body"),
    events.c.created,
    select(func.count())
    .where(webhook_deliveries.c.event_id == events.c.id, webhook_deliveries.c.status == "pending")
    .scalar_subquery()
    .label("pending_webhooks"),
)


def _visible(account_id: str | None, *, livemode: bool) -> list[ColumnElement[bool]]:
    conditions = [events.c.livemode == livemode]
    if account_id is not None:
        conditions += [events.c.account_id == account_id, events.c.audience == "merchant"]
    return conditions


def _deliveries(
    connection: Connection, identifiers: Sequence[str], events: Sequence[NewEvent]
) -> list[tuple[str, str, str]]:
    """(event, endpoint, account) for every enabled endpoint that wants an event."""
    return [
        *_alarms(connection, identifiers, events),
        *_merchants(connection, identifiers, events),
    ]


def _alarms(
    connection: Connection, identifiers: Sequence[str], events: Sequence[NewEvent]
) -> list[tuple[str, str, str]]:
    """What calls for the operator goes to the endpoints of the operator's own account."""
    alarms = [
        (identifier, event.livemode)
        for identifier, event in zip(identifiers, events, strict=True)
        if event.type in ALARMS
    ]
    if not alarms:
        return []
    operators = run(connection, _SELECT_OPERATORS, {}).all()
    return [
        (identifier, row.id, row.account_id)
        for identifier, livemode in alarms
        for row in operators
        if row.livemode == livemode
    ]


def _merchants(
    connection: Connection, identifiers: Sequence[str], events: Sequence[NewEvent]
) -> list[tuple[str, str, str]]:
    accounts = {event.account_id for event in events if event.audience == "merchant"}
    named = sorted(account for account in accounts if account)
    if not named:
        return []
    if len(named) == 1:
        rows = drive(connection, _SELECT_ENDPOINTS_OF_ONE, {"account": named[0]})
    else:
        rows = drive(connection, _SELECT_ENDPOINTS_OF_MANY, {"accounts": named})
    endpoints: dict[tuple[str | None, bool], list[tuple[str, list[str]]]] = {}
    for identifier, account_id, livemode, enabled_events in rows:
        endpoints.setdefault((account_id, livemode), []).append((identifier, enabled_events))
    return [
        (identifier, endpoint_id, event.account_id)
        for identifier, event in zip(identifiers, events, strict=True)
        if event.account_id is not None
        for endpoint_id, enabled_events in endpoints.get((event.account_id, event.livemode), [])
        if wants(enabled_events, event.type)
        or (event.type in ADDRESSED and event.object_id == endpoint_id)
    ]


def consecutive_ids(prefix: str, count: int, *, now: datetime) -> list[str]:
    """Fresh ids that sort in the order in which this process asked for them.

    Within a millisecond they count up from one random start (RFC 9562 section 6.2, method 2), so
    that events of one transaction, or of one instant, are listed as they happened.
    """
    milliseconds = int(now.timestamp() * 1000)
    with _counting:
        last = _last_ids.get(prefix)
        if last is not None and last >> _UUID_TIME_SHIFT == milliseconds:
            first = last + 1
        else:
            random = bytearray(os.urandom(ids.RANDOM_BYTES))
            # A clear top bit in the tail: counting up never reaches the UUID's variant.
            random[2] &= 0xDF
            first = ids.uuid7(now_ms=milliseconds, random=bytes(random))
        _last_ids[prefix] = first + count - 1
    return [ids.encode(prefix, first + offset) for offset in range(count)]


_UUID_TIME_SHIFT: Final = 80
_counting = threading.Lock()
_last_ids: dict[str, int] = {}
# A forked child that counted on from the same id would give the same ids.
os.register_at_fork(after_in_child=_last_ids.clear)
