from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from threading import Thread

import pytest
from sqlalchemy import text

from sakk.core.errors import Unavailable
from sakk.core.label import Category
from sakk.core.rule import BUILT_IN_NAME, Direct
from sakk.core.screening import Verdict
from sakk.screening import engine as engine_module
from sakk.screening.engine import Engine
from sakk.screening.importers import import_list, retire_list
from sakk.store.database import Database, open_database
from sakk.store.identity import now
from sakk.store.screening import find_screening, insert_screenings

from .conftest import CLEAN, SUSPECT, ListFile, enact, request

EXCHANGE = (Category.exchange,)
OTHER = "0x" + "6b" * 20
TRON = "TBHTJqAy4DhHhmT3dNceJYNRz4SdLofLre"


@pytest.fixture
def engine(database: Database) -> Engine:
    return Engine(database)


def verdict(engine: Engine, sender: str = SUSPECT, receiver: str = CLEAN) -> str:
    return engine.screen([request(sender, receiver)])[0].verdict


def listing(list_file: ListFile, *rows: str, name: str = "list.csv") -> Path:
    return list_file("address,category,network\n" + "\n".join(rows) + "\n", name)


def test_without_lists_everything_is_clear(engine: Engine) -> None:
    assert engine.version is None
    (screening,) = engine.screen([request()])
    assert (screening.verdict, screening.reasons, screening.lists_version) == ("clear", (), 0)
    assert engine.screen([]) == []


@pytest.mark.parametrize(("sender", "receiver"), [(SUSPECT, CLEAN), (CLEAN, SUSPECT)])
def test_sanctions_on_either_side_block(
    database: Database, engine: Engine, list_file: ListFile, sender: str, receiver: str
) -> None:
    report = import_list(database, listing(list_file, f"{SUSPECT},sanctions,"), now=now())
    (screening,) = engine.screen([request(sender, receiver)])
    assert screening.verdict == "block"
    (reason,) = screening.reasons
    assert (reason.list, reason.version, reason.address) == ("list", report.list.version, SUSPECT)
    assert screening.lists_version == report.lists_version
    assert screening.rules_version == BUILT_IN_NAME


def test_letter_case_hides_nobody(database: Database, engine: Engine, list_file: ListFile) -> None:
    import_list(database, listing(list_file, f"0x{SUSPECT[2:].upper()},sanctions,"), now=now())
    mixed = "0x" + "".join(
        character.upper() if place % 2 else character for place, character in enumerate(SUSPECT[2:])
    )
    assert verdict(engine, mixed) == "block"


def test_a_label_holds_on_every_network_of_its_family_and_no_other(
    database: Database, engine: Engine, list_file: ListFile
) -> None:
    path = listing(list_file, f"{SUSPECT},scam,eip155:1", f"{TRON},theft,TRX")
    import_list(database, path, now=now())
    screenings = engine.screen(
        [
            request(network="eip155:137"),
            request(TRON, TRON, network="tron:0x2b6653dc"),
            request(TRON, CLEAN, network="eip155:1"),
        ]
    )
    assert [one.verdict for one in screenings] == ["review", "review", "review"]
    assert [reason.rule for reason in screenings[1].reasons] == ["direct_crime", "direct_crime"]
    assert [reason.rule for reason in screenings[2].reasons] == ["unreadable_address"]


def test_every_import_changes_the_next_decision(
    database: Database, engine: Engine, list_file: ListFile
) -> None:
    assert verdict(engine) == "clear"
    import_list(database, listing(list_file, f"{SUSPECT},mixer,"), now=now())
    assert verdict(engine) == "review"
    import_list(database, listing(list_file, f"{SUSPECT},sanctions,", name="b.csv"), now=now())
    assert verdict(engine) == "block"
    assert len(engine) == 1
    import_list(database, listing(list_file, f"{OTHER},sanctions,", name="b.csv"), now=now())
    assert verdict(engine) == "review"
    retire_list(database, "list", now=now())
    assert verdict(engine) == "clear"
    assert verdict(engine, OTHER) == "block"
    assert len(engine) == 1


def test_catching_up_equals_loading_anew(
    database: Database, engine: Engine, list_file: ListFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    addresses = [f"0x{number + 2**100:040x}" for number in range(40)]
    engine.refresh()
    for step in range(1, 6):
        for name, category in (("a.csv", "scam"), ("b.csv", "mixer"), ("c.csv", "exchange")):
            rows = [
                f"{address},{category},"
                for number, address in enumerate(addresses)
                if (number * step + len(category)) % 7 == 0
            ]
            import_list(database, listing(list_file, *rows, name=name), now=now())
        if step % 2:
            engine.refresh()
    batch = [request(address) for address in addresses]
    fresh = Engine(database)
    with monkeypatch.context() as patched:
        patched.setattr(engine_module, "CHANGES_MAX", 10**9)
        caught_up = [(one.verdict, one.reasons) for one in engine.screen(batch)]
    assert caught_up == [(one.verdict, one.reasons) for one in fresh.screen(batch)]
    assert engine._index.keys() == fresh._index.keys()
    assert {one[0] for one in caught_up} == {"clear", "review"}


def test_many_changes_are_loaded_anew(
    database: Database, engine: Engine, list_file: ListFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.refresh()
    monkeypatch.setattr(engine_module, "CHANGES_MAX", 0)
    import_list(database, listing(list_file, f"{SUSPECT},sanctions,"), now=now())
    assert verdict(engine) == "block"


def test_a_label_counts_while_it_is_valid(
    database: Database, engine: Engine, list_file: ListFile
) -> None:
    moment = now()
    before, after = moment - timedelta(days=1), moment + timedelta(days=1)
    rows = [
        f"{SUSPECT},sanctions,{before.isoformat()},{after.isoformat()}",
        f"{OTHER},sanctions,{after.isoformat()},",
        f"{CLEAN},sanctions,,{before.isoformat()}",
    ]
    path = list_file("address,category,valid_from,valid_to\n" + "\n".join(rows))
    import_list(database, path, now=moment)
    assert verdict(engine, SUSPECT, SUSPECT) == "block"
    assert verdict(engine, OTHER, OTHER) == "clear"
    assert verdict(engine, CLEAN, CLEAN) == "clear"


def test_an_old_decision_can_be_reached_again(
    database: Database, engine: Engine, list_file: ListFile
) -> None:
    import_list(database, listing(list_file, f"{SUSPECT},mixer,"), now=now())
    made = engine.screen([request(), request("nonsense")])
    import_list(database, listing(list_file, f"{SUSPECT},sanctions,"), now=now())
    import_list(database, listing(list_file, f"{CLEAN},sanctions,", name="b.csv"), now=now())
    with database.begin() as connection:
        insert_screenings(connection, made)
    for one in made:
        with database.begin() as connection:
            stored = find_screening(connection, one.id)
        assert stored == one
        assert Engine(database).replay(stored) == (one.verdict, one.reasons)
    assert verdict(engine) == "block"
    with pytest.raises(ValueError, match="no screening rules '9'"):
        engine.replay(replace(made[0], rules_version="9"))


def test_the_rules_in_force_hold_for_the_next_decision_and_old_ones_can_be_replayed(
    database: Database, engine: Engine, list_file: ListFile
) -> None:
    import_list(database, listing(list_file, f"{SUSPECT},exchange,"), now=now())
    live = replace(request(), livemode=True)
    (first, first_live) = engine.screen([request(), live])
    enact(database, Direct(name="no exchange", verdict=Verdict.block, categories=EXCHANGE))
    (second, second_live) = engine.screen([request(), live])
    enact(database, Direct(name="ask first", verdict=Verdict.review, categories=EXCHANGE))
    (third,) = Engine(database).screen([request()])
    made = [first, second, third, first_live, second_live]
    assert [(one.verdict, one.rules_version) for one in made] == [
        ("clear", BUILT_IN_NAME),
        ("block", "1"),
        ("review", "2"),
        ("clear", BUILT_IN_NAME),
        ("clear", BUILT_IN_NAME),
    ]
    fresh = Engine(database)
    assert [fresh.replay(one) for one in made] == [(one.verdict, one.reasons) for one in made]


def test_no_rules_take_effect_between_a_verdict_and_what_is_done_with_it(
    database: Database, engine: Engine
) -> None:
    done: list[str] = []

    def change() -> None:
        enact(database)
        done.append("changed")

    thread = Thread(target=change)
    with database.begin() as connection:
        (screening,) = engine.screen([request()], connection=connection)
        thread.start()
        thread.join(0.3)
        done.append(screening.rules_version)
    thread.join(30)
    assert done == [BUILT_IN_NAME, "changed"]


def test_when_the_rules_cannot_be_read_nothing_passes(database: Database, engine: Engine) -> None:
    engine.refresh()
    with database.begin() as connection:
        connection.execute(text("ALTER TABLE rules_in_force RENAME TO rules_away"))
    with pytest.raises(Unavailable, match="nothing is passed"):
        engine.screen([request()])


def test_the_same_request_has_the_same_hash_and_outcome(engine: Engine) -> None:
    first, second = engine.screen([request(), request()])
    assert first.id != second.id
    assert replace(first, id=second.id) == second


def test_when_the_lists_cannot_be_read_nothing_passes(
    database: Database, engine: Engine, list_file: ListFile
) -> None:
    engine.refresh()
    import_list(database, listing(list_file, f"{SUSPECT},sanctions,"), now=now())
    with database.begin() as connection:
        connection.execute(text("ALTER TABLE labels RENAME TO labels_away"))
    for _ in range(2):
        with pytest.raises(Unavailable, match="nothing is passed"):
            engine.screen([request(CLEAN)])
    assert engine.version is None
    with database.begin() as connection:
        connection.execute(text("ALTER TABLE labels_away RENAME TO labels"))
    assert verdict(engine) == "block"
    assert verdict(engine, CLEAN) == "clear"


def test_without_a_database_nothing_passes(engine: Engine, database_url: str) -> None:
    away = open_database(database_url + "_away")
    lost = Engine(away)
    for call in (lost.refresh, lambda: lost.screen([request()])):
        with pytest.raises(Unavailable):
            call()
    with pytest.raises(Unavailable):
        lost.replay(engine.screen([request()])[0])
    away.close()


def test_a_database_that_was_set_back_is_loaded_anew(
    database: Database, engine: Engine, list_file: ListFile
) -> None:
    import_list(database, listing(list_file, f"{OTHER},sanctions,"), now=now())
    import_list(database, listing(list_file, f"{SUSPECT},sanctions,"), now=now())
    assert verdict(engine) == "block"
    with database.begin() as connection:
        connection.execute(text("DELETE FROM labels WHERE opened_version = 2"))
        connection.execute(text("UPDATE labels SET closed_version = NULL, recorded_to = NULL"))
        connection.execute(text("UPDATE lists_version SET version = 1"))
    assert verdict(engine) == "clear"
    assert verdict(engine, OTHER) == "block"


@pytest.fixture
def waiting_import(
    database: Database, database_url: str, list_file: ListFile
) -> Iterator[tuple[Thread, Database]]:
    """An import in another thread, to be started while a decision holds the lists."""
    path = listing(list_file, f"{SUSPECT},sanctions,")
    other = open_database(database_url)
    thread = Thread(target=lambda: import_list(other, path, now=now()))
    yield thread, other
    other.close()


def test_no_import_comes_between_a_verdict_and_what_follows(
    database: Database, engine: Engine, waiting_import: tuple[Thread, Database]
) -> None:
    thread, _ = waiting_import
    with database.begin() as connection:
        (first,) = engine.screen([request()], connection=connection)
        thread.start()
        _await_lock_wait(database)
        (again,) = engine.screen([request()], connection=connection)
        insert_screenings(connection, [first, again])
    thread.join(30)
    assert not thread.is_alive()
    assert (first.verdict, again.verdict) == ("clear", "clear")
    with database.begin() as connection:
        (after,) = engine.screen([request()], connection=connection)
    assert after.verdict == Verdict.block


def _await_lock_wait(database: Database) -> None:
    """Until some transaction waits for another one's lock."""
    waits = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
    for _ in range(10_000):
        with database.begin() as connection:
            if connection.execute(waits).scalar_one():
                return
    raise AssertionError("nothing ever waited")
