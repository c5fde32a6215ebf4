"""Addresses and transactions, against EIP vectors and eth-account as the second source."""

import dataclasses
import runpy
import sys
from typing import Any

import pytest
from eth_account import Account
from eth_account.messages import encode_defunct
from eth_account.typed_transactions.typed_transaction import TypedTransaction
from eth_utils.address import to_checksum_address
from hypothesis import given
from hypothesis import strategies as st

from sakk.core import evm, rlp

KEY = "0x" + "46" * 32  # the key of EIP-155's example
SENDER = "0x9d8a62f656a8d1615c1294fd71e9cfb3e4855a4f"
TO = "0x" + "35" * 20

addresses = st.binary(min_size=20, max_size=20).filter(any).map(lambda raw: "0x" + raw.hex())
amounts = st.integers(min_value=0, max_value=evm.UINT256_MAX)


@st.composite
def transactions(draw: st.DrawFn) -> evm.Transaction:
    low, high = sorted((draw(amounts), draw(amounts)))
    access_list = draw(
        st.lists(
            st.tuples(
                addresses,
                st.lists(st.binary(min_size=32, max_size=32), max_size=2).map(tuple),
            ),
            max_size=2,
        ).map(tuple)
    )
    return evm.Transaction(
        chain_id=draw(st.integers(min_value=1, max_value=evm.CHAIN_ID_MAX)),
        nonce=draw(st.integers(min_value=0, max_value=evm.NONCE_MAX)),
        max_priority_fee_per_gas=low,
        max_fee_per_gas=high,
        gas_limit=draw(st.integers(min_value=0, max_value=evm.GAS_LIMIT_MAX)),
        to=draw(st.none() | addresses),
        value=draw(amounts),
        data=draw(st.binary(max_size=100)),
        access_list=access_list,
    )


def transaction(**changes: Any) -> evm.Transaction:
    return dataclasses.replace(
        evm.Transaction(
            chain_id=84532,
            nonce=7,
            max_priority_fee_per_gas=1_000_000_000,
            max_fee_per_gas=30_000_000_000,
            gas_limit=65_000,
            to=TO,
            value=5,
            data=b"\x01\x02",
        ),
        **changes,
    )


# The test cases of EIP-55.
@pytest.mark.parametrize(
    "address",
    [
        "0x52908400098527886E0F7030069857D2E4169EE7",
        "0x8617E340B3D01FA5F11F306F4090FD50E238070D",
        "0xde709f2102306220921060314715629080e2fb77",
        "0x27b1fdb04752bbc536007a920d24acb045561c26",
        "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
        "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
        "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
        "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
    ],
)
def test_eip55_vectors(address: str) -> None:
    assert evm.checksum_address(address.lower()) == address
    assert evm.parse_address(address) == address.lower()
    assert evm.parse_address(address.lower()) == address.lower()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAeD", "checksum"),
        ("0x5AAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", "checksum"),
        ("0x" + "00" * 20, "zero address"),
        ("0x" + "35" * 19, "not an EVM address"),
        ("0x" + "35" * 21, "not an EVM address"),
        ("35" * 20, "not an EVM address"),
        ("0X" + "35" * 20, "not an EVM address"),
        ("0x" + "3g" * 20, "not an EVM address"),
        ("0x" + "35" * 20 + "\n", "not an EVM address"),
        ("", "not an EVM address"),
        ("vitalik.eth", "not an EVM address"),
    ],
)
def test_bad_addresses_are_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        evm.parse_address(text)


@given(transactions())
def test_another_price_changes_nothing_else(transaction: evm.Transaction) -> None:
    dearer = evm.repriced(
        evm.encode_unsigned(transaction), max_fee_per_gas=9, max_priority_fee_per_gas=8
    )
    assert evm.decode_unsigned(dearer) == dataclasses.replace(
        transaction, max_fee_per_gas=9, max_priority_fee_per_gas=8
    )


@given(addresses)
def test_checksums_agree_with_eth_utils(address: str) -> None:
    assert evm.checksum_address(address) == to_checksum_address(address)
    assert evm.parse_address(evm.checksum_address(address)) == address


def test_a_contract_stands_where_create2_puts_it() -> None:
    # An example of EIP-1014.
    address = evm.create2_address(
        bytes.fromhex("deadbeef"),
        salt=bytes.fromhex("cafebabe".zfill(64)),
        deployer="0x00000000000000000000000000000000deadbeef",
    )
    assert evm.checksum_address(address) == "0x60f3f640a8508fC6a86d45DF051962668E1e8AC7"


def test_eip155_example() -> None:
    """The example in EIP-155: signing data, hash, and the signed transaction."""
    legacy = evm.LegacyTransaction(
        chain_id=1,
        nonce=9,
        gas_price=20 * 10**9,
        gas_limit=21000,
        to=TO,
        value=10**18,
        data=b"",
    )
    assert evm.encode_unsigned(legacy).hex() == (
        "ec098504a817c800825208943535353535353535353535353535353535353535880de0b6b3a764000080018080"
    )
    assert (
        evm.signing_hash(legacy).hex()
        == "daf5a779ae972f972197303d7b574746c7ef83eadac0f2791ad23db92e4c8e53"
    )
    signed = bytes.fromhex(
        "f86c098504a817c800825208943535353535353535353535353535353535353535880de0b6b3a7640000"
        "8025a028ef61340bd939bc2195fe537567866003e1a15d3c71ff63e1590620aa636276a067cbe9d8997f76"
        "1aecb703304b3800ccf555c9f3dc64214b297fb1966a3b6d83"
    )
    decoded = evm.decode_signed(signed)
    assert decoded.transaction == legacy
    assert evm.encode_signed(decoded) == signed
    assert evm.recover_sender(decoded) == SENDER


@given(transactions())
def test_unsigned_round_trip(transaction: evm.Transaction) -> None:
    assert evm.decode_unsigned(evm.encode_unsigned(transaction)) == transaction


@given(transactions(), st.data())
def test_altered_bytes_are_refused_or_read_as_what_they_are(
    transaction: evm.Transaction, data: st.DataObject
) -> None:
    """No two byte strings are read as the same transaction."""
    altered = bytearray(evm.encode_unsigned(transaction))
    place = data.draw(st.integers(min_value=0, max_value=len(altered) - 1))
    altered[place] ^= data.draw(st.integers(min_value=1, max_value=255))
    try:
        decoded = evm.decode_unsigned(bytes(altered))
    except ValueError:
        return
    assert decoded != transaction
    assert evm.encode_unsigned(decoded) == bytes(altered)


def eth_account_fields(transaction: evm.Transaction) -> dict[str, Any]:
    return {
        "type": 2,
        "chainId": transaction.chain_id,
        "nonce": transaction.nonce,
        "maxPriorityFeePerGas": transaction.max_priority_fee_per_gas,
        "maxFeePerGas": transaction.max_fee_per_gas,
        "gas": transaction.gas_limit,
        "to": b"" if transaction.to is None else bytes.fromhex(transaction.to[2:]),
        "value": transaction.value,
        "data": transaction.data,
        "accessList": [
            {"address": address, "storageKeys": ["0x" + key.hex() for key in keys]}
            for address, keys in transaction.access_list
        ],
    }


@given(transactions())
def test_encoding_hash_and_sender_agree_with_eth_account(transaction: evm.Transaction) -> None:
    fields = eth_account_fields(transaction)
    signed = Account.sign_transaction(fields, KEY)
    theirs = TypedTransaction.from_dict(fields)
    assert evm.signing_hash(transaction) == bytes(theirs.hash())
    decoded = evm.decode_signed(bytes(signed.raw_transaction))
    assert decoded.transaction == transaction
    assert evm.encode_signed(decoded) == bytes(signed.raw_transaction)
    assert evm.transaction_hash(bytes(signed.raw_transaction)) == "0x" + bytes(signed.hash).hex()
    assert evm.recover_sender(decoded) == SENDER


@given(st.integers(min_value=1, max_value=evm.CHAIN_ID_MAX), addresses, st.binary(max_size=80))
def test_legacy_agrees_with_eth_account(chain_id: int, to: str, data: bytes) -> None:
    signed = Account.sign_transaction(
        {
            "chainId": chain_id,
            "nonce": 3,
            "gasPrice": 10**9,
            "gas": 50_000,
            "to": bytes.fromhex(to[2:]),
            "value": 1,
            "data": data,
        },
        KEY,
    )
    decoded = evm.decode_signed(bytes(signed.raw_transaction))
    assert decoded.transaction == evm.LegacyTransaction(
        chain_id=chain_id, nonce=3, gas_price=10**9, gas_limit=50_000, to=to, value=1, data=data
    )
    assert evm.encode_signed(decoded) == bytes(signed.raw_transaction)
    assert evm.recover_sender(decoded) == SENDER


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"nonce": evm.NONCE_MAX + 1}, "nonce is out of range"),
        ({"nonce": -1}, "nonce is out of range"),
        ({"value": evm.UINT256_MAX + 1}, "value is out of range"),
        ({"gas_limit": evm.GAS_LIMIT_MAX + 1}, "gas_limit is out of range"),
        ({"chain_id": 0}, "chain_id is out of range"),
        ({"chain_id": evm.CHAIN_ID_MAX + 1}, "chain_id is out of range"),
        ({"max_priority_fee_per_gas": 31_000_000_000}, "above max_fee_per_gas"),
        ({"max_fee_per_gas": evm.UINT256_MAX + 1}, "max_fee_per_gas is out of range"),
    ],
)
def test_fields_out_of_range_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        evm.encode_unsigned(transaction(**changes))


def unsigned_items() -> list[rlp.Item]:
    items = rlp.decode(evm.encode_unsigned(transaction())[1:])
    assert isinstance(items, list)
    return items


def changed(place: int, item: rlp.Item) -> bytes:
    items = unsigned_items()
    items[place] = item
    return b"\x02" + rlp.encode(items)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty"),
        (b"\x01\xc0", "EIP-2930"),
        (b"\x03\xc0", "EIP-4844"),
        (b"\x04\xc0", "EIP-7702"),
        (b"\x05\xc0", "unknown"),
        (b"\xc0", "legacy"),
        (b"\x02\xc0", "list of 9 fields"),
        (b"\x02\x80", "list of 9 fields"),
        (b"\x02" + b"\x00" * evm.TRANSACTION_BYTES_MAX, "at most"),
        (evm.encode_unsigned(transaction()) + b"\x00", "after the RLP item"),
        (evm.encode_unsigned(transaction())[:-1], "longer than its data"),
        (changed(0, b"\x00\x01"), "chain_id has leading zeros"),
        (changed(0, []), "chain_id is a list"),
        (changed(6, b"\x01" * 33), "value is longer than 256 bits"),
        (changed(5, b"\x01" * 19), "to is 19 bytes"),
        (changed(5, b"\x01" * 21), "to is 21 bytes"),
        (changed(5, []), "to is a list"),
        (changed(7, []), "data is a list"),
        (changed(8, b""), "access_list is not a list"),
        (changed(8, [b"\x01"]), "pairs"),
        (changed(8, [[b"\x01" * 20]]), "pairs"),
        (changed(8, [[b"\x01" * 20, b""]]), "pairs"),
        (changed(8, [[b"\x01" * 19, []]]), "20 bytes"),
        (changed(8, [[b"\x01" * 20, [b"\x01"]]]), "keys of 32"),
    ],
)
def test_malformed_unsigned_bytes_are_refused(data: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        evm.decode_unsigned(data)


def signed_with(y_parity: int = 0, r: int = 1, s: int = 1) -> bytes:
    tail: list[rlp.Item] = [rlp.encode_integer(number) for number in (y_parity, r, s)]
    return b"\x02" + rlp.encode([*unsigned_items(), *tail])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (signed_with(y_parity=2), "y_parity"),
        (signed_with(r=0), "r is out of range"),
        (signed_with(r=evm.CURVE_ORDER), "r is out of range"),
        (signed_with(s=0), "s is out of range"),
        (signed_with(s=evm.CURVE_ORDER // 2 + 1), "upper half"),
        (rlp.encode([b""] * 8), "list of 9 fields"),
        (rlp.encode([b"", b"", b"", b"", b"", b"", b"\x1b", b"\x01", b"\x01"]), "EIP-155"),
        (b"\xc0" * (evm.TRANSACTION_BYTES_MAX + 1), "at most"),
    ],
)
def test_malformed_signed_bytes_are_refused(data: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        evm.decode_signed(data)


def test_a_signature_of_no_key_has_no_sender() -> None:
    # x = 5 is on no point of secp256k1: x^3 + 7 = 132 is not a square.
    signed = evm.SignedTransaction(transaction(), evm.Signature(y_parity=0, r=5, s=1))
    with pytest.raises(ValueError, match="of no key"):
        evm.recover_sender(signed)


def test_parse_signature_takes_65_bytes() -> None:
    compact = (3).to_bytes(32, "big") + (4).to_bytes(32, "big") + b"\x01"
    assert evm.parse_signature(compact) == evm.Signature(y_parity=1, r=3, s=4)
    with pytest.raises(ValueError, match="65 bytes"):
        evm.parse_signature(compact[:-1])


@pytest.mark.parametrize("data", [b"", b"transfer(address,uint256)", b"\xff" * 200])
def test_without_the_compiled_hash_the_digest_is_the_same(
    data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sha3", None)
    assert runpy.run_path(evm.__file__)["keccak256"](data) == evm.keccak256(data)


def test_the_signer_of_a_message_is_eth_accounts() -> None:
    owner = Account.from_key(KEY)
    signature = bytes(owner.sign_message(encode_defunct(text="hello")).signature)
    low = signature[:64] + bytes([signature[64] - 27])
    assert evm.message_signer(b"hello", signature) == owner.address.lower()
    assert evm.message_signer(b"hello", low) == owner.address.lower()
    assert evm.message_signer(b"hallo", signature) != owner.address.lower()
    for bad in (signature[:64], signature[:64] + b"\x1d", signature[:64] + b"\x02", b"\0" * 65):
        with pytest.raises(ValueError):
            evm.message_signer(b"hello", bad)
