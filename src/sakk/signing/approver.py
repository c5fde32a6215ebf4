"""Approvers' keys: Ed25519, in a PEM file that the approver alone has, never on the server.

The signer's policy file names their public keys. What an approver signs is what the signer checks:
the words of `sakk.core.approval.approval_message`, byte for byte.
"""

from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sakk.core.errors import Misconfigured
from sakk.signing.files import check_private, write_private


def create_approver(path: Path, passphrase: str | None) -> str:
    """Make a key, mode 0600; its public key in hexadecimal. FileExistsError: it replaces none."""
    key = Ed25519PrivateKey.generate()
    encryption: serialization.KeySerializationEncryption = (
        serialization.BestAvailableEncryption(passphrase.encode())
        if passphrase
        else serialization.NoEncryption()
    )
    content = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
    )
    write_private(path, content, replace=False)
    return _public(key)


def is_encrypted(path: Path) -> bool:
    """Does this key ask for a passphrase?"""
    return b"ENCRYPTED" in path.read_bytes()


def sign_approval(path: Path, message: bytes, passphrase: str | None) -> tuple[str, str]:
    """Sign what is approved: the public key and the signature, in hexadecimal."""
    check_private(path)
    try:
        key = serialization.load_pem_private_key(
            path.read_bytes(), None if passphrase is None else passphrase.encode()
        )
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise Misconfigured(f"{path} is no key that opens: {error}") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise Misconfigured(f"{path} is no Ed25519 key: make one with `sakk keys approver`")
    return _public(key), key.sign(message).hex()


def _public(key: Ed25519PrivateKey) -> str:
    return key.public_key().public_bytes_raw().hex()
