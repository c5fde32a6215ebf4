"""Mandates: signed terms are recorded, spends are bound to them, and a word ends them at once.

Whoever spends under a mandate puts its legs into the linked set of the money itself. Budgets that
are named for the first time are credited before, by sets of their own whose ids follow from the
mandate alone, so that each is credited once, by whichever process.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from sakk.core import mandate as rules
from sakk.core import spend as spends
from sakk.core.errors import BalanceInsufficient, ParameterInvalid, ResourceMissing, SakkError
from sakk.core.mandate import Mandate, MandateStatus, Terms
from sakk.core.posting import Posting
from sakk.core.spend import Budget, Kind, Limit, Payee, Spend, refused
from sakk.flow.book import Outcome, PostingSet
from sakk.flow.context import Parts
from sakk.ledger.types import CreateTransferStatus
from sakk.store import account as accounts
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
    spends.check(rules.read_document(mandate.terms), spend, at=at)
    return legs_of(mandate, spend, at=at)


def legs_of(mandate: Mandate, spend: Spend, *, at: datetime) -> MandateLegs:
    """The legs for a spend that was checked before; whether it stands, the ledger says."""
    terms = rules.read_document(mandate.terms)
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
    if outcome.refused in legs.postings:
        budgets = spends.budgets(legs.terms, legs.spend, at=legs.at)
        budget = budgets[legs.postings.index(outcome.refused)]
        [(_, left)] = left_of(parts, legs.mandate, legs.terms, [budget])
        return spends.exceeded(legs.terms, legs.spend, budget, left)
    return BalanceInsufficient(
        "The account's available balance does not cover what the mandate allows.", param="amount"
    )


def left_of(
    parts: Parts, mandate: Mandate, terms: Terms, budgets: Sequence[Budget]
) -> list[tuple[Budget, int]]:
    """What is left of each budget, as the ledger has it now."""
    totals = parts.books.totals([spends.account(mandate.id, terms, each) for each in budgets])
    return [
        (budget, spends.left_of(budget, credited, debited))
        for budget, (credited, debited) in zip(budgets, totals, strict=True)
    ]


def missing(identifier: str) -> ResourceMissing:
    return ResourceMissing("No such mandate: {mandate}", param="mandate", mandate=repr(identifier))


def find(connection: Connection, identifier: str, *, account_id: str, livemode: bool) -> Mandate:
    """A mandate of the account; ResourceMissing."""
    found = store.find(connection, identifier, account_id=account_id, livemode=livemode)
    if found is None:
        raise missing(identifier)
    return found


def require_standing(under: Mandate, currency: str, *, now: datetime) -> Terms:
    """The terms of a mandate that holds now, and is in a currency; MandateRefused."""
    terms = rules.read_document(under.terms)
    if under.status != MandateStatus.active:
        raise refused(Limit.revoked, f"The mandate {under.id} is revoked.")
    if not rules.has_begun(terms, now):
        raise refused(Limit.not_begun, f"The mandate begins at {terms.starts_at} (Unix time).")
    if rules.is_over(terms, now):
        raise refused(Limit.expired, f"The mandate ended at {terms.expires_at} (Unix time).")
    if currency != terms.currency:
        raise refused(Limit.currency, f"The mandate is in {terms.currency}, not {currency}.")
    return terms


def public(parts: Parts, mandate: Mandate) -> dict[str, Any]:
    """The API's object, with what is left of each budget."""
    now = parts.clock()
    terms = rules.read_document(mandate.terms)
    at = max(now, mandate.starts_at)
    budgets = left_of(parts, mandate, terms, spends.standing(terms, at=at))
    shown = rules.public_mandate(mandate, now=now)
    shown["budgets"] = [spends.public_budget(terms, budget, left) for budget, left in budgets]
    return shown


def draft(connection: Connection, terms: Terms, *, now: datetime) -> Terms:
    """The terms as they would be signed; ParameterInvalid and ResourceMissing for what is wrong."""
    checked = rules.check_terms(terms)
    if checked.expires_at <= int(now.timestamp()):
        raise ParameterInvalid("The mandate's end has passed.", param="expires_at")
    for index, payee in enumerate(checked.payees):
        if payee.account is not None and accounts.find_account(connection, payee.account) is None:
            raise ResourceMissing(
                f"No such account: {payee.account!r}.", param=f"payees[{index}][account]"
            )
    if checked.replaces is not None:
        replaced = find(
            connection,
            checked.replaces,
            account_id=checked.account_id,
            livemode=checked.livemode,
        )
        if replaced.currency != checked.currency:
            raise ParameterInvalid(
                f"{replaced.id} is in {replaced.currency}: a mandate replaces one in the same"
                " currency.",
                param="replaces",
            )
    return checked
