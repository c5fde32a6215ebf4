"""Money at the sandbox's bank, for the flow's tests."""

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, select, update
from tests.flow.harness import World
from tests.flow.wiring import VAULT

from sakk.core import chart
from sakk.core.bank_account import Adapter, BankAccount, BankTerms
from sakk.core.bank_payment import BankPayment
from sakk.core.bank_proof import findings_of_banks
from sakk.core.bank_statement import BankLine, BankStatement
from sakk.core.beneficiary import Wanted
from sakk.core.payout import Payout, PayoutRequest
from sakk.core.reconciliation import Finding
from sakk.flow import bank_account, bank_file, payout
from sakk.flow.bank_account import AccountRequest
from sakk.ledger.projection import wait_projected
from sakk.rails.bank.adapters import sandbox_bank
from sakk.rails.bank.sandbox import SandboxBank
from sakk.screening.importers import import_list
from sakk.store import bank_account as accounts
from sakk.store.bank_file import bank_files
from sakk.store.bank_payment import bank_payments
from sakk.store.bank_proof import read_moment
from sakk.store.bank_statement import bank_lines, bank_statements
from sakk.store.database import fetch_all
from sakk.store.identity import new_id

IBAN = "DE89370400440532013000"
PAYEE = "FR7630006000011234567890189"
UNIT = "test/eur"
OPENING = 1_000_000
# Of a bank that orders until four in the afternoon.
MORNING = 8


def morning(now: datetime) -> str:
    """Where it is morning, whenever a test runs: an hour on it is still before the cut-off."""
    ahead = (MORNING - now.hour + 12) % 24 - 12
    # By POSIX, whose signs count westward.
    return f"Etc/GMT{-ahead:+d}"


def own_account(world: World, *, opening: int = OPENING, **terms: Any) -> BankAccount:
    """The operator's account at the sandbox's bank, where it is morning."""
    given: dict[str, Any] = {
        "folder": "acme",
        "adapter": Adapter.sandbox,
        "calendar": None,
        "timezone": morning(world.clock()),
        **terms,
    }
    with world.database.begin() as connection:
        made = bank_account.create(
            connection,
            AccountRequest(
                holder="Sakk Operator",
                currency="eur",
                iban=IBAN,
                terms=BankTerms(**given),
                opening_units=opening,
            ),
            identifier=new_id("ba"),
            account_id=None,
            livemode=False,
            now=world.clock(),
        )
        return approved(connection, made)


def approved(connection: Connection, made: BankAccount) -> BankAccount:
    """One of the operator's own, as a second person leaves it."""
    accounts.approve(connection, made.id, now=made.created)
    return replace(made, approved_at=made.created)


def given_secret(world: World, own: BankAccount, secret: str) -> None:
    """By what a bank's interface knows us, as two people left it."""
    assert own.terms is not None
    sealed = VAULT.seal(secret, f"bank secret {own.id}")
    with world.database.begin() as connection:
        accounts.connect(connection, own.id, terms=own.terms, secret=sealed)


def payee(world: World, holder: str = "Anna Müller", iban: str = PAYEE) -> BankAccount:
    """Somebody's account, in the merchant's book."""
    with world.database.begin() as connection:
        return bank_account.create(
            connection,
            AccountRequest(holder=holder, currency="eur", iban=iban),
            identifier=new_id("ba"),
            account_id=world.account,
            livemode=False,
            now=world.clock(),
        )


def reference(world: World, account: str | None = None) -> str:
    """The merchant's reference at the operator's account."""
    with world.database.begin() as connection:
        made, _ = bank_account.create_reference(
            connection,
            identifier=new_id("bref"),
            bank_account=None,
            currency="eur",
            account_id=account or world.account,
            livemode=False,
            metadata=None,
            now=world.clock(),
        )
    return made.reference


def sandbox(world: World, own: BankAccount) -> SandboxBank:
    return sandbox_bank(folder(world).parent, own)


def folder(world: World) -> Path:
    """What the sandbox's bank leaves and takes."""
    return world.directory / "banks" / "acme"


def pay_in(world: World, own: BankAccount, units: int, told: str, name: str = "Payer") -> None:
    """Somebody pays into the operator's account, and every stage runs."""
    sandbox(world, own).pay_in(units=units, name=name, iban=PAYEE, remittance=told)
    look(world)


def look(world: World) -> None:
    """Time passes until banks are looked at again, and every stage runs."""
    world.advance(timedelta(seconds=5))
    world.run()


def deliver(world: World, own: str | None, *contents: bytes) -> None:
    """Files come in, whatever they are, and every stage runs."""
    for content in contents:
        with world.database.begin() as connection:
            bank_file.take_in(
                connection,
                content,
                name="statement.xml",
                bank_account=own,
                livemode=False,
                now=world.clock(),
                brought_by="per_1" if own is None else None,
            )
            if own is None:
                # As another person leaves it.
                waits = bank_files.c.status == "awaiting"
                connection.execute(update(bank_files).where(waits).values(status="received"))
        world.run_only("bank.read", "bank.match", "bank.book")


def pay_out(world: World, to: BankAccount, units: int, **request: Any) -> Payout:
    """Ask for a payout to a bank account; the stages do the rest."""
    return payout.create(
        world.parts,
        PayoutRequest(
            amount=units, currency="eur", destination=Wanted(bank_account=to.id), **request
        ),
        identifier=new_id("po"),
        account_id=world.account,
        livemode=False,
    ).run(world.database)


def at_bank(world: World, own: BankAccount) -> int:
    """What the ledger says the bank has."""
    return -world.ledger(chart.bank(own.id, UNIT))


def suspense(world: World, own: BankAccount) -> int:
    return world.ledger(chart.bank_suspense(own.id, UNIT))


def payments(world: World) -> list[BankPayment]:
    return _rows(world, bank_payments, BankPayment)


def statements(world: World) -> list[BankStatement]:
    return _rows(world, bank_statements, BankStatement)


def lines(world: World) -> list[BankLine]:
    return _rows(world, bank_lines, BankLine)


def _rows(world: World, table: Any, kind: type[Any]) -> list[Any]:
    with world.database.begin() as connection:
        return fetch_all(connection, select(table).order_by(table.c.id), kind)


def sanctioned(world: World, name: str) -> None:
    """A name is on a list of sanctions."""
    path = world.directory / "names.csv"
    path.write_text(f"ref,name,kind,birth\n1,{name},person,\n")
    import_list(world.database, path, name="own", kind="sanctions", now=world.clock())


def found_at_banks(world: World) -> list[Finding]:
    """What the proof of banks finds now."""
    wait_projected(world.database.url)
    with world.database.begin() as connection:
        moment = read_moment(connection, livemode=False)
    return findings_of_banks(moment, now=world.clock())
