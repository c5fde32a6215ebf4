"""Sessions: opened, raised, asked about, revoked and closed by the signature of an agent's key.

No API key is needed: what is signed names this installation, the channel or the mandate, and a
time. Everything may be sent again, and does then what it did the first time.
"""

import hashlib
import time
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Connection

from sakk.core import ids
from sakk.core import session as rules
from sakk.core.channel import PREFIX as CHANNEL_PREFIX
from sakk.core.channel import Channel, ChannelStatus
from sakk.core.errors import (
    Misconfigured,
    ParameterInvalid,
    ResourceMissing,
    SignatureInvalid,
    UnexpectedState,
)
from sakk.core.evm import digest_signer
from sakk.core.session import Closing, Opening, Query, Revocation, Session, VoucherBody
from sakk.core.spend import Payee
from sakk.flow import channel as channels
from sakk.flow import mandate, receipt
from sakk.flow.channel import ChannelRequest, Countersigned
from sakk.flow.context import Parts
from sakk.store import channel as channel_store
from sakk.store import session as store
from sakk.store.account import find_operator
from sakk.store.actor import acting
from sakk.store.identity import new_id
from sakk.store.mandate import find_any

CHANNELS_MAX: Final = 100

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Opened:
    """A session with its key, and its channel."""

    session: Session
    key: bytes = field(repr=False)
    channel: Channel


def network_of(connection: Connection) -> str:
    """The name of this installation among networks."""
    operator = find_operator(connection)
    if operator is None:
        raise Misconfigured("This Sakk has no operator's account yet. Start `sakk serve` once.")
    return rules.network_of(operator.id)


def issue(parts: Parts, channel: Channel, *, salt: bytes) -> Opened:
    """A session on an open channel; the same one for the same salt."""
    vault = parts.secrets_vault()
    now = parts.clock()
    with parts.database.begin() as connection:
        found = store.find_by_salt(connection, channel.id, salt)
        if found is None:
            if channel.status != ChannelStatus.open or channel.expires_at <= now:
                raise UnexpectedState(
                    f"The channel is {channel.status}. Open another.", param="channel"
                )
            identifier = new_id(rules.PREFIX)
            found = Session(
                id=identifier,
                channel_id=channel.id,
                handle=rules.handle_of(identifier),
                salt=salt,
                expires_at=channel.expires_at,
                created=now,
            )
            store.insert(connection, found)
            found = store.find_by_salt(connection, channel.id, salt)
            assert found is not None
    if found.revoked_at is not None:
        raise UnexpectedState(
            "This session was revoked. Open another with another salt.", param="salt"
        )
    return Opened(found, vault.derive(found.id), channel)


def open_signed(parts: Parts, opening: Opening, signature: bytes) -> Opened:
    """Open a channel under a mandate, or another session on a channel; safe to repeat."""
    now = parts.clock()
    _check_signed(parts, opening.network, rules.open_digest(opening), signature, opening.signer)
    _check_deadline(parts, opening.deadline)
    if opening.channel:
        with parts.database.begin() as connection:
            channel = _own(connection, opening.channel, opening.signer)
        for name in ("payee", "currency"):
            if getattr(opening, name) != getattr(channel, name):
                raise ParameterInvalid(
                    f"The channel is of another {name}. Open another.", param=name
                )
        if opening.ceiling > channel.ceiling:
            said = Countersigned(ceiling=opening.ceiling, head=channel.head, signature=signature)
            channel = channels.raise_ceiling(parts, channel.id, said)
        return issue(parts, channel, salt=opening.salt)
    # The same opening is the same channel, whoever carries it out and however often.
    seed = hashlib.sha256(opening.mandate.encode() + b"\0" + opening.salt).digest()
    identifier = ids.encode(
        CHANNEL_PREFIX,
        ids.uuid7(now_ms=opening.deadline * 1_000, random=seed[: ids.RANDOM_BYTES]),
    )
    with parts.database.begin() as connection:
        found = find_any(connection, opening.mandate)
        if found is None or found.agent != opening.signer:
            raise ResourceMissing(
                f"This key has no mandate {opening.mandate!r}. The account's owner gives it one.",
                param="mandate",
            )
        legs = mandate.step_legs(
            connection,
            opening.mandate,
            units=opening.ceiling,
            payee=Payee(account=opening.payee),
            currency=opening.currency,
            scheme=rules.SCHEME,
            at=now,
        )
    channel = channels.open_channel(
        parts,
        ChannelRequest(
            payee=opening.payee,
            currency=opening.currency,
            ceiling=opening.ceiling,
            signer=opening.signer,
            mandate=opening.mandate,
            amount_min=legs.call_min,
            amount_max=legs.call_max,
            expires_at=legs.expires_at,
        ),
        identifier=identifier,
        payer=legs.account_id,
        livemode=legs.mandate.livemode,
        signature=signature,
    )
    return issue(parts, channel, salt=opening.salt)


def raise_signed(parts: Parts, voucher: VoucherBody, signature: bytes) -> Channel:
    """Raise a channel's ceiling, and keep what the payer says of its charges; safe to repeat."""
    channel = _signed_for(
        parts, voucher.network, voucher.channel, rules.voucher_digest(voucher), signature
    )
    said = Countersigned(
        ceiling=voucher.ceiling,
        spent=voucher.spent,
        charges=voucher.charges,
        head=voucher.head,
        signature=signature,
    )
    return channels.raise_ceiling(parts, channel.id, said)


def query_signed(parts: Parts, query: Query, signature: bytes) -> list[Channel]:
    """The channel that is asked about, or all of the key's that are not closed."""
    _check_signed(parts, query.network, rules.query_digest(query), signature, query.signer)
    _check_deadline(parts, query.deadline)
    with parts.database.begin() as connection:
        if query.channel:
            return [_own(connection, query.channel, query.signer)]
        return channel_store.list_of_signer(connection, query.signer, limit=CHANNELS_MAX)


def close_signed(parts: Parts, closing: Closing, signature: bytes) -> Channel:
    """Close a channel: what is not reserved is back at once; safe to repeat."""
    _check_deadline(parts, closing.deadline)
    digest = rules.close_digest(closing)
    channel = _signed_for(parts, closing.network, closing.channel, digest, signature)
    return channels.close(parts, channel.id)


def revoke(parts: Parts, channel: Channel, session_id: str) -> Session:
    """End one session of a channel: when this returns no process reserves by it any more.

    What was reserved before may still be committed or released, and its channel goes on. Safe to
    repeat. ResourceMissing where the channel has no such session.
    """
    with parts.database.begin() as connection:
        found = store.find(connection, session_id)
        if found is None or found.channel_id != channel.id:
            raise ResourceMissing(
                "The channel has no session {session}.", param="session", session=repr(session_id)
            )
        store.revoke(connection, session_id)
        revoked = store.find(connection, session_id)
        assert revoked is not None
    # Whoever remembers it has asked again by then, or admits nobody until it has.
    time.sleep(rules.ADMITTED_SECONDS)
    return revoked


def revoke_signed(parts: Parts, revocation: Revocation, signature: bytes) -> Session:
    """End one session by the word of its channel's key; safe to repeat."""
    _check_deadline(parts, revocation.deadline)
    with parts.database.begin() as connection:
        found = store.find(connection, revocation.session)
    if found is None:
        raise _unsigned()
    digest = rules.revoke_digest(revocation)
    channel = _signed_for(parts, revocation.network, found.channel_id, digest, signature)
    with acting(str(channel.signer), ""):
        return revoke(parts, channel, found.id)


def standing(parts: Parts, channel: Channel) -> Document:
    """A channel as its payer is told of it, with the head of its receipts signed."""
    vault = parts.secrets_vault()
    with parts.database.begin() as connection:
        locked = channel_store.lock(connection, channel.id)
        assert locked is not None
        current = receipt.carry_on(connection, locked)
    [left] = channels.available(parts, [current])
    return {
        "channel": current.id,
        "status": current.status,
        "payee": current.payee,
        "currency": current.currency,
        "mandate": current.mandate,
        "ceiling": str(current.ceiling),
        "funded": str(current.funded),
        "available": str(left),
        "spent": str(current.spent),
        "charges": current.charges,
        "head": current.head.hex(),
        "returned": str(current.returned),
        "amount_min": None if current.amount_min is None else str(current.amount_min),
        "amount_max": None if current.amount_max is None else str(current.amount_max),
        "expires_at": int(current.expires_at.timestamp()),
        "statement": receipt.sign(vault, current).document(),
    }


def _signed_for(
    parts: Parts, network: str, channel_id: str, digest: bytes, signature: bytes
) -> Channel:
    """The channel whose key signed; SignatureInvalid where it is another's, or there is none."""
    with parts.database.begin() as connection:
        channel = channel_store.find(connection, channel_id)
    if channel is None or channel.signer is None:
        raise _unsigned()
    _check_signed(parts, network, digest, signature, channel.signer)
    return channel


def _check_signed(parts: Parts, network: str, digest: bytes, signature: bytes, signer: str) -> None:
    with parts.database.begin() as connection:
        own = network_of(connection)
    if network != own:
        raise ParameterInvalid(f"This is {own}. Sign for it.", param="network")
    try:
        by = digest_signer(digest, signature)
    except ValueError:
        raise _unsigned() from None
    if by != signer:
        raise _unsigned()


def _check_deadline(parts: Parts, deadline: int) -> None:
    fault = rules.deadline_fault(deadline, parts.clock())
    if fault is not None:
        raise ParameterInvalid(fault, param="deadline")


def _own(connection: Connection, channel_id: str, signer: str) -> Channel:
    channel = channel_store.find(connection, channel_id)
    if channel is None or channel.signer != signer:
        raise ResourceMissing(f"This key has no channel {channel_id!r}.", param="channel")
    return channel


def _unsigned() -> SignatureInvalid:
    return SignatureInvalid("This is not signed by the key that may ask for it.", param="signature")
