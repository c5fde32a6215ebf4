"""x402 payments as payers make them, for tests of rules: signed by a key that is known."""

from datetime import UTC, datetime
from typing import Any

import msgspec
from eth_abi.abi import encode
from eth_account import Account
from x402.mechanisms.evm.constants import ERC6492_MAGIC_VALUE

from sakk.core import eip3009, permit2
from sakk.core.caip import chain_id
from sakk.core.eip3009 import Authorization

KEY = "0x" + "46" * 32
PAYER = str(Account.from_key(KEY).address)
TOKEN = "0x036CbD53842c5426634e7929541eC2318f3dCF7e"
NETWORK = "eip155:84532"
PAY_TO = "0x" + "b2" * 20
NONCE = "0x" + "07" * 32
NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
SOON = int(NOW.timestamp()) + 60


def wrapped(inner: str, factory: str = "0x" + "fa" * 20) -> str:
    """As ERC-6492 says, by x402's own words for it."""
    parts = [factory, b"\x12" * 70, bytes.fromhex(inner[2:])]
    return "0x" + (encode(["address", "bytes", "bytes"], parts) + ERC6492_MAGIC_VALUE).hex()


def sign(digest: bytes, key: str = KEY) -> str:
    return "0x" + bytes(Account.unsafe_sign_hash(digest, private_key=key).signature).hex()


def requirement(**changes: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "scheme": "exact",
        "network": NETWORK,
        "asset": TOKEN,
        "amount": "1000",
        "payTo": PAY_TO,
        "maxTimeoutSeconds": 60,
        "extra": {"name": "USDC", "version": "2"},
    }
    return fields | changes


def authorized(key: str = KEY, *, domain: tuple[str, str] = ("USDC", "2"), **changes: Any) -> Any:
    """A payload by EIP-3009, signed; ``changes`` are made before."""
    fields: dict[str, Any] = {
        "from": str(Account.from_key(key).address),
        "to": PAY_TO,
        "value": "1000",
        "validAfter": "0",
        "validBefore": str(SOON),
        "nonce": NONCE,
        "network": NETWORK,
        "token": TOKEN,
    } | changes
    network, token = fields.pop("network"), fields.pop("token")
    signed = Authorization(
        fields["from"].lower(),
        fields["to"].lower(),
        int(fields["value"]),
        int(fields["validAfter"]),
        int(fields["validBefore"]),
        bytes.fromhex(fields["nonce"][2:]),
    )
    separator = eip3009.domain_separator(*domain, chain_id(network), token.lower())
    return {"authorization": fields, "signature": sign(eip3009.digest(signed, separator), key)}


def permitted(key: str = KEY, **changes: Any) -> Any:
    """A payload by Permit2, signed; ``changes`` are made before."""
    fields: dict[str, Any] = {
        "from": str(Account.from_key(key).address),
        "token": TOKEN,
        "amount": "1000",
        "spender": permit2.EXACT_PROXY,
        "nonce": "7",
        "deadline": str(SOON),
        "to": PAY_TO,
        "validAfter": "0",
        "network": NETWORK,
    } | changes
    permit = permit2.Permit(
        payer=fields["from"].lower(),
        token=fields["token"].lower(),
        units=int(fields["amount"]),
        nonce=int(fields["nonce"]),
        deadline=int(fields["deadline"]),
        to=fields["to"].lower(),
        valid_after=int(fields["validAfter"]),
    )
    return {
        "permit2Authorization": {
            "from": fields["from"],
            "permitted": {"token": fields["token"], "amount": fields["amount"]},
            "spender": fields["spender"],
            "nonce": fields["nonce"],
            "deadline": fields["deadline"],
            "witness": {"to": fields["to"], "validAfter": fields["validAfter"]},
        },
        "signature": sign(permit2.digest(permit, chain_id(fields["network"])), key),
    }


def body(
    payload: Any = None,
    *,
    wanted: dict[str, Any] | None = None,
    accepted: dict[str, Any] | None = None,
    version: int = 2,
    **more: Any,
) -> bytes:
    """The body of ``verify`` and ``settle``."""
    wanted = requirement() if wanted is None else wanted
    payment = {
        "x402Version": version,
        "accepted": wanted if accepted is None else accepted,
        "payload": authorized() if payload is None else payload,
    } | more
    return msgspec.json.encode(
        {"x402Version": version, "paymentPayload": payment, "paymentRequirements": wanted}
    )
