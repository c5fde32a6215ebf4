"""The vault's key: a file beside the server, never in the database that it protects."""

import contextlib
import os
from pathlib import Path

from sakk.core.errors import Misconfigured
from sakk.runtime.settings import Settings
from sakk.signing.files import check_private, write_private
from sakk.store.vault import KEY_BYTES, Vault


def vault_file(settings: Settings) -> Path:
    """Where the key is, or will be."""
    return settings.vault_key_file or settings.data_dir / "vault.key"


def read_vault(settings: Settings) -> Vault | None:
    """The vault, or None on a machine without its key; Misconfigured if others can read it."""
    path = vault_file(settings)
    if not path.exists():
        return None
    check_private(path)
    try:
        key = bytes.fromhex(path.read_text().strip())
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise Misconfigured(
            f"{path} does not hold {KEY_BYTES} bytes in hexadecimal", param="SAKK_VAULT_KEY_FILE"
        )
    return Vault(key)


def make_vault(settings: Settings) -> Vault:
    """The vault, with a fresh key where there was none: never one in place of another."""
    found = read_vault(settings)
    if found is not None:
        return found
    path = vault_file(settings)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    # Another process may be first: then its key is the one.
    with contextlib.suppress(FileExistsError):
        write_private(path, os.urandom(KEY_BYTES).hex().encode() + b"\n", replace=False)
    made = read_vault(settings)
    assert made is not None
    return made
