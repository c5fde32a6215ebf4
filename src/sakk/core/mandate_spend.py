"""Spends under a mandate as rows: what an agent asked for by its reference, and what became of it.

A reference is one spend: asked again it answers the same. One that is above what the mandate allows
without a person waits for a word, and is carried out when the agent comes back.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from sakk.core import chart, money
from sakk.core.approval import content_digest
from sakk.core.chart import TransferCode
from sakk.core.errors import BalanceInsufficient, MandateExceeded, MandateRefused, SakkError
from sakk.core.evm import checksum_address
from sakk.core.mandate import DOMAIN_NAME, DOMAIN_VERSION, HERE
from sakk.core.posting import Posting
from sakk.core.spend import Payee, Spend

PREFIX: Final = "spn"
REFERENCE_LENGTH_MAX: Final = 100
# How long a spend waits for a person, and then for its agent.
WORD_TIME: Final = timedelta(hours=24)


class SpendStatus(StrEnum):
    """``waiting``: for a person. ``reserved``: counted here, paid elsewhere by the agent's key."""

    waiting = "waiting"
    approved = "approved"
    requested = "requested"
    posted = "posted"
    reserved = "reserved"
    releasing = "releasing"
    released = "released"
    refused = "refused"
    rejected = "rejected"
    expired = "expired"


@dataclass(frozen=True, slots=True, kw_only=True)
class MandateSpend:
    """A row. ``reference`` is the agent's own name of it: one spend a mandate and reference.

    ``reserved_at``: when it was taken from the budgets, which says from which periods; committed
    before the ledger is asked. ``approved_by`` and ``approve_by``: of one that waits for a person.
    """

    id: str
    mandate: str
    account_id: str
    livemode: bool
    reference: str
    fingerprint: bytes
    amount: int
    currency: str
    decimals: int
    payee_account: str | None
    payee_network: str | None
    payee_address: str | None
    payee_host: str | None
    scheme: str
    status: str
    failure_code: str | None
    failure: dict[str, Any] | None
    reserved_at: datetime | None
    approve_by: datetime | None
    approved_by: str | None
    description: str | None
    metadata: dict[str, str]
    created: datetime

    @property
    def payee(self) -> Payee:
        return Payee(
            account=self.payee_account,
            network=self.payee_network,
            address=self.payee_address,
            host=self.payee_host,
        )

    @property
    def asked(self) -> Spend:
        return Spend(
            amount=self.amount,
            currency=self.currency,
            payee=self.payee,
            scheme=self.scheme,
            network=HERE if self.payee_network is None else self.payee_network,
        )


def payment(record: MandateSpend) -> list[Posting]:
    """The money of a spend: to an account here, or none, where the agent's own key pays."""
    if record.payee_account is None:
        return []
    unit = chart.currency_unit(record.currency, livemode=record.livemode)
    return [
        Posting(
            debit=chart.merchant(record.account_id, "available", unit),
            credit=chart.merchant(record.payee_account, "available", unit),
            amount=record.amount,
            code=TransferCode.mandate_spend,
        )
    ]


def failure_of(error: SakkError) -> dict[str, Any]:
    """A refusal as it stands in the row of the spend."""
    return {"message": error.message, "param": error.param, "details": error.details}


def error_of(record: MandateSpend) -> SakkError:
    """The error that a spend which was refused answers with, again and again."""
    failure = record.failure or {}
    message, param = str(failure.get("message", "")), failure.get("param")
    match record.failure_code:
        case BalanceInsufficient.code:
            return BalanceInsufficient(message, param=param)
        case MandateExceeded.code:
            return MandateExceeded(message, param=param, details=failure.get("details"))
        case _:
            return MandateRefused(message, param=param, details=failure.get("details"))


def fingerprint(spend: Spend, *, description: str | None) -> bytes:
    """What makes two requests under one reference the same."""
    payee = spend.payee
    parts = (
        spend.currency,
        spend.amount,
        spend.scheme,
        payee.account or "",
        payee.network or "",
        payee.address or "",
        payee.host or "",
        description or "",
    )
    return hashlib.sha256("\x1f".join(str(part) for part in parts).encode()).digest()


def public_spend(record: MandateSpend) -> dict[str, Any]:
    """The API's object ``mandate_spend``."""
    address = record.payee_address
    waits = record.status == SpendStatus.waiting
    return {
        "id": record.id,
        "object": "mandate_spend",
        "account": record.account_id,
        "mandate": record.mandate,
        "reference": record.reference,
        "amount": record.amount,
        "amount_decimal": money.format_decimal(record.amount, record.decimals),
        "currency": record.currency,
        "payee": {
            "account": record.payee_account,
            "network": record.payee_network,
            "address": None if address is None else checksum_address(address),
            "host": record.payee_host,
        },
        "scheme": record.scheme,
        "status": record.status,
        "failure_code": record.failure_code,
        "failure": record.failure,
        "approval_digest": approval_digest(record),
        "approval_typed_data": approval_typed_data(record) if waits else None,
        "approve_by": None if record.approve_by is None else int(record.approve_by.timestamp()),
        "approved_by": record.approved_by,
        "description": record.description,
        "metadata": record.metadata,
        "created": int(record.created.timestamp()),
        "livemode": record.livemode,
    }


def approval_content(record: MandateSpend) -> bytes:
    """What a person approves of a spend that waits, byte for byte."""
    parts = (
        "sakk mandate spend v1",
        record.id,
        record.mandate,
        record.reference,
        record.payee.key,
        record.payee_host or "",
        record.currency,
        str(record.amount),
    )
    return "\n".join(parts).encode()


def approval_digest(record: MandateSpend) -> str:
    """The digest of what is approved, by which a person says what was shown."""
    return content_digest(approval_content(record))


def approval_typed_data(record: MandateSpend) -> dict[str, Any]:
    """The same for a wallet: an owner key's signature over it (EIP-712) approves too."""
    text = {"type": "string"}
    amount = f"{money.format_decimal(record.amount, record.decimals)} {record.currency}"
    names = ("statement", "spend", "mandate", "reference", "payee", "host", "currency")
    return {
        "types": {
            "EIP712Domain": [{"name": "name", **text}, {"name": "version", **text}],
            "SpendApproval": [
                *({"name": name, **text} for name in names),
                {"name": "amount", "type": "uint128"},
            ],
        },
        "primaryType": "SpendApproval",
        "domain": {"name": DOMAIN_NAME, "version": DOMAIN_VERSION},
        "message": {
            "statement": f"I let the agent pay {amount} to {record.payee.key}, once, under the"
            f" mandate {record.mandate}.",
            "spend": record.id,
            "mandate": record.mandate,
            "reference": record.reference,
            "payee": record.payee.key,
            "host": record.payee_host or "",
            "currency": record.currency,
            "amount": str(record.amount),
        },
    }
