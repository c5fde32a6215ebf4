"""Old verdicts are reached again bit for bit, whatever the lists and the rules became since."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import text
from tests.screening.conftest import CLEAN, SUSPECT, enact, request
from typer.testing import CliRunner

from sakk.cli.app import make_app
from sakk.core.label import Category
from sakk.core.rule import Direct
from sakk.core.screening import Screening, Verdict
from sakk.flow import audit_replay as flow
from sakk.flow.context import Parts
from sakk.screening.engine import Engine
from sakk.screening.importers import import_list
from sakk.store.database import Database
from sakk.store.identity import now
from sakk.store.screening import find_screening, insert_screenings

EXCHANGE = (Category.exchange,)


@dataclass
class Past:
    """Decisions under two versions of a list and two of the rules."""

    parts: Parts
    made: list[Screening]

    def kept(self, place: int) -> Screening:
        """One as it is stored now."""
        with self.parts.database.begin() as connection:
            found = find_screening(connection, self.made[place].id)
        assert found is not None
        return found


@pytest.fixture
def past(database: Database, tmp_path: Path) -> Past:
    engine = Engine(database)
    path = tmp_path / "list.csv"
    made: list[Screening] = []

    def decide(*rows: str) -> None:
        if rows:
            path.write_text("address,category,network\n" + "\n".join(rows) + "\n")
            import_list(database, path, now=now(), allow_shrink=True)
        with database.begin() as connection:
            decided = engine.screen([request(), request(CLEAN)], connection=connection)
            insert_screenings(connection, decided)
        made.extend(decided)

    decide(f"{SUSPECT},sanctions,", f"{CLEAN},exchange,")
    decide(f"{CLEAN},exchange,")
    enact(database, Direct(name="no exchange", verdict=Verdict.review, categories=EXCHANGE))
    decide()
    decide(f"{SUSPECT},theft,")
    assert [each.verdict for each in made] == [
        "block",
        "clear",
        "clear",
        "clear",
        "review",
        "review",
        "clear",
        "clear",
    ]
    return Past(Parts(database, screening=Engine(database)), made)


def test_each_is_decided_again_as_it_was(past: Past) -> None:
    """After a delisting, a relabelling and a change of rules."""
    result = flow.replay(past.parts, flow.chosen(past.parts))
    assert (result.replayed, result.differences) == (len(past.made), ())
    assert {each.lists_version for each in past.made} == {1, 2, 3}
    assert len({each.rules_version for each in past.made}) == 2


def test_which_are_decided_again(past: Past) -> None:
    def ids(**which: object) -> list[str]:
        return [each.id for each in flow.chosen(past.parts, **which)]  # type: ignore[arg-type]

    # Within a millisecond ids have no order.
    everything = sorted(each.id for each in past.made)
    assert ids() == everything
    assert ids(subject="pin_1") == everything
    assert ids(subject=everything[2]) == [everything[2]]
    assert ids(subject="pin_2") == []
    assert ids(since=past.made[4].created) == sorted(each.id for each in past.made[4:])
    assert len(ids(sample=3)) == 3
    assert set(ids(sample=100)) == set(everything)


TAMPERED = [
    ("UPDATE screenings SET verdict = 'clear' WHERE id = :id", "it was clear, and is block"),
    ("UPDATE screenings SET token_units = 1 WHERE id = :id", "its inputs have the hash"),
    (
        "UPDATE screenings SET inputs = jsonb_set(inputs, '{hits,0,confidence}', '1')"
        " WHERE id = :id",
        "its inputs have the hash",
    ),
    (
        "UPDATE screenings SET reasons = jsonb_set(reasons, '{0,entity}', '\"nobody\"')"
        " WHERE id = :id",
        'reason 1: entity was "nobody", and is null',
    ),
    (
        "UPDATE screenings SET reasons = '[]' WHERE id = :id",
        "it had 0 reasons, and has",
    ),
    ("UPDATE screenings SET rules_version = '9' WHERE id = :id", "no screening rules '9'"),
    # The label's history: what it said then is not what it says of then now.
    ("UPDATE labels SET category = 'theft' WHERE opened_version = 1", "it was block, and is"),
    ("UPDATE labels SET opened_version = 2 WHERE opened_version = 1", "it was block, and is clear"),
]


@pytest.mark.parametrize(("statement", "says"), TAMPERED)
def test_what_comes_out_otherwise_is_named(past: Past, statement: str, says: str) -> None:
    first = past.made[0].id
    with past.parts.database.begin() as connection:
        parameters = {"id": first} if ":id" in statement else {}
        connection.execute(text(statement), parameters)
    what = flow.difference(past.parts, past.kept(0))
    assert what is not None
    assert what.startswith(says) or says in what, what
    result = flow.replay(past.parts, flow.chosen(past.parts))
    assert first in [each.screening for each in result.differences]


def test_the_command_says_so(past: Past, monkeypatch: pytest.MonkeyPatch) -> None:
    database = past.parts.database
    monkeypatch.setenv("DATABASE_URL", database.url)
    runner, app = CliRunner(), make_app("audit")
    done = runner.invoke(app, ["audit", "replay", "--json"])
    assert (done.exit_code, json.loads(done.stdout)) == (
        0,
        {"ok": True, "replayed": 8, "differences": []},
    )
    done = runner.invoke(app, ["audit", "replay", "--sample", "2"])
    assert (done.exit_code, done.stdout) == (0, "YES: 2 screenings decided again\n")
    with database.begin() as connection:
        connection.execute(text("UPDATE screenings SET verdict = 'clear'"))
    done = runner.invoke(app, ["audit", "replay", "pin_1", "--since", "2020-01-01"])
    assert done.exit_code == 1
    assert f"NO: {past.made[0].id} of pin_1: it was clear, and is block" in done.stdout
    few = flow.replay(past.parts, flow.chosen(past.parts), differences_max=1)
    assert (len(few.differences), few.replayed < 8) == (1, True)
