"""Where a request comes from: the IP address of who sends it, and the network that it is in."""

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Final

# A network that one customer of a provider mostly has: RFC 6177 for version 6.
NETWORK_BITS: Final = {4: 24, 6: 56}
PLACE_BITS: Final = {4: 32, 6: 56}


def client_address(
    peer: str | None, forwarded_for: str | None, trusted_proxies: Sequence[str]
) -> str | None:
    """The caller's IP address: the last hop that is not one of our proxies."""
    if not forwarded_for or not trusted_proxies or not _is_in(peer, trusted_proxies):
        return peer
    for hop in reversed(forwarded_for.split(",")):
        candidate = hop.strip()
        if not _is_in(candidate, trusted_proxies):
            return candidate
    return peer


def network_of(address: str | None) -> str:
    """The network that an address is counted with."""
    return _within(address, NETWORK_BITS)


def place_of(address: str | None) -> str:
    """Whom a limit of an address counts: by version 6 one customer has addresses without end."""
    return _within(address, PLACE_BITS)


def _within(address: str | None, bits: Mapping[int, int]) -> str:
    try:
        parsed = ipaddress.ip_address(address or "")
    except ValueError:
        return "unknown"
    mapped = getattr(parsed, "ipv4_mapped", None)
    if mapped is not None:
        parsed = mapped
    return str(ipaddress.ip_network(f"{parsed}/{bits[parsed.version]}", strict=False))


def _is_in(address: str | None, networks: Sequence[str]) -> bool:
    try:
        candidate = ipaddress.ip_address(address or "")
    except ValueError:
        return False
    return any(candidate in ipaddress.ip_network(network) for network in networks)
