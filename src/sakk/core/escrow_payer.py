"""What the payer of a channel in x402's escrow signs to be answered here, without an API key.

EIP-712 typed data of the domain ``{name: "Sakk escrow", version: "1"}``, signed by the channel's
payer or the key that it names as its ``payerAuthorizer``. ``network`` is the installation that is
asked (``GET /x402/sessions``), so that what one is sent is worth nothing at another; ``channel`` is
the channel's name in the contract, which holds its chain.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sakk.core import ids
from sakk.core.dispute import PREFIX as DISPUTE_PREFIX
from sakk.core.dispute import Dispute, public_dispute
from sakk.core.escrow_channel import EscrowChannel, Totals, public
from sakk.core.evm import ZERO_ADDRESS

DOMAIN: Final = {"name": "Sakk escrow", "version": "1"}
# Which fields a message of each kind has, besides those that all have.
FIELDS: Final[Mapping[str, Sequence[tuple[str, str]]]] = {
    "Read": (),
    # The total of the voucher that paid; an amount of 0 is all of what it was charged.
    "Dispute": (("ceiling", "uint256"), ("amount", "uint256"), ("reason", "string")),
    "Withdraw": (("dispute", "string"),),
}
_COMMON: Final = (("network", "string"), ("channel", "bytes32"), ("signer", "address"))
_DEADLINE: Final = ("deadline", "uint64")


def typed_data(kind: str, message: Mapping[str, Any]) -> dict[str, Any]:
    """The document that is signed, as wallets take it (``eth_signTypedData_v4``)."""
    return {
        "domain": DOMAIN,
        "primaryType": kind,
        "types": {
            "EIP712Domain": [
                {"name": "name", "type": "string"},
                {"name": "version", "type": "string"},
            ],
            kind: [
                {"name": name, "type": type_}
                for name, type_ in (*_COMMON, *FIELDS[kind], _DEADLINE)
            ],
        },
        "message": dict(message),
    }


def may_ask(channel: EscrowChannel, signer: str) -> bool:
    """Is this key the channel's payer, or signs it in the payer's name? In lower case."""
    return signer != ZERO_ADDRESS and signer in (
        channel.payer.lower(),
        channel.payer_authorizer.lower(),
    )


def dispute_id(digest: bytes, deadline: int) -> str:
    """The id of the dispute that a signed message opens: sent again it is the same."""
    number = ids.uuid7(now_ms=deadline * 1_000, random=digest[: ids.RANDOM_BYTES])
    return ids.encode(DISPUTE_PREFIX, number)


def told(dispute: Dispute) -> dict[str, Any]:
    """A dispute as its payer is told of it; the amount is a string."""
    found = public_dispute(dispute)
    for name in ("object", "livemode", "metadata", "nonce", "session"):
        del found[name]
    return found | {"amount": str(dispute.amount)}


def standing(channel: EscrowChannel, totals: Totals) -> dict[str, Any]:
    """The channel as its payer is told of it; amounts are strings, as in all of HTTP 402."""
    found = public(channel, totals)
    for name in ("object", "livemode", "metadata"):
        del found[name]
    amounts = ("balance", "charged", "deposit", "redeemed", "reserved", "signed")
    return found | {name: str(found[name]) for name in amounts} | {"payee": channel.account_id}
