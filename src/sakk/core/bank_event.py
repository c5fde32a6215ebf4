"""Events of money at banks."""

from typing import Final

from sakk.core.event_type import register

BANK_LINE_CREDITED: Final = register(
    "bank_line", "credited", "A transfer to the operator's bank account is on the balance."
)
BANK_LINE_UNMATCHED: Final = register(
    "bank_line",
    "unmatched",
    "A line of a bank's statement is in suspense, or under review: a person must decide.",
    "operator",
)
BANK_STATEMENT_ACCEPTED: Final = register(
    "bank_statement", "accepted", "A bank's statement follows on the one before.", "operator"
)
BANK_STATEMENT_STOPPED: Final = register(
    "bank_statement",
    "stopped",
    "A bank's statement waits for another, or can not be right: nothing of it is booked.",
    "operator",
)
PROVIDER_ORDER_INFORMATION_REQUIRED: Final = register(
    "provider_order",
    "information_required",
    "A provider asks for something before it pays: an officer answers.",
    "operator",
)
BANK_RETURN_CREATED: Final = register(
    "bank_return",
    "created",
    "Somebody proposes to send money in suspense back to its sender: another person confirms it.",
    "operator",
)
BANK_RETURN_BOOKED: Final = register(
    "bank_return", "booked", "A bank shows that money in suspense went back.", "operator"
)
BANK_RETURN_DIFFERS: Final = register(
    "bank_return",
    "differs",
    "A bank took more than was agreed to for what went back, or sent less: the difference stands in"
    " suspense until two people correct it.",
    "operator",
)
BANK_RETURN_FAILED: Final = register(
    "bank_return",
    "failed",
    "Money did not go back to its sender, or came back from there: it is in suspense again.",
    "operator",
)
BANK_FILE_AWAITING: Final = register(
    "bank_file",
    "awaiting",
    "Somebody brought a bank's file by hand: another person releases it before it is read.",
    "operator",
)
BANK_FILE_REFUSED: Final = register(
    "bank_file", "refused", "A bank's file can not be read; it is kept.", "operator"
)
