"""A machine's whole state as one hash: equal states, equal bytes, equal hash."""

import hashlib

from sakk.ledger.machine import Machine


def state_hash(machine: Machine) -> bytes:
    """SHA-256 of the canonical state."""
    digest = hashlib.sha256()
    for part in machine.dump():
        digest.update(part)
    return digest.digest()
