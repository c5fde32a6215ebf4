"""The chart's accounts as people read them: by name, with their totals, and their journal.

Names are listed in their own order; each question is bounded, as `sakk.store.page.fetch_window` is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, func, or_, select

from sakk.core.chart import AccountCode
from sakk.store.ledger import ledger_account_names, ledger_accounts, ledger_transfers
from sakk.store.network import networks
from sakk.store.page import WINDOW_ROWS_MAX

_TEST: Final = "test/"


@dataclass(frozen=True, slots=True)
class ChartAccount:
    """One account: what was debited and credited, posted and pending, in its unit."""

    id: UUID
    name: str
    unit: str
    code: int
    account: str | None
    debits_pending: int
    debits_posted: int
    credits_pending: int
    credits_posted: int

    @property
    def balance(self) -> int:
        """As its side counts: what is held for coins, what is owed for money."""
        owed = self.credits_posted - self.debits_posted
        return -owed if self.code in DEBIT_NORMAL else owed


DEBIT_NORMAL: Final = frozenset(
    int(code)
    for code in (
        AccountCode.custody,
        AccountCode.dust,
        AccountCode.suspense,
        AccountCode.quarantine,
        AccountCode.gas,
        AccountCode.gas_tank,
        AccountCode.seized,
        AccountCode.escrow,
        AccountCode.bank,
        AccountCode.receivable,
        AccountCode.fee_network,
        AccountCode.fee_venue,
        AccountCode.venue,
        AccountCode.loss,
    )
)


def list_accounts(
    connection: Connection,
    *,
    livemode: bool,
    q: str | None = None,
    code: int | None = None,
    after: str | None = None,
    limit: int,
) -> tuple[list[ChartAccount], str | None]:
    """A page of accounts by name, and after which name the next page begins (None: the end)."""
    c = ledger_account_names.c
    window = select(ledger_account_names).order_by(c.name).limit(WINDOW_ROWS_MAX)
    if after is not None:
        window = window.where(c.name > after)
    looked_at = window.subquery()
    conditions = [_is_of_mode(connection, looked_at.c.unit, livemode=livemode)]
    if q is not None:
        conditions.append(looked_at.c.name.contains(q, autoescape=True))
    if code is not None:
        conditions.append(looked_at.c.code == code)
    totals = ledger_accounts.c
    statement = (
        select(
            looked_at.c.id,
            looked_at.c.name,
            looked_at.c.unit,
            looked_at.c.code,
            looked_at.c.account,
            *(
                func.coalesce(totals[name], 0).label(name)
                for name in ("debits_pending", "debits_posted", "credits_pending", "credits_posted")
            ),
        )
        .outerjoin(ledger_accounts, totals.id == looked_at.c.id)
        .where(*conditions)
        .order_by(looked_at.c.name)
        .limit(limit + 1)
    )
    found = [_account(row) for row in connection.execute(statement)]
    if len(found) > limit:
        return found[:limit], found[limit - 1].name
    end = select(c.name).order_by(c.name).offset(WINDOW_ROWS_MAX - 1).limit(1)
    if after is not None:
        end = end.where(c.name > after)
    return found, connection.execute(end).scalar_one_or_none()


def find_account(
    connection: Connection, identifier: UUID, *, livemode: bool
) -> ChartAccount | None:
    """One account by its id, if it is of the mode."""
    c, totals = ledger_account_names.c, ledger_accounts.c
    row = connection.execute(
        select(
            c.id,
            c.name,
            c.unit,
            c.code,
            c.account,
            *(
                func.coalesce(totals[name], 0).label(name)
                for name in ("debits_pending", "debits_posted", "credits_pending", "credits_posted")
            ),
        )
        .outerjoin(ledger_accounts, totals.id == c.id)
        .where(c.id == identifier, _is_of_mode(connection, c.unit, livemode=livemode))
    ).first()
    return None if row is None else _account(row)


def available_of(connection: Connection, account_id: str, *, livemode: bool) -> dict[str, UUID]:
    """By unit, the ledger's accounts of what a merchant has available."""
    c = ledger_account_names.c
    rows = connection.execute(
        select(c.unit, c.id).where(
            c.account == account_id, c.code == int(AccountCode.merchant_available)
        )
    )
    return {row.unit: row.id for row in rows if row.unit.startswith(_TEST) is not livemode}


@dataclass(frozen=True, slots=True)
class JournalLine:
    """A transfer of the chart between two named accounts."""

    timestamp_ns: int
    code: int
    status: str
    user_data: UUID
    amount: int
    unit: str
    debit: str
    credit: str
    debit_id: UUID
    credit_id: UUID


def list_journal(
    connection: Connection,
    *,
    livemode: bool,
    code: int | None = None,
    after: int | None = None,
    limit: int,
) -> tuple[list[JournalLine], int | None]:
    """The chart's transfers, newest first, and the ledger's time after which it goes on.

    Transfers of the other mode, and of the operator's own ledgers, are passed over.
    """
    t = ledger_transfers.c
    window = select(ledger_transfers).where(t.shard == 0).order_by(t.timestamp_ns.desc())
    if code is not None:
        window = window.where(t.code == code)
    if after is not None:
        window = window.where(t.timestamp_ns < after)
    looked_at = window.limit(WINDOW_ROWS_MAX // 10).subquery()
    debit, credit = ledger_account_names.alias("debit"), ledger_account_names.alias("credit")
    statement = (
        select(
            *(looked_at.c[name] for name in ("timestamp_ns", "code", "status", "user_data")),
            looked_at.c.amount,
            debit.c.unit,
            debit.c.name.label("debit"),
            credit.c.name.label("credit"),
            debit.c.id.label("debit_id"),
            credit.c.id.label("credit_id"),
        )
        .join(debit, debit.c.id == looked_at.c.debit_account_id)
        .join(credit, credit.c.id == looked_at.c.credit_account_id)
        .where(_is_of_mode(connection, debit.c.unit, livemode=livemode))
        .order_by(looked_at.c.timestamp_ns.desc())
        .limit(limit + 1)
    )
    found = [
        JournalLine(**{**row, "amount": int(row["amount"])})
        for row in connection.execute(statement).mappings()
    ]
    if len(found) > limit:
        return found[:limit], found[limit - 1].timestamp_ns
    end = window.with_only_columns(t.timestamp_ns).offset(WINDOW_ROWS_MAX // 10 - 1).limit(1)
    return found, connection.execute(end).scalar_one_or_none()


def _is_of_mode(connection: Connection, unit: Any, *, livemode: bool) -> Any:
    """A currency's unit names its mode; an asset's is that of its network."""
    ours: Sequence[str] = (
        connection.execute(select(networks.c.network).where(networks.c.livemode == livemode))
        .scalars()
        .all()
    )
    is_asset = unit.contains(":")
    is_test = unit.startswith(_TEST)
    of_currency = ~is_test if livemode else is_test
    return or_(
        is_asset & func.split_part(unit, "/", 1).in_(list(ours)),
        ~is_asset & of_currency,
    )


def _account(row: Any) -> ChartAccount:
    identifier, name, unit, code, account, *totals = row
    return ChartAccount(identifier, name, unit, code, account, *map(int, totals))
