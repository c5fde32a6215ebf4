"""Wallet proofs: the owner of a self-hosted address sends a small, named amount from it.

Who can not sign a message shows by a transfer that an address is theirs ("Satoshi test"). It comes
to a deposit address of ours as a payment of exactly the named amount, from exactly that address,
in time; anything else proves nothing, and is credited like any payment.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from sakk.core.evm import checksum_address

PREFIX: Final = "wpf"
TIME_DEFAULT: Final = timedelta(hours=24)
TIME_MIN: Final = timedelta(minutes=10)
TIME_MAX: Final = timedelta(days=7)
# In hundredths of a whole unit: an amount that a stranger's payment is not by chance.
HUNDREDTHS_MIN: Final = 11
HUNDREDTHS_MAX: Final = 99


class WalletProofStatus(StrEnum):
    open = "open"
    proved = "proved"
    expired = "expired"


@dataclass(frozen=True, slots=True, kw_only=True)
class WalletProof:
    """One proof asked for. ``payment_intent`` is what is paid; ``address`` has to be the payer."""

    id: str
    account_id: str
    livemode: bool
    beneficiary: str
    address: str
    payment_intent: str
    amount: int
    currency: str
    status: str
    payin: str | None
    expires_at: datetime
    created: datetime


def named_amount(identifier: str, decimals: int) -> int:
    """The amount to be sent, in the currency's smallest unit: less than one whole, never round."""
    digest = hashlib.sha256(identifier.encode()).digest()
    span = HUNDREDTHS_MAX - HUNDREDTHS_MIN + 1
    hundredths = HUNDREDTHS_MIN + int.from_bytes(digest[:8], "big") % span
    return hundredths * int(10**decimals) // 100


def public_wallet_proof(proof: WalletProof, *, payment: dict[str, Any] | None) -> dict[str, Any]:
    """The API's object ``wallet_proof``; ``payment`` says where the amount is to be sent."""
    return {
        "id": proof.id,
        "object": "wallet_proof",
        "address": checksum_address(proof.address),
        "amount": proof.amount,
        "beneficiary": proof.beneficiary,
        "created": int(proof.created.timestamp()),
        "currency": proof.currency,
        "expires_at": int(proof.expires_at.timestamp()),
        "livemode": proof.livemode,
        "payin": proof.payin,
        "payment_intent": proof.payment_intent if payment is None else payment,
        "status": proof.status,
    }
