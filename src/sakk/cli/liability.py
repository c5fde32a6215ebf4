"""``sakk ledger liabilities`` and ``sakk ledger proof``: what is owed, proved."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from sakk.cli.mode import Live
from sakk.cli.open import begin, opened_database
from sakk.cli.out import Json, console, print_json, print_table
from sakk.core import chart
from sakk.core.errors import ResourceMissing
from sakk.core.liability import LiabilityEpoch
from sakk.flow import liability as flow
from sakk.runtime.wiring import wired
from sakk.store import liability as store


def liabilities(
    as_json: Json = False,
    publish: Annotated[
        Path | None,
        typer.Option(help="A folder: write the file of each currency there, for auditors."),
    ] = None,
) -> None:
    """Make an epoch of the proof of liabilities: a tree a currency, its root in the journal."""
    terminal = Console(stderr=True)
    with wired(begin(log_level="warning")) as parts:
        if terminal.is_terminal and not as_json:
            with terminal.status("") as status:
                made = flow.make_epoch(parts, say=status.update)
        else:
            made = flow.make_epoch(parts)
        with parts.database.begin() as connection:
            documents = flow.published(connection, made)
    if publish is not None:
        publish.mkdir(parents=True, exist_ok=True)
        for epoch, document in zip(made, documents, strict=True):
            path = publish / _file_name(epoch)
            path.write_text(json.dumps(document, indent=2) + "\n")
    if as_json:
        print_json(documents)
        return
    print_table(
        ["currency", "epoch", "row", "accounts", "total", "root"],
        [
            [each["unit"], each["epoch"], each["journal_sequence"], each["leaves"],
             each["total_decimal"] or each["total"], each["root"]]
            for each in documents
        ],
    )  # fmt: skip
    if publish is not None:
        console.print(f"The files are in {publish}: publish them where everybody reads the same.")


def proof(
    account: Annotated[str, typer.Argument(help="acct_…")],
    currency: Annotated[str, typer.Option(help="Of which currency: usdc.")],
    epoch: Annotated[int | None, typer.Option(help="The last one by default.")] = None,
    live: Live = False,
) -> None:
    """Print the proof that an account's balance stands under an epoch's root, as JSON."""
    unit = chart.currency_unit(currency.lower(), livemode=live)
    with opened_database() as database, database.begin() as connection:
        found = store.find_of_unit(connection, unit, epoch=epoch)
        if found is None:
            raise ResourceMissing(
                f"There is no such epoch of {unit}: make one with `sakk ledger liabilities`.",
                param="epoch",
            )
        print_json(flow.prove(connection, found, account))


def _file_name(epoch: LiabilityEpoch) -> str:
    return f"liabilities-{epoch.epoch}-{epoch.unit.replace('/', '-')}.json"
