"""``sakk mcp``: tools that let an agent pay, over the Model Context Protocol."""

from pathlib import Path
from typing import Annotated

import typer

from sakk.cli.wallet import (
    Authority,
    Coins,
    Hosts,
    KeyFile,
    LogFile,
    Nodes,
    Options,
    PerCall,
    PerDay,
    PrivateKey,
    Total,
    key_of,
    opened_wallet,
)
from sakk.client.agent import AgentClient
from sakk.client.client import BASE_URL, SakkClient
from sakk.client.wallet import Wallet


def mcp(
    key: PrivateKey = None,
    key_file: KeyFile = None,
    log: LogFile = Path("payments.db"),
    per_call: PerCall = "0.1",
    per_day: PerDay = None,
    total: Total = "10",
    hosts: Hosts = None,
    coins: Coins = None,
    authorities: Authority = None,
    nodes: Nodes = None,
    api_key: Annotated[
        str | None,
        typer.Option(
            envvar="SAKK_API_KEY", help="A key of an account, to show `--mandate` by: sk_… or rk_…"
        ),
    ] = None,
    base_url: Annotated[
        str, typer.Option(envvar="SAKK_BASE_URL", help="The Sakk of that account.")
    ] = BASE_URL,
    mandate: Annotated[str | None, typer.Option(help="The mandate to show in `budget`.")] = None,
) -> None:
    """Serve an agent's tools over standard input and output, until it closes them."""
    try:
        from sakk.mcp.server import Agent, build
    except ImportError as error:
        raise typer.BadParameter("install what this needs: pip install 'sakk[mcp]'") from error
    options = Options(
        key, key_file, log, per_call, per_day, total, hosts, coins, authorities, nodes
    )
    with opened_wallet(options) as wallet:
        sakk = None if api_key is None else SakkClient(api_key, base_url)
        build(Agent(wallet, sakk, mandate, _desk(options, wallet))).run("stdio")


def _desk(options: Options, wallet: Wallet) -> AgentClient | None:
    """The first mandate that the wallet keeps sessions under, asked by the agent's own key."""
    for url, mandate in wallet.policy.authorities.items():
        if mandate:
            return AgentClient(mandate, key_of(options.key, options.key_file), url)
    return None
