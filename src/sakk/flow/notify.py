"""The stage that tells the world: claims due webhook deliveries, sends them, records the outcome.

Two threads. The stage's own thread talks to the database; a second one runs an event loop that
sends, many at once over connections that are kept. Between them stand a call into the loop and a
queue of outcomes. A claim commits before anything is sent, under a lease: a process that dies in
between sends again when the lease ends, under the same ``webhook-id`` (at least once, never
lost).

One endpoint cannot delay another: a claim takes the head of every endpoint's queue before the
second of any, an endpoint has at most ``IN_FLIGHT_MAX`` requests open, and one that is slow or
silent gets only ``ROOM_SLOW`` rows claimed, so that it cannot fill the house.
"""

import queue
import random
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final

import structlog
from aiohttp.abc import AbstractResolver
from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError

from sakk.core import webhook as rules
from sakk.core import webhook_event
from sakk.core.event import NewEvent
from sakk.core.webhook import DeliveryStatus
from sakk.flow.delivery import LEASE_SECONDS, SEND_SECONDS_MAX, Clock, Released, Sender, Try
from sakk.flow.webhook import to_public
from sakk.store import delivery as delivery_store
from sakk.store import event as event_store
from sakk.store import identity
from sakk.store import webhook as store
from sakk.store.database import Database
from sakk.store.delivery import Claim, Outcome
from sakk.store.webhook import WebhookEndpoint

POLL_SECONDS: Final = 1.0
CLAIM_ROWS_MAX: Final = 500
ROOM_UNKNOWN: Final = 32
ROOM_FAST: Final = 256
ROOM_SLOW: Final = 4
SLOW_MS: Final = 1000
OUTSTANDING_MAX: Final = 2000
ENDPOINTS_KNOWN_MAX: Final = 2000
STOP_SECONDS_MAX: Final = 3.0

log = structlog.get_logger(__name__)


class Notifier:
    """The stage. ``run`` in a thread of its own, until ``stop``; ``wake`` is set when rows are due.

    ``clock`` and ``jitter_permille`` are the world outside, replaced in tests.
    """

    def __init__(
        self,
        database: Database,
        *,
        allow_loopback: bool = False,
        clock: Clock = identity.now,
        jitter_permille: Callable[[], int] | None = None,
        poll_seconds: float = POLL_SECONDS,
        lease_seconds: float = LEASE_SECONDS,
        send_seconds_max: float = SEND_SECONDS_MAX,
        resolver: AbstractResolver | None = None,
    ) -> None:
        if lease_seconds <= send_seconds_max:
            raise ValueError("lease_seconds must be longer than send_seconds_max")
        self._database = database
        self._allow_loopback = allow_loopback
        self._clock = clock
        self._jitter_permille = jitter_permille or _random_jitter
        self._poll_seconds = poll_seconds
        self._lease_seconds = lease_seconds
        self._send_seconds_max = send_seconds_max
        self._resolver = resolver
        self._token = secrets.token_hex(16)
        self._outstanding: dict[str, int] = {}
        self._slow: OrderedDict[str, bool] = OrderedDict()
        self._unrecorded: list[Try] = []
        self._unreleased: list[Claim] = []

    def run(self, stop: threading.Event, wake: threading.Event) -> None:
        """Deliver until ``stop``. A database that is away is waited for."""
        with Sender(
            allow_loopback=self._allow_loopback,
            clock=self._clock,
            ready=wake,
            send_seconds_max=self._send_seconds_max,
            lease_seconds=self._lease_seconds,
            resolver=self._resolver,
        ) as sender:
            while not stop.is_set():
                wake.clear()
                try:
                    if self._step(sender):
                        continue
                except SQLAlchemyError as error:
                    log.warning("webhook.database_unavailable", error=type(error).__name__)
                    stop.wait(self._poll_seconds)
                    continue
                wake.wait(self._poll_seconds)
            sender.stop(STOP_SECONDS_MAX)
            try:
                self._finish(sender)
            except SQLAlchemyError as error:
                # The leases end by themselves, and what was not recorded is sent again.
                log.warning("webhook.outcomes_not_recorded", error=type(error).__name__)

    def _step(self, sender: Sender) -> bool:
        """Record what came back, claim what is due, hand it over; True if more may be due."""
        self._collect(sender)
        now = self._clock()
        outstanding = sum(self._outstanding.values())
        limit = min(CLAIM_ROWS_MAX, OUTSTANDING_MAX - outstanding)
        room = self._room()
        with self._database.begin() as connection:
            # Both halves repeat safely (a lost claim is claimed again, a lost outcome is sent
            # again under the same id), so neither waits for the disk.
            connection.execute(text("SET LOCAL synchronous_commit TO off"))
            self._record(connection, now=now)
            claims = (
                delivery_store.claim(
                    connection,
                    now=now,
                    lease_until=now + timedelta(seconds=self._lease_seconds),
                    token=self._token,
                    limit=limit,
                    room_default=ROOM_UNKNOWN,
                    room=room,
                )
                if limit > 0
                else []
            )
        self._unrecorded.clear()
        self._unreleased.clear()
        if not claims:
            return False
        for claim in claims:
            self._outstanding[claim.endpoint_id] = self._outstanding.get(claim.endpoint_id, 0) + 1
        sender.submit(claims)
        return len(claims) == limit

    def _finish(self, sender: Sender) -> None:
        self._collect(sender)
        with self._database.begin() as connection:
            self._record(connection, now=self._clock())

    def _collect(self, sender: Sender) -> None:
        """Take the results that are there, and learn from them who is slow."""
        with suppress(queue.Empty):
            while True:
                result = sender.results.get_nowait()
                endpoint_id = result.claim.endpoint_id
                left = self._outstanding.get(endpoint_id, 1) - 1
                if left:
                    self._outstanding[endpoint_id] = left
                else:
                    self._outstanding.pop(endpoint_id, None)
                if isinstance(result, Released):
                    self._unreleased.append(result.claim)
                    continue
                self._unrecorded.append(result)
                self._slow[endpoint_id] = result.status is None or result.duration_ms > SLOW_MS
                self._slow.move_to_end(endpoint_id)
                if len(self._slow) > ENDPOINTS_KNOWN_MAX:
                    self._slow.popitem(last=False)

    def _room(self) -> Mapping[str, int]:
        """How many more rows each known endpoint may have claimed."""
        room = {
            endpoint_id: ROOM_SLOW if slow else ROOM_FAST
            for endpoint_id, slow in self._slow.items()
        }
        for endpoint_id, count in self._outstanding.items():
            room[endpoint_id] = room.get(endpoint_id, ROOM_UNKNOWN) - count
        return room

    def _record(self, connection: Connection, *, now: datetime) -> None:
        if self._unreleased:
            delivery_store.release(
                connection,
                [claim.id for claim in self._unreleased],
                token=self._token,
                now=now,
            )
        if not self._unrecorded:
            return
        verdicts = [
            rules.judge(
                response_status=tried.status,
                retry_after=tried.retry_after,
                retry_step=tried.claim.retry_step,
                once=_is_test(tried),
                now=now,
                jitter_permille=self._jitter_permille(),
            )
            for tried in self._unrecorded
        ]
        delivery_store.record(
            connection,
            [
                Outcome(
                    claim=tried.claim,
                    started_at=tried.started_at,
                    duration_ms=tried.duration_ms,
                    response_status=tried.status,
                    response_excerpt=tried.excerpt,
                    error=tried.error,
                    status=verdict.status,
                    next_attempt_at=verdict.next_attempt_at,
                )
                for tried, verdict in zip(self._unrecorded, verdicts, strict=True)
            ],
            token=self._token,
        )
        self._record_health(connection, verdicts, now=now)

    def _record_health(
        self, connection: Connection, verdicts: Sequence[rules.Verdict], *, now: datetime
    ) -> None:
        """Note which endpoints fail or recovered; disable those gone or failing for days.

        Tests say nothing of that: they are sent to see what is not right yet.
        """
        succeeded: set[str] = set()
        healed: set[str] = set()
        failed: dict[str, datetime | None] = {}
        gone: set[str] = set()
        for tried, verdict in zip(self._unrecorded, verdicts, strict=True):
            if _is_test(tried):
                continue
            endpoint_id = tried.claim.endpoint_id
            if verdict.status is DeliveryStatus.succeeded:
                succeeded.add(endpoint_id)
                if tried.claim.failing_since is not None:
                    healed.add(endpoint_id)
                continue
            failed[endpoint_id] = tried.claim.failing_since
            if verdict.gone:
                gone.add(endpoint_id)
        failing = {name: since for name, since in failed.items() if name not in succeeded}
        if healed:
            store.mark_succeeding(connection, sorted(healed))
        started = sorted(name for name, since in failing.items() if since is None)
        if started:
            store.mark_failing(connection, started, since=now)
        hopeless = {
            name
            for name, since in failing.items()
            if rules.failing_too_long(since, now=now) and name not in gone
        }
        for reason, identifiers in (("gone", gone), ("failing", hopeless)):
            if identifiers:
                self._disable(connection, sorted(identifiers), reason=reason, now=now)

    def _disable(
        self, connection: Connection, identifiers: Sequence[str], *, reason: str, now: datetime
    ) -> None:
        """Stop sending to endpoints, and tell the account and the operator."""
        endpoints = store.disable_endpoints(connection, identifiers, reason=reason)
        event_store.append(
            connection,
            [
                _about(endpoint, type)
                for endpoint in endpoints
                for type in (
                    webhook_event.WEBHOOK_ENDPOINT_DISABLED,
                    webhook_event.WEBHOOK_ENDPOINT_FAILING,
                )
            ],
            now=now,
        )
        for endpoint in endpoints:
            log.warning(
                "webhook.endpoint_disabled",
                endpoint=endpoint.id,
                account=endpoint.account_id,
                reason=reason,
            )


def _is_test(tried: Try) -> bool:
    return tried.claim.event_type == webhook_event.WEBHOOK_ENDPOINT_TEST


def _about(endpoint: WebhookEndpoint, type: str) -> NewEvent:
    return NewEvent(
        account_id=endpoint.account_id,
        livemode=endpoint.livemode,
        type=type,
        object_id=endpoint.id,
        object=to_public(endpoint),
    )


def _random_jitter() -> int:
    return random.randint(0, rules.JITTER_PERMILLE_MAX)  # noqa: S311 - spreads retries, no secret
