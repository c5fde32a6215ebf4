"""EIP-3009's typed data and calldata, against eth-account and eth-abi as second sources."""

from dataclasses import replace
from typing import Any

import pytest
from eth_abi.abi import encode
from eth_account import Account
from eth_account.messages import encode_typed_data
from hypothesis import given
from hypothesis import strategies as st

from sakk.core import abi, evm
from sakk.core.eip3009 import (
    AUTHORIZATION_STATE,
    TRANSFER_BY_BYTES,
    TRANSFER_BY_KEY,
    Authorization,
    decode_call,
    digest,
    domain_separator,
    encode_call,
    encode_state,
)

KEY = "0x" + "46" * 32
PAYER = str(Account.from_key(KEY).address).lower()
TOKEN = "0x036cbd53842c5426634e7929541ec2318f3dcf7e"
CHAIN = 84532
FIELDS = ("address", "address", "uint256", "uint256", "uint256", "bytes32")
AUTHORIZATION = Authorization(
    payer=PAYER,
    to="0x" + "b2" * 20,
    units=1_000,
    valid_after=0,
    valid_before=1_800_000_000,
    nonce=bytes(range(32)),
)


def sign(authorization: Authorization, **domain: Any) -> bytes:
    """As a wallet signs it: by the whole typed data, spelled out."""
    whole: dict[str, Any] = {
        "types": {
            "EIP712Domain": [
                {"name": "name", "type": "string"},
                {"name": "version", "type": "string"},
                {"name": "chainId", "type": "uint256"},
                {"name": "verifyingContract", "type": "address"},
            ],
            "TransferWithAuthorization": [
                {"name": "from", "type": "address"},
                {"name": "to", "type": "address"},
                {"name": "value", "type": "uint256"},
                {"name": "validAfter", "type": "uint256"},
                {"name": "validBefore", "type": "uint256"},
                {"name": "nonce", "type": "bytes32"},
            ],
        },
        "primaryType": "TransferWithAuthorization",
        "domain": {
            "name": "USDC",
            "version": "2",
            "chainId": CHAIN,
            "verifyingContract": TOKEN,
        }
        | domain,
        "message": {
            "from": authorization.payer,
            "to": authorization.to,
            "value": authorization.units,
            "validAfter": authorization.valid_after,
            "validBefore": authorization.valid_before,
            "nonce": authorization.nonce,
        },
    }
    signable = encode_typed_data(full_message=whole)
    return bytes(Account.from_key(KEY).sign_message(signable).signature)


def values(authorization: Authorization) -> list[Any]:
    return [
        authorization.payer,
        authorization.to,
        authorization.units,
        authorization.valid_after,
        authorization.valid_before,
        authorization.nonce,
    ]


def test_a_wallets_signature_is_of_our_digest() -> None:
    ours = digest(AUTHORIZATION, domain_separator("USDC", "2", CHAIN, TOKEN))
    assert evm.digest_signer(ours, sign(AUTHORIZATION)) == PAYER
    for domain in ({"name": "USD Coin"}, {"version": "1"}, {"chainId": 1}):
        assert evm.digest_signer(ours, sign(AUTHORIZATION, **domain)) != PAYER


@given(
    units=st.integers(0, evm.UINT256_MAX),
    times=st.tuples(st.integers(0, evm.UINT256_MAX), st.integers(0, evm.UINT256_MAX)),
    nonce=st.binary(min_size=32, max_size=32),
    signature=st.binary(min_size=65, max_size=65) | st.binary(max_size=200),
)
def test_calldata_is_that_of_the_abi_and_reads_back(
    units: int, times: tuple[int, int], nonce: bytes, signature: bytes
) -> None:
    one = replace(
        AUTHORIZATION, units=units, valid_after=times[0], valid_before=times[1], nonce=nonce
    )
    made = encode_call(one, signature)
    assert decode_call(made) == one
    if len(signature) == 65:
        v = signature[64] if signature[64] >= 27 else signature[64] + 27
        tail = [v, signature[:32], signature[32:64]]
        assert made == TRANSFER_BY_KEY + encode(
            [*FIELDS, "uint256", "bytes32", "bytes32"], values(one) + tail
        )
    else:
        assert made == TRANSFER_BY_BYTES + encode([*FIELDS, "bytes"], [*values(one), signature])


BY_KEY, BY_BYTES = encode_call(AUTHORIZATION, bytes(65)), encode_call(AUTHORIZATION, b"wallet")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        abi.encode_transfer(PAYER, 1),
        BY_KEY[:-1],
        BY_KEY + bytes(32),
        BY_BYTES[:-1],
        BY_BYTES + bytes(32),
        BY_BYTES[:-1] + b"\x01",
        BY_BYTES[: 4 + 6 * 32] + bytes(32) + BY_BYTES[4 + 7 * 32 :],
        BY_KEY[:4] + b"\x01" + BY_KEY[5:],
    ],
)
def test_other_calldata_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError):
        decode_call(data)


def test_the_state_is_asked_for_by_payer_and_nonce() -> None:
    asked = encode(["address", "bytes32"], [PAYER, AUTHORIZATION.nonce])
    assert encode_state(PAYER, AUTHORIZATION.nonce) == AUTHORIZATION_STATE + asked
