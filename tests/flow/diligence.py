"""A merchant's firm, and the people of compliance who decide on it."""

from dataclasses import dataclass
from typing import Any

from tests.flow.policing import Desk, Member

from sakk.core.ownership import Relation
from sakk.core.party import Hit, HitState, Party
from sakk.flow import due_diligence, party
from sakk.flow.account import create as create_account
from sakk.flow.party import Whose
from sakk.flow.step_up import StepUp
from sakk.store import party as store
from sakk.store.database import Database
from sakk.store.identity import new_id

FIRM = {
    "legal_name": "Harbour Trading Ltd",
    "registration": {"number": "0815", "country": "HK"},
    "incorporated_on": "2019-02-28",
    "registered_address": {"line1": "1 Queen's Road", "city": "Hong Kong", "country": "HK"},
}
ANN = {"full_name": "Ann"}


@dataclass
class Office:
    """A merchant, two compliance officers, and a firm that may be handed in."""

    desk: Desk
    first: Member
    second: Member

    def whose(self, by: Member | None = None) -> Whose:
        actor = self.desk.actor_of(by.token) if by is not None else self.first.actor
        return Whose(account_id=None, livemode=False, actor=actor)

    def firm(self, *, submitted: bool = True, screened: bool = True) -> Party:
        now, account = self.desk.now, self.desk.account
        with self.desk.database.begin() as connection:
            made = [
                party.create(
                    connection,
                    self.whose(),
                    identifier=new_id("pty"),
                    account_id=account,
                    kind=kind,
                    details=details,
                    role=role,
                    customer_id=None,
                    metadata=None,
                    now=now,
                )
                for kind, details, role in (
                    ("legal_entity", FIRM, "account"),
                    ("individual", ANN, None),
                )
            ]
            firm, owner = made
            party.add_link(
                connection,
                self.whose(),
                firm.id,
                identifier=new_id("plnk"),
                party_id=owner.id,
                relation=Relation.owner,
                share_ppm=1_000_000,
                title=None,
                now=now,
            )
            party.add_document(
                self.desk.parts,
                connection,
                self.whose(),
                firm.id,
                document_id=new_id("pdoc"),
                content=b"%PDF-1.7",
                described={
                    "kind": "incorporation",
                    "name": "scan.pdf",
                    "media_type": "application/pdf",
                    "country": None,
                    "issued_on": None,
                    "expires_on": None,
                },
                now=now,
            )
            if submitted:
                firm = party.submit(connection, self.whose(), firm.id, now=now)
            if screened:
                store.change(connection, firm.id, {"screened_revision": 1, "lists_version": 1})
        return self.read(firm)

    def read(self, row: Party) -> Party:
        with self.desk.database.begin() as connection:
            return party.find(connection, self.whose(), row.id)

    def digest(self, row: Party) -> str:
        with self.desk.database.begin() as connection:
            return party.digest_of(connection, self.read(row))

    def approve(self, row: Party, by: Member, **changes: Any) -> Party:
        word: dict[str, Any] = {
            "digest": self.digest(row),
            "note": "read",
            "step_up": StepUp(code=by.code()),
        }
        return due_diligence.approve(self.desk.parts, self.whose(by), row.id, **(word | changes))

    def refuse(self, row: Party, by: Member, act: str) -> Party:
        return due_diligence.refuse(
            self.desk.parts, self.whose(by), row.id, act=act, reason="papers are forged"
        )

    def hit(self, row: Party, **changes: Any) -> Hit:
        known: dict[str, Any] = {
            "id": new_id("phit"),
            "party_id": row.id,
            "account_id": row.account_id,
            "livemode": False,
            "revision": 1,
            "entity_id": "ent_1",
            "entry_version": 1,
            "list_name": "ofac-sdn",
            "list_version": 1,
            "name": row.name,
            "matched": "HARBOUR",
            "score": 900,
            "evidence": {},
            "state": "open",
            "note": None,
            "decided_by": None,
            "decided_at": None,
            "created": self.desk.now,
        }
        made = Hit(**(known | changes))
        with self.desk.database.begin() as connection:
            store.put_hits(connection, [made])
            store.change(connection, row.id, {"open_hits": 1})
        return made

    def decide(self, row: Party, hit: Hit, by: Member, state: HitState) -> Hit:
        return due_diligence.decide_hit(
            self.desk.parts,
            self.whose(by),
            row.id,
            hit.id,
            state=state,
            note="another date of birth",
            step_up=StepUp(code=by.code()),
        )

    def acts(self, row: Party) -> list[str]:
        with self.desk.database.begin() as connection:
            found = connection.exec_driver_sql(
                "SELECT act FROM party_acts WHERE party_id = %s ORDER BY id", (row.id,)
            )
            return [str(act) for (act,) in found]


def open_office(database: Database) -> Office:
    """A merchant's account, and two officers with second factors."""
    with database.begin() as connection:
        account = create_account(
            connection,
            account_id=new_id("acct"),
            livemode=False,
            now=Desk(database, "").now,
        ).id
    desk = Desk(database, account)
    return Office(desk, desk.member("cleo", "compliance"), desk.member("dan", "compliance"))
