"""Reconciliations that are kept, breaks that people end, and days that are closed for good."""

import json
from dataclasses import replace
from datetime import date, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from tests.flow.conftest import MakeWorld
from tests.flow.harness import World
from tests.flow.money import rich, send_rpc, wei_at
from tests.flow.policing import VAULT, Desk, Member

from sakk.client.day import DayReportError, verify_day
from sakk.core import chart
from sakk.core import day as day_rules
from sakk.core import ledger_break as break_rules
from sakk.core.day import Clock, Day
from sakk.core.errors import (
    ApprovalStale,
    ParameterInvalid,
    PermissionDenied,
    SamePerson,
    StepUpFailed,
    UnexpectedState,
)
from sakk.core.ledger_break import LedgerBreak, Leg
from sakk.core.reconciliation import Reconciliation
from sakk.flow import day as days
from sakk.flow import ledger_break as breaks
from sakk.flow import reconciliation
from sakk.flow.context import Parts
from sakk.flow.ledger_break import correct_stage
from sakk.flow.step_up import StepUp
from sakk.ledger.projection import wait_projected
from sakk.store import ledger_break as store
from sakk.store import reconciliation as reconciliations
from sakk.store.identity import new_id


class Office:
    """A world whose treasury is watched by people, on a clock of their own."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.desk = Desk(world.database, world.account, now=world.clock())
        self.parts: Parts = replace(world.parts, vault=VAULT, clock=lambda: self.desk.now)

    def run(self) -> Reconciliation:
        wait_projected(self.world.database.url)
        found = reconciliation.run(self.parts, livemode=False)
        assert found.error is None
        return found.row

    def standing(self) -> list[LedgerBreak]:
        with self.world.database.begin() as connection:
            return store.list_standing(connection, livemode=False)

    def read(self, row: LedgerBreak) -> LedgerBreak:
        with self.world.database.begin() as connection:
            found = store.find(connection, row.id, livemode=False)
        assert found is not None
        return found

    def acts(self, row: LedgerBreak) -> list[str]:
        with self.world.database.begin() as connection:
            return [each.act for each in store.list_acts(connection, row.id)]

    def explain(self, row: LedgerBreak, by: Member) -> None:
        breaks.assign(self.parts, row.id, actor=by.actor, livemode=False, owner=None)
        breaks.note(
            self.parts,
            row.id,
            "It is known.",
            actor=by.actor,
            livemode=False,
            act_id=new_id(break_rules.ACT_PREFIX),
        )

    def propose(self, row: LedgerBreak, by: Member, *legs: Leg) -> LedgerBreak:
        return breaks.propose(
            self.parts, row.id, list(legs), actor=by.actor, livemode=False, note="counted"
        )

    def confirm(
        self,
        row: LedgerBreak,
        by: Member,
        digest: str | None = None,
        step_up: StepUp | None = None,
    ) -> LedgerBreak:
        word = by.yes(digest or break_rules.digest_of(row), step_up)
        return breaks.confirm(self.parts, row.id, word, livemode=False)

    def outlook(self) -> days.Outlook:
        with self.world.database.begin() as connection:
            return days.outlook(connection, livemode=False, now=self.desk.now)

    def accept(self, by: Member, *, digest: str | None = None) -> days.Outlook:
        seen = self.outlook()
        return days.accept(
            self.parts,
            identifier=new_id(day_rules.ACCEPTANCE_PREFIX),
            day=seen.date,
            digest=digest or seen.digest,
            reason=f"{by.id} looked at it.",
            actor=by.actor,
            livemode=False,
            step_up=StepUp(code=by.code()),
        )

    def close(
        self,
        by: Member,
        day: date | None = None,
        clock: Clock | None = None,
        identifier: str | None = None,
    ) -> Day:
        return days.close(
            self.parts,
            identifier=identifier or new_id(day_rules.PREFIX),
            day=day,
            actor=by.actor,
            livemode=False,
            step_up=StepUp(code=by.code()),
            clock=clock,
        )


@pytest.fixture
def office(make_world: MakeWorld) -> Office:
    """A pay-in and a funded treasury, all booked."""
    world = make_world()
    rich(world, 100)
    return Office(world)


def tamper(world: World, by: int) -> None:
    with world.database.begin() as connection:
        connection.execute(
            text("UPDATE payins SET amount = amount + :by WHERE role = 'payment'"), {"by": by}
        )


def alter_entry(world: World, by: int) -> None:
    """Alter the first entry of the statement's rows by hand."""
    with world.database.begin() as connection:
        connection.execute(
            text(
                "UPDATE ledger_entries SET amount = amount + :by WHERE timestamp_ns ="
                " (SELECT min(timestamp_ns) FROM ledger_entries) AND amount > 0"
            ),
            {"by": by},
        )


def more_wei(world: World, more: int) -> None:
    held = wei_at(world, world.treasury)
    send_rpc(world, "anvil_setBalance", world.treasury, hex(held + more))
    world.finalize()


def test_breaks_are_found_corrected_by_two_and_end_by_themselves(office: Office) -> None:
    world, native = office.world, office.world.native
    first = office.run()
    assert (first.status, first.breaks, office.standing()) == ("balanced", 0, [])
    assert {"rows", "suspense", "bank", f"chain:{world.chain.network}"} == set(first.scopes)
    ann, ben = office.desk.admins()
    office.desk._admins = (ann, ben)
    tamper(world, 1)
    more_wei(world, 7)
    second = office.run()
    assert (second.status, second.breaks) == ("broken", 2)
    by_kind = {each.kind: each for each in office.standing()}
    coin, row = by_kind["chain_without_ledger"], by_kind["row_differs"]
    assert (coin.units, coin.subject, coin.status) == (7, native, "open")
    assert row.subject in {each.id for each in world.payins()}
    # The same again is the same; what grows is told, and what is told once wakes nobody twice.
    more_wei(world, 2)
    assert office.run().breaks == 2
    assert {each.id for each in office.standing()} == {coin.id, row.id}
    coin = office.read(coin)
    assert (coin.units, office.acts(coin)) == (9, ["opened", "found"])
    told = [each for each in world.event_types(operator=True) if each == "reconciliation.broken"]
    assert len(told) == 1
    # One proposes, another confirms what was shown, with a fresh code.
    held = chart.custody(native, "hot").name
    own = chart.equity_operator(native).name
    with pytest.raises(PermissionDenied):
        office.explain(coin, office.desk.member("carl", "compliance"))
    with pytest.raises(ParameterInvalid, match="No correction"):
        office.propose(coin, ann, Leg(held, chart.quarantine(native).name, 9))
    stranger = chart.merchant("acct_nobody", "available", "test/usdc").name
    with pytest.raises(ParameterInvalid, match="There is no account"):
        office.propose(coin, ann, Leg(stranger, chart.equity_operator("test/usdc").name, 9))
    proposed = office.propose(coin, ann, Leg(held, own, 8))
    assert office.propose(coin, ann, Leg(held, own, 8)) == proposed
    with pytest.raises(SamePerson):
        office.confirm(proposed, ann)
    with pytest.raises(ApprovalStale):
        office.confirm(proposed, ben, digest="0" * 64)
    with pytest.raises(StepUpFailed):
        office.confirm(proposed, ben, step_up=StepUp(code="000000"))
    breaks.decline(office.parts, coin.id, actor=ben.actor, livemode=False, reason="it is 9")
    proposed = office.propose(coin, ann, Leg(held, own, 9))
    code = StepUp(code=ben.code())
    confirmed = office.confirm(proposed, ben, step_up=code)
    assert office.confirm(proposed, ben, step_up=code) == confirmed
    assert confirmed.status == "correcting"
    assert correct_stage(office.parts).run() == 1
    assert office.read(coin).status == "corrected"
    # The next runs see that it is gone, and so is what was mended by hand.
    tamper(world, -1)
    office.desk.advance(1)
    assert office.run().status == "balanced"
    assert [office.read(each).status for each in (coin, row)] == ["resolved", "resolved"]
    assert office.acts(coin)[-2:] == ["booked", "resolved"]
    world.check()
    refused(office, ann, ben)


def refused(office: Office, ann: Member, ben: Member) -> None:
    """What the ledger refuses is people's again, and what could not be read ends nothing."""
    world = office.world
    more_wei(world, 1)
    office.run()
    [row] = office.standing()
    available = chart.merchant(world.account, "available", "test/usdc").name
    own = chart.equity_operator("test/usdc").name
    proposed = office.propose(row, ann, Leg(available, own, 10**15))
    office.confirm(proposed, ben)
    assert correct_stage(office.parts).run() == 1
    row = office.read(row)
    assert (row.status, row.proposal, office.acts(row)[-1]) == ("open", None, "refused")
    with world.database.begin() as connection:
        connection.execute(text("UPDATE network_cursors SET block_number = NULL"))
    failed = reconciliation.run(office.parts, livemode=False)
    assert (failed.row.status, failed.row.scopes) == ("failed", [])
    assert "final block" in (failed.row.why or "")
    assert office.read(row).status == "open"


def test_a_day_is_closed_once_and_its_report_proves_itself(office: Office) -> None:
    world, desk = office.world, office.desk
    ann, ben = desk.admins()
    desk.advance(86_400)
    seen = office.outlook()
    assert seen.waits_for == "the books are to be reconciled after the day's end"
    with pytest.raises(UnexpectedState, match="reconciled after"):
        office.close(ann)
    office.run()
    alter_entry(world, 1)
    with pytest.raises(UnexpectedState, match="do not add up"):
        office.close(ann)
    alter_entry(world, -1)
    first = office.close(ann)
    assert (first.number, first.from_ns, first.previous) == (1, 0, None)
    assert office.close(ben, date.fromisoformat(first.date)) == first
    # A request whose answer was lost is asked again under its own id.
    assert office.close(ben, identifier=first.id) == first
    report = json.loads(first.report)
    assert report["entries"] > 0
    assert {each["unit"] for each in report["units"]} >= {"test/usdc", world.native}
    assert report["reconciliations"][0]["status"] == "balanced"
    with pytest.raises(UnexpectedState, match="not over"):
        office.close(ann)
    # What stands unexplained is for two people to accept, by name, as it stands.
    desk.advance(86_400)
    more_wei(world, 3)
    office.run()
    with pytest.raises(UnexpectedState, match="1 breaks have no owner"):
        office.close(ann)
    with pytest.raises(ApprovalStale):
        office.accept(ann, digest="0" * 64)
    assert not office.accept(ann).is_ready
    assert not office.accept(ann).is_ready
    more_wei(world, 1)
    office.run()
    assert not office.accept(ben).is_ready
    assert office.accept(ann).is_ready
    with pytest.raises(ParameterInvalid, match="one after another"):
        office.close(ann, date.fromisoformat(first.date) + timedelta(days=2))
    second = office.close(ann, clock=Clock("UTC", "00:00"))
    assert (second.number, second.from_ns, second.previous) == (2, first.to_ns, first.sha256)
    report = json.loads(second.report)
    assert [each["person"] for each in report["accepted"]] == [ben.id, ann.id]
    assert [each["units"] for each in report["breaks"]] == ["4"]
    # An explained break stands in nobody's way, and goes into the next day.
    desk.advance(86_400)
    office.explain(office.standing()[0], ben)
    office.run()
    third = office.close(ben)
    assert json.loads(third.report)["breaks"][0]["owner"] == ben.id
    _check_files(first, second)
    # The run that lets a day be closed is the newest: it is never left out.
    with world.database.begin() as connection:
        [newest] = reconciliations.list_between(
            connection,
            after=world.clock() - timedelta(days=9),
            until=desk.now,
            livemode=False,
            limit=1,
        )
    assert newest.id == json.loads(third.report)["reconciliations"][-1]["id"]
    for statement in ("UPDATE days SET date = ''", "DELETE FROM days", "TRUNCATE days"):
        with (
            pytest.raises(DBAPIError, match="only added to days"),
            world.database.begin() as connection,
        ):
            connection.execute(text(statement))


def _check_files(first: Day, second: Day) -> None:
    files = [json.dumps(day_rules.file_document(each)).encode() for each in (first, second)]
    key = VAULT.authority_key().hex()
    assert verify_day(files[1], previous=files[0], authority=key).sha256 == second.sha256
    with pytest.raises(DayReportError, match="another key"):
        verify_day(files[0], authority="00" * 32)
    with pytest.raises(DayReportError, match="does not follow"):
        verify_day(files[1], previous=files[1])
    with pytest.raises(DayReportError, match="no file of a closed day"):
        verify_day(b"{}")
    changed = {**json.loads(files[0]), "report": first.report.replace('"number":1', '"number":2')}
    with pytest.raises(DayReportError, match="what its hash says"):
        verify_day(json.dumps(changed).encode())
    forged = {**json.loads(files[0]), "signature": second.signature.hex()}
    with pytest.raises(DayReportError, match="signature"):
        verify_day(json.dumps(forged).encode())
