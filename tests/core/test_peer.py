"""Where a request comes from."""

import pytest

from sakk.core.peer import client_address, network_of, place_of


@pytest.mark.parametrize(
    ("peer", "forwarded", "trusted", "expected"),
    [
        ("1.1.1.1", None, [], "1.1.1.1"),
        ("1.1.1.1", "9.9.9.9", [], "1.1.1.1"),
        ("1.1.1.1", "9.9.9.9", ["10.0.0.0/8"], "1.1.1.1"),
        ("10.0.0.1", "9.9.9.9", ["10.0.0.0/8"], "9.9.9.9"),
        ("10.0.0.1", "6.6.6.6, 9.9.9.9, 10.0.0.2", ["10.0.0.0/8"], "9.9.9.9"),
        ("10.0.0.1", "10.0.0.3", ["10.0.0.0/8"], "10.0.0.1"),
        (None, "9.9.9.9", ["10.0.0.0/8"], None),
        ("no address", "9.9.9.9", ["10.0.0.0/8"], "no address"),
    ],
)
def test_the_callers_address(
    peer: str | None, forwarded: str | None, trusted: list[str], expected: str | None
) -> None:
    assert client_address(peer, forwarded, trusted) == expected


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.7", "203.0.113.0/24"),
        ("::ffff:203.0.113.7", "203.0.113.0/24"),
        ("2001:db8:1:2345::1", "2001:db8:1:2300::/56"),
        ("nowhere", "unknown"),
        (None, "unknown"),
    ],
)
def test_the_network_of_an_address(address: str | None, network: str) -> None:
    assert network_of(address) == network


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("203.0.113.7", "203.0.113.7/32"),
        ("::ffff:203.0.113.7", "203.0.113.7/32"),
        ("2001:db8:1:2345::1", "2001:db8:1:2300::/56"),
        (None, "unknown"),
    ],
)
def test_whom_a_limit_counts(address: str | None, place: str) -> None:
    assert place_of(address) == place
