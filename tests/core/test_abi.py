"""ERC-20 calldata, against eth-abi as the second source."""

import pytest
from eth_abi.abi import encode as eth_abi_encode
from hypothesis import given
from hypothesis import strategies as st

from sakk.core import abi, evm

TO = "0x" + "35" * 20

addresses = st.binary(min_size=20, max_size=20).filter(any).map(lambda raw: "0x" + raw.hex())
amounts = st.integers(min_value=0, max_value=evm.UINT256_MAX)


@given(addresses, amounts)
def test_transfer_round_trip_agrees_with_eth_abi(to: str, amount: int) -> None:
    data = abi.encode_transfer(to, amount)
    assert data == bytes.fromhex("a9059cbb") + eth_abi_encode(["address", "uint256"], [to, amount])
    assert abi.decode_transfer(data) == abi.TokenTransfer(to=to, amount=amount)


@given(addresses, amounts)
def test_approve_round_trip_agrees_with_eth_abi(spender: str, amount: int) -> None:
    data = abi.encode_approve(spender, amount)
    words = eth_abi_encode(["address", "uint256"], [spender, amount])
    assert data == bytes.fromhex("095ea7b3") + words
    assert abi.decode_approve(data) == abi.TokenApproval(spender=spender, amount=amount)


def test_allowance_agrees_with_eth_abi() -> None:
    words = eth_abi_encode(["address", "address"], [TO, "0x" + "36" * 20])
    assert abi.encode_allowance(TO, "0x" + "36" * 20) == bytes.fromhex("dd62ed3e") + words


def test_a_transfer_is_no_approval() -> None:
    with pytest.raises(ValueError, match="not an ERC-20 approve but transfer"):
        abi.decode_approve(abi.encode_transfer(TO, 1))
    with pytest.raises(ValueError, match="68 bytes of calldata"):
        abi.decode_approve(abi.encode_approve(TO, 1) + b"\x00")


def test_selectors_and_topic_are_the_published_ones() -> None:
    assert abi.BALANCE_OF.hex() == "70a08231"
    assert abi.TRANSFER_TOPIC == (
        "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
    )
    published = {
        "095ea7b3": "approve(address,uint256)",
        "23b872dd": "transferFrom(address,address,uint256)",
        "39509351": "increaseAllowance(address,uint256)",
        "a22cb465": "setApprovalForAll(address,bool)",
        "d505accf": "permit(address,address,uint256,uint256,uint8,bytes32,bytes32)",
        "87517c45": "approve(address,address,uint160,uint48)",
    }
    assert {key: abi.KNOWN_CALLS[bytes.fromhex(key)] for key in published} == published
    assert abi.encode_balance_of(TO).hex() == "70a08231" + "00" * 12 + "35" * 20


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "a plain transfer of the native coin"),
        (b"\xa9\x05\x9c", "3 bytes that are no call"),
        (abi.encode_transfer(TO, 1) + b"\x00", "68 bytes of calldata, not 69"),
        (abi.encode_transfer(TO, 1)[:-1], "68 bytes of calldata, not 67"),
        (abi.TRANSFER + b"\x01" + abi.encode_transfer(TO, 1)[5:], "not an address"),
        (b"\xde\xad\xbe\xef" + b"\x00" * 64, "unknown call \\(selector 0xdeadbeef\\)"),
        (
            abi.selector("approve(address,uint256)") + abi.encode_transfer(TO, 9)[4:],
            f"approve\\(address {TO}, uint256 9\\)",
        ),
        (
            abi.selector("approve(address,uint256)") + abi.encode_transfer(TO, evm.UINT256_MAX)[4:],
            "uint256 unlimited",
        ),
        (abi.selector("setApprovalForAll(address,bool)"), "address cut off, bool cut off"),
        (abi.selector("setApprovalForAll(address,bool)") + b"\x00" * 64, "bool\\)"),
        (abi.selector("deposit()"), "deposit\\(\\)"),
    ],
)
def test_other_calls_are_refused_by_name(data: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        abi.decode_transfer(data)


@pytest.mark.parametrize("value", [-1, evm.UINT256_MAX + 1])
def test_integers_out_of_range_are_refused(value: int) -> None:
    with pytest.raises(ValueError, match="unsigned 256-bit"):
        abi.encode_uint(value)
