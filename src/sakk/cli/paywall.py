"""``sakk paywall``."""

from pathlib import Path
from typing import Annotated, Any

import typer

from sakk.core.errors import Misconfigured
from sakk.paywall.config import Config, RouteTable, read_config
from sakk.paywall.errors import PaywallError
from sakk.paywall.proxy import serve


def paywall(
    upstream: Annotated[
        str | None, typer.Option(help="Address of the service that is sold, as http://host:port.")
    ] = None,
    price: Annotated[
        str | None, typer.Option(help="Of every request, such as '$0.001' or '0.001 usdc'.")
    ] = None,
    route: Annotated[
        list[str] | None,
        typer.Option(help="'GET /path/{name}=$0.01', or '=free'; the first that fits decides."),
    ] = None,
    sakk: Annotated[
        str | None, typer.Option(help="Address of the Sakk that takes payments.")
    ] = None,
    api_key_file: Annotated[
        Path | None, typer.Option(help="File with its key; else SAKK_API_KEY is read.")
    ] = None,
    listen: Annotated[str | None, typer.Option(help="host:port to serve on.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes.")] = None,
    public_url: Annotated[
        str | None, typer.Option(help="Address that clients know, where Host does not say it.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="All settings in TOML; options given here go before it.")
    ] = None,
) -> None:
    """Sell what a service answers over HTTP 402, by a reverse proxy in front of it."""
    given = {
        name: value
        for name, value in (
            ("upstream", upstream),
            ("sakk", sakk),
            ("api_key_file", None if api_key_file is None else str(api_key_file)),
            ("listen", listen),
            ("workers", workers),
            ("public_url", public_url),
        )
        if value is not None
    }
    try:
        if config is None:
            settings = Config(**_needed(given), routes=_routes(route, price))
            settings.check()
        elif route or price:
            raise PaywallError("--route and --price: the file names the routes.")
        else:
            settings = _read(config, given)
        serve(settings)
    except PaywallError as error:
        raise Misconfigured(str(error)) from error


def _read(path: Path, given: dict[str, Any]) -> Config:
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PaywallError(f"--config: {path}: {error}.") from error
    try:
        return read_config(text, given)
    except PaywallError as error:
        raise PaywallError(f"{path}, {error}") from error


def _needed(given: dict[str, Any]) -> dict[str, Any]:
    if "upstream" not in given:
        raise PaywallError("--upstream: the address of a service is needed, or --config.")
    return given


def _routes(routes: list[str] | None, price: str | None) -> list[RouteTable]:
    tables = []
    for each in routes or []:
        pattern, equals, cost = each.rpartition("=")
        if not equals:
            raise PaywallError(f"--route: {each!r} has no price. Write 'GET /path=$0.01'.")
        tables.append(RouteTable(pattern=pattern, price=cost))
    if price is not None:
        tables.append(RouteTable(pattern="/*", price=price))
    if not tables:
        raise PaywallError("--price: a price is needed, or a --route, or --config.")
    return tables
