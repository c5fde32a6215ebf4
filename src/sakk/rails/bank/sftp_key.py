"""Keys of ours that banks know by SFTP: they follow from the vault."""

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from sakk.core.bank_account import BankAccount, read_terms
from sakk.store.vault import Vault


def private_key(vault: Vault, account: BankAccount) -> bytes:
    """By which an SFTP server knows us: it follows from the vault, and is kept nowhere."""
    return _key(vault, account).private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())


def public_key(vault: Vault, account: BankAccount) -> str:
    """What the bank is given, as OpenSSH writes it."""
    written = _key(vault, account).public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    return f"{written.decode()} {account.id}"


def _key(vault: Vault, account: BankAccount) -> Ed25519PrivateKey:
    assert account.terms is not None
    number = read_terms(account.terms).key_number
    return Ed25519PrivateKey.from_private_bytes(vault.derive(f"bank sftp {account.id} {number}"))
