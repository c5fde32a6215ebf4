"""What may go back from a deposit address to who paid it by mistake: the signer's own rule."""

from sakk.core import caip
from sakk.signing.policy import Policy, RecoveryRule
from sakk.signing.protocol import Branch, Reason, SignRequest, refusal


def recovery_rule(request: SignRequest, policy: Policy) -> RecoveryRule:
    """The policy's rule that lets an asset go back; a refusal where there is none."""
    is_ours = policy.asset(request.asset) is not None or request.asset == caip.native_asset(
        request.network
    )
    rule = policy.recovery(request.network, request.asset, any_token=not is_ours)
    if rule is None:
        raise refusal(
            Reason.asset_not_allowed,
            f"no rule in the policy's recoveries lets {request.asset} go back: its owner adds one",
        )
    return rule


def check_recovery(request: SignRequest, policy: Policy, *, source: str) -> None:
    """Coins that are not ours go back from a deposit key, as the policy's own section allows.

    A token that the policy's assets name, or the native coin, only where a rule names it too: a
    rule for any other token of a network lets nobody reach what merchants were paid.
    """
    # The bytes were held against these claims before.
    destination, amount = request.destination.lower(), int(request.token_amount)
    if request.key.branch is not Branch.deposit:
        raise refusal(
            Reason.key_not_allowed,
            f"a recovery leaves from a deposit key, not {request.key.branch}",
        )
    rule = recovery_rule(request, policy)
    if amount == 0:
        raise refusal(Reason.claim_mismatch, "a recovery of nothing")
    if destination in (caip.erc20_contract(request.asset), source):
        raise refusal(
            Reason.destination_not_allowed, "the destination is the token or the address itself"
        )
    allowed = rule.destinations
    if allowed is not None and destination not in {item.lower() for item in allowed}:
        raise refusal(
            Reason.destination_not_allowed,
            f"{destination} is not in the destinations of the policy's recovery rule",
        )
    if amount > int(rule.units_max):
        raise refusal(Reason.over_limit, f"{amount} units are above {rule.units_max} of the rule")
