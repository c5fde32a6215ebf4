"""Book transfers: money moves between two accounts here, at once, in the ledger alone."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sakk.core import chart, money
from sakk.core.chart import TransferCode
from sakk.core.posting import Posting


@dataclass(frozen=True, slots=True)
class BookTransfer:
    """From one merchant's available balance to another's. Statuses: requested, posted, rejected."""

    id: str
    account_id: str
    livemode: bool
    destination: str
    amount: int
    currency: str
    decimals: int
    status: str
    failure_code: str | None
    description: str | None
    metadata: dict[str, str]
    created: datetime


def postings(transfer: BookTransfer) -> list[Posting]:
    unit = chart.currency_unit(transfer.currency, livemode=transfer.livemode)
    return [
        Posting(
            chart.merchant(transfer.account_id, "available", unit),
            chart.merchant(transfer.destination, "available", unit),
            transfer.amount,
            TransferCode.book_transfer,
        )
    ]


def public(transfer: BookTransfer) -> dict[str, Any]:
    """The API's object ``transfer``, in Stripe's shape."""
    return {
        "id": transfer.id,
        "object": "transfer",
        "amount": transfer.amount,
        "amount_decimal": money.format_decimal(transfer.amount, transfer.decimals),
        "amount_reversed": 0,
        "created": int(transfer.created.timestamp()),
        "currency": transfer.currency,
        "description": transfer.description,
        "destination": transfer.destination,
        "failure_code": transfer.failure_code,
        "livemode": transfer.livemode,
        "metadata": transfer.metadata,
        "reversed": False,
        "source": transfer.account_id,
        "status": transfer.status,
    }
