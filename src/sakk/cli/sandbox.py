"""``sakk sandbox``."""

import sys
from typing import Annotated, Any

import typer

from sakk.cli.open import begin
from sakk.cli.out import Json, console, print_json
from sakk.runtime.sandbox import (
    BLOCK_SECONDS_DEFAULT,
    NETWORKS_DEFAULT,
    NETWORKS_MAX,
    SandboxOptions,
    run_sandbox,
)

TREASURIES_MAX = 16


def sandbox(
    as_json: Json = False,
    port: Annotated[int, typer.Option(min=0, max=65_535, help="0 takes a free one.")] = 0,
    networks: Annotated[
        int, typer.Option(min=1, max=NETWORKS_MAX, help="How many local chains.")
    ] = NETWORKS_DEFAULT,
    block_time: Annotated[
        float,
        typer.Option(min=0, help="Seconds between blocks; 0 mines only when told to."),
    ] = BLOCK_SECONDS_DEFAULT,
    workers: Annotated[int, typer.Option(min=1, max=16, help="API worker processes.")] = 1,
    sweep: Annotated[bool, typer.Option(help="Collect deposits to the treasury.")] = True,
    treasuries: Annotated[
        int, typer.Option(min=1, max=TREASURIES_MAX, help="Addresses that payouts leave from.")
    ] = 1,
) -> None:
    """Run everything with test money on local chains, on loopback; gone when it ends."""
    begin(log_level="warning")
    options = SandboxOptions(
        port=port,
        networks=networks,
        block_time_seconds=block_time,
        api_workers=workers,
        sweep=sweep,
        treasuries=treasuries,
    )

    def on_ready(description: dict[str, Any]) -> None:
        if as_json:
            print_json(description)
        else:
            _print_for_people(description)
        sys.stdout.flush()

    sys.exit(run_sandbox(options, on_ready=on_ready))


def _print_for_people(description: dict[str, Any]) -> None:
    console.print(f"Sakk sandbox at {description['api']}")
    console.print(f"  secret key    {description['secret_key']}")
    console.print(f"  operator key  {description['operator_key']}")
    console.print(f"  console       {description['console']}")
    console.print(f"  account       {description['account']}")
    for each in description["networks"]:
        console.print(f"  {each['network']:<16}{each['rpc']}")
        for token in each["tokens"]:
            console.print(f"    {token['currency']:<6}{token['contract']}")
    console.print(f"  DATABASE_URL={description['database_url']}")
    console.print("Ctrl-C ends it.")
