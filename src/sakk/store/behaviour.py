"""Behaviour: what the rows of pay-ins and payouts say about many transfers, in a few statements.

Each question is a look-up by an index for every transfer that asks, and reads at most
`ROWS_READ_MAX` rows; those of a batch that ask the same are one question.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Final

import msgspec
from sqlalchemy import Connection

from sakk.core.behaviour import ROWS_READ_MAX, Counted, WindowKey
from sakk.core.beneficiary import Known, find_lookalike, lookalike_key
from sakk.core.payin import PayInStatus
from sakk.core.payout import PayoutStatus
from sakk.core.screening import ScreeningRequest, counterparty
from sakk.store.database import run

# What never happened in the end is not counted.
_UNDONE_IN: Final = (PayInStatus.orphaned.value, PayInStatus.reversed.value)
_UNDONE_OUT: Final = (
    PayoutStatus.rejected.value,
    PayoutStatus.canceled.value,
    PayoutStatus.failed.value,
)
_PAID: Final = (
    PayoutStatus.signed.value,
    PayoutStatus.broadcast.value,
    PayoutStatus.unknown.value,
    PayoutStatus.confirmed.value,
    PayoutStatus.posted.value,
)
# Table, whose rows, and which of them do not count, by direction and ``per``.
_SOURCES: Final = {
    "incoming/account": ("payins", "account_id", _UNDONE_IN),
    "incoming/counterparty": ("payins", "sender", _UNDONE_IN),
    "outgoing/account": ("payouts", "account_id", _UNDONE_OUT),
    "outgoing/counterparty": ("payouts", "destination", _UNDONE_OUT),
}


@dataclass(frozen=True, slots=True)
class Question:
    """One transfer, as it stood at ``at``, and what is to be counted beside it."""

    request: ScreeningRequest
    windows: Collection[WindowKey]
    at: datetime


def count_windows(
    connection: Connection, questions: Sequence[Question]
) -> list[dict[str, Counted]]:
    """What each window holds, by its name, for each question; one statement for all of them."""
    asked: dict[tuple[Any, ...], int] = {}
    places = [
        {key.name: asked.setdefault(_asked(each, key), len(asked)) for key in each.windows}
        for each in questions
    ]
    if not asked:
        return [{} for _ in questions]
    names = ("source", "value", "livemode", "currency", "since", "until", "low", "high")
    rows = [
        {"place": place, **dict(zip(names, values, strict=True))} for values, place in asked.items()
    ]
    found = run(
        connection,
        _statement(tuple(sorted({row["source"] for row in rows}))),
        {"asks": msgspec.json.encode(rows).decode()},
    )
    counted = {
        row["place"]: Counted(int(row["count"]), int(row["units"] or 0), row["read"] == _MAX)
        for row in found.mappings()
    }
    return [{name: counted[place] for name, place in each.items()} for each in places]


def paid_before(connection: Connection, questions: Sequence[Question]) -> list[bool]:
    """Did the account pay this address before? For each question."""
    found = run(connection, _PAID_BEFORE, {"asks": _asks(questions), "paid": list(_PAID)})
    paid = {row["place"] for row in found.mappings()}
    return [place in paid for place in range(len(questions))]


def imitated(connection: Connection, questions: Sequence[Question]) -> list[str | None]:
    """Which address of the account's book, or that it paid, does the other side look like?"""
    found = run(connection, _ALIKE, {"asks": _asks(questions), "paid": list(_PAID)})
    known: dict[int, list[Known]] = {}
    for row in found.mappings():
        known.setdefault(row["place"], []).append(Known(row["address"], ""))
    result = []
    for place, each in enumerate(questions):
        alike = sorted(known.get(place, ()), key=lambda one: one.address)
        imitates = find_lookalike(counterparty(each.request), alike)
        result.append(None if imitates is None else imitates.address)
    return result


def _asked(question: Question, key: WindowKey) -> tuple[Any, ...]:
    request = question.request
    of_account = key.per == "account"
    return (
        f"{key.direction}/{key.per}",
        request.account_id if of_account else counterparty(request),
        request.livemode,
        request.currency,
        question.at - timedelta(seconds=key.seconds),
        question.at,
        None if key.low is None else str(key.low),
        None if key.high is None else str(key.high),
    )


def _asks(questions: Sequence[Question]) -> str:
    rows = [
        {
            "place": place,
            "subject": each.request.subject,
            "account": each.request.account_id,
            "livemode": each.request.livemode,
            "value": counterparty(each.request),
            "alike": lookalike_key(counterparty(each.request)),
            "until": each.at,
        }
        for place, each in enumerate(questions)
    ]
    return msgspec.json.encode(rows).decode()


_MAX: Final = ROWS_READ_MAX


@lru_cache
def _statement(sources: tuple[str, ...]) -> str:
    """The statement for these sources: a look-up by an index for every question."""
    parts = " UNION ALL ".join(_counted(source) for source in sources)
    return f"""
WITH asks AS MATERIALIZED (
    SELECT * FROM json_to_recordset(CAST(%(asks)s AS json)) AS a(
        place integer, source text, value text, livemode boolean, currency text,
        since timestamptz, until timestamptz, low numeric, high numeric
    )
)
{parts}
"""  # noqa: S608 - names of ours


def _counted(source: str) -> str:
    table, column, undone = _SOURCES[source]
    statuses = ", ".join(f"'{status}'" for status in undone)
    inside = (
        "(a.high IS NULL OR (t.currency = a.currency AND t.amount >= a.low AND t.amount < a.high))"
    )
    return f"""
SELECT a.place, c.count, c.units, c.read FROM asks a CROSS JOIN LATERAL (
    SELECT count(*) AS read, count(*) FILTER (WHERE {inside}) AS count,
        sum(t.amount) FILTER (WHERE {inside} AND t.currency = a.currency) AS units
    FROM (
        SELECT p.amount, p.currency FROM {table} p
        WHERE p.{column} = a.value AND p.livemode = a.livemode
            AND p.created > a.since AND p.created <= a.until
            AND p.status NOT IN ({statuses})
        ORDER BY p.created DESC LIMIT {_MAX}
    ) t
) c WHERE a.source = '{source}'
"""  # noqa: S608 - names of ours


_ASKED: Final = """
WITH asks AS MATERIALIZED (
    SELECT * FROM json_to_recordset(CAST(%(asks)s AS json)) AS a(
        place integer, subject text, account text, livemode boolean, value text, alike text,
        until timestamptz
    )
)
"""
# Each a look-up a question: as a plain join the database would read the whole table once.
_PAID_BEFORE: Final = f"""
{_ASKED}
SELECT a.place FROM asks a CROSS JOIN LATERAL (
    SELECT 1 FROM payouts p
    WHERE p.account_id = a.account AND p.destination = a.value AND p.livemode = a.livemode
        AND p.status = ANY(%(paid)s) AND p.created <= a.until AND p.id <> a.subject
    ORDER BY p.created DESC LIMIT 1
) paid
"""  # noqa: S608 - names of ours
_ALIKE: Final = f"""
{_ASKED}
SELECT a.place, known.address FROM asks a CROSS JOIN LATERAL (
    (SELECT b.address FROM beneficiaries b
    WHERE b.account_id = a.account AND b.livemode = a.livemode AND b.lookalike = a.alike
        AND NOT b.deleted AND b.created <= a.until
    LIMIT {_MAX})
    UNION
    (SELECT p.destination FROM payouts p
    WHERE p.account_id = a.account AND p.livemode = a.livemode
        AND (substr(p.destination, 3, 3) || right(p.destination, 3)) = a.alike
        AND p.status = ANY(%(paid)s) AND p.created <= a.until AND p.id <> a.subject
    LIMIT {_MAX})
) known
"""  # noqa: S608 - names of ours
