"""Money to and from banks, with the sandbox's bank that answers with real files."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select, update
from tests.flow.banking import (
    OPENING,
    PAYEE,
    UNIT,
    approved,
    at_bank,
    deliver,
    folder,
    found_at_banks,
    lines,
    look,
    own_account,
    pay_in,
    pay_out,
    payee,
    payments,
    reference,
    sanctioned,
    statements,
    suspense,
)
from tests.flow.conftest import MakeWorld
from tests.flow.harness import World
from tests.flow.money import payout_now
from tests.flow.policing import Desk
from tests.flow.test_settlement import settled_by, settlements
from tests.flow.wiring import VAULT
from tests.rails.sftp_server import Server
from tests.rails.test_bank_files import NS, camt, entry

from sakk.core import bank_payment as bank_rules
from sakk.core import chart
from sakk.core.bank_account import Adapter, BankTerms, Profile
from sakk.core.bank_change import digest_of
from sakk.core.bank_statement import fault_of
from sakk.core.chart import TransferCode
from sakk.core.errors import (
    ParameterInvalid,
    UnexpectedState,
)
from sakk.core.freeze import Freeze
from sakk.core.payout import Payout
from sakk.core.posting import Posting
from sakk.core.settlement import Interval
from sakk.flow import (
    bank_account,
    bank_assignment,
    bank_change,
    bank_file,
    settlement,
    statement,
)
from sakk.flow.bank_account import AccountRequest
from sakk.flow.bank_statement import MATCH_MAX
from sakk.flow.book import PostingSet
from sakk.ledger.projection import wait_projected
from sakk.rails.bank.adapters import sandbox_bank
from sakk.rails.bank.rail import BankUnreachable
from sakk.rails.bank.read import read_file
from sakk.rails.bank.sftp_key import public_key
from sakk.store import freeze as freezes
from sakk.store.bank_file import bank_file_contents, bank_files
from sakk.store.bank_statement import bank_lines
from sakk.store.identity import new_id


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    return make_world()


def ended(world: World, row: Payout) -> tuple[str, str, str | None]:
    now = payout_now(world, row)
    return now.status, now.hold, now.failure_code


def test_money_comes_in_and_goes_out(world: World) -> None:
    own = own_account(world)
    told = reference(world)
    pay_in(world, own, 50_000, f"Invoice 7 {told}")
    assert world.balance("eur") == 50_000
    assert at_bank(world, own) == OPENING + 50_000
    paid = pay_out(world, payee(world), 10_000, description="Thanks")
    rejected = pay_out(world, payee(world, "REJECT AC04 Closed"), 2_000)
    returned = pay_out(world, payee(world, "RETURN MD07 Late"), 3_000)
    silent = pay_out(world, payee(world, "SILENT Bank"), 500)
    world.run()
    assert ended(world, paid) == ("posted", "posted", None)
    assert ended(world, rejected) == ("failed", "voided", "bank_rejected")
    assert ended(world, returned) == ("failed", "posted", "bank_returned")
    assert ended(world, silent) == ("broadcast", "held", None)
    assert "closed" in (payout_now(world, rejected).failure_message or "")
    assert world.balance("eur") == 50_000 - 10_000 - 500
    assert at_bank(world, own) == OPENING + 40_000
    assert suspense(world, own) == 0
    orders = {each.payout: each.status for each in payments(world)}
    assert orders == {
        paid.id: "booked",
        rejected.id: "rejected",
        returned.id: "returned",
        silent.id: "sent",
    }
    assert [each.status for each in statements(world)] == ["accepted"] * 3
    assert {each.status for each in lines(world)} == {"booked"}
    names = [name for name in world.event_types() if name.startswith("payout.")]
    assert names.count("payout.broadcast") == 4
    assert "bank_line.credited" in world.event_types()
    world.check()


@contextmanager
def acting_as(world: World, account: str) -> Iterator[None]:
    """What is asked for meanwhile is asked for by another merchant."""
    mine, world.account = world.account, account
    try:
        yield
    finally:
        world.account = mine


# Four days of one account, whose balances lead from one to the next; the third moves to nothing.
FIRST = date(2026, 11, 23)


def day(number: int, opening: int, *amounts: int, told: str = "", counted: bool = True) -> bytes:
    """A day's statement: amounts in cents, each with the reference that it is told."""
    details = "<NtryDtls><TxDtls><RltdPties><Dbtr><Nm>Payer</Nm></Dbtr></RltdPties><RmtInf>"
    details += f"<Ustrd>{told}</Ustrd></RmtInf></TxDtls></NtryDtls>"
    body = "".join(
        entry(f"{abs(units) / 100:.2f}", "CRDT" if units > 0 else "DBIT", details)
        for units in amounts
    )
    text = camt(
        body,
        opening=f"{opening / 100:.2f}",
        closing=f"{(opening + sum(amounts)) / 100:.2f}",
        number=f"<ElctrncSeqNb>{number}</ElctrncSeqNb>" if counted else "",
    )
    return text.replace("2026-11-26", str(FIRST + timedelta(days=number))).encode()


@pytest.mark.parametrize("counted", [True, False])
def test_any_order_of_deliveries_ends_in_the_same_balances(world: World, counted: bool) -> None:
    own = own_account(world, opening=10_000)
    told = reference(world)
    amounts = [(500, 700), (-300,), (250, -250), (1_000,), (-5,)]
    files, opening = [], 10_000
    for number, moved in enumerate(amounts, start=1):
        files.append(day(number, opening, *moved, told=told, counted=counted))
        opening += sum(moved)
    chance = random.Random(11)
    wrong = files[1].replace(b"<Id>S-7</Id>", b"<Id>S-8</Id>").replace(b">3.00<", b">3.01<", 1)
    rendered_again = [each.replace(b"<Id>S-7</Id>", b"<Id>again</Id>") for each in files]
    intraday = [
        each.replace(b"camt.053", b"camt.052")
        .replace(b"BkToCstmrStmt", b"BkToCstmrAcctRpt")
        .replace(b"Stmt>", b"Rpt>")
        for each in files
    ]
    partly = [each[: chance.randrange(200, len(each))] for each in files]
    deliveries = [*files, *files, *rendered_again, *intraday, *partly, wrong]
    chance.shuffle(deliveries)
    if not counted:
        # Where a bank does not count, a day that moves to nothing can only come after its own.
        deliveries.sort(key=lambda each: each == files[3])
    deliver(world, own.id, *deliveries)
    world.run()
    found = statements(world)
    assert [each.status for each in found].count("accepted") == len(files)
    assert at_bank(world, own) == opening
    assert world.balance("eur") == 500 + 700 + 250 + 1_000
    assert suspense(world, own) == -(300 + 250 + 5)
    booked = [each for each in lines(world) if each.status == "booked"]
    assert len(booked) == sum(map(len, amounts))
    assert {each.status for each in found} == {"accepted", "duplicate", "intraday", "broken"}
    world.check()


def test_two_of_one_day_that_nobody_counts_come_in_any_order(world: World) -> None:
    own = own_account(world, opening=10_000)
    first, second = day(1, 10_000, 500, counted=False), day(1, 10_500, -200, counted=False)
    deliver(world, own.id, second, first, day(2, 10_300, 100, counted=False))
    assert [each.status for each in statements(world)] == ["accepted"] * 3
    assert at_bank(world, own) == 10_400


def test_names_on_lists_are_stopped_both_ways(world: World) -> None:
    own = own_account(world)
    sanctioned(world, "Ivan Petrovich Sidorov")
    told = reference(world)
    pay_in(world, own, 5_000, told)
    pay_in(world, own, 700, told, name="Ivan Petrovich SIDOROV")
    assert (world.balance("eur"), suspense(world, own)) == (5_000, 700)
    row = pay_out(world, payee(world, "Sidorov, Ivan Petrovich"), 1_000)
    world.run()
    held = payout_now(world, row)
    assert (held.status, held.under_review) == ("requested", True)
    [line] = [each for each in lines(world) if each.outcome == "held"]
    one = Desk(world.database, world.account, now=world.clock()).admins()[0]
    with pytest.raises(UnexpectedState, match="case"):
        bank_assignment.propose(
            one.desk.parts,
            line.id,
            account_id=world.account,
            note=None,
            actor=one.actor,
            livemode=False,
        )
    assert payments(world) == []
    world.check()


def test_a_file_waits_for_its_cutoff_and_carries_many(world: World) -> None:
    own = own_account(world, batch_minutes=60)
    told = reference(world)
    pay_in(world, own, 10_000, told)
    rows = [pay_out(world, payee(world, name), 100 + place) for place, name in enumerate("ABC")]
    world.run()
    assert {payout_now(world, row).status for row in rows} == {"approved"}
    world.advance(timedelta(hours=1))
    world.run()
    world.run()
    assert {payout_now(world, row).status for row in rows} == {"posted"}
    assert len({each.file for each in payments(world)}) == 1
    assert at_bank(world, own) == OPENING + 10_000 - 303
    world.check()


def test_what_comes_back_waits_for_what_it_is_of(world: World) -> None:
    own = own_account(world, profile=Profile.generic)
    pay_in(world, own, 5_000, reference(world))
    # Of a country that is on no list of countries, too.
    row = pay_out(world, payee(world, "RETURN AC04 Kosovar", "XK051212012345678906"), 1_000)
    for _ in range(3):
        world.advance(timedelta(seconds=5))
        world.run_except("bank.book")
    [paid] = [each for each in lines(world) if each.outcome == "payment"]
    # Another worker has it in hand.
    held = {"lease_until": world.clock() + timedelta(hours=1)}
    with world.database.begin() as connection:
        connection.execute(bank_lines.update().where(bank_lines.c.id == paid.id).values(held))
    world.run_only("bank.book")
    assert [each.status for each in lines(world) if each.outcome == "returned"] == ["matched"]
    world.advance(timedelta(hours=2))
    world.run()
    look(world)
    assert ended(world, row) == ("failed", "posted", "bank_returned")
    assert world.balance("eur") == 5_000
    world.check()


def test_a_return_whose_statement_came_first_is_a_return(world: World) -> None:
    own = own_account(world)
    pay_in(world, own, 5_000, reference(world))
    row = pay_out(world, payee(world, "SILENT Bank"), 1_000)
    world.run()
    [order] = payments(world)
    told = f"<NtryDtls><TxDtls><Refs><EndToEndId>{order.end_to_end_id}</EndToEndId></Refs>"
    reason = "<RtrInf><Rsn><Cd>AC04</Cd></Rsn></RtrInf>"
    end = "</TxDtls></NtryDtls>"
    went = camt(entry("10.00", "DBIT", told + end), opening="10050.00", closing="10040.00")
    back = camt(
        entry("10.00", "CRDT", told + reason + end),
        opening="10040.00",
        closing="10050.00",
        number="<ElctrncSeqNb>8</ElctrncSeqNb>",
    )
    later = [text.replace("2026-11-26", "2040-01-02").encode() for text in (back, went)]
    deliver(world, own.id, *later)
    assert ended(world, row) == ("failed", "posted", "bank_returned")
    assert (world.balance("eur"), suspense(world, own)) == (5_000, 0)


def test_a_return_that_stands_in_an_earlier_batch_waits_for_nobody(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = own_account(world)
    pay_in(world, own, 5_000, reference(world))
    row = pay_out(world, payee(world, "SILENT Bank"), 1_000)
    world.run()
    [order] = payments(world)
    told = f"<NtryDtls><TxDtls><Refs><EndToEndId>{order.end_to_end_id}</EndToEndId></Refs>"
    reason = "<RtrInf><Rsn><Cd>AC04</Cd></Rsn></RtrInf>"
    end = "</TxDtls></NtryDtls>"
    between = entry("0.01", "CRDT") * MATCH_MAX
    both = camt(
        entry("10.00", "CRDT", told + reason + end) + between + entry("10.00", "DBIT", told + end),
        opening="10050.00",
        closing=f"{10050 + MATCH_MAX / 100:.2f}",
    )
    deliver(world, own.id, both.replace("2026-11-26", "2040-01-02").encode())
    world.run()
    assert ended(world, row) == ("failed", "posted", "bank_returned")
    assert (world.balance("eur"), suspense(world, own)) == (5_000, MATCH_MAX)


def test_a_posting_that_is_no_lines_is_a_break_by_its_name(world: World) -> None:
    own = own_account(world)
    pay_in(world, own, 5_000, reference(world))
    pay_out(world, payee(world, "RETURN AC04 Closed"), 1_000)
    world.run()
    assert found_at_banks(world) == []
    bank, mine = chart.bank(own.id, UNIT), chart.equity_operator(UNIT)
    stray = PostingSet(new_id("brk"), "x", 0, [Posting(bank, mine, 7, TransferCode.bank_payin)])
    world.books.post([stray])
    [line] = [each for each in lines(world) if each.outcome == "payin"]
    late = world.clock() - timedelta(hours=25)
    with world.database.begin() as connection:
        given = {"status": "matched", "waits_since": late}
        connection.execute(bank_lines.update().where(bank_lines.c.id == line.id).values(given))
    wait_projected(world.database.url)
    assert {(each.kind.value, each.subject, each.units) for each in found_at_banks(world)} == {
        ("ledger_without_bank", f"{stray.transfer_id(0):032x}", -7),
        # Its posting is there, and yet its row says that it is on its way.
        ("in_flight", line.id, 5_000),
    }


def test_a_frozen_payout_stops_no_other_of_its_file(world: World) -> None:
    own = own_account(world, batch_minutes=60)
    other = world.merchant("Other")
    pay_in(world, own, 5_000, reference(world))
    pay_in(world, own, 3_000, reference(world, other))
    frozen = pay_out(world, payee(world, "Frozen"), 1_000)
    with acting_as(world, other):
        free = pay_out(world, payee(world, "Free"), 500)
    world.run()
    world.advance(timedelta(hours=1))
    world.run_except("bank.send")
    assert len({each.file for each in payments(world)}) == 1
    stop = Freeze(
        id=new_id("frz"),
        account_id=world.account,
        reason="drill",
        origin="cli",
        created=world.clock(),
    )
    with world.database.begin() as connection:
        freezes.insert(connection, stop)
    world.run()
    look(world)
    assert ended(world, free) == ("posted", "posted", None)
    assert ended(world, frozen) == ("signed", "held", None)
    # Of the next day when it is let go: it is not ordered for one that passed.
    world.advance(timedelta(days=1))
    with world.database.begin() as connection:
        freezes.lift(connection, [stop.id], reason="over", now=world.clock())
    world.run()
    look(world)
    assert ended(world, frozen) == ("posted", "posted", None)
    [of_frozen] = [each for each in payments(world) if each.payout == frozen.id]
    assert own.terms is not None
    zone = ZoneInfo(own.terms["timezone"])
    assert of_frozen.execution_date == world.clock().astimezone(zone).date()
    with world.database.read() as connection:
        files = connection.execute(select(bank_files.c.status, bank_files.c.way)).all()
    assert sorted(each.status for each in files if each.way == "out") == [
        *("sent", "sent"),
        *("withdrawn", "withdrawn"),
    ]
    assert at_bank(world, own) == OPENING + 8_000 - 1_500
    world.check()


def test_a_bank_speaks_of_what_it_was_sent(world: World) -> None:
    own = own_account(world)
    pay_in(world, own, 5_000, reference(world))
    row = pay_out(world, payee(world), 1_000)
    world.run_except("bank.send")
    [order] = payments(world)
    report = (
        f"<Document xmlns='{NS}pain.002.001.03'><CstmrPmtStsRpt><OrgnlGrpInfAndSts><OrgnlMsgId>"
        f"{bank_rules.compact(order.file)}</OrgnlMsgId><GrpSts>RJCT</GrpSts></OrgnlGrpInfAndSts>"
        "</CstmrPmtStsRpt></Document>"
    ).encode()
    deliver(world, "ba_other", report)
    assert [each.status for each in payments(world)] == ["ordered"]
    # What was refused is read when it comes again; whoever brings it by hand answers for it.
    deliver(world, None, report)
    with world.database.read() as connection:
        kept = connection.execute(select(bank_file_contents.c.file)).scalars().all()
    # The order, the pay-in's statement, and the report: a file that comes again is one file.
    assert len(kept) == 3
    assert [each.status for each in payments(world)] == ["rejected"]
    # The bank has the file: it was put out by whoever died before that was written down.
    world.run_only("bank.send")
    world.run()
    assert list(folder(world).glob("*/BF*")) == []
    assert ended(world, row) == ("failed", "voided", "bank_rejected")
    assert [each.status for each in payments(world)] == ["rejected"]
    assert world.balance("eur") == 5_000
    world.check()


class Stuck:
    """A bank's place, the oldest file of which nobody may read."""

    def __init__(self) -> None:
        self.taken: list[str] = []

    def put(self, name: str, content: bytes) -> None:
        raise AssertionError(name)

    def list(self) -> list[str]:
        return ["theirs.xml", "ours.xml"]

    def take(self, name: str, *, bytes_max: int) -> bytes:
        if name == "theirs.xml":
            raise BankUnreachable(name)
        return b"<Document/>"

    def done(self, name: str) -> None:
        self.taken.append(name)

    def close(self) -> None:
        pass


def test_a_bank_at_a_server_is_paid_by_and_told_of(world: World) -> None:
    """The sandbox's bank works in the folder that a real SFTP server serves."""
    root = world.directory / "served"
    for name in ("out", "in"):
        (root / "house" / name).mkdir(parents=True)
    server = Server(root)
    try:
        own = own_account(
            world, adapter=Adapter.sftp, address=server.address, trust=server.trust, folder="house"
        )
        behind = sandbox_bank(root, own)
        told = reference(world)
        behind.pay_in(units=5_000, name="Payer", iban=PAYEE, remittance=told)
        behind.list()
        look(world)
        # The bank does not know our key yet, and then the next one alone.
        assert statements(world) == []
        desk = Desk(world.database, world.account, now=world.clock())
        one, two = desk.member("fay", "finance"), desk.member("fin", "finance")
        with world.database.begin() as connection:
            given: dict[str, Any] = {"livemode": False, "vault": VAULT, "actor": one.actor}
            given["now"] = world.clock()
            with pytest.raises(ParameterInvalid, match="host key"):
                bank_change.connect(connection, own.id, trust="AAAA", **given)
            _, change = bank_change.connect(connection, own.id, new_key=True, **given)
        own = bank_change.confirm(
            desk.parts, own.id, two.yes(digest_of(change, own)), livemode=False
        )
        server.authorized.append(public_key(VAULT, own))
        look(world)
        look(world)
        assert world.balance("eur") == 5_000
        row = pay_out(world, payee(world), 1_000)
        look(world)
        assert [path.suffix for path in (root / "house" / "out").iterdir()] == [".xml"]
        behind.list()
        look(world)
        look(world)
        assert ended(world, row) == ("posted", "posted", None)
        # What was taken is still there, and is not taken again.
        assert len(list((root / "house" / "in").glob("camt053*"))) == len(statements(world)) == 2
        world.check()
    finally:
        server.close()


def test_a_file_that_nobody_may_read_keeps_no_other_from_being_read(world: World) -> None:
    own_account(world)
    place = Stuck()
    stage = bank_file.fetch_stage(replace(world.parts, banks=lambda _: place))
    assert (stage.run(), place.taken) == (1, ["ours.xml"])


def test_a_bank_without_its_secret_keeps_no_other_from_its_files(world: World) -> None:
    own = own_account(world)
    pay_in(world, own, 5_000, reference(world))
    terms = BankTerms("new", Adapter.http, address="https://bank.example/v1", calendar=None)
    with world.database.begin() as connection:
        new = bank_account.create(
            connection,
            AccountRequest(holder="New", currency="eur", iban=PAYEE, terms=terms),
            identifier=new_id("ba"),
            account_id=None,
            livemode=False,
            now=world.clock(),
        )
        approved(connection, new)
    stuck = pay_out(world, payee(world), 1_000)
    world.run_except("bank.send")
    with world.database.begin() as connection:
        going = update(bank_files).where(bank_files.c.way == "out")
        connection.execute(going.values(bank_account=new.id))
    row = pay_out(world, payee(world, "Bert"), 2_000)
    look(world)
    look(world)
    assert ended(world, row) == ("posted", "posted", None)
    assert at_bank(world, own) == OPENING + 5_000 - 2_000
    with world.database.read() as connection:
        waits = select(bank_files.c.status, bank_files.c.reason)
        [(status, why)] = connection.execute(waits.where(bank_files.c.bank_account == new.id))
    assert (status, "secret" in why, payout_now(world, stuck).status) == ("ready", True, "signed")


def test_each_account_has_a_folder_of_its_own(world: World) -> None:
    own_account(world)
    request = AccountRequest(holder="Live", currency="eur", iban=PAYEE, terms=BankTerms("acme"))
    with world.database.begin() as connection, pytest.raises(ParameterInvalid) as raised:
        bank_account.create(
            connection,
            request,
            identifier=new_id("ba"),
            account_id=None,
            livemode=True,
            now=world.clock(),
        )
    assert raised.value.param == "folder"


def test_a_settlement_is_paid_to_a_bank_and_comes_back(world: World) -> None:
    own = own_account(world)
    pay_in(world, own, 8_000, reference(world))
    place = payee(world, "RETURN AC04 Shop")
    settled_by(world, interval=Interval.manual, destination={"bank_account": place.id})
    wait_projected(world.database.url)
    made = settlement.create(
        world.parts,
        identifier=new_id("set"),
        account_id=world.account,
        livemode=False,
        currency="eur",
    )
    world.run()
    [row] = settlements(world)
    assert (row.id, row.status, row.payable) == (made.id, "failed", 8_000)
    wait_projected(world.database.url)
    world.advance(timedelta(hours=1))
    settlement.create(
        world.parts,
        identifier=new_id("set"),
        account_id=world.account,
        livemode=False,
        currency="eur",
    )
    # As a bank would write it: numbered, and each opens with what the one before closed with.
    with world.database.begin() as connection:
        written = [statement.camt053_of(connection, each) for each in settlements(world)]
        with pytest.raises(ParameterInvalid, match="csv"):
            statement.camt053_of(connection, replace(row, currency="usdc"))
    first, second = [read_file(content).statements[0] for content in written]
    assert (first.number, first.opening_units, first.closing_units) == (1, 0, 8_000)
    assert (second.number, second.opening_units, second.closing_units) == (2, 8_000, 8_000)
    assert {each.account for each in (first, second)} == {world.account}
    assert [fault_of(each) for each in (first, second)] == [None, None]
    assert [each.units for each in second.lines] == [-8_000, 8_000]
    assert [each.end_to_end_id for each in second.lines] == [row.payout, row.payout]
    assert world.balance("eur") == 8_000
    assert [name for name in world.event_types() if name.startswith("settlement.")] == [
        "settlement.created",
        "settlement.paid",
        "settlement.failed",
        "settlement.created",
    ]
    world.check()
