"""EIP-7702: an address's own signature that it runs a contract's code, and what carries it.

An authorization names a chain (0: every chain), the code's address, and the nonce that the signing
address has when it is applied. Signed with nonce 0 it is good once, for an address that has never
sent anything. A type 4 transaction carries a list of them; one that does not fit is skipped by the
chain without failing the transaction.
"""

from dataclasses import dataclass, replace

from sakk.core import evm, rlp

TYPE_SET_CODE = 0x04
# Set apart from every transaction type by its first byte.
MAGIC = 0x05
# The code of an address that has delegated: this, then the address whose code it runs.
DESIGNATOR = bytes.fromhex("ef0100")
EVERY_CHAIN = 0
FILE_HEADING = "sakk authorizations v1"


@dataclass(frozen=True, slots=True)
class Authorization:
    """What is signed: run the code at ``address`` (lower-case hex) on ``chain_id``."""

    chain_id: int
    address: str
    nonce: int


@dataclass(frozen=True, slots=True)
class SignedAuthorization:
    """An authorization with the signature of the address that it is about."""

    authorization: Authorization
    signature: evm.Signature


@dataclass(frozen=True, slots=True)
class SetCodeTransaction:
    """The unsigned fields of a type 4 transaction: those of type 2, and the authorizations."""

    call: evm.Transaction
    authorizations: tuple[SignedAuthorization, ...]


@dataclass(frozen=True, slots=True)
class SignedSetCode:
    """A type 4 transaction with its sender's signature."""

    transaction: SetCodeTransaction
    signature: evm.Signature


@dataclass(frozen=True, slots=True)
class FileHeader:
    """What a file of pre-signed authorizations is of: whose addresses, and whose code they run."""

    xpub: str
    delegate: str


def for_delegate(delegate: str) -> Authorization:
    """What a deposit address signs before it has ever sent anything: good on every chain."""
    return Authorization(chain_id=EVERY_CHAIN, address=delegate, nonce=0)


def file_header(header: FileHeader) -> str:
    """The first line of a file; each line below is an index and 65 bytes of signature in hex."""
    return f"{FILE_HEADING} {header.delegate} {header.xpub}"


def file_line(index: int, signature: evm.Signature) -> str:
    """The line of one deposit address."""
    return f"{index} {compact(signature).hex()}"


def read_file_header(line: str) -> FileHeader:
    """Read a file's first line; ValueError if it is of another kind."""
    words = line.split()
    if len(words) != 5 or " ".join(words[:3]) != FILE_HEADING:
        raise ValueError(f"not a file of authorizations: its first line is not {FILE_HEADING!r}")
    return FileHeader(delegate=evm.parse_address(words[3]), xpub=words[4])


def read_file_line(line: str) -> tuple[int, evm.Signature]:
    """Read the line of one deposit address; ValueError if it is malformed."""
    index, _, signature = line.strip().partition(" ")
    if not index.isdecimal():
        raise ValueError("a line is an index and a signature")
    return int(index), evm.parse_signature(bytes.fromhex(signature))


def compact(signature: evm.Signature) -> bytes:
    """A signature as 65 bytes, ``r || s || y_parity``: what ``evm.parse_signature`` reads."""
    numbers = signature.r.to_bytes(32, "big") + signature.s.to_bytes(32, "big")
    return numbers + bytes([signature.y_parity])


def authorization_hash(authorization: Authorization) -> bytes:
    """The 32 bytes that an address signs (EIP-7702)."""
    _check_authorization(authorization)
    return evm.keccak256(bytes([MAGIC]) + rlp.encode(_authorization_fields(authorization)))


def authority(signed: SignedAuthorization) -> str:
    """The address that signed; ValueError if the signature is of no key."""
    return evm.recover(authorization_hash(signed.authorization), signed.signature)


def delegated_to(code: bytes) -> str | None:
    """To whose code an address has delegated, by the code that the chain shows; None if to none."""
    if len(code) != len(DESIGNATOR) + evm.ADDRESS_BYTES or not code.startswith(DESIGNATOR):
        return None
    return "0x" + code[len(DESIGNATOR) :].hex()


def encode_unsigned(transaction: SetCodeTransaction) -> bytes:
    """The bytes whose Keccak-256 the sender signs. ValueError names what is out of range."""
    return bytes([TYPE_SET_CODE]) + rlp.encode(_fields(transaction))


def signing_hash(transaction: SetCodeTransaction) -> bytes:
    """The 32 bytes that the sender signs."""
    return evm.keccak256(encode_unsigned(transaction))


def encode_signed(signed: SignedSetCode) -> bytes:
    """The bytes that ``eth_sendRawTransaction`` takes."""
    evm.check_signature(signed.signature)
    tail = _signature_fields(signed.signature)
    return bytes([TYPE_SET_CODE]) + rlp.encode([*_fields(signed.transaction), *tail])


def decode_unsigned(data: bytes) -> SetCodeTransaction:
    """Read unsigned type 4 bytes; ValueError names what is wrong."""
    return _transaction(_items(data, length=10))


def repriced(unsigned: bytes, *, max_fee_per_gas: int, max_priority_fee_per_gas: int) -> bytes:
    """The same transaction at another price. ValueError if its bytes are malformed."""
    found = decode_unsigned(unsigned)
    call = replace(
        found.call,
        max_fee_per_gas=max_fee_per_gas,
        max_priority_fee_per_gas=max_priority_fee_per_gas,
    )
    return encode_unsigned(replace(found, call=call))


def decode_signed(data: bytes) -> SignedSetCode:
    """Read a signed type 4 transaction; ValueError if malformed or high-s (EIP-2)."""
    items = _items(data, length=13)
    return SignedSetCode(
        transaction=_transaction(items[:10]), signature=_signature(items[10:], "signature")
    )


def recover_sender(signed: SignedSetCode) -> str:
    """The address whose key signed the transaction; ValueError if it is of no key."""
    return evm.recover(signing_hash(signed.transaction), signed.signature)


def is_set_code(data: bytes) -> bool:
    """Are these the bytes of a type 4 transaction?"""
    return data[:1] == bytes([TYPE_SET_CODE])


def _fields(transaction: SetCodeTransaction) -> list[rlp.Item]:
    """The fields in wire order, without the sender's signature."""
    if transaction.call.to is None:
        raise ValueError("a type 4 transaction calls an address: it creates no contract")
    evm.check_ranges(transaction.call)
    if not transaction.authorizations:
        raise ValueError("a type 4 transaction carries at least one authorization")
    entries: list[rlp.Item] = []
    for signed in transaction.authorizations:
        _check_authorization(signed.authorization)
        evm.check_signature(signed.signature)
        entries.append(
            [*_authorization_fields(signed.authorization), *_signature_fields(signed.signature)]
        )
    return [*evm.fields(transaction.call), entries]


def _authorization_fields(authorization: Authorization) -> list[rlp.Item]:
    return [
        rlp.encode_integer(authorization.chain_id),
        bytes.fromhex(authorization.address[2:]),
        rlp.encode_integer(authorization.nonce),
    ]


def _signature_fields(signature: evm.Signature) -> list[rlp.Item]:
    numbers = (signature.y_parity, signature.r, signature.s)
    return [rlp.encode_integer(number) for number in numbers]


def _items(data: bytes, *, length: int) -> list[rlp.Item]:
    if len(data) > evm.TRANSACTION_BYTES_MAX:
        raise ValueError(f"a transaction has at most {evm.TRANSACTION_BYTES_MAX} bytes")
    if not is_set_code(data):
        raise ValueError("not a type 4 transaction (EIP-7702)")
    items = rlp.decode(data[1:])
    if not isinstance(items, list) or len(items) != length:
        raise ValueError(f"a type 4 transaction is a list of {length} fields here")
    return items


def _transaction(items: list[rlp.Item]) -> SetCodeTransaction:
    entries = items[9]
    if not isinstance(entries, list):
        raise ValueError("the authorizations are not a list")
    transaction = SetCodeTransaction(
        call=evm.read_fields(items[:9]),
        authorizations=tuple(_authorization(entry) for entry in entries),
    )
    _fields(transaction)
    return transaction


def _authorization(entry: rlp.Item) -> SignedAuthorization:
    if not isinstance(entry, list) or len(entry) != 6:
        raise ValueError("an authorization is a list of 6 fields")
    address = entry[1]
    if isinstance(address, list) or len(address) != evm.ADDRESS_BYTES:
        raise ValueError(f"an authorization names an address of {evm.ADDRESS_BYTES} bytes")
    return SignedAuthorization(
        authorization=Authorization(
            chain_id=rlp.decode_integer(entry[0], "authorization chain_id"),
            address="0x" + address.hex(),
            nonce=rlp.decode_integer(entry[2], "authorization nonce"),
        ),
        signature=_signature(entry[3:], "authorization"),
    )


def _signature(items: list[rlp.Item], name: str) -> evm.Signature:
    y_parity, r, s = (rlp.decode_integer(item, f"{name} value") for item in items)
    signature = evm.Signature(y_parity=y_parity, r=r, s=s)
    evm.check_signature(signature)
    return signature


def _check_authorization(authorization: Authorization) -> None:
    if not 0 <= authorization.chain_id <= evm.CHAIN_ID_MAX:
        raise ValueError(f"an authorization's chain_id is out of range: {authorization.chain_id}")
    if not 0 <= authorization.nonce <= evm.NONCE_MAX:
        raise ValueError(f"an authorization's nonce is out of range: {authorization.nonce}")
