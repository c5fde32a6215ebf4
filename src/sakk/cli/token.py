"""What ``sakk keys`` does with a PKCS#11 token; its library is loaded when it is needed."""

from enum import StrEnum
from pathlib import Path

import msgspec
import typer

from sakk.core.errors import Misconfigured
from sakk.core.evm import checksum_address
from sakk.runtime.settings import Settings
from sakk.signing.keystore import KeyRing, Keystore, Secret
from sakk.signing.server import SignerFiles


class KeystoreKind(StrEnum):
    """Where the treasury's keys are."""

    file = "file"
    pkcs11 = "pkcs11"


def passphrase_file(settings: Settings, files: SignerFiles) -> Path:
    """Where the file keystore's passphrase stands."""
    return settings.keystore_passphrase_file or files.directory / "passphrase"


def token_pin(settings: Settings) -> str:
    """By file, environment, or the terminal; never an argument, which others could read."""
    found = settings.read_token_pin()
    return typer.prompt("PIN", hide_input=True) if found is None else found


def make_token_key(
    settings: Settings,
    files: SignerFiles,
    *,
    module: Path,
    token: str,
    index: int,
    label: str | None,
    xpub: str,
    rest: Keystore | KeyRing | None,
) -> str:
    """A treasury key in the token, or the one that is there, named in the token's file.

    Safe to repeat: a key that was made before the file was written is found by its label. Returns
    the address, in checksum form.
    """
    try:
        from sakk.signing.pkcs11 import (
            Token,
            TokenFile,
            TokenKey,
            TokenKeystore,
            read_token_file,
            write_token_file,
        )
    except ImportError:
        raise Misconfigured("Install the library first: pip install 'sakk[pkcs11]'") from None
    from sakk.signing.keystore import drill_signature
    from sakk.signing.protocol import Branch

    name = label or f"sakk-treasury-{index}"
    before: tuple[TokenKey, ...] = ()
    first = (str(module), token)
    if files.token.exists():
        found = read_token_file(files.token)
        if found.xpub != xpub:
            raise Misconfigured(f"{files.token} names another xpub")
        first = (found.module, found.token)
        before = tuple(each for each in found.treasury if each.index != index)
        if len(before) != len(found.treasury):
            raise Misconfigured(f"{files.token} has a treasury key {index}: choose another --index")
    opened = Token(str(module), token, Secret(token_pin(settings).encode()))
    try:
        address = opened.address(name) or opened.generate(name)
        opened.check_kept(name)
        key = TokenKey(index, name, checksum_address(address))
        here = TokenFile(module=str(module), token=token, xpub=xpub, treasury=(key,))
        drill_signature(TokenKeystore(here, opened, rest), Branch.treasury, index=index)
        if first != (str(module), token):
            # Another token than the one that the file is of: the key says which.
            key = msgspec.structs.replace(key, module=str(module), token=token)
        file = TokenFile(module=first[0], token=first[1], xpub=xpub, treasury=(*before, key))
        write_token_file(files.token, file)
    finally:
        opened.close()
    return key.address
