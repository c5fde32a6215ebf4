"""Deposit addresses from an extended public key: BIP-32, watch-only.

The key stands at ``m/44'/60'/0'`` (BIP-44 for coin type 60, account 0); deposits are ``0/index``
below it. No private key is needed, and none can be computed from what is here. (Whoever has the
extended public key and one child's private key can compute the others': child keys stay in the
signer.)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from bip32 import BIP32

from sakk.core import evm

INDEX_MAX = (1 << 31) - 1
ACCOUNT_DEPTH = 3


@dataclass(frozen=True, slots=True)
class Seed:
    """The extended public key that addresses have from an index on, until the next seed's first."""

    first_index: int
    xpub: str


def xpub_at(seeds: Sequence[Seed], index: int) -> str:
    """The extended public key of an index; ``seeds`` in the order of their first indices."""
    return next(seed.xpub for seed in reversed(seeds) if seed.first_index <= index)


def deposit_address(xpub: str, index: int) -> str:
    """The EVM address at ``0/index`` below an account's xpub, in lower-case hex.

    ValueError if the xpub is malformed, private, or of another depth, or the index out of range.
    """
    if not 0 <= index <= INDEX_MAX:
        raise ValueError(f"a derivation index is 0 to {INDEX_MAX}, not {index}")
    return evm.public_key_address(_deposit_branch(xpub).get_pubkey_from_path([index]))


@lru_cache(maxsize=64)
def _deposit_branch(xpub: str) -> BIP32:
    """The node ``0`` below the account: derived once, each address is then one step."""
    if not xpub.startswith("xpub"):
        raise ValueError("not an extended public key (it begins with 'xpub')")
    try:
        account = BIP32.from_xpub(xpub)
        chaincode, public_key = account.get_extended_pubkey_from_path([0])
    except Exception as error:  # bip32 raises its own and bare errors alike
        raise ValueError("not an extended public key") from error
    if account.depth != ACCOUNT_DEPTH:
        raise ValueError(f"the xpub must stand at m/44'/60'/0' (depth 3), not {account.depth}")
    return BIP32(chaincode, pubkey=public_key, fingerprint=b"\x00\x00\x00\x01", depth=4)
