"""Events of questions that accounts are asked on cases, which they are told nothing of."""

from typing import Final

from sakk.core.event_type import register

INFORMATION_REQUEST_CREATED: Final = register(
    "information_request", "created", "The account is asked for information about a payment."
)
INFORMATION_REQUEST_REMINDED: Final = register(
    "information_request", "reminded", "The answer is overdue; told three times at most."
)
INFORMATION_REQUEST_ANSWERED: Final = register(
    "information_request", "answered", "The account answered."
)
INFORMATION_REQUEST_WITHDRAWN: Final = register(
    "information_request", "withdrawn", "No answer is needed any more."
)
CASE_ANSWERED: Final = register(
    "case", "answered", "The account that was asked on a case answered.", "operator"
)
CASE_UNANSWERED: Final = register(
    "case", "unanswered", "What was asked on a case is not answered in time.", "operator"
)
