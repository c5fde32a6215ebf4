"""EVM addresses and transactions: checksums, encoding, hashes, and who signed.

Addresses are stored as lower-case hex (``0x…``) and shown with their EIP-55 checksum. Transactions
are EIP-1559 (type 2) and legacy with EIP-155 replay protection; other types are refused by name.
"""

import re
from dataclasses import dataclass, replace
from functools import lru_cache

import coincurve

from sakk.core import rlp

try:
    from sha3 import keccak_256 as _keccak_256

    def keccak256(data: bytes) -> bytes:
        """Keccak-256 as Ethereum uses it (before NIST's padding)."""
        digest: bytes = _keccak_256(data).digest()
        return digest

except ImportError:  # no C compiler at installation: slower, the same digest
    from eth_hash.auto import keccak

    def keccak256(data: bytes) -> bytes:
        """Keccak-256 as Ethereum uses it (before NIST's padding)."""
        return bytes(keccak(data))


ADDRESS_BYTES = 20
# Nick Johnson's deterministic deployer, the same on every chain: its calldata is a salt of 32 bytes
# and the creation code. anvil places it at genesis.
CREATE2_DEPLOYER = "0x4e59b44847b379578588920ca78fbf26c0b4956c"
ZERO_ADDRESS = "0x" + "00" * ADDRESS_BYTES
UINT256_MAX = (1 << 256) - 1
# EIP-2294 bounds a chain id so that ``chain_id * 2 + 36`` still fits 64 bits.
CHAIN_ID_MAX = ((1 << 64) - 1) // 2 - 36
# EIP-2681 limits the nonce; go-ethereum holds gas limits in 64 bits.
NONCE_MAX = (1 << 64) - 2
GAS_LIMIT_MAX = (1 << 64) - 1
# The order of secp256k1 (SEC 2, section 2.4.1).
CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
TRANSACTION_BYTES_MAX = 128 * 1024
# What every transaction costs at least (Yellow Paper, G_transaction).
TRANSFER_GAS = 21_000
CHECKSUMS_MAX = 16_384
TYPE_FEE_MARKET = 0x02
TYPE_NAMES = {
    0x01: "EIP-2930 access list",
    0x03: "EIP-4844 blob",
    0x04: "EIP-7702 set code",
}

_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")

AccessList = tuple[tuple[str, tuple[bytes, ...]], ...]


@dataclass(frozen=True, slots=True)
class Transaction:
    """The unsigned fields of an EIP-1559 transaction; fees in wei per gas, value in wei.

    ``to`` is lower-case hex, or None for the creation of a contract.
    """

    chain_id: int
    nonce: int
    max_priority_fee_per_gas: int
    max_fee_per_gas: int
    gas_limit: int
    to: str | None
    value: int
    data: bytes
    access_list: AccessList = ()


@dataclass(frozen=True, slots=True)
class LegacyTransaction:
    """The unsigned fields of a legacy transaction with EIP-155 replay protection."""

    chain_id: int
    nonce: int
    gas_price: int
    gas_limit: int
    to: str | None
    value: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Signature:
    """An ECDSA signature over secp256k1 with the parity of its point (0 or 1)."""

    y_parity: int
    r: int
    s: int


@dataclass(frozen=True, slots=True)
class SignedTransaction:
    """A transaction with its signature, as it stands on the wire."""

    transaction: Transaction | LegacyTransaction
    signature: Signature


@lru_cache(maxsize=CHECKSUMS_MAX)
def checksum_address(address: str) -> str:
    """Write an address with its EIP-55 checksum.

    Remembered for a while: one payment writes its own address and its tokens' many times.
    """
    body = address[2:].lower()
    digest = keccak256(body.encode()).hex()
    return "0x" + "".join(
        [
            character.upper() if digit >= "8" else character
            for character, digit in zip(body, digest, strict=False)
        ]
    )


def parse_address(text: str) -> str:
    """Check an address and return it in lower case.

    ValueError if it is not 20 bytes of 0x-hex, is the zero address, or is in mixed case with a
    wrong EIP-55 checksum. One case throughout carries no checksum and is accepted.
    """
    if _ADDRESS.fullmatch(text) is None:
        raise ValueError(f"not an EVM address (0x and 40 hexadecimal digits): {text!r}")
    body = text[2:]
    lower = "0x" + body.lower()
    if lower == ZERO_ADDRESS:
        raise ValueError("the zero address cannot receive money")
    if body not in (body.lower(), body.upper()) and text != checksum_address(text):
        raise ValueError(f"the address's EIP-55 checksum is wrong, a character is mistyped: {text}")
    return lower


def public_key_address(public_key: bytes) -> str:
    """The address of a secp256k1 public key (compressed or not), in lower case."""
    point = coincurve.PublicKey(public_key).format(compressed=False)
    return "0x" + keccak256(point[1:])[12:].hex()


def create2_address(creation_code: bytes, *, salt: bytes, deployer: str = CREATE2_DEPLOYER) -> str:
    """Where ``deployer`` creates a contract with CREATE2 (EIP-1014): lower-case hex."""
    return create2_address_of(keccak256(creation_code), salt=salt, deployer=deployer)


def create2_address_of(code_hash: bytes, *, salt: bytes, deployer: str = CREATE2_DEPLOYER) -> str:
    """The same, by the Keccak-256 of the creation code."""
    digest = keccak256(b"\xff" + bytes.fromhex(deployer[2:]) + salt + code_hash)
    return "0x" + digest[12:].hex()


def encode_unsigned(transaction: Transaction | LegacyTransaction) -> bytes:
    """The bytes whose Keccak-256 is signed: EIP-1559, or EIP-155 with its trailing chain id."""
    check_ranges(transaction)
    if isinstance(transaction, Transaction):
        return bytes([TYPE_FEE_MARKET]) + rlp.encode(fields(transaction))
    return rlp.encode([*fields(transaction), rlp.encode_integer(transaction.chain_id), b"", b""])


def signing_hash(transaction: Transaction | LegacyTransaction) -> bytes:
    """The 32 bytes that a key signs for this transaction."""
    return keccak256(encode_unsigned(transaction))


def encode_signed(signed: SignedTransaction) -> bytes:
    """The bytes that ``eth_sendRawTransaction`` takes."""
    transaction, signature = signed.transaction, signed.signature
    check_ranges(transaction)
    check_signature(signature)
    parity = signature.y_parity
    if isinstance(transaction, LegacyTransaction):
        parity += transaction.chain_id * 2 + 35
    tail: list[rlp.Item] = [
        rlp.encode_integer(number) for number in (parity, signature.r, signature.s)
    ]
    body = rlp.encode([*fields(transaction), *tail])
    if isinstance(transaction, Transaction):
        return bytes([TYPE_FEE_MARKET]) + body
    return body


def decode_unsigned(data: bytes) -> Transaction:
    """Read unsigned EIP-1559 bytes; ValueError names what is wrong or which type it is instead."""
    items = _typed_items(data, length=9)
    return read_fields(items)


def repriced(unsigned: bytes, *, max_fee_per_gas: int, max_priority_fee_per_gas: int) -> bytes:
    """The same transaction at another price. ValueError if it is malformed or of another type."""
    return encode_unsigned(
        replace(
            decode_unsigned(unsigned),
            max_fee_per_gas=max_fee_per_gas,
            max_priority_fee_per_gas=max_priority_fee_per_gas,
        )
    )


def decode_signed(data: bytes) -> SignedTransaction:
    """Read a signed EIP-1559 or legacy transaction; ValueError if malformed or high-s (EIP-2)."""
    if data and data[0] >= 0xC0:
        return _decode_legacy(data)
    items = _typed_items(data, length=12)
    signature = Signature(
        y_parity=rlp.decode_integer(items[9], "y_parity"),
        r=rlp.decode_integer(items[10], "r"),
        s=rlp.decode_integer(items[11], "s"),
    )
    check_signature(signature)
    return SignedTransaction(transaction=read_fields(items[:9]), signature=signature)


def transaction_hash(signed: bytes) -> str:
    """The hash by which a chain knows signed bytes: 0x-hex."""
    return "0x" + keccak256(signed).hex()


def recover_sender(signed: SignedTransaction) -> str:
    """The address whose key signed; ValueError if the signature is of no key."""
    return recover(signing_hash(signed.transaction), signed.signature)


def message_signer(message: bytes, signature: bytes) -> str:
    """Whose key signed a message for people (EIP-191, version 0x45, as wallets sign).

    ``signature`` is ``r || s || v`` with v 27 or 28 (some wallets say 0 or 1); ValueError if it is
    not of that form or of no key.
    """
    prefix = b"\x19Ethereum Signed Message:\n" + str(len(message)).encode()
    return digest_signer(keccak256(prefix + message), signature)


def digest_signer(digest: bytes, signature: bytes) -> str:
    """Whose key signed 32 bytes, by a signature as wallets give it; see `message_signer`."""
    if len(signature) != 65:
        raise ValueError(f"a signature is 65 bytes, not {len(signature)}")
    parity = signature[64] - 27 if signature[64] >= 27 else signature[64]
    return recover(digest, parse_signature(signature[:64] + bytes([parity])))


def recover(digest: bytes, signature: Signature) -> str:
    """The address whose key signed 32 bytes; ValueError if the signature is of no key."""
    compact = (
        signature.r.to_bytes(32, "big")
        + signature.s.to_bytes(32, "big")
        + bytes([signature.y_parity])
    )
    try:
        key = coincurve.PublicKey.from_signature_and_message(compact, digest, hasher=None)
    except Exception as error:  # coincurve raises a bare Exception for a point off the curve
        raise ValueError("the signature is of no key") from error
    return public_key_address(key.format(compressed=False))


def parse_signature(compact: bytes) -> Signature:
    """Read 65 bytes ``r || s || y_parity`` (the parity as 0 or 1); ValueError if out of range."""
    if len(compact) != 65:
        raise ValueError(f"a recoverable signature is 65 bytes, not {len(compact)}")
    signature = Signature(
        y_parity=compact[64],
        r=int.from_bytes(compact[:32], "big"),
        s=int.from_bytes(compact[32:64], "big"),
    )
    check_signature(signature)
    return signature


def fields(transaction: Transaction | LegacyTransaction) -> list[rlp.Item]:
    """The fields in wire order, without signature."""
    to = b"" if transaction.to is None else bytes.fromhex(transaction.to[2:])
    if isinstance(transaction, LegacyTransaction):
        fees: tuple[int, ...] = (transaction.nonce, transaction.gas_price, transaction.gas_limit)
        head: list[rlp.Item] = [rlp.encode_integer(number) for number in fees]
        return [*head, to, rlp.encode_integer(transaction.value), transaction.data]
    fees = (
        transaction.chain_id,
        transaction.nonce,
        transaction.max_priority_fee_per_gas,
        transaction.max_fee_per_gas,
        transaction.gas_limit,
    )
    access_list: list[rlp.Item] = [
        [bytes.fromhex(address[2:]), list(keys)] for address, keys in transaction.access_list
    ]
    head = [rlp.encode_integer(number) for number in fees]
    return [*head, to, rlp.encode_integer(transaction.value), transaction.data, access_list]


def _typed_items(data: bytes, *, length: int) -> list[rlp.Item]:
    """The list inside a type 2 envelope, checked for its number of fields."""
    if len(data) > TRANSACTION_BYTES_MAX:
        raise ValueError(f"a transaction has at most {TRANSACTION_BYTES_MAX} bytes")
    if not data:
        raise ValueError("the transaction is empty")
    if data[0] != TYPE_FEE_MARKET:
        kind = TYPE_NAMES.get(data[0], "legacy" if data[0] >= 0xC0 else "unknown")
        raise ValueError(f"only EIP-1559 transactions (type 2) are taken, this one is {kind}")
    items = rlp.decode(data[1:])
    if not isinstance(items, list) or len(items) != length:
        raise ValueError(f"an EIP-1559 transaction is a list of {length} fields here")
    return items


def read_fields(items: list[rlp.Item]) -> Transaction:
    """The nine fields of an unsigned type 2 transaction; ValueError names what is wrong."""
    transaction = Transaction(
        chain_id=rlp.decode_integer(items[0], "chain_id"),
        nonce=rlp.decode_integer(items[1], "nonce"),
        max_priority_fee_per_gas=rlp.decode_integer(items[2], "max_priority_fee_per_gas"),
        max_fee_per_gas=rlp.decode_integer(items[3], "max_fee_per_gas"),
        gas_limit=rlp.decode_integer(items[4], "gas_limit"),
        to=_recipient(items[5]),
        value=rlp.decode_integer(items[6], "value"),
        data=_bytes(items[7], "data"),
        access_list=_access_list(items[8]),
    )
    check_ranges(transaction)
    return transaction


def _decode_legacy(data: bytes) -> SignedTransaction:
    if len(data) > TRANSACTION_BYTES_MAX:
        raise ValueError(f"a transaction has at most {TRANSACTION_BYTES_MAX} bytes")
    items = rlp.decode(data)
    if not isinstance(items, list) or len(items) != 9:
        raise ValueError("a signed legacy transaction is a list of 9 fields")
    v = rlp.decode_integer(items[6], "v")
    if v < 37:
        raise ValueError("a legacy transaction without EIP-155 replay protection is refused")
    chain_id, y_parity = divmod(v - 35, 2)
    signature = Signature(
        y_parity=y_parity,
        r=rlp.decode_integer(items[7], "r"),
        s=rlp.decode_integer(items[8], "s"),
    )
    check_signature(signature)
    transaction = LegacyTransaction(
        chain_id=chain_id,
        nonce=rlp.decode_integer(items[0], "nonce"),
        gas_price=rlp.decode_integer(items[1], "gas_price"),
        gas_limit=rlp.decode_integer(items[2], "gas_limit"),
        to=_recipient(items[3]),
        value=rlp.decode_integer(items[4], "value"),
        data=_bytes(items[5], "data"),
    )
    check_ranges(transaction)
    return SignedTransaction(transaction=transaction, signature=signature)


def _recipient(item: rlp.Item) -> str | None:
    address = _bytes(item, "to")
    if not address:
        return None
    if len(address) != ADDRESS_BYTES:
        raise ValueError(f"to is {len(address)} bytes, an address is {ADDRESS_BYTES}")
    return "0x" + address.hex()


def _bytes(item: rlp.Item, name: str) -> bytes:
    if isinstance(item, list):
        raise ValueError(f"{name} is a list, not bytes")
    return item


def _access_list(item: rlp.Item) -> AccessList:
    """Read an EIP-2930 access list: pairs of an address and its 32-byte storage keys."""
    if not isinstance(item, list):
        raise ValueError("access_list is not a list")
    entries = []
    for entry in item:
        if not isinstance(entry, list) or len(entry) != 2 or not isinstance(entry[1], list):
            raise ValueError("access_list holds pairs of an address and a list of storage keys")
        address = _bytes(entry[0], "access_list address")
        keys = tuple(_bytes(key, "storage key") for key in entry[1])
        if len(address) != ADDRESS_BYTES or any(len(key) != 32 for key in keys):
            raise ValueError("access_list holds addresses of 20 bytes and keys of 32")
        entries.append(("0x" + address.hex(), keys))
    return tuple(entries)


def check_ranges(transaction: Transaction | LegacyTransaction) -> None:
    """Bound every number by what the chain takes; ValueError names the field."""
    if isinstance(transaction, Transaction):
        fees = {
            "max_priority_fee_per_gas": transaction.max_priority_fee_per_gas,
            "max_fee_per_gas": transaction.max_fee_per_gas,
        }
        if transaction.max_priority_fee_per_gas > transaction.max_fee_per_gas:
            raise ValueError("max_priority_fee_per_gas is above max_fee_per_gas")
    else:
        fees = {"gas_price": transaction.gas_price}
    limits = {name: (fee, UINT256_MAX) for name, fee in fees.items()} | {
        "nonce": (transaction.nonce, NONCE_MAX),
        "gas_limit": (transaction.gas_limit, GAS_LIMIT_MAX),
        "value": (transaction.value, UINT256_MAX),
    }
    for name, (number, maximum) in limits.items():
        if not 0 <= number <= maximum:
            raise ValueError(f"{name} is out of range: {number}")
    if not 0 < transaction.chain_id <= CHAIN_ID_MAX:
        raise ValueError(f"chain_id is out of range: {transaction.chain_id}")


def check_signature(signature: Signature) -> None:
    """ValueError unless the numbers can be a signature's, with s in its lower half (EIP-2)."""
    if signature.y_parity not in (0, 1):
        raise ValueError(f"y_parity is 0 or 1, not {signature.y_parity}")
    if not 0 < signature.r < CURVE_ORDER:
        raise ValueError("r is out of range")
    # EIP-2: the higher of the two possible s would be a second hash for one payment.
    if not 0 < signature.s <= CURVE_ORDER // 2:
        raise ValueError("s is out of range or in the upper half")
