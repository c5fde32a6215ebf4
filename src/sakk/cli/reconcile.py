"""``sakk reconcile``."""

import sys
from typing import Annotated

import typer

from sakk.cli.open import opened_database
from sakk.cli.out import Json, console, print_json, print_table
from sakk.core.adoption import Adoption
from sakk.core.adoption import public as public_adoption
from sakk.core.outflow import public as public_outflow
from sakk.core.reconcile import Proof
from sakk.flow.adoption import adopt as adopt_surplus
from sakk.flow.context import Parts
from sakk.flow.outflow import write_off as write_off_token
from sakk.flow.reconciliation import Run
from sakk.flow.reconciliation import run as run_proof
from sakk.runtime.wiring import rail_cache
from sakk.store.network import list_networks


def reconcile(
    as_json: Json = False,
    network: Annotated[
        list[str] | None, typer.Option(help="CAIP-2; again for more. All enabled by default.")
    ] = None,
    adopt: Annotated[
        bool,
        typer.Option(
            "--adopt",
            help="Have native coin booked, into suspense, that came without a transaction of its "
            "own: by a contract's inner call, as a block's reward.",
        ),
    ] = False,
    write_off: Annotated[
        list[str] | None,
        typer.Option(
            help="CAIP-19 of a token; again for more. Have what is missing of it on deposit "
            "addresses booked, against suspense: an issuer can take tokens without a Transfer."
        ),
    ] = None,
) -> None:
    """Prove that the ledger's custody is what the chains hold, and keep the run.

    Exit 1 on any break; `sakk breaks` lists what people have to look at, suspense besides.
    """
    rail_of = rail_cache()
    with opened_database() as database:
        parts = Parts(database, rail=rail_of)
        adopted = _adopt(parts, network) if adopt else []
        missing = [row for asset in write_off or () for row in write_off_token(parts, asset)]
        runs = _run(parts, network or None)
    proof = _together(runs)
    if as_json:
        found = [public_adoption(row) for row in adopted]
        gone = [public_outflow(row) for row in missing]
        print_json(
            {
                **proof.to_document(),
                "reconciliations": [each.row.id for each in runs],
                **({"adopted": found} if adopt else {}),
                **({"written_off": gone} if write_off else {}),
            }
        )
    else:
        for lost in missing:
            console.print(
                f"{lost.id}: {lost.token_amount} of {lost.asset} missing on {lost.address} at "
                f"block {lost.block_number} are booked against suspense."
            )
        for row in adopted:
            console.print(
                f"{row.id}: {row.token_amount} of {row.asset} on {row.address} at block "
                f"{row.block_number} is booked into suspense."
            )
        print_proof(proof)
        for each in runs:
            console.print(f"{each.row.id} is kept: {each.row.breaks} breaks stand by it.")
    sys.exit(0 if proof.ok else 1)


def _adopt(parts: Parts, names: list[str] | None) -> list[Adoption]:
    with parts.database.begin() as connection:
        enabled = [each.network for each in list_networks(connection) if each.enabled]
    return [row for name in names or enabled for row in adopt_surplus(parts, name)]


def _run(parts: Parts, names: list[str] | None) -> list[Run]:
    """One run of each mode that has networks, or of those that are named; raises what it met."""
    with parts.database.begin() as connection:
        known = list_networks(connection)
    wanted = {
        each.livemode for each in known if each.enabled and (not names or each.network in names)
    }
    runs = [run_proof(parts, livemode=mode, networks=names) for mode in sorted(wanted or {False})]
    for each in runs:
        if each.error is not None:
            raise each.error
    return runs


def _together(runs: list[Run]) -> Proof:
    """What runs of both modes have proved; each has looked at all rows."""
    proofs = [each.proof for each in runs if each.proof is not None]
    return Proof(
        networks=[network for each in proofs for network in each.networks],
        row_breaks=proofs[-1].row_breaks,
        journal_sequence=proofs[-1].journal_sequence,
    )


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
        if each.escrows:
            print_table(
                ["  in escrow", "contract", "ledger", "in flight", "others'", "difference"],
                [
                    [
                        f"  {escrow.asset}",
                        escrow.chain_units,
                        escrow.ledger_units,
                        sum(row.units for row in escrow.in_flight),
                        escrow.foreign_units,
                        escrow.difference,
                    ]
                    for escrow in each.escrows
                ],
            )
        flying = [row for asset in each.assets for row in asset.in_flight]
        flying += [row for escrow in each.escrows for row in escrow.in_flight]
        for row in flying:
            console.print(f"    {row.row}: {row.units} in flight ({row.why})")
        for channel in (one for escrow in each.escrows for one in escrow.channels):
            console.print(
                f"    {channel.channel}: the contract holds {channel.chain_units}, the books "
                f"{channel.ledger_units}; {channel.in_flight_units} in flight, "
                f"{channel.foreign_units} deposited by others, difference {channel.difference}"
            )
    for found in proof.breaks:
        console.print(f"BREAK {found}")
    console.print("Every unit is accounted for." if proof.ok else "The books do not balance.")
