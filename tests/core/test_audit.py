"""Sealing and its proof: whatever is altered, removed, inserted or reordered is found by name."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from sakk.core import audit
from sakk.core.audit import Block, Chain, Entry, Noted
from sakk.core.event import EVENT_TYPES

NOW = datetime(2026, 1, 1, tzinfo=UTC)
Stored = list[tuple[Block, list[tuple[int, str, bytes]]]]


def noted(number: int, *, xid: int = 0, **fields: Any) -> Noted:
    return Noted(
        **{
            "id": number,
            "xid": xid or 100 + number,
            "at": NOW,
            "actor": "role:worker",
            "request": None,
            "source": "policies",
            "act": "update",
            "key": f"pol_{number}",
            "subject": f"pol_{number}",
            "before": {"state": "proposed"},
            "after": {"state": "active"},
            **fields,
        }
    )


def chain(*sizes: int, full: tuple[int, ...] = (), cluster: str = "c") -> Stored:
    """Blocks of these sizes; each saw all transactions before its own entries' end."""
    stored: Stored = []
    last: Block | None = None
    at = 0
    for number, size in enumerate(sizes, 1):
        entries = [noted(at + each) for each in range(1, size + 1)]
        at += size
        block, sealed = audit.seal(
            last,
            entries,
            snapshot=f"1:{101 + at}:",
            cluster=cluster,
            is_full=number in full,
            now=NOW,
        )
        stored.append((block, [_row(each) for each in sealed]))
        last = block
    return stored


def _row(entry: Entry) -> tuple[int, str, bytes]:
    return entry.seq, entry.body, entry.hash


def breaks(stored: Stored) -> list[str]:
    walk = Chain()
    for block, rows in stored:
        walk.take(block, rows)
    return [f"{each.where}: {each.what}" for each in walk.breaks]


def test_a_chain_that_nobody_touched_holds() -> None:
    stored = chain(2, 1, 3)
    walk = Chain()
    for block, rows in stored:
        walk.take(block, rows)
    assert (walk.breaks, walk.entries) == ([], 6)
    assert walk.last == stored[-1][0]
    assert [(block.first, block.last) for block, _ in stored] == [(1, 2), (3, 3), (4, 6)]
    assert stored[0][0].previous == audit.GENESIS
    head = audit.head_of(stored[-1][0])
    assert audit.head_document(head) == {
        "object": "audit_head",
        "entries": 6,
        "hash": stored[-1][0].hash.hex(),
        "number": 3,
        "sealed_at": "2026-01-01T00:00:00.000000Z",
    }


def _alter_body(stored: Stored) -> None:
    seq, body, kept = stored[1][1][0]
    stored[1][1][0] = (seq, body.replace("active", "Active"), kept)


def _alter_body_and_hash(stored: Stored) -> None:
    seq, body, _ = stored[1][1][0]
    changed = body.replace("active", "Active")
    stored[1][1][0] = (seq, changed, audit.entry_hash(changed))


def _alter_header(stored: Stored) -> None:
    block, rows = stored[1]
    stored[1] = (replace(block, sealed_at=NOW + timedelta(seconds=1)), rows)


def _replace_block(stored: Stored) -> None:
    block, rows = stored[1]
    other = replace(block, sealed_at=NOW + timedelta(seconds=1))
    stored[1] = (replace(other, hash=audit.block_hash(other)), rows)


def _remove_entry(stored: Stored) -> None:
    del stored[1][1][1]


def _swap(stored: Stored) -> None:
    rows = stored[1][1]
    rows[0], rows[1] = rows[1], rows[0]


def _renumber(stored: Stored) -> None:
    rows = stored[1][1]
    (first, *a), (second, *b) = rows[0], rows[1]
    rows[0], rows[1] = (first, *b), (second, *a)  # type: ignore[assignment]


def _remove_block(stored: Stored) -> None:
    del stored[1]


def _not_an_entry(stored: Stored) -> None:
    seq, _, _ = stored[1][1][0]
    stored[1][1][0] = (seq, "[]", audit.entry_hash("[]"))


def _no_snapshot(stored: Stored) -> None:
    block, rows = stored[1]
    other = replace(block, snapshot="1:x:")
    stored[1] = (replace(other, hash=audit.block_hash(other)), rows)


def _shift(stored: Stored) -> None:
    block, rows = stored[1]
    other = replace(block, first=block.first + 1)
    stored[1] = (replace(other, hash=audit.block_hash(other)), rows)


@pytest.mark.parametrize(
    ("tamper", "found"),
    [
        (_alter_body, "entry 3: was altered"),
        (_alter_body_and_hash, "block 2: its entries are not those that were sealed"),
        (_alter_header, "block 2: its header was altered"),
        (_replace_block, "block 3: does not follow the block before it"),
        (_remove_entry, "block 2: 3 entries were sealed, 2 are there"),
        (_swap, "entry 4: stands where entry 3 belongs"),
        (_renumber, "entry 3: was sealed as entry 4"),
        (_remove_block, "block 3: block 2 is missing before it"),
        (_not_an_entry, "entry 3: was altered: it is no entry"),
        (_no_snapshot, "block 2: its snapshot was altered"),
        (_shift, "block 2: begins with entry 4, not with 3"),
    ],
)
def test_what_is_tampered_with_is_named(tamper: Callable[[Stored], None], found: str) -> None:
    stored = chain(2, 3, 2)
    tamper(stored)
    assert any(each.startswith(found) for each in breaks(stored)), breaks(stored)


@pytest.mark.parametrize(
    ("body", "is_unreadable"),
    [('{"seq":1,"xid":1}', False), ('{"seq":1,"xid":1,"x":"\\u0000"}', True), ("no JSON", True)],
)
def test_what_the_database_could_not_look_into_is_known(body: str, is_unreadable: bool) -> None:
    [(block, _)] = chain(1)
    walk = Chain()
    walk.take(block, [(1, body, b"")])
    assert walk.is_unreadable is is_unreadable


@pytest.mark.parametrize(
    ("snapshot", "is_full", "cluster", "xid", "is_found"),
    [
        ("1:200:", False, "c", 150, True),
        ("1:200:150,151", False, "c", 150, False),
        ("1:150:", False, "c", 150, False),
        ("1:200:", True, "c", 150, False),
        ("1:200:", False, "of before", 150, False),
    ],
)
def test_what_had_ended_and_was_not_sealed_is_found(
    snapshot: str, is_full: bool, cluster: str, xid: int, is_found: bool
) -> None:
    first, rows = audit.seal(
        None, [noted(1)], snapshot=snapshot, cluster=cluster, is_full=is_full, now=NOW
    )
    second, more = audit.seal(
        first, [noted(2, xid=xid)], snapshot="1:300:", cluster="c", is_full=False, now=NOW
    )
    found = breaks([(first, [_row(each) for each in rows]), (second, [_row(e) for e in more])])
    assert (found != []) is is_found
    assert all("held back, or brought in later" in each for each in found)


def test_a_full_block_leaves_the_proof_to_the_one_before_it() -> None:
    stored = chain(1, 2, 1, full=(2,))
    assert breaks(stored) == []
    late = noted(9, xid=101)
    block, rows = audit.seal(
        stored[1][0], [late], snapshot="1:300:", cluster="c", is_full=False, now=NOW
    )
    assert "block 1" in breaks([*stored[:2], (block, [_row(each) for each in rows])])[0]


def test_the_bytes_of_an_entry_are_these() -> None:
    at = datetime(2026, 1, 1, 9, 30, 0, 5, tzinfo=timezone(timedelta(hours=9)))
    sealed = audit.entry(noted(1, at=at, request="req_1", after={"b": 10**77, "a": "é\0"}), 7)
    assert sealed.body == (
        '{"act":"update","actor":"role:worker","after":{"a":"\\u00e9\\u0000","b":1'
        + "0" * 77
        + '},"at":"2026-01-01T00:30:00.000005Z","before":{"state":"proposed"},"key":"pol_1",'
        '"request":"req_1","seq":7,"source":"policies","subject":"pol_1","xid":101}'
    )


@pytest.mark.parametrize(
    ("acts", "state"),
    [
        ([("insert", {"a": 1, "b": 2})], {"a": 1, "b": 2}),
        ([("baseline", {"a": 1}), ("update", {"a": 3, "c": 4})], {"a": 3, "c": 4}),
        ([("insert", {"a": 1}), ("delete", None)], None),
        ([("insert", {"a": 1}), ("delete", None), ("insert", {"a": 2})], {"a": 2}),
        ([("update", {"a": 1})], {"a": 1}),
    ],
)
def test_a_row_follows_from_its_entries(acts: list[tuple[str, Any]], state: Any) -> None:
    found: dict[str, Any] | None = None
    for act, after in acts:
        found = audit.follow(found, act, after)
    assert found == state


def test_a_field_that_differs_is_named_and_one_that_came_later_is_not() -> None:
    assert audit.unlike({"a": 1, "gone": 2}, {"a": 1, "new": 3}) is None
    assert audit.unlike({"a": 1, "b": "x"}, {"a": 1, "b": "y"}) == 'b is "y", sealed was "x"'
    long = audit.unlike({"a": "x" * 500}, {"a": ""})
    assert long is not None
    assert len(long) < 200


def test_decisions_are_known_events() -> None:
    assert EVENT_TYPES.keys() >= audit.DECISIONS
