"""How the chart's names become the ledger's numbers: the same on every machine."""

import hashlib

from sakk.core.ids import digest128

UNIT_ID_MASK = (1 << 63) - 1


def unit_id(name: str) -> int:
    """The 63-bit number of a unit: ``unit_id("usdc")``, or of an asset's CAIP-19 name.

    The first 8 bytes of BLAKE2b of the name with the top bit cleared, so that it also fits a
    signed column. Never zero, which the ledger reserves.
    """
    digest = hashlib.blake2b(name.encode()).digest()
    return (int.from_bytes(digest[:8], "big") & UNIT_ID_MASK) or 1


def account_id(name: str, *, shard: int = 0) -> int:
    """The 128-bit id of the chart's account ``name`` (``merchant:acct_…:available``)."""
    return digest128("ledger-account", shard, name)
