"""Approvals as the signer counts them: Ed25519 signatures of whom the policy file names.

Each is over one payment, withdrawal, recovery or rotation, or over a batch of payments under one
root. What was changed since leads to another root, which nobody signed.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from sakk.core.approval import rotation_message
from sakk.signing.policy import Policy
from sakk.signing.protocol import (
    APPROVALS_MAX,
    Approval,
    Purpose,
    Reason,
    SignRequest,
    approval_message,
    approved_together,
    refusal,
)
from sakk.signing.recovery import recovery_rule
from sakk.signing.rotation import rotation_rule
from sakk.signing.rules import PAYING, Decoded

SIGNATURES_REMEMBERED_MAX = 1_024


def approved_by(
    request: SignRequest, policy: Policy, message: bytes | None = None
) -> frozenset[str]:
    """The approvers whose signatures over this request hold; a bad signature is a refusal.

    A signature by whom the policy does not name counts for nothing. ``message``: what they signed,
    where it is not the payment, or a batch of payments that this one is of.
    """
    alone = approval_message(request) if message is None else message
    together = message is None and request.purpose in PAYING

    def signed(approval: Approval) -> bytes:
        if approval.member is None or not together:
            return alone
        return approved_together(request, approval.member)

    return signers_of(request.approvals, policy, signed, what=request.purpose)


def signers_of(
    approvals: Sequence[Approval], policy: Policy, signed: Callable[[Approval], bytes], *, what: str
) -> frozenset[str]:
    """The approvers of the policy who signed; a refusal for a signature of something else.

    ``signed`` says what an approval has to be of, or raises ValueError.
    """
    if len(approvals) > APPROVALS_MAX:
        raise refusal(Reason.approval_invalid, f"more than {APPROVALS_MAX} approvals")
    approvers = set()
    for approval in approvals:
        key = approval.public_key.hex()
        if key not in policy.approvers:
            continue
        try:
            holds = _holds(approval.public_key, approval.signature, signed(approval))
        except ValueError:
            holds = False
        if not holds:
            raise refusal(Reason.approval_invalid, f"the approval of {key} is not of this {what}")
        approvers.add(key)
    return frozenset(approvers)


@lru_cache(SIGNATURES_REMEMBERED_MAX)
def _holds(public_key: bytes, signature: bytes, message: bytes) -> bool:
    """Is it this key's Ed25519 signature? One over a batch is looked at for each payment of it."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def check_rotation_approved(decoded: Decoded, policy: Policy) -> None:
    """The approvers whom the policy file asks for have signed that this key gives to that one."""
    wanted = rotation_rule(decoded.request, policy).approvals
    message = rotation_message(source=decoded.source, target=decoded.destination)
    given = len(approved_by(decoded.request, policy, message)) if wanted else 0
    if given < wanted:
        raise refusal(
            Reason.approvals_required,
            f"to give {decoded.source} up for {decoded.destination} takes {wanted} approvals,"
            f" {given} given",
        )


def check_sent_approved(decoded: Decoded, policy: Policy) -> None:
    """The approvers whom the file asks for have signed this withdrawal or recovery."""
    match decoded.request.purpose:
        case Purpose.withdrawal:
            wanted = decoded.network_rule.withdrawal_approvals_min
        case Purpose.recovery:
            wanted = recovery_rule(decoded.request, policy).approvals_min
        case _:
            return
    given = len(approved_by(decoded.request, policy)) if wanted else 0
    if given < wanted:
        raise refusal(
            Reason.approvals_required,
            f"this {decoded.request.purpose} takes {wanted} approvals, {given} given",
        )
