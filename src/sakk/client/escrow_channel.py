"""The API's channels in x402's escrow: who pays an account there, and what goes back."""

from typing import Unpack

from sakk.client.endpoint import ListOptions, Retrievable, join, present
from sakk.client.objects import Resource
from sakk.client.page import Page


class EscrowChannel(Resource, frozen=True, kw_only=True):
    """A channel in the escrow; amounts in the currency's smallest unit, by the ledger."""

    channel: str
    currency: str
    network: str
    payer: str
    status: str
    asset: str = ""
    balance: int = 0
    charged: int = 0
    deposit: int = 0
    receiver: str = ""
    redeemed: int = 0
    reserved: int = 0
    signed: int = 0
    withdraw_ends_at: int | None = None


class EscrowRefund(Resource, frozen=True, kw_only=True):
    """What is not charged, on its way back to the payer."""

    amount: int
    currency: str
    escrow_channel: str
    network: str
    status: str
    failure_reason: str | None = None
    tx_hash: str | None = None


class EscrowChannels(Retrievable[EscrowChannel]):
    """Channels in escrow of which the account is the payee."""

    root = "/v1/escrow_channels"
    kind = EscrowChannel

    def list(self, **options: Unpack[ListOptions]) -> Page[EscrowChannel]:
        """The channels, newest first."""
        return self._list(self.root, EscrowChannel, options)

    def refund(
        self, id: str, *, amount: int | None = None, idempotency_key: str | None = None
    ) -> EscrowRefund:
        """Give back what is neither charged nor held by a call, or so much of it."""
        body = present({"amount": amount})
        return self._post(EscrowRefund, join(self.root, id, "refunds"), body, idempotency_key)

    def refunds(self, id: str, **options: Unpack[ListOptions]) -> Page[EscrowRefund]:
        """What went back, or could not, newest first."""
        return self._list(join(self.root, id, "refunds"), EscrowRefund, options)
