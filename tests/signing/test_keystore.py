"""The keystore: created once, opened by its passphrase only, restored by a drill, never shown."""

import json
import pickle
import stat
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account

from sakk.core import evm, hd
from sakk.core.errors import Misconfigured
from sakk.signing.keystore import (
    SCRYPT_N_MIN,
    Keystore,
    Secret,
    create_keystore,
    open_keystore,
    verify_keystore,
)
from sakk.signing.protocol import Branch

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PASSPHRASE = "correct horse battery staple"
MNEMONIC = "test test test test test test test test test test test junk"

Create = Callable[..., Keystore]


@pytest.fixture
def create(tmp_path: Path) -> Create:
    def create(**options: Any) -> Keystore:
        path = tmp_path / "keystore.json"
        return create_keystore(path, PASSPHRASE, now=NOW, scrypt_n=SCRYPT_N_MIN, **options)

    return create


def test_created_and_opened(create: Create) -> None:
    created = create()
    opened = open_keystore(created.path, PASSPHRASE)
    assert opened.xpub == created.xpub
    assert opened.fingerprint == created.fingerprint
    assert opened.address(Branch.treasury, 0) == created.address(Branch.treasury, 0)
    assert stat.S_IMODE(created.path.stat().st_mode) == 0o600
    assert list(created.path.parent.iterdir()) == [created.path]
    content = json.loads(created.path.read_text())
    assert content["entropy_source"] == "kernel random generator (getrandom)"
    assert content["created_at"] == "2026-01-01T00:00:00+00:00"


def test_two_keystores_share_no_key(create: Create, tmp_path: Path) -> None:
    other = create_keystore(tmp_path / "b.json", PASSPHRASE, now=NOW, scrypt_n=SCRYPT_N_MIN)
    assert create().xpub != other.xpub


def test_a_mnemonic_gives_the_addresses_that_wallets_show(create: Create) -> None:
    Account.enable_unaudited_hdwallet_features()
    keystore = create(mnemonic=MNEMONIC)
    for branch, account in ((Branch.deposit, 0), (Branch.treasury, 1)):
        for index in (0, 1, 1000):
            path = f"m/44'/60'/{account}'/0/{index}"
            expected = Account.from_mnemonic(MNEMONIC, account_path=path).address
            assert keystore.address(branch, index) == expected.lower()
    assert hd.deposit_address(keystore.xpub, 1000) == keystore.address(Branch.deposit, 1000)


def test_signatures_are_those_of_eth_account(create: Create) -> None:
    """RFC 6979: an independent implementation gives the same bytes."""
    Account.enable_unaudited_hdwallet_features()
    other = Account.from_mnemonic(MNEMONIC, account_path="m/44'/60'/1'/0/0")
    transaction = evm.Transaction(
        chain_id=84532,
        nonce=7,
        max_priority_fee_per_gas=1,
        max_fee_per_gas=2,
        gas_limit=21_000,
        to="0x" + "ab" * 20,
        value=5,
        data=b"",
    )
    expected = other.sign_transaction(
        {
            "type": 2,
            "chainId": 84532,
            "nonce": 7,
            "maxPriorityFeePerGas": 1,
            "maxFeePerGas": 2,
            "gas": 21_000,
            "to": bytes.fromhex("ab" * 20),
            "value": 5,
            "data": b"",
        }
    )
    raw = create(mnemonic=MNEMONIC).sign_transaction(transaction, Branch.treasury, 0)
    assert raw == bytes(expected.raw_transaction)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mnemonic": MNEMONIC.replace("junk", "test")}, "BIP-39"),
        ({"mnemonic": "not words"}, "BIP-39"),
        ({"seed": b"short"}, "16 to 64 bytes"),
        ({"seed": bytes(65)}, "16 to 64 bytes"),
        ({"seed": bytes(32), "mnemonic": MNEMONIC}, "not both"),
    ],
)
def test_bad_entropy_is_refused(create: Create, options: dict[str, Any], message: str) -> None:
    with pytest.raises(Misconfigured, match=message):
        create(**options)


def test_a_short_passphrase_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="12 characters"):
        create_keystore(tmp_path / "k.json", "short", now=NOW)
    assert list(tmp_path.iterdir()) == []


def test_a_keystore_is_never_overwritten(create: Create) -> None:
    path = create().path
    before = path.read_bytes()
    with pytest.raises(FileExistsError):
        create()
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_a_wrong_passphrase_says_nothing_more(create: Create) -> None:
    path = create().path
    with pytest.raises(Misconfigured, match="the passphrase is wrong or the file was changed"):
        open_keystore(path, PASSPHRASE + " ")


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (["xpub"], "xpub6", "was changed"),
        (["created_at"], "2025-01-01T00:00:00+00:00", "was changed"),
        (["entropy_source"], "dice", "was changed"),
        (["kdf", "n"], SCRYPT_N_MIN * 2, "was changed"),
        (["kdf", "n"], 1 << 10, "power of two"),
        (["kdf", "n"], 1 << 30, "power of two"),
        (["kdf", "n"], SCRYPT_N_MIN + 1, "power of two"),
        (["kdf", "r"], 1, "r and p"),
        (["kdf", "salt"], "zz", "hexadecimal"),
        (["kdf", "name"], "pbkdf2", "does not read"),
        (["cipher", "nonce"], "00" * 12, "was changed"),
        (["cipher", "nonce"], "zz", "not a keystore"),
        (["cipher", "ciphertext"], "00" * 48, "was changed"),
        (["version"], 2, "does not read"),
        (["extra"], 1, "not a keystore"),
    ],
)
def test_a_changed_file_does_not_open(
    create: Create, place: list[str], value: object, message: str
) -> None:
    path = create().path
    content = json.loads(path.read_text())
    inner = content
    for name in place[:-1]:
        inner = inner[name]
    inner[place[-1]] = value
    path.write_text(json.dumps(content))
    with pytest.raises(Misconfigured, match=message):
        open_keystore(path, PASSPHRASE)


def test_the_restore_drill(create: Create, tmp_path: Path) -> None:
    keystore = create()
    copy = tmp_path / "restored.json"
    copy.touch(mode=0o600)
    copy.write_bytes(keystore.path.read_bytes())
    assert verify_keystore(copy, PASSPHRASE, xpub=keystore.xpub).xpub == keystore.xpub
    other = create_keystore(tmp_path / "b.json", PASSPHRASE, now=NOW, scrypt_n=SCRYPT_N_MIN)
    with pytest.raises(Misconfigured, match="not the keystore of the expected xpub"):
        verify_keystore(copy, PASSPHRASE, xpub=other.xpub)


def test_others_must_not_read_it(create: Create) -> None:
    path = create().path
    path.chmod(0o640)
    with pytest.raises(Misconfigured, match="chmod 600"):
        open_keystore(path, PASSPHRASE)


@pytest.mark.parametrize("index", [-1, 1 << 31])
def test_indexes_out_of_range_are_refused(create: Create, index: int) -> None:
    with pytest.raises(ValueError, match="derivation index"):
        create().address(Branch.deposit, index)


def test_secrets_do_not_show_themselves(create: Create) -> None:
    canary = b"canary-canary-canary-canary-1234"
    keystore = create(seed=canary)
    for value in (Secret(canary), keystore):
        assert "canary" not in f"{value!r} {value!s} {value}"
        assert canary.hex() not in repr(value)
        with pytest.raises(TypeError):
            pickle.dumps(value)
        assert not hasattr(value, "__dict__")
    assert canary.hex() not in keystore.path.read_text()
