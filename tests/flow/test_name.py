"""Names in the flow: decisions recorded under lists and rules, and exemptions by persons."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.flow.policing import Desk
from tests.screening.conftest import enact

from sakk.core.errors import (
    ParameterInvalid,
    PermissionDenied,
    ResourceMissing,
    UnexpectedState,
)
from sakk.core.name_screening import NameScreening, read_query
from sakk.core.person import Actor
from sakk.core.rule import BUILT_IN_NAME, Named
from sakk.core.screening import Verdict
from sakk.flow import name as flow
from sakk.screening.importers import import_list
from sakk.screening.name import NameIndex
from sakk.store import name as store
from sakk.store.database import Database
from sakk.store.identity import new_id
from sakk.store.page import PageRequest

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LIST = "ref,name,kind,birth\n1,Ivan Petrov,person,1962\n2,Ivan Petrovsky,person,\n"


class House:
    """A list, an index, and people of compliance."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database = database
        self.path = folder / "own.csv"
        self.index = NameIndex(database)
        self.desk = Desk(database, new_id("acct"))
        self.bring(LIST)

    def bring(self, text: str) -> None:
        self.path.write_text(text)
        import_list(self.database, self.path, name="own", kind="sanctions", now=NOW)

    def screen(self, name: str = "Ivan Petrov", subject: str = "party 1") -> NameScreening:
        with self.database.begin() as connection:
            (decided,) = flow.screen_names(
                connection,
                self.index,
                [flow.NameRequest(subject, read_query(name), None, False)],
                now=NOW,
            )
        return decided

    def exempt(self, entity: str, by: Actor, **changes: str) -> str:
        given = {"subject": "party 1", "reason": "another birth date"} | changes
        row = flow.exempt(self.desk.parts, entity_id=entity, actor=by, livemode=False, **given)
        return row.id


@pytest.fixture
def house(database: Database, tmp_path: Path) -> House:
    return House(database, tmp_path)


def test_a_decision_is_recorded_with_all_that_it_rests_on(house: House) -> None:
    decided = house.screen()
    assert (decided.verdict, decided.lists_version, decided.rules_version) == (
        "review",
        1,
        BUILT_IN_NAME,
    )
    assert (decided.hits[0].ref, decided.hits[0].score) == ("1", 1000)
    with house.database.begin() as connection:
        assert store.find_name_screening(connection, decided.id, livemode=False) == decided
        assert store.find_name_screening(connection, decided.id, livemode=True) is None
        rows, _ = store.list_name_screenings(
            connection, PageRequest(limit=10), livemode=False, subject="party 1"
        )
    assert rows == [decided]
    clear = house.screen("Somebody Else")
    assert (clear.verdict, clear.hits) == ("clear", ())


def test_the_rules_in_force_decide(house: House) -> None:
    enact(house.database, Named(name="sure", verdict=Verdict.block, score_min=990))
    decided = house.screen()
    assert (decided.verdict, decided.rules_version) == ("block", "1")
    assert [hit.ref for hit in decided.hits] == ["1"]
    assert house.screen("Iwan Petrow").verdict == "clear"


def test_an_exemption_holds_until_the_list_says_otherwise(house: House) -> None:
    cleo = house.desk.member("cleo", "compliance").actor
    before = house.screen()
    for hit in before.hits:
        house.exempt(hit.entity_id, cleo)
    same = house.exempt(before.hits[0].entity_id, cleo)
    cleared = house.screen()
    assert (cleared.verdict, len(cleared.hits)) == ("clear", len(before.hits))
    assert cleared.hits[0].exemption == same
    # Of that subject alone.
    assert house.screen(subject="party 2").verdict == "review"
    # The entry changes: the hit is open again, and a new word takes the old one's place.
    house.bring(LIST.replace("1962", "1963"))
    reopened = house.screen()
    assert (reopened.verdict, reopened.hits[0].exemption) == ("review", None)
    renewed = house.exempt(reopened.hits[0].entity_id, cleo)
    assert renewed != same
    assert house.screen().verdict == "clear"
    ended = flow.end_exemption(
        house.desk.parts, renewed, reason="It was them.", actor=cleo, livemode=False
    )
    assert ended.ended_by == cleo.person
    assert house.screen().verdict == "review"
    with pytest.raises(UnexpectedState):
        flow.end_exemption(house.desk.parts, renewed, reason=None, actor=cleo, livemode=False)
    with house.database.begin() as connection:
        rows, _ = store.list_exemptions(
            connection, PageRequest(limit=10), livemode=False, subject="party 1"
        )
    assert {row.id for row in rows} >= {same, renewed}


def test_who_may_exempt_and_what(house: House) -> None:
    entity = house.screen().hits[0].entity_id
    cleo = house.desk.member("cleo", "compliance").actor
    with pytest.raises(PermissionDenied):
        house.exempt(entity, Actor("machine"))
    with pytest.raises(PermissionDenied):
        house.exempt(entity, house.desk.member("tom", "finance").actor)
    for changes, param in (
        ({"reason": " "}, "reason"),
        ({"reason": "x" * 501}, "reason"),
        ({"subject": "x" * 129}, "subject"),
    ):
        with pytest.raises(ParameterInvalid) as caught:
            house.exempt(entity, cleo, **changes)
        assert caught.value.param == param
    with pytest.raises(ResourceMissing):
        house.exempt("ent_none", cleo)
    with pytest.raises(ResourceMissing):
        flow.end_exemption(house.desk.parts, "nex_none", reason=None, actor=cleo, livemode=False)
