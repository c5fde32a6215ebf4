"""Refunds of charges: written down, moved in the ledger at once, and finished when nobody did."""

from contextlib import suppress
from dataclasses import replace
from typing import Final

from sqlalchemy import Connection

from sakk.core import channel_event
from sakk.core import charge_refund as rules
from sakk.core.channel import Channel, ChannelKind
from sakk.core.charge import Step, charge_id
from sakk.core.charge_refund import ChargeRefund, ChargeRefundStatus
from sakk.core.errors import BalanceInsufficient, ResourceMissing, UnexpectedState
from sakk.core.event import NewEvent
from sakk.flow.book import PostingSet
from sakk.flow.context import Parts
from sakk.flow.mandate import FROZEN
from sakk.flow.stage import Stage
from sakk.store import channel as channels
from sakk.store import charge_refund as store
from sakk.store import event as events
from sakk.store import session as sessions
from sakk.store.failpoint import failpoint

BATCH_MAX: Final = 100


def create(
    parts: Parts,
    channel: Channel,
    session_id: str,
    nonce: int,
    *,
    identifier: str,
    amount: int | None = None,
    dispute: str | None = None,
) -> ChargeRefund:
    """Give back all or part of a charge; repeat under the same identifier.

    ResourceMissing where nothing was charged, ParameterInvalid above what was, BalanceInsufficient
    where the payee has not as much.
    """
    if channel.kind != ChannelKind.balance:
        raise UnexpectedState("What an escrow paid is refunded on its chain.", param="channel")
    charged = charged_amount(parts, channel, session_id, nonce)
    with parts.database.begin() as connection:
        refund = store.find(connection, identifier)
        if refund is None:
            # Of two refunds of one channel the second sees what the first gives back.
            locked = channels.lock(connection, channel.id)
            assert locked is not None
            before = store.refunded(connection, session_id, nonce, besides=dispute)
            refund = ChargeRefund(
                id=identifier,
                account_id=channel.payee,
                livemode=channel.livemode,
                channel_id=channel.id,
                session_id=session_id,
                nonce=nonce,
                amount=rules.amount_of(amount, charged=charged, refunded=before),
                currency=channel.currency,
                decimals=channel.decimals,
                to_payer=rules.goes_to_payer(locked),
                dispute=dispute,
                status=ChargeRefundStatus.requested.value,
                attempt=0,
                created=parts.clock(),
            )
            store.insert(connection, refund)
    return _finish(parts, channel, refund)


def charged_amount(parts: Parts, channel: Channel, session_id: str, nonce: int) -> int:
    """What a call of a channel was charged, by the ledger; ResourceMissing where it was not."""
    with parts.database.begin() as connection:
        session = sessions.find(connection, session_id)
    charged = 0
    if session is not None and session.channel_id == channel.id:
        [charged] = parts.books.amounts_moved([charge_id(session.handle, nonce, Step.committed)])
    if not charged:
        raise ResourceMissing(
            f"Nothing was charged for call {nonce} of {session_id!r} on this channel.",
            param="nonce",
        )
    return charged


def record(parts: Parts, connection: Connection, channel: Channel, refund: ChargeRefund) -> None:
    """Write down a refund that was booked as the hold of a dispute."""
    store.insert(connection, refund)
    _tell(parts, connection, channel, refund)


def left_behind_stage(parts: Parts) -> Stage:
    """The stage that finishes refunds whose request did not live to see the ledger's answer."""

    def run() -> int:
        with parts.database.begin() as connection:
            rows = store.list_left_behind(connection, now=parts.clock(), limit=BATCH_MAX)
            found = {each.id: channels.find(connection, each.channel_id) for each in rows}
        for row in rows:
            channel = found[row.id]
            assert channel is not None
            # Refused is an outcome too, and stands in the row.
            with suppress(BalanceInsufficient):
                _finish(parts, channel, row)
        return len(rows)

    return Stage("charge_refund.post", run, idle_seconds=5.0)


def _finish(parts: Parts, channel: Channel, refund: ChargeRefund) -> ChargeRefund:
    if refund.status == ChargeRefundStatus.requested:
        refund = _post(parts, channel, refund)
    if refund.status == ChargeRefundStatus.rejected:
        raise BalanceInsufficient(
            "The payee's available balance does not cover the refund.", param="amount"
        )
    return refund


def _post(parts: Parts, channel: Channel, refund: ChargeRefund) -> ChargeRefund:
    money = rules.posting(channel, refund.amount, to_payer=refund.to_payer)
    failpoint("charge_refund.post.before")
    [outcome] = parts.books.post([PostingSet(refund.id, rules.STEP, refund.attempt, [money])])
    failpoint("charge_refund.post.after")
    if outcome.refusal in FROZEN and not refund.to_payer:
        # The channel was closed since: another attempt goes past it.
        with parts.database.begin() as connection:
            store.turn_to_payer(connection, refund)
        return _post(parts, channel, replace(refund, to_payer=True, attempt=refund.attempt + 1))
    status = ChargeRefundStatus.posted if outcome.booked else ChargeRefundStatus.rejected
    done = replace(refund, status=status.value)
    with parts.database.begin() as connection:
        if store.finish(connection, refund, status) and outcome.booked:
            _tell(parts, connection, channel, done)
    return done


def _tell(parts: Parts, connection: Connection, channel: Channel, refund: ChargeRefund) -> None:
    events.append(
        connection,
        [
            NewEvent(
                account_id=who,
                livemode=refund.livemode,
                type=channel_event.CHARGE_REFUNDED,
                object_id=refund.id,
                object=rules.public_charge_refund(refund),
            )
            for who in (channel.account_id, channel.payee)
            if who is not None
        ],
        now=parts.clock(),
    )
