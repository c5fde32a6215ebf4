"""Permit2's typed data and the proxy's calldata, against eth-account and eth-abi."""

from typing import Any

import pytest
from eth_abi.abi import encode
from eth_account import Account
from eth_account.messages import encode_typed_data

from sakk.core import evm
from sakk.core.permit2 import (
    EXACT_PROXY,
    NONCE_BITMAP,
    PERMIT2,
    SETTLE,
    Permit,
    decode_call,
    digest,
    encode_bitmap,
    encode_call,
    is_used,
)

KEY = "0x" + "46" * 32
PAYER = str(Account.from_key(KEY).address).lower()
PERMIT = Permit(
    payer=PAYER,
    token="0x036cbd53842c5426634e7929541ec2318f3dcf7e",
    units=1_000,
    nonce=(7 << 8) + 3,
    deadline=1_800_000_000,
    to="0x" + "b2" * 20,
    valid_after=5,
)


def sign(permit: Permit) -> bytes:
    """As a wallet signs it: by the whole typed data, spelled out."""
    whole: dict[str, Any] = {
        "types": {
            "EIP712Domain": [
                {"name": "name", "type": "string"},
                {"name": "chainId", "type": "uint256"},
                {"name": "verifyingContract", "type": "address"},
            ],
            "PermitWitnessTransferFrom": [
                {"name": "permitted", "type": "TokenPermissions"},
                {"name": "spender", "type": "address"},
                {"name": "nonce", "type": "uint256"},
                {"name": "deadline", "type": "uint256"},
                {"name": "witness", "type": "Witness"},
            ],
            "TokenPermissions": [
                {"name": "token", "type": "address"},
                {"name": "amount", "type": "uint256"},
            ],
            "Witness": [
                {"name": "to", "type": "address"},
                {"name": "validAfter", "type": "uint256"},
            ],
        },
        "primaryType": "PermitWitnessTransferFrom",
        "domain": {"name": "Permit2", "chainId": 84532, "verifyingContract": PERMIT2},
        "message": {
            "permitted": {"token": permit.token, "amount": permit.units},
            "spender": EXACT_PROXY,
            "nonce": permit.nonce,
            "deadline": permit.deadline,
            "witness": {"to": permit.to, "validAfter": permit.valid_after},
        },
    }
    signable = encode_typed_data(full_message=whole)
    return bytes(Account.from_key(KEY).sign_message(signable).signature)


def test_a_wallets_signature_is_of_our_digest() -> None:
    assert evm.digest_signer(digest(PERMIT, 84532), sign(PERMIT)) == PAYER
    assert evm.digest_signer(digest(PERMIT, 1), sign(PERMIT)) != PAYER


@pytest.mark.parametrize("signature", [b"", bytes(65), b"\x01" * 64])
def test_calldata_is_that_of_the_abi_and_reads_back(signature: bytes) -> None:
    made = encode_call(PERMIT, signature)
    kinds = [
        "((address,uint256),uint256,uint256)",
        "address",
        "(address,uint256)",
        "bytes",
    ]
    permit = ((PERMIT.token, PERMIT.units), PERMIT.nonce, PERMIT.deadline)
    witness = (PERMIT.to, PERMIT.valid_after)
    assert made == SETTLE + encode(kinds, [permit, PAYER, witness, signature])
    assert decode_call(made) == PERMIT


MADE = encode_call(PERMIT, bytes(65))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        MADE[:-1],
        MADE[:40],
        MADE + bytes(32),
        MADE[:-1] + b"\x01",
        MADE[: 4 + 7 * 32] + bytes(32) + MADE[4 + 8 * 32 :],
        MADE[:4] + b"\x01" + MADE[5:],
    ],
)
def test_other_calldata_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError):
        decode_call(data)


def test_a_nonce_is_a_bit_of_a_word() -> None:
    assert encode_bitmap(PAYER, PERMIT.nonce) == NONCE_BITMAP + encode(
        ["address", "uint256"], [PAYER, 7]
    )
    assert [is_used(bitmap, PERMIT.nonce) for bitmap in (0, 8, ~8 & evm.UINT256_MAX)] == [
        False,
        True,
        False,
    ]
