"""Provider orders: payouts that a licensed provider carries out, in the shape the market has.

``new → locked → placing → placed → paid``, or ``failed``. A quote is locked for a while; within it
the order is placed under a key of ours, the payout's id, of which a provider has one order at most.
From ``placing`` on it may have it: whatever is not answered is looked up by that key, and there is
no other quote before the provider has said that there is no such order and this one is over. What
it asks of us meanwhile (``information_required``) an officer answers. ``paid`` is the
provider's word; what is booked is the line of its statement.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from sakk.core import money
from sakk.core.errors import ParameterInvalid, UnexpectedState

PREFIX: Final = "pvo"
ANSWER_PREFIX: Final = "pva"
ANSWER_LENGTH_MAX: Final = 5_000
QUESTIONS_MAX: Final = 20
TEXT_LENGTH_MAX: Final = 500
ATTACHMENT_BYTES_MAX: Final = 4 << 20
# A lock that is over so soon is not used, since the order might arrive after it; and one is not
# believed to be over before so much more has passed, since clocks differ.
LOCK_MARGIN: Final = timedelta(seconds=5)
# How long an order is not asked after again: so long at first, then by its age, up to the most.
POLL_FIRST: Final = timedelta(seconds=2)
POLL_ASKED: Final = timedelta(seconds=30)
POLL_MAX: Final = timedelta(minutes=5)
POLLS_OF_AN_AGE: Final = 30


class ProviderOrderStatus(StrEnum):
    new = "new"
    locked = "locked"
    placing = "placing"
    placed = "placed"
    information_required = "information_required"
    paid = "paid"
    failed = "failed"


UNDER_WAY: Final = (
    ProviderOrderStatus.new,
    ProviderOrderStatus.locked,
    ProviderOrderStatus.placing,
    ProviderOrderStatus.placed,
    ProviderOrderStatus.information_required,
)

# Those that the provider has, or may have: it alone can be asked what became of them.
AT_PROVIDER: Final = (
    ProviderOrderStatus.placing,
    ProviderOrderStatus.placed,
    ProviderOrderStatus.information_required,
)


class Step(StrEnum):
    """What is asked of the provider next."""

    quote = "quote"
    place = "place"
    look = "look"
    poll = "poll"
    nothing = "nothing"


class Word(StrEnum):
    """What a provider says of an order."""

    processing = "processing"
    information_required = "information_required"
    paid = "paid"
    failed = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a provider asks; the same id is the same question."""

    id: str
    text: str
    wants_file: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """A price that is locked: the payee has ``units``, and ``fee_units`` are taken besides."""

    id: str
    units: int
    fee_units: int
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where an order stands at the provider, by its own ``reference``.

    ``fee_units``: what it takes for this order, where it says so. That may be another quote's than
    the one that is locked here: a database from a backup knows of a later one.
    """

    reference: str
    word: Word
    fee_units: int | None = None
    questions: Sequence[Question] = ()
    reason_code: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderOrder:
    """A row. ``round``: which quote it is tried with.

    ``quote``: the one that is locked; ``questions``: all that was asked, with what was answered.
    ``hints``: how often somebody said that there is news of it; one that comes while the provider
    is asked counts for the next time.
    """

    id: str
    account_id: str
    livemode: bool
    payout: str
    payment: str
    bank_account: str
    provider: str
    units: int
    fee_units: int
    currency: str
    decimals: int
    status: str
    round: int = 1
    quote: dict[str, Any] | None = None
    reference: str | None = None
    questions: Sequence[dict[str, Any]] = ()
    reason_code: str | None = None
    reason: str | None = None
    ended_at: datetime | None = None
    hints: int = 0
    attempt: int = 0
    retry_at: datetime | None = None
    failures: int = 0
    lease_token: str | None = None
    lease_until: datetime | None = None
    created: datetime

    @property
    def key(self) -> str:
        """Under which it is placed, in every round: a payout is one order at a provider.

        A database from a backup that does not know the order any more places it under it too.
        """
        return self.payout


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What an officer answers to a question; the file is sealed. Never changed.

    ``refused_at``: the provider did not take it, and the question is open for another.
    """

    id: str
    livemode: bool
    order_id: str
    question: str
    text: str
    file_name: str | None
    sealed: bytes | None
    answered_by: str
    sent_at: datetime | None = None
    refused_at: datetime | None = None
    created: datetime


def step(row: ProviderOrder, now: datetime) -> Step:
    """What comes next."""
    match ProviderOrderStatus(row.status):
        case ProviderOrderStatus.new:
            return Step.quote
        case ProviderOrderStatus.locked:
            return Step.quote if is_over(row, now + LOCK_MARGIN) else Step.place
        case ProviderOrderStatus.placing:
            # It was tried: whatever became of that is asked before anything else is done.
            return Step.look
        case ProviderOrderStatus.placed | ProviderOrderStatus.information_required:
            return Step.poll
        case ProviderOrderStatus.paid | ProviderOrderStatus.failed:
            return Step.nothing


def poll_after(row: ProviderOrder, now: datetime) -> timedelta:
    """How long until an order is asked after again: never for good while it is under way.

    A thirtieth of its age, so that an order of days costs its provider little, and a new one is
    heard of at once. What an officer has to answer is looked at as soon as it is answered.
    """
    asked = row.status == ProviderOrderStatus.information_required
    least = POLL_ASKED if asked else POLL_FIRST
    return min(max((now - row.created) / POLLS_OF_AN_AGE, least), POLL_MAX)


def is_over(row: ProviderOrder, now: datetime) -> bool:
    """Does the quote no longer hold?"""
    return row.quote is None or now.timestamp() >= row.quote["expires_at"]


def locked(row: ProviderOrder, quote: Quote, *, fee_limit: int) -> ProviderOrder:
    """With a quote; one that is not for what was asked, or dearer than its account allows, fails
    the order."""
    if quote.units != row.units:
        return failed(row, "quote_differs", f"The provider quotes {quote.units}.")
    if not 0 <= quote.fee_units <= fee_limit:
        why = f"The provider asks for {quote.fee_units}, and may take {fee_limit}."
        return failed(row, "quote_too_dear", why)
    document = {
        "id": quote.id,
        "fee": str(quote.fee_units),
        "expires_at": int(quote.expires_at.timestamp()),
    }
    status = ProviderOrderStatus.locked.value
    return replace(row, status=status, quote=document, fee_units=quote.fee_units)


def not_found(row: ProviderOrder, now: datetime) -> ProviderOrder | None:
    """The provider has no order of what was tried: the next round, its quote being over.

    None while it is not: what was sent may still arrive.
    """
    return next_round(row) if is_over(row, now - LOCK_MARGIN) else None


def next_round(row: ProviderOrder) -> ProviderOrder:
    """Another quote: by the one before no order is or will be there."""
    return replace(
        row, status=ProviderOrderStatus.new.value, round=row.round + 1, quote=None, fee_units=0
    )


def told(row: ProviderOrder, standing: Standing, now: datetime) -> ProviderOrder:
    """The order after the provider's word; what has ended stays so."""
    if ProviderOrderStatus(row.status) not in UNDER_WAY:
        return row
    fee = row.fee_units if standing.fee_units is None else standing.fee_units
    row = replace(row, reference=standing.reference, fee_units=fee)
    match standing.word:
        case Word.processing:
            return replace(row, status=ProviderOrderStatus.placed.value)
        case Word.information_required:
            status = ProviderOrderStatus.information_required.value
            return replace(row, status=status, questions=_asked(row, standing.questions, now))
        case Word.paid:
            return replace(row, status=ProviderOrderStatus.paid.value, ended_at=now)
        case Word.failed:
            code = standing.reason_code or "NARR"
            return replace(failed(row, code, standing.reason), ended_at=now)


def failed(row: ProviderOrder, code: str, reason: str | None) -> ProviderOrder:
    """The provider does not do it: nothing of it was paid."""
    status = ProviderOrderStatus.failed.value
    return replace(
        row, status=status, reason_code=code[:35], reason=reason and reason[:TEXT_LENGTH_MAX]
    )


def _asked(
    row: ProviderOrder, questions: Sequence[Question], now: datetime
) -> Sequence[dict[str, Any]]:
    known = {each["id"] for each in row.questions}
    fresh = [
        {
            "id": each.id,
            "text": each.text[:TEXT_LENGTH_MAX],
            "wants_file": each.wants_file,
            "asked_at": int(now.timestamp()),
            "answer": None,
            "refusal": None,
        }
        for each in questions
        if each.id not in known
    ]
    return [*row.questions, *fresh][:QUESTIONS_MAX]


def answered(
    row: ProviderOrder, question: str, answer: str, *, text: str, has_file: bool
) -> ProviderOrder:
    """With an officer's answer to a question; UnexpectedState, ParameterInvalid.

    The first answer stands: what was sent can not be unsaid.
    """
    if row.status != ProviderOrderStatus.information_required:
        raise UnexpectedState("The provider asks for nothing of this order now.")
    asked = next((each for each in row.questions if each["id"] == question), None)
    if asked is None:
        raise ParameterInvalid("The provider did not ask this.", param="question")
    if asked["answer"] is not None:
        raise UnexpectedState("This question is answered already.")
    if not text.strip() or len(text) > ANSWER_LENGTH_MAX:
        raise ParameterInvalid(
            "An answer has 1 to {most} characters.", param="text", most=ANSWER_LENGTH_MAX
        )
    if asked["wants_file"] and not has_file:
        raise ParameterInvalid("The provider asks for a document: attach it.", param="file")
    given = {**asked, "answer": answer, "refusal": None}
    return replace(row, questions=[given if each is asked else each for each in row.questions])


def answer_refused(row: ProviderOrder, answer: str, reason: str) -> ProviderOrder:
    """The provider does not take an answer: the question is open again, and an officer's."""
    open_again = {"answer": None, "refusal": reason[:TEXT_LENGTH_MAX]}
    questions = [
        {**each, **open_again} if each["answer"] == answer else each for each in row.questions
    ]
    return replace(row, questions=questions)


def public(row: ProviderOrder) -> dict[str, Any]:
    """The API's object ``provider_order``; the operator's alone."""
    quote: Mapping[str, Any] | None = row.quote
    return {
        "id": row.id,
        "object": "provider_order",
        "account": row.account_id,
        "amount": row.units,
        "amount_decimal": money.format_decimal(row.units, row.decimals),
        "bank_account": row.bank_account,
        "created": int(row.created.timestamp()),
        "currency": row.currency,
        "ended_at": None if row.ended_at is None else int(row.ended_at.timestamp()),
        "fee": row.fee_units,
        "livemode": row.livemode,
        "metadata": {},
        "payment": row.payment,
        "payout": row.payout,
        "provider": row.provider,
        "questions": [
            {
                "id": each["id"],
                "text": each["text"],
                "wants_file": each["wants_file"],
                "asked_at": each["asked_at"],
                "answer": each["answer"],
                "refusal": each.get("refusal"),
            }
            for each in row.questions
        ],
        "quote": None if quote is None else quote["id"],
        "quote_expires_at": None if quote is None else quote["expires_at"],
        "reason": row.reason,
        "reason_code": row.reason_code,
        "reference": row.reference,
        "round": row.round,
        "status": row.status,
    }
