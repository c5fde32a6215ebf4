"""A factory of clones as its chain shows it: is it ours, and does the chain count as we do?"""

from dataclasses import dataclass

from sakk.core import abi, clone, evm
from sakk.core.errors import Misconfigured
from sakk.rails.evm.contract import artifact, contract_address, deployment
from sakk.rails.evm.hub import HubFacts, hub_facts, read_address, read_number
from sakk.rails.evm.rpc import Rpc, RpcRefused, parse_data

_HUB = abi.selector("hub()")
_PROPOSED = abi.selector("proposed()")
_EXECUTABLE_AT = abi.selector("executableAt()")
# No index has this salt: it is made in a call that is never sent.
_PROBE = evm.keccak256(b"sakk deposit clone: does this chain count addresses as we do?")


@dataclass(frozen=True, slots=True)
class FactoryFacts:
    """What a factory says of itself, and its hub. ``proposed``: its next recoverer."""

    hub_address: str
    hub: HubFacts
    recoverer: str | None
    proposed: str | None
    executable_at: int | None


def factory_of(hub_address: str, recoverer: str) -> str:
    """Where a factory with these arguments stands on every chain: lower-case hex."""
    return contract_address("DepositFactory", hub_address, recoverer)


def factory_deployment(hub_address: str, recoverer: str) -> bytes:
    """Calldata of the public deployer that creates a factory."""
    return deployment("DepositFactory", hub_address, recoverer)


def factory_facts(rpc: Rpc, address: str) -> FactoryFacts:
    """Ask a factory. Misconfigured unless it runs our code, and its hub stands here."""
    require_our_code(rpc, "DepositFactory", address)
    hub_address = read_address(rpc, address, _HUB)
    recoverer = read_address(rpc, address, clone.RECOVERER)
    executable_at = read_number(rpc, address, _EXECUTABLE_AT)
    return FactoryFacts(
        hub_address=hub_address,
        hub=hub_facts(rpc, hub_address, delegates=False),
        recoverer=_or_none(recoverer),
        proposed=_or_none(read_address(rpc, address, _PROPOSED)),
        executable_at=executable_at or None,
    )


def require_our_code(rpc: Rpc, name: str, address: str) -> None:
    """Misconfigured unless the code at an address is that contract's, but for its immutables.

    Compared by their Keccak-256, as EIP-1052 has it.
    """
    code = bytearray(parse_data(rpc.call("eth_getCode", [address, "latest"], str)))
    if not code:
        raise Misconfigured(f"no {name} stands at {address} on this network: deploy it first")
    found = artifact(name)
    expected = bytes.fromhex(found["runtime"][2:])
    for start, length in found["immutables"]:
        code[start : start + length] = bytes(len(code[start : start + length]))
    if evm.keccak256(bytes(code)) != evm.keccak256(expected):
        raise Misconfigured(
            f"what stands at {address} is no {name} of this version of Sakk: deploy it with the"
            " calls of `sakk sweeps deployment`",
            param="address",
        )


def require_our_addresses(rpc: Rpc, factory: str) -> None:
    """Misconfigured on a chain that puts clones elsewhere than EIP-1014 says.

    The node is asked to create one, in a call that is not sent: coins that were paid to an address
    at which no clone can ever stand would be lost.
    """
    require_our_code(rpc, "DepositClone", clone.implementation_of(factory))
    expected = clone.address_of(factory, _PROBE)
    call = {"to": factory, "data": "0x" + clone.encode_create(_PROBE).hex()}
    try:
        answer = parse_data(rpc.call("eth_call", [call, "latest"], str), length=abi.WORD_BYTES)
    except RpcRefused as error:
        raise Misconfigured(f"{factory} creates no clones on this network: {error}") from error
    made = abi.decode_address(answer)
    if made != expected:
        raise Misconfigured(
            f"this network would create a clone at {made} where {expected} is expected: give out"
            " the addresses of keys there",
            param="address",
        )


def _or_none(address: str) -> str | None:
    return None if address == evm.ZERO_ADDRESS else address
