"""``sakk keys``: the signer's keystore and its policy. Run them as the signer's user."""

import contextlib
import secrets
import time
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.progress import Progress, TextColumn, track
from sqlalchemy import Connection

from sakk.cli.open import begin, opened_database
from sakk.cli.out import Json, console, print_json
from sakk.cli.rotation import rotate
from sakk.cli.token import KeystoreKind, make_token_key, passphrase_file, token_pin
from sakk.core import evm
from sakk.core.authorization import FileHeader, file_header, file_line
from sakk.core.errors import Misconfigured
from sakk.core.evm import checksum_address
from sakk.flow.customer import renew
from sakk.rails.evm.hub import delegate_of
from sakk.runtime.place import database_url, signer_socket
from sakk.runtime.settings import Settings
from sakk.signing.approver import create_approver
from sakk.signing.client import SignerClient
from sakk.signing.keystore import (
    First,
    KeyRing,
    Keystore,
    change_passphrase,
    create_keystore,
    drill_signature,
    open_keystore,
    verify_keystore,
)
from sakk.signing.policy import (
    Policy,
    load_policy,
    production_policy,
    with_coins,
    write_policy,
    wrong_coins,
)
from sakk.signing.protocol import Branch
from sakk.signing.server import (
    SignerFiles,
    later_keystores,
    open_keys,
    open_seeds,
    signer_files,
)
from sakk.signing.words import amount_in_words
from sakk.store.address import find_seeds, next_seed_index
from sakk.store.database import open_database
from sakk.store.identity import now
from sakk.store.network import list_assets, list_networks

app = typer.Typer(help="The signer's keys and policy.", no_args_is_help=True)
app.command()(rotate)

Mnemonic = Annotated[
    bool, typer.Option("--mnemonic", help="Ask for a BIP-39 phrase instead of making a seed.")
]


@app.command()
def init(
    mnemonic: Mnemonic = False,
    keystore: Annotated[
        KeystoreKind, typer.Option(help="Where the treasury's key is to be made.")
    ] = KeystoreKind.file,
    module: Annotated[
        Path | None, typer.Option(exists=True, help="PKCS#11: the library of the token.")
    ] = None,
    token: Annotated[str | None, typer.Option(help="PKCS#11: the token's label.")] = None,
    index: Annotated[int, typer.Option(min=0, help="PKCS#11: the treasury key's index.")] = 0,
    label: Annotated[str | None, typer.Option(help="PKCS#11: the key's label in it.")] = None,
    deposit_xpub: Annotated[
        str | None, typer.Option(help="PKCS#11: the deposits' xpub, when their seed is elsewhere.")
    ] = None,
) -> None:
    """Make a keystore, its passphrase file if it is missing, and a strict policy.

    With a token the treasury's key is made in it and stays there; deposits have a keystore file,
    or none at all with --deposit-xpub. Run it again with another --index for one more key.
    """
    settings = begin(log_level="warning")
    files = signer_files(settings.data_dir)
    files.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    if keystore is KeystoreKind.file:
        made = _make_file(settings, files, mnemonic=mnemonic)
        _say(files, made.xpub, checksum_address(made.address(Branch.treasury, 0)))
        return
    if module is None or token is None:
        raise typer.BadParameter("a token needs --module and --token")
    rest: Keystore | KeyRing | None = None
    xpub = deposit_xpub
    if xpub is None:
        there = files.keystore.exists()
        rest = (
            _open_file(settings, files) if there else _make_file(settings, files, mnemonic=mnemonic)
        )
        xpub = rest.xpub
    address = make_token_key(
        settings,
        files,
        module=module,
        token=token,
        index=index,
        label=label,
        xpub=xpub,
        rest=rest,
    )
    _write_first_policy(files, treasury_indexes=(index,))
    _say(files, xpub, address)
    console.print(f"token       {files.token}; give the PIN by SAKK_TOKEN_PIN_FILE")
    console.print(f"The policy's treasury_indexes must name {index} for it to be used.")


def _make_file(settings: Settings, files: SignerFiles, *, mnemonic: bool) -> Keystore:
    path = passphrase_file(settings, files)
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(secrets.token_urlsafe(32) + "\n")
    phrase = typer.prompt("Phrase", hide_input=True) if mnemonic else None
    made = create_keystore(files.keystore, path.read_text().strip(), now=now(), mnemonic=phrase)
    _write_first_policy(files)
    console.print(f"keystore    {files.keystore}")
    console.print(f"passphrase  {path}")
    console.print(f"Set SAKK_KEYSTORE_PASSPHRASE_FILE={path}, keep copies of these two")
    console.print("in two places apart, and try the copies with `sakk keys verify`.")
    return made


def _open_file(settings: Settings, files: SignerFiles) -> Keystore | KeyRing:
    return open_seeds(files, passphrase_file(settings, files).read_text().strip())


def _opens(path: Path, word: str) -> bool:
    try:
        open_keystore(path, word)
    except Misconfigured:
        return False
    return True


def _seed_of(ring: KeyRing, first: int, last: int) -> Keystore:
    """The seed that all of these deposit indices are of."""
    found = ring.store_of(Branch.deposit, first)
    if ring.store_of(Branch.deposit, last - 1) is not found:
        raise typer.BadParameter("these indices are of two seeds: make a file for each")
    return found


def _write_first_policy(files: SignerFiles, *, treasury_indexes: tuple[int, ...] = (0,)) -> None:
    if not files.policy.exists():
        strict = production_policy([], {})
        write_policy(
            files.policy, msgspec.structs.replace(strict, treasury_indexes=treasury_indexes)
        )


def _say(files: SignerFiles, xpub: str, treasury: str) -> None:
    console.print(f"policy      {files.policy}")
    console.print(f"xpub        {xpub}")
    console.print(f"treasury    {treasury}")


@app.command()
def measure(
    seconds: Annotated[float, typer.Option(min=0.1, max=60, help="How long.")] = 3.0,
    index: Annotated[int, typer.Option(min=0, help="Which treasury key.")] = 0,
    as_json: Json = False,
) -> None:
    """Sign what no chain accepts, again and again: how many signatures a second the key gives."""
    settings = begin(log_level="warning")
    files = signer_files(settings.data_dir)
    keys = open_keys(
        files,
        passphrase=passphrase_file(settings, files).read_text().strip()
        if files.keystore.exists()
        else None,
        pin=token_pin(settings) if files.token.exists() else None,
    )
    with contextlib.closing(keys):
        drill_signature(keys, Branch.treasury, index=index)
        count, began = 0, time.perf_counter()
        while (spent := time.perf_counter() - began) < seconds:
            drill_signature(keys, Branch.treasury, index=index)
            count += 1
    result = {"keystore": type(keys).__name__, "signatures": count, "seconds": round(spent, 3)}
    result["signatures_per_second"] = round(count / spent, 1)
    if as_json:
        print_json(result)
        return
    console.print(f"{result['signatures_per_second']} signatures/s, {count} in {spent:.2f} s")


@app.command()
def approver(
    file: Annotated[Path, typer.Argument(help="Where the key is written; the approver keeps it.")],
    passphrase: Annotated[
        bool, typer.Option("--passphrase/--no-passphrase", help="Encrypt the file.")
    ] = True,
) -> None:
    """Make an approver's Ed25519 key; name its public key in the signer's policy file."""
    word = (
        typer.prompt("Passphrase", hide_input=True, confirmation_prompt=True)
        if passphrase
        else None
    )
    console.print(f"public key  {create_approver(file, word)}")
    console.print(
        "Give it to the operator for the signer's policy (`approvers`), and to"
        " POST /v1/persons/{you}/public_key."
    )


@app.command()
def seed(
    mnemonic: Mnemonic = False,
    treasury_from: Annotated[
        int | None, typer.Option(min=1, help="The first treasury key of the new seed.")
    ] = None,
) -> None:
    """Make another seed for what is issued from now on; the old one's addresses stay its own.

    Restart the signer, then the workers, which make it known. Again, before that, changes nothing.
    """
    settings = begin(log_level="warning")
    files = signer_files(settings.data_dir)
    word = passphrase_file(settings, files).read_text().strip()
    later = later_keystores(files)
    policy, _ = load_policy(files.policy)
    known = (*policy.treasury_indexes, *policy.unpaying, *policy.leaving)
    with opened_database() as database, database.begin() as connection:
        recorded = {each.first_index for each in find_seeds(connection)}
        first = next_seed_index(connection)
    stores = [open_keystore(path, word) for path in later]
    waiting = [each for each in stores if each.first.deposit not in recorded]
    if waiting:
        made = waiting[0]
    else:
        phrase = typer.prompt("Phrase", hide_input=True) if mnemonic else None
        made = create_keystore(
            files.directory / f"keystore-{len(later) + 1:03}.json",
            word,
            now=now(),
            mnemonic=phrase,
            first=First(deposit=first, treasury=treasury_from or max(known) + 1),
        )
    console.print(f"keystore    {made.path}")
    console.print(f"xpub        {made.xpub}")
    console.print(f"deposits    from index {made.first.deposit} on")
    console.print(f"treasury    from key {made.first.treasury} on: sakk keys rotate WHY --to INDEX")
    console.print("Keep copies, restart the signer, then the workers. Where a hub collects:")
    console.print(f"sakk keys authorise --from {made.first.deposit} --to …")


@app.command()
def readdress(
    below: Annotated[int, typer.Option(min=1, help="Customers of smaller key indices.")],
) -> None:
    """Give customers of an old seed permanent addresses of the newest, for one in other hands.

    Their merchants are told by `customer.updated`. What comes to the old addresses is credited as
    before. Again, it goes on with those that are left.
    """
    terminal = Console(stderr=True)
    with (
        opened_database() as database,
        Progress(
            TextColumn("{task.completed} customers"),
            console=terminal,
            transient=True,
            disable=not terminal.is_terminal,
        ) as progress,
    ):
        task = progress.add_task("customers", total=None)
        count = renew(
            database,
            below=below,
            now=now(),
            progress=lambda done: progress.update(task, completed=done),
        )
    console.print(f"{count} customers have another address.")


@app.command()
def passphrase(
    to: Annotated[Path, typer.Option(exists=True, help="A file with the new passphrase.")],
) -> None:
    """Seal the same keys with another passphrase; the signer is given it at its next start."""
    settings = begin(log_level="warning")
    files = signer_files(settings.data_dir)
    before = passphrase_file(settings, files).read_text().strip()
    after = to.read_text().strip()
    for path in (files.keystore, *later_keystores(files)):
        # A command that died between two files is repeated: what is done opens already.
        if not _opens(path, after):
            change_passphrase(path, before, after)
        console.print(f"{path} opens with {to} alone.")
    console.print(f"Set SAKK_KEYSTORE_PASSPHRASE_FILE={to} and restart the signer.")


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
    opened = _open_file(settings, signer_files(settings.data_dir))
    keystore = opened if isinstance(opened, Keystore) else _seed_of(opened, first, last)
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
    document = msgspec.to_builtins(status)
    del document["type"]
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
    compare: Annotated[
        bool,
        typer.Option("--compare", help="Hold its symbols and decimals against the database's."),
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
                coins = _coins(connection)
        finally:
            database.close()
        if files.policy.exists():
            files.policy.rename(files.policy.with_suffix(".toml.before"))
        strict = production_policy(networks, {name: each[1] for name, each in coins.items()})
        write_policy(files.policy, with_coins(strict, coins))
    found, digest = load_policy(files.policy)
    console.print(f"{files.policy}: {len(found.networks)} networks, {len(found.assets)} assets")
    for rule in found.assets:
        if rule.decimals is not None:
            most = amount_in_words(rule.per_transaction_max, rule.asset, found)
            console.print(f"  at most {most} per transaction")
    if compare:
        _compare(settings, found)
    console.print(f"digest {digest}")


def _coins(connection: Connection) -> dict[str, tuple[str, int]]:
    """Symbol and decimals of every listed asset."""
    return {each.asset: (each.symbol, each.decimals) for each in list_assets(connection)}


def _compare(settings: Settings, found: Policy) -> None:
    """The signer asks nobody, so a person asks: the database's decimals are those of the chain."""
    database = open_database(database_url(settings))
    try:
        with database.begin() as connection:
            wrong = wrong_coins(found, _coins(connection))
    finally:
        database.close()
    for each in wrong:
        console.print(f"WRONG: {each}")
    if wrong:
        raise typer.Exit(1)
    console.print("Symbols and decimals are those of the database.")


def _client(settings: Settings) -> SignerClient:
    return SignerClient(signer_socket(settings))
