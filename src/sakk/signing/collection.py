"""What a call of the hub, or of a factory, may be: read from its bytes, held against the policy.

It can move coins only from this signer's deposit addresses, or from the clones that stand for their
indexes, only to where the hub pays, and lets addresses run the hub's delegate and no other code.
Where the hub pays is on the chain, which the signer does not see: the caller says it, and it has to
be a treasury that this signer knows.
"""

from collections.abc import Callable, Sequence

from sakk.core import abi, authorization, caip, clone, evm
from sakk.core.authorization import SetCodeTransaction, SignedAuthorization
from sakk.core.collection import items_of
from sakk.core.hub import Item
from sakk.signing.policy import NetworkRule, Policy
from sakk.signing.protocol import Branch, Reason, SignRequest, refusal

# Derives the address of one of the signer's own keys.
Address = Callable[[Branch, int], str]


def read_unsigned(data: bytes) -> evm.Transaction | SetCodeTransaction:
    """Unsigned bytes of type 2, or of type 4; ValueError names what is wrong."""
    if authorization.is_set_code(data):
        return authorization.decode_unsigned(data)
    return evm.decode_unsigned(data)


def is_same_call(raw: bytes, call: evm.Transaction) -> bool:
    """Do signed bytes call the same contract with the same data as a call that is asked for?"""
    made: evm.Transaction | evm.LegacyTransaction
    if authorization.is_set_code(raw):
        made = authorization.decode_signed(raw).transaction.call
    else:
        made = evm.decode_signed(raw).transaction
    return (made.to, made.value, made.data) == (call.to, call.value, call.data)


def collected_assets(network: str, call: evm.Transaction) -> set[str]:
    """The assets (CAIP-19) that a collection moves."""
    return {caip.erc20_asset(network, item.token) for item in items_of(call.to, call.data)}


def check_collection(
    request: SignRequest,
    call: evm.Transaction,
    authorizations: Sequence[SignedAuthorization],
    *,
    rule: NetworkRule,
    policy: Policy,
    address: Address,
) -> None:
    """Hold a collection against its claims and the policy; a refusal says what was seen."""
    factory = None
    if call.data[: abi.SELECTOR_BYTES] == clone.SWEEP:
        factory = check_factory(call, rule)
    elif rule.hub is None or rule.delegate is None:
        raise refusal(
            Reason.call_not_allowed, f"the policy names no hub and delegate on {rule.network}"
        )
    elif call.to != rule.hub.lower():
        raise refusal(Reason.call_not_allowed, f"the call is to {call.to}, not to {rule.hub}")
    if call.value:
        raise refusal(Reason.claim_mismatch, f"a collection carries {call.value} wei besides")
    try:
        items = items_of(call.to, call.data)
    except ValueError as error:
        raise refusal(Reason.call_not_allowed, str(error)) from None
    _check_items(request, items, policy, address, factory=factory)
    delegate = None if factory is not None or rule.delegate is None else rule.delegate.lower()
    _check_authorizations(request, items, authorizations, delegate=delegate)


def check_factory(call: evm.Transaction, rule: NetworkRule | None) -> str:
    """The factory that a call is to; a refusal where the policy does not name it."""
    for each in () if rule is None else rule.factories:
        if call.to == each.lower():
            return each.lower()
    raise refusal(
        Reason.call_not_allowed, f"the call is to {call.to}, no factory of the policy's networks"
    )


def _check_items(
    request: SignRequest,
    items: Sequence[Item],
    policy: Policy,
    address: Address,
    *,
    factory: str | None,
) -> None:
    """Every item leaves a deposit address of this signer, in a token that the policy names."""
    if len(items) != len(request.deposits):
        raise refusal(
            Reason.claim_mismatch,
            f"the bytes collect {len(items)} deposits, the request says {len(request.deposits)}",
        )
    tokens = {
        contract
        for rule in policy.assets
        if caip.asset_network(rule.asset) == request.network
        and (contract := caip.erc20_contract(rule.asset)) is not None
    }
    for item, index in zip(items, request.deposits, strict=True):
        try:
            own = address(Branch.deposit, index)
        except ValueError as error:
            raise refusal(Reason.malformed, f"deposits: {error}") from None
        if factory is not None:
            own = clone.clone_of(factory, own)
        if item.deposit != own:
            raise refusal(Reason.claim_mismatch, f"{item.deposit} is not deposit address {index}")
        if item.token not in tokens:
            raise refusal(
                Reason.asset_not_allowed,
                f"the policy does not name the token {item.token} on {request.network}",
            )


def _check_authorizations(
    request: SignRequest,
    items: Sequence[Item],
    authorizations: Sequence[SignedAuthorization],
    *,
    delegate: str | None,
) -> None:
    """Each lets one of the deposit addresses run the hub's delegate, and is its own signature.

    ``delegate`` None: clones run the code that they were made of, and no other.
    """
    deposits = {item.deposit for item in items}
    chains = (authorization.EVERY_CHAIN, caip.chain_id(request.network))
    for signed in authorizations:
        wanted = signed.authorization
        if wanted.address != delegate:
            raise refusal(
                Reason.call_not_allowed,
                f"an authorization is for the code at {wanted.address}, not at {delegate}",
            )
        if wanted.chain_id not in chains:
            raise refusal(Reason.chain_mismatch, f"an authorization is for chain {wanted.chain_id}")
        try:
            signer = authorization.authority(signed)
        except ValueError as error:
            raise refusal(Reason.malformed, f"authorization: {error}") from None
        if signer not in deposits:
            raise refusal(
                Reason.claim_mismatch,
                f"an authorization is of {signer}, from which nothing is collected",
            )
