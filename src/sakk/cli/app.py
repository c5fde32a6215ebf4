"""The command line as a whole: each group of commands in a file of its own."""

import typer

from sakk import __version__
from sakk.cli import (
    account,
    asset,
    bench,
    currency,
    doctor,
    keys,
    ledger,
    lists,
    network,
    payin,
    payout,
)
from sakk.cli.demo import demo
from sakk.cli.docs import docs
from sakk.cli.migrate import migrate
from sakk.cli.reconcile import reconcile
from sakk.cli.sandbox import sandbox
from sakk.cli.serve import serve

app = typer.Typer(
    name="sakk",
    help="Self-hosted stablecoin payments on one exact ledger.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command()(serve)
app.command()(sandbox)
app.command()(demo)
app.command()(reconcile)
app.command()(doctor.doctor)
app.command()(bench.bench)
app.command()(migrate)
app.command()(docs)
app.add_typer(account.app, name="accounts")
app.add_typer(asset.app, name="assets")
app.add_typer(currency.app, name="currencies")
app.add_typer(keys.app, name="keys")
app.add_typer(ledger.app, name="ledger")
app.add_typer(lists.app, name="lists")
app.add_typer(network.app, name="networks")
app.add_typer(payin.app, name="payins")
app.add_typer(payout.app, name="payouts")


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)
