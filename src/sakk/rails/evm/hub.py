"""A hub as its chain shows it, and which deposit addresses pay to it already.

A deposit address is *ready* when its code is the hub's delegate (EIP-7702). It *can be delegated*
by a signed authorization while it has sent nothing and has no code. Any other state is *spent*: its
key was used, or it runs another's code.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from sakk.core import abi, authorization, evm, hub
from sakk.core.authorization import SignedAuthorization
from sakk.core.errors import Misconfigured
from sakk.rails.evm.contract import contract_address, deployment
from sakk.rails.evm.rpc import Call, Rpc, RpcInconsistent, RpcRefused, parse_data, parse_quantity
from sakk.rails.evm.send import GAS_MARGIN_PERCENT, TransferWouldFail, refusal_reason

_COLD = abi.selector("cold()")
_DELAY = abi.selector("delay()")
_PROPOSED = abi.selector("proposed()")
_EXECUTABLE_AT = abi.selector("executableAt()")


_NOBODY = "0x" + "22" * evm.ADDRESS_BYTES
# Signed by the key of 32 bytes 0x11, which everyone knows: it is shown to nodes, and never sent.
_PROBE = SignedAuthorization(
    authorization.for_delegate("0x" + "11" * evm.ADDRESS_BYTES),
    evm.Signature(
        y_parity=1,
        r=0x21399A3E8F817D31A667A9150D2607828F42D19D76F697D98E004A2D21B7A9A,
        s=0x5552FCFB7E68F2B4A8816A13379A195167F4CF743ECD8A32F7723E92742A83D6,
    ),
)


class Standing(StrEnum):
    """What a deposit address is to a hub."""

    ready = "ready"
    can_be_delegated = "can_be_delegated"
    spent = "spent"


@dataclass(frozen=True, slots=True)
class HubFacts:
    """What a hub says of itself. ``proposed`` is its next treasury, from ``executable_at`` on."""

    treasury: str
    cold: str
    delay_seconds: int
    proposed: str | None
    executable_at: int | None


def delegate_of(address: str) -> str:
    """Where the delegate of a hub stands: it follows from the hub's address."""
    return contract_address("DepositDelegate", address)


def delegate_deployment(address: str) -> bytes:
    """Calldata of the public deployer that creates the delegate of a hub."""
    return deployment("DepositDelegate", address)


def hub_facts(rpc: Rpc, address: str, *, delegates: bool = True) -> HubFacts:
    """Ask a hub. Misconfigured where it, or its delegate, does not stand on this network.

    ``delegates``: is its delegate needed? A factory's clones run code of their own.
    """
    needed = [("hub", address)]
    if delegates:
        needed.append(("hub's delegate", delegate_of(address)))
    for name, place in needed:
        if rpc.call("eth_getCode", [place, "latest"], str) == "0x":
            raise Misconfigured(f"no {name} stands at {place} on this network: deploy it first")
    proposed = read_address(rpc, address, _PROPOSED)
    is_proposed = proposed != evm.ZERO_ADDRESS
    return HubFacts(
        treasury=read_address(rpc, address, hub.TREASURY),
        cold=read_address(rpc, address, _COLD),
        delay_seconds=read_number(rpc, address, _DELAY),
        proposed=proposed if is_proposed else None,
        executable_at=read_number(rpc, address, _EXECUTABLE_AT) if is_proposed else None,
    )


def is_collector(rpc: Rpc, address: str, collector: str) -> bool:
    """May this address ask the hub for a sweep?"""
    return read_number(rpc, address, hub.IS_COLLECTOR + abi.encode_address(collector)) == 1


def knows_delegation(rpc: Rpc) -> bool:
    """Does this network carry authorizations (EIP-7702)? Where it does they cost gas."""
    call: dict[str, object] = {"from": _NOBODY, "to": _NOBODY, "data": "0x"}
    call["authorizationList"] = [_rpc_authorization(_PROBE)]
    try:
        gas = parse_quantity(rpc.call("eth_estimateGas", [call], str), maximum=evm.GAS_LIMIT_MAX)
    except RpcRefused:
        return False
    return gas > evm.TRANSFER_GAS


def standings(rpc: Rpc, addresses: Sequence[str], *, delegate: str) -> dict[str, Standing]:
    """How each deposit address stands now, in one batch of calls."""
    calls = [Call("eth_getCode", [each, "latest"]) for each in addresses]
    calls += [Call("eth_getTransactionCount", [each, "latest"]) for each in addresses]
    answers = rpc.batch_each(calls, str)
    found: dict[str, Standing] = {}
    for place, address in enumerate(addresses):
        code, count = answers[place], answers[place + len(addresses)]
        if not isinstance(code, str) or not isinstance(count, str):
            raise RpcInconsistent(f"the node does not say what stands at {address}")
        found[address] = _standing(parse_data(code), parse_quantity(count), delegate)
    return found


def estimate_collect(
    rpc: Rpc,
    *,
    sender: str,
    to: str,
    data: bytes,
    authorizations: Sequence[SignedAuthorization],
) -> int:
    """The gas limit for a call of the hub, with a margin. TransferWouldFail if it would revert."""
    call: dict[str, object] = {"from": sender, "to": to, "data": "0x" + data.hex()}
    if authorizations:
        call["authorizationList"] = [_rpc_authorization(each) for each in authorizations]
    try:
        gas = parse_quantity(rpc.call("eth_estimateGas", [call], str), maximum=evm.GAS_LIMIT_MAX)
    except RpcRefused as error:
        raise TransferWouldFail(f"the collection would fail: {refusal_reason(error)}") from error
    return min(gas + gas * GAS_MARGIN_PERCENT // 100, max(gas, hub.TRANSACTION_GAS_MAX))


def _standing(code: bytes, count: int, delegate: str) -> Standing:
    if authorization.delegated_to(code) == delegate:
        return Standing.ready
    if not code and count == 0:
        return Standing.can_be_delegated
    return Standing.spent


def _rpc_authorization(signed: SignedAuthorization) -> dict[str, str]:
    return {
        "chainId": hex(signed.authorization.chain_id),
        "address": signed.authorization.address,
        "nonce": hex(signed.authorization.nonce),
        "yParity": hex(signed.signature.y_parity),
        "r": hex(signed.signature.r),
        "s": hex(signed.signature.s),
    }


def read_address(rpc: Rpc, contract: str, call: bytes) -> str:
    """The address that a contract answers with; the zero address is one."""
    return abi.decode_address(_read(rpc, contract, call))


def read_number(rpc: Rpc, contract: str, call: bytes) -> int:
    """The number that a contract answers with."""
    return int.from_bytes(_read(rpc, contract, call), "big")


def _read(rpc: Rpc, contract: str, call: bytes) -> bytes:
    answer = rpc.call("eth_call", [{"to": contract, "data": "0x" + call.hex()}, "latest"], str)
    return parse_data(answer, length=abi.WORD_BYTES)
