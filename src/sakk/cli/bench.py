"""``sakk bench``: measure, in one run, on this machine."""

import sys
from enum import StrEnum
from importlib import import_module
from typing import Annotated, Any

import typer

from sakk.cli.open import begin
from sakk.cli.out import Json, console, print_json, print_table


class Bench(StrEnum):
    """The benches there are."""

    ingest = "ingest"
    payin = "payin"
    payout = "payout"
    api = "api"
    ledger = "ledger"
    gas = "gas"
    screening = "screening"
    agent = "agent"
    checkout = "checkout"
    console = "console"
    settle = "settle"
    close = "close"


def bench(
    name: Annotated[Bench, typer.Argument(help="Which bench.")],
    only: Annotated[
        list[str] | None,
        typer.Option(
            help="A part of it: session, voucher, exact or gas of agent; settle, match or"
            " statement of settle. May be repeated."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Run a bench and print its results; progress goes to standard error."""
    begin(log_level="error")
    module = import_module(f"sakk.bench.{name.value}")
    options: dict[str, Any] = {}
    if only:
        parts: tuple[str, ...] = getattr(module, "PARTS", ())
        unknown = [each for each in only if each not in parts]
        if unknown:
            told = ", ".join(parts) or "none: it is measured whole"
            raise typer.BadParameter(f"{name.value} has no part {unknown[0]!r}. Its parts: {told}.")
        options["only"] = only
    document = module.run(say=lambda line: print(line, file=sys.stderr), **options)
    if as_json:
        print_json(document)
        return
    machine = document["machine"]
    console.print(", ".join(f"{key} {value}" for key, value in machine.items()))
    headings = ["name", "unit", "median", "p99", "repeats", "baseline", "ratio"]
    print_table(headings, [[each.get(key) for key in headings] for each in document["results"]])
