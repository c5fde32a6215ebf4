"""``sakk shops``: the mall, and the operator's word on who is in it."""

from typing import Annotated

import typer

from sakk.cli.acting import acting, opened_parts
from sakk.cli.listing import Account, print_rows
from sakk.cli.mode import Live
from sakk.cli.open import begin, opened_database
from sakk.cli.out import Json, console, print_json
from sakk.core import shop as rules
from sakk.core.shop import Review
from sakk.flow import shop as flow
from sakk.store import shop as store
from sakk.store.identity import now

app = typer.Typer(help="The mall's shops, and who is let in.", no_args_is_help=True)

Identifier = Annotated[str, typer.Argument(help="shop_…")]


@app.command(name="list")
def list_all(
    account: Account = None,
    review: Annotated[Review | None, typer.Option(help="Only those of this word.")] = None,
    live: Live = False,
    as_json: Json = False,
) -> None:
    """List shops, newest first."""
    print_rows(
        store.shops,
        rules.Shop,
        lambda row: rules.public(row, public_url=""),
        ["id", "account", "handle", "name", "currency", "open", "review"],
        account=account,
        live=live,
        as_json=as_json,
        review=None if review is None else review.value,
    )


@app.command()
def purchases(
    account: Account = None,
    status: Annotated[
        rules.PurchaseStatus | None, typer.Option(help="Only of this status.")
    ] = None,
    live: Live = False,
    as_json: Json = False,
) -> None:
    """List what was bought in shops, newest first."""
    print_rows(
        store.purchases,
        rules.Purchase,
        rules.public_purchase,
        ["id", "shop", "buyer", "amount_decimal", "currency", "status", "payment_intent"],
        account=account,
        live=live,
        as_json=as_json,
        status=None if status is None else status.value,
    )


@app.command()
def show(shop: Identifier, live: Live = False) -> None:
    """Show a shop, and the digest to approve it with, as JSON."""
    with opened_database() as database, database.begin() as connection:
        found = store.find(connection, shop, account_id=None, livemode=live)
    if found is None:
        raise flow.missing(shop)
    print_json(rules.public(found, public_url=""))


@app.command()
def approve(
    shop: Identifier,
    digest: Annotated[str, typer.Argument(help="Of what `sakk shops show` shows.")],
    live: Live = False,
) -> None:
    """Let people see a shop as it was looked at."""
    _judge(shop, Review.approved, None, live=live, digest=digest)


@app.command()
def refuse(
    shop: Identifier,
    note: Annotated[str, typer.Option(help="Why; its merchant reads it.")],
    live: Live = False,
) -> None:
    """Show a shop to nobody, or no longer."""
    _judge(shop, Review.refused, note, live=live)


def _judge(
    shop: str, said: Review, note: str | None, *, live: bool, digest: str | None = None
) -> None:
    settings = begin(log_level="warning")
    with opened_parts(settings) as parts:
        actor = acting(parts, livemode=live)
        with parts.database.begin() as connection:
            after = flow.review(
                connection,
                shop,
                said,
                note,
                by=actor.person or actor.key,
                livemode=live,
                public_url=settings.public_url or "",
                now=now(),
                digest=digest,
            )
    console.print(f"{after.handle} is {after.review}.", markup=False)
