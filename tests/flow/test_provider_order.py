"""Payouts that the sandbox's provider carries out: lost answers, questions, locks that are over."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select
from tests.flow.banking import (
    IBAN,
    OPENING,
    at_bank,
    found_at_banks,
    lines,
    look,
    own_account,
    pay_out,
    payee,
    payments,
    suspense,
)
from tests.flow.conftest import MakeWorld
from tests.flow.harness import World
from tests.flow.money import payout_now
from tests.flow.wiring import VAULT

from sakk.core import chart
from sakk.core.bank_account import Adapter, BankAccount
from sakk.core.errors import ParameterInvalid, UnexpectedState
from sakk.core.freeze import Freeze
from sakk.core.payout import Payout
from sakk.core.posting import Posting
from sakk.core.provider_order import ProviderOrder, Standing
from sakk.flow import provider_order as flow
from sakk.flow.book import PostingSet
from sakk.rails.bank.provider import ProviderRefused, ProviderUnreachable, Wanted
from sakk.rails.bank.sandbox_provider import SandboxProvider
from sakk.store import freeze as freezes
from sakk.store.database import fetch_all
from sakk.store.identity import new_id
from sakk.store.provider_order import provider_answers, provider_orders

UNIT = "test/eur"


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    made = make_world()
    merchant = chart.merchant(made.account, "available", UNIT)
    funds = Posting(
        chart.equity_operator(UNIT), merchant, 100_000, chart.TransferCode.book_transfer
    )
    made.stages["bank.provider"] = flow.provider_stage(replace(made.parts, vault=VAULT))
    made.books.post([PostingSet(new_id("tr"), "funds", 0, [funds])])
    return made


def orders(world: World) -> dict[str, ProviderOrder]:
    """By payout."""
    with world.database.begin() as connection:
        found = fetch_all(connection, select(provider_orders), ProviderOrder)
    return {each.payout: each for each in found}


def provider(world: World) -> dict[str, Any]:
    """The provider's own books."""
    books = json.loads((world.directory / "banks" / "acme" / "books.json").read_text())
    found: dict[str, Any] = books["provider"]
    return found


def status(world: World, row: Payout) -> tuple[str, str, str | None]:
    now = payout_now(world, row)
    return now.status, now.hold, now.failure_code


def say(world: World, order: str, question: str, *, file: tuple[str, bytes] | None = None) -> None:
    with world.database.begin() as connection:
        flow.answer(
            connection,
            order,
            answer_id=new_id("pva"),
            question=question,
            text="An invoice of November.",
            file=file,
            by="officer",
            livemode=False,
            vault=VAULT,
            now=world.clock(),
        )


def test_a_provider_pays_once_whatever_is_lost(world: World) -> None:
    own = own_account(world, adapter=Adapter.provider, provider="sandbox")
    names = ("Anna", "LOST Anna", "STALE Anna", "REJECT AC04 Anna", "RETURN MD07 Anna", "RFI Anna")
    # The one whose quote is over comes first: it is the first quote of all.
    stale = pay_out(world, payee(world, "STALE Anna"), 2_000)
    look(world)
    rows = {
        name: pay_out(world, payee(world, name), 1_000) for name in names if name != "STALE Anna"
    }
    rows["STALE Anna"] = stale
    for _ in range(4):
        look(world)
    asked = rows.pop("RFI Anna")
    assert {name: status(world, row) for name, row in rows.items()} == {
        "Anna": ("posted", "posted", None),
        "LOST Anna": ("posted", "posted", None),
        "STALE Anna": ("posted", "posted", None),
        "REJECT AC04 Anna": ("failed", "voided", "bank_rejected"),
        "RETURN MD07 Anna": ("failed", "posted", "bank_returned"),
    }
    found = orders(world)
    assert found[stale.id].round == 2
    assert found[rows["LOST Anna"].id].round == 1
    # One order a payout, whatever was asked how often.
    assert len(provider(world)["orders"]) == len(names)
    assert status(world, asked) == ("broadcast", "held", None)
    order = found[asked.id]
    assert [each["id"] for each in order.questions] == ["purpose", "document"]
    assert world.event_types(operator=True).count("provider_order.information_required") == 1
    say(world, order.id, "purpose")
    with pytest.raises(UnexpectedState, match="answered already"):
        say(world, order.id, "purpose")
    with pytest.raises(ParameterInvalid, match="attach"):
        say(world, order.id, "document")
    say(world, order.id, "document", file=("invoice.pdf", b"%PDF secret"))
    with world.database.begin() as connection:
        sealed = [
            bytes(each)
            for each in connection.execute(select(provider_answers.c.sealed)).scalars()
            if each
        ]
    assert len(sealed) == 1
    assert b"secret" not in sealed[0]
    for _ in range(3):
        look(world)
    assert status(world, asked) == ("posted", "posted", None)
    given = provider(world)["orders"][order.key]["answers"]
    assert (set(given), given["document"]["file"]) == ({"purpose", "document"}, "invoice.pdf")
    # What was paid and not given back, and what the provider took for five.
    fees = 1 + 1 + 2 + 1 + 1
    assert at_bank(world, own) == OPENING - 3_000 - 2_000 - fees
    assert -world.ledger(chart.fee_network(UNIT)) == fees
    assert world.balance("eur") == 100_000 - 3_000 - 2_000
    assert suspense(world, own) == 0
    assert {each.status for each in lines(world)} == {"booked"}
    assert {each.fee_units for each in payments(world)} == {0, 1, 2}
    assert found_at_banks(world) == []


def test_a_lock_that_is_over_is_asked_for_anew_and_a_freeze_stops_the_order(world: World) -> None:
    own = own_account(world, adapter=Adapter.provider, provider="sandbox")
    row = pay_out(world, payee(world), 1_000)
    world.run_except("bank.provider")
    world.run_only("bank.provider")
    assert orders(world)[row.id].status == "locked"
    stop = Freeze(
        id=new_id("frz"),
        account_id=world.account,
        reason="drill",
        origin="cli",
        created=world.clock(),
    )
    with world.database.begin() as connection:
        freezes.insert(connection, stop)
    look(world)
    assert (orders(world)[row.id].status, provider(world)["orders"]) == ("locked", {})
    world.advance(timedelta(minutes=2))
    with world.database.begin() as connection:
        freezes.lift(connection, [stop.id], reason="over", now=world.clock())
    for _ in range(3):
        look(world)
    assert status(world, row) == ("posted", "posted", None)
    assert (orders(world)[row.id].round, len(provider(world)["orders"])) == (2, 1)
    assert at_bank(world, own) == OPENING - 1_001


def test_a_line_may_come_before_the_answer_and_a_refused_quote_waits(world: World) -> None:
    own = own_account(world, adapter=Adapter.provider, provider="sandbox")

    class Provider(SandboxProvider):
        """First no quote is good enough, then no answer comes."""

        step = "quote"

        def place(self, key: str, quote: str, wanted: Wanted) -> Standing:
            if self.step == "quote":
                raise ProviderRefused("quote_expired", "The quote is over.", is_quote=True)
            super().place(key, quote, wanted)
            return self.find(key) or pytest.fail("it has no order")

        def find(self, key: str) -> Standing | None:
            found = super().find(key)
            if self.step == "silence":
                raise ProviderUnreachable("no answer")
            return found

    def banks(account: BankAccount) -> Provider:
        return Provider(
            world.directory / "banks" / "acme",
            account=IBAN,
            currency="eur",
            opening_units=OPENING,
            opened=account.created.date(),
            clock=world.clock,
        )

    world.stages["bank.provider"] = flow.provider_stage(
        replace(world.parts, vault=VAULT, banks=banks)
    )
    row = pay_out(world, payee(world), 1_000, description="Invoice 7")
    look(world)
    # Asked again in a while, not at once for ever.
    assert (orders(world)[row.id].status, orders(world)[row.id].round) == ("new", 2)
    Provider.step = "silence"
    for _ in range(3):
        look(world)
    # The statement was here before any word of the order, and is this payout's with its fee.
    assert (orders(world)[row.id].status, status(world, row)[0]) == ("placing", "posted")
    assert (at_bank(world, own), suspense(world, own)) == (OPENING - 1_001, 0)
    assert -world.ledger(chart.fee_network(UNIT)) == 1
    Provider.step = "answers"
    world.advance(timedelta(minutes=2))
    look(world)
    assert (orders(world)[row.id].status, status(world, row)[0]) == ("paid", "posted")
    assert provider(world)["orders"][row.id]["remittance"] == "Invoice 7"
    assert found_at_banks(world) == []


def test_an_order_that_arrives_late_is_the_only_one(world: World) -> None:
    """The first place hangs on the way; until its quote is over nothing else is placed."""
    own = own_account(world, adapter=Adapter.provider, provider="sandbox")
    late: list[tuple[Any, ...]] = []

    class Slow(SandboxProvider):
        def place(self, key: str, quote: str, wanted: Wanted) -> Standing:
            late.append((key, quote, wanted))
            raise ProviderUnreachable("no answer")

    class Banks:
        slow = True

        def __call__(self, account: BankAccount) -> SandboxProvider:
            kind = Slow if self.slow else SandboxProvider
            return kind(
                world.directory / "banks" / "acme",
                account=IBAN,
                currency="eur",
                opening_units=OPENING,
                opened=account.created.date(),
                clock=world.clock,
            )

    banks = Banks()
    parts = replace(world.parts, vault=VAULT, banks=banks)
    world.stages["bank.provider"] = flow.provider_stage(parts)
    row = pay_out(world, payee(world), 1_000)
    for _ in range(3):
        look(world)
    # Tried again and again, under one key and by one quote.
    assert len(late) > 1
    assert len({each[:2] for each in late}) == 1
    assert orders(world)[row.id].status == "placing"
    # It arrives after all, in its last moment, and then the provider answers again.
    banks.slow = False
    banks(own).place(*late[0])
    world.advance(timedelta(minutes=2))
    for _ in range(4):
        look(world)
    assert status(world, row) == ("posted", "posted", None)
    assert (orders(world)[row.id].round, len(provider(world)["orders"])) == (1, 1)
    assert at_bank(world, own) == OPENING - 1_001
