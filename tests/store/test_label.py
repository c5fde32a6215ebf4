from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError, OperationalError

from sakk.core.label import LabelList, ListKind
from sakk.store import label as store
from sakk.store.database import Database, open_database
from sakk.store.label import Change, LabelRow

FIRST = datetime(2026, 1, 1, tzinfo=UTC)
SECOND = FIRST + timedelta(days=1)
THIRD = FIRST + timedelta(days=2)


def row(number: int, **changes: object) -> LabelRow:
    made = LabelRow(family="eip155", address=f"0x{number:040x}", category="scam", confidence=50)
    return replace(made, **changes)  # type: ignore[arg-type]


def apply(database: Database, rows: list[LabelRow], *, now: datetime = FIRST) -> Change:
    with database.begin() as connection:
        store.stage_rows(connection, rows)
        store.lock_lists(connection)
        return store.apply_staged(connection, "lst_1", now=now)


def version(database: Database) -> int:
    with database.begin() as connection:
        return store.lists_version(connection)


def test_the_version_is_zero_before_the_first_list(database: Database) -> None:
    assert version(database) == 0


def test_a_list_is_applied_as_a_difference(database: Database) -> None:
    assert apply(database, [row(1), row(2)]) == Change(1, 2, 0, 0, 0)
    assert apply(database, [row(2), row(3)], now=SECOND) == Change(2, 1, 1, 1, 0)
    with database.begin() as connection:
        (gone,) = store.labels_of(connection, "eip155", row(1).address)
        (kept,) = store.labels_of(connection, "eip155", row(2).address)
        assert store.count_open(connection, "lst_1") == 2
    assert (gone.recorded_from, gone.recorded_to) == (FIRST, SECOND)
    assert (gone.opened_version, gone.closed_version) == (1, 2)
    assert (kept.recorded_from, kept.recorded_to) == (FIRST, None)


def test_the_same_rows_again_change_nothing_and_raise_no_version(database: Database) -> None:
    apply(database, [row(1, entity="someone", valid_to=THIRD)])
    again = apply(database, [row(1, entity="someone", valid_to=THIRD)], now=SECOND)
    assert again == Change(1, 0, 0, 1, 0)
    assert version(database) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"confidence": 60},
        {"entity": "someone"},
        {"actor": "actor"},
        {"source": "elsewhere"},
        {"valid_from": FIRST},
        {"valid_to": THIRD},
    ],
)
def test_a_changed_row_is_closed_and_opened_again(
    database: Database, change: dict[str, object]
) -> None:
    apply(database, [row(1)])
    assert apply(database, [row(1, **change)], now=SECOND) == Change(2, 1, 1, 0, 0)
    with database.begin() as connection:
        before, after = store.labels_of(connection, "eip155", row(1).address)
    assert before.recorded_to == after.recorded_from == SECOND
    assert getattr(after, next(iter(change))) == next(iter(change.values()))


def test_a_delisted_address_can_be_listed_again(database: Database) -> None:
    apply(database, [row(1), row(2)])
    apply(database, [row(2)], now=SECOND)
    apply(database, [row(1), row(2)], now=THIRD)
    with database.begin() as connection:
        history = store.labels_of(connection, "eip155", row(1).address)
    assert [(label.opened_version, label.closed_version) for label in history] == [
        (1, 2),
        (3, None),
    ]


def test_of_duplicate_rows_the_first_is_kept(database: Database) -> None:
    rows = [row(1, entity="first"), row(1, entity="second"), row(1, category="mixer")]
    assert apply(database, rows) == Change(1, 2, 0, 0, 1)
    with database.begin() as connection:
        found = store.labels_of(connection, "eip155", row(1).address)
    assert [(label.category, label.entity) for label in found] == [
        ("scam", "first"),
        ("mixer", None),
    ]


def test_what_was_in_force_at_any_version_stays_readable(database: Database) -> None:
    apply(database, [row(1), row(2)])
    apply(database, [row(2)], now=SECOND)
    pairs = [("eip155", row(1).address), ("eip155", row(2).address), ("tron", row(2).address)]
    with database.begin() as connection:
        counts = [
            len(store.labels_at(connection, version=version, addresses=pairs))
            for version in (0, 1, 2)
        ]
    assert counts == [0, 2, 1]


def test_changes_between_versions_are_net(database: Database) -> None:
    apply(database, [row(1), row(2)])
    apply(database, [row(1), row(3)], now=SECOND)
    apply(database, [row(1), row(4)], now=THIRD)
    with database.begin() as connection:
        closed, opened = store.scan_changes(connection, after=1, version=3)
        partial = store.scan_changes(connection, after=1, version=2)
        assert store.count_changes(connection, after=1) == 3
        in_force = {found.address for found in store.scan_labels(connection, version=2)}
    assert [found.address for found in closed] == [row(2).address]
    assert [found.address for found in opened] == [row(4).address]
    # Version 3 has happened; as of version 2 its closing has not.
    assert [found.address for found in partial[1]] == [row(3).address]
    assert in_force == {row(1).address, row(3).address}


def test_a_failing_stream_of_rows_changes_nothing(database: Database) -> None:
    def rows() -> Iterator[LabelRow]:
        yield row(1)
        raise RuntimeError("torn file")

    with pytest.raises(RuntimeError, match="torn file"), database.begin() as connection:
        store.stage_rows(connection, rows())
    assert version(database) == 0


def test_a_list_says_a_thing_once(database: Database) -> None:
    apply(database, [row(1)])
    again = store.labels.insert().from_select(
        [column.name for column in store.labels.c if column.name != "id"],
        select(*(column for column in store.labels.c if column.name != "id")),
    )
    with database.begin() as connection, pytest.raises(IntegrityError):
        connection.execute(again)


def test_a_label_by_hand_replaces_and_closes(database: Database) -> None:
    with database.begin() as connection:
        store.lock_lists(connection)
        assert store.put_label(connection, "lst_1", row(1), now=FIRST) == 1
        assert store.put_label(connection, "lst_1", row(1, entity="x"), now=SECOND) == 2
        assert store.close_label(connection, "lst_1", row(1), now=THIRD)
        assert not store.close_label(connection, "lst_1", row(1), now=THIRD)
    with database.begin() as connection:
        history = store.labels_of(connection, "eip155", row(1).address)
    assert [label.recorded_to for label in history] == [SECOND, THIRD]
    assert version(database) == 3


def test_an_import_notifies_at_commit(database: Database, database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as listener:
        listener.execute("LISTEN sakk")
        apply(database, [row(1)])
        (note,) = listener.notifies(timeout=60, stop_after=1)
    assert note.payload == "labels"


def test_a_list_keeps_the_version_that_it_had(database: Database) -> None:
    made = LabelList(
        id="lst_1",
        name="one",
        source="a file",
        kind=ListKind.labels,
        format="csv",
        version=1,
        row_count=1,
        sha256="00",
        imported_at=FIRST,
        retired_at=None,
    )
    for number, now in ((1, FIRST), (2, SECOND)):
        change = apply(database, [row(number)], now=now)
        with database.begin() as connection:
            store.put_list(
                connection, replace(made, version=change.version, imported_at=now), change
            )
    with database.begin() as connection:
        assert store.list_versions_at(connection, version=0) == {}
        assert store.list_versions_at(connection, version=1) == {"lst_1": ("one", 1)}
        assert store.list_versions_at(connection, version=9) == {"lst_1": ("one", 2)}
        assert store.find_list(connection, "one") == replace(made, version=2, imported_at=SECOND)
        assert [found.name for found in store.list_lists(connection)] == ["one"]
        assert store.find_list(connection, "two") is None


@pytest.mark.parametrize("imported_before", [False, True])
def test_no_import_commits_while_the_version_is_held(
    database: Database, database_url: str, imported_before: bool
) -> None:
    if imported_before:
        apply(database, [row(1)])
    with database.begin() as connection:
        held = store.lists_version(connection, lock=True)
        impatient = open_database(database_url)
        with impatient.begin() as other:
            other.execute(text("SET LOCAL lock_timeout = '50ms'"))
            store.lock_lists(other)
            with pytest.raises(OperationalError, match="lock timeout"):
                store.put_label(other, "lst_1", row(2), now=SECOND)
        impatient.close()
    apply(database, [row(2)], now=SECOND)
    assert version(database) == held + 1
