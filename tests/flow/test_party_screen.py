"""Parties under watch: likenesses are found, decided on, and found anew when a list changes."""

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select
from tests.flow.diligence import FIRM, Office, open_office

from sakk.core.errors import UnexpectedState
from sakk.core.party import Hit, HitState, Party
from sakk.flow import party
from sakk.flow.party_screen import party_review_stage, party_screen_stage
from sakk.screening.importers import import_list
from sakk.store import event as events
from sakk.store import party as store
from sakk.store.case import cases
from sakk.store.database import Database

HEAD = "ref,name,kind,countries\n"
LISTED = HEAD + "7,Harbour Trading Limited,organization,HK\n8,Somebody Else,person,\n"


@pytest.fixture
def office(database: Database) -> Office:
    return open_office(database)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "own.csv"


def bring(office: Office, path: Path, text: str) -> None:
    path.write_text(text)
    import_list(office.desk.database, path, name="own-names", kind="sanctions", now=office.desk.now)


def screen(office: Office) -> None:
    """Compare until nothing is due, as the worker does."""
    stage = party_screen_stage(office.desk.parts)
    while stage.run():
        pass


def hits(office: Office, row: Party) -> list[Hit]:
    with office.desk.database.begin() as connection:
        return store.hits_of(connection, row.id)


def told(office: Office, row: Party) -> list[str]:
    with office.desk.database.begin() as connection:
        found = connection.execute(
            select(events.events.c.type)
            .where(events.events.c.object_id == row.id)
            .order_by(events.events.c.id)
        )
        return [str(name) for (name,) in found]


def opened(office: Office) -> list[tuple[str, str, int]]:
    """Each case: its subject, its status, and how much was found about it."""
    with office.desk.database.begin() as connection:
        found = connection.execute(select(cases.c.subject, cases.c.status, cases.c.acts))
        return [(subject, status, acts) for subject, status, acts in found]


def test_without_lists_nothing_is_like_anything(office: Office) -> None:
    row = office.firm(screened=False)
    screen(office)
    after = office.read(row)
    assert (after.screened_revision, after.lists_version, after.open_hits) == (1, 0, 0)
    assert not hits(office, row)
    assert not opened(office)
    assert office.approve(after, office.first).status == "approved"


def test_a_likeness_waits_for_a_person_and_its_word_holds_for_the_entry_as_it_was(
    office: Office, path: Path
) -> None:
    bring(office, path, LISTED)
    row = office.firm(screened=False)
    screen(office)
    [hit] = hits(office, row)
    assert (hit.matched, hit.state) == ("Harbour Trading Limited", "open")
    assert hit.evidence["pairs"]
    assert office.read(row).open_hits == 1
    assert told(office, row)[-1] == "party.hit_found"
    assert opened(office) == [(row.id, "open", 1)]
    with pytest.raises(UnexpectedState, match="1 likenesses"):
        office.approve(row, office.first)
    office.decide(row, hit, office.first, HitState.false_positive)
    assert office.approve(office.read(row), office.first).status == "approved"
    # Another entry comes: compared again, and nothing new is like it.
    bring(office, path, LISTED + "9,Third Person,person,\n")
    screen(office)
    assert [each.state for each in hits(office, row)] == ["false_positive"]
    # The entry itself changes: the word was about what it said before.
    bring(office, path, LISTED.replace(",HK\n", ",HK;AE\n"))
    screen(office)
    assert sorted(each.state for each in hits(office, row)) == ["false_positive", "open"]
    assert (office.read(row).status, office.read(row).open_hits) == ("approved", 1)
    assert opened(office) == [(row.id, "open", 2)]


def test_what_is_known_anew_is_compared_anew_and_a_draft_is_not(office: Office, path: Path) -> None:
    bring(office, path, LISTED)
    draft = office.firm(submitted=False, screened=False)
    screen(office)
    assert office.read(draft).screened_revision is None
    row = office.firm()
    with office.desk.database.begin() as connection:
        party.update(
            connection,
            office.whose(),
            row.id,
            changes={"details": FIRM | {"legal_name": "Somebody Else"}},
            now=office.desk.now,
        )
    screen(office)
    # An organisation that is called as a person on a list is: the kind speaks against it.
    assert office.read(row).screened_revision == 2
    assert all(each.revision == 2 for each in hits(office, row))


def test_what_no_list_could_be_asked_about_stops_nobody(office: Office) -> None:
    """More countries than a question has, and a birth before any list's: asked without."""
    many = ["AT", "BE", "BG", "CH", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GB", "GR"]
    many += ["HR", "HU", "IE", "IS", "IT", "LT", "LU", "LV", "MT", "NL"]
    row = office.firm()
    with office.desk.database.begin() as connection:
        store.change(
            connection,
            row.id,
            {
                "kind": "individual",
                "details": {"full_name": "A", "birth_date": "1700-01-01", "nationalities": many},
                "screened_revision": None,
            },
        )
    screen(office)
    assert office.read(row).screened_revision == row.revision


def test_a_review_falls_due_once(office: Office) -> None:
    row = office.approve(office.firm(), office.first)
    stage = party_review_stage(office.desk.parts)
    assert stage.run() == 0
    assert row.review_at is not None
    office.desk.now = row.review_at + timedelta(seconds=1)
    assert (stage.run(), stage.run()) == (1, 0)
    assert told(office, row)[-1] == "party.review_due"
    assert opened(office) == [(row.id, "open", 1)]
    # Approved again, it is due again after its time.
    again = office.approve(office.read(row), office.second)
    assert again.review_at is not None
    assert again.review_at > row.review_at
    assert stage.run() == 0
