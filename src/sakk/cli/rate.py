"""``sakk rates``: what currencies are worth, where that is asked, and coins that left their peg."""

from datetime import timedelta
from typing import Annotated

import typer

from sakk.cli.open import opened_database
from sakk.cli.out import Json, console, print_json, print_table
from sakk.core import rate as rules
from sakk.core import rate_source as sources
from sakk.core.errors import ParameterInvalid
from sakk.flow import rate as flow
from sakk.store import rate as store
from sakk.store.identity import now

app = typer.Typer(help="What currencies are worth, and who says so.", no_args_is_help=True)

HISTORY_MAX = 200
Currency = Annotated[str, typer.Argument(help="Such as usdt.")]
Name = Annotated[str, typer.Argument(help="The source's name.")]


@app.command(name="list")
def list_all(as_json: Json = False) -> None:
    """List what is known now, and which sources were left out."""
    with opened_database() as database, database.begin() as connection:
        market = flow.read_market(connection, now=now())
    if as_json:
        print_json(
            [
                rules.public(each, livemode=False, stopped=market.stopped_on(each))
                for each in market.known
            ]
        )
        return
    print_table(
        ["pair", "bid", "ask", "sources", "at", "stopped on"],
        [
            [
                f"{each.base}-{each.quote}",
                rules.write_price(each.price.bid),
                rules.write_price(each.price.ask),
                ", ".join(each.sources),
                each.at,
                market.stopped_on(each) or "",
            ]
            for each in market.known
        ],
    )
    for (base, quote), judged in market.judged.items():
        for name, why in judged.refused:
            console.print(f"{base}-{quote}: {name} is left out, {why}")


@app.command()
def show(
    pair: Annotated[str, typer.Argument(help="Such as usdc-eur.")],
    history: Annotated[bool, typer.Option("--history", help="What was said in 24 hours.")] = False,
) -> None:
    """Show the rate of a pair, or what its sources said, as JSON."""
    base, quote = _pair(pair)
    with opened_database() as database, database.begin() as connection:
        moment = now()
        if history:
            rows = store.list_observations(
                connection,
                base=base,
                quote=quote,
                since=moment - timedelta(days=1),
                limit=HISTORY_MAX,
            )
            print_json(
                [
                    {
                        "source": row.source,
                        "bid": rules.write_price(row.bid),
                        "ask": rules.write_price(row.ask),
                        "at": row.at.isoformat(),
                    }
                    for row in rows
                ]
            )
            return
        market = flow.read_market(connection, now=moment)
    found = market.find(base, quote)
    if found is None:
        raise ParameterInvalid(f"No rate is known for {pair} now.", param="pair")
    print_json(rules.public(found, livemode=False, stopped=market.stopped_on(found)))


@app.command()
def source(
    name: Name,
    kind: Annotated[sources.SourceKind, typer.Argument(help="What it answers.")],
    location: Annotated[str, typer.Argument(help="An https address, or a file's whole path.")],
    pair: Annotated[
        list[str],
        typer.Option(help="usdc-usd, usdt-usd=SYMBOL, or usdc-usd=/bid,/ask,/time for json."),
    ],
    every: Annotated[int | None, typer.Option(help="Ask so often, in seconds.")] = None,
    age: Annotated[int | None, typer.Option(help="Believe it so long, in seconds.")] = None,
) -> None:
    """Ask a source from now on, or change one."""
    try:
        pairs = [sources.parse_pair(kind, each) for each in pair]
    except ValueError as error:
        raise ParameterInvalid(f"{error}.", param="pair") from error
    with opened_database() as database, database.begin() as connection:
        made = flow.put_source(
            connection,
            name=name,
            kind=kind,
            location=location,
            pairs=pairs,
            every_seconds=every,
            age_seconds=age,
            now=now(),
        )
    console.print(f"{made.id} is asked every {made.every_seconds} s.")


@app.command(name="sources")
def list_sources(as_json: Json = False) -> None:
    """List the sources, and how they do."""
    with opened_database() as database, database.begin() as connection:
        rows = store.list_sources(connection)
    if as_json:
        print_json([sources.public(row, livemode=False) for row in rows])
        return
    print_table(
        ["name", "kind", "pairs", "state", "checked", "error"],
        [
            [
                row.id,
                row.kind,
                ", ".join(f"{base}-{quote}" for base, quote in row.quoted),
                row.state if row.enabled else "not asked",
                row.checked or "",
                row.error or "",
            ]
            for row in rows
        ],
    )


@app.command()
def enable(name: Name) -> None:
    """Ask a source again."""
    _enable(name, enabled=True)


@app.command()
def disable(name: Name) -> None:
    """Ask a source no more; what it said does not count from now on."""
    _enable(name, enabled=False)


@app.command()
def peg(
    currency: Currency,
    to: Annotated[str, typer.Argument(help="What it should be worth one of, such as usd.")],
    bound_ppm: Annotated[
        int, typer.Option(help="How far it may be from 1, in parts per million.")
    ] = rules.PEG_BOUND_PPM,
    recover: Annotated[
        int, typer.Option(help="It begins again when it was back for so many seconds.")
    ] = rules.RECOVERY_SECONDS,
) -> None:
    """Stop quotes and conversions over a coin while it is off its peg."""
    with opened_database() as database, database.begin() as connection:
        flow.put_peg(
            connection,
            currency=currency,
            peg=to,
            bound_ppm=bound_ppm,
            recover_seconds=recover,
            now=now(),
        )
    console.print(f"{currency} stops when it is {bound_ppm} ppm off {to}.")


@app.command()
def pegs(as_json: Json = False) -> None:
    """List the pegs, and what is stopped."""
    with opened_database() as database, database.begin() as connection:
        rows = store.list_pegs(connection)
    if as_json:
        print_json([rules.public_peg(row, livemode=False) for row in rows])
        return
    print_table(
        ["coin", "peg", "bound ppm", "stopped since", "back since", "by a person"],
        [
            [
                row.currency,
                row.peg,
                row.bound_ppm,
                row.stopped_at or "",
                row.recovered_since or "",
                "yes" if row.manual else "",
            ]
            for row in rows
        ],
    )


@app.command()
def stop(currency: Currency) -> None:
    """Stop a coin now, until somebody lets it go."""
    with opened_database() as database, database.begin() as connection:
        flow.stop(connection, currency, now=now())
    console.print(f"Nothing is quoted or converted over {currency} any more.")


@app.command()
def clear(currency: Currency) -> None:
    """Let a coin go that was stopped and is back."""
    with opened_database() as database, database.begin() as connection:
        flow.clear(connection, currency, now=now())
    console.print(f"{currency} is quoted and converted again.")


def _enable(name: str, *, enabled: bool) -> None:
    with opened_database() as database, database.begin() as connection:
        flow.set_enabled(connection, name, enabled=enabled, now=now())
    console.print(f"{name} is {'asked' if enabled else 'not asked any more'}.")


def _pair(name: str) -> tuple[str, str]:
    try:
        return rules.pair_of(name)
    except ValueError as error:
        raise ParameterInvalid(f"{error}.", param="pair") from error
