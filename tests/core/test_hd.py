"""Watch-only derivation, against eth-account's own BIP-32 as the second source."""

import pytest
from bip32 import BIP32
from eth_account import Account
from eth_account.hdaccount import seed_from_mnemonic
from hypothesis import given, settings
from hypothesis import strategies as st

from sakk.core import hd

# The mnemonic that every development node uses; its first address is public knowledge.
MNEMONIC = "test test test test test test test test test test test junk"
ROOT = BIP32.from_seed(seed_from_mnemonic(MNEMONIC, ""))
XPUB = ROOT.get_xpub_from_path("m/44'/60'/0'")


def test_the_public_vector() -> None:
    assert hd.deposit_address(XPUB, 0) == "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266"
    assert hd.deposit_address(XPUB, 1) == "0x70997970c51812dc3a010c7d01b50e0d17dc79c8"


@settings(max_examples=20, deadline=None)
@given(st.integers(min_value=0, max_value=hd.INDEX_MAX))
def test_any_index_agrees_with_eth_account(index: int) -> None:
    Account.enable_unaudited_hdwallet_features()
    account = Account.from_mnemonic(MNEMONIC, account_path=f"m/44'/60'/0'/0/{index}")
    assert hd.deposit_address(XPUB, index) == account.address.lower()


@pytest.mark.parametrize("index", [-1, hd.INDEX_MAX + 1])
def test_hardened_and_negative_indexes_are_refused(index: int) -> None:
    with pytest.raises(ValueError, match="derivation index"):
        hd.deposit_address(XPUB, index)


@pytest.mark.parametrize(
    ("xpub", "message"),
    [
        (ROOT.get_xpriv_from_path("m/44'/60'/0'"), "not an extended public key"),
        (ROOT.get_xpub(), "depth 3"),
        (ROOT.get_xpub_from_path("m/44'/60'/0'/0"), "depth 3"),
        (XPUB[:-1] + "x", "not an extended public key"),
        ("xpub", "not an extended public key"),
        ("", "not an extended public key"),
    ],
)
def test_a_key_that_is_not_the_accounts_is_refused(xpub: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        hd.deposit_address(xpub, 0)


def test_each_index_is_of_the_seed_that_it_came_after() -> None:
    seeds = (hd.Seed(0, "one"), hd.Seed(100, "two"), hd.Seed(500, "three"))
    found = [hd.xpub_at(seeds, index) for index in (0, 99, 100, 499, 500, 10_000)]
    assert found == ["one", "one", "two", "two", "three", "three"]
