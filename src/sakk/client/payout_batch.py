"""Payout batches: thousands of payouts in one request."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import Any, Unpack

import msgspec

from sakk.client.endpoint import ListOptions, Retrievable, present
from sakk.client.objects import Resource
from sakk.client.page import Page
from sakk.client.payout import Payout


class PayoutTotal(msgspec.Struct, frozen=True, kw_only=True):
    """Payouts of a batch in one currency and status; sums in its smallest unit."""

    currency: str
    status: str
    count: int
    amount: int
    amount_decimal: str | None = None
    fee: int = 0
    fee_decimal: str | None = None
    under_review: int = 0


class PayoutBatch(Resource, frozen=True, kw_only=True):
    """Payouts that were asked for together, and what they add up to now."""

    status: str
    lines: int
    totals: list[PayoutTotal]
    digest: str | None = None
    source: str | None = None
    description: str | None = None
    allow_duplicates: bool = False
    canceled_at: int | None = None
    on_invalid: str = "refuse"
    skipped: int = 0


class SkippedFault(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong with a line that was left out."""

    code: str
    message: str
    param: str | None = None


class SkippedLine(Resource, frozen=True, kw_only=True):
    """A line that no payout was made of, and ``said``, what it asked for."""

    payout_batch: str
    line: int
    faults: list[SkippedFault]
    said: dict[str, str]


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong with a line of a batch."""

    line: int
    code: str
    message: str
    param: str | None = None


class PayoutBatchPreview(msgspec.Struct, frozen=True, kw_only=True):
    """What a batch would make; ``lines`` and ``totals`` as the API shows them."""

    object: str
    digest: str
    valid: bool
    faults: list[Fault]
    lines: list[dict[str, Any]]
    totals: list[dict[str, Any]]
    livemode: bool = False


class BatchLine(msgspec.Struct, frozen=True, kw_only=True):
    """One payout, in words; ``message`` is what is approved of it."""

    payout: str
    text: str
    message: str
    line: int | None = None


class BatchExplanation(msgspec.Struct, frozen=True, kw_only=True):
    """What the caller may approve of a batch; ``totals`` as the API shows them.

    ``message`` is what is signed: `sakk.client.approval.batch_message` makes it from the lines.
    """

    object: str
    payout_batch: str
    text: str
    count: int
    waiting: int
    totals: list[dict[str, Any]]
    lines: list[BatchLine]
    digest: str
    message: str
    livemode: bool = False


class BatchApproval(msgspec.Struct, frozen=True, kw_only=True):
    """How many approvals were given, and how many payouts may be signed by them."""

    object: str
    payout_batch: str
    approvals: int
    approved: int
    livemode: bool = False


class PayoutBatches(Retrievable[PayoutBatch]):
    """Payouts that are asked for together; each has a life of its own afterwards."""

    root = "/v1/payout_batches"
    kind = PayoutBatch

    def create(
        self,
        *,
        lines: Sequence[Mapping[str, Any]] | None = None,
        file: bytes | None = None,
        digest: str | None = None,
        allow_duplicates: bool | None = None,
        on_invalid: str | None = None,
        quote: str | None = None,
        description: str | None = None,
        metadata: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
    ) -> PayoutBatch:
        """Send money to up to 10,000 destinations; each line is what a payout's body is.

        A line may carry a ``reference`` of yours, which is paid once. Instead of lines, the bytes
        of a CSV ``file`` with the ``digest`` that its preview showed. One wrong line and nothing
        is made: `InvalidRequestError` names it; with ``on_invalid="skip"`` it is left out, and
        `skipped_lines` shows it. ``quote`` is that of every line that names none.

        If no answer comes, `ConnectionFailedError` carries the key under which the same batch can
        be sent again without paying twice.
        """
        body = present(
            {
                **_what(lines, file),
                "digest": digest,
                "allow_duplicates": allow_duplicates,
                "on_invalid": on_invalid,
                "quote": quote,
                "description": description,
                "metadata": metadata,
            }
        )
        return self._post(PayoutBatch, self.root, body, idempotency_key)

    def preview(
        self,
        *,
        lines: Sequence[Mapping[str, Any]] | None = None,
        file: bytes | None = None,
        allow_duplicates: bool | None = None,
        on_invalid: str | None = None,
        quote: str | None = None,
    ) -> PayoutBatchPreview:
        """What would be made, and everything that is wrong; nothing is made."""
        body = present(
            {
                **_what(lines, file),
                "allow_duplicates": allow_duplicates,
                "on_invalid": on_invalid,
                "quote": quote,
            }
        )
        return self._post(PayoutBatchPreview, f"{self.root}/preview", body, None)

    def cancel(self, id: str, *, idempotency_key: str | None = None) -> PayoutBatch:
        """Call off every payout of a batch that no transaction carries yet."""
        return self._post(PayoutBatch, self._path(id, "cancel"), {}, idempotency_key)

    def explain(self, id: str) -> BatchExplanation:
        """What the caller may approve of a batch, line by line; the operator's people's."""
        return self._get(BatchExplanation, self._path(id, "explanation"))

    def approve(
        self,
        id: str,
        *,
        digest: str | None = None,
        code: str | None = None,
        signature: str | None = None,
        comment: str | None = None,
        idempotency_key: str | None = None,
    ) -> BatchApproval:
        """Approve every payout of a batch that was explained, all or none.

        ``digest`` is the explanation's. A person proves to be there by a fresh one-time ``code``,
        or by a ``signature`` of the explanation's message.
        """
        body = present({"digest": digest, "code": code, "signature": signature, "comment": comment})
        return self._post(BatchApproval, self._path(id, "approve"), body, idempotency_key)

    def payouts(
        self, id: str, *, status: str | None = None, **options: Unpack[ListOptions]
    ) -> Page[Payout]:
        """The payouts of a batch, in the order of its lines."""
        return self._list(self._path(id, "payouts"), Payout, {"status": status, **options})

    def skipped_lines(self, id: str, **options: Unpack[ListOptions]) -> Page[SkippedLine]:
        """The lines that were left out of a batch, in their order."""
        return self._list(self._path(id, "skipped_lines"), SkippedLine, options)

    def list(self, **options: Unpack[ListOptions]) -> Page[PayoutBatch]:
        """Batches, newest first."""
        return self._list(self.root, PayoutBatch, options)


def _what(lines: Sequence[Mapping[str, Any]] | None, file: bytes | None) -> dict[str, Any]:
    return {
        "lines": None if lines is None else [dict(line) for line in lines],
        "file": None if file is None else b64encode(file).decode(),
    }
