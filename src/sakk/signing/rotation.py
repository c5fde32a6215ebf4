"""What a rotation may be: the coins of one treasury key of this signer go to another of its own.

The policy file names the pair. Where coins stand is on the chain, which the signer does not see;
that all of them move is the gateway's work, and here nothing can leave the house.
"""

from collections.abc import Callable

from sakk.signing.policy import Policy, RotationRule
from sakk.signing.protocol import Branch, Reason, SignRequest, refusal

Address = Callable[[Branch, int], str]


def rotation_rule(request: SignRequest, policy: Policy) -> RotationRule:
    """The rule of the key that a rotation leaves from; a refusal without one."""
    key = request.key
    found = policy.rotation(key.index) if key.branch is Branch.treasury else None
    if found is None:
        raise refusal(
            Reason.key_not_allowed,
            f"no rule in the policy's rotations lets {key.branch} {key.index} give its coins away",
        )
    return found


def check_rotation(request: SignRequest, policy: Policy, *, address: Address) -> None:
    """The successor that the policy names for this key, and nobody else, gets something."""
    rule = rotation_rule(request, policy)
    # The bytes were held against these claims before.
    own = address(Branch.treasury, rule.target)
    if request.destination.lower() != own:
        raise refusal(
            Reason.destination_not_allowed,
            f"{request.destination.lower()} is not {own}, the successor of key {rule.source}",
        )
    if int(request.token_amount) == 0:
        raise refusal(Reason.claim_mismatch, "a rotation of nothing")
