"""``sakk reconcile``."""

import sys
from typing import Annotated

import typer

from sakk.cli.open import opened_database
from sakk.cli.out import Json, console, print_json, print_table
from sakk.core.reconcile import Proof
from sakk.flow.reconcile import reconcile as prove
from sakk.runtime.wiring import rail_cache


def reconcile(
    as_json: Json = False,
    network: Annotated[
        list[str] | None, typer.Option(help="CAIP-2; again for more. All enabled by default.")
    ] = None,
) -> None:
    """Prove that the ledger's custody is what the chains hold; exit 1 on any break."""
    with opened_database() as database:
        proof = prove(database, rail_cache(), networks=network or None)
    if as_json:
        print_json(proof.to_document())
    else:
        print_proof(proof)
    sys.exit(0 if proof.ok else 1)


def print_proof(proof: Proof) -> None:
    """The proof as a person reads it."""
    for each in proof.networks:
        console.print(
            f"{each.network} at block {each.block_number} ({each.block_hash[:18]}…), "
            f"{each.addresses} addresses"
        )
        print_table(
            ["  asset", "chain", "ledger", "in flight", "difference"],
            [
                [
                    f"  {asset.asset}",
                    asset.chain_units,
                    asset.ledger_units,
                    sum(row.units for row in asset.in_flight),
                    asset.difference,
                ]
                for asset in each.assets
            ],
        )
        for asset in each.assets:
            for row in asset.in_flight:
                console.print(f"    {row.row}: {row.units} in flight ({row.why})")
    for found in proof.breaks:
        console.print(f"BREAK {found}")
    console.print("Every unit is accounted for." if proof.ok else "The books do not balance.")
