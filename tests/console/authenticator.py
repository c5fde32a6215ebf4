"""A passkey's device in software: it makes ES256 keys, and answers as WebAuthn level 3 says."""

import hashlib
import json
import os
from dataclasses import dataclass, field
from typing import Any

import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from webauthn.helpers import bytes_to_base64url

PRESENT, VERIFIED, ATTESTED = 0x01, 0x04, 0x40


@dataclass(slots=True)
class Authenticator:
    """One device with one passkey. ``flags``: that a person was there, and proved who they are."""

    origin: str = "http://localhost:8402"
    flags: int = PRESENT | VERIFIED
    count: int = 0
    identifier: bytes = field(default_factory=lambda: os.urandom(32))
    key: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )

    def create(self, options: dict[str, Any]) -> str:
        """What ``navigator.credentials.create`` gives, as JSON."""
        numbers = self.key.public_key().public_numbers()
        public = {1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32), -3: numbers.y.to_bytes(32)}
        attested = bytes(16) + len(self.identifier).to_bytes(2) + self.identifier
        data = self._data(options["rp"]["id"], ATTESTED) + attested + cbor2.dumps(public)
        attestation = cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": data})
        return self._answer(
            clientDataJSON=self._said("webauthn.create", options),
            attestationObject=attestation,
        )

    def get(self, options: dict[str, Any]) -> str:
        """What ``navigator.credentials.get`` gives, as JSON."""
        self.count += 1
        data = self._data(options["rpId"], 0)
        said = self._said("webauthn.get", options)
        digest = hashlib.sha256(said).digest()
        signature = self.key.sign(data + digest, ec.ECDSA(hashes.SHA256()))
        return self._answer(clientDataJSON=said, authenticatorData=data, signature=signature)

    def _data(self, site: str, more: int) -> bytes:
        flags = bytes([self.flags | more])
        return hashlib.sha256(site.encode()).digest() + flags + self.count.to_bytes(4)

    def _said(self, act: str, options: dict[str, Any]) -> bytes:
        return json.dumps(
            {"type": act, "challenge": options["challenge"], "origin": self.origin}
        ).encode()

    def _answer(self, **response: bytes) -> str:
        name = bytes_to_base64url(self.identifier)
        return json.dumps(
            {
                "id": name,
                "rawId": name,
                "type": "public-key",
                "clientExtensionResults": {},
                "response": {each: bytes_to_base64url(value) for each, value in response.items()},
            }
        )
