"""Why something failed, in people's words, by the code that the API gives for it."""

from collections.abc import Mapping
from typing import Final

from sakk.core.x402 import Reason
from sakk.pages.language import mark

_TOO_LATE = mark("Its time ran out before it was carried out.")
_TOO_EARLY = mark("Its time had not come yet.")
_WOULD_FAIL = mark("The token would not make this transfer.")

FAILURES: Final[Mapping[str, str]] = {
    "address_held": mark("The address is held back by screening."),
    "balance_insufficient": mark("The balance did not cover it."),
    "bank_rejected": mark("The bank did not accept it."),
    "bank_returned": mark("The bank gave it back."),
    "canceled": mark("It was called off."),
    "claim_expired": mark("The payer did not say where to in time."),
    "declined": mark("The address was not accepted."),
    "insufficient_funds": mark("The balance did not cover it."),
    "internal_error": mark("Something is wrong with this server. Tell the operator."),
    "payment_reversed": mark("The network took the payment back."),
    "payout_failed": mark("Its payout failed."),
    "rejected": mark("It was not approved."),
    "transaction_failed": mark("The transaction failed on the chain."),
    "transfer_failed": mark("The transfer failed."),
    "transfer_would_fail": _WOULD_FAIL,
    # Of payments by HTTP 402.
    Reason.expired: _TOO_LATE,
    Reason.permit2_expired: _TOO_LATE,
    Reason.not_yet_valid: _TOO_EARLY,
    Reason.permit2_not_yet_valid: _TOO_EARLY,
    Reason.nonce_used: mark("Its signature was used before."),
    Reason.insufficient_balance: mark("The payer's coins did not cover it."),
    Reason.permit2_allowance: mark("The payer has not approved so much."),
    Reason.simulation_failed: _WOULD_FAIL,
    Reason.unavailable_settle: mark("It could not be sent. The payer may try again."),
}
