"""``sakk exposure``: of an address's money in a token, which part leads to whom."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path as FilePath
from typing import Annotated

import typer

from sakk.cli.open import opened_database
from sakk.cli.out import Json, console, print_json, print_table
from sakk.core.errors import ParameterInvalid
from sakk.core.exposure import Exposure, Method, Way, ppm, to_public
from sakk.flow.exposure import switch, tell
from sakk.flow.exposure_import import import_transfers
from sakk.screening.exposure import Exposures
from sakk.screening.exposure_file import TransferMapping, load_transfer_mapping
from sakk.store.identity import now

app = typer.Typer(help="Where an address's money came from, and went.", no_args_is_help=True)

Network = Annotated[str, typer.Option(help="CAIP-2, such as eip155:8453.")]
AssetName = Annotated[str, typer.Option(help="CAIP-19, as `sakk assets list` shows it.")]
Address = Annotated[str, typer.Argument(help="An address of the network.")]


@app.command()
def show(address: Address, network: Network, asset: AssetName, as_json: Json = False) -> None:
    """What an address holds now, by source, and what it ever received and sent."""
    with opened_database() as database:
        exposures = Exposures(database)
        found = [
            exposures.held(network, asset, address),
            exposures.exposure(network, asset, address, Way.source),
            exposures.exposure(network, asset, address, Way.destination),
        ]
    _print(found, as_json=as_json)


@app.command()
def trace(
    address: Address,
    network: Network,
    asset: AssetName,
    direction: Annotated[Way, typer.Option(help="source or destination.")] = Way.source,
    method: Annotated[Method, typer.Option(help="walk, haircut or fifo.")] = Method.walk,
    since: Annotated[
        datetime | None, typer.Option(help="Only what was received (or sent) from then on, UTC.")
    ] = None,
    height: Annotated[int | None, typer.Option(help="As at this height; needs --lists.")] = None,
    lists: Annotated[int | None, typer.Option(help="As at this lists version.")] = None,
    as_json: Json = False,
) -> None:
    """Trace an address by one method, with the paths; also as it was answered earlier."""
    if (height is None) != (lists is None):
        raise ParameterInvalid("--height and --lists go together.", param="height")
    if method is not Method.walk and (direction is not Way.source or since is not None):
        raise ParameterInvalid(f"{method} knows neither --direction nor --since.", param="method")
    after = 0 if since is None else int(since.replace(tzinfo=UTC).timestamp())
    with opened_database() as database:
        exposures = Exposures(database)
        if height is not None and lists is not None:
            found = exposures.exposure_at(
                network,
                asset,
                address,
                direction,
                height=height,
                lists_version=lists,
                since=after,
                method=method,
            )
        elif method is Method.haircut:
            found = exposures.held(network, asset, address)
        elif method is Method.fifo:
            found = exposures.fifo(network, asset, address)
        else:
            found = exposures.exposure(network, asset, address, direction, since=after)
    _print([found], as_json=as_json)


@app.command(name="import")
def import_file(
    file: Annotated[FilePath, typer.Argument(exists=True, dir_okay=False, help="CSV or Parquet.")],
    network: Network,
    asset: AssetName,
    mapping: Annotated[
        FilePath | None,
        typer.Option(exists=True, dir_okay=False, help="A TOML file that names FILE's columns."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Import exported transfers of a token; what is known already is left out."""
    columns = TransferMapping() if mapping is None else load_transfer_mapping(mapping)
    with opened_database() as database, console.status("reading") as status:
        report = import_transfers(
            database,
            file,
            network_name=network,
            asset=asset,
            mapping=columns,
            now=now(),
            progress=lambda rows: status.update(f"{rows:,} rows read"),
        )
    if as_json:
        print_json(
            {
                "height": report.height,
                "rows": report.rows,
                "added": report.added,
                "duplicates": report.duplicates,
                "skipped": report.skipped,
                "is_repeated": report.is_repeated,
            }
        )
        return
    if report.is_repeated:
        console.print(f"{file.name} was imported before: nothing changed.")
        return
    console.print(
        f"{file.name}: {report.rows} transfers read, {report.added} added,"
        f" {report.duplicates} known already; the height is {report.height}"
    )
    for reason, count in report.skipped.items():
        console.print(f"  {count} left out: {reason.replace('_', ' ')}")


@app.command()
def status(as_json: Json = False) -> None:
    """Show each token's height, transfers and newest block, and where keeping is switched on."""
    with opened_database() as database, database.begin() as connection:
        rows = tell(connection)
    if as_json:
        print_json(rows)
    elif rows:
        print_table(list(rows[0]), [list(row.values()) for row in rows])
    else:
        console.print("No transfers are kept. sakk exposure on NETWORK, or sakk exposure import …")


@app.command(name="on")
def switch_on(network: Annotated[str, typer.Argument(help="CAIP-2.")]) -> None:
    """Keep every transfer of a network's listed tokens, from the next block that is followed."""
    _switch(network, is_on=True)


@app.command(name="off")
def switch_off(network: Annotated[str, typer.Argument(help="CAIP-2.")]) -> None:
    """Keep no more; what was kept stays."""
    _switch(network, is_on=False)


def _switch(network: str, *, is_on: bool) -> None:
    with opened_database() as database, database.begin() as connection:
        switch(connection, network, is_on=is_on)
    console.print(f"Transfers of {network}'s tokens are {'kept' if is_on else 'kept no more'}.")


def _print(found: Sequence[Exposure], *, as_json: bool) -> None:
    if as_json:
        documents = [to_public(each) for each in found]
        print_json(documents if len(documents) > 1 else documents[0])
        return
    for each in found:
        console.print(
            f"{each.method} · {each.direction} · {each.total_units} units"
            f" · height {each.height} · lists {each.lists_version}"
            f"{' · cut short' if each.is_cut else ''}",
            markup=False,
        )
        rows = [
            [part.category, part.units, _percent(part.units, each.total_units), part.direct_units]
            for part in each.parts
        ]
        rows.append(["unknown", each.unknown_units, _percent(each.unknown_units, each.total_units)])
        print_table(["category", "units", "share", "direct units"], rows)
        for path in each.paths:
            console.print(
                f"  {path.units} {path.category} {path.entity or ''} ({path.list or '-'})",
                markup=False,
            )
            for hop in path.hops:
                console.print(f"    {hop.address} by {hop.tx_hash}", markup=False)


def _percent(units: int, total: int) -> str:
    """Rounded up, so that something is never shown as nothing."""
    share = -(-ppm(units, total) // 100)
    return f"{share // 100}.{share % 100:02}%"
