"""Payouts: rows and queries."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from functools import lru_cache

from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Index,
    Integer,
    Table,
    Text,
    bindparam,
    func,
    select,
    text,
    update,
)

from sakk.core.payout import HoldStatus, Payout, PayoutStatus
from sakk.store.database import (
    Query,
    among,
    as_json,
    fetch,
    fetch_all,
    fetch_one,
    insert_given,
    insert_records,
    query,
    row_of,
    run,
    text_of,
)
from sakk.store.lease import NOW, before, lease_columns
from sakk.store.schema import Document, Timestamp, Units, metadata

# A verdict older than this is not one on which coins are sent: it is given again first.
SCREENED_MAX = timedelta(hours=1)

payouts = Table(
    "payouts",
    metadata,
    Column("id", Text, primary_key=True),
    Column("account_id", Text, nullable=False),
    Column("livemode", Boolean, nullable=False),
    Column("amount", Units, nullable=False),
    Column("fee", Units, nullable=False),
    Column("service_fee", Units, nullable=False, server_default="0"),
    Column("fee_terms", Document),
    Column("application_fee", Units, nullable=False, server_default="0"),
    Column("application_terms", Document),
    Column("fee_returned", Units, nullable=False, server_default="0"),
    Column("currency", Text, nullable=False),
    Column("decimals", Integer, nullable=False),
    Column("network", Text, nullable=False),
    Column("asset", Text, nullable=False),
    Column("token_amount", Units, nullable=False),
    Column("destination", Text, nullable=False),
    Column("beneficiary", Text),
    Column("fee_mode", Text, nullable=False),
    Column("purpose", Text, nullable=False, server_default="payout"),
    Column("source", Text, nullable=False, server_default="balance"),
    Column("status", Text, nullable=False),
    Column("hold", Text, nullable=False),
    Column("screening", Text),
    Column("under_review", Boolean, nullable=False),
    Column("initiator", Text),
    Column("initiator_person", Text),
    Column("policy_version", Text),
    Column("rule", Text),
    Column("approvals_needed", Integer, nullable=False, server_default="0"),
    Column("approver_role", Text),
    Column("decided_at", Timestamp),
    Column("transaction", Text),
    Column("transaction_line", Integer),
    Column("alone", Boolean, nullable=False, server_default=text("false")),
    Column("tx_hash", Text),
    Column("waits_for", Text),
    Column("failure_code", Text),
    Column("failure_message", Text),
    Column("description", Text),
    Column("metadata", Document, nullable=False),
    Column("batch", Text),
    Column("line", Integer),
    Column("reference", Text),
    Column("quote", Text),
    Column("scheduled_at", Timestamp),
    Column("screened_at", Timestamp),
    Column("screening_stale", Boolean, nullable=False, server_default=text("false")),
    Column("travel_rule", Text, nullable=False, server_default="not_required"),
    Column("canceled_at", Timestamp),
    Column("confirmed_at", Timestamp),
    Column("posted_at", Timestamp),
    Column("created", Timestamp, nullable=False),
    *lease_columns(),
    Index("ix_payouts_account", "account_id", "livemode", "id"),
    Index("ix_payouts_destination", "account_id", "destination", "created"),
    Index("ix_payouts_transaction", "transaction"),
    # What screening rules count in a window.
    Index("ix_payouts_destination_created", "destination", "created"),
    Index("ix_payouts_account_created", "account_id", "created"),
    # What a policy's periods add up.
    Index(
        "ix_payouts_decided",
        "livemode",
        "currency",
        "decided_at",
        postgresql_where=text("decided_at IS NOT NULL"),
    ),
    Index(
        "ix_payouts_decided_account",
        "account_id",
        "currency",
        "decided_at",
        postgresql_where=text("decided_at IS NOT NULL"),
    ),
    Index(
        "ix_payouts_decided_destination",
        "destination",
        "decided_at",
        postgresql_where=text("decided_at IS NOT NULL"),
    ),
    # A line of a batch is one payout, whatever is repeated.
    Index(
        "uq_payouts_batch",
        "batch",
        "line",
        unique=True,
        postgresql_where=text("batch is not null"),
    ),
    Index(
        "ix_payouts_reference",
        "account_id",
        "livemode",
        "reference",
        postgresql_where=text("reference is not null"),
    ),
    Index(
        "ix_payouts_beneficiary", "beneficiary", postgresql_where=text("beneficiary is not null")
    ),
    Index(
        "ix_payouts_work",
        "status",
        "hold",
        postgresql_where=text(
            "status not in ('posted', 'rejected', 'canceled', 'failed') or hold = 'held'"
        ),
    ),
)

# The first and last digits of a destination, as `sakk.core.beneficiary.lookalike_key` takes them.
LOOKALIKE = func.substr(payouts.c.destination, 3, 3).concat(func.right(payouts.c.destination, 3))
Index("ix_payouts_lookalike", payouts.c.account_id, payouts.c.livemode, LOOKALIKE)


def insert(connection: Connection, payout: Payout) -> bool:
    """Record a payout; False if another request has recorded it under the same id."""
    row = row_of(payout)
    return run(connection, _insert_new(tuple(row)), {"rows": as_json(payouts, [row])}).rowcount == 1


@lru_cache
def _insert_new(columns: tuple[str, ...]) -> str:
    return text_of(insert_given(payouts, columns).on_conflict_do_nothing())


def insert_many(
    connection: Connection, rows: Sequence[Payout], *, lease_until: datetime | None = None
) -> None:
    """Record the payouts of a batch that was recorded in this transaction: nobody else has them.

    ``lease_until``: no stage looks at them before, unless what they wait for was done.
    """
    insert_records(connection, payouts, rows, lease_until=lease_until)


def mark_held(connection: Connection, identifiers: Sequence[str]) -> None:
    """The ledger holds these payouts' money; rows that say what became of it stay as they are."""
    if identifiers:
        connection.execute(
            update(payouts)
            .where(among(payouts.c.id, identifiers), payouts.c.hold == HoldStatus.none.value)
            .values(hold=HoldStatus.held.value, lease_until=None)
        )


def hold(connection: Connection, identifier: str) -> Payout | None:
    """The ledger holds one payout's money: the row as it stands then; None where it stood there
    already, or where the row says what became of it."""
    found = fetch(connection, _hold, identifier=identifier)
    return found[0] if found else None


# By one id, so that the plan is made once: of ``= ANY`` PostgreSQL makes it for every call.
_hold = query(
    update(payouts)
    .where(
        payouts.c.id == bindparam("identifier", type_=Text),
        payouts.c.hold == HoldStatus.none.value,
    )
    .values(hold=HoldStatus.held.value, lease_until=None)
    .returning(payouts),
    Payout,
)


def mark_refused(connection: Connection, refused: Sequence[Payout]) -> set[str]:
    """The ledger refused these payouts' money, all for one reason; the ids of those written."""
    if not refused:
        return set()
    first = refused[0]
    result = connection.execute(
        update(payouts)
        .where(
            among(payouts.c.id, [each.id for each in refused]),
            payouts.c.hold == HoldStatus.none.value,
        )
        .values(
            hold=first.hold,
            status=first.status,
            failure_code=first.failure_code,
            failure_message=first.failure_message,
            lease_until=None,
        )
        .returning(payouts.c.id)
    )
    return set(result.scalars())


def find(
    connection: Connection,
    identifier: str,
    *,
    account_id: str | None,
    livemode: bool,
    lock: bool = False,
) -> Payout | None:
    """One payout of an account, or of any account for the operator (``account_id`` None)."""
    wanted = {"identifier": identifier, "livemode": livemode, "account": account_id}
    found = fetch(connection, _find(of_one=account_id is not None, lock=lock), **wanted)
    return found[0] if found else None


@lru_cache
def _find(*, of_one: bool, lock: bool) -> Query[Payout]:
    statement = select(payouts).where(
        payouts.c.id == bindparam("identifier", type_=Text),
        payouts.c.livemode == bindparam("livemode", type_=Boolean),
    )
    if of_one:
        statement = statement.where(payouts.c.account_id == bindparam("account", type_=Text))
    return query(statement.with_for_update() if lock else statement, Payout)


def list_batch(connection: Connection, batch: str) -> list[Payout]:
    """All payouts of a batch, in the order of its lines."""
    statement = select(payouts).where(payouts.c.batch == batch).order_by(payouts.c.line)
    return fetch_all(connection, statement, Payout)


_MADE = (PayoutStatus.confirmed.value, PayoutStatus.posted.value)


def paid_before(connection: Connection, rows: Sequence[Payout]) -> dict[str, int]:
    """How many other payouts to its address on its network were made, by the payout's id.

    ``rows`` are of one account.
    """
    found = connection.execute(
        select(payouts.c.network, payouts.c.destination, func.count())
        .where(
            payouts.c.account_id == rows[0].account_id,
            payouts.c.livemode == rows[0].livemode,
            among(payouts.c.destination, {row.destination for row in rows}),
            payouts.c.status.in_(_MADE),
        )
        .group_by(payouts.c.network, payouts.c.destination)
    )
    made = {(each[0], each[1]): int(each[2]) for each in found}
    return {
        row.id: made.get((row.network, row.destination), 0) - (row.status in _MADE) for row in rows
    }


def is_due() -> ColumnElement[bool]:
    """May a transaction be made for it, at the moment of the claim?

    What was scheduled is screened again at its time, and first what the lists or rules say
    otherwise of, and what was screened longer ago than `SCREENED_MAX`.
    """
    return (
        ~payouts.c.screening_stale
        & (payouts.c.screened_at >= before(SCREENED_MAX))
        & (
            payouts.c.scheduled_at.is_(None)
            | ((payouts.c.scheduled_at <= NOW) & (payouts.c.screened_at >= payouts.c.scheduled_at))
        )
    )


def is_too_old(payout: Payout, now: datetime) -> bool:
    """The same of a row that a transaction carries and that is about to be signed."""
    return payout.screening_stale or (
        payout.screened_at is not None and payout.screened_at < now - SCREENED_MAX
    )


def is_stale() -> ColumnElement[bool]:
    """What was found of its destination is from before.

    Its time has come, the lists or rules changed, or it may be sent and was screened long ago: the
    money of its destination moved meanwhile.
    """
    return (
        among(payouts.c.status, [PayoutStatus.screened.value, PayoutStatus.approved.value])
        & payouts.c.transaction.is_(None)
        & (
            payouts.c.screening_stale
            | (
                (payouts.c.status == PayoutStatus.approved.value)
                & (payouts.c.scheduled_at.is_(None) | (payouts.c.scheduled_at <= NOW))
                & (payouts.c.screened_at < before(SCREENED_MAX))
            )
            | ((payouts.c.scheduled_at <= NOW) & (payouts.c.screened_at < payouts.c.scheduled_at))
        )
    )


def list_by_ids(connection: Connection, identifiers: Collection[str]) -> dict[str, Payout]:
    """Payouts by their ids."""
    if not identifiers:
        return {}
    statement = select(payouts).where(among(payouts.c.id, sorted(set(identifiers))))
    return {each.id: each for each in fetch_all(connection, statement, Payout)}


def lock_one(connection: Connection, identifier: str) -> Payout | None:
    """One payout by its id alone, locked: for stages, which serve every account."""
    statement = select(payouts).where(payouts.c.id == identifier).with_for_update()
    return fetch_one(connection, statement, Payout)


def lock_carried(connection: Connection, transaction: str) -> list[Payout]:
    """The payouts that a transaction carries, in the order of its lines, locked."""
    statement = (
        select(payouts)
        .where(payouts.c.transaction == transaction)
        .order_by(payouts.c.transaction_line, payouts.c.id)
        .with_for_update()
    )
    return fetch_all(connection, statement, Payout)
