"""Money at a bank, as objects of the API."""

from dataclasses import replace
from hashlib import sha256

from sakk.core.bank_account import Adapter, BankTerms
from sakk.core.bank_file import BankFile, FileKind
from sakk.core.bank_payment import BankPayment
from sakk.core.bank_return import BankReturn
from sakk.core.bank_statement import BankLine
from sakk.core.network import Currency
from sakk.core.provider_order import ProviderOrder
from sakk.flow import bank_account, bank_file, bank_statement
from sakk.flow.bank_account import AccountRequest
from sakk.rails.bank.read import read_file
from sakk.store import bank_account as accounts
from sakk.store import bank_payment as payments
from sakk.store import bank_return as returns
from sakk.store import bank_statement as statements
from sakk.store import network as network_store
from sakk.store import provider_order as providers
from sakk.store.identity import new_id, now
from tests.api.world import Api
from tests.rails.test_bank_files import camt, entry


def put_bank(api: Api) -> dict[str, str]:
    """The operator's account, whom Alice pays, what was ordered, and what the bank told."""
    moment, alice = now(), api.world.alice.account
    terms = BankTerms("acme", adapter=Adapter.sandbox)
    request = AccountRequest(holder="Sakk", currency="eur", iban="DE89370400440532013000")
    with api.database.begin() as connection:
        euro = Currency("eur", "Euro", "fiat", 2, None, None, moment)
        network_store.put_currency(connection, euro)
        own = bank_account.create(
            connection,
            replace(request, terms=terms, opening_units=1_000),
            identifier=new_id("ba"),
            account_id=None,
            livemode=False,
            now=moment,
        )
        accounts.approve(connection, own.id, now=moment)
        own = replace(own, approved_at=moment)
        payee = bank_account.create(
            connection,
            request,
            identifier=new_id("ba"),
            account_id=alice,
            livemode=False,
            now=moment,
        )
        reference, _ = bank_account.create_reference(
            connection,
            identifier=new_id("bref"),
            bank_account=own.id,
            currency="eur",
            account_id=alice,
            livemode=False,
            metadata=None,
            now=moment,
        )
        content = camt(entry("5.00", "CRDT"), closing="15.00").encode()
        file: BankFile = bank_file.take_in(
            connection,
            content,
            name="camt.xml",
            bank_account=own.id,
            livemode=False,
            now=moment,
        )
        [read] = read_file(content).statements
        told = bank_statement.take_in(connection, read, own, file, FileKind.statement, now=moment)
        [line] = statements.lines_of(connection, told.id, after=0, limit=1)
        statements.change_line(connection, line.id, {"account_id": alice, "outcome": "payin"})
        payment = ordered(own.id, payee.id, file.id, alice)
        payments.insert_many(connection, [payment])
        provided = _provided(payment)
        providers.insert_many(connection, [provided])
        back = _sent_back(line)
        returns.insert(connection, back)
    return {
        "bank_account": payee.id,
        "bank_reference": reference.id,
        "bank_file": file.id,
        "bank_payment": payment.id,
        "provider_order": provided.id,
        "bank_statement": told.id,
        "bank_line": line.id,
        "bank_return": back.id,
    }


def _sent_back(line: BankLine) -> BankReturn:
    """A return that the bank refused."""
    return BankReturn(
        id=new_id("bret"),
        livemode=False,
        line=line.id,
        bank_account=line.bank_account,
        units=line.units,
        currency=line.currency,
        decimals=line.decimals,
        holder="Petra",
        by_hand=True,
        fee_max=0,
        note=None,
        line_outcome="suspense",
        status="rejected",
        end_to_end_id=new_id("bret")[-26:].upper(),
        proposed_by="per_1",
        created=line.created,
    )


def _provided(payment: BankPayment) -> ProviderOrder:
    """An order at a provider, which has asked for something."""
    question = {
        "id": "purpose",
        "text": "Why?",
        "wants_file": False,
        "asked_at": 1,
        "answer": None,
    }
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
        questions=[question],
        created=payment.created,
    )


def ordered(own: str, payee: str, file: str, account: str) -> BankPayment:
    moment = now()
    return BankPayment(
        id=new_id("bp"),
        account_id=account,
        livemode=False,
        payout=new_id("po"),
        bank_account=own,
        destination=payee,
        file=file,
        number=1,
        units=500,
        currency="eur",
        decimals=2,
        end_to_end_id=sha256(own.encode()).hexdigest()[:30].upper(),
        execution_date=moment.date(),
        status="booked",
        created=moment,
    )
