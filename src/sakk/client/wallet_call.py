"""A channel as the wallet has it, and one call on it: what is signed, what the receipt must say."""

import secrets
from dataclasses import dataclass, field
from typing import Any, Final

from sakk.client.session import SCHEME, call_mac, receipt_mac
from sakk.client.wallet_log import Receipt
from sakk.client.x402 import Requirement

_RESERVED: Final = 1


@dataclass(slots=True)
class Channel:
    """A channel as the wallet has it. ``signed``: the ceiling; ``taken``: what calls took of it.

    ``spent``, ``charges``, ``head``: where the authority last said the channel stands, which the
    next voucher signs. ``in_flight``: what calls took whose answers did not come yet.
    """

    id: str
    session: str
    key: bytes
    signed: int
    taken: int
    spent: int
    charges: int
    head: str
    nonce: int
    expires: int
    network: str = ""
    in_flight: int = 0
    steps: list[Receipt] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Call:
    """One call, signed: the header's document, and what its receipt must say."""

    channel: Channel
    nonce: int
    amount: int
    request: bytes
    document: dict[str, Any]


def sign_call(
    channel: Channel,
    offer: Requirement,
    *,
    nonce: int,
    request: bytes,
    body_hash: bytes | None,
) -> Call:
    """The header's document of a call."""
    mac = call_mac(
        channel.key,
        channel.session,
        nonce=nonce,
        amount=offer.units,
        payee=offer.pay_to,
        request=request,
    )
    payload = {
        "session": channel.session,
        "nonce": str(nonce),
        "amount": offer.amount,
        "mac": mac.hex(),
    }
    if body_hash is not None:
        payload["bodyHash"] = body_hash.hex()
    document = {
        "x402Version": 2,
        "scheme": SCHEME,
        "network": offer.network,
        "payload": payload,
    }
    return Call(channel, nonce, offer.units, request, document)


def verifies(call: Call, offer: Requirement, said: Any) -> bool:
    """Is this the authority's receipt for this call?"""
    try:
        expected = receipt_mac(
            call.channel.key,
            call.channel.session,
            step=_RESERVED,
            nonce=call.nonce,
            amount=call.amount,
            units=0,
            payee=offer.pay_to,
            request=call.request,
            timestamp=int(said["timestamp"]),
        )
        return secrets.compare_digest(expected.hex(), str(said["mac"]))
    except (KeyError, TypeError, ValueError, OverflowError):
        return False
