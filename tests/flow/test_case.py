"""Cases that open where something is found: once a subject, again by what is found later."""

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from tests.flow.harness import World

from sakk.core.case import Act, Case, CaseKind, Opening, Priority
from sakk.flow import case as flow
from sakk.store import case as store
from sakk.store.database import Database
from sakk.store.event import page

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def opening(subject: str = "pin_1", **changes: Any) -> Opening:
    known: dict[str, Any] = {
        "subject": subject,
        "kind": CaseKind.payin,
        "account_id": "acct_1",
        "livemode": False,
        "screening_id": None,
        "reason": "review: direct_mixer (mixer)",
        "priority": Priority.normal,
    }
    return Opening(**(known | changes))


def opened(database: Database, *openings: Opening, now: datetime = NOW) -> dict[str, str]:
    with database.begin() as connection:
        return flow.open_cases(connection, openings, now=now)


def found(database: Database, identifier: str) -> Case:
    with database.begin() as connection:
        row = store.find(connection, identifier, livemode=False)
    assert row is not None
    return row


def acts(database: Database, identifier: str) -> list[str]:
    with database.begin() as connection:
        return [each.act for each in store.list_acts(connection, identifier)]


def told(database: Database, identifier: str) -> list[str]:
    with database.begin() as connection:
        rows, _ = page(connection, account_id=None, livemode=False, object_id=identifier)
    return [each.type for each in rows]


def test_a_second_finding_is_added_to_the_case(database: Database) -> None:
    ids = opened(database, opening(), opening("pin_2"), opening(reason="and more"))
    assert set(ids) == {"pin_1", "pin_2"}
    again = opened(database, opening(priority=Priority.urgent), now=NOW + timedelta(hours=1))
    assert again == {"pin_1": ids["pin_1"]}
    row = found(database, "pin_1")
    assert (row.status, row.priority, row.acts) == ("open", Priority.urgent, 3)
    # What is more urgent is due sooner, counted from when it was found.
    assert row.due_at == NOW + timedelta(hours=5)
    assert acts(database, row.id) == ["opened", "found", "found"]
    assert told(database, row.id) == ["case.opened"]
    # A lesser finding makes nothing less urgent, and nothing later.
    opened(database, opening(priority=Priority.low))
    assert found(database, "pin_1").due_at == row.due_at
    assert found(database, "pin_1").priority == Priority.urgent
    assert opened(database) == {}


def test_two_findings_at_once_are_one_case(database: Database) -> None:
    results: list[dict[str, str]] = []

    def find() -> None:
        results.append(opened(database, opening()))

    threads = [threading.Thread(target=find) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len({each["pin_1"] for each in results}) == 1
    assert acts(database, results[0]["pin_1"]) == ["opened", "found", "found", "found"]


def test_a_closed_case_is_opened_again(database: Database) -> None:
    identifier = opened(database, opening(priority=Priority.urgent))["pin_1"]
    with database.begin() as connection:
        connection.execute(
            text("UPDATE cases SET status = 'closed', outcome = 'release', assignee = 'per_1'")
        )
    later = NOW + timedelta(days=9)
    opened(database, opening(reason="a new list"), now=later)
    row = found(database, identifier)
    assert (row.status, row.outcome, row.assignee, row.reason) == ("open", None, None, "a new list")
    assert row.due_at == later + timedelta(hours=72)
    with database.begin() as connection:
        last = store.list_acts(connection, identifier)[-1]
    assert (last.act, last.number) == (Act.reopened, 2)
    assert (last.before["outcome"], last.after["outcome"]) == ("release", None)
    assert told(database, identifier) == ["case.opened", "case.opened"]


@pytest.mark.parametrize("statement", ["UPDATE case_acts SET actor = 'x'", "DELETE FROM case_acts"])
def test_acts_are_never_changed(database: Database, statement: str) -> None:
    opened(database, opening())
    with pytest.raises(DBAPIError, match="never changed"), database.begin() as connection:
        connection.execute(text(statement))


def test_held_money_has_a_case_in_the_same_commit(world: World) -> None:
    world.import_list(world.chain.payer.address)
    intent = world.intent(2500)
    world.pay(intent)
    world.finalize()
    held = world.payin(intent)
    row = found(world.database, held.id)
    assert (row.kind, row.status, row.priority) == ("payin", "open", Priority.urgent)
    assert row.screening is not None
    assert row.account_id == world.account
    assert row.reason == "block: direct_sanctions (sanctions)"
    # The address that is listed leads to it too.
    with world.database.begin() as connection:
        statement = text("SELECT subject FROM case_subjects WHERE case_id = :case")
        linked = connection.execute(statement, {"case": row.id}).scalars().all()
    assert set(linked) == {
        held.id,
        f"{world.chain.network}:{world.chain.payer.address.lower()}",
    }
    # Another list that says the same of it adds to the case.
    world.import_list(world.chain.payer.address, name="payers", category="mixer")
    world.run()
    assert acts(world.database, row.id) == ["opened", "found"]
    assert world.event_types(about=row.id) == []


def test_what_was_credited_gets_a_case_when_its_payer_is_listed(world: World) -> None:
    intent = world.intent(2500)
    world.pay(intent)
    world.finalize()
    posted = world.payin(intent)
    with world.database.begin() as connection:
        assert store.find(connection, posted.id, livemode=False) is None
    world.import_list(world.chain.payer.address, category="mixer")
    world.run()
    row = found(world.database, posted.id)
    assert (row.kind, row.status, row.priority) == ("payin", "open", Priority.normal)
    assert world.payin(intent).status == "posted"
    world.check()
