"""What setting up a paywall can raise, and what a payment can be refused for.

A refusal is an answer 402 to the payer; its code is x402's where x402 has one (specification v2,
section 9), and ours where it has none. The codes are a wire contract and are never renamed.
"""

from dataclasses import dataclass
from typing import Final

from sakk.client.x402 import Requirement


class PaywallError(ValueError):
    """The paywall is set up wrongly; the message names the setting and what it must be."""


class PaywallAway(PaywallError):
    """Who says how it is paid for does not answer now; asked again later it may."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a payment was not accepted. ``status`` 503: not known yet, the same payment again helps.

    ``settlement`` is the value of ``PAYMENT-RESPONSE`` where there was an attempt to settle.
    ``corrected``: the way to pay that was tried, with what its payer needs to try it again.
    """

    code: str
    message: str
    status: int = 402
    retry_after_seconds: int | None = None
    settlement: bytes | None = None
    corrected: Requirement | None = None


UNREADABLE: Final = "invalid_payload"
NO_SUCH_OFFER: Final = "no_matching_payment_requirements"
USED: Final = "payment_already_used"
IN_USE: Final = "payment_in_use"
UNKNOWN_OUTCOME: Final = "settlement_unknown"
EXPIRED: Final = "invalid_exact_evm_payload_authorization_valid_before"
AUTHORITY_AWAY: Final = "authority_unavailable"
BUSY: Final = "too_many_payments"
AMBIGUOUS: Final = Refusal(
    "path_ambiguous",
    "This path can be read as several, at several prices. Send it without dot segments, escaped"
    " slashes and parameters of segments.",
    400,
)
