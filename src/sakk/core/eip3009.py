"""Transfers with authorization (EIP-3009): what a holder signs, and the call that carries it out.

https://eips.ethereum.org/EIPS/eip-3009, with the typed data of EIP-712. Written out by hand, since
every payment is hashed and recovered here; a test holds it equal to a library's.
"""

from dataclasses import dataclass
from functools import lru_cache

from sakk.core import abi, evm

DOMAIN_TYPE_HASH = evm.keccak256(
    b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
)
TYPE_HASH = evm.keccak256(
    b"TransferWithAuthorization(address from,address to,uint256 value,uint256 validAfter,"
    b"uint256 validBefore,bytes32 nonce)"
)
_HEAD = "transferWithAuthorization(address,address,uint256,uint256,uint256,bytes32"
TRANSFER_BY_KEY = abi.selector(f"{_HEAD},uint8,bytes32,bytes32)")
TRANSFER_BY_BYTES = abi.selector(f"{_HEAD},bytes)")
AUTHORIZATION_STATE = abi.selector("authorizationState(address,bytes32)")

KEY_SIGNATURE_BYTES = 65
NONCE_BYTES = 32
_WORDS = 6


@dataclass(frozen=True, slots=True)
class Authorization:
    """What is signed: addresses in lower-case hex, atomic units, times in unix seconds.

    It is good after ``valid_after`` and before ``valid_before``, by the block's own time.
    """

    payer: str
    to: str
    units: int
    valid_after: int
    valid_before: int
    nonce: bytes

    def words(self) -> bytes:
        """The six fields as words, as they are hashed and as they stand in calldata."""
        return b"".join(
            (
                abi.encode_address(self.payer),
                abi.encode_address(self.to),
                abi.encode_uint(self.units),
                abi.encode_uint(self.valid_after),
                abi.encode_uint(self.valid_before),
                self.nonce,
            )
        )


@lru_cache(maxsize=256)
def domain_separator(name: str, version: str, chain_id: int, contract: str) -> bytes:
    """The EIP-712 domain of a token, which ``DOMAIN_SEPARATOR()`` of the token answers too."""
    return evm.keccak256(
        DOMAIN_TYPE_HASH
        + evm.keccak256(name.encode())
        + evm.keccak256(version.encode())
        + abi.encode_uint(chain_id)
        + abi.encode_address(contract)
    )


def digest(authorization: Authorization, separator: bytes) -> bytes:
    """The 32 bytes that the payer's key signs."""
    content = evm.keccak256(TYPE_HASH + authorization.words())
    return evm.keccak256(b"\x19\x01" + separator + content)


def encode_call(authorization: Authorization, signature: bytes) -> bytes:
    """Calldata for the token: 65 bytes of signature are a key's, any other are a wallet's."""
    if len(signature) == KEY_SIGNATURE_BYTES:
        return TRANSFER_BY_KEY + authorization.words() + _vrs(signature)
    padding = -len(signature) % abi.WORD_BYTES
    return b"".join(
        (
            TRANSFER_BY_BYTES,
            authorization.words(),
            abi.encode_uint((_WORDS + 1) * abi.WORD_BYTES),
            abi.encode_uint(len(signature)),
            signature + bytes(padding),
        )
    )


def decode_call(data: bytes) -> Authorization:
    """Read calldata that is exactly one transfer with authorization; ValueError otherwise."""
    body = data[abi.SELECTOR_BYTES :]
    words = _WORDS * abi.WORD_BYTES
    if data[: abi.SELECTOR_BYTES] == TRANSFER_BY_KEY:
        whole = len(body) == words + 3 * abi.WORD_BYTES
    elif data[: abi.SELECTOR_BYTES] == TRANSFER_BY_BYTES:
        whole = _is_bytes_tail(body[words:])
    else:
        raise ValueError(f"not a transfer with authorization but {abi.describe_call(data)}")
    if not whole:
        raise ValueError(f"a transfer with authorization of {len(data)} bytes is malformed")
    fields = [body[place : place + abi.WORD_BYTES] for place in range(0, words, abi.WORD_BYTES)]
    units, valid_after, valid_before = (int.from_bytes(word, "big") for word in fields[2:5])
    return Authorization(
        payer=abi.decode_address(fields[0]),
        to=abi.decode_address(fields[1]),
        units=units,
        valid_after=valid_after,
        valid_before=valid_before,
        nonce=fields[5],
    )


def _is_bytes_tail(tail: bytes) -> bool:
    """Are these the offset, length and padded content of one last argument, and nothing more?"""
    offset, length = (
        int.from_bytes(tail[place : place + abi.WORD_BYTES], "big") for place in (0, abi.WORD_BYTES)
    )
    content = tail[2 * abi.WORD_BYTES :]
    return (
        offset == (_WORDS + 1) * abi.WORD_BYTES
        and len(content) == length + -length % abi.WORD_BYTES
        and not any(content[length:])
    )


def encode_state(payer: str, nonce: bytes) -> bytes:
    """Calldata of ``authorizationState(payer, nonce)``: was it used, or called off?"""
    return AUTHORIZATION_STATE + abi.encode_address(payer) + nonce


def _vrs(signature: bytes) -> bytes:
    v = signature[64] if signature[64] >= 27 else signature[64] + 27
    return abi.encode_uint(v) + signature[:64]
