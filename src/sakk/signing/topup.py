"""What a top-up may be: native coin for gas, to an address of this signer and nobody else."""

from collections.abc import Callable

from sakk.core import caip
from sakk.signing.policy import NetworkRule, Policy
from sakk.signing.protocol import Branch, Reason, SignRequest, refusal

Address = Callable[[Branch, int], str]


def check_topup(
    request: SignRequest,
    *,
    source: str,
    destination: str,
    wei: int,
    rule: NetworkRule,
    policy: Policy,
    address: Address,
) -> None:
    """Gas for a deposit address, by its index, or for another treasury address of the policy."""
    if request.asset != caip.native_asset(request.network):
        raise refusal(Reason.asset_not_allowed, "a top-up is of the native coin")
    if request.destination_index is None:
        indexes = (*policy.treasury_indexes, *policy.unpaying, *policy.leaving)
        own = {address(Branch.treasury, index) for index in indexes}
        if destination not in own - {source}:
            raise refusal(
                Reason.destination_not_allowed,
                f"{destination} is no other treasury address of the policy, and no"
                " destination_index says which deposit address it is",
            )
    else:
        _check_deposit(destination, request.destination_index, address)
    limit = rule.topup_per_transaction_max
    if is_gas_key(policy, destination, address) and rule.gas_key_per_transaction_max is not None:
        limit = rule.gas_key_per_transaction_max
    if wei > int(limit):
        raise refusal(Reason.over_limit, f"{wei} wei are above {limit} per top-up")


def is_gas_key(policy: Policy, destination: str, address: Address) -> bool:
    """Is it the address of a key that pays for gas, and nobody?"""
    return destination in {address(Branch.treasury, index) for index in policy.unpaying}


def _check_deposit(destination: str, index: int, address: Address) -> None:
    try:
        own = address(Branch.deposit, index)
    except ValueError as error:
        raise refusal(Reason.malformed, f"destination_index: {error}") from None
    if destination != own:
        raise refusal(
            Reason.destination_not_allowed, f"{destination} is not deposit address {index}"
        )
