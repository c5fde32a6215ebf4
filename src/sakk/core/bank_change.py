"""Changes of the operator's accounts at banks: one person proposes, another approves.

What an account says decides to whom merchants' money is paid in, and by which server's word it is
credited. So an account is used only when a second person has approved it (``open``), and so is
another place, key or secret of its bank (``connect``), and its end (``close``). A row an account;
the audit log has what was before.
"""

import hashlib
import json
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from sakk.core.bank_account import FEE_FLOOR, FEE_PPM_MAX, BankAccount
from sakk.core.errors import ApprovalStale, SamePerson, UnexpectedState
from sakk.core.proposal import SecondPerson, digest_words

NOTE_LENGTH_MAX: Final = 500


class ChangeKind(StrEnum):
    open = "open"
    connect = "connect"
    close = "close"


class Unfinished(StrEnum):
    """What an account has that keeps it from being closed."""

    payments = "payments"
    returns = "returns"
    lines = "lines"
    balance = "balance"


class ChangeStatus(StrEnum):
    awaiting = "awaiting"
    confirmed = "confirmed"
    declined = "declined"


@dataclass(frozen=True, slots=True, kw_only=True)
class BankChange:
    """What is proposed of an account. ``terms``: as they are afterwards, whole; ``secret``: the one
    to be used afterwards, sealed, where another one is told."""

    bank_account: str
    livemode: bool
    kind: str
    terms: dict[str, Any]
    secret: bytes | None = field(default=None, repr=False)
    status: str
    proposed_by: str
    created: datetime
    decided_by: str | None = None
    decided_at: datetime | None = None


def check_approved(account: BankAccount) -> None:
    """UnexpectedState for an account that no second person has approved."""
    if account.approved_at is None:
        raise UnexpectedState("Another person approves this account first.")


def check_finished(left: Unfinished | None) -> None:
    """UnexpectedState for an account that can not be closed yet, with what is left to do."""
    match left:
        case None:
            return
        case Unfinished.payments:
            raise UnexpectedState(
                "Payments of this account are still on their way. Close it when they have ended."
            )
        case Unfinished.returns:
            raise UnexpectedState(
                "Money of this account is on its way back to its sender. Close it when that ended."
            )
        case Unfinished.lines:
            raise UnexpectedState(
                "Lines of this account's statements wait for a person, or to be booked. See to them"
                " first."
            )
        case Unfinished.balance:
            raise UnexpectedState(
                "This account is not empty, by the ledger or by its last statement. Move what is on"
                " it, and close it when a statement says so."
            )


def digest_of(change: BankChange, account: BankAccount) -> str:
    """SHA-256 of what is approved: whose account it is, how it is gone to, and who says so."""
    secret = None if change.secret is None else hashlib.sha256(change.secret).hexdigest()
    words = [
        "sakk bank account v1",
        change.kind,
        account.id,
        account.holder,
        *(str(each) for each in (account.iban, account.bic, account.number, account.bank_code)),
        account.country,
        account.currency,
        str(account.opening_units),
        json.dumps(change.terms, sort_keys=True),
        str(secret),
        change.proposed_by,
        change.created.isoformat(),
    ]
    return digest_words(words)


def confirmed(
    change: BankChange, account: BankAccount, second: SecondPerson, *, now: datetime
) -> BankChange:
    """The change as a second person leaves it; SamePerson, ApprovalStale."""
    second.check(
        proposed_by=change.proposed_by,
        shown=digest_of(change, account),
        stale=ApprovalStale(
            "This is not what you were shown: look at the account again.", param="digest"
        ),
        same=SamePerson("You proposed this: another person approves it."),
    )
    return replace(
        change, status=ChangeStatus.confirmed.value, decided_by=second.name, decided_at=now
    )


def public(change: BankChange, account: BankAccount) -> dict[str, Any]:
    """What an account's object says of it; the operator's alone."""
    waits = change.status == ChangeStatus.awaiting
    decided = change.decided_at
    return {
        "address": change.terms.get("address"),
        "at": int(change.created.timestamp()),
        "by": change.proposed_by,
        "decided_at": None if decided is None else int(decided.timestamp()),
        "decided_by": change.decided_by,
        "digest": digest_of(change, account) if waits else None,
        "fee_floor": change.terms.get("fee_floor", FEE_FLOOR),
        "fee_ppm_max": change.terms.get("fee_ppm_max", FEE_PPM_MAX),
        "has_secret": change.secret is not None,
        "key_number": change.terms.get("key_number", 1),
        "kind": change.kind,
        "status": change.status,
        "trust": change.terms.get("trust"),
    }
