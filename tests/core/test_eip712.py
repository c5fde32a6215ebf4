"""Typed data: the digests are those of the public library, and what does not fit is refused."""

from typing import Any

import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data

from sakk.core import eip712
from sakk.core.evm import keccak256

OWNER = Account.from_key("0x" + "46" * 32)
TYPED: dict[str, Any] = {
    "types": {
        "EIP712Domain": [
            {"name": "name", "type": "string"},
            {"name": "chainId", "type": "uint256"},
            {"name": "verifyingContract", "type": "address"},
        ],
        "Mail": [
            {"name": "from", "type": "Person"},
            {"name": "to", "type": "Person[]"},
            {"name": "words", "type": "string[]"},
            {"name": "urgent", "type": "bool"},
            {"name": "read", "type": "bool"},
            {"name": "thread", "type": "bytes32"},
            {"name": "size", "type": "uint8"},
        ],
        "Person": [{"name": "wallet", "type": "address"}, {"name": "boss", "type": "Name"}],
        "Name": [{"name": "text", "type": "string"}],
    },
    "primaryType": "Mail",
    "domain": {"name": "Mail", "chainId": 1, "verifyingContract": "0x" + "cc" * 20},
    "message": {
        "from": {"wallet": OWNER.address, "boss": {"text": "Ada"}},
        "to": [{"wallet": "0x" + "aa" * 20, "boss": {"text": "é"}}],
        "words": ["one", "two"],
        "urgent": True,
        "read": False,
        "thread": "0x" + "07" * 32,
        "size": "255",
    },
}


def changed(**values: Any) -> dict[str, Any]:
    return {**TYPED, "message": {**TYPED["message"], **values}}


def test_the_digest_is_the_public_librarys() -> None:
    signable = encode_typed_data(
        full_message={**TYPED, "message": {**TYPED["message"], "size": 255}}
    )
    parts = b"\x19" + signable.version + signable.header + signable.body
    assert eip712.digest(TYPED) == keccak256(parts)


def test_types_that_are_referred_to_follow_in_order() -> None:
    assert eip712.encode_type(TYPED["types"], "Mail") == (
        "Mail(Person from,Person[] to,string[] words,bool urgent,bool read,bytes32 thread,"
        "uint8 size)Name(string text)Person(address wallet,Name boss)"
    )


def test_who_signed() -> None:
    message = {**TYPED, "message": {**TYPED["message"], "size": 255}}
    signature = OWNER.sign_typed_data(full_message=message).signature.hex()
    assert eip712.signer(TYPED, signature) == OWNER.address.lower()
    assert eip712.signer(changed(size=254), "0x" + signature) != OWNER.address.lower()


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"size": 256}, "does not fit uint8"),
        ({"size": -1}, "does not fit uint8"),
        ({"thread": "0x07"}, "is not 32 bytes"),
        ({"extra": 1}, "does not name"),
    ],
)
def test_what_does_not_fit_its_type_is_refused(values: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        eip712.digest(changed(**values))


def test_a_missing_value_is_refused() -> None:
    message = {name: value for name, value in TYPED["message"].items() if name != "size"}
    with pytest.raises(ValueError, match="Mail has no size"):
        eip712.digest({**TYPED, "message": message})


def test_a_type_that_is_not_signed_here_is_refused() -> None:
    types = {**TYPED["types"], "Name": [{"name": "text", "type": "int256"}]}
    with pytest.raises(ValueError, match="int256 are not signed here"):
        eip712.digest({**TYPED, "types": types})


@pytest.mark.parametrize("text", ["", "0x12", "zz" * 65])
def test_what_is_no_signature_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"65 bytes|hexadecimal"):
        eip712.signature_bytes(text)
