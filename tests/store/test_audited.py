"""What triggers note: who, when, and what a row was before and after; never a secret."""

import json
from typing import Any

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from sakk.store import actor, audited
from sakk.store.database import Database, open_database
from sakk.store.migrate import all_tables, upgrade

CURRENCY = (
    "INSERT INTO currencies (currency, name, kind, decimals, updated)"
    " VALUES ('zed', 'Zed', 'coin', 6, '2026-01-01T00:00:00Z')"
)


def noted(connection: Connection) -> list[Any]:
    return list(connection.execute(text("SELECT * FROM audit_inbox ORDER BY id")))


def test_every_audited_table_is_one_with_its_columns() -> None:
    tables = all_tables().tables
    for name, about in audited.AUDITED.items():
        columns = set(tables[name].c.keys())
        assert columns.issuperset({*about.key, *about.secret, *about.quiet}), name
        assert about.subject is None or about.subject in columns, name
        assert tuple(each.name for each in tables[name].primary_key) == about.key, name
    for name, versioned in audited.VERSIONED_TABLES.items():
        assert set(tables[name].c.keys()) == {*versioned, *audited.VERSIONED}


def test_a_migrated_database_has_all_triggers(database: Database) -> None:
    upgrade(database.url)
    with database.begin() as connection:
        assert audited.missing_triggers(connection) == []
        connection.execute(text("ALTER TABLE policies DISABLE TRIGGER sakk_audit"))
        connection.execute(text("DROP TRIGGER sakk_audit ON labels"))
        assert audited.missing_triggers(connection) == ["policies", "labels"]


def test_what_was_there_before_is_the_beginning(database: Database) -> None:
    with database.begin() as connection:
        connection.execute(text("DROP TRIGGER sakk_audit ON currencies"))
        connection.execute(text("DROP TRIGGER sakk_audit_truncated ON currencies"))
        connection.execute(text(CURRENCY))
        assert noted(connection) == []
    upgrade(database.url)
    with database.begin() as connection:
        [entry] = noted(connection)
    assert (entry.source, entry.act, entry.key) == ("currencies", "baseline", "zed")
    assert entry.after["decimals"] == 6


def test_a_change_is_noted_with_what_was_before(database: Database) -> None:
    with database.begin() as connection:
        connection.execute(text(CURRENCY))
        connection.execute(text("UPDATE currencies SET decimals = decimals"))
        connection.execute(text("UPDATE currencies SET decimals = 8, usd_numerator = 2"))
        connection.execute(text("DELETE FROM currencies"))
        made, changed, gone = noted(connection)
    assert (made.act, made.before, made.after["decimals"]) == ("insert", None, 6)
    assert (changed.act, changed.before, changed.after) == (
        "update",
        {"decimals": 6, "usd_numerator": None},
        {"decimals": 8, "usd_numerator": 2},
    )
    assert (gone.act, gone.before["decimals"], gone.after) == ("delete", 8, None)
    assert made.xid == changed.xid


def test_times_and_amounts_are_the_same_in_every_session(database: Database) -> None:
    with database.begin() as connection:
        connection.execute(text("SET LOCAL timezone TO 'Asia/Tokyo'"))
        connection.execute(text(CURRENCY))
        connection.execute(text("UPDATE currencies SET usd_numerator = 1e77::numeric(78,0)"))
        made, changed = noted(connection)
    assert made.after["updated"] == "2026-01-01T00:00:00+00:00"
    assert changed.after == {"usd_numerator": 10**77}


def test_a_secret_is_noted_as_its_hash(database: Database) -> None:
    with database.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO networks (network, name, family, livemode, enabled, rpc_urls,"
                " confirmations, block_seconds, poll_milliseconds, native_asset, bloom, created)"
                " VALUES ('eip155:1', 'One', 'eip155', true, true, '{https://node/KEY}', 1, 1, 1,"
                " 'eip155:1/slip44:60', 'exact', now())"
            )
        )
        connection.execute(text("UPDATE networks SET rpc_urls = '{https://node/OTHER}'"))
        made, changed = noted(connection)
    assert "KEY" not in json.dumps([made.after, changed.before, changed.after])
    assert changed.before["rpc_urls"] == made.after["rpc_urls"] != changed.after["rpc_urls"]


def test_it_is_noted_who_acts(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actor, "_process", "")
    nobody = open_database(database_url)
    actor.set_process("cli:a b")
    database = open_database(database_url)
    try:
        with database.begin() as connection:
            connection.execute(text(CURRENCY))
        with actor.acting("per_1/key_1", "req_1"), database.begin() as connection:
            connection.execute(text("UPDATE currencies SET decimals = 7"))
        with database.begin() as connection:
            connection.execute(text("UPDATE currencies SET decimals = 8"))
        with nobody.begin() as connection:
            connection.execute(text("UPDATE currencies SET decimals = 9"))
            entries = noted(connection)
            user = connection.execute(text("SELECT session_user")).scalar_one()
    finally:
        database.close()
        nobody.close()
    assert [(each.actor, each.request) for each in entries] == [
        ("cli:a_b", None),
        ("per_1/key_1", "req_1"),
        ("cli:a_b", None),
        (f"sql:{user}", None),
    ]


def _labels(values: str) -> str:
    return (
        "INSERT INTO labels (list_id, family, address, category, confidence, recorded_from,"
        f" opened_version) VALUES {values}"
    )


@pytest.mark.parametrize(
    ("statement", "act", "key", "rows"),
    [
        (_labels("('l', 'eip155', 'a', 'theft', 1, now(), 3)"), "open", "3", 1),
        (
            "UPDATE labels SET closed_version = 2, recorded_to = now() WHERE address <> 'z'",
            "close",
            "2",
            2,
        ),
        ("DELETE FROM labels WHERE address = 'z'", "delete", "1", 1),
    ],
)
def test_of_labels_a_statement_is_noted_and_not_the_rows(
    database: Database, statement: str, act: str, key: str, rows: int
) -> None:
    three = ", ".join(f"('l', 'eip155', '{each}', 'theft', 1, now(), 1)" for each in "xyz")
    with database.begin() as connection:
        connection.execute(text(_labels(three)))
        connection.execute(text(statement))
        connection.execute(text("UPDATE labels SET entity = 'x' WHERE false"))
        first, second = noted(connection)
    assert (first.act, first.key, first.after["rows"]) == ("open", "1", 3)
    assert (second.source, second.act, second.key) == ("labels", act, key)
    assert second.after["rows"] == rows
    assert len(second.after["sha256"]) == 64


@pytest.mark.parametrize("act", ["UPDATE audit_entries SET act = ''", "TRUNCATE audit_blocks"])
def test_the_log_is_only_added_to(database: Database, act: str) -> None:
    with (
        pytest.raises(DBAPIError, match="only added to"),
        database.begin() as connection,
    ):
        connection.execute(text(act))


def test_a_plain_user_may_seal(database: Database) -> None:
    """The cluster's name needs no superuser."""
    with database.begin() as connection:
        connection.execute(text("CREATE ROLE plain_user_of_a_test"))
        try:
            connection.execute(text("SET LOCAL ROLE plain_user_of_a_test"))
            assert connection.execute(
                text("SELECT system_identifier FROM pg_control_system()")
            ).scalar_one()
        finally:
            connection.execute(text("RESET ROLE"))
            connection.execute(text("DROP ROLE plain_user_of_a_test"))
