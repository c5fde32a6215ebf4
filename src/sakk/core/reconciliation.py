"""Reconciliations: one run that was kept, and what it found, each as a break would be known by.

A run looks at scopes: a network's coins, the rows that moved money, what stands in suspense, the
banks. What it finds has a key that stays the same while the difference stands, so that a later run
finds the same break again, or finds that it is gone.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final

import msgspec

from sakk.core import ids
from sakk.core.reconcile import InFlight, Proof

PREFIX: Final = "recon"
ROWS: Final = "rows"
SUSPENSE: Final = "suspense"
# A row that one side shows and the other does not for longer than this waits for a person.
IN_FLIGHT_MAX: Final = timedelta(hours=24)
DETAIL_LENGTH_MAX: Final = 1_000


class ReconciliationStatus(StrEnum):
    balanced = "balanced"
    broken = "broken"
    failed = "failed"


class BreakKind(StrEnum):
    """What does not agree, and which side has more."""

    chain_without_ledger = "chain_without_ledger"
    ledger_without_chain = "ledger_without_chain"
    escrow_differs = "escrow_differs"
    row_differs = "row_differs"
    in_flight = "in_flight"
    suspense = "suspense"
    bank_without_ledger = "bank_without_ledger"
    ledger_without_bank = "ledger_without_bank"
    amount_differs = "amount_differs"
    counterparty_differs = "counterparty_differs"
    duplicate = "duplicate"


@dataclass(frozen=True, slots=True)
class Suspended:
    """A ledger account of what has no owner yet, credits less debits; zero never stands here."""

    account: str
    unit: str
    units: int


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that does not agree. ``units``: signed, what the other side has beyond the ledger.

    ``unit``: the ledger's, where it is an amount. ``subject``: the row or account that it is about.
    """

    key: str
    scope: str
    kind: BreakKind
    subject: str | None
    unit: str | None
    units: int
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciliation:
    """A row. ``scopes``: what it looked at; ``document``: what it saw, whole.

    ``why``: what a failed run could not read.
    """

    id: str
    livemode: bool
    status: str
    scopes: Sequence[str]
    breaks: int
    journal_sequence: int
    document: dict[str, Any]
    sha256: str
    why: str | None
    started: datetime
    created: datetime


def chain_scope(network: str) -> str:
    """The scope of a network's coins."""
    return f"chain:{network}"


def findings_of(
    proof: Proof, suspense: Sequence[Suspended], *, rows: bool, now: datetime
) -> list[Finding]:
    """What a run has found. ``rows``: is it to tell of rows too?"""
    found: list[Finding] = []
    for network in proof.networks:
        scope = chain_scope(network.network)
        for each in network.assets:
            if each.difference:
                more = BreakKind.chain_without_ledger
                less = BreakKind.ledger_without_chain
                found.append(
                    Finding(
                        f"chain:{each.asset}",
                        scope,
                        more if each.difference > 0 else less,
                        each.asset,
                        each.asset,
                        each.difference,
                        f"at block {network.block_number} the chain holds {each.chain_units}, the"
                        f" ledger expects {each.expected_units}",
                    )
                )
            found += _too_long(each.in_flight, scope, now=now)
        for escrow in network.escrows:
            if escrow.breaks:
                found.append(
                    Finding(
                        f"escrow:{escrow.asset}",
                        scope,
                        BreakKind.escrow_differs,
                        escrow.asset,
                        escrow.asset,
                        escrow.difference,
                        "; ".join(escrow.breaks)[:DETAIL_LENGTH_MAX],
                    )
                )
            found += _too_long(escrow.in_flight, scope, now=now)
    if rows:
        found += [_row_finding(text) for text in proof.row_breaks]
    found += [
        Finding(
            each.account,
            SUSPENSE,
            BreakKind.suspense,
            each.account,
            each.unit,
            each.units,
            f"{each.units} stand in suspense until a person says whose they are",
        )
        for each in suspense
    ]
    return list({each.key: each for each in found}.values())


def _too_long(rows: Sequence[InFlight], scope: str, *, now: datetime) -> Iterator[Finding]:
    """Rows that have been on their way for too long, by the time that their ids hold."""
    for each in rows:
        since = began(each.row)
        if since is not None and now - since > IN_FLIGHT_MAX:
            yield Finding(
                f"in_flight:{each.row}:{each.asset}",
                scope,
                BreakKind.in_flight,
                each.row,
                each.asset,
                each.units,
                f"{each.why} since {since:%Y-%m-%d %H:%M} UTC",
            )


def began(identifier: str) -> datetime | None:
    """When a row began, by its UUIDv7; None for what is no such id."""
    try:
        milliseconds = ids.decode(identifier)[1] >> 80
    except ValueError:
        return None
    return datetime.fromtimestamp(milliseconds / 1_000, UTC)


def _row_finding(text: str) -> Finding:
    """A row that disagrees; its numbers may change, and it is the same break."""
    head, _, rest = text.partition(":")
    subject = head if began(head) is not None else None
    words = re.sub(r"\d+", "0", text if subject is None else rest)
    digest = hashlib.sha256(words.encode()).hexdigest()[:16]
    key = f"row:{subject or ''}:{digest}"
    detail = text[:DETAIL_LENGTH_MAX]
    return Finding(key, ROWS, BreakKind.row_differs, subject, None, 0, detail)


def canonical(document: Mapping[str, Any]) -> bytes:
    """A document as the bytes that are hashed: JSON with sorted keys and no spaces.

    Amounts stand in it as text, so that every reader of JSON has them whole.
    """
    return msgspec.json.encode(document, order="sorted")


def sha256_of(document: Mapping[str, Any]) -> str:
    return hashlib.sha256(canonical(document)).hexdigest()


def public(run: Reconciliation) -> dict[str, Any]:
    """The API's object ``reconciliation``; the operator's alone."""
    return {
        "id": run.id,
        "object": "reconciliation",
        "status": run.status,
        "scopes": list(run.scopes),
        "breaks": run.breaks,
        "journal_sequence": run.journal_sequence,
        "sha256": run.sha256,
        "why": run.why,
        "metadata": {},
        "started": int(run.started.timestamp()),
        "created": int(run.created.timestamp()),
        "livemode": run.livemode,
    }


def public_detail(run: Reconciliation) -> dict[str, Any]:
    """The same with everything that it saw."""
    return {**public(run), "document": run.document}
