"""Money at a bank for the console: an account, files both ways, a statement, a line in suspense."""

from dataclasses import replace

from sqlalchemy import Connection, func, select

from sakk.core.bank_account import Adapter, BankAccount, BankTerms
from sakk.core.bank_file import BankFile, FileKind
from sakk.core.bank_payment import BankPayment
from sakk.core.network import Currency
from sakk.core.provider_order import ProviderOrder
from sakk.flow import bank_account, bank_file, bank_statement
from sakk.flow.bank_account import AccountRequest
from sakk.rails.bank.read import read_file
from sakk.store import bank_account as accounts
from sakk.store import bank_file as files
from sakk.store import bank_payment as payments
from sakk.store import bank_statement as statements
from sakk.store import network as networks
from sakk.store import provider_order as providers
from sakk.store.database import Database
from sakk.store.identity import new_id, now
from tests.api.banking import ordered
from tests.rails.test_bank_files import camt, entry

HOSTILE = "<script>alert(1)</script>\u202e=1+1"


def put_lines(database: Database, account: str) -> dict[str, str]:
    """The operator's alone, but for whose money it may be."""
    moment = now()
    with database.begin() as connection:
        networks.put_currency(connection, Currency("eur", "Euro", "fiat", 2, None, None, moment))
        own = _own(connection)
        earlier = connection.execute(
            select(func.count()).select_from(statements.bank_statements)
        ).scalar_one()
        content = camt(entry("5.00", "CRDT"), closing="15.00").encode()
        came: BankFile = bank_file.take_in(
            connection,
            content + b"\n" * earlier,
            name=HOSTILE,
            bank_account=own.id,
            livemode=False,
            now=moment,
        )
        [read] = read_file(content).statements
        units = 500 + earlier
        named = [
            replace(each, units=units, counterparty_name=HOSTILE, remittance="?")
            for each in read.lines
        ]
        last = statements.newest_of(connection, [own.id]).get(own.id)
        opening = 1_000 if last is None else last.closing_units
        read = replace(
            read,
            lines=named,
            opening_units=opening,
            closing_units=opening + units,
            reference=new_id("ref"),
        )
        told = bank_statement.take_in(connection, read, own, came, FileKind.statement, now=moment)
        statements.accept(connection, told.id, now=moment)
        [line] = statements.lines_of(connection, told.id, after=0, limit=1)
        statements.change_line(
            connection, line.id, {"outcome": "suspense", "status": "booked", "booked_at": moment}
        )
        went = replace(
            came,
            id=new_id("bf"),
            way="out",
            kind="pain.001",
            status="sent",
            sha256=new_id("hash"),
            done_at=moment,
        )
        files.insert(connection, went, b"<Document/>")
        order = replace(
            ordered(own.id, own.id, went.id, account),
            end_to_end_id=new_id("e2e")[-30:].upper(),
            status="rejected",
            reason_code="AC04",
            reason=HOSTILE,
        )
        asked = asked_of(order)
        payments.insert_many(connection, [order])
        providers.insert_many(connection, [asked])
        merchants = _of_merchant(connection, account)
    return {
        "bank_account": own.id,
        "bank_file": went.id,
        "came_file": came.id,
        "bank_statement": told.id,
        "bank_line": line.id,
        "provider_order": asked.id,
        **merchants,
    }


def _of_merchant(connection: Connection, account: str) -> dict[str, str]:
    """Whom an account pays by bank, and by which reference it is paid."""
    payee = bank_account.create(
        connection,
        AccountRequest(holder="Anna Müller", currency="eur", iban="FR7630006000011234567890189"),
        identifier=new_id("ba"),
        account_id=account,
        livemode=False,
        now=now(),
    )
    reference, _ = bank_account.create_reference(
        connection,
        identifier=new_id("bref"),
        bank_account=None,
        currency="eur",
        account_id=account,
        livemode=False,
        metadata=None,
        now=now(),
    )
    return {"payee": payee.id, "bank_reference": reference.id}


def asked_of(payment: BankPayment) -> ProviderOrder:
    """An order at a provider, which asks why, and for a document."""
    asked = {"asked_at": 1_700_000_000, "answer": None, "refusal": None}
    return ProviderOrder(
        id=new_id("pvo"),
        account_id=payment.account_id,
        livemode=False,
        payout=payment.payout,
        payment=payment.id,
        bank_account=payment.bank_account,
        provider="sandbox",
        units=payment.units,
        fee_units=1,
        currency=payment.currency,
        decimals=payment.decimals,
        status="information_required",
        reference="SP-1",
        questions=[
            {"id": "purpose", "text": HOSTILE, "wants_file": False, **asked},
            {"id": "invoice", "text": "The invoice?", "wants_file": True, **asked},
        ],
        created=payment.created,
    )


def _own(connection: Connection) -> BankAccount:
    """The operator's account, the one that is there if it is."""
    known = accounts.list_own(connection)
    if known:
        return known[0]
    made = bank_account.create(
        connection,
        AccountRequest(
            holder="Sakk Operator",
            currency="eur",
            iban="DE89370400440532013000",
            terms=BankTerms("acme", adapter=Adapter.sandbox),
            opening_units=1_000,
        ),
        identifier=new_id("ba"),
        account_id=None,
        livemode=False,
        now=now(),
    )
    accounts.approve(connection, made.id, now=made.created)
    return replace(made, approved_at=made.created)
