"""Webhook endpoints, what is due to each of them, and every try.

``webhook_deliveries`` is the queue. ``next_attempt_at`` is when a row may be claimed: the time of
its next try, or, while ``lease_token`` is set, the end of the lease of the notifier that has it.
So one index serves both, and a notifier that died is followed by simply waiting.
"""

from sqlalchemy import Boolean, Column, Index, Integer, SmallInteger, Table, Text, text
from sqlalchemy.dialects.postgresql import ARRAY

from sakk.store.schema import Identifier, Timestamp, metadata

webhook_endpoints = Table(
    "webhook_endpoints",
    metadata,
    Column("id", Identifier, primary_key=True),
    Column("account_id", Identifier, nullable=False),
    Column("livemode", Boolean, nullable=False),
    Column("url", Text, nullable=False),
    Column("description", Text),
    Column("metadata", Text, nullable=False, server_default=text("'{}'")),
    Column("enabled_events", ARRAY(Text), nullable=False),
    Column("status", Text, nullable=False),
    Column("disabled_reason", Text),
    Column("secret", Text, nullable=False),
    Column("previous_secret", Text),
    Column("previous_secret_until", Timestamp),
    Column("failing_since", Timestamp),
    Column("created", Timestamp, nullable=False),
    Index(None, "account_id", "livemode", "id"),
)

webhook_deliveries = Table(
    "webhook_deliveries",
    metadata,
    Column("id", Identifier, primary_key=True),
    Column("event_id", Identifier, nullable=False),
    Column("endpoint_id", Identifier, nullable=False),
    Column("account_id", Identifier, nullable=False),
    Column("status", Text, nullable=False),
    Column("attempt_count", Integer, nullable=False, server_default=text("0")),
    Column("retry_step", SmallInteger, nullable=False, server_default=text("0")),
    Column("next_attempt_at", Timestamp),
    Column("lease_token", Text),
    Column("response_status", SmallInteger),
    Column("response_ms", Integer),
    Column("response_excerpt", Text),
    Column("error", Text),
    Column("created", Timestamp, nullable=False),
    Index(
        "ix_webhook_deliveries_due",
        "endpoint_id",
        "next_attempt_at",
        postgresql_where=text("status = 'pending'"),
    ),
    Index(None, "event_id", "endpoint_id", unique=True),
    Index(None, "endpoint_id", "id"),
)

webhook_attempts = Table(
    "webhook_attempts",
    metadata,
    Column("delivery_id", Identifier, primary_key=True),
    Column("attempt", Integer, primary_key=True, autoincrement=False),
    Column("account_id", Identifier, nullable=False),
    Column("started_at", Timestamp, nullable=False),
    Column("duration_ms", Integer, nullable=False),
    Column("response_status", SmallInteger),
    Column("response_excerpt", Text),
    Column("error", Text),
)
