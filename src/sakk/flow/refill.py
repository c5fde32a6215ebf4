"""Refills: a channel is kept funded by a rule, up to what its agent has signed.

The rule signs nothing. It funds the next step of a ceiling that stands there already, under the
channel's mandate: when either has no more, the rule is exhausted, and the account is told.
"""

from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection

from sakk.core import event
from sakk.core import refill as rules
from sakk.core.channel import Channel, ChannelStatus
from sakk.core.errors import (
    ParameterInvalid,
    ResourceMissing,
    SakkError,
    UnexpectedState,
)
from sakk.core.event import NewEvent
from sakk.core.refill import Refill, RefillStatus
from sakk.flow import channel as channels
from sakk.flow.context import Parts
from sakk.flow.stage import Stage
from sakk.store import channel as channel_store
from sakk.store import event as events
from sakk.store import refill as store
from sakk.store.lease import retry_delay

BATCH_MAX: Final = 100
IDLE_SECONDS: Final = 1.0
# A mandate that refuses so often in a row, for longer and longer, has no more for this channel.
FAILURES_MAX: Final = 10


def create(
    connection: Connection,
    channel_id: str,
    *,
    below: int,
    up_to: int,
    identifier: str,
    account_id: str,
    livemode: bool,
    now: datetime,
) -> Refill:
    """A rule for a channel that the account pays, under a mandate; one rule a channel.

    Raises ResourceMissing, ParameterInvalid, UnexpectedState.
    """
    rules.check(below, up_to)
    found = channel_store.find(connection, channel_id, livemode=livemode)
    if found is None or found.account_id != account_id:
        raise ResourceMissing(
            "No such channel: {channel}", param="channel", channel=repr(channel_id)
        )
    if found.mandate is None:
        raise ParameterInvalid(
            "Only a channel under a mandate is refilled: the mandate bounds what is put in.",
            param="channel",
        )
    if found.status not in (ChannelStatus.opening, ChannelStatus.open):
        raise UnexpectedState(
            "The channel is {status}. Open another.", param="channel", status=found.status
        )
    refill = Refill(
        id=identifier,
        account_id=account_id,
        livemode=livemode,
        channel=found.id,
        mandate=found.mandate,
        below=below,
        up_to=up_to,
        status=RefillStatus.active.value,
        failure_code=None,
        failures=0,
        retry_at=None,
        created=now,
    )
    if not store.insert(connection, refill):
        raise UnexpectedState("This channel has a rule: end that one first.", param="channel")
    return refill


def find(connection: Connection, identifier: str, *, account_id: str, livemode: bool) -> Refill:
    """A rule of the account; ResourceMissing."""
    found = store.find(connection, identifier, account_id=account_id, livemode=livemode)
    if found is None:
        raise ResourceMissing("No such refill: {refill}", param="refill", refill=repr(identifier))
    return found


def end(connection: Connection, identifier: str, *, account_id: str, livemode: bool) -> Refill:
    """The rule puts nothing in any more; safe to repeat."""
    refill = find(connection, identifier, account_id=account_id, livemode=livemode)
    store.change(connection, refill.id, {"status": RefillStatus.ended.value})
    return find(connection, identifier, account_id=account_id, livemode=livemode)


def refill_stage(parts: Parts) -> Stage:
    """The stage that looks at what is left of channels with a rule, and funds the next step."""

    looked_at = ""

    def run() -> int:
        nonlocal looked_at
        now = parts.clock()
        with parts.database.read() as connection:
            due = store.list_due(connection, now=now, after=looked_at, limit=BATCH_MAX)
            found = [channel_store.find(connection, each.channel) for each in due]
        # Round and round: of many rules the first do not keep the last waiting.
        looked_at = due[-1].id if len(due) == BATCH_MAX else ""
        both = [(rule, of) for rule, of in zip(due, found, strict=True) if of is not None]
        left = channels.available(parts, [of for _, of in both])
        return sum(
            _carry_out(parts, rule, of, units) for (rule, of), units in zip(both, left, strict=True)
        )

    return Stage("channel.refill", run, idle_seconds=IDLE_SECONDS)


def _carry_out(parts: Parts, refill: Refill, channel: Channel, left: int) -> bool:
    """Fund the next step if there is little left; True where something was done."""
    if channel.status in (ChannelStatus.closing, ChannelStatus.closed):
        return _change(parts, refill, {"status": RefillStatus.ended.value})
    to = rules.wanted(refill, ceiling=channel.ceiling, funded=channel.funded, left=left)
    if to is None:
        return False
    try:
        channels.fund(parts, channel.id, to)
    except SakkError as error:
        return _refused(parts, refill, error)
    return _change(parts, refill, {"failures": 0, "failure_code": None, "retry_at": None})


def _refused(parts: Parts, refill: Refill, error: SakkError) -> bool:
    """Try again later, more and more seldom; at last the account is told."""
    failures = refill.failures + 1
    values: dict[str, Any] = {
        "failures": failures,
        "failure_code": error.code,
        "retry_at": parts.clock() + max(retry_delay(failures), timedelta(seconds=1)),
    }
    if failures >= FAILURES_MAX or not error.transient:
        values["status"] = RefillStatus.exhausted.value
    return _change(parts, refill, values)


def _change(parts: Parts, refill: Refill, values: dict[str, Any]) -> bool:
    with parts.database.begin() as connection:
        store.change(connection, refill.id, values)
        if values.get("status") == RefillStatus.exhausted.value:
            after = find(
                connection, refill.id, account_id=refill.account_id, livemode=refill.livemode
            )
            told = NewEvent(
                account_id=refill.account_id,
                livemode=refill.livemode,
                type=event.REFILL_EXHAUSTED,
                object_id=refill.id,
                object=rules.public_refill(after),
            )
            events.append(connection, [told], now=parts.clock())
    return True
