"""What a person is told first: counts of what waits, each bounded so that none of them is slow."""

from datetime import datetime
from typing import Final

from sqlalchemy import ColumnElement, Connection, func, select
from sqlalchemy.sql.util import ClauseAdapter

from sakk.core.case import CaseStatus
from sakk.core.payout import HoldStatus, PayoutStatus
from sakk.core.webhook import EndpointStatus
from sakk.store.case import cases
from sakk.store.network import networks
from sakk.store.payin import payins
from sakk.store.payout import payouts
from sakk.store.tank import tanks
from sakk.store.webhook import webhook_endpoints

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


def count_cases(connection: Connection, *, livemode: bool, now: datetime) -> tuple[int, int]:
    """Cases that are not closed, and of these the ones past their deadline."""
    open_ = select(cases.c.id).where(
        cases.c.status != CaseStatus.closed.value, cases.c.livemode == livemode
    )
    late = open_.where(cases.c.due_at <= now)
    return (
        _count(connection, open_.limit(COUNT_MAX).subquery()),
        _count(connection, late.limit(COUNT_MAX).subquery()),
    )


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
