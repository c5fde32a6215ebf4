"""Payout batches: many payouts asked for at once, each with a life of its own.

A batch is checked as a whole before anything is made: one wrong line and nothing is, with every
fault named by line and field. What was made is told by the payouts themselves: the sums and counts
of a batch are added up from its rows when they are asked for, and kept nowhere.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sakk.core import ids, money
from sakk.core.beneficiary import Destination
from sakk.core.errors import InvalidRequest, ParameterInvalid, PayoutDuplicate
from sakk.core.evm import checksum_address
from sakk.core.payout import (
    Payout,
    PayoutRequest,
    PayoutStatus,
    Terms,
    debited,
    delivered,
    draft,
)

PREFIX = "pob"
LINES_MAX = 10_000
# The same lines asked for again within this time are taken for a repeated upload.
REPEATED_WITHIN = timedelta(days=7)
# A batch's payouts are numbered in its own block of ids: their order is that of the lines.
_LINE_BYTES = 3


class BatchStatus(StrEnum):
    """``processing`` until each of its payouts has come to its end."""

    processing = "processing"
    completed = "completed"


FINAL = frozenset(
    {PayoutStatus.posted, PayoutStatus.rejected, PayoutStatus.canceled, PayoutStatus.failed}
)


@dataclass(frozen=True, slots=True)
class Line:
    """One payout that is asked for; ``number`` from 1, in a file the line of its record."""

    number: int
    request: PayoutRequest
    allow_duplicate: bool = False


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a line; ``param`` is the payout's field, or a file's column."""

    line: int
    param: str | None
    message: str
    kind: type[InvalidRequest] = ParameterInvalid

    def document(self) -> dict[str, Any]:
        """As a preview shows it."""
        return {
            "line": self.line,
            "param": self.param,
            "code": self.kind.code,
            "message": self.message,
        }


@dataclass(frozen=True, slots=True)
class PayoutBatch:
    """A batch. ``digest`` is the SHA-256 of what was asked for, in hexadecimal."""

    id: str
    account_id: str
    livemode: bool
    lines: int
    digest: str
    source: str
    description: str | None
    metadata: dict[str, str]
    allow_duplicates: bool
    canceled_at: datetime | None
    created: datetime


@dataclass(frozen=True, slots=True)
class Total:
    """How many payouts of a batch are in one status, and their sums in the currency's unit."""

    batch: str
    currency: str
    decimals: int
    status: str
    count: int
    amount: int
    fee: int
    under_review: int


def drafts(
    lines: Sequence[Line],
    places: Sequence[Destination | InvalidRequest],
    terms: Terms,
    *,
    batch: str,
    account_id: str,
    livemode: bool,
    now: datetime,
) -> tuple[list[Payout], list[Fault]]:
    """The payouts of the lines that can be, in order, and what is wrong with the others.

    ``places``: what each line's destination was found to be.
    """
    made: list[Payout] = []
    faults: list[Fault] = []
    for line, place in zip(lines, places, strict=True):
        try:
            payout = draft(
                line.request,
                place,
                terms,
                identifier=line_id(batch, line.number),
                account_id=account_id,
                livemode=livemode,
                now=now,
                batch=batch,
                line=line.number,
            )
        except InvalidRequest as error:
            faults.append(Fault(line.number, error.param, error.message, type(error)))
        else:
            made.append(payout)
    return made, faults


def line_id(batch: str, line: int) -> str:
    """The id of the payout of a line: the same for every attempt, and in the order of lines."""
    value = ids.decode(batch)[1]
    block = ids.digest128("payout_batch", value).to_bytes(16, "big")[: ids.RANDOM_BYTES]
    random = block[:-_LINE_BYTES] + line.to_bytes(_LINE_BYTES, "big")
    return ids.encode("po", ids.uuid7(now_ms=value >> 80, random=random))


def doubles(payouts: Iterable[Payout], allowed: frozenset[int] = frozenset()) -> list[Fault]:
    """Lines that say what an earlier line says: the same reference, or everything the same.

    ``allowed`` are the numbers of lines that may double another.
    """
    references: dict[str, int] = {}
    wholes: dict[tuple[str, str, int, str | None], int] = {}
    faults: list[Fault] = []
    for payout in payouts:
        assert payout.line is not None
        whole = (payout.asset, payout.destination, payout.amount, payout.reference)
        named = None if payout.reference is None else references.get(payout.reference)
        same = wholes.get(whole)
        if same is not None and payout.line not in allowed:
            faults.append(_doubled(payout.line, None, f"It repeats line {same}."))
        elif named is not None and payout.line not in allowed:
            faults.append(
                _doubled(
                    payout.line,
                    "reference",
                    f"Line {payout.line} has the reference of line {named}, {payout.reference!r}.",
                )
            )
        wholes.setdefault(whole, payout.line)
        if payout.reference is not None:
            references.setdefault(payout.reference, payout.line)
    return faults


def repeated(
    payouts: Iterable[Payout], known: Mapping[str, str], allowed: frozenset[int] = frozenset()
) -> list[Fault]:
    """Lines whose reference an earlier payout of the account has; ``known``: its id, by reference.

    One that came to nothing (rejected, canceled, failed) is not among ``known``.
    """
    faults: list[Fault] = []
    for payout in payouts:
        assert payout.line is not None
        earlier = None if payout.reference is None else known.get(payout.reference)
        if earlier is not None and payout.line not in allowed:
            message = f"The payout {earlier} has the reference {payout.reference!r} already."
            faults.append(_doubled(payout.line, "reference", message))
    return faults


def _doubled(line: int, param: str | None, message: str) -> Fault:
    return Fault(
        line,
        param,
        f"{message} Remove one, or allow it with allow_duplicate if both are meant.",
        PayoutDuplicate,
    )


def refusal(faults: Sequence[Fault], *, in_file: bool) -> InvalidRequest:
    """The error that refuses a batch: its first fault, and how many there are."""
    first = min(faults, key=lambda fault: fault.line)
    column = f", column {first.param}" if in_file and first.param else ""
    message = f"Line {first.line}{column}: {first.message}"
    if len(faults) > 1:
        message += (
            f" {len(faults)} faults in all, and nothing was made: "
            "POST /v1/payout_batches/preview shows every one."
        )
    if in_file:
        return first.kind(message, param="file")
    head, bracket, rest = (first.param or "").partition("[")
    field = f"[{head}]{bracket}{rest}" if head else ""
    return first.kind(message, param=f"lines[{first.line - 1}]{field}")


def digest_of(payouts: Iterable[Payout]) -> str:
    """One digest for the same payouts in the same order, in hexadecimal."""
    told = hashlib.sha256()
    for payout in payouts:
        line = [
            payout.asset,
            payout.destination,
            payout.amount,
            payout.fee_mode,
            payout.reference,
            None if payout.scheduled_at is None else int(payout.scheduled_at.timestamp()),
        ]
        told.update(json.dumps(line, ensure_ascii=True).encode() + b"\n")
    return told.hexdigest()


def preview_totals(payouts: Iterable[Payout]) -> list[dict[str, Any]]:
    """What payouts add up to in each currency: what arrives, the fees, and what is debited."""
    sums: dict[tuple[str, int], list[int]] = {}
    for payout in payouts:
        found = sums.setdefault((payout.currency, payout.decimals), [0, 0, 0, 0])
        for place, units in enumerate((1, delivered(payout), payout.fee, debited(payout))):
            found[place] += units
    return [
        {
            "currency": currency,
            "count": count,
            "delivered": arrives,
            "delivered_decimal": money.format_decimal(arrives, decimals),
            "fee": fee,
            "fee_decimal": money.format_decimal(fee, decimals),
            "debited": taken,
            "debited_decimal": money.format_decimal(taken, decimals),
        }
        for (currency, decimals), (count, arrives, fee, taken) in sorted(sums.items())
    ]


def preview_line(payout: Payout) -> dict[str, Any]:
    """A line as it would be paid."""
    return {
        "line": payout.line,
        "amount": payout.amount,
        "amount_decimal": money.format_decimal(payout.amount, payout.decimals),
        "asset": payout.asset,
        "currency": payout.currency,
        "description": payout.description,
        "destination": {
            "network": payout.network,
            "address": checksum_address(payout.destination),
            "beneficiary": payout.beneficiary,
        },
        "fee": payout.fee,
        "fee_mode": payout.fee_mode,
        "reference": payout.reference,
        "scheduled_at": None
        if payout.scheduled_at is None
        else int(payout.scheduled_at.timestamp()),
        "token_amount": str(payout.token_amount),
    }


def status_of(totals: Iterable[Total]) -> BatchStatus:
    """Has every payout come to its end?"""
    under_way = any(PayoutStatus(each.status) not in FINAL for each in totals)
    return BatchStatus.processing if under_way else BatchStatus.completed


def public(batch: PayoutBatch, totals: Sequence[Total]) -> dict[str, Any]:
    """The API's object ``payout_batch``."""
    return {
        "id": batch.id,
        "object": "payout_batch",
        "allow_duplicates": batch.allow_duplicates,
        "canceled_at": None if batch.canceled_at is None else int(batch.canceled_at.timestamp()),
        "created": int(batch.created.timestamp()),
        "description": batch.description,
        "digest": batch.digest,
        "lines": batch.lines,
        "livemode": batch.livemode,
        "metadata": batch.metadata,
        "source": batch.source,
        "status": status_of(totals).value,
        "totals": [public_total(each) for each in totals],
    }


def public_total(total: Total) -> dict[str, Any]:
    """Payouts of one currency and status, as a batch shows them."""
    return {
        "currency": total.currency,
        "status": total.status,
        "count": total.count,
        "amount": total.amount,
        "amount_decimal": money.format_decimal(total.amount, total.decimals),
        "fee": total.fee,
        "fee_decimal": money.format_decimal(total.fee, total.decimals),
        "under_review": total.under_review,
    }
