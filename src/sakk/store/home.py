"""What a person is told first: counts of what waits, each bounded so that none of them is slow."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import (
    Boolean,
    ColumnElement,
    Connection,
    Select,
    Table,
    func,
    literal_column,
    select,
)
from sqlalchemy.sql.util import ClauseAdapter

from sakk.core.bank_file import FileStatus
from sakk.core.case import CaseStatus
from sakk.core.order import OrderStatus
from sakk.core.party import HitState, PartyStatus
from sakk.core.payout import HoldStatus, PayoutStatus
from sakk.core.provider_order import ProviderOrderStatus
from sakk.core.rule import RulesState
from sakk.core.travel_rule import TransferDirection, TravelRuleStatus
from sakk.core.webhook import EndpointStatus
from sakk.core.withdrawal import WithdrawalStatus
from sakk.store.bank_account import bank_accounts, list_own
from sakk.store.bank_change import bank_account_changes
from sakk.store.bank_file import bank_files
from sakk.store.bank_statement import count_open
from sakk.store.case import cases
from sakk.store.hedge_policy import hedge_proposals
from sakk.store.ledger_break import STANDING, breaks
from sakk.store.network import networks
from sakk.store.order import orders
from sakk.store.party import parties, party_hits
from sakk.store.payin import payins
from sakk.store.payout import payouts
from sakk.store.provider_order import UNDER_WAY, provider_orders
from sakk.store.rule import screening_rules
from sakk.store.tank import tanks
from sakk.store.travel_rule import travel_rules
from sakk.store.webhook import webhook_endpoints
from sakk.store.withdrawal import withdrawals

COUNT_MAX: Final = 100
# So many of the newest pay-ins are looked at.
LOOKED_AT: Final = 2_000


def count_exceptions(
    connection: Connection,
    condition: ColumnElement[bool],
    *,
    account_id: str | None,
    livemode: bool,
) -> int:
    """How many of the newest pay-ins fulfil a condition on ``payins``."""
    whose = [] if account_id is None else [payins.c.account_id == account_id]
    newest = (
        select(payins)
        .where(payins.c.livemode == livemode, *whose)
        .order_by(payins.c.id.desc())
        .limit(LOOKED_AT)
        .subquery()
    )
    counted = select(newest.c.id).where(ClauseAdapter(newest).traverse(condition))
    return _count(connection, counted.limit(COUNT_MAX).subquery())


def count_approvals(connection: Connection, *, account_id: str | None, livemode: bool) -> int:
    """Payouts that wait for people's words."""
    statement = select(payouts.c.id).where(
        payouts.c.status == PayoutStatus.screened.value,
        payouts.c.hold == HoldStatus.held.value,
        payouts.c.approvals_needed > 0,
        payouts.c.livemode == livemode,
    )
    if account_id is not None:
        statement = statement.where(payouts.c.account_id == account_id)
    return _count(connection, statement.limit(COUNT_MAX).subquery())


@dataclass(frozen=True, slots=True)
class Finance:
    """What waits for a finance officer: questions of providers, lines of banks, files to release,
    accounts at banks to approve, breaks, orders that close positions, proposals of when they do,
    and moves to vaults."""

    questions: int
    lines: int
    files: int
    bank_accounts: int
    breaks: int
    orders: int
    hedges: int
    withdrawals: int


def count_finance(connection: Connection, *, account_id: str | None, livemode: bool) -> Finance:
    """What waits for a finance officer. ``account_id`` narrows what is an account's."""
    asked = _of(provider_orders, livemode, UNDER_WAY).where(
        provider_orders.c.status == ProviderOrderStatus.information_required.value
    )
    if account_id is not None:
        asked = asked.where(provider_orders.c.account_id == account_id)
    own = [each.id for each in list_own(connection, bank_accounts.c.livemode == livemode)]
    newest = (
        select(bank_files.c.id, bank_files.c.status)
        .where(bank_files.c.livemode == livemode)
        .order_by(bank_files.c.id.desc())
        .limit(LOOKED_AT)
        .subquery()
    )
    c = bank_account_changes.c
    changed = select(c.bank_account).where(c.livemode == livemode, c.status == "awaiting")
    hedges = select(hedge_proposals.c.currency).where(hedge_proposals.c.livemode == livemode)
    questions = (
        asked,
        select(newest.c.id).where(newest.c.status == FileStatus.awaiting.value),
        changed,
        _of(breaks, livemode, literal_column(STANDING, Boolean)),
        _of(orders, livemode, orders.c.status == OrderStatus.awaiting.value),
        hedges,
        _of(withdrawals, livemode, withdrawals.c.status == WithdrawalStatus.screened.value),
    )
    counts = [_count(connection, each.limit(COUNT_MAX).subquery()) for each in questions]
    lines = sum(count_open(connection, own).values())
    return Finance(counts[0], lines, *counts[1:])


def _of(table: Table, livemode: bool, condition: ColumnElement[bool]) -> Select[tuple[str]]:
    return select(table.c.id).where(table.c.livemode == livemode, condition)


@dataclass(frozen=True, slots=True)
class Cases:
    """How many cases are not closed: all, past their deadline, a person's, nobody's, and those
    whose outcome another than that person proposed."""

    open: int
    late: int
    mine: int
    nobodys: int
    second: int


def count_cases(
    connection: Connection,
    *,
    account_id: str | None,
    livemode: bool,
    now: datetime,
    person: str,
) -> Cases:
    """The cases that are not closed, by who has to do something."""
    c = cases.c
    open_ = select(c.id).where(c.status != CaseStatus.closed.value, c.livemode == livemode)
    if account_id is not None:
        open_ = open_.where(c.account_id == account_id)
    second = open_.where(
        c.status == CaseStatus.awaiting_second.value,
        func.coalesce(c.proposal["by"].astext, "") != person,
    )

    def count(statement: Select[tuple[str]]) -> int:
        return _count(connection, statement.limit(COUNT_MAX).subquery())

    return Cases(
        open=count(open_),
        late=count(open_.where(c.due_at <= now)),
        mine=count(open_.where(c.assignee == person)),
        nobodys=count(open_.where(c.assignee.is_(None))),
        second=count(second),
    )


@dataclass(frozen=True, slots=True)
class PartiesWaiting:
    """Parties that were handed in, whose review is due, and which have open likenesses."""

    submitted: int
    review: int
    likeness: int


def count_parties(
    connection: Connection, *, account_id: str | None, livemode: bool, now: datetime
) -> PartiesWaiting:
    """What of due diligence waits for people."""
    c = parties.c
    whose = [c.livemode == livemode]
    hits = select(party_hits.c.party_id).where(
        party_hits.c.livemode == livemode, party_hits.c.state == HitState.open.value
    )
    if account_id is not None:
        whose.append(c.account_id == account_id)
        hits = hits.where(party_hits.c.account_id == account_id)
    submitted = select(c.id).where(*whose, c.status == PartyStatus.submitted.value)
    review = select(c.id).where(*whose, c.status == PartyStatus.approved.value, c.review_at <= now)
    return PartiesWaiting(
        submitted=_count(connection, submitted.limit(COUNT_MAX).subquery()),
        review=_count(connection, review.limit(COUNT_MAX).subquery()),
        likeness=_count(connection, hits.limit(COUNT_MAX).distinct().subquery()),
    )


@dataclass(frozen=True, slots=True)
class Untold:
    """Travel Rule records that wait: for data, past their deadline, and for our answer."""

    required: int
    late: int
    asked: int


def count_untold(
    connection: Connection, *, account_id: str | None, livemode: bool, now: datetime
) -> Untold:
    """Transfers that the Travel Rule holds up, by what has to be done."""
    c = travel_rules.c
    open_ = select(c.id).where(c.ended_at.is_(None), c.livemode == livemode)
    if account_id is not None:
        open_ = open_.where(c.account_id == account_id)
    required = open_.where(c.status == TravelRuleStatus.required.value)
    pending = open_.where(c.status == TravelRuleStatus.pending.value)
    waiting = (TravelRuleStatus.required.value, TravelRuleStatus.pending.value)
    late = open_.where(c.status.in_(waiting), c.deadline_at < now)
    asked = pending.where(c.direction == TransferDirection.incoming.value)
    return Untold(
        required=_count(connection, required.limit(COUNT_MAX).subquery()),
        late=_count(connection, late.limit(COUNT_MAX).subquery()),
        asked=_count(connection, asked.limit(COUNT_MAX).subquery()),
    )


def count_proposed_rules(connection: Connection, *, livemode: bool, person: str) -> int:
    """Versions of the screening rules that another than this person proposed."""
    c = screening_rules.c
    statement = select(c.id).where(
        c.livemode == livemode, c.state == RulesState.proposed.value, c.proposed_by != person
    )
    return _count(connection, statement.limit(COUNT_MAX).subquery())


def low_tanks(connection: Connection, *, livemode: bool) -> list[str]:
    """The networks whose gas runs out."""
    statement = (
        select(networks.c.name)
        .join(tanks, tanks.c.network == networks.c.network)
        .where(tanks.c.low, networks.c.livemode == livemode, networks.c.enabled)
        .order_by(networks.c.name)
    )
    return list(connection.execute(statement).scalars())


def count_failing(connection: Connection, *, account_id: str | None, livemode: bool) -> int:
    """Webhook endpoints that take nothing: they fail, or were disabled because they did."""
    c = webhook_endpoints.c
    statement = select(c.id).where(
        c.livemode == livemode,
        c.failing_since.is_not(None)
        | ((c.status == EndpointStatus.disabled.value) & (c.disabled_reason != "by_account")),
    )
    if account_id is not None:
        statement = statement.where(c.account_id == account_id)
    return _count(connection, statement.limit(COUNT_MAX).subquery())


def _count(connection: Connection, rows: object) -> int:
    return int(connection.execute(select(func.count()).select_from(rows)).scalar_one())  # type: ignore[arg-type]
