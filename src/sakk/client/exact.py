"""Pay by ``exact`` on an EVM chain: one signed authorisation a request, which the seller settles.

EIP-3009 ``transferWithAuthorization`` over EIP-712, as x402's ``specs/schemes/exact`` says, and
Permit2 (``permit2.py``) for coins without it. The
domain's chain and contract come from the offer's network and coin, which the policy trusts; a wrong
name or version of the domain only makes a signature that no contract takes.
"""

import secrets
import time
from collections.abc import Generator
from dataclasses import replace
from typing import Any, Final

from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_account.signers.local import LocalAccount

from sakk.client.permit2 import METHOD, Approvals, is_by_permit2, sign_transfer
from sakk.client.wallet_log import Receipt
from sakk.client.wallet_payment import Order, Payments
from sakk.client.wallet_policy import Asset, Policy
from sakk.client.wallet_step import Step
from sakk.client.x402 import VERSION, Payment, Requirement, encode_header

NAME: Final = "exact"
# The clock of the chain may be behind ours by a few blocks.
_CLOCK_SECONDS: Final = 60
_CHAIN_ID_MAX: Final = (1 << 63) - 1
_TYPES: Final = {
    "EIP712Domain": [
        {"name": "name", "type": "string"},
        {"name": "version", "type": "string"},
        {"name": "chainId", "type": "uint256"},
        {"name": "verifyingContract", "type": "address"},
    ],
    "TransferWithAuthorization": [
        {"name": "from", "type": "address"},
        {"name": "to", "type": "address"},
        {"name": "value", "type": "uint256"},
        {"name": "validAfter", "type": "uint256"},
        {"name": "validBefore", "type": "uint256"},
        {"name": "nonce", "type": "bytes32"},
    ],
}


class Exact:
    """``exact`` with a key that this process holds."""

    name = NAME

    def __init__(self, account: LocalAccount, policy: Policy, approvals: Approvals) -> None:
        self._account = account
        self._policy = policy
        self._approvals = approvals
        self._assets = {(one.network, one.asset.lower()): one for one in policy.assets}

    @property
    def address(self) -> str:
        return str(self._account.address)

    def asset_of(self, offer: Requirement) -> Asset | None:
        return self._assets.get((offer.network, offer.asset.lower()))

    def takes(self, offer: Requirement) -> int:
        return offer.units

    def refuses(self, offer: Requirement) -> str | None:
        if chain_id_of(offer.network) is None:
            return "the network is no EVM chain (CAIP-2 eip155:N)"
        method = offer.extra.get("assetTransferMethod", "eip3009")
        if method not in ("eip3009", METHOD):
            return f"the transfer method {str(method)[:40]!r} is not one that this wallet signs"
        if method != METHOD and not all(
            isinstance(offer.extra.get(name), str) for name in ("name", "version")
        ):
            return "the offer does not name the coin's EIP-712 domain (extra.name, extra.version)"
        if not is_address(offer.pay_to):
            return "payTo is no address"
        if offer.max_timeout_seconds <= 0:
            return "maxTimeoutSeconds leaves no time to pay"
        return self._approvals.refuses(offer, offer.units) if method == METHOD else None

    def pay(self, payments: Payments, order: Order) -> Generator[Step, Any, Receipt]:
        """Sign once, write it down, and send it."""
        challenge = order.challenge
        assert challenge is not None
        payload, expires = self.sign(order.offer, now=int(time.time()))
        header = encode_header(
            Payment(VERSION, payload, order.offer, challenge.resource, challenge.extensions)
        )
        receipt = replace(payments.receipt_of(order), expires_ms=1_000 * expires)
        begun = payments.log.begin(receipt, header, host=order.host, limits=payments.policy.limits)
        if begun.id != receipt.id:
            # Another thread or process pays for the same request: its bytes are sent, not ours.
            header = payments.log.header_of(begun.id) or header
        return (yield from payments.carry(order.ask, begun, header))

    def sign(self, offer: Requirement, *, now: int) -> tuple[dict[str, Any], int]:
        """The scheme's payload, and when it expires (seconds since 1970)."""
        lifetime = min(offer.max_timeout_seconds, self._policy.authorization_seconds_max)
        if is_by_permit2(offer):
            chain_id = chain_id_of(offer.network)
            assert chain_id is not None
            times = {"valid_after": max(now - _CLOCK_SECONDS, 0), "deadline": now + lifetime}
            return sign_transfer(self._account, offer, chain_id, **times), now + lifetime
        authorization = {
            "from": self.address,
            "to": offer.pay_to,
            "value": offer.amount,
            "validAfter": str(max(now - _CLOCK_SECONDS, 0)),
            "validBefore": str(now + lifetime),
            "nonce": "0x" + secrets.token_hex(32),
        }
        signed = self._account.sign_message(
            encode_typed_data(full_message=typed_data(offer, authorization))
        )
        payload = {
            "signature": "0x" + bytes(signed.signature).hex(),
            "authorization": authorization,
        }
        return payload, now + lifetime


def typed_data(offer: Requirement, authorization: dict[str, str]) -> dict[str, Any]:
    """What a wallet shows and signs, in the form of EIP-712's JSON."""
    return {
        "types": _TYPES,
        "primaryType": "TransferWithAuthorization",
        "domain": {
            "name": offer.extra["name"],
            "version": offer.extra["version"],
            "chainId": chain_id_of(offer.network),
            "verifyingContract": offer.asset,
        },
        "message": {
            **authorization,
            "value": int(authorization["value"]),
            "validAfter": int(authorization["validAfter"]),
            "validBefore": int(authorization["validBefore"]),
        },
    }


def chain_id_of(network: str) -> int | None:
    """The chain id of ``eip155:N``, or None for another family."""
    family, _, reference = network.partition(":")
    if family != "eip155" or not reference.isascii() or not reference.isdigit():
        return None
    chain_id = int(reference) if len(reference) <= 19 else 0
    return chain_id if 0 < chain_id <= _CHAIN_ID_MAX else None


def account_of(key: str | bytes) -> LocalAccount:
    """The account of a private key; ValueError where it is none."""
    try:
        account: LocalAccount = Account.from_key(key)
    except Exception as error:
        raise ValueError("the key must be 32 bytes, in hex with 0x") from error
    return account


def is_address(value: str) -> bool:
    """Is this 20 bytes in hex, and not the zero address?"""
    try:
        return len(value) == 42 and value.startswith("0x") and int(value, 16) > 0
    except ValueError:
        return False
