"""What may go back from a deposit address to who paid it by mistake: the signer's own rule."""

from sakk.core import caip, clone, evm
from sakk.core.clone import Recover
from sakk.signing.collection import Address, check_factory
from sakk.signing.policy import Policy, RecoveryRule
from sakk.signing.protocol import Branch, Reason, SignRequest, refusal


def moved_by_factory(request: SignRequest, call: evm.Transaction) -> tuple[str, int]:
    """To whom a treasury's call of a factory sends how much of a clone's coins."""
    found = _by_factory(request, call)
    return found.to, found.units


def _by_factory(request: SignRequest, call: evm.Transaction) -> Recover:
    """What a call of a factory sends from a clone.

    A refusal where the bytes are no such call, or of another asset than is claimed.
    """
    try:
        found = clone.decode_recover(call.data)
    except ValueError as error:
        raise refusal(Reason.call_not_allowed, str(error)) from None
    if found.token != caip.erc20_contract(request.asset):
        raise refusal(
            Reason.claim_mismatch, f"the bytes move {found.token}, the request says {request.asset}"
        )
    if call.value:
        raise refusal(Reason.claim_mismatch, f"a recovery carries {call.value} wei besides")
    return found


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


def check_recovery(
    request: SignRequest,
    call: evm.Transaction,
    policy: Policy,
    *,
    address: Address,
) -> None:
    """Coins that are not ours go back from a deposit address, as the policy's own section allows.

    A token that the policy's assets name, or the native coin, only where a rule names it too: a
    rule for any other token of a network lets nobody reach what merchants were paid.
    """
    # The bytes were held against these claims before.
    destination, amount = request.destination.lower(), int(request.token_amount)
    source = _recovered_from(request, call, policy, address=address)
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


def _recovered_from(
    request: SignRequest,
    call: evm.Transaction,
    policy: Policy,
    *,
    address: Address,
) -> str:
    """The deposit address that a recovery leaves: of its own key, or a clone of this signer's.

    A refusal for a key of neither, for a factory that the policy does not name, and for a salt that
    is not the one of the index that is claimed.
    """
    if request.key.branch is Branch.deposit:
        return address(Branch.deposit, request.key.index)
    if request.key.index not in policy.treasury_indexes:
        raise refusal(
            Reason.key_not_allowed,
            "a recovery from a clone is signed with a treasury key of the policy, not with"
            f" treasury {request.key.index}",
        )
    found = _by_factory(request, call)
    factory = check_factory(call, policy.network(request.network))
    if len(request.deposits) != 1:
        raise refusal(Reason.claim_mismatch, "a recovery is from one deposit address")
    try:
        key_address = address(Branch.deposit, request.deposits[0])
    except ValueError as error:
        raise refusal(Reason.malformed, f"deposits: {error}") from None
    if found.salt != clone.salt_of(key_address):
        raise refusal(
            Reason.claim_mismatch,
            f"0x{found.salt.hex()} is not the salt of deposit address {request.deposits[0]}",
        )
    return clone.address_of(factory, found.salt)
