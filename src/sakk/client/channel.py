"""The API's channels: what an account has put up for a payee, and what calls were charged on it."""

from collections.abc import Mapping
from typing import Any, Literal, Unpack

import msgspec

from sakk.client.endpoint import ListOptions, Retrievable, join, present
from sakk.client.objects import Resource
from sakk.client.page import Page


class Channel(Resource, frozen=True, kw_only=True):
    """A prepaid path; amounts in the currency's smallest unit. ``available``: by the ledger."""

    currency: str
    payee: str
    status: str
    amount_max: int | None = None
    amount_min: int | None = None
    available: int | None = None
    ceiling: int = 0
    ceiling_decimal: str | None = None
    charges: int = 0
    closed_at: int | None = None
    expires_at: int = 0
    funded: int = 0
    head: str = ""
    kind: str = "balance"
    mandate: str | None = None
    payer: str | None = None
    returned: int = 0
    signer: str | None = None
    spent: int = 0
    spent_decimal: str | None = None


class Session(Resource, frozen=True, kw_only=True):
    """A key on a channel. ``key``: base64url, only in the answer that made it."""

    channel: str
    expires_at: int = 0
    key: str | None = None
    revoked_at: int | None = None


class ChargeRefund(Resource, frozen=True, kw_only=True):
    """A charge, or a part of one, that was given back; ``to``: the channel or the payer."""

    amount: int
    channel: str
    currency: str
    status: str
    charge: str | None = None
    nonce: str | None = None
    session: str | None = None
    amount_decimal: str | None = None
    dispute: str | None = None
    to: str = "channel"


class ChannelDispute(Resource, frozen=True, kw_only=True):
    """A charge that is disputed, with what both sides have of it."""

    amount: int
    channel: str
    currency: str
    status: str
    charge: str | None = None
    nonce: str | None = None
    session: str | None = None
    amount_decimal: str | None = None
    ended_at: int | None = None
    held: bool = False
    note: str | None = None
    payee: str = ""
    payer: str = ""
    reason: str = ""
    records: Mapping[str, Any] = msgspec.field(default_factory=dict)


class Channels(Retrievable[Channel]):
    """Prepaid paths from an account to a payee."""

    root = "/v1/channels"
    kind = Channel

    def create(
        self,
        *,
        payee: str,
        currency: str,
        amount: int,
        signer: str | None = None,
        amount_max: int | None = None,
        expires_in: int | None = None,
        metadata: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
    ) -> Channel:
        """Open a channel and put money into it; ``signer`` is an agent's address."""
        body = present(
            {
                "payee": payee,
                "currency": currency,
                "amount": amount,
                "signer": signer,
                "amount_max": amount_max,
                "expires_in": expires_in,
                "metadata": metadata,
            }
        )
        return self._post(Channel, self.root, body, idempotency_key)

    def list(
        self,
        *,
        status: str | None = None,
        mandate: str | None = None,
        **options: Unpack[ListOptions],
    ) -> Page[Channel]:
        """The channels of which the account is payer or payee, newest first."""
        return self._list(self.root, Channel, {"status": status, "mandate": mandate, **options})

    def top_up(self, id: str, *, amount: int, idempotency_key: str | None = None) -> Channel:
        """Put more money in."""
        path = join(self.root, id, "top_up")
        return self._post(Channel, path, {"amount": amount}, idempotency_key)

    def close(self, id: str, *, idempotency_key: str | None = None) -> Channel:
        """End it: what is not reserved is back at once."""
        return self._post(Channel, join(self.root, id, "close"), {}, idempotency_key)

    def create_session(self, id: str, *, idempotency_key: str | None = None) -> Session:
        """Make a key by which calls are paid."""
        return self._post(Session, join(self.root, id, "sessions"), {}, idempotency_key)

    def sessions(self, id: str, **options: Unpack[ListOptions]) -> Page[Session]:
        """Its sessions, newest first, without their keys."""
        return self._list(join(self.root, id, "sessions"), Session, options)

    def revoke_session(
        self, id: str, session: str, *, idempotency_key: str | None = None
    ) -> Session:
        """End one session: when this returns nothing is reserved by its key any more."""
        path = join(self.root, id, "sessions", session, "revoke")
        return self._post(Session, path, {}, idempotency_key)

    def refund(
        self,
        id: str,
        *,
        session: str,
        nonce: int,
        amount: int | None = None,
        idempotency_key: str | None = None,
    ) -> ChargeRefund:
        """Give back what a call cost, as its payee."""
        body = present({"session": session, "nonce": str(nonce), "amount": amount})
        return self._post(ChargeRefund, join(self.root, id, "refunds"), body, idempotency_key)

    def dispute(
        self,
        id: str,
        *,
        session: str,
        nonce: int,
        reason: str,
        amount: int | None = None,
        idempotency_key: str | None = None,
    ) -> ChannelDispute:
        """Say that a charge was not what was paid for, as its payer."""
        body = present(
            {"session": session, "nonce": str(nonce), "reason": reason, "amount": amount}
        )
        return self._post(ChannelDispute, join(self.root, id, "disputes"), body, idempotency_key)

    def resolve(
        self,
        id: str,
        dispute: str,
        *,
        outcome: Literal["refund", "reject", "withdraw"],
        note: str | None = None,
        idempotency_key: str | None = None,
    ) -> ChannelDispute:
        """End a dispute."""
        path = join(self.root, id, "disputes", dispute, "resolve")
        body = present({"outcome": outcome, "note": note})
        return self._post(ChannelDispute, path, body, idempotency_key)
