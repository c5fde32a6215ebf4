"""Money in suspense at a bank that goes back to its sender: two people, one order, one debit."""

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest
from sqlalchemy import select
from tests.flow.banking import (
    OPENING,
    PAYEE,
    UNIT,
    at_bank,
    deliver,
    found_at_banks,
    lines,
    look,
    own_account,
    pay_in,
    sanctioned,
    suspense,
)
from tests.flow.harness import World
from tests.flow.policing import Desk, Member
from tests.rails.test_bank_files import camt, entry

from sakk.core.bank_account import BankAccount
from sakk.core.bank_return import BankReturn, digest_of
from sakk.core.bank_statement import BankLine
from sakk.core.errors import (
    ApprovalStale,
    ParameterInvalid,
    PermissionDenied,
    SamePerson,
    StepUpRequired,
    UnexpectedState,
)
from sakk.core.freeze import Freeze
from sakk.core.ledger_break import LedgerBreak, Leg
from sakk.core.ledger_break import digest_of as break_digest
from sakk.flow import (
    bank_assignment,
    bank_return,
    bank_return_order,
    ledger_break,
    reconciliation,
)
from sakk.flow.bank_return import ReturnRequest
from sakk.flow.step_up import StepUp
from sakk.ledger.projection import wait_projected
from sakk.rails.bank.reader import StatusReport
from sakk.store import case as cases
from sakk.store import freeze as freezes
from sakk.store import ledger_break as breaks
from sakk.store.bank_file import bank_file_contents, bank_files
from sakk.store.bank_return import bank_returns
from sakk.store.database import fetch_all
from sakk.store.identity import new_id


class House:
    """Two who may send money back, and what they say."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.desk = Desk(world.database, world.account, now=world.clock())
        self.one, self.two = self.desk.member("fay", "finance"), self.desk.member("fin", "finance")

    def propose(self, line: BankLine, by: Member | None = None, **told: Any) -> BankReturn:
        request = replace(ReturnRequest(line=line.id), **told)
        actor = (by or self.one).actor
        return bank_return.propose(self.desk.parts, request, actor=actor, livemode=False)

    def confirm(
        self, row: BankReturn, by: Member | None = None, step_up: StepUp | None = None
    ) -> None:
        who = by or self.two
        word = who.yes(digest_of(row), step_up)
        bank_return.confirm(self.desk.parts, row.id, word, livemode=False)
        # Codes are of later and later times.
        self.world.advance(timedelta(minutes=15))

    def send(self, line: BankLine, **told: Any) -> BankReturn:
        """Both of them, and every stage."""
        row = self.propose(line, **told)
        self.confirm(row)
        self.world.run()
        return self.row(row)

    def breaks(self) -> list[LedgerBreak]:
        """What stands after one more reconciliation."""
        wait_projected(self.world.database.url)
        assert reconciliation.run(self.world.parts, livemode=False).error is None
        with self.world.database.begin() as connection:
            return breaks.list_standing(connection, livemode=False)

    def correct(self, row: LedgerBreak, leg: Leg) -> None:
        """Both of them, and the stage that books it."""
        parts = self.desk.parts
        row = ledger_break.propose(parts, row.id, [leg], actor=self.one.actor, livemode=False)
        word = self.two.yes(break_digest(row))
        ledger_break.confirm(parts, row.id, word, livemode=False)
        assert ledger_break.correct_stage(self.world.parts).run() == 1
        self.world.advance(timedelta(minutes=15))

    def row(self, row: BankReturn) -> BankReturn:
        [found] = [each for each in self.rows() if each.id == row.id]
        return found

    def rows(self) -> list[BankReturn]:
        with self.world.database.begin() as connection:
            return fetch_all(connection, select(bank_returns), BankReturn)


def incoming(world: World) -> list[BankLine]:
    """What came and is in suspense, or was."""
    return [each for each in lines(world) if each.units > 0 and each.return_code is None]


def orders(world: World) -> list[str]:
    """The files that went to the bank."""
    statement = (
        select(bank_file_contents.c.content)
        .join(bank_files, bank_files.c.id == bank_file_contents.c.file)
        .where(bank_files.c.way == "out")
        .order_by(bank_files.c.id)
    )
    with world.database.begin() as connection:
        return [bytes(each).decode() for each in connection.execute(statement).scalars()]


def told(opening: int, *moved: tuple[int, str | None], name: str = "", number: int = 1) -> bytes:
    """A statement of amounts, each with who stands on its other side, and no account of theirs."""
    body = ""
    for units, who in moved:
        side = "Dbtr" if units > 0 else "Cdtr"
        party = f"<RltdPties><{side}><Nm>{who}</Nm></{side}></RltdPties>" if who else ""
        reference = f"<Refs><EndToEndId>{name}</EndToEndId></Refs>" if name else ""
        details = f"<NtryDtls><TxDtls>{reference}{party}</TxDtls></NtryDtls>"
        body += entry(f"{abs(units) / 100:.2f}", "CRDT" if units > 0 else "DBIT", details)
    closing = opening + sum(units for units, _ in moved)
    counted = f"<ElctrncSeqNb>{number}</ElctrncSeqNb>"
    text = camt(
        body, opening=f"{opening / 100:.2f}", closing=f"{closing / 100:.2f}", number=counted
    )
    return text.encode()


def test_money_goes_back_to_its_sender_by_two(world: World) -> None:
    own = own_account(world)
    pay_in(world, own, 700, "who are you", name="Stranger")
    pay_in(world, own, 400, "nor I")
    house = House(world)
    first, second = incoming(world)
    approver = house.desk.member("amy", "approver")
    with pytest.raises(PermissionDenied):
        house.propose(first, approver)
    with pytest.raises(ParameterInvalid, match="leave holder out"):
        house.propose(first, holder="Thief")
    with pytest.raises(ParameterInvalid, match="there alone"):
        house.propose(first, iban="DE89370400440532013000")
    row = house.propose(first, note="wrong account")
    assert (row.holder, row.iban, row.by_hand) == ("Stranger", PAYEE, False)
    # One of the two ways at a time, and one return.
    with pytest.raises(UnexpectedState, match="already"):
        house.propose(first, house.two)
    give: dict[str, Any] = {"account_id": world.account, "note": None, "livemode": False}
    with pytest.raises(UnexpectedState, match="send this line back"):
        bank_assignment.propose(house.desk.parts, first.id, actor=house.two.actor, **give)
    bank_assignment.propose(house.desk.parts, second.id, actor=house.two.actor, **give)
    with pytest.raises(UnexpectedState, match="to an account"):
        house.propose(second)
    with pytest.raises(SamePerson):
        house.confirm(row, house.one)
    with pytest.raises(ApprovalStale):
        house.confirm(replace(row, iban="DE89370400440532013000"))
    with pytest.raises(StepUpRequired):
        house.confirm(row, step_up=StepUp())
    world.run()
    assert (suspense(world, own), orders(world)) == (1_100, [])
    house.confirm(row)
    with pytest.raises(UnexpectedState):
        house.confirm(row)
    with pytest.raises(UnexpectedState):
        bank_assignment.propose(house.desk.parts, first.id, actor=house.two.actor, **give)
    world.run()
    after = house.row(row)
    [order] = orders(world)
    assert f"<IBAN>{PAYEE}</IBAN>" in order
    assert "<Nm>Stranger</Nm>" in order
    assert "Return: who are you" in order
    assert (after.status, after.fee_units) == ("booked", 0)
    [debit] = [each for each in lines(world) if each.id == after.debit_line]
    assert (debit.units, debit.outcome, debit.payment) == (-700, "sent_back", row.id)
    assert (suspense(world, own), at_bank(world, own)) == (400, OPENING + 400)
    assert found_at_banks(world) == []
    assert [name for name in world.event_types(operator=True) if "bank_return" in name] == [
        "bank_return.created",
        "bank_return.booked",
    ]
    world.check()


def test_what_the_bank_refuses_or_gives_back_is_in_suspense_again(world: World) -> None:
    own = own_account(world)
    pay_in(world, own, 300, "x", name="REJECT AC04 Closed")
    pay_in(world, own, 500, "y", name="RETURN AC06 Blocked")
    house = House(world)
    refused, back = incoming(world)
    first = house.send(refused)
    assert (first.status, first.reason_code) == ("rejected", "AC04")
    assert suspense(world, own) == 800
    # It is a person's to decide about again: this time it is given to an account.
    said = bank_assignment.propose(
        house.desk.parts,
        refused.id,
        account_id=world.account,
        note=None,
        actor=house.one.actor,
        livemode=False,
    )
    assert said.status == "awaiting"
    second = house.send(back)
    world.run()
    second = house.row(second)
    assert (second.status, second.reason_code) == ("returned", "AC06")
    [came] = [each for each in lines(world) if each.id == second.return_line]
    assert (came.outcome, came.units, came.payment) == ("suspense", 500, second.id)
    assert (suspense(world, own), at_bank(world, own)) == (800, OPENING + 800)
    assert found_at_banks(world) == []
    assert world.event_types(operator=True).count("bank_return.failed") == 2
    world.check()


def test_a_sender_on_a_list_gets_nothing_until_two_people_have_looked(world: World) -> None:
    own = own_account(world)
    pay_in(world, own, 900, "z", name="Viktor Bout")
    house = House(world)
    sanctioned(world, "Viktor Bout")
    [line] = incoming(world)
    row = house.send(line)
    assert (row.status, orders(world)) == ("stopped", [])
    [line] = incoming(world)
    assert (line.outcome, suspense(world, own)) == ("held", 900)
    with pytest.raises(UnexpectedState, match="case is open"):
        house.propose(line)
    with world.database.begin() as connection:
        case = cases.find(connection, line.id, livemode=False)
        assert case is not None
        cases.write(connection, [replace(case, status="closed")])
    assert (house.send(line).status, len(orders(world))) == ("booked", 1)
    assert suspense(world, own) == 0
    world.check()


def is_a_break_until_corrected(house: House, own: BankAccount, row: BankReturn) -> None:
    """A difference of 8 stands until two people correct it, apart from what is there of others."""
    assert {(each.kind, each.subject, each.units) for each in house.breaks()} == {
        ("amount_differs", row.id, -8),
        ("suspense", f"suspense:{own.id}#{UNIT}", 50),
    }
    found = next(each for each in house.breaks() if each.subject == row.id)
    house.correct(found, Leg(f"fee:network#{UNIT}", f"suspense:{own.id}#{UNIT}", 5))
    [left] = [each for each in house.breaks() if each.subject == row.id]
    assert (left.id, left.status, left.units) == (found.id, "open", -3)
    house.correct(left, Leg(f"fee:network#{UNIT}", f"suspense:{own.id}#{UNIT}", 3))
    assert {(each.kind, each.units) for each in house.breaks()} == {("suspense", 50)}
    assert (suspense(house.world, own), found_at_banks(house.world)) == (50, [])


def test_an_account_that_the_line_does_not_name_is_said_and_confirmed(world: World) -> None:
    own = own_account(world)
    deliver(world, own.id, told(OPENING, (600, "Tom"), (50, None)))
    house = House(world)
    named, nameless = sorted(incoming(world), key=lambda each: each.number)
    with pytest.raises(ParameterInvalid, match="no account with an IBAN"):
        house.propose(named)
    with pytest.raises(ParameterInvalid, match="no sender"):
        house.propose(nameless, iban=PAYEE)
    with pytest.raises(ParameterInvalid, match="SEPA"):
        house.propose(named, number="123", country="US", bank_code="021000021")
    with pytest.raises(ParameterInvalid, match="fee"):
        house.propose(named, iban=PAYEE, fee_max=601)
    row = house.propose(named, iban=PAYEE, fee_max=25)
    assert (row.by_hand, row.holder) == (True, "Tom")
    house.confirm(row)
    # A freeze of everything stops it, and what went before its day passed goes on another one.
    stop = Freeze(
        id=new_id("frz"), account_id=None, reason="drill", origin="cli", created=world.clock()
    )
    with world.database.begin() as connection:
        freezes.insert(connection, stop)
    world.run()
    assert house.row(row).status == "confirmed"
    with world.database.begin() as connection:
        freezes.lift(connection, [stop.id], reason="over", now=world.clock())
    world.run_only("bank.return", "bank.send")
    assert house.row(row).status == "sent"
    # The debit is its own, with the bank's fee; what is beyond it is told, and stays in suspense.
    name = row.end_to_end_id
    opening = OPENING + 650
    deliver(world, own.id, told(opening, (-633, "Tom"), name=name, number=2))
    after = house.row(row)
    assert (after.status, after.fee_units, after.difference_units) == ("booked", 25, 8)
    assert "bank_return.differs" in world.event_types(operator=True)
    assert suspense(world, own) == 50 - 8
    assert [each.subject for each in found_at_banks(world)] == [row.id]
    # The same debit once more is a person's to look at, and what takes it back ends both.
    deliver(world, own.id, told(opening - 633, (-600, "Tom"), name=name, number=3))
    assert [each.outcome for each in lines(world)][-1] == "suspense"
    back = told(opening - 1_233, (600, "Tom"), name=name, number=4)
    deliver(world, own.id, back)
    assert [each.outcome for each in lines(world)][-2:] == ["undone", "undone"]
    assert (suspense(world, own), house.row(row).status) == (42, "booked")
    # So it does where both stand in one statement, whatever the bank says why.
    again = told(opening - 633, (-600, "Tom"), (600, "Tom"), name=name, number=5)
    reason = b"</RltdPties><RtrInf><Rsn><Cd>AC04</Cd></Rsn></RtrInf>"
    deliver(world, own.id, again.replace(b"</RltdPties>", reason))
    assert [each.outcome for each in lines(world)][-2:] == ["undone", "undone"]
    assert (suspense(world, own), house.row(row).status) == (42, "booked")
    is_a_break_until_corrected(house, own, row)
    # Of two such credits at once one takes back a debit of before, and the other is the return's.
    deliver(world, own.id, told(opening - 633, (-600, "Tom"), name=name, number=6))
    twice = told(opening - 1_233, (600, "Tom"), (600, "Tom"), name=name, number=7)
    deliver(world, own.id, twice.replace(b"</RltdPties>", reason))
    debit, undone, returned = lines(world)[-3:]
    assert [each.outcome for each in (debit, undone, returned)] == ["undone", "undone", "suspense"]
    after = house.row(row)
    assert (after.status, after.return_line) == ("returned", returned.id)
    assert suspense(world, own) == 650
    world.check()


def test_what_the_bank_refused_and_moved_after_all_goes_back_once(world: World) -> None:
    own = own_account(world)
    deliver(world, own.id, told(OPENING, (300, "One"), (400, "Two")))
    house = House(world)
    one, two = sorted(incoming(world), key=lambda each: each.number)
    for line in (one, two):
        house.confirm(house.propose(line, iban=PAYEE))
    world.run_only("bank.return", "bank.send")
    first, second = house.rows()
    refused = StatusReport(message_id=first.file or "", code="RJCT", reason_code="AC04")
    with world.database.begin() as connection:
        bank_return_order.report(connection, refused, file=first.file or "", now=world.clock())
    first, second = house.rows()
    assert (first.status, second.status) == ("rejected", "rejected")
    # The statement says what moved: of what waits it is the return after all.
    opening, name = OPENING + 700, first.end_to_end_id
    deliver(world, own.id, told(opening, (-300, "One"), name=name, number=2))
    assert house.row(first).status == "booked"
    with pytest.raises(UnexpectedState, match="stands in suspense is sent back"):
        house.propose(one, iban=PAYEE)
    # And of what somebody has proposed something of, nobody confirms it before that is cleared.
    again = house.propose(two, iban=PAYEE)
    name = second.end_to_end_id
    deliver(world, own.id, told(opening - 300, (-400, "Two"), name=name, number=3))
    assert house.row(second).status == "rejected"
    with pytest.raises(UnexpectedState, match="may have gone already"):
        house.confirm(again)
    # So it is when two people have corrected the break that is of it.
    with world.database.begin() as connection:
        made = LedgerBreak(
            id=new_id("brk"),
            livemode=False,
            key=f"bank_line:{lines(world)[-1].id}",
            scope="banks",
            kind="bank_without_ledger",
            subject=None,
            unit=UNIT,
            units=-400,
            detail="",
            status="corrected",
            first_run="",
            last_run="",
            created=world.clock(),
        )
        breaks.insert(connection, [made])
        with pytest.raises(UnexpectedState):
            bank_assignment.check_there(connection, two)
        breaks.write(connection, replace(made, corrected_at=world.clock()))
        bank_assignment.check_there(connection, two)
    # What takes it back comes to nothing with it: it is nobody's to send anywhere.
    deliver(world, own.id, told(opening - 700, (400, "Two"), name=name, number=4))
    credit = lines(world)[-1]
    assert (credit.units, credit.outcome, suspense(world, own)) == (400, "undone", 400)
    with pytest.raises(UnexpectedState, match="stands in suspense is sent back"):
        house.propose(credit, iban=PAYEE)
    assert found_at_banks(world) == []
    house.confirm(again)
    world.check()


def test_a_debit_that_comes_before_an_order_leaves_it_unwritten(world: World) -> None:
    own = own_account(world)
    deliver(world, own.id, told(OPENING, (300, "One"), (50, "Two")))
    house = House(world)
    line, _ = sorted(incoming(world), key=lambda each: each.number)
    house.confirm(house.propose(line, iban=PAYEE))
    world.run_only("bank.return", "bank.send")
    [first] = house.rows()
    refused = StatusReport(message_id=first.file or "", code="RJCT", reason_code="AC04")
    with world.database.begin() as connection:
        bank_return_order.report(connection, refused, file=first.file or "", now=world.clock())
    again = house.propose(line, iban=PAYEE)
    house.confirm(again)
    # Before it is ordered the statement shows that the bank carried the first one out after all.
    stop = Freeze(
        id=new_id("frz"), account_id=None, reason="drill", origin="cli", created=world.clock()
    )
    with world.database.begin() as connection:
        freezes.insert(connection, stop)
    name = first.end_to_end_id
    deliver(world, own.id, told(OPENING + 350, (-300, "One"), name=name, number=2))
    with world.database.begin() as connection:
        freezes.lift(connection, [stop.id], reason="over", now=world.clock())
    world.run()
    assert (house.row(again).status, len(orders(world))) == ("rejected", 1)
    assert {each.outcome for each in incoming(world)} == {"suspense"}
    assert suspense(world, own) == 50
    with pytest.raises(UnexpectedState, match="may have gone already"):
        house.propose(line, iban=PAYEE)


def test_a_freeze_holds_a_file_of_returns_and_its_day_is_a_later_one(world: World) -> None:
    own = own_account(world)
    pay_in(world, own, 700, "a")
    house = House(world)
    [line] = incoming(world)
    row = house.propose(line)
    house.confirm(row)
    world.run_only("bank.return")
    stop = Freeze(
        id=new_id("frz"), network="bank", reason="drill", origin="cli", created=world.clock()
    )
    with world.database.begin() as connection:
        freezes.insert(connection, stop)
    world.run()
    before = house.row(row)
    assert before.status == "ordered"
    # Over a weekend, if need be.
    world.advance(timedelta(days=3))
    with world.database.begin() as connection:
        freezes.lift(connection, [stop.id], reason="over", now=world.clock())
    world.run()
    look(world)
    after = house.row(row)
    assert isinstance(before.execution_date, date)
    assert isinstance(after.execution_date, date)
    assert (after.status, after.execution_date > before.execution_date) == ("booked", True)
    assert suspense(world, own) == 0
    world.check()
