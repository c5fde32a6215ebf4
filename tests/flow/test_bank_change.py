"""Accounts of the operator at banks: nothing is believed of one that one person alone opened."""

from dataclasses import replace
from typing import Any

import pytest
from tests.core.test_provider_order import order
from tests.flow.banking import (
    IBAN,
    OPENING,
    deliver,
    lines,
    look,
    own_account,
    pay_in,
    pay_out,
    payee,
    payments,
    reference,
    statements,
)
from tests.flow.harness import World
from tests.flow.policing import Desk
from tests.flow.test_bank_return import told
from tests.flow.wiring import VAULT
from tests.rails.test_bank_files import camt, entry

from sakk.core.bank_account import Adapter, BankAccount, BankTerms
from sakk.core.bank_change import BankChange, digest_of
from sakk.core.errors import (
    ApprovalStale,
    ParameterInvalid,
    ParameterMissing,
    PermissionDenied,
    ResourceMissing,
    SamePerson,
    StepUpRequired,
    UnexpectedState,
)
from sakk.flow import bank_change
from sakk.flow.bank_account import AccountRequest
from sakk.flow.step_up import StepUp
from sakk.ledger.projection import wait_projected
from sakk.store import provider_order as provider_orders
from sakk.store.bank_account import list_closed
from sakk.store.bank_statement import change_line
from sakk.store.database import update_records
from sakk.store.identity import new_id

TERMS = BankTerms("theirs", adapter=Adapter.sandbox, calendar=None)
REQUEST = AccountRequest(holder="Sakk", currency="eur", iban=IBAN, terms=TERMS)


class Two:
    """Two persons of finance."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.desk = Desk(world.database, world.account, now=world.clock())
        self.one, self.two = (self.desk.member(name, "finance") for name in ("fay", "fin"))

    def open(self, by: Any = None, **changes: Any) -> tuple[BankAccount, BankChange]:
        with self.world.database.begin() as connection:
            return bank_change.open_account(
                connection,
                replace(REQUEST, **changes),
                identifier=new_id("ba"),
                actor=(by or self.one).actor,
                livemode=False,
                now=self.world.clock(),
            )

    def connect(self, account: str, **told: Any) -> tuple[BankAccount, BankChange]:
        with self.world.database.begin() as connection:
            return bank_change.connect(
                connection,
                account,
                actor=self.one.actor,
                livemode=False,
                vault=VAULT,
                now=self.world.clock(),
                **told,
            )

    def close(self, account: str, by: Any = None) -> tuple[BankAccount, BankChange]:
        with self.world.database.begin() as connection:
            return bank_change.close(
                connection,
                account,
                actor=(by or self.one).actor,
                livemode=False,
                now=self.world.clock(),
            )

    def confirm(self, account: str, digest: str, by: Any = None, **step_up: Any) -> BankAccount:
        who = by or self.two
        word = who.yes(digest, StepUp(**step_up) if step_up else None)
        return bank_change.confirm(self.desk.parts, account, word, livemode=False)


def test_an_account_that_one_person_opened_credits_nobody(world: World) -> None:
    two = Two(world)
    with pytest.raises(PermissionDenied):
        two.open(two.desk.member("amy", "approver"))
    own, change = two.open()
    digest = digest_of(change, own)
    told = camt(entry("5.00", "CRDT"), opening="0.00", closing="5.00").encode()
    # It has no references, pays nobody, and what its bank leaves or somebody brings is not read.
    with pytest.raises(ParameterInvalid, match="no such bank account"):
        reference(world)
    with pytest.raises(ParameterInvalid, match="no bank account that pays"):
        pay_out(world, payee(world), 100)
    pay_in(world, own, 700, "hello")
    deliver(world, own.id, told)
    assert (statements(world), lines(world)) == ([], [])
    with pytest.raises(ParameterInvalid, match="this account already"):
        two.open()
    with pytest.raises(UnexpectedState, match="approves this account first"):
        two.connect(own.id, address="sftp://a@b.example/c")
    with pytest.raises(SamePerson):
        two.confirm(own.id, digest, two.one)
    with pytest.raises(ApprovalStale):
        two.confirm(own.id, "0" * 64)
    with pytest.raises(StepUpRequired):
        two.confirm(own.id, digest, code=None)
    assert two.confirm(own.id, digest).approved_at is not None
    with pytest.raises(UnexpectedState, match="Nobody has proposed"):
        two.confirm(own.id, digest)
    told_again = reference(world)
    pay_in(world, own, 300, told_again)
    assert world.balance("eur") == 300
    assert {each.units for each in lines(world)} == {700, 300}
    world.check()


def test_what_was_refused_is_gone_and_its_names_are_free(world: World) -> None:
    two = Two(world)
    own, change = two.open()
    bank_change.decline(two.desk.parts, own.id, actor=two.two.actor, livemode=False)
    with pytest.raises(ResourceMissing):
        two.confirm(own.id, digest_of(change, own))
    again, _ = two.open()
    assert again.id != own.id


def test_how_a_bank_is_gone_to_is_changed_by_two(world: World) -> None:
    two = Two(world)
    terms: dict[str, Any] = {"adapter": Adapter.http, "address": "https://bank.example/v1"}
    own = own_account(world, opening=OPENING, **terms)
    with pytest.raises(ParameterMissing):
        two.connect(own.id)
    _, change = two.connect(own.id, address="https://thief.example/v1", secret="t-1")
    with pytest.raises(UnexpectedState, match="another change"):
        two.connect(own.id, secret="t-2")
    bank_change.decline(two.desk.parts, own.id, actor=two.two.actor, livemode=False)
    _, change = two.connect(own.id, secret="t-2")
    after = two.confirm(own.id, digest_of(change, own))
    assert after.secret is not None
    assert VAULT.open(after.secret, f"bank secret {own.id}") == "t-2"
    assert (after.terms or {})["address"] == terms["address"]
    # What is changed next keeps it, and waits while a provider has orders that it alone knows.
    _, change = two.connect(own.id, address="https://bank.example/v2")
    with world.database.begin() as connection:
        provider_orders.insert_many(connection, [replace(order("placed"), bank_account=own.id)])
    with pytest.raises(UnexpectedState, match="orders of this account"):
        two.confirm(own.id, digest_of(change, after))
    with world.database.begin() as connection:
        ended = {"id": order().id, "status": "paid"}
        update_records(connection, provider_orders.provider_orders, [ended])
    last = two.confirm(own.id, digest_of(change, after))
    assert (last.secret, (last.terms or {})["address"]) == (after.secret, "https://bank.example/v2")


def test_an_account_that_is_empty_is_closed_by_two_and_its_books_stay(world: World) -> None:
    two = Two(world)
    own = own_account(world, opening=0)
    pay_in(world, own, 300, reference(world))
    wait_projected(world.database.url)
    with pytest.raises(UnexpectedState, match="is not empty"):
        two.close(own.id)
    pay_out(world, payee(world), 300)
    world.run_only("bank.screen", "payout.decide", "bank.order")
    with pytest.raises(UnexpectedState, match="still on their way"):
        two.close(own.id)
    look(world)
    look(world)
    assert [each.status for each in payments(world)] == ["booked"]
    wait_projected(world.database.url)
    _, change = two.close(own.id)
    with pytest.raises(UnexpectedState, match="another change"):
        two.close(own.id)
    with pytest.raises(SamePerson):
        two.confirm(own.id, digest_of(change, own), two.one)
    # What comes in between keeps it open.
    pay_in(world, own, 100, "whose?")
    with pytest.raises(UnexpectedState, match="Lines of this account"):
        two.confirm(own.id, digest_of(change, own))
    with world.database.begin() as connection:
        stray = next(each for each in lines(world) if each.outcome == "suspense")
        change_line(connection, stray.id, {"outcome": "assigned"})
    with pytest.raises(UnexpectedState, match="is not empty"):
        two.confirm(own.id, digest_of(change, own))
    bank_change.decline(two.desk.parts, own.id, actor=two.two.actor, livemode=False)


def test_a_charge_of_the_bank_keeps_no_account_open_and_an_unread_statement_does(
    world: World,
) -> None:
    two = Two(world)
    own = own_account(world, opening=500)
    deliver(world, own.id, told(500, (-500, None)))
    wait_projected(world.database.url)
    [charge] = lines(world)
    assert (charge.units, charge.outcome, charge.status) == (-500, "suspense", "booked")
    _, change = two.close(own.id)
    # What came after one that is missing still is money: nobody closes an account over it.
    deliver(world, own.id, told(700, (300, "Late"), number=3))
    assert statements(world)[-1].status == "waiting"
    with pytest.raises(UnexpectedState, match="Lines of this account"):
        two.confirm(own.id, digest_of(change, own))


def test_what_is_closed_is_used_no_more_and_its_names_are_free(world: World) -> None:
    two = Two(world)
    own = own_account(world, opening=0)
    _, change = two.close(own.id)
    assert two.confirm(own.id, digest_of(change, own)).deleted
    with pytest.raises(ParameterInvalid, match="no such bank account"):
        reference(world)
    deliver(world, own.id, camt(entry("5.00", "CRDT"), opening="0.00", closing="5.00").encode())
    assert statements(world) == []
    with pytest.raises(ResourceMissing):
        two.close(own.id)
    again, opened = two.open(iban=IBAN)
    assert two.confirm(again.id, digest_of(opened, again)).approved_at is not None
    with world.database.begin() as connection:
        assert [each.id for each in list_closed(connection, livemode=False, limit=9)] == [own.id]
