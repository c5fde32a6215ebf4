"""Payout batches: many payouts asked for at once, each with a life of its own.

A batch is checked as a whole before anything is made: one wrong line and nothing is, with every
fault named by line and field; or, where the caller says so, the wrong lines are left out, and kept
with the batch beside what is wrong with them. What was made is told by the payouts themselves: the
sums and counts of a batch are added up from its rows when they are asked for, and kept nowhere.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
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
    promised,
)
from sakk.core.quote import Quote

PREFIX = "pob"
SKIPPED_PREFIX = "pbs"
LINES_MAX = 10_000
# The same lines asked for again within this time are taken for a repeated upload.
REPEATED_WITHIN = timedelta(days=7)
# A batch's payouts are numbered in its own block of ids: their order is that of the lines.
_LINE_BYTES = 3


class BatchStatus(StrEnum):
    """``processing`` until each of its payouts has come to its end."""

    processing = "processing"
    completed = "completed"


class OnInvalid(StrEnum):
    """What a wrong line does: ``refuse`` the whole batch, or it is left out (``skip``)."""

    refuse = "refuse"
    skip = "skip"


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
    """What is wrong with a line; ``param`` is the payout's field, or a file's column.

    ``whole``: with the whole batch, or such that nobody knows what else the file says. No line can
    be left out for it.
    """

    line: int
    param: str | None
    message: str
    kind: type[InvalidRequest] = ParameterInvalid
    whole: bool = False
    # What the message was made of, so that pages say it in other languages.
    template: str = ""
    values: Mapping[str, object] = field(default_factory=dict)

    @classmethod
    def of(cls, line: int, error: InvalidRequest, *, whole: bool = False) -> "Fault":
        """What an error says of a line."""
        said = (error.param, error.message, type(error), whole, error.template, error.values)
        return cls(line, *said)

    @property
    def error(self) -> InvalidRequest:
        """The error that it was, for who tells it in another language."""
        return self.kind(self.template or self.message, param=self.param, **self.values)

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
    """A batch of ``lines`` payouts, and ``skipped`` lines that none was made of.

    ``digest`` is the SHA-256 of what is paid, in hexadecimal; ``asked`` of all that was asked for.
    """

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
    on_invalid: str = OnInvalid.refuse.value
    skipped: int = 0
    asked: str | None = None


@dataclass(frozen=True, slots=True)
class SkippedLine:
    """A line that no payout was made of: what is wrong with it, and what it said.

    ``said`` has the columns of a file as they were written; of a line in JSON the amount is in the
    smallest unit. Who stands behind the address is not kept.
    """

    id: str
    batch: str
    account_id: str
    livemode: bool
    line: int
    faults: list[dict[str, Any]]
    said: dict[str, str]
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
    quotes: Mapping[str, Quote] | None = None,
) -> tuple[list[Payout], list[Fault]]:
    """The payouts of the lines that can be, in order, and what is wrong with the others.

    ``places``: what each line's destination was found to be; ``quotes``: those of the account that
    the lines name and that there are.
    """
    made: list[Payout] = []
    faults: list[Fault] = []
    for line, place in zip(lines, places, strict=True):
        try:
            payout = draft(
                line.request,
                place,
                promised(terms, line.request, place, quotes or {}, now=now),
                identifier=line_id(batch, line.number),
                account_id=account_id,
                livemode=livemode,
                now=now,
                batch=batch,
                line=line.number,
            )
        except InvalidRequest as error:
            faults.append(Fault.of(line.number, error))
        else:
            made.append(payout)
    return made, faults


def line_id(batch: str, line: int) -> str:
    """The id of the payout of a line: the same for every attempt, and in the order of lines."""
    return _numbered("po", batch, line)


def _numbered(prefix: str, batch: str, line: int) -> str:
    value = ids.decode(batch)[1]
    block = ids.digest128("payout_batch", value).to_bytes(16, "big")[: ids.RANDOM_BYTES]
    random = block[:-_LINE_BYTES] + line.to_bytes(_LINE_BYTES, "big")
    return ids.encode(prefix, ids.uuid7(now_ms=value >> 80, random=random))


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
            repeats = PayoutDuplicate(
                "It repeats line {same}. Remove one, or allow it with allow_duplicate if both are"
                " meant.",
                same=same,
            )
            faults.append(Fault.of(payout.line, repeats))
        elif named is not None and payout.line not in allowed:
            has_its = PayoutDuplicate(
                "Line {line} has the reference of line {same}, {reference}. Remove one, or allow it"
                " with allow_duplicate if both are meant.",
                param="reference",
                line=payout.line,
                same=named,
                reference=repr(payout.reference),
            )
            faults.append(Fault.of(payout.line, has_its))
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
            is_paid = PayoutDuplicate(
                "The payout {payout} has the reference {reference} already. Remove one, or allow it"
                " with allow_duplicate if both are meant.",
                param="reference",
                payout=earlier,
                reference=repr(payout.reference),
            )
            faults.append(Fault.of(payout.line, is_paid))
    return faults


def refusal(faults: Sequence[Fault], *, in_file: bool) -> InvalidRequest:
    """The error that refuses a batch: its first fault, and how many there are."""
    first = min(faults, key=lambda fault: (fault.line == 0, fault.line))
    if first.line == 0:
        return first.kind(first.message)
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


def kept(payouts: Sequence[Payout], faults: Sequence[Fault], on_invalid: OnInvalid) -> list[Payout]:
    """The payouts that are made beside these faults; none where the whole batch is refused."""
    if faults and (on_invalid is OnInvalid.refuse or any(each.whole for each in faults)):
        return []
    wrong = {each.line for each in faults}
    return [each for each in payouts if each.line not in wrong]


def digest_kept(digest: str, payouts: Sequence[Payout]) -> str:
    """A digest of what was asked for (``digest``), of which lines are paid, and of what they pay.

    Another line left out, or one line more that is paid, is another digest.
    """
    numbers = [each.line for each in payouts]
    told = json.dumps([digest, OnInvalid.skip.value, numbers, digest_of(payouts)])
    return hashlib.sha256(told.encode()).hexdigest()


def digest_quoted(digest: str, quote: str) -> str:
    """A file's digest under the quote that is given for all of its lines, in hexadecimal."""
    return hashlib.sha256(json.dumps([digest, quote]).encode()).hexdigest()


def skipped_lines(
    batch: PayoutBatch,
    faults: Iterable[Fault],
    lines: Iterable[Line],
    said: Mapping[int, dict[str, str]],
) -> list[SkippedLine]:
    """The lines that have a fault, each with all of its own. ``said``: a file's cells, by line."""
    found: dict[int, list[dict[str, Any]]] = {}
    for fault in faults:
        found.setdefault(fault.line, []).append(
            {"param": fault.param, "code": fault.kind.code, "message": fault.message}
        )
    requests = {line.number: line.request for line in lines if line.number in found}
    return [
        SkippedLine(
            id=_numbered(SKIPPED_PREFIX, batch.id, number),
            batch=batch.id,
            account_id=batch.account_id,
            livemode=batch.livemode,
            line=number,
            faults=found[number],
            said=said[number] if number in said else _said(requests.get(number)),
            created=batch.created,
        )
        for number in sorted(found)
    ]


def _said(request: PayoutRequest | None) -> dict[str, str]:
    """What a line asks for, by a file's columns; nothing of one that could not be read."""
    if request is None:
        return {}
    scheduled_at = request.scheduled_at
    fee = None if request.application is None else request.application.amount
    cells = {
        "network": request.destination.network,
        "address": request.destination.address,
        "beneficiary": request.destination.beneficiary,
        "currency": request.currency,
        "amount": str(request.amount),
        "fee_mode": request.fee_mode,
        "reference": request.reference,
        "description": request.description,
        "scheduled_at": None if scheduled_at is None else scheduled_at.isoformat(),
        "quote": request.quote,
        "application_fee_amount": None if fee is None else str(fee),
    }
    return {name: cell for name, cell in cells.items() if cell is not None}


def digest_asked(lines: Iterable[Line]) -> str:
    """One digest for the same lines as they were sent, right or wrong, in hexadecimal."""
    told = hashlib.sha256()
    for line in lines:
        told.update(json.dumps(_said(line.request), ensure_ascii=True).encode() + b"\n")
    return told.hexdigest()


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
        if payout.quote is not None:
            line.append(payout.quote)
        terms = payout.application_terms
        # What was named; rules price what is asked for as they are then.
        if terms is not None and terms["version"] is None:
            line.append({"application_fee_amount": payout.application_fee})
        told.update(json.dumps(line, ensure_ascii=True).encode() + b"\n")
    return told.hexdigest()


def preview_totals(payouts: Iterable[Payout]) -> list[dict[str, Any]]:
    """What payouts add up to in each currency: what arrives, the fees, and what is debited."""
    sums: dict[tuple[str, int], list[int]] = {}
    for payout in payouts:
        found = sums.setdefault((payout.currency, payout.decimals), [0, 0, 0, 0])
        fee = payout.fee + payout.service_fee + payout.application_fee
        for place, units in enumerate((1, delivered(payout), fee, debited(payout))):
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
        "application_fee_amount": payout.application_fee,
        "asset": payout.asset,
        "currency": payout.currency,
        "description": payout.description,
        "destination": {
            "network": payout.network,
            "address": checksum_address(payout.destination),
            "beneficiary": payout.beneficiary,
        },
        "fee": payout.fee + payout.service_fee,
        "fee_mode": payout.fee_mode,
        "quote": payout.quote,
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
        "on_invalid": batch.on_invalid,
        "skipped": batch.skipped,
        "source": batch.source,
        "status": status_of(totals).value,
        "totals": [public_total(each) for each in totals],
    }


def public_skipped(line: SkippedLine) -> dict[str, Any]:
    """The API's object ``payout_batch.skipped_line``."""
    return {
        "id": line.id,
        "object": "payout_batch.skipped_line",
        "created": int(line.created.timestamp()),
        "faults": line.faults,
        "line": line.line,
        "livemode": line.livemode,
        "payout_batch": line.batch,
        "said": line.said,
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
