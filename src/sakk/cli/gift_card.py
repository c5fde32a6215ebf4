"""``sakk gift-cards``: issued by the thousand from a file, their codes written to another, once."""

import csv
import os
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from sakk.cli.acting import Code, acting, opened_parts, yes_to
from sakk.cli.calling import LOCAL, Server, called
from sakk.cli.listing import Account, print_rows
from sakk.cli.mode import Live
from sakk.cli.open import opened_database
from sakk.cli.out import Json, console, print_json, print_table
from sakk.core import gift_card as rules
from sakk.core import gift_card_breakage as breakage_rules
from sakk.core.errors import ParameterInvalid
from sakk.core.money import format_decimal
from sakk.flow import gift_card_breakage as breakage
from sakk.store import gift_card as store
from sakk.store import gift_card_breakage as breakage_store
from sakk.store.identity import now

app = typer.Typer(help="Gift cards, and what is owed on them.", no_args_is_help=True)


@app.command(name="list")
def list_all(
    account: Account = None,
    status: Annotated[
        rules.GiftCardStatus | None, typer.Option(help="Only of this status.")
    ] = None,
    live: Live = False,
    as_json: Json = False,
) -> None:
    """List cards, newest first."""
    print_rows(
        store.gift_cards,
        rules.GiftCard,
        rules.public,
        ["id", "account", "hint", "amount", "balance", "currency", "status", "batch"],
        account=account,
        live=live,
        as_json=as_json,
        status=None if status is None else status.value,
    )


@app.command()
def liability(account: Account = None, live: Live = False, as_json: Json = False) -> None:
    """Say what cards are still worth: owed until it is redeemed, expired or not."""
    with opened_database() as database, database.begin() as connection:
        found = store.outstanding(connection, account_id=account, livemode=live, now=now())
    if as_json:
        print_json([each._asdict() for each in found])
        return
    print_table(
        ["currency", "cards", "outstanding", "of it expired"],
        [
            [
                each.currency,
                each.cards,
                format_decimal(each.outstanding, each.decimals),
                format_decimal(each.expired, each.decimals),
            ]
            for each in found
        ],
    )


@app.command()
def issue(
    file: Annotated[Path, typer.Argument(exists=True, help="CSV with the columns amount, count.")],
    currency: Annotated[str, typer.Option(help="Such as usdc; amounts in its smallest unit.")],
    holder: Annotated[bool, typer.Option(help="Any account may redeem them.")] = False,
    api: Server = LOCAL,
    as_json: Json = False,
) -> None:
    """Issue all cards of a file, paid by the account whose key is in SAKK_API_KEY."""
    with called(api) as client:
        made = client.gift_card_batches.create(
            cards=_read(file), currency=currency, redeemable="holder" if holder else "issuer"
        )
    if as_json:
        print_json(msgspec.to_builtins(made))
    else:
        console.print(f"{made.id} {made.status}: {made.cards} cards, {made.rejected} rejected")


@app.command()
def codes(
    batch: Annotated[str, typer.Argument(help="gcb_…")],
    into: Annotated[Path, typer.Argument(help="The file to write; it must not be there yet.")],
    api: Server = LOCAL,
) -> None:
    """Write the codes of a batch to a file that only its owner may read. They are told once."""
    # Made before anything is asked for: a file that can not be written costs no codes.
    handle = os.open(into, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as written, called(api) as client:
        written.write(client.gift_card_batches.take_codes(batch).file or "")
    console.print(f"written to {into}", markup=False)


@app.command()
def breakages(live: Live = False, as_json: Json = False) -> None:
    """List where what nobody redeems goes back to issuers, what is proposed, and by which law."""
    with opened_database() as database, database.begin() as connection:
        shown = [
            breakage_rules.public(each)
            for each in breakage_store.list_all(connection, livemode=live)
        ]
    if as_json:
        print_json(shown)
        return
    columns = ["id", "country", "days", "state", "proposed_by", "decided_by", "source", "digest"]
    print_table(columns, [[each[name] for name in columns] for each in shown])


@app.command(name="propose-breakage")
def propose_breakage(
    country: Annotated[str, typer.Argument(help="Such as DE.")],
    days: Annotated[int, typer.Option(help="So many days after a card has expired.")],
    note: Annotated[str | None, typer.Option(help="Why.")] = None,
    live: Live = False,
) -> None:
    """Propose that what nobody redeemed goes back to issuers; another person confirms it."""
    with opened_parts() as parts:
        actor = acting(parts, livemode=live)
        made = breakage.propose(parts, country, days, note, actor=actor, livemode=live)
    console.print(f"{made.id} awaits a second person; digest {breakage_rules.digest_of(made)}")


@app.command(name="confirm-breakage")
def confirm_breakage(
    proposal: Annotated[str, typer.Argument(help="gbr_…")],
    digest: Annotated[str, typer.Argument(help="Of what `sakk gift-cards breakages` shows.")],
    code: Code = None,
    live: Live = False,
) -> None:
    """Confirm what another person proposed; it is in force at once."""
    with opened_parts() as parts:
        made = breakage.confirm(
            parts, proposal, yes_to(parts, digest, code=code, live=live), livemode=live
        )
    console.print(f"{made.country}: {made.days} days after expiry.")


@app.command(name="stop-breakage")
def stop_breakage(
    country: Annotated[str, typer.Argument(help="Such as DE.")], live: Live = False
) -> None:
    """From now on nothing goes back to issuers there."""
    with opened_parts() as parts:
        breakage.stop(parts, country, actor=acting(parts, livemode=live), livemode=live)
    console.print(f"{country}: what is not redeemed stays owed.")


def _read(file: Path) -> list[dict[str, int]]:
    with file.open(encoding="utf-8", newline="") as opened:
        rows = list(csv.DictReader(opened))
    try:
        return [{"amount": int(row["amount"]), "count": int(row["count"])} for row in rows]
    except (KeyError, TypeError, ValueError):
        raise ParameterInvalid(
            "The file has the columns amount and count, with whole numbers in every line.",
            param="file",
        ) from None
