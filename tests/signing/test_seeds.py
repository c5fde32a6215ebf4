"""Several seeds: each has the keys from its first indices on, and the old ones keep theirs."""

from pathlib import Path

import pytest
from tests.signing.conftest import PASSPHRASE, START

from sakk.core import hd
from sakk.core.errors import Misconfigured
from sakk.signing.keystore import (
    SCRYPT_N_MIN,
    First,
    KeyRing,
    Keystore,
    create_keystore,
    drill_signature,
    open_keystore,
    retire_key,
)
from sakk.signing.protocol import Branch
from sakk.signing.server import SignerFiles, later_keystores, open_keys, open_seeds

FROM = First(deposit=1_000, treasury=5)


def make(path: Path, first: First, seed: bytes = b"\x07" * 32) -> Keystore:
    return create_keystore(
        path, PASSPHRASE, now=START, seed=seed, scrypt_n=SCRYPT_N_MIN, first=first
    )


def test_a_key_is_of_the_seed_whose_range_it_is_in(files: SignerFiles, keystore: Keystore) -> None:
    second = make(files.directory / "keystore-002.json", FROM)
    ring = open_keys(files, passphrase=PASSPHRASE, pin=None)
    assert isinstance(ring, KeyRing)
    assert (ring.xpub, ring.fingerprint) == (keystore.xpub, keystore.fingerprint)
    assert ring.later_xpubs() == {1_000: second.xpub}
    for branch, last_of_old in ((Branch.deposit, 999), (Branch.treasury, 4)):
        assert ring.address(branch, last_of_old) == keystore.address(branch, last_of_old)
        assert ring.address(branch, last_of_old + 1) == second.address(branch, last_of_old + 1)
        for index in (0, last_of_old, last_of_old + 1):
            assert drill_signature(ring, branch, index=index) == ring.address(branch, index)
    assert ring.address(Branch.deposit, 1_001) == hd.deposit_address(second.xpub, 1_001)


def test_a_retired_key_is_marked_in_the_file_that_has_it(
    files: SignerFiles, keystore: Keystore
) -> None:
    second = make(files.directory / "keystore-002.json", FROM)
    retire_key(second.path, PASSPHRASE, 5)
    ring = open_seeds(files, PASSPHRASE)
    assert (ring.is_retired(5), ring.is_retired(0)) == (True, False)
    again = open_keystore(second.path, PASSPHRASE)
    assert (again.first, again.xpub) == (FROM, second.xpub)
    assert later_keystores(files) == [second.path]


def test_seeds_follow_one_another(tmp_path: Path, keystore: Keystore) -> None:
    second = make(tmp_path / "a", FROM)
    for first in (FROM, First(deposit=1_000, treasury=9), First(deposit=2_000, treasury=5)):
        other = make(tmp_path / f"b{first.deposit}{first.treasury}", first, b"\x08" * 32)
        with pytest.raises(Misconfigured, match="begin at the same index"):
            KeyRing([keystore, second, other])
    with pytest.raises(Misconfigured, match="the first keystore is missing"):
        KeyRing([second])
