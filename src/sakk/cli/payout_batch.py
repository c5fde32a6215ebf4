"""``sakk payouts upload``, ``batches``, ``batch``, ``cancel``: payouts by the file."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from sakk.cli.mode import Live
from sakk.cli.open import opened_database
from sakk.cli.out import Json, console, print_json, print_table
from sakk.core import payout_batch as rules
from sakk.core.errors import ParameterInvalid, ResourceMissing
from sakk.core.payout import Initiator
from sakk.core.payout_file import write
from sakk.flow import payout as single
from sakk.flow import payout_batch as flow
from sakk.flow.context import Parts
from sakk.store import network
from sakk.store import payout as payouts
from sakk.store import payout_batch as store
from sakk.store.account import find_account
from sakk.store.identity import new_id
from sakk.store.page import LIMIT_MAX, PageRequest, fetch_page

Account = Annotated[str, typer.Option(help="Whose money: acct_….")]
FILE_BYTES_MAX = 8 << 20


def upload(
    file: Annotated[
        Path, typer.Argument(help="A CSV file, in UTF-8.", exists=True, dir_okay=False)
    ],
    account: Account,
    preview: Annotated[bool, typer.Option("--preview", help="Show it, and make nothing.")] = False,
    digest: Annotated[
        str | None, typer.Option(help="Make it only if it is what the preview showed.")
    ] = None,
    allow_duplicates: Annotated[
        bool, typer.Option(help="Pay lines that double another one, or the file again.")
    ] = False,
    on_invalid: Annotated[
        rules.OnInvalid,
        typer.Option(help="One wrong line and nothing is made, or the wrong ones are left out."),
    ] = rules.OnInvalid.refuse,
    quote: Annotated[
        str | None, typer.Option(help="The quote of every line that names none: qt_….")
    ] = None,
    description: Annotated[str | None, typer.Option(help="For people.")] = None,
    live: Live = False,
    as_json: Json = False,
) -> None:
    """Pay a file of up to 10,000 payouts, or show every fault in it.

    Lines are left out only under the digest of a preview that showed which.
    The running server reserves the money within seconds; `sakk payouts batch` shows how far it is.
    """
    if file.stat().st_size > FILE_BYTES_MAX:
        raise ParameterInvalid(f"A file has at most {FILE_BYTES_MAX} bytes. Divide it.")
    with _opened_parts(account) as parts:
        request = flow.read_file(
            parts, file.read_bytes(), initiator=Initiator(), allow_duplicates=allow_duplicates
        )
        request = replace(request, on_invalid=on_invalid, quote=quote)
        identifier = new_id(rules.PREFIX)
        checked = flow.preview(
            parts, request, identifier=identifier, account_id=account, livemode=live
        )
        valid = checked.can_be_made(on_invalid)
        if preview or not valid or (checked.faults and digest is None):
            _print_preview(checked, valid=valid, as_json=as_json)
            raise typer.Exit(0 if preview and valid else 1)
        batch, totals = flow.create(
            parts,
            replace(request, description=description, previewed=digest),
            identifier=identifier,
            account_id=account,
            livemode=live,
        )
        left_out = _left_out(parts, identifier)
    _print_batch(batch, totals, left_out, as_json=as_json)


def batches(
    account: Annotated[str | None, typer.Option(help="Of one account: acct_….")] = None,
    live: Live = False,
    as_json: Json = False,
) -> None:
    """List the newest batches."""
    with opened_database() as database, database.begin() as connection:
        rows, _ = fetch_page(
            connection,
            store.payout_batches,
            rules.PayoutBatch,
            account_id=account,
            livemode=live,
            page=PageRequest(limit=LIMIT_MAX),
        )
        totals = store.totals(connection, [row.id for row in rows])
    if as_json:
        print_json([rules.public(row, totals[row.id]) for row in rows])
        return
    print_table(
        ["id", "account", "lines", "status", "created", "description"],
        [
            [
                row.id,
                row.account_id,
                row.lines,
                rules.status_of(totals[row.id]).value,
                row.created.isoformat(timespec="seconds"),
                row.description,
            ]
            for row in rows
        ],
    )


def batch(
    identifier: Annotated[str, typer.Argument(help="pob_…", metavar="BATCH")],
    csv: Annotated[
        Path | None, typer.Option(help="Write its payouts, and what was left out, to this file.")
    ] = None,
    live: Live = False,
    as_json: Json = False,
) -> None:
    """Show a batch: its payouts' counts and sums by status, and the lines that were left out."""
    with opened_database() as database:
        found, totals = flow.view(Parts(database), identifier, account_id=None, livemode=live)
        with database.begin() as connection:
            left_out = store.list_skipped(connection, identifier)
            if csv is not None:
                rows = payouts.list_batch(connection, identifier)
                currencies = network.list_currencies(connection)
        if csv is not None:
            decimals = {each.currency: each.decimals for each in currencies}
            # A file says its amounts as they are read: as decimal numbers.
            told = write(rows, left_out, decimals if found.source == "json" else None)
            csv.write_text(told, encoding="utf-8", newline="")
    _print_batch(found, totals, left_out, as_json=as_json)


def cancel(
    identifier: Annotated[str, typer.Argument(help="po_… or pob_…", metavar="ID")],
    account: Account,
    live: Live = False,
    as_json: Json = False,
) -> None:
    """Call a payout off, or all of a batch that no transaction carries yet."""
    with _opened_parts(account) as parts:
        if identifier.startswith(f"{rules.PREFIX}_"):
            found, totals = flow.cancel(parts, identifier, account_id=account, livemode=live)
            _print_batch(found, totals, _left_out(parts, identifier), as_json=as_json)
            return
        canceled = single.cancel(parts, identifier, account_id=account, livemode=live)
    console.print(f"{canceled.id} is {canceled.status}.")


@contextmanager
def _opened_parts(account: str) -> Iterator[Parts]:
    """The database alone: the running server reserves the money, and gives it back.

    ResourceMissing for an account that there is not.
    """
    with opened_database() as database:
        with database.begin() as connection:
            if find_account(connection, account) is None:
                raise ResourceMissing(f"No such account: {account!r}.", param="account")
        yield Parts(database)


def _left_out(parts: Parts, identifier: str) -> list[rules.SkippedLine]:
    with parts.database.begin() as connection:
        return store.list_skipped(connection, identifier)


def _print_preview(checked: flow.Checked, *, valid: bool, as_json: bool) -> None:
    totals = rules.preview_totals(checked.payouts)
    if as_json:
        print_json(
            {
                "object": "payout_batch_preview",
                "digest": checked.digest,
                "faults": [each.document() for each in checked.faults],
                "lines": [rules.preview_line(each) for each in checked.payouts],
                "totals": totals,
                "valid": valid,
            }
        )
        return
    if checked.faults:
        print_table(
            ["line", "column", "what is wrong"],
            [[each.line, each.param, each.message] for each in checked.faults],
        )
    print_table(
        ["currency", "payouts", "arrives", "fee", "debited"],
        [
            [
                each["currency"],
                each["count"],
                each["delivered_decimal"],
                each["fee_decimal"],
                each["debited_decimal"],
            ]
            for each in totals
        ],
    )
    console.print(f"Digest {checked.digest}. Nothing was made.")
    if valid and checked.faults:
        wrong = len({each.line for each in checked.faults})
        console.print(
            f"With --on-invalid skip --digest {checked.digest} these {len(checked.payouts)} are "
            f"paid, and {wrong} wrong lines left out."
        )


def _print_batch(
    batch: rules.PayoutBatch,
    totals: list[rules.Total],
    left_out: list[rules.SkippedLine],
    *,
    as_json: bool,
) -> None:
    shown = rules.public(batch, totals)
    if as_json:
        print_json(shown | {"skipped_lines": [rules.public_skipped(each) for each in left_out]})
        return
    console.print(f"{batch.id}: {batch.lines} payouts, {shown['status']}.")
    print_table(
        ["currency", "status", "payouts", "amount", "fee", "under review"],
        [
            [
                each["currency"],
                each["status"],
                each["count"],
                each["amount_decimal"],
                each["fee_decimal"],
                each["under_review"],
            ]
            for each in shown["totals"]
        ],
    )
    if left_out:
        console.print(f"{batch.skipped} lines were left out, and are not paid:")
        print_table(
            ["line", "column", "what is wrong"],
            [
                [each.line, fault["param"], fault["message"]]
                for each in left_out
                for fault in each.faults
            ],
        )
