"""What happened to the subject of a case, in words: its events by their types."""

from collections.abc import Mapping
from typing import Final

from sakk.pages.language import mark

# Of which objects cases are.
NOUNS: Final = ("payin", "payout", "refund", "party", "bank_line", "outflow")
EVENTS: Final[Mapping[str, str]] = {
    "payin.seen": mark("The transfer was seen on the network"),
    "payin.confirmed": mark("The transfer is final"),
    "payin.disputed": mark("Two providers disagree about it"),
    "payin.screened": mark("It was screened, and goes on"),
    "payin.held": mark("It was held"),
    "payin.under_review": mark("The account was told that it is under review"),
    "payin.posted": mark("It was credited"),
    "payin.released": mark("It was released and credited"),
    "payin.returned": mark("Its coins were returned"),
    "payin.seized": mark("Its coins were seized"),
    "payin.declined": mark("The account was told that it was declined"),
    "payin.suspense": mark("It waits for somebody to say whose it is"),
    "payin.orphaned": mark("A reorganisation of the network took it away"),
    "payin.reversed": mark("Its credit was taken back after a reorganisation"),
    "payout.created": mark("The payout was asked for"),
    "payout.moved": mark("The payout of a refund came a step further"),
    "payout.screened": mark("It was screened, and goes on"),
    "payout.awaiting_approvals": mark("It waits for people's approval"),
    "payout.approved": mark("It was approved"),
    "payout.rejected": mark("It was rejected"),
    "payout.canceled": mark("It was called off"),
    "payout.signed": mark("Its transaction was signed"),
    "payout.broadcast": mark("Its transaction was sent to the network"),
    "payout.confirmed": mark("The network carried it out"),
    "payout.posted": mark("It was booked"),
    "payout.failed": mark("It failed, and its money is available again"),
    "payout.unknown": mark("Whether the network carried it out is not known"),
    "refund.created": mark("The refund was asked for"),
    "refund.updated": mark("The refund was changed"),
    "refund.succeeded": mark("The refund arrived"),
    "refund.failed": mark("The refund failed"),
    "refund.canceled": mark("The refund was called off"),
    "party.created": mark("The party was written down"),
    "party.updated": mark("What is known of it was changed"),
    "party.submitted": mark("It was handed in"),
    "party.hit_found": mark("A likeness with a list was found"),
    "party.review_due": mark("Its review fell due"),
    "party.approved": mark("It was accepted"),
    "party.rejected": mark("It was not accepted"),
    "party.suspended": mark("It was suspended"),
    "bank_line.credited": mark("It was credited"),
    "bank_line.unmatched": mark("Nobody knows yet whose it is"),
    "outflow.seen": mark("Coins left without us"),
    "outflow.posted": mark("What left was booked"),
    "outflow.orphaned": mark("A reorganisation of the network took it away"),
}
