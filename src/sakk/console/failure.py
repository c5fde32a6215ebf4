"""Why something failed, in people's words, by the code that the API gives for it."""

from collections.abc import Mapping
from typing import Final

from sakk.pages.language import mark

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
    "transfer_would_fail": mark("The token would not make this transfer."),
}
