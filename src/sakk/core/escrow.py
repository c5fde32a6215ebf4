"""The escrow of x402's scheme ``batch-settlement``: channels, vouchers, and calls of the contract.

A channel is named by the EIP-712 hash of its immutable configuration, so that nothing else about it
need be believed. A voucher is a signed cumulative amount; what was charged is always at most the
highest that was signed. Followed here: x402's specification of the scheme on EVM and the public ABI
of the contract (PyPI ``x402`` 2.25.0, ``mechanisms/evm/batch_settlement``).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from sakk.core import abi, evm

# The public contract and its collectors of deposits: the same on every chain.
ESCROW = "0x4020074e9df2ce1dee5a9c1b5c3f541d02a10003"
COLLECTOR = "0x4020806089470a89826cb9fb1f4059150b550004"
PERMIT2_COLLECTOR = "0x4020425faf3b746c082c2f942b4e5159887b0005"
# Seconds that a payer's own way out takes: bounds of the contract.
WITHDRAW_DELAY_MIN = 900
WITHDRAW_DELAY_MAX = 2_592_000
AMOUNT_MAX = (1 << 128) - 1
SIGNATURE_BYTES = 65
# How many channels one transaction claims: each takes about 18,000 gas, a block holds 2 ** 24.
CLAIMS_MAX = 200

_WORD = abi.WORD_BYTES
_BYTES32 = re.compile(r"0x[0-9a-fA-F]{64}")
_DOMAIN_TYPE = evm.keccak256(
    b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
)
_NAME, _VERSION = evm.keccak256(b"x402 Batch Settlement"), evm.keccak256(b"1")
_CHANNEL_TYPE = evm.keccak256(
    b"ChannelConfig(address payer,address payerAuthorizer,address receiver,"
    b"address receiverAuthorizer,address token,uint40 withdrawDelay,bytes32 salt)"
)
VOUCHER_TYPE = evm.keccak256(b"Voucher(bytes32 channelId,uint128 maxClaimableAmount)")
_CONFIG = "(address,address,address,address,address,uint40,bytes32)"
_CLAIM = f"(({_CONFIG},uint128),bytes,uint128)"

DEPOSIT = abi.selector(f"deposit({_CONFIG},uint128,address,bytes)")
CLAIM = abi.selector(f"claim({_CLAIM}[])")
CLAIM_WITH_SIGNATURE = abi.selector(f"claimWithSignature({_CLAIM}[],bytes)")
SETTLE = abi.selector("settle(address,address)")
REFUND = abi.selector(f"refund({_CONFIG},uint128)")
REFUND_WITH_SIGNATURE = abi.selector(f"refundWithSignature({_CONFIG},uint128,uint256,bytes)")
MULTICALL = abi.selector("multicall(bytes[])")
CHANNELS = abi.selector("channels(bytes32)")
PENDING_WITHDRAWALS = abi.selector("pendingWithdrawals(bytes32)")
REFUND_NONCE = abi.selector("refundNonce(bytes32)")
RECEIVERS = abi.selector("receivers(address,address)")
SETTLED_TOPIC = "0x" + evm.keccak256(b"Settled(address,address,address,uint128)").hex()

_NAMES = {
    DEPOSIT: "deposit",
    CLAIM: "claim",
    CLAIM_WITH_SIGNATURE: "claimWithSignature",
    SETTLE: "settle",
    REFUND: "refund",
    REFUND_WITH_SIGNATURE: "refundWithSignature",
}
# More calls than this are never put together.
_CALLS_MAX = 4


@dataclass(frozen=True, slots=True)
class ChannelConfig:
    """Who pays whom, in what, and how long a payer's own way out takes. Addresses lower-case hex.

    ``payer_authorizer`` signs the vouchers; ``receiver_authorizer`` claims and gives back.
    ``withdraw_delay`` in seconds. ``salt``: 32 bytes of the payer's choice.
    """

    payer: str
    payer_authorizer: str
    receiver: str
    receiver_authorizer: str
    token: str
    withdraw_delay: int
    salt: bytes

    @property
    def words(self) -> bytes:
        """The configuration as the ABI encodes it: seven words."""
        addresses = (
            self.payer,
            self.payer_authorizer,
            self.receiver,
            self.receiver_authorizer,
            self.token,
        )
        return (
            b"".join(_address_word(each) for each in addresses)
            + abi.encode_uint(self.withdraw_delay)
            + self.salt
        )

    @property
    def voucher_signer(self) -> str:
        """Whose signature a voucher carries: the payer's own where no other key is named."""
        zero = self.payer_authorizer == evm.ZERO_ADDRESS
        return self.payer if zero else self.payer_authorizer


@dataclass(frozen=True, slots=True)
class Claim:
    """One channel of a redemption: claim up to ``total_claimed``, by the payer's voucher."""

    config: ChannelConfig
    max_claimable: int
    signature: bytes
    total_claimed: int


@dataclass(frozen=True, slots=True)
class Authorization:
    """An ERC-3009 authorization for a deposit; ``salt`` makes the nonce together with the channel.

    Times in seconds since 1970. ``signature``: of any length, a contract may be the payer.
    """

    valid_after: int
    valid_before: int
    salt: int
    signature: bytes

    def name_for(self, channel: bytes) -> str:
        """What it can be taken once by."""
        return deposit_nonce(channel, self.salt).hex()

    @property
    def collecting(self) -> tuple[str, bytes]:
        """The contract that brings the coins, and what it is told."""
        numbers = (self.valid_after, self.valid_before, self.salt)
        words = b"".join(abi.encode_uint(each) for each in numbers)
        return COLLECTOR, words + abi.encode_uint(4 * _WORD) + _bytes(self.signature)


@dataclass(frozen=True, slots=True)
class PermitAuthorization:
    """A deposit by Permit2, whose witness is the channel; ``deadline`` in seconds since 1970."""

    nonce: int
    deadline: int
    signature: bytes

    def name_for(self, channel: bytes) -> str:
        """What it can be taken once by: Permit2 counts the nonces of all channels and tokens."""
        return f"permit2:{self.nonce:x}"

    @property
    def collecting(self) -> tuple[str, bytes]:
        """The contract that brings the coins, and what it is told: no ERC-2612 permit beside it."""
        signature = _bytes(self.signature)
        places = (4 * _WORD, 4 * _WORD + len(signature))
        numbers = (self.nonce, self.deadline, *places)
        words = b"".join(abi.encode_uint(each) for each in numbers)
        return PERMIT2_COLLECTOR, words + signature + _bytes(b"")


AnyAuthorization = Authorization | PermitAuthorization


@dataclass(frozen=True, slots=True)
class ChannelState:
    """What the contract says of a channel: atomic units, and seconds since 1970 (0: none)."""

    balance: int
    total_claimed: int
    withdraw_units: int
    withdraw_begun: int
    refund_nonce: int


@lru_cache(maxsize=256)
def domain_separator(chain_id: int) -> bytes:
    """The EIP-712 domain of the escrow on a chain."""
    return evm.keccak256(
        _DOMAIN_TYPE + _NAME + _VERSION + abi.encode_uint(chain_id) + abi.encode_address(ESCROW)
    )


def channel_id(config: ChannelConfig, chain_id: int) -> bytes:
    """The name of a channel, 32 bytes: the EIP-712 hash of its configuration on a chain."""
    return _digest(chain_id, _CHANNEL_TYPE + config.words)


def voucher_digest(channel: bytes, max_claimable: int, chain_id: int) -> bytes:
    """The 32 bytes that a payer signs to let a channel's total rise to ``max_claimable``."""
    return _digest(chain_id, VOUCHER_TYPE + channel + max_claimable.to_bytes(_WORD, "big"))


def is_signed(
    channel: bytes, max_claimable: int, signature: bytes, *, chain_id: int, signer: str
) -> bool:
    """Did ``signer`` sign this voucher, in the form that the contract takes?

    The contract takes 65 bytes with v of 27 or 28 and s in its lower half: another form of the same
    signature could never be claimed.
    """
    if len(signature) != SIGNATURE_BYTES or signature[64] not in (27, 28):
        return False
    compact = signature[:64] + bytes([signature[64] - 27])
    try:
        found = evm.parse_signature(compact)
        return evm.recover(voucher_digest(channel, max_claimable, chain_id), found) == signer
    except ValueError:
        return False


def deposit_nonce(channel: bytes, salt: int) -> bytes:
    """The ERC-3009 nonce of a deposit: it binds the authorization to the one channel."""
    return evm.keccak256(channel + abi.encode_uint(salt))


def encode_deposit(config: ChannelConfig, units: int, authorization: AnyAuthorization) -> bytes:
    """Calldata of ``deposit``, by the collector of what the payer signed."""
    collector, told = authorization.collecting
    head = config.words + abi.encode_uint(units) + abi.encode_address(collector)
    return DEPOSIT + head + abi.encode_uint(len(head) + _WORD) + _bytes(told)


def encode_claim(claims: Sequence[Claim]) -> bytes:
    """Calldata of ``claim``, for the receiver or its authorizer itself."""
    return CLAIM + abi.encode_uint(_WORD) + _array([_claim(each) for each in claims])


def encode_claim_signed(claims: Sequence[Claim], signature: bytes) -> bytes:
    """Calldata of ``claimWithSignature``, for anybody who holds the authorizer's signature."""
    array = _array([_claim(each) for each in claims])
    head = abi.encode_uint(2 * _WORD) + abi.encode_uint(2 * _WORD + len(array))
    return CLAIM_WITH_SIGNATURE + head + array + _bytes(signature)


def encode_settle(receiver: str, token: str) -> bytes:
    """Calldata of ``settle``: pay a receiver all that was claimed for it."""
    return SETTLE + abi.encode_address(receiver) + abi.encode_address(token)


def encode_refund(config: ChannelConfig, units: int) -> bytes:
    """Calldata of ``refund``, for the receiver or its authorizer itself."""
    return REFUND + config.words + abi.encode_uint(units)


def encode_refund_signed(config: ChannelConfig, units: int, nonce: int, signature: bytes) -> bytes:
    """Calldata of ``refundWithSignature``, for anybody who holds the authorizer's signature."""
    head = config.words + abi.encode_uint(units) + abi.encode_uint(nonce)
    return REFUND_WITH_SIGNATURE + head + abi.encode_uint(len(head) + _WORD) + _bytes(signature)


def encode_multicall(calls: Sequence[bytes]) -> bytes:
    """Calldata of ``multicall``: several calls of the escrow, all or none, each as the caller's."""
    return MULTICALL + abi.encode_uint(_WORD) + _array([_bytes(each) for each in calls])


def decode_results(answer: bytes) -> list[bytes]:
    """What each call of a ``multicall`` returned; ValueError for what is no ``bytes[]``."""
    place = _uint(answer, 0)
    count = _uint(answer, place)
    first = place + _WORD
    found = []
    for index in range(count):
        start = first + _uint(answer, first + index * _WORD)
        length = _uint(answer, start)
        result = answer[start + _WORD : start + _WORD + length]
        if len(result) != length:
            raise ValueError("an answer that ends before its last result")
        found.append(result)
    return found


def _uint(data: bytes, place: int) -> int:
    word = data[place : place + _WORD]
    if len(word) != _WORD:
        raise ValueError(f"an answer of {len(data)} bytes: is this the escrow's contract?")
    return int.from_bytes(word, "big")


def decode_calls(data: bytes) -> list[tuple[str, bytes]]:
    """The calls that calldata for the escrow makes, each by name with its arguments.

    ValueError for anything else than calls that deposit, claim, pay or give back: alone, or
    together in one ``multicall`` that is encoded as ``encode_multicall`` does it.
    """
    selector, arguments = data[: abi.SELECTOR_BYTES], data[abi.SELECTOR_BYTES :]
    if selector != MULTICALL:
        if selector not in _NAMES:
            raise ValueError(f"not a call of the escrow but {abi.describe_call(data)}")
        return [(_NAMES[selector], arguments)]
    count = int.from_bytes(arguments[_WORD : 2 * _WORD], "big")
    if not 0 < count <= _CALLS_MAX:
        raise ValueError(f"a multicall of {count} calls")
    inner = []
    for index in range(count):
        place = 2 * _WORD + int.from_bytes(arguments[(2 + index) * _WORD :][:_WORD], "big")
        length = int.from_bytes(arguments[place : place + _WORD], "big")
        inner.append(arguments[place + _WORD :][:length])
    if encode_multicall(inner) != data:
        raise ValueError("a multicall that is encoded otherwise than here")
    if any(each[: abi.SELECTOR_BYTES] == MULTICALL for each in inner):
        raise ValueError("a multicall within another")
    return [decode_calls(each)[0] for each in inner]


def paid_by(data: bytes) -> tuple[str, str]:
    """Receiver and token of a redemption's calldata: claims, and one payment of what they gave.

    ValueError unless that is what it is.
    """
    calls = decode_calls(data)
    names = [name for name, _ in calls]
    settled = calls[-1][1]
    if names not in (["claim", "settle"], ["claimWithSignature", "settle"]):
        raise ValueError(f"a redemption claims and pays, this calls {', '.join(names)}")
    if len(settled) != 2 * _WORD:
        raise ValueError(f"settle of {len(settled)} bytes")
    return abi.decode_address(settled[:_WORD]), abi.decode_address(settled[_WORD:])


def encode_channel_query(function: bytes, channel: bytes) -> bytes:
    """Calldata of a view by channel: ``CHANNELS``, ``PENDING_WITHDRAWALS`` or ``REFUND_NONCE``."""
    return function + channel


def encode_receiver_query(receiver: str, token: str) -> bytes:
    """Calldata of ``receivers``: what was claimed for a receiver, and what it was paid."""
    return RECEIVERS + abi.encode_address(receiver) + abi.encode_address(token)


def decode_state(channels: bytes, withdrawals: bytes, nonce: bytes) -> ChannelState:
    """Read the answers to the three views by channel; ValueError for an answer of another length.

    An address without code answers nothing at all.
    """
    balance, total_claimed = decode_pair(channels)
    withdraw_units, withdraw_begun = decode_pair(withdrawals)
    if len(nonce) != _WORD:
        raise ValueError(f"an answer of {len(nonce)} bytes: is this the escrow's contract?")
    return ChannelState(
        balance=balance,
        total_claimed=total_claimed,
        withdraw_units=withdraw_units,
        withdraw_begun=withdraw_begun,
        refund_nonce=int.from_bytes(nonce, "big"),
    )


def decode_pair(answer: bytes) -> tuple[int, int]:
    """Two unsigned integers; ValueError for an answer of another length."""
    if len(answer) != 2 * _WORD:
        raise ValueError(f"an answer of {len(answer)} bytes: is this the escrow's contract?")
    return int.from_bytes(answer[:_WORD], "big"), int.from_bytes(answer[_WORD:], "big")


def parse_bytes32(text: str) -> bytes:
    """32 bytes of 0x-hex; ValueError for anything else."""
    if _BYTES32.fullmatch(text) is None:
        raise ValueError("not 32 bytes (0x and 64 hexadecimal digits)")
    return bytes.fromhex(text[2:])


def _digest(chain_id: int, struct: bytes) -> bytes:
    return evm.keccak256(b"\x19\x01" + domain_separator(chain_id) + evm.keccak256(struct))


def _address_word(address: str) -> bytes:
    """An address as a word; the zero address stands for none."""
    return bytes.fromhex(address[2:]).rjust(_WORD, b"\x00")


def _bytes(data: bytes) -> bytes:
    """Dynamic bytes: their length, and themselves to the next whole word."""
    return abi.encode_uint(len(data)) + data + bytes(-len(data) % _WORD)


def _array(items: Sequence[bytes]) -> bytes:
    """An array of dynamic items: its length, where each begins, and the items."""
    offsets, place = [], len(items) * _WORD
    for each in items:
        offsets.append(abi.encode_uint(place))
        place += len(each)
    return abi.encode_uint(len(items)) + b"".join(offsets) + b"".join(items)


def _claim(claim: Claim) -> bytes:
    """One ``VoucherClaim``: the voucher in place, the signature behind."""
    head = claim.config.words + abi.encode_uint(claim.max_claimable)
    signature_at = abi.encode_uint(len(head) + 2 * _WORD)
    return head + signature_at + abi.encode_uint(claim.total_claimed) + _bytes(claim.signature)
