"""What the database holds sealed: AES-256-GCM under a key that is not in the database.

A sealed value is bound to what it belongs to (a person's id): moved to another row it does not
open.
"""

import hmac
import os
from dataclasses import dataclass, field
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sakk.core.errors import SealedElsewhere

KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12


@dataclass(frozen=True, slots=True)
class Vault:
    """Seals and opens secrets."""

    key: bytes = field(repr=False)

    def seal(self, secret: str, owner: str) -> bytes:
        """A secret for the database: a fresh nonce, the ciphertext and its tag."""
        return self.seal_bytes(secret.encode(), owner)

    def token(self, owner: str) -> str:
        """A secret that only this vault can make for what it belongs to, always the same one."""
        return hmac.digest(self.key, f"token\x1f{owner}".encode(), "sha256")[:20].hex()

    def derive(self, owner: str) -> bytes:
        """A key of 32 bytes that only this vault can make for what it belongs to."""
        return hmac.digest(self.key, f"key\x1f{owner}".encode(), "sha256")

    def sign(self, words: bytes) -> bytes:
        """The installation's own word for something, 64 bytes (Ed25519, RFC 8032)."""
        return self._authority().sign(words)

    def authority_key(self) -> bytes:
        """The public key by which everybody checks what `sign` signed, 32 bytes."""
        return self._authority().public_key().public_bytes_raw()

    def _authority(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self.derive("authority"))

    def open(self, sealed: bytes, owner: str) -> str:
        """The secret; SealedElsewhere if it was sealed with another key, or for another owner."""
        return self.open_bytes(sealed, owner).decode()

    def seal_bytes(self, content: bytes, owner: str) -> bytes:
        """The same for a file."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + AESGCM(self.key).encrypt(nonce, content, owner.encode())

    def open_bytes(self, sealed: bytes, owner: str) -> bytes:
        """The same for a file."""
        nonce, body = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        try:
            return AESGCM(self.key).decrypt(nonce, body, owner.encode())
        except InvalidTag:
            raise SealedElsewhere(
                "What is sealed for {owner} does not open with this machine's vault key. It is not"
                " lost: copy the file that SAKK_VAULT_KEY_FILE names from where it was sealed.",
                param="SAKK_VAULT_KEY_FILE",
                owner=owner,
            ) from None
