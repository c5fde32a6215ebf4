"""The command line as a whole: each command, or group of commands, in a file of its own.

Only the file of the command that is asked for is imported: a command starts in the time of its own
parts, not of all.
"""

from importlib import import_module

import typer

from sakk import __version__
from sakk.cli.summary import SUMMARIES

# name on the command line → the module and function of the command
COMMANDS = {
    "serve": ("sakk.cli.serve", "serve"),
    "sandbox": ("sakk.cli.sandbox", "sandbox"),
    "demo": ("sakk.cli.demo", "demo"),
    "reconcile": ("sakk.cli.reconcile", "reconcile"),
    "doctor": ("sakk.cli.doctor", "doctor"),
    "screen": ("sakk.cli.screen", "screen"),
    "paywall": ("sakk.cli.paywall", "paywall"),
    "freeze": ("sakk.cli.freeze", "freeze"),
    "unfreeze": ("sakk.cli.freeze", "unfreeze"),
    "bench": ("sakk.cli.bench", "bench"),
    "mcp": ("sakk.cli.mcp", "mcp"),
    "migrate": ("sakk.cli.migrate", "migrate"),
    "docs": ("sakk.cli.docs", "docs"),
    "screen-name": ("sakk.cli.name", "screen_name"),
}
# name on the command line → the module whose ``app`` holds the group's commands
GROUPS = {
    "accounts": "sakk.cli.account",
    "aliases": "sakk.cli.alias",
    "assets": "sakk.cli.asset",
    "audit": "sakk.cli.audit",
    "beneficiaries": "sakk.cli.beneficiary",
    "bills": "sakk.cli.bill",
    "breaches": "sakk.cli.breach",
    "breaks": "sakk.cli.ledger_break",
    "cases": "sakk.cli.case",
    "channels": "sakk.cli.channel",
    "contracts": "sakk.cli.contract",
    "conversions": "sakk.cli.conversion",
    "currencies": "sakk.cli.currency",
    "days": "sakk.cli.day",
    "exposure": "sakk.cli.exposure",
    "fees": "sakk.cli.fee",
    "gift-cards": "sakk.cli.gift_card",
    "keys": "sakk.cli.keys",
    "ledger": "sakk.cli.ledger",
    "lists": "sakk.cli.lists",
    "mandates": "sakk.cli.mandate",
    "networks": "sakk.cli.network",
    "orders": "sakk.cli.order",
    "venues": "sakk.cli.venue",
    "payins": "sakk.cli.payin",
    "payouts": "sakk.cli.payout",
    "transactions": "sakk.cli.transaction",
    "rates": "sakk.cli.rate",
    "recover": "sakk.cli.recover",
    "refunds": "sakk.cli.refund",
    "report": "sakk.cli.report",
    "requests": "sakk.cli.money_request",
    "restore": "sakk.cli.restore",
    "bank": "sakk.cli.bank",
    "providers": "sakk.cli.provider",
    "settlements": "sakk.cli.settlement",
    "shops": "sakk.cli.shop",
    "sweeps": "sakk.cli.sweep",
    "transfers": "sakk.cli.transfer",
    "parties": "sakk.cli.party",
    "persons": "sakk.cli.person",
    "policies": "sakk.cli.policy",
    "rules": "sakk.cli.rule",
    "travel-rule": "sakk.cli.travel_rule",
    "treasury": "sakk.cli.treasury",
    "vasps": "sakk.cli.vasp",
    "wallet": "sakk.cli.wallet",
    "webhooks": "sakk.cli.webhook",
}


def make_app(only: str | None = None) -> typer.Typer:
    """The application with every command, or with the one that ``only`` names."""
    app = _empty_app()
    for name, (module, function) in COMMANDS.items():
        if only in (None, name):
            app.command(name)(getattr(import_module(module), function))
    for name, module in GROUPS.items():
        if only in (None, name):
            app.add_typer(import_module(module).app, name=name)
    if only in (None, "version"):
        app.command("version")(version)
    return app


def make_listing() -> typer.Typer:
    """The application that says which commands there are, and has none of them."""
    app = _empty_app()
    for name, summary in SUMMARIES.items():
        app.command(name, help=summary)(lambda: None)
    return app


def _empty_app() -> typer.Typer:
    app = typer.Typer(
        name="sakk",
        help="Self-hosted stablecoin payments on one exact ledger.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        add_completion=False,
    )
    # Keeps the commands' names in the usage even when there is one alone.
    app.callback()(lambda: None)
    return app


def version() -> None:
    """Print the version."""
    typer.echo(__version__)


def is_known(name: str) -> bool:
    """Is this the name of a command or group?"""
    return name in COMMANDS or name in GROUPS or name == "version"
