"""Mandates: signed terms are recorded, spends are bound to them, and a word ends them at once.

Whoever spends under a mandate puts its legs into the linked set of the money itself. Budgets that
are named for the first time are credited before, by sets of their own whose ids follow from the
mandate alone, so that each is credited once, by whichever process.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Connection

from sakk.core import mandate as rules
from sakk.core import spend as spends
from sakk.core.errors import BalanceInsufficient, ResourceMissing, SakkError
from sakk.core.mandate import Mandate, MandateStatus, Terms
from sakk.core.posting import Posting
from sakk.core.spend import Kind, Limit, Payee, Spend, refused
from sakk.flow.book import Outcome, PostingSet
from sakk.flow.context import Parts
from sakk.ledger.types import CreateTransferStatus
from sakk.store import mandate as store

FROZEN = (
    CreateTransferStatus.debit_account_frozen,
    CreateTransferStatus.credit_account_frozen,
)


@dataclass(frozen=True, slots=True)
class MandateLegs:
    """What binds money to a mandate. ``opening`` is posted before, each a set of its own; then
    ``postings`` and the money, in one.

    ``call_max`` and ``call_min``: of one call, None for no limit. ``signer``: the agent's address.
    """

    mandate: Mandate
    terms: Terms
    spend: Spend
    at: datetime
    postings: list[Posting]
    opening: list[PostingSet] = field(repr=False)

    @property
    def account_id(self) -> str:
        return self.mandate.account_id

    @property
    def signer(self) -> str:
        return self.mandate.agent

    @property
    def expires_at(self) -> datetime:
        return self.mandate.expires_at

    @property
    def call_max(self) -> int | None:
        return spends.charge_max(self.terms)

    @property
    def call_min(self) -> int | None:
        return self.terms.call_min


def bind(mandate: Mandate, spend: Spend, *, at: datetime) -> MandateLegs:
    """The legs for a spend at a time that stands in its row; MandateRefused where it may not be.

    Of the budgets the ledger decides: what it answers is worded by `explain`.
    """
    if mandate.status != MandateStatus.active:
        raise refused(Limit.revoked, f"The mandate {mandate.id} is revoked.")
    terms = rules.read_document(mandate.terms)
    spends.check(terms, spend, at=at)
    opening = [
        PostingSet(mandate.id, f"budget:{each.name}", 0, [spends.opening(mandate.id, terms, each)])
        for each in spends.budgets(terms, spend, at=at)
    ]
    postings = spends.reservations(mandate.id, terms, spend, at=at)
    return MandateLegs(mandate, terms, spend, at, postings, opening)


def step_legs(
    connection: Connection,
    mandate_id: str,
    *,
    units: int,
    payee: Payee,
    currency: str,
    scheme: str,
    at: datetime,
) -> MandateLegs:
    """The legs for a channel's next step; ResourceMissing, MandateRefused."""
    mandate = store.find_any(connection, mandate_id)
    if mandate is None:
        raise missing(mandate_id)
    spend = Spend(amount=units, currency=currency, payee=payee, scheme=scheme, kind=Kind.step)
    return bind(mandate, spend, at=at)


def returned_postings(
    connection: Connection,
    mandate_id: str,
    *,
    payee: Payee,
    currency: str,
    taken: Sequence[tuple[datetime, int]],
    units: int,
) -> list[Posting]:
    """The legs by which ``units`` that come back restore the budgets they were taken from.

    ``taken``: the steps, by the time that stands in each one's row, with what each took. What comes
    back is of the newest. None where the mandate is revoked: nothing of it is spent again. Where it
    is revoked in this moment the set is refused as frozen, and posted without them.
    """
    mandate = store.find_any(connection, mandate_id)
    if mandate is None:
        raise missing(mandate_id)
    if mandate.status != MandateStatus.active:
        return []
    terms = rules.read_document(mandate.terms)
    spend = Spend(amount=units, currency=currency, payee=payee, scheme="", kind=Kind.step)
    return [
        posting
        for at, part in spends.newest_first(taken, units)
        for posting in spends.restorations(mandate.id, terms, spend, at=at, units=part)
    ]


def explain(parts: Parts, legs: MandateLegs, outcome: Outcome) -> SakkError:
    """Why the ledger refused a set that these legs are in: which limit, and what is left of it."""
    if outcome.refusal in FROZEN:
        return refused(Limit.revoked, f"The mandate {legs.mandate.id} is revoked.")
    budgets = spends.budgets(legs.terms, legs.spend, at=legs.at)
    accounts = [spends.account(legs.mandate.id, legs.terms, each) for each in budgets]
    for budget, left in zip(budgets, parts.books.balances(accounts), strict=True):
        if left < (1 if budget.uses else legs.spend.amount):
            return spends.exceeded(legs.terms, legs.spend, budget, left)
    return BalanceInsufficient(
        "The account's available balance does not cover what the mandate allows.", param="amount"
    )


def missing(identifier: str) -> ResourceMissing:
    return ResourceMissing(f"No such mandate: {identifier!r}", param="mandate")
