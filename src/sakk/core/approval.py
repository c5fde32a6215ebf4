"""Approvals: one person's yes or no to one payout, withdrawal or recovery, as it was shown.

What is approved is the content: who gets how much of what, for which intent. Its digest stands in
the approval, and an approval of other content counts for nothing. An approver with a key signs the
same words, and the signer checks the signature for itself.
"""

import hashlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from sakk.core.person import OPERATOR, Actor
from sakk.core.role import Role, current

PREFIX: Final = "apr"


class Verdict(StrEnum):
    """What was said."""

    approve = "approve"
    reject = "reject"


class Method(StrEnum):
    """How the person proved to be there: a one-time code, a passkey, a signature, the key alone.

    ``owner``: by the signature of an account's owner key (EIP-712), of a spend under a mandate.
    """

    totp = "totp"
    passkey = "passkey"
    signature = "signature"
    key = "key"
    owner = "owner"


@dataclass(frozen=True, slots=True)
class Approval:
    """A row. ``subject``: the id of what is decided, a payout's, a withdrawal's or a recovery's.

    ``account_id`` None: it is the operator's own. ``actor`` is who said it: a person's id, or
    ``operator`` for a key without a person.

    ``role``: in which capacity. ``public_key`` and ``signature``: Ed25519, for the signer.
    """

    id: str
    account_id: str | None
    livemode: bool
    subject: str
    verdict: str
    actor: str
    key: str
    role: str
    method: str
    digest: str
    public_key: bytes | None
    signature: bytes | None
    comment: str | None
    created: datetime
    # Signed for with others of its batch: see `sakk.core.approval_batch.Membership`.
    batch: str | None = None
    batch_size: int | None = None
    batch_place: int | None = None
    batch_path: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Approvable:
    """What waits for people, whatever it is. ``content`` is what they approve, byte for byte.

    ``noun`` says it in words. ``asked_by``: the API key that asked for it, and whose it is.
    """

    id: str
    account_id: str | None
    livemode: bool
    noun: str
    content: bytes
    rule: str | None
    approvals_needed: int
    approver_role: str | None
    asked_by: Actor

    @property
    def digest(self) -> str:
        return content_digest(self.content)


def approval_message(
    *,
    intent_id: str,
    purpose: str,
    network: str,
    asset: str,
    destination: str,
    token_amount: int | str,
) -> bytes:
    """What an approver signs: who gets how much of what, for which intent. Not the fees."""
    parts = (
        "sakk approval v1",
        intent_id,
        purpose,
        network,
        asset,
        destination.lower(),
        str(token_amount),
    )
    return "\n".join(parts).encode()


def rotation_message(*, source: str, target: str) -> bytes:
    """What an approver signs of a rotation: which treasury address gives all it has to which."""
    return "\n".join(("sakk rotation v1", source.lower(), target.lower())).encode()


def content_digest(message: bytes) -> str:
    """SHA-256 of what is approved, in hexadecimal."""
    return hashlib.sha256(message).hexdigest()


def standing(approvals: Iterable[Approval], *, digest: str, role: str | None) -> list[Approval]:
    """The approvals that count for this content and this role; one a person, by the rows' key."""
    return [
        each
        for each in approvals
        if each.verdict == Verdict.approve and each.digest == digest and each.role == role
    ]


def acting_role(wanted: str | None, roles: Collection[str] | None) -> str | None:
    """In which role one may approve what wants ``wanted``; None: not at all.

    ``roles`` None: the operator's key, without a person. What the operator may approve, an approver
    and an admin may too.
    """
    if wanted == OPERATOR:
        able = roles is None or not {Role.approver, Role.admin}.isdisjoint(roles)
        return OPERATOR if able else None
    return wanted if wanted is not None and roles is not None and current(wanted) in roles else None


def public_approval(approval: Approval) -> dict[str, Any]:
    """The API's object ``approval``; the operator alone sees it."""
    return {
        "id": approval.id,
        "object": "approval",
        "account": approval.account_id,
        "subject": approval.subject,
        # As it was called while payouts alone were approved.
        "payout": approval.subject if approval.subject.startswith("po_") else None,
        "verdict": approval.verdict,
        "by": approval.actor,
        "key": approval.key,
        "role": approval.role,
        "method": approval.method,
        "digest": approval.digest,
        "payout_batch": approval.batch,
        "comment": approval.comment,
        "metadata": {},
        "created": int(approval.created.timestamp()),
        "livemode": approval.livemode,
    }


def is_enough(subject: Approvable, given: Iterable[Approval]) -> bool:
    """Do these approvals suffice for what stands there now?"""
    counted = standing(given, digest=subject.digest, role=subject.approver_role)
    return len(counted) >= subject.approvals_needed
