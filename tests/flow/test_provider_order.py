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
    given_secret,
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
from tests.rails.fake_wise import FEE, PROFILE, PUBLIC_KEY, TOKEN, fake_wise, notice, signature

from sakk.core import chart
from sakk.core.bank_account import Adapter, BankAccount, Profile
from sakk.core.errors import ParameterInvalid, UnexpectedState
from sakk.core.freeze import Freeze
from sakk.core.payout import Payout
from sakk.core.posting import Posting
from sakk.core.provider_order import ProviderOrder, Standing
from sakk.flow import provider_notice
from sakk.flow import provider_order as flow
from sakk.flow.bank_file import bank_stages
from sakk.flow.book import PostingSet
from sakk.rails.bank.adapters import Banks
from sakk.rails.bank.provider import (
    ProviderRefused,
    ProviderUnknown,
    ProviderUnreachable,
    Wanted,
)
from sakk.rails.bank.sandbox_provider import SandboxProvider
from sakk.store import bank_account as bank_accounts
from sakk.store import freeze as freezes
from sakk.store import provider_order as store
from sakk.store.database import fetch_all
from sakk.store.identity import new_id
from sakk.store.lease import claimable
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

        def find(self, key: str, reference: str | None = None) -> Standing | None:
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


class Scripted(SandboxProvider):
    """The sandbox's provider, which a test may have answer otherwise."""

    otherwise: dict[str, Any]

    def place(self, key: str, quote: str, wanted: Wanted) -> Standing:
        self.otherwise.get("place", lambda *_: None)(key, quote)
        return super().place(key, quote, wanted)

    def find(self, key: str, reference: str | None = None) -> Standing | None:
        self.otherwise["found"].append(key)
        self.otherwise.get("find", lambda *_: None)(key)
        return super().find(key)

    def answer(self, key: str, question: str, text: str, file: tuple[str, bytes] | None) -> None:
        self.otherwise.get("answer", lambda *_: None)(key, question)
        super().answer(key, question, text, file)


def scripted(world: World) -> dict[str, Any]:
    """Have the stage ask a provider that does otherwise, by what is put in here."""
    otherwise: dict[str, Any] = {"found": []}

    def banks(account: BankAccount) -> Scripted:
        otherwise.get("opened", lambda *_: None)(account)
        made = Scripted(
            world.directory / "banks" / "acme",
            account=IBAN,
            currency="eur",
            opening_units=OPENING,
            opened=account.created.date(),
            clock=world.clock,
        )
        made.otherwise = otherwise
        return made

    parts = replace(world.parts, vault=VAULT, banks=banks)
    world.stages["bank.provider"] = flow.provider_stage(parts)
    return otherwise


class Died(BaseException):
    """As a killed process: nothing handles it, and no lease is given back."""


def test_who_dies_beside_a_place_leaves_one_order(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = own_account(world, adapter=Adapter.provider, provider="sandbox")
    otherwise = scripted(world)
    rows = []
    for name in ("provider.place.before", "provider.place.after"):
        rows.append(pay_out(world, payee(world, f"Anna {name}"), 1_000))
        deaths = [name]

        def die(passed: str, deaths: list[str] = deaths) -> None:
            if passed in deaths:
                deaths.remove(passed)
                raise Died

        monkeypatch.setattr(flow, "failpoint", die)
        with pytest.raises(Died):
            look(world)
        assert orders(world)[rows[-1].id].status == "placing"
        # Its lease runs out, and another worker looks before it does anything.
        world.advance(timedelta(seconds=40))
        for _ in range(3):
            look(world)
        assert otherwise["found"].count(rows[-1].id) >= 1
    assert [status(world, row) for row in rows] == [("posted", "posted", None)] * 2
    assert set(provider(world)["orders"]) == {row.id for row in rows}
    assert at_bank(world, own) == OPENING - 2_002


def test_a_place_is_by_the_account_as_it_is(world: World) -> None:
    """Two people change how the provider is gone to between the claim and the place."""
    own = own_account(world, adapter=Adapter.provider, provider="sandbox")
    otherwise = scripted(world)
    row = pay_out(world, payee(world, "Anna"), 1_000)
    claimed: list[dict[str, Any]] = []
    placed: list[int] = []

    def opened(account: BankAccount) -> None:
        claimed.append(account.terms or {})
        if orders(world)[row.id].status == "locked" and not placed and len(set(numbers())) == 1:
            with world.database.begin() as connection:
                terms = {**(account.terms or {}), "key_number": 2}
                bank_accounts.connect(connection, own.id, terms=terms, secret=None)

    def numbers() -> list[int]:
        return [each["key_number"] for each in claimed]

    otherwise["opened"] = opened
    otherwise["place"] = lambda *_: placed.append(numbers()[-1])
    for _ in range(3):
        look(world)
        world.advance(timedelta(seconds=5))
    assert (set(numbers()), placed) == ({1, 2}, [2])
    assert status(world, row) == ("posted", "posted", None)


def test_a_provider_is_not_left_with_orders_that_it_has(world: World) -> None:
    own = own_account(world, adapter=Adapter.provider, provider="sandbox")
    otherwise = scripted(world)
    pay_out(world, payee(world, "Anna"), 1_000)

    def unheard(*_: str) -> None:
        raise ProviderUnknown("no answer")

    otherwise |= {"place": unheard, "find": unheard}
    look(world)
    with world.database.begin() as connection:
        assert store.is_any_at(connection, own.id)
    del otherwise["place"], otherwise["find"]
    world.advance(timedelta(seconds=40))
    for _ in range(3):
        look(world)
    with world.database.begin() as connection:
        assert not store.is_any_at(connection, own.id)


def test_a_refusal_says_nothing_of_what_was_sent_before(world: World) -> None:
    own_account(world, adapter=Adapter.provider, provider="sandbox")
    otherwise = scripted(world)
    sent: list[tuple[str, str]] = []

    def place(key: str, quote: str) -> None:
        sent.append((key, quote))
        if len(sent) == 1:
            raise ProviderUnreachable("no answer")
        raise ProviderRefused("limit", "Too much today.")

    otherwise["place"] = place
    row = pay_out(world, payee(world), 1_000)
    for _ in range(4):
        look(world)
    # The first may be on its way: the order is not over, and its money is not given back.
    assert len(sent) > 1
    assert (orders(world)[row.id].status, status(world, row)[1]) == ("placing", "held")
    assert "may yet arrive" in (orders(world)[row.id].reason or "")
    world.advance(timedelta(minutes=2))
    for _ in range(3):
        look(world)
    # Now nothing by that quote arrives any more, and the next one is refused before it is sent.
    assert (orders(world)[row.id].round, status(world, row)) == (
        2,
        ("failed", "voided", "bank_rejected"),
    )


def test_an_answer_that_is_refused_keeps_nobody_waiting(world: World) -> None:
    own_account(world, adapter=Adapter.provider, provider="sandbox")
    otherwise = scripted(world)
    asked = pay_out(world, payee(world, "RFI Anna"), 1_000)
    for _ in range(3):
        look(world)
    order = orders(world)[asked.id]

    def refuse(_: str, question: str) -> None:
        raise ProviderRefused("not_legible", f"The {question} is not legible.")

    otherwise["answer"] = refuse
    say(world, order.id, "purpose")
    before = len(otherwise["found"])
    world.run_only("bank.provider")
    # At once, for it was answered; and where it stands was asked all the same.
    assert len(otherwise["found"]) == before + 1
    [purpose, _] = orders(world)[asked.id].questions
    assert (purpose["answer"], purpose["refusal"]) == (None, "The purpose is not legible.")
    assert world.event_types(operator=True).count("provider_order.information_required") == 2
    del otherwise["answer"]
    say(world, order.id, "purpose")
    say(world, order.id, "document", file=("invoice.pdf", b"%PDF"))
    for _ in range(3):
        look(world)
    assert status(world, asked) == ("posted", "posted", None)


def test_each_has_its_turn_whatever_the_others_do(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Old orders that never end, one whose answers break the connector, and a new one."""
    own_account(world, adapter=Adapter.provider, provider="sandbox")
    otherwise = scripted(world)
    old = [pay_out(world, payee(world, f"RFI {number}"), 100) for number in range(4)]

    def find(key: str) -> None:
        if key == old[0].id:
            raise KeyError("status")

    otherwise["find"] = find
    look(world)
    due = claimable(provider_orders, ProviderOrder, store.UNDER_WAY, limit=2, longest_due=True)
    monkeypatch.setattr(flow, "_due", due)
    new = pay_out(world, payee(world), 1_000)
    world.run_except("bank.provider")
    for _ in range(8):
        world.advance(timedelta(seconds=40))
        world.run_only("bank.provider")
    assert orders(world)[new.id].status == "paid"
    assert "the connector failed" in (orders(world)[old[0].id].reason or "")
    turns = [otherwise["found"].count(row.id) for row in old]
    assert min(turns) >= 2
    # Asked less and less often: a day later not every two seconds.
    otherwise["found"].clear()
    world.advance(timedelta(days=1))
    for _ in range(30):
        world.advance(timedelta(seconds=2))
        world.run_only("bank.provider")
    assert max(otherwise["found"].count(row.id) for row in old) <= 2


def test_what_it_takes_is_what_it_says_after_a_restore(world: World) -> None:
    """The database is from before the order; by then its provider takes more for another."""
    own = own_account(world, adapter=Adapter.provider, provider="sandbox")
    scripted(world)
    row = pay_out(world, payee(world), 50_000)
    world.run_except("bank.provider")
    place = world.directory / "banks" / "acme" / "books.json"
    world.run_only("bank.provider")
    world.run_only("bank.provider")
    assert orders(world)[row.id].fee_units == 50
    books = json.loads(place.read_text())
    books["provider"]["orders"][row.id]["fee"] = 70
    place.write_text(json.dumps(books))
    with world.database.begin() as connection:
        connection.execute(
            provider_orders.update().values(
                status="new", quote=None, fee_units=0, reference=None, retry_at=None
            )
        )
    for _ in range(4):
        look(world)
    assert (orders(world)[row.id].fee_units, status(world, row)[0]) == (70, "posted")
    assert (at_bank(world, own), suspense(world, own)) == (OPENING - 50_070, 0)


def test_a_payout_by_wise_is_booked_by_its_statement(world: World) -> None:
    """From the balance over its wire, lost answers and all, until its own statement has it."""
    with fake_wise() as fake:
        fake.now = world.clock()
        own = own_account(
            world,
            adapter=Adapter.provider,
            provider="wise",
            profile=Profile.generic,
            provider_account=str(PROFILE),
            address=fake.url,
            trust=PUBLIC_KEY,
        )
        given_secret(world, own, TOKEN)
        banks = Banks(
            world.directory,
            database=world.database,
            vault=VAULT,
            allow_loopback=True,
            clock=world.clock,
        )
        parts = replace(world.parts, vault=VAULT, banks=banks)
        world.stages |= {stage.name: stage for stage in bank_stages(parts)}
        paid, back = [pay_out(world, payee(world), units) for units in (2_000, 3_000)]
        fake.loses = "/payments"
        for _ in range(4):
            look(world)
        assert [(each.status, each.reason) for each in orders(world).values()] == [
            ("placed", None)
        ] * 2
        assert (len(fake.transfers), len(fake.transactions)) == (2, 2)
        for transfer in fake.transfers.values():
            transfer["status"] = "outgoing_payment_sent"
        # What it says moves nothing: its statement does, when the day is over.
        with world.database.begin() as connection:
            for number in fake.transfers:
                body = notice(number, world.clock())
                signed = {"x-signature-sha256": signature(body)}
                given = (connection, parts, own.id, signed, body)
                assert provider_notice.take(*given, now=world.clock())
        look(world)
        assert {each.status for each in orders(world).values()} == {"paid"}
        assert at_bank(world, own) == 0
        world.advance(timedelta(days=1, hours=3))
        fake.now = world.clock()
        returned = fake.transfers[int(orders(world)[back.id].reference or 0)]
        fake.moved(returned["sourceValue"] + FEE, f"TRANSFER-{returned['id']}", "TRANSFER")
        look(world)
        assert at_bank(world, own) == OPENING - 5_000 - 106
        assert -world.ledger(chart.fee_network(UNIT)) == 106
        world.advance(timedelta(days=1))
        look(world)
    assert status(world, paid) == ("posted", "posted", None)
    assert status(world, back) == ("failed", "posted", "bank_returned")
    # The fee that came back waits for a person: nobody said whose it is.
    assert (at_bank(world, own), suspense(world, own)) == (OPENING - 2_000 - 53, 53)
    assert world.balance("eur") == 100_000 - 2_000
