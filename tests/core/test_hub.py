"""The hub's calldata and events, against eth-abi as the second source."""

import dataclasses
from datetime import UTC, datetime

import pytest
from eth_abi.abi import encode

from sakk.core import abi, evm, hub
from sakk.core.hub import Item

HUB = "0x" + "0b" * 20
ITEMS = (
    Item(deposit="0x" + "11" * 20, token="0x" + "22" * 20, units=5),
    Item(deposit="0x" + "33" * 20, token="0x" + "22" * 20, units=1 << 200),
)


def test_a_sweep_is_encoded_as_eth_abi_does_and_read_back() -> None:
    data = hub.encode_sweep(ITEMS)
    expected = encode(
        ["(address,address,uint256)[]"],
        [[(item.deposit, item.token, item.units) for item in ITEMS]],
    )
    assert data == evm.keccak256(b"sweep((address,address,uint256)[])")[:4] + expected
    assert hub.decode_sweep(data) == ITEMS


@pytest.mark.parametrize(
    "items",
    [
        (),
        (Item("0x" + "11" * 20, "0x" + "22" * 20, 0),),
        (Item("0x" + "11" * 20, "0x" + "22" * 20, evm.UINT256_MAX),),
        (Item(evm.ZERO_ADDRESS, "0x" + "22" * 20, 1),),
        (ITEMS[0],) * (hub.ITEMS_MAX + 1),
    ],
)
def test_what_is_no_sweep_is_not_encoded(items: tuple[Item, ...]) -> None:
    with pytest.raises(ValueError):
        hub.encode_sweep(items)


GOOD = hub.encode_sweep(ITEMS)
BODY = GOOD[4:]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "plain transfer"),
        (abi.encode_transfer("0x" + "11" * 20, 1), "transfer"),
        (GOOD + b"\x00", "nothing else"),
        (GOOD[:-1], "nothing else"),
        (hub.SWEEP, "nothing else"),
        (hub.SWEEP + abi.encode_uint(64) + BODY[32:], "nothing else"),
        (hub.SWEEP + abi.encode_uint(32) + abi.encode_uint(0), "1 to 400"),
        (hub.SWEEP + BODY[:64] + b"\x01" + BODY[65:], "32-byte word"),
        (hub.SWEEP + BODY[:-32] + bytes(32), "more than nothing"),
        (hub.SWEEP + BODY[:-32] + b"\xff" * 32, "more than nothing"),
    ],
)
def test_other_bytes_are_refused(data: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        hub.decode_sweep(data)


def test_what_is_shown() -> None:
    made = hub.Hub(
        network="eip155:1",
        address=HUB,
        delegate="0x" + "de" * 20,
        treasury="0x" + "11" * 20,
        wait_seconds=60,
        age_seconds_max=60,
        cost_percent_max=5,
        alone="key",
        enabled=True,
        created=datetime(2026, 1, 2, tzinfo=UTC),
    )
    assert (hub.public(made)["object"], hub.public(made)["proposed"]) == ("hub", None)
    waiting = dataclasses.replace(made, proposed="0x" + "22" * 20)
    shown = hub.public(waiting, executable_at=9)
    assert (shown["proposed"], shown["executable_at"]) == ("0x" + "22" * 20, 9)


def test_a_treasury_is_proposed_by_its_address() -> None:
    expected = encode(["address"], ["0x" + "11" * 20])
    assert hub.encode_propose("0x" + "11" * 20) == (
        evm.keccak256(b"propose(address)")[:4] + expected
    )


def test_a_collector_is_named_and_dismissed() -> None:
    for allowed in (True, False):
        expected = encode(["address", "bool"], ["0x" + "11" * 20, allowed])
        assert hub.encode_set_collector("0x" + "11" * 20, allowed=allowed) == (
            evm.keccak256(b"setCollector(address,bool)")[:4] + expected
        )


def test_items_that_moved_nothing_are_told_by_the_hub_alone() -> None:
    data = "0x" + encode(["uint256", "address", "address"], [7, ITEMS[0].deposit, HUB]).hex()
    logs = [
        (HUB, [hub.NOT_COLLECTED_TOPIC], data),
        (HUB, [hub.NOT_COLLECTED_TOPIC, hub.NOT_COLLECTED_TOPIC], data),
        (ITEMS[0].token, [hub.NOT_COLLECTED_TOPIC], data),
        (HUB, [abi.TRANSFER_TOPIC], data),
    ]
    assert hub.not_collected(logs, hub=HUB) == {7}
    assert hub.not_collected([], hub=HUB) == set()
