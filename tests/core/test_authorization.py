"""EIP-7702's authorizations and type 4 transactions, against eth-account as the second source."""

import dataclasses
from typing import Any

import pytest
from eth_account import Account
from eth_account.typed_transactions.typed_transaction import TypedTransaction
from eth_utils.address import to_checksum_address

from sakk.core import authorization as rules
from sakk.core import evm, rlp
from sakk.core.authorization import Authorization, SetCodeTransaction, SignedAuthorization

KEY = "0x" + "46" * 32
SENDER = "0x9d8a62f656a8d1615c1294fd71e9cfb3e4855a4f"
DEPOSIT_KEY = "0x" + "17" * 32
DEPOSIT = str(Account.from_key(DEPOSIT_KEY).address).lower()
DELEGATE = "0x" + "de" * 20


def authorize(**changes: Any) -> SignedAuthorization:
    """An authorization that eth-account signed."""
    wanted = {"chainId": 0, "address": bytes.fromhex(DELEGATE[2:]), "nonce": 0, **changes}
    signed = Account.from_key(DEPOSIT_KEY).sign_authorization(wanted)
    return SignedAuthorization(
        authorization=Authorization(chain_id=signed.chain_id, address=DELEGATE, nonce=signed.nonce),
        signature=evm.Signature(y_parity=signed.y_parity, r=signed.r, s=signed.s),
    )


def transaction(**changes: Any) -> SetCodeTransaction:
    fields: dict[str, Any] = {
        "chain_id": 84532,
        "nonce": 7,
        "max_priority_fee_per_gas": 1,
        "max_fee_per_gas": 2_000_000_000,
        "gas_limit": 500_000,
        "to": "0x" + "35" * 20,
        "value": 0,
        "data": b"\x01\x02",
    }
    listed = changes.pop("authorizations", (authorize(), authorize(chainId=84532, nonce=3)))
    return SetCodeTransaction(evm.Transaction(**{**fields, **changes}), listed)


def by_eth_account(made: SetCodeTransaction) -> tuple[bytes, bytes]:
    """The same transaction as eth-account signs it, and the hash that it signs."""
    fields = {
        "type": 4,
        "chainId": made.call.chain_id,
        "nonce": made.call.nonce,
        "maxPriorityFeePerGas": made.call.max_priority_fee_per_gas,
        "maxFeePerGas": made.call.max_fee_per_gas,
        "gas": made.call.gas_limit,
        "to": to_checksum_address(str(made.call.to)),
        "value": made.call.value,
        "data": made.call.data,
        "accessList": [],
        "authorizationList": [
            Account.from_key(DEPOSIT_KEY).sign_authorization(
                {
                    "chainId": each.authorization.chain_id,
                    "address": bytes.fromhex(each.authorization.address[2:]),
                    "nonce": each.authorization.nonce,
                }
            )
            for each in made.authorizations
        ],
    }
    signed = Account.from_key(KEY).sign_transaction(fields)
    return bytes(signed.raw_transaction), bytes(TypedTransaction.from_dict(fields).hash())


def test_an_authorization_is_hashed_and_recovered_as_eth_account_does() -> None:
    for changes in ({}, {"chainId": 84532, "nonce": 9}):
        signed = authorize(**changes)
        assert rules.authority(signed) == DEPOSIT
    altered = dataclasses.replace(
        authorize(), authorization=Authorization(chain_id=0, address=DELEGATE, nonce=1)
    )
    assert rules.authority(altered) != DEPOSIT


def test_a_transaction_is_encoded_as_eth_account_does() -> None:
    made = transaction()
    raw, digest = by_eth_account(made)
    assert rules.signing_hash(made) == digest
    signed = rules.decode_signed(raw)
    assert signed.transaction == made
    assert rules.encode_signed(signed) == raw
    assert rules.recover_sender(signed) == SENDER
    assert rules.decode_unsigned(rules.encode_unsigned(made)) == made
    assert rules.is_set_code(raw)
    assert not rules.is_set_code(b"\x02\xc0")


def test_another_price_changes_nothing_else() -> None:
    before = transaction()
    dearer = rules.repriced(
        rules.encode_unsigned(before), max_fee_per_gas=9, max_priority_fee_per_gas=8
    )
    call = dataclasses.replace(before.call, max_fee_per_gas=9, max_priority_fee_per_gas=8)
    assert rules.decode_unsigned(dearer) == dataclasses.replace(before, call=call)


def test_whose_code_an_address_runs_is_read_from_its_own() -> None:
    designator = rules.DESIGNATOR + bytes.fromhex(DELEGATE[2:])
    assert rules.delegated_to(designator) == DELEGATE
    assert rules.delegated_to(b"") is None
    assert rules.delegated_to(b"\x60" * 23) is None
    assert rules.delegated_to(designator + b"\x00") is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"to": None}, "creates no contract"),
        ({"authorizations": ()}, "at least one authorization"),
        ({"gas_limit": -1}, "gas_limit is out of range"),
        (
            {
                "authorizations": (
                    dataclasses.replace(authorize(), authorization=Authorization(-1, DELEGATE, 0)),
                )
            },
            "chain_id is out of range",
        ),
        (
            {
                "authorizations": (
                    dataclasses.replace(
                        authorize(), authorization=Authorization(0, DELEGATE, evm.NONCE_MAX + 1)
                    ),
                )
            },
            "nonce is out of range",
        ),
        (
            {
                "authorizations": (
                    dataclasses.replace(
                        authorize(), signature=evm.Signature(0, 1, evm.CURVE_ORDER - 1)
                    ),
                )
            },
            "upper half",
        ),
    ],
)
def test_what_no_chain_takes_is_not_encoded(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rules.encode_unsigned(transaction(**changes))


def entry(place: int, value: rlp.Item) -> bytes:
    """Unsigned bytes of which one field of the first authorization is something else."""
    items = rlp.decode(rules.encode_unsigned(transaction())[1:])
    assert isinstance(items, list)
    assert isinstance(items[9], list)
    assert isinstance(items[9][0], list)
    items[9][0][place] = value
    return b"\x04" + rlp.encode(items)


def whole(place: int, value: rlp.Item) -> bytes:
    """Unsigned bytes of which one field is something else."""
    items = rlp.decode(rules.encode_unsigned(transaction())[1:])
    assert isinstance(items, list)
    items[place] = value
    return b"\x04" + rlp.encode(items)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not a type 4"),
        (b"\x02\xc0", "not a type 4"),
        (b"\x04" + bytes(evm.TRANSACTION_BYTES_MAX), "at most"),
        (b"\x04\x80", "10 fields"),
        (b"\x04" + rlp.encode([b""] * 9), "10 fields"),
        (whole(9, b""), "not a list"),
        (whole(9, []), "at least one"),
        (whole(9, [b""]), "6 fields"),
        (whole(9, [[b""] * 5]), "6 fields"),
        (whole(5, b""), "creates no contract"),
        (entry(1, b"\x01"), "20 bytes"),
        (entry(1, []), "20 bytes"),
        (entry(0, b"\x00"), "leading zeros"),
        (entry(3, b"\x02"), "y_parity"),
        (entry(4, b""), "r is out of range"),
    ],
)
def test_malformed_bytes_are_refused(data: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rules.decode_unsigned(data)


XPUB = "xpub" + "6" * 107


def test_a_file_is_read_as_it_was_written() -> None:
    header = rules.FileHeader(xpub=XPUB, delegate=DELEGATE)
    assert rules.read_file_header(rules.file_header(header) + "\n") == header
    signature = authorize().signature
    line = rules.file_line(100_000, signature)
    assert rules.read_file_line(line + "\n") == (100_000, signature)
    assert rules.for_delegate(DELEGATE) == authorize().authorization


@pytest.mark.parametrize(
    "line", ["", "sakk authorizations v2 a b", f"sakk authorizations v1 0x11 {XPUB}"]
)
def test_a_file_of_another_kind_is_refused(line: str) -> None:
    with pytest.raises(ValueError):
        rules.read_file_header(line)


@pytest.mark.parametrize("line", ["", "7", "-1 00", "7 zz", "7 " + "00" * 65, "7 0011"])
def test_a_malformed_line_is_refused(line: str) -> None:
    with pytest.raises(ValueError):
        rules.read_file_line(line)
