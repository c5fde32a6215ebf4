"""Receiving addresses: an account's own permanent address on a network."""

from typing import Unpack

import msgspec

from sakk.client.endpoint import Endpoint, ListOptions
from sakk.client.objects import Resource
from sakk.client.page import Page


class SignedDomain(msgspec.Struct, frozen=True, kw_only=True):
    """The EIP-712 domain of a token's signed messages."""

    name: str
    version: str


class ReceivedToken(msgspec.Struct, frozen=True, kw_only=True):
    """A token that is credited when it arrives."""

    token_currency: str
    token_contract_address: str
    asset: str
    decimals: int
    eip712: SignedDomain | None = None


class ReceivingAddress(Resource, frozen=True, kw_only=True):
    """Where the account is paid at any time: the ``payTo`` of what it sells over HTTP 402."""

    account: str
    address: str
    network: str
    supported_tokens: tuple[ReceivedToken, ...] = ()


class ReceivingAddresses(Endpoint[ReceivingAddress]):
    """The account's own addresses."""

    root = "/v1/receiving_addresses"
    kind = ReceivingAddress

    def create(self, *, network: str, idempotency_key: str | None = None) -> ReceivingAddress:
        """The account's address on a network; asked for again, it is the same."""
        return self._post(ReceivingAddress, self.root, {"network": network}, idempotency_key)

    def list(
        self, *, network: str | None = None, **options: Unpack[ListOptions]
    ) -> Page[ReceivingAddress]:
        """The addresses, newest first."""
        return self._list(self.root, ReceivingAddress, {"network": network, **options})
