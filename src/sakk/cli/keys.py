"""``sakk keys``: the signer's keystore and its policy. Run them as the signer's user."""

import secrets
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track

from sakk.cli.open import begin
from sakk.cli.out import Json, console, print_json
from sakk.core import evm
from sakk.core.authorization import FileHeader, file_header, file_line
from sakk.core.evm import checksum_address
from sakk.rails.evm.hub import delegate_of
from sakk.runtime.place import database_url, signer_socket
from sakk.runtime.settings import Settings
from sakk.signing.client import SignerClient
from sakk.signing.keystore import create_keystore, open_keystore, verify_keystore
from sakk.signing.policy import load_policy, production_policy, write_policy
from sakk.signing.protocol import Branch
from sakk.signing.server import signer_files
from sakk.store.database import open_database
from sakk.store.identity import now
from sakk.store.network import list_assets, list_networks

app = typer.Typer(help="The signer's keys and policy.", no_args_is_help=True)

Mnemonic = Annotated[
    bool, typer.Option("--mnemonic", help="Ask for a BIP-39 phrase instead of making a seed.")
]


@app.command()
def create(mnemonic: Mnemonic = False) -> None:
    """Make a keystore, its passphrase file if it is missing, and a strict policy."""
    settings = begin(log_level="warning")
    files = signer_files(settings.data_dir)
    files.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = settings.keystore_passphrase_file or files.directory / "passphrase"
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(secrets.token_urlsafe(32) + "\n")
    phrase = typer.prompt("Phrase", hide_input=True) if mnemonic else None
    keystore = create_keystore(files.keystore, path.read_text().strip(), now=now(), mnemonic=phrase)
    if not files.policy.exists():
        write_policy(files.policy, production_policy([], {}))
    console.print(f"keystore    {files.keystore}")
    console.print(f"policy      {files.policy}")
    console.print(f"passphrase  {path}")
    console.print(f"xpub        {keystore.xpub}")
    console.print(f"treasury    {checksum_address(keystore.address(Branch.treasury, 0))}")
    console.print(f"Set SAKK_KEYSTORE_PASSPHRASE_FILE={path}, keep copies of the first and third")
    console.print("in two places apart, and try the copies with `sakk keys verify`.")


@app.command()
def verify(
    file: Annotated[Path, typer.Argument(exists=True, help="A keystore, say a backup's.")],
    passphrase_file: Annotated[Path, typer.Option(exists=True, help="Its passphrase.")],
    xpub: Annotated[str, typer.Option(help="The extended public key it must have.")],
) -> None:
    """The restore drill: a copy opens, is the right one, and signs."""
    verify_keystore(file, passphrase_file.read_text().strip(), xpub=xpub)
    console.print("The copy opens, has the expected key, and signs.")


@app.command()
def authorise(
    hub: Annotated[str, typer.Option(help="The hub that shall collect.")],
    out: Annotated[Path, typer.Option(help="File to write; it must not exist.")],
    first: Annotated[int, typer.Option("--from", min=0, help="First address index.")] = 0,
    last: Annotated[int, typer.Option("--to", min=0, help="Index after the last.")] = 100_000,
) -> None:
    """Sign, where the seed is, what lets a hub collect from deposit addresses without their keys.

    One EIP-7702 authorisation an address, good on every chain as long as the address has sent
    nothing. The code that it allows can pay the hub's treasury and do nothing else.
    """
    settings = begin(log_level="warning")
    delegate = delegate_of(evm.parse_address(hub))
    path = (
        settings.keystore_passphrase_file
        or signer_files(settings.data_dir).directory / "passphrase"
    )
    keystore = open_keystore(signer_files(settings.data_dir).keystore, path.read_text().strip())
    terminal = Console(stderr=True)
    indexes = range(first, last)
    with out.open("x") as file:
        file.write(file_header(FileHeader(xpub=keystore.xpub, delegate=delegate)) + "\n")
        for index in track(indexes, "signing", console=terminal, disable=not terminal.is_terminal):
            file.write(file_line(index, keystore.sign_authorization(index, delegate)) + "\n")
    console.print(f"{len(indexes)} authorisations for {checksum_address(delegate)} in {out}")
    console.print("Bring the file to the gateway: sakk sweeps import-authorisations")


@app.command()
def show(as_json: Json = False) -> None:
    """Ask the running signer how it is."""
    status = _client(begin(log_level="warning")).status()
    document = {name: getattr(status, name) for name in status.__struct_fields__}
    if as_json:
        print_json(document)
        return
    for name, value in document.items():
        console.print(f"{name:<16}{value}")


@app.command()
def policy(
    write: Annotated[
        bool,
        typer.Option(
            "--write", help="Write strict limits for the networks and assets in the database."
        ),
    ] = False,
) -> None:
    """Check the policy file, or make one for what is configured now; then edit it by hand."""
    settings = begin(log_level="warning")
    files = signer_files(settings.data_dir)
    if write:
        database = open_database(database_url(settings))
        try:
            with database.begin() as connection:
                networks = [each.network for each in list_networks(connection)]
                assets = {each.asset: each.decimals for each in list_assets(connection)}
        finally:
            database.close()
        if files.policy.exists():
            files.policy.rename(files.policy.with_suffix(".toml.before"))
        write_policy(files.policy, production_policy(networks, assets))
    found, digest = load_policy(files.policy)
    console.print(f"{files.policy}: {len(found.networks)} networks, {len(found.assets)} assets")
    console.print(f"digest {digest}")


def _client(settings: Settings) -> SignerClient:
    return SignerClient(signer_socket(settings))
