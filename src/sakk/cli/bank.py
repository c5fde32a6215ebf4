"""``sakk bank``: the operator's bank accounts, files, statements, and what waits for a person."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from sqlalchemy import Connection, select

from sakk.cli import bank_return
from sakk.cli.acting import Code, acting, opened_parts, yes_to
from sakk.cli.mode import Live
from sakk.cli.open import opened_database
from sakk.cli.out import Json, console, print_json, print_table
from sakk.core import bank_assignment as assignment_rules
from sakk.core import bank_change as change_rules
from sakk.core import bank_file as file_rules
from sakk.core import bank_statement as statement_rules
from sakk.core import money
from sakk.core.bank_account import (
    FEE_FLOOR,
    FEE_FLOOR_MAX,
    FEE_PPM_MAX,
    Adapter,
    BankAccount,
    BankTerms,
    OrderFormat,
    Profile,
    StatementFormat,
    minor_units,
    public,
    read_terms,
)
from sakk.core.bank_change import BankChange
from sakk.core.bank_file import FILE_BYTES_MAX, BankFile
from sakk.core.bank_statement import BankLine, BankStatement, StatementStatus
from sakk.core.errors import ParameterInvalid, ResourceMissing
from sakk.flow import bank_account as accounts
from sakk.flow import bank_assignment, bank_change, bank_release
from sakk.rails.bank.adapters import sandbox_bank
from sakk.rails.bank.sftp_key import public_key
from sakk.runtime.settings import Settings
from sakk.store import bank_account as account_store
from sakk.store import bank_change as changes
from sakk.store.bank_file import bank_files, content_of
from sakk.store.bank_statement import bank_lines, bank_statements, find_line
from sakk.store.database import fetch_all
from sakk.store.identity import new_id, now

FeePpm = Annotated[
    int | None,
    typer.Option(min=0, max=1_000_000, help="What a provider may take, in millionths."),
]
FeeFloor = Annotated[
    int | None,
    typer.Option(min=0, max=FEE_FLOOR_MAX, help="What of any amount, in the smallest unit."),
]
Trust = Annotated[
    Path | None,
    typer.Option(exists=True, dir_okay=False, help="The server's host key, or its authority."),
]
app = typer.Typer(help="Money at banks.", no_args_is_help=True)
app.add_typer(bank_return.app, name="returns")

SHOWN_MAX = 200
AccountId = Annotated[str, typer.Argument(help="ba_…, the operator's own.")]


@app.command(name="open")
def open_account(
    holder: Annotated[str, typer.Argument(help="As the bank has it.")],
    currency: Annotated[str, typer.Argument(help="Such as eur.")],
    folder: Annotated[str, typer.Option(help="Its folder's name in SAKK_BANK_DIR.")],
    iban: Annotated[str | None, typer.Option(help="Or number, country and bank.")] = None,
    bic: Annotated[str | None, typer.Option(help="Found by the IBAN if left out.")] = None,
    number: Annotated[str | None, typer.Option(help="The account's number, without IBAN.")] = None,
    country: Annotated[str | None, typer.Option(help="With a number: ISO 3166.")] = None,
    bank_code: Annotated[str | None, typer.Option(help="With a number: the bank's.")] = None,
    opening: Annotated[str, typer.Option(help="What stood there before its statements.")] = "0",
    adapter: Annotated[Adapter, typer.Option(help="How files go.")] = Adapter.folder,
    profile: Annotated[Profile, typer.Option(help="Which rules orders follow.")] = Profile.sepa,
    order_format: Annotated[
        OrderFormat, typer.Option("--format", help="Of orders.")
    ] = OrderFormat.v09,
    calendar: Annotated[str, typer.Option(help="ECB, or a country; none: every day.")] = "ECB",
    cutoff: Annotated[str, typer.Option(help="Local time.")] = "16:00",
    timezone: Annotated[str, typer.Option(help="IANA's name.")] = "Europe/Berlin",
    batch_minutes: Annotated[int, typer.Option(min=0, max=1_440, help="A file so often.")] = 0,
    provider: Annotated[str | None, typer.Option(help="With the adapter provider: its name.")] = (
        None
    ),
    provider_account: Annotated[
        str | None, typer.Option(help="By what it knows us: at Wise the profile's number.")
    ] = None,
    fee_ppm_max: FeePpm = None,
    fee_floor: FeeFloor = None,
    statement_format: Annotated[
        StatementFormat, typer.Option("--statements", help="Of the sandbox's bank.")
    ] = StatementFormat.camt053,
    address: Annotated[
        str | None, typer.Option(help="sftp://user@host:port/folder, or https://host/path.")
    ] = None,
    trust: Trust = None,
    live: Live = False,
    as_json: Json = False,
) -> None:
    """Write one of the operator's own accounts down."""
    terms = BankTerms(
        folder=folder,
        adapter=adapter,
        profile=profile,
        format=order_format,
        calendar=None if calendar == "none" else calendar,
        cutoff=cutoff,
        timezone=timezone,
        batch_minutes=batch_minutes,
        address=address,
        trust=None if trust is None else trust.read_text().strip(),
        statements=statement_format,
        provider=provider,
        provider_account=provider_account,
        fee_ppm_max=FEE_PPM_MAX if fee_ppm_max is None else fee_ppm_max,
        fee_floor=FEE_FLOOR if fee_floor is None else fee_floor,
    )
    request = accounts.AccountRequest(
        holder=holder,
        currency=currency.lower(),
        iban=iban,
        bic=bic,
        country=country,
        number=number,
        bank_code=bank_code,
        terms=terms,
        opening_units=_units(opening, currency.lower()),
    )
    made, change = _opened(request, live=live)
    _tell(made, change, where=address or str(Settings().banks / folder), as_json=as_json)


def _tell(made: BankAccount, change: BankChange, *, where: str, as_json: bool) -> None:
    if as_json:
        said = change_rules.public(change, made)
        print_json(public(made, now=made.created, operator=True, change=said))
        return
    console.print(f"{made.id}: files go by {where}")
    digest = change_rules.digest_of(change, made)
    console.print(f"It is used when another person approves it; digest {digest}")


def _opened(request: accounts.AccountRequest, *, live: bool) -> tuple[BankAccount, BankChange]:
    with opened_parts() as parts:
        actor = acting(parts, livemode=live)
        with parts.database.begin() as connection:
            return bank_change.open_account(
                connection,
                request,
                identifier=new_id("ba"),
                actor=actor,
                livemode=live,
                now=now(),
            )


@app.command()
def connect(
    account: AccountId,
    address: Annotated[str | None, typer.Option(help="Where the bank's server is now.")] = None,
    trust: Trust = None,
    secret: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="A token, or certificate and key as PEM."),
    ] = None,
    new_key: Annotated[bool, typer.Option(help="Use the next key by SFTP.")] = False,
    fee_ppm_max: FeePpm = None,
    fee_floor: FeeFloor = None,
    live: Live = False,
    as_json: Json = False,
) -> None:
    """Say how a bank's server is gone to, which another person approves, and show our public key.

    Without an option, the key alone: the bank has to know it.
    """
    with opened_parts() as parts:
        given = (address, trust, secret, fee_ppm_max, fee_floor)
        asked = new_key or any(each is not None for each in given)
        try:
            vault, change = parts.secrets_vault(), None
            actor = acting(parts, livemode=live)
            with parts.database.begin() as connection:
                found = accounts.find(connection, account, account_id=None, livemode=live)
                if asked:
                    found, change = bank_change.connect(
                        connection,
                        account,
                        address=address,
                        trust=None if trust is None else trust.read_text(),
                        secret=None if secret is None else secret.read_text(),
                        new_key=new_key,
                        fee_ppm_max=fee_ppm_max,
                        fee_floor=fee_floor,
                        actor=actor,
                        livemode=live,
                        vault=vault,
                        now=now(),
                    )
        finally:
            parts.database.close()
    # As it is when what is proposed is approved: the bank has to know the key by then.
    after = found if change is None else replace(found, terms=change.terms)
    terms = read_terms(after.terms or {})
    said = None if change is None else change_rules.public(change, found)
    shown = {
        "bank_account": found.id,
        "adapter": terms.adapter.value,
        "address": terms.address,
        "public_key": public_key(vault, after) if terms.adapter is Adapter.sftp else None,
        "has_secret": found.secret is not None or (said is not None and said["has_secret"]),
        "digest": None if said is None else said["digest"],
    }
    if as_json:
        print_json(shown)
        return
    print_table(["", ""], [[name, str(value)] for name, value in shown.items()])


@app.command()
def close(account: AccountId, live: Live = False) -> None:
    """Propose that an account is used no more, which another person approves; its books stay."""
    with opened_parts() as parts:
        actor = acting(parts, livemode=live)
        with parts.database.begin() as connection:
            found, change = bank_change.close(
                connection, account, actor=actor, livemode=live, now=now()
            )
    console.print(f"{account} is closed when another person approves it;")
    console.print(f"digest {change_rules.digest_of(change, found)}")


@app.command()
def approve(
    account: AccountId,
    digest: Annotated[str, typer.Argument(help="Of what was proposed.")],
    code: Code = None,
    live: Live = False,
) -> None:
    """Approve an account, or a change of it, that another person proposed."""
    with opened_parts() as parts:
        bank_change.confirm(
            parts, account, yes_to(parts, digest, code=code, live=live), livemode=live
        )
    console.print(f"{account} is used as it was shown.")


@app.command()
def refuse(account: AccountId, live: Live = False) -> None:
    """Refuse what was proposed of an account, or take it back."""
    with opened_parts() as parts:
        bank_change.decline(parts, account, actor=acting(parts, livemode=live), livemode=live)
    console.print(f"{account}: what was proposed is gone.")


@app.command(name="accounts")
def list_accounts(as_json: Json = False) -> None:
    """List the operator's own accounts."""
    with opened_database() as database, database.begin() as connection:
        rows = account_store.list_own(connection)
        said = changes.of_accounts(connection, [row.id for row in rows])
    shown = [
        public(
            row,
            now=now(),
            operator=True,
            change=change_rules.public(said[row.id], row) if row.id in said else None,
        )
        for row in rows
    ]
    if as_json:
        print_json(shown)
        return
    print_table(
        ["id", "holder", "account", "currency", "folder", "status", "proposed"],
        [
            [
                *(each["id"], each["holder"], each["iban"] or each["number"], each["currency"]),
                *(each["terms"]["folder"], each["status"], _proposed(each["change"])),
            ]
            for each in shown
        ],
    )


def _proposed(change: dict[str, Any] | None) -> str:
    """What waits for another person, with the digest to approve it by."""
    if change is None or change["digest"] is None:
        return ""
    return f"{change['kind']} by {change['by']}: {change['digest']}"


@app.command()
def files(as_json: Json = False) -> None:
    """List the newest files, to banks and from them."""
    table = bank_files
    statement = select(table).order_by(table.c.id.desc()).limit(SHOWN_MAX)
    with opened_database() as database, database.begin() as connection:
        rows = fetch_all(connection, statement, BankFile)
    shown = [file_rules.public(row) for row in rows]
    if as_json:
        print_json(shown)
        return
    fields = ("id", "way", "kind", "status", "size", "name", "brought_by", "reason")
    print_table(list(fields), [[each[name] for name in fields] for each in shown])


@app.command(name="import")
def import_file(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="What a bank sent.")],
    live: Live = False,
) -> None:
    """Bring a file that a bank sent by hand; it is read when another person has released it."""
    with file.open("rb") as opened:
        content = opened.read(FILE_BYTES_MAX + 1)
    with opened_parts() as parts:
        actor = acting(parts, livemode=live)
        with parts.database.begin() as connection:
            row = bank_release.bring(
                connection, content, name=file.name, actor=actor, livemode=live, now=now()
            )
    console.print(f"{row.id}: {row.status}, {row.sha256}")


@app.command()
def release(
    identifier: Annotated[str, typer.Argument(help="bf_…, which somebody brought.")],
    sha256: Annotated[str, typer.Argument(help="Of the bytes that you looked at.")],
    code: Code = None,
    live: Live = False,
) -> None:
    """Stand for a file that another person brought; a worker reads it a moment later."""
    with opened_parts() as parts:
        word = yes_to(parts, sha256, code=code, live=live)
        bank_release.release(parts, identifier, word, livemode=live)
    console.print(f"{identifier} is being read.")


@app.command()
def discard(
    identifier: Annotated[str, typer.Argument(help="bf_…, which somebody brought.")],
    live: Live = False,
) -> None:
    """Refuse a file that was brought, or take it back."""
    with opened_parts() as parts:
        bank_release.refuse(parts, identifier, actor=acting(parts, livemode=live), livemode=live)
    console.print(f"{identifier} is not read.")


@app.command()
def export(
    identifier: Annotated[str, typer.Argument(help="bf_…")],
    file: Annotated[Path | None, typer.Option("--file", help="Write it here.")] = None,
) -> None:
    """Write a file's bytes, as they went or came."""
    with opened_database() as database, database.begin() as connection:
        found = fetch_all(
            connection, select(bank_files).where(bank_files.c.id == identifier), BankFile
        )
        if not found:
            raise ResourceMissing(f"No such bank file: {identifier!r}.", param="id")
        content = content_of(connection, identifier)
    if file is None:
        sys.stdout.buffer.write(content)
        return
    file.write_bytes(content)


@app.command()
def statements(
    status: Annotated[StatementStatus | None, typer.Option(help="Only these.")] = None,
    as_json: Json = False,
) -> None:
    """List the newest statements."""
    table = bank_statements
    wanted = select(table).order_by(table.c.id.desc()).limit(SHOWN_MAX)
    if status is not None:
        wanted = wanted.where(table.c.status == status.value)
    with opened_database() as database, database.begin() as connection:
        rows = fetch_all(connection, wanted, BankStatement)
    shown = [statement_rules.public(row) for row in rows]
    if as_json:
        print_json(shown)
        return
    fields = ("id", "bank_account", "to_date", "number", "status", "opening", "closing", "reason")
    print_table(list(fields), [[each[name] for name in fields] for each in shown])


@app.command()
def lines(
    is_open: Annotated[bool, typer.Option("--open", help="Only what waits for a person.")] = False,
    as_json: Json = False,
) -> None:
    """List the newest lines of statements."""
    table = bank_lines
    wanted = select(table).order_by(table.c.id.desc()).limit(SHOWN_MAX)
    if is_open:
        wanted = wanted.where(table.c.outcome.in_(["suspense", "held"]))
    with opened_database() as database, database.begin() as connection:
        rows = fetch_all(connection, wanted, BankLine)
    shown = [statement_rules.public_line(row) for row in rows]
    if as_json:
        print_json(shown)
        return
    fields = (
        *("id", "booking_date", "amount_decimal", "currency", "status", "outcome"),
        *("counterparty_name", "remittance"),
    )
    print_table(list(fields), [[each[name] for name in fields] for each in shown])


@app.command()
def assign(
    line: Annotated[str, typer.Argument(help="bl_…, in suspense.")],
    account: Annotated[str, typer.Argument(help="acct_…, whose it is.")],
    note: Annotated[str | None, typer.Option(help="Why.")] = None,
    live: Live = False,
    as_json: Json = False,
) -> None:
    """Say whose the money of a line in suspense is; another person confirms it."""
    with opened_parts() as parts:
        actor = acting(parts, livemode=live)
        made = bank_assignment.propose(
            parts, line, account_id=account, note=note, actor=actor, livemode=live
        )
        with parts.database.begin() as connection:
            found = find_line(connection, line, livemode=live)
    assert found is not None
    shown = assignment_rules.public(made, found)
    if as_json:
        print_json(shown)
        return
    console.print(f"{line} awaits a second person; digest {shown['digest']}")


@app.command(name="confirm")
def confirm_line(
    line: Annotated[str, typer.Argument(help="bl_…, of which somebody said whose it is.")],
    digest: Annotated[str, typer.Argument(help="Of what was proposed.")],
    code: Code = None,
    live: Live = False,
) -> None:
    """Confirm whose the money of a line is; the worker books it a moment later."""
    with opened_parts() as parts:
        row = bank_assignment.confirm(
            parts, line, yes_to(parts, digest, code=code, live=live), livemode=live
        )
    console.print(f"{row.id} is {row.account_id}'s.")


@app.command(name="decline")
def decline_line(
    line: Annotated[str, typer.Argument(help="bl_…, of which somebody said whose it is.")],
    live: Live = False,
) -> None:
    """Refuse what was proposed of a line, or take it back."""
    with opened_parts() as parts:
        bank_assignment.decline(parts, line, actor=acting(parts, livemode=live), livemode=live)
    console.print(f"{line} stays in suspense.")


@app.command(name="pay-in")
def pay_in(
    account: AccountId,
    amount: Annotated[str, typer.Argument(help="Such as 25.00.")],
    told: Annotated[str, typer.Argument(help="What the payer writes: the reference.")],
    name: Annotated[str, typer.Option(help="Of the payer.")] = "Petra Payer",
    iban: Annotated[str, typer.Option(help="Of the payer.")] = "FR7630006000011234567890189",
) -> None:
    """Have somebody pay into an account at the sandbox's bank."""
    with opened_database() as database, database.begin() as connection:
        found = _sandbox_account(connection, account)
    bank = sandbox_bank(Settings().banks, found)
    units = money.parse_decimal(amount, found.decimals)
    bank.pay_in(units=units, name=name, iban=iban, remittance=told)
    console.print("It is on the next statement.")


def _sandbox_account(connection: Connection, identifier: str) -> BankAccount:
    found = accounts.find(connection, identifier, account_id=None, livemode=False)
    if found.terms is None or found.terms["adapter"] != Adapter.sandbox:
        raise ParameterInvalid("This account is not at the sandbox's bank.", param="account")
    return found


def _units(text: str, currency: str) -> int:
    try:
        return money.parse_decimal(text, minor_units(currency))
    except ValueError:
        raise ParameterInvalid(f"{text!r} is no amount of {currency}.", param="opening") from None
