"""ERC-20 calldata, read as strictly as the money deserves, and names for what is refused.

A call is a four-byte selector (Keccak-256 of the signature) and 32-byte words (Solidity's contract
ABI specification). Only static arguments are decoded; everything else is named, not understood.
"""

from dataclasses import dataclass

from sakk.core import evm

WORD_BYTES = 32
SELECTOR_BYTES = 4


def selector(signature: str) -> bytes:
    """The first four bytes of the signature's Keccak-256."""
    return evm.keccak256(signature.encode())[:SELECTOR_BYTES]


TRANSFER = selector("transfer(address,uint256)")
APPROVE = selector("approve(address,uint256)")
ALLOWANCE = selector("allowance(address,address)")
BALANCE_OF = selector("balanceOf(address)")
TRANSFER_TOPIC = "0x" + evm.keccak256(b"Transfer(address,address,uint256)").hex()

# Calls that move or expose money. A signer that refuses one can say what it saw.
KNOWN_CALLS = {
    selector(signature): signature
    for signature in (
        "transfer(address,uint256)",
        "transferFrom(address,address,uint256)",
        "approve(address,uint256)",
        "increaseAllowance(address,uint256)",
        "decreaseAllowance(address,uint256)",
        "increaseApproval(address,uint256)",
        "setApprovalForAll(address,bool)",
        "safeTransferFrom(address,address,uint256)",
        "safeTransferFrom(address,address,uint256,bytes)",
        "safeTransferFrom(address,address,uint256,uint256,bytes)",
        "permit(address,address,uint256,uint256,uint8,bytes32,bytes32)",
        "permit(address,address,uint256,uint256,bytes)",
        "permit(address,address,uint256,uint256,bool,uint8,bytes32,bytes32)",
        "approve(address,address,uint160,uint48)",
        "transferWithAuthorization"
        "(address,address,uint256,uint256,uint256,bytes32,uint8,bytes32,bytes32)",
        "transferWithAuthorization(address,address,uint256,uint256,uint256,bytes32,bytes)",
        "receiveWithAuthorization"
        "(address,address,uint256,uint256,uint256,bytes32,uint8,bytes32,bytes32)",
        "transferAndCall(address,uint256,bytes)",
        "transferAndCall(address,uint256)",
        "approveAndCall(address,uint256,bytes)",
        "approveAndCall(address,uint256)",
        "transferWithMemo(address,uint256,bytes32)",
        "burn(uint256)",
        "burnFrom(address,uint256)",
        "mint(address,uint256)",
        "multicall(bytes[])",
        "multicall(uint256,bytes[])",
        "aggregate((address,bytes)[])",
        "aggregate3((address,bool,bytes)[])",
        "execute(bytes,bytes[],uint256)",
        "execute(address,uint256,bytes)",
        "execTransaction(address,uint256,bytes,uint8,uint256,uint256,uint256,address,address,bytes)",
        "transferOwnership(address)",
        "upgradeTo(address)",
        "upgradeToAndCall(address,bytes)",
        "disperse(address,bytes32[])",
        "withdraw(uint256)",
        "deposit()",
    )
}


@dataclass(frozen=True, slots=True)
class TokenTransfer:
    """An ERC-20 ``transfer``: to whom (lower-case hex), and how many atomic units."""

    to: str
    amount: int


@dataclass(frozen=True, slots=True)
class TokenApproval:
    """An ERC-20 ``approve``: to whom (lower-case hex), and how many atomic units at most."""

    spender: str
    amount: int


def encode_transfer(to: str, amount: int) -> bytes:
    """Calldata of ERC-20 ``transfer(to, amount)``."""
    return TRANSFER + encode_address(to) + encode_uint(amount)


def decode_transfer(data: bytes) -> TokenTransfer:
    """Read calldata that is exactly one ERC-20 ``transfer``; ValueError says what it is instead."""
    return TokenTransfer(*_address_and_units(data, TRANSFER, "transfer"))


def encode_approve(spender: str, amount: int) -> bytes:
    """Calldata of ERC-20 ``approve(spender, amount)``."""
    return APPROVE + encode_address(spender) + encode_uint(amount)


def decode_approve(data: bytes) -> TokenApproval:
    """Read calldata that is exactly one ERC-20 ``approve``; ValueError says what it is instead."""
    return TokenApproval(*_address_and_units(data, APPROVE, "approve"))


def encode_allowance(owner: str, spender: str) -> bytes:
    """Calldata of ERC-20 ``allowance(owner, spender)``."""
    return ALLOWANCE + encode_address(owner) + encode_address(spender)


def encode_balance_of(address: str) -> bytes:
    """Calldata of ERC-20 ``balanceOf(address)``."""
    return BALANCE_OF + encode_address(address)


def encode_address(address: str) -> bytes:
    """An address as a 32-byte word."""
    return bytes.fromhex(evm.parse_address(address)[2:]).rjust(WORD_BYTES, b"\x00")


def encode_uint(value: int) -> bytes:
    """An unsigned integer of at most 256 bits as a 32-byte word; ValueError if out of range."""
    if not 0 <= value <= evm.UINT256_MAX:
        raise ValueError(f"not an unsigned 256-bit integer: {value}")
    return value.to_bytes(WORD_BYTES, "big")


def decode_address(word: bytes) -> str:
    """An address from a 32-byte word; ValueError if its high bytes are dirty."""
    if len(word) != WORD_BYTES or any(word[: WORD_BYTES - evm.ADDRESS_BYTES]):
        raise ValueError(f"not an address in a 32-byte word: 0x{word.hex()}")
    return "0x" + word[-evm.ADDRESS_BYTES :].hex()


def describe_call(data: bytes) -> str:
    """Name a call for a person: its signature and static arguments, or its unknown selector."""
    if not data:
        return "a plain transfer of the native coin"
    if len(data) < SELECTOR_BYTES:
        return f"{len(data)} bytes that are no call (0x{data.hex()})"
    signature = KNOWN_CALLS.get(data[:SELECTOR_BYTES])
    if signature is None:
        return f"an unknown call (selector 0x{data[:SELECTOR_BYTES].hex()})"
    name, _, arguments = signature[:-1].partition("(")
    kinds = arguments.split(",") if arguments else []
    words = [
        data[SELECTOR_BYTES + WORD_BYTES * place : SELECTOR_BYTES + WORD_BYTES * (place + 1)]
        for place in range(len(kinds))
    ]
    shown = (_describe_word(kind, word) for kind, word in zip(kinds, words, strict=True))
    return f"{name}({', '.join(shown)})"


def _address_and_units(data: bytes, wanted: bytes, name: str) -> tuple[str, int]:
    """The arguments of a call ``name(address,uint256)`` that is nothing else."""
    if data[:SELECTOR_BYTES] != wanted:
        raise ValueError(f"not an ERC-20 {name} but {describe_call(data)}")
    expected = SELECTOR_BYTES + 2 * WORD_BYTES
    if len(data) != expected:
        raise ValueError(f"an ERC-20 {name} has {expected} bytes of calldata, not {len(data)}")
    to = decode_address(data[SELECTOR_BYTES : SELECTOR_BYTES + WORD_BYTES])
    return to, int.from_bytes(data[SELECTOR_BYTES + WORD_BYTES :], "big")


def _describe_word(kind: str, word: bytes) -> str:
    if len(word) != WORD_BYTES:
        return f"{kind} cut off"
    if kind == "address":
        return f"{kind} 0x{word[-evm.ADDRESS_BYTES :].hex()}"
    if kind.startswith("uint"):
        value = int.from_bytes(word, "big")
        return f"{kind} unlimited" if value == evm.UINT256_MAX else f"{kind} {value}"
    return kind
