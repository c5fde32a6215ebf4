"""Names, digests and calldata of the escrow. The vectors of the digests were made by the public
contract's own code (getChannelId, getVoucherDigest) and by `cast wallet sign`."""

from dataclasses import replace

import pytest
from eth_abi.abi import encode

from sakk.core import evm
from sakk.core.escrow import (
    AMOUNT_MAX,
    CHANNELS,
    CLAIM,
    CLAIM_WITH_SIGNATURE,
    COLLECTOR,
    DEPOSIT,
    MULTICALL,
    PENDING_WITHDRAWALS,
    PERMIT2_COLLECTOR,
    RECEIVERS,
    REFUND,
    REFUND_NONCE,
    REFUND_WITH_SIGNATURE,
    SETTLE,
    Authorization,
    ChannelConfig,
    ChannelState,
    Claim,
    PermitAuthorization,
    channel_id,
    decode_calls,
    decode_pair,
    decode_results,
    decode_state,
    deposit_nonce,
    encode_channel_query,
    encode_claim,
    encode_claim_signed,
    encode_deposit,
    encode_multicall,
    encode_receiver_query,
    encode_refund,
    encode_refund_signed,
    encode_settle,
    is_signed,
    paid_by,
    parse_bytes32,
    voucher_digest,
)

CHAIN = 84_532
SIGNER = "0x70997970c51812dc3a010c7d01b50e0d17dc79c8"
CONFIG = ChannelConfig(
    payer="0x" + "11" * 20,
    payer_authorizer=SIGNER,
    receiver="0x" + "33" * 20,
    receiver_authorizer="0x" + "44" * 20,
    token="0x" + "55" * 20,
    withdraw_delay=86_400,
    salt=b"\x66" * 32,
)
CHANNEL = bytes.fromhex("88d37e9be679d5e46c7c1d073e6f41b5ec07cc5099319a49b80ba460f0d8055d")
SIGNATURE = bytes.fromhex(
    "6be416a12f0d5af512c04435315cc4235e915536d73175e05b08b597c160f0ac"
    "463b79066298bea17a15716eedbf07231ffbc514295c9057d8c195bebc856624"
    "1b"
)
CONFIG_ABI = "(address,address,address,address,address,uint40,bytes32)"
CLAIM_ABI = f"(({CONFIG_ABI},uint128),bytes,uint128)"
CLAIMS = [
    Claim(CONFIG, max_claimable=5_000, signature=SIGNATURE, total_claimed=4_000),
    Claim(replace(CONFIG, salt=bytes(32)), max_claimable=7, signature=b"", total_claimed=7),
]


def as_tuple(config: ChannelConfig) -> tuple[object, ...]:
    return (
        config.payer,
        config.payer_authorizer,
        config.receiver,
        config.receiver_authorizer,
        config.token,
        config.withdraw_delay,
        config.salt,
    )


def claim_tuples() -> list[tuple[object, ...]]:
    return [
        ((as_tuple(each.config), each.max_claimable), each.signature, each.total_claimed)
        for each in CLAIMS
    ]


def test_a_channel_is_named_by_its_configuration() -> None:
    assert channel_id(CONFIG, CHAIN) == CHANNEL
    unnamed = replace(CONFIG, payer_authorizer=evm.ZERO_ADDRESS)
    assert channel_id(unnamed, CHAIN).hex() == (
        "d90283498ac1b4b04c73bf57672c0d51d7f125f0d65c6f5b8e3e0800035867b4"
    )
    assert channel_id(CONFIG, 8_453) != CHANNEL


def test_vouchers_are_the_payers_own_key_s_or_its_authorizer_s() -> None:
    assert CONFIG.voucher_signer == SIGNER
    assert replace(CONFIG, payer_authorizer=evm.ZERO_ADDRESS).voucher_signer == CONFIG.payer


@pytest.mark.parametrize(
    ("amount", "digest"),
    [
        (5_000, "0485b41befd093f42efa53a626e86749b97998f0243e2c7f74b179851d880a8a"),
        (AMOUNT_MAX, "3fd853e98fcb965aa64d4c55527447057c5e44f673e2c1fb17d10211d8eb569e"),
    ],
)
def test_a_voucher_is_signed_over_its_channel_and_total(amount: int, digest: str) -> None:
    assert voucher_digest(CHANNEL, amount, CHAIN).hex() == digest


def test_a_voucher_verifies() -> None:
    assert is_signed(CHANNEL, 5_000, SIGNATURE, chain_id=CHAIN, signer=SIGNER)


def malleated() -> bytes:
    high = evm.CURVE_ORDER - int.from_bytes(SIGNATURE[32:64], "big")
    return SIGNATURE[:32] + high.to_bytes(32, "big") + bytes([28])


@pytest.mark.parametrize(
    ("channel", "amount", "signature", "chain", "signer"),
    [
        (b"\xab" * 32, 5_000, SIGNATURE, CHAIN, SIGNER),
        (CHANNEL, 5_001, SIGNATURE, CHAIN, SIGNER),
        (CHANNEL, 5_000, SIGNATURE, 8_453, SIGNER),
        (CHANNEL, 5_000, SIGNATURE, CHAIN, CONFIG.payer),
        # What the contract would refuse, though the key is the right one.
        (CHANNEL, 5_000, SIGNATURE[:64] + b"\x00", CHAIN, SIGNER),
        (CHANNEL, 5_000, malleated(), CHAIN, SIGNER),
        (CHANNEL, 5_000, SIGNATURE[:64], CHAIN, SIGNER),
        # A point that is not on the curve.
        (CHANNEL, 5_000, (5).to_bytes(32, "big") + SIGNATURE[32:], CHAIN, SIGNER),
    ],
)
def test_another_voucher_does_not(
    channel: bytes, amount: int, signature: bytes, chain: int, signer: str
) -> None:
    assert not is_signed(channel, amount, signature, chain_id=chain, signer=signer)


def test_a_deposit_by_permit2_is_what_eth_abi_makes() -> None:
    permit = PermitAuthorization(nonce=7, deadline=8, signature=SIGNATURE)
    told = encode(["uint256", "uint256", "bytes", "bytes"], [7, 8, SIGNATURE, b""])
    assert encode_deposit(CONFIG, 9, permit) == DEPOSIT + encode(
        [CONFIG_ABI, "uint128", "address", "bytes"], [as_tuple(CONFIG), 9, PERMIT2_COLLECTOR, told]
    )
    # Permit2 counts nonces of its own, beside those of tokens.
    assert permit.name_for(bytes(32)) == "permit2:7"
    assert (
        Authorization(1, 2, 7, SIGNATURE).name_for(bytes(32)) == deposit_nonce(bytes(32), 7).hex()
    )


def test_calldata_is_what_eth_abi_makes() -> None:
    claims = claim_tuples()
    authorization = Authorization(1, 2, 3, SIGNATURE)
    collector_data = encode(["uint256", "uint256", "uint256", "bytes"], [1, 2, 3, SIGNATURE])
    config = as_tuple(CONFIG)
    assert encode_deposit(CONFIG, 9, authorization) == DEPOSIT + encode(
        [CONFIG_ABI, "uint128", "address", "bytes"], [config, 9, COLLECTOR, collector_data]
    )
    assert encode_claim(CLAIMS) == CLAIM + encode([f"{CLAIM_ABI}[]"], [claims])
    assert encode_claim_signed(CLAIMS, SIGNATURE) == CLAIM_WITH_SIGNATURE + encode(
        [f"{CLAIM_ABI}[]", "bytes"], [claims, SIGNATURE]
    )
    assert encode_settle(CONFIG.receiver, CONFIG.token) == SETTLE + encode(
        ["address", "address"], [CONFIG.receiver, CONFIG.token]
    )
    assert encode_refund(CONFIG, 5) == REFUND + encode([CONFIG_ABI, "uint128"], [config, 5])
    assert encode_refund_signed(CONFIG, 5, 6, SIGNATURE) == REFUND_WITH_SIGNATURE + encode(
        [CONFIG_ABI, "uint128", "uint256", "bytes"], [config, 5, 6, SIGNATURE]
    )
    calls = [encode_claim(CLAIMS), encode_settle(CONFIG.receiver, CONFIG.token), b""]
    assert encode_multicall(calls) == MULTICALL + encode(["bytes[]"], [calls])
    for query in (CHANNELS, PENDING_WITHDRAWALS, REFUND_NONCE):
        assert encode_channel_query(query, CHANNEL) == query + CHANNEL
    assert encode_receiver_query(CONFIG.receiver, CONFIG.token) == RECEIVERS + encode(
        ["address", "address"], [CONFIG.receiver, CONFIG.token]
    )


def test_a_deposit_s_nonce_binds_it_to_the_channel() -> None:
    assert deposit_nonce(CHANNEL, 7) == evm.keccak256(encode(["bytes32", "uint256"], [CHANNEL, 7]))


def test_what_the_contract_says_of_a_channel() -> None:
    pair, withdrawal = encode(["uint128", "uint128"], [9, 4]), encode(["uint128"] * 2, [3, 77])
    nonce = encode(["uint256"], [2])
    assert decode_state(pair, withdrawal, nonce) == ChannelState(9, 4, 3, 77, 2)
    with pytest.raises(ValueError, match="is this the escrow's contract"):
        decode_state(pair, withdrawal, b"")
    with pytest.raises(ValueError, match="is this the escrow's contract"):
        decode_pair(b"")


def test_a_channel_s_name_on_the_wire() -> None:
    assert parse_bytes32("0x" + CHANNEL.hex()) == CHANNEL
    for text in ("", CHANNEL.hex(), "0x" + "g" * 64, "0x" + "0" * 63):
        with pytest.raises(ValueError, match="64 hexadecimal digits"):
            parse_bytes32(text)


CLAIMED = encode_claim(CLAIMS)
SETTLED = encode_settle(CONFIG.receiver, CONFIG.token)


def test_calls_are_read_as_they_were_made() -> None:
    assert decode_calls(SETTLED) == [("settle", SETTLED[4:])]
    both = encode_multicall([CLAIMED, SETTLED])
    assert decode_calls(both) == [("claim", CLAIMED[4:]), ("settle", SETTLED[4:])]
    assert paid_by(both) == (CONFIG.receiver, CONFIG.token)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "a plain transfer"),
        (encode_refund(CONFIG, 1)[1:], "an unknown call"),
        (encode_multicall([]), "a multicall of 0 calls"),
        (encode_multicall([SETTLED] * 5), "a multicall of 5 calls"),
        (encode_multicall([SETTLED])[:-1], "encoded otherwise"),
        (encode_multicall([SETTLED]) + bytes(32), "encoded otherwise"),
        (encode_multicall([encode_multicall([SETTLED])]), "within another"),
        (encode_multicall([b"\x01\x02\x03\x04"]), "an unknown call"),
    ],
)
def test_other_calldata_is_no_call_of_the_escrow(data: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        decode_calls(data)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (CLAIMED, "this calls claim"),
        (encode_multicall([CLAIMED, CLAIMED, SETTLED]), "claim, claim, settle"),
        (encode_multicall([CLAIMED, SETTLED + b"\x00"]), "settle of 65 bytes"),
    ],
)
def test_a_redemption_claims_and_pays(data: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        paid_by(data)


def _packed(*results: bytes) -> bytes:
    """``bytes[]`` as a contract returns it (Solidity's ABI, "Use of Dynamic Types")."""
    return encode(["bytes[]"], [list(results)])


@pytest.mark.parametrize("results", [(), (b"",), (b"a" * 64, b"b" * 32, b"c" * 64)])
def test_what_many_questions_are_answered(results: tuple[bytes, ...]) -> None:
    assert decode_results(_packed(*results)) == list(results)


@pytest.mark.parametrize(
    "answer",
    [b"", _packed(b"a" * 64)[:-32], (1 << 255).to_bytes(32, "big"), _packed(b"a")[:-64]],
)
def test_what_answers_nothing_is_not_the_contract(answer: bytes) -> None:
    with pytest.raises(ValueError, match="an answer"):
        decode_results(answer)
