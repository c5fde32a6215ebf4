"""Files of banks that somebody brings by hand: another person stands for each."""

from dataclasses import dataclass
from typing import Any

import pytest
from tests.flow.banking import lines, own_account, reference, statements, suspense
from tests.flow.harness import World
from tests.flow.policing import Desk, Member
from tests.rails.test_bank_files import camt, entry

from sakk.core.bank_account import BankAccount
from sakk.core.bank_file import BankFile
from sakk.core.errors import (
    ApprovalStale,
    PermissionDenied,
    ResourceMissing,
    SamePerson,
    StepUpRequired,
    UnexpectedState,
)
from sakk.flow import bank_file, bank_release
from sakk.flow.step_up import StepUp
from sakk.rails.bank.reader import ReadFile

STAGES = ("bank.read", "bank.match", "bank.book")


@dataclass
class Hands:
    """By which files come: people's, and an account's own adapter."""

    world: World
    desk: Desk
    own: BankAccount

    def bring(self, by: Member, content: bytes) -> BankFile:
        with self.world.database.begin() as connection:
            return bank_release.bring(
                connection,
                content,
                name="camt.xml",
                actor=by.actor,
                livemode=False,
                now=self.world.clock(),
            )

    def release(self, by: Member, row: BankFile, sha256: str | None = None, **step_up: Any) -> None:
        word = by.yes(sha256 or row.sha256, StepUp(**step_up) if step_up else None)
        bank_release.release(self.desk.parts, row.id, word, livemode=False)

    def adapter(self, content: bytes) -> BankFile:
        with self.world.database.begin() as connection:
            return bank_file.take_in(
                connection,
                content,
                name="camt.xml",
                bank_account=self.own.id,
                livemode=False,
                now=self.world.clock(),
            )


def test_what_a_person_brings_credits_nobody_until_another_released_it(world: World) -> None:
    own = own_account(world, opening=1_000)
    told = reference(world)
    details = "<NtryDtls><TxDtls><RltdPties><Dbtr><Nm>Payer</Nm></Dbtr></RltdPties><RmtInf><Ustrd>"
    body = entry("5.00", "CRDT", f"{details}{told}</Ustrd></RmtInf></TxDtls></NtryDtls>")
    content = camt(body, closing="15.00").encode()
    desk = Desk(world.database, world.account, now=world.clock())
    one, two = desk.member("fay", "finance"), desk.member("fin", "finance")
    hands = Hands(world, desk, own)
    with pytest.raises(PermissionDenied):
        hands.bring(desk.member("amy", "approver"), content)
    row = hands.bring(one, content)
    # Brought again, by whomever, it is the same file and still hers to be released.
    assert hands.bring(two, content) == row
    world.run_only(*STAGES)
    assert (row.status, statements(world)) == ("awaiting", [])
    with world.database.read() as connection:
        said = bank_release.preview(connection, row)
    assert isinstance(said, ReadFile)
    assert [each.closing_units for each in said.statements] == [1_500]
    with pytest.raises(SamePerson):
        hands.release(one, row)
    with pytest.raises(ApprovalStale):
        hands.release(two, row, "0" * 64)
    with pytest.raises(StepUpRequired):
        hands.release(two, row, code=None)
    bank_release.refuse(desk.parts, row.id, actor=two.actor, livemode=False)
    with pytest.raises(UnexpectedState):
        hands.release(two, row)
    # A refused one may be brought again, and then it is of who brings it now.
    again = hands.bring(two, content)
    assert (again.id, again.status, again.brought_by) == (row.id, "awaiting", two.id)
    with pytest.raises(SamePerson):
        hands.release(two, again)
    hands.release(one, again)
    world.run_only(*STAGES)
    assert (world.balance("eur"), suspense(world, own)) == (500, 0)
    with pytest.raises(ResourceMissing):
        bank_release.refuse(desk.parts, "bf_none", actor=two.actor, livemode=False)
    # What the bank's own adapter brings needs nobody, though somebody brought it before.
    later = camt(
        entry("1.00", "CRDT"),
        opening="15.00",
        closing="16.00",
        number="<ElctrncSeqNb>8</ElctrncSeqNb>",
    ).encode()
    waits = hands.bring(one, later)
    came = hands.adapter(later)
    assert (came.id, came.status, came.brought_by) == (waits.id, "received", None)
    world.run_only(*STAGES)
    assert [each.units for each in lines(world)] == [500, 100]
    names = [name for name in world.event_types(operator=True) if name.startswith("bank_file")]
    assert sorted(names) == ["bank_file.awaiting"] * 3 + ["bank_file.refused"]
    world.check()
