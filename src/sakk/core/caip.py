"""Names of networks and assets: CAIP-2 and CAIP-19.

A network is ``eip155:84532``; an asset is ``eip155:84532/erc20:0x036c…`` or, for the native coin,
``eip155:84532/slip44:60`` (SLIP-44 coin type 60 on every EVM network, whatever its coin's name).
EVM contracts stand in lower-case hex, so that equal assets are equal strings.
"""

import re
from dataclasses import dataclass

from sakk.core import evm

EVM_NAMESPACE = "eip155"
ERC20_NAMESPACE = "erc20"
SLIP44_NAMESPACE = "slip44"
SLIP44_ETHER = "60"

_NETWORK = re.compile(r"([-a-z0-9]{3,8}):([-_a-zA-Z0-9]{1,32})")
_ASSET = re.compile(
    r"([-a-z0-9]{3,8}:[-_a-zA-Z0-9]{1,32})/([-a-z0-9]{3,8}):([-.%a-zA-Z0-9]{1,128})"
)


@dataclass(frozen=True, slots=True)
class Asset:
    """A CAIP-19 asset taken apart: ``network`` is CAIP-2."""

    network: str
    namespace: str
    reference: str

    def __str__(self) -> str:
        return f"{self.network}/{self.namespace}:{self.reference}"


def parse_network(text: str) -> tuple[str, str]:
    """Split a CAIP-2 name into namespace and reference; ValueError if malformed."""
    match = _NETWORK.fullmatch(text)
    if match is None:
        raise ValueError(f"not a CAIP-2 network: {text!r} (expected e.g. 'eip155:8453')")
    if match[1] == EVM_NAMESPACE:
        _parse_chain_id(match[2], text)
    return match[1], match[2]


def evm_network(chain_id: int) -> str:
    """Name an EVM network by its EIP-155 chain id; ValueError if it is out of range."""
    if not 0 < chain_id <= evm.CHAIN_ID_MAX:
        raise ValueError(f"chain id out of range: {chain_id}")
    return f"{EVM_NAMESPACE}:{chain_id}"


def chain_id(network: str) -> int:
    """The EIP-155 chain id of an EVM network; ValueError for any other network."""
    namespace, reference = parse_network(network)
    if namespace != EVM_NAMESPACE:
        raise ValueError(f"not an EVM network: {network!r}")
    return int(reference)


def native_asset(network: str) -> str:
    """The native coin of an EVM network."""
    return f"{evm_network(chain_id(network))}/{SLIP44_NAMESPACE}:{SLIP44_ETHER}"


def erc20_asset(network: str, contract: str) -> str:
    """An ERC-20 token on an EVM network, its contract checked and put in lower case."""
    return f"{evm_network(chain_id(network))}/{ERC20_NAMESPACE}:{evm.parse_address(contract)}"


def parse_asset(text: str) -> Asset:
    """Take a CAIP-19 asset apart in its one canonical form; ValueError if malformed.

    An ERC-20 contract with a wrong EIP-55 checksum is malformed; a right one is put in lower case.
    """
    match = _ASSET.fullmatch(text)
    if match is None:
        raise ValueError(f"not a CAIP-19 asset: {text!r} (expected e.g. 'eip155:8453/slip44:60')")
    network, namespace, reference = match[1], match[2], match[3]
    parse_network(network)
    if namespace == ERC20_NAMESPACE:
        reference = evm.parse_address(reference)
    return Asset(network=network, namespace=namespace, reference=reference)


def asset_network(asset: str) -> str:
    """The CAIP-2 network that an asset lives on."""
    return parse_asset(asset).network


def erc20_contract(asset: str) -> str | None:
    """The token contract in lower-case hex; None for a native coin; ValueError for other kinds."""
    parsed = parse_asset(asset)
    if parsed.namespace == ERC20_NAMESPACE:
        return parsed.reference
    if parsed.namespace == SLIP44_NAMESPACE and parsed.reference == SLIP44_ETHER:
        return None
    raise ValueError(f"neither an ERC-20 token nor a native EVM coin: {asset!r}")


def _parse_chain_id(reference: str, text: str) -> int:
    # A second spelling ("eip155:01") would be a second network under one chain.
    if not reference.isascii() or not reference.isdigit() or reference.startswith("0"):
        raise ValueError(f"not an EIP-155 chain id in {text!r}")
    if int(reference) > evm.CHAIN_ID_MAX:
        raise ValueError(f"chain id out of range in {text!r}")
    return int(reference)
