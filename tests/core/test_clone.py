"""Clones: their addresses against web3.py, the calls of their factory against eth-abi."""

import dataclasses
from datetime import UTC, datetime

import pytest
from bip32 import BIP32
from eth_abi.abi import encode
from eth_account.hdaccount import seed_from_mnemonic
from eth_typing import HexAddress, HexStr
from web3.types import Nonce
from web3.utils.address import get_create2_address, get_create_address

from sakk.core import abi, clone, evm, hub
from sakk.core.clone import Factory, Item, Recover
from sakk.core.hd import Seed, deposit_address

# The mnemonic that every development node uses; its first key is KEY_ADDRESS.
ROOT = BIP32.from_seed(seed_from_mnemonic("test " * 11 + "junk", ""))
XPUB, OTHER_XPUB = (ROOT.get_xpub_from_path(f"m/44'/60'/{account}'") for account in (0, 1))
FACTORY = "0x" + "fa" * 20
KEY_ADDRESS = "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266"
TOKEN = "0x" + "22" * 20
SALT = clone.salt_of(KEY_ADDRESS)
ITEMS = (Item(SALT, TOKEN, 5), Item(b"\x07" * 32, TOKEN, 1 << 200))


def test_an_address_is_what_web3_makes_of_it() -> None:
    implementation = clone.implementation_of(FACTORY)
    sender = HexAddress(HexStr(evm.checksum_address(FACTORY)))
    assert implementation == get_create_address(sender, Nonce(1)).lower()
    # The creation code of EIP-1167's reference, with its creation prefix.
    creation = HexStr(
        "0x3d602d80600a3d3981f3363d3d373d3d3d363d73"
        + implementation[2:]
        + "5af43d82803e903d91602b57fd5bf3"
    )
    expected = get_create2_address(sender, HexStr("0x" + SALT.hex()), creation).lower()
    assert clone.address_of(FACTORY, SALT) == expected
    assert clone.clone_of(FACTORY, KEY_ADDRESS) == expected


def test_a_salt_is_of_one_key() -> None:
    other = "0x70997970c51812dc3a010c7d01b50e0d17dc79c8"
    assert len(SALT) == 32
    assert clone.salt_of(other) != SALT
    assert clone.clone_of(FACTORY, other) != clone.clone_of(FACTORY, KEY_ADDRESS)
    assert clone.clone_of("0x" + "fb" * 20, KEY_ADDRESS) != clone.clone_of(FACTORY, KEY_ADDRESS)


def test_a_sweep_is_encoded_as_eth_abi_does_and_read_back() -> None:
    data = clone.encode_sweep(ITEMS)
    expected = encode(
        ["(bytes32,address,uint256)[]"], [[(item.salt, item.token, item.units) for item in ITEMS]]
    )
    assert data == evm.keccak256(b"sweep((bytes32,address,uint256)[])")[:4] + expected
    assert clone.decode_sweep(data) == ITEMS


@pytest.mark.parametrize(
    "items",
    [
        (),
        (Item(SALT, TOKEN, 0),),
        (Item(SALT, TOKEN, evm.UINT256_MAX),),
        (Item(SALT, evm.ZERO_ADDRESS, 1),),
        (ITEMS[0],) * (hub.ITEMS_MAX + 1),
    ],
)
def test_what_is_no_sweep_is_not_encoded(items: tuple[Item, ...]) -> None:
    with pytest.raises(ValueError):
        clone.encode_sweep(items)


GOOD = clone.encode_sweep(ITEMS)
BODY = GOOD[4:]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "plain transfer"),
        (abi.encode_transfer(TOKEN, 1), "transfer"),
        (GOOD + b"\x00", "nothing else"),
        (GOOD[:-1], "nothing else"),
        (clone.SWEEP + abi.encode_uint(64) + BODY[32:], "nothing else"),
        (clone.SWEEP + abi.encode_uint(32) + abi.encode_uint(0), "1 to 400"),
        (clone.SWEEP + BODY[:96] + b"\x01" + BODY[97:], "32-byte word"),
        (clone.SWEEP + BODY[:-32] + bytes(32), "more than nothing"),
    ],
)
def test_other_bytes_are_no_sweep(data: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        clone.decode_sweep(data)


@pytest.mark.parametrize("token", [TOKEN, None])
def test_a_recovery_is_encoded_as_eth_abi_does_and_read_back(token: str | None) -> None:
    call = Recover(SALT, token, "0x" + "33" * 20, 7)
    data = clone.encode_recover(call)
    expected = encode(
        ["bytes32", "address", "address", "uint256"],
        [SALT, token or evm.ZERO_ADDRESS, call.to, 7],
    )
    assert data == evm.keccak256(b"recover(bytes32,address,address,uint256)")[:4] + expected
    assert clone.decode_recover(data) == call


RECOVER = clone.encode_recover(Recover(SALT, TOKEN, "0x" + "33" * 20, 7))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (GOOD, "not a recovery"),
        (RECOVER + b"\x00", "nothing else"),
        (RECOVER[:36] + b"\x01" + RECOVER[37:], "32-byte word"),
        (RECOVER[:68] + bytes(32) + RECOVER[100:], "zero address"),
        (RECOVER[:-32] + bytes(32), "more than nothing"),
    ],
)
def test_other_bytes_are_no_recovery(data: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        clone.decode_recover(data)


def test_whose_coins_a_recovery_moves() -> None:
    assert clone.recovered_from(FACTORY, RECOVER) == clone.clone_of(FACTORY, KEY_ADDRESS)
    with pytest.raises(ValueError, match="calls no factory"):
        clone.recovered_from(None, RECOVER)
    with pytest.raises(ValueError, match="not a recovery"):
        clone.recovered_from(FACTORY, GOOD)


def test_nothing_is_recovered_by_no_call() -> None:
    with pytest.raises(ValueError, match="more than nothing"):
        clone.encode_recover(Recover(SALT, TOKEN, "0x" + "33" * 20, 0))


def test_an_index_has_the_salt_of_its_seeds_key() -> None:
    first, second = Seed(0, XPUB), Seed(7, OTHER_XPUB)
    assert clone.salt_at([first], 0) == SALT
    for index, xpub in ((6, XPUB), (7, OTHER_XPUB)):
        expected = clone.salt_of(deposit_address(xpub, index))
        assert clone.salt_at([first, second], index) == expected


def test_a_clone_is_created_by_its_salt() -> None:
    assert clone.encode_create(SALT) == evm.keccak256(b"create(bytes32)")[:4] + SALT


def test_what_is_shown() -> None:
    made = Factory(
        network="eip155:1",
        address=FACTORY,
        hub="0x" + "0b" * 20,
        treasury="0x" + "11" * 20,
        recoverer=None,
        wait_seconds=60,
        age_seconds_max=60,
        cost_percent_max=5,
        enabled=True,
        created=datetime(2026, 1, 2, tzinfo=UTC),
    )
    shown = clone.public(made)
    assert (shown["object"], shown["network"]) == ("factory", "eip155:1")
    assert (shown["recoverer"], shown["proposed_recoverer"]) == (None, None)
    waiting = dataclasses.replace(made, recoverer=TOKEN, proposed_recoverer="0x" + "33" * 20)
    shown = clone.public(waiting, executable_at=9)
    assert (shown["recoverer"], shown["proposed_recoverer"]) == (TOKEN, "0x" + "33" * 20)
    assert shown["executable_at"] == 9
