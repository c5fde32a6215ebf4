"""Policies: their versions, and what their periods add up."""

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Final

import msgspec
from sqlalchemy import (
    Boolean,
    Column,
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

from sakk.core.policy import TRANSFER, PeriodKey, PolicyVersion, VersionState
from sakk.store.database import fetch, fetch_all, fetch_one, insert_records, query, run
from sakk.store.schema import Document, Timestamp, metadata

# One transaction of a mode judges at a time, so that two can not pass a period's limit together.
JUDGING_LOCK: Final = 0x5A4B50
VERSIONS_MAX: Final = 1_000

policies = Table(
    "policies",
    metadata,
    Column("id", Text, primary_key=True),
    Column("livemode", Boolean, nullable=False),
    Column("number", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("rules", Document, nullable=False),
    Column("digest", Text, nullable=False),
    Column("note", Text),
    Column("base", Integer),
    Column("proposed_by", Text),
    Column("decided_by", Text),
    Column("created", Timestamp, nullable=False),
    Column("activated_at", Timestamp),
    Column("closed_at", Timestamp),
    Index("uq_policies_number", "livemode", "number", unique=True),
    Index("uq_policies_active", "livemode", unique=True, postgresql_where=text("state = 'active'")),
)


_find_active = query(
    select(policies).where(
        policies.c.livemode == bindparam("livemode", type_=Boolean),
        policies.c.state == VersionState.active.value,
    ),
    PolicyVersion,
)


def find_active(connection: Connection, *, livemode: bool) -> PolicyVersion | None:
    """The version in force, or None: then no rule fits anything."""
    found = fetch(connection, _find_active, livemode=livemode)
    return found[0] if found else None


def find(
    connection: Connection, identifier: str, *, livemode: bool, lock: bool = False
) -> PolicyVersion | None:
    """A version by its id, or by its number."""
    column = policies.c.number if identifier.isdecimal() else policies.c.id
    value = int(identifier) if identifier.isdecimal() else identifier
    statement = select(policies).where(column == value, policies.c.livemode == livemode)
    return fetch_one(connection, statement.with_for_update() if lock else statement, PolicyVersion)


def list_versions(connection: Connection, *, livemode: bool) -> list[PolicyVersion]:
    """Every version, newest first."""
    return fetch_all(
        connection,
        select(policies)
        .where(policies.c.livemode == livemode)
        .order_by(policies.c.number.desc())
        .limit(VERSIONS_MAX),
        PolicyVersion,
    )


def next_number(connection: Connection, *, livemode: bool) -> int:
    """The number of the version to come; two at once are told apart by the unique index."""
    last = connection.execute(
        select(func.max(policies.c.number)).where(policies.c.livemode == livemode)
    ).scalar_one()
    return 1 if last is None else int(last) + 1


def insert(connection: Connection, version: PolicyVersion) -> None:
    insert_records(connection, policies, [version])


def close(
    connection: Connection, identifier: str, state: VersionState, *, by: str | None, now: datetime
) -> None:
    """End a version: superseded by another, or rejected by ``by``."""
    values = {"state": state.value, "closed_at": now}
    if by is not None:
        values["decided_by"] = by
    connection.execute(update(policies).where(policies.c.id == identifier).values(values))


def activate(connection: Connection, identifier: str, *, by: str, now: datetime) -> None:
    """Put a version in force; the one before was closed."""
    connection.execute(
        update(policies)
        .where(policies.c.id == identifier)
        .values(state=VersionState.active.value, decided_by=by, activated_at=now)
    )


def lock_judging(connection: Connection, *, livemode: bool) -> None:
    """Until this transaction ends no other judges payouts of the mode."""
    run(
        connection,
        "SELECT pg_advisory_xact_lock(%(lock)s, %(mode)s)",
        {"lock": JUDGING_LOCK, "mode": int(livemode)},
    )


# What was judged and not undone counts, also while it waits for approvals: it is promised.
_COUNTED = """
    p.livemode = %(livemode)s AND p.currency = k.currency
    AND p.decided_at > k.at - make_interval(secs => k.seconds)
    AND (k.before IS NULL OR p.decided_at < k.before)
    AND p.status NOT IN ('rejected', 'canceled', 'failed')
    AND NOT (p.id = ANY(%(apart)s))
    AND (k.assets = '{}' OR p.asset = ANY(k.assets))
    AND (k.networks = '{}' OR p.network = ANY(k.networks))
    AND (k.purposes = '{}' OR p.purpose = ANY(k.purposes))
"""
_BY_WHOM = {
    "account": "p.account_id = k.value",
    "initiator": "coalesce(p.initiator_person, p.initiator) = k.value",
    "destination": "p.destination = k.value",
    "all": "true",
}


# A withdrawal is the operator's: of no account.
_SOURCES = (
    "payouts p",
    "(SELECT w.*, 'withdrawal' AS purpose, '' AS account_id FROM withdrawals w) p",
)
# Counted where a rule names them; one that came back in time is not.
_TRANSFERS = (
    "(SELECT t.id, t.livemode, t.currency, t.amount, t.account_id, t.initiator, t.initiator_person,"
    " coalesce(t.destination, t.recipient) AS destination, t.created AS decided_at, 'transfer' AS"
    " purpose, '' AS asset, '' AS network, CASE t.status WHEN 'returned' THEN 'canceled' ELSE"
    " t.status END AS status FROM transfers t) p"
)
# What gift cards are issued with and given back counts for who pays it, as it leaves the balance;
# what is redeemed of another's, for who is paid.
_GIFT_CARDS = (
    "(SELECT m.*, m.created AS decided_at, 'transfer' AS purpose, '' AS asset, '' AS network FROM"
    " gift_card_movements m WHERE {which}) p"
)
_GIVEN = _GIFT_CARDS.format(which="m.kind IN ('issue', 'refund')")
# What a payment reserved and gave back paid nobody.
_PAID = _GIFT_CARDS.format(which="m.destination IS NOT NULL AND m.status <> 'released'")


def _sources(per: str, *, with_transfers: bool) -> tuple[str, ...]:
    if not with_transfers:
        return _SOURCES
    return (*_SOURCES, _TRANSFERS, _PAID if per == "destination" else _GIVEN)


@lru_cache
def _sums(pers: tuple[str, ...], *, with_transfers: bool) -> str:
    """The statement for these kinds of sums: a look-up by an index for every key.

    Written as a join the database would read the whole table once for each kind.
    """
    parts = " UNION ALL ".join(
        f"SELECT k.place, (SELECT sum(p.amount) FROM {source} WHERE {_BY_WHOM[per]}"  # noqa: S608
        f" AND {_COUNTED}) AS total FROM keys k WHERE k.per = '{per}'"
        for per in pers
        for source in _sources(per, with_transfers=with_transfers)
    )
    return f"""
WITH keys AS MATERIALIZED (
    SELECT * FROM json_to_recordset(CAST(%(keys)s AS json)) AS k(
        place integer, seconds integer, per text, value text, currency text,
        assets text[], networks text[], purposes text[], at timestamptz, before timestamptz
    )
)
{parts}
"""  # noqa: S608 - names of ours


def period_sums(
    connection: Connection,
    keys: Sequence[PeriodKey],
    *,
    livemode: bool,
    now: datetime,
    apart: Sequence[str] = (),
) -> dict[PeriodKey, int]:
    """What each period adds up now, of all payouts but those set ``apart``; one statement."""
    distinct = list(dict.fromkeys(keys))
    asked = [(key, now, None) for key in distinct]
    totals = _add_up(connection, asked, livemode=livemode, apart=apart)
    return dict(zip(distinct, totals, strict=True))


def past_sums(
    connection: Connection, asked: Sequence[tuple[PeriodKey, datetime]], *, livemode: bool
) -> list[int]:
    """What each period added up just before a moment, of what was let through for good."""
    return _add_up(connection, [(key, at, at) for key, at in asked], livemode=livemode, apart=())


def _add_up(
    connection: Connection,
    asked: Sequence[tuple[PeriodKey, datetime, datetime | None]],
    *,
    livemode: bool,
    apart: Sequence[str],
) -> list[int]:
    """The sum of each key at a moment; ``before`` None counts what others have just written."""
    if not asked:
        return []
    rows = [
        {"place": place, **key._asdict(), "at": at, "before": before}
        for place, (key, at, before) in enumerate(asked)
    ]
    found = run(
        connection,
        _sums(
            tuple(sorted({key.per for key, _, _ in asked})),
            with_transfers=any(TRANSFER in key.purposes for key, _, _ in asked),
        ),
        {
            "keys": msgspec.json.encode(rows).decode(),
            "livemode": livemode,
            "apart": list(apart),
        },
    )
    totals = [0] * len(asked)
    for row in found.mappings():
        totals[row["place"]] += int(row["total"] or 0)
    return totals
