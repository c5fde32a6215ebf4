"""Permit2 as x402 uses it: what a payer signs, and the call of the x402 proxy that carries it out.

``PermitWitnessTransferFrom`` of Uniswap's Permit2, with the witness of x402's ``exact`` scheme: the
proxy may be called by anyone, and sends to the address that the payer signed and nowhere else.
"""

from dataclasses import dataclass
from functools import lru_cache

from sakk.core import abi, evm

# The same on every chain (CREATE2); where neither stands, nothing is paid this way.
PERMIT2 = "0x000000000022d473030f116ddee9f6b43ac78ba3"
EXACT_PROXY = "0x402085c248eea27d92e8b30b2c58ed07f9e20001"

DOMAIN_TYPE_HASH = evm.keccak256(
    b"EIP712Domain(string name,uint256 chainId,address verifyingContract)"
)
_TOKENS = b"TokenPermissions(address token,uint256 amount)"
_WITNESS = b"Witness(address to,uint256 validAfter)"
TYPE_HASH = evm.keccak256(
    b"PermitWitnessTransferFrom(TokenPermissions permitted,address spender,uint256 nonce,"
    b"uint256 deadline,Witness witness)" + _TOKENS + _WITNESS
)
TOKENS_TYPE_HASH = evm.keccak256(_TOKENS)
WITNESS_TYPE_HASH = evm.keccak256(_WITNESS)
SETTLE = abi.selector("settle(((address,uint256),uint256,uint256),address,(address,uint256),bytes)")
NONCE_BITMAP = abi.selector("nonceBitmap(address,uint256)")
# Four words of permit, the owner, two of witness, and where the signature begins.
_WORDS = 8


@dataclass(frozen=True, slots=True)
class Permit:
    """What is signed: addresses in lower-case hex, atomic units, times in unix seconds."""

    payer: str
    token: str
    units: int
    nonce: int
    deadline: int
    to: str
    valid_after: int


@lru_cache(maxsize=256)
def domain_separator(chain_id: int) -> bytes:
    """Permit2's EIP-712 domain, which has no version."""
    return evm.keccak256(
        DOMAIN_TYPE_HASH
        + evm.keccak256(b"Permit2")
        + abi.encode_uint(chain_id)
        + abi.encode_address(PERMIT2)
    )


def digest(permit: Permit, chain_id: int) -> bytes:
    """The 32 bytes that the payer's key signs, for the x402 proxy as the spender."""
    permitted = evm.keccak256(
        TOKENS_TYPE_HASH + abi.encode_address(permit.token) + abi.encode_uint(permit.units)
    )
    witness = evm.keccak256(
        WITNESS_TYPE_HASH + abi.encode_address(permit.to) + abi.encode_uint(permit.valid_after)
    )
    content = evm.keccak256(
        TYPE_HASH
        + permitted
        + abi.encode_address(EXACT_PROXY)
        + abi.encode_uint(permit.nonce)
        + abi.encode_uint(permit.deadline)
        + witness
    )
    return evm.keccak256(b"\x19\x01" + domain_separator(chain_id) + content)


def encode_call(permit: Permit, signature: bytes) -> bytes:
    """Calldata of the proxy's ``settle``."""
    padding = -len(signature) % abi.WORD_BYTES
    return b"".join(
        (
            SETTLE,
            abi.encode_address(permit.token),
            abi.encode_uint(permit.units),
            abi.encode_uint(permit.nonce),
            abi.encode_uint(permit.deadline),
            abi.encode_address(permit.payer),
            abi.encode_address(permit.to),
            abi.encode_uint(permit.valid_after),
            abi.encode_uint(_WORDS * abi.WORD_BYTES),
            abi.encode_uint(len(signature)),
            signature + bytes(padding),
        )
    )


def decode_call(data: bytes) -> Permit:
    """Read calldata that is exactly one ``settle`` of the proxy; ValueError otherwise."""
    if data[: abi.SELECTOR_BYTES] != SETTLE:
        raise ValueError(f"not a settlement by Permit2 but {abi.describe_call(data)}")
    body = data[abi.SELECTOR_BYTES :]
    words = [
        body[place : place + abi.WORD_BYTES]
        for place in range(0, (_WORDS + 1) * abi.WORD_BYTES, abi.WORD_BYTES)
    ]
    token, units, nonce, deadline, payer, to, valid_after, offset, length = words
    size = int.from_bytes(length, "big")
    content = body[(_WORDS + 1) * abi.WORD_BYTES :]
    if (
        int.from_bytes(offset, "big") != _WORDS * abi.WORD_BYTES
        or len(content) != size + -size % abi.WORD_BYTES
        or any(content[size:])
    ):
        raise ValueError(f"a settlement by Permit2 of {len(data)} bytes is malformed")
    return Permit(
        payer=abi.decode_address(payer),
        token=abi.decode_address(token),
        units=int.from_bytes(units, "big"),
        nonce=int.from_bytes(nonce, "big"),
        deadline=int.from_bytes(deadline, "big"),
        to=abi.decode_address(to),
        valid_after=int.from_bytes(valid_after, "big"),
    )


def encode_bitmap(payer: str, nonce: int) -> bytes:
    """Calldata of ``nonceBitmap``: the word that holds whether a nonce was used."""
    return NONCE_BITMAP + abi.encode_address(payer) + abi.encode_uint(nonce >> 8)


def is_used(bitmap: int, nonce: int) -> bool:
    """Does the word of ``encode_bitmap`` say that the nonce was used?"""
    return bool(bitmap >> (nonce & 0xFF) & 1)
