"""Roots of the proof of liabilities: every rule of the machines, in order, and what they keep."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sakk.core.errors import ParameterInvalid
from sakk.ledger.frozen import MAGIC
from sakk.ledger.group import Kind, Request
from sakk.ledger.machine import Machine, Make, load_machine, new_machine
from sakk.ledger.record import (
    RECORD_SIZE,
    ROOT,
    decode_root,
    encode_accounts,
    encode_root,
    encode_roots,
    root_results,
)
from sakk.ledger.snapshot import state_hash
from sakk.ledger.types import (
    AMOUNT_MAX,
    ID_MAX,
    Account,
    CreateRootStatus,
    LiabilityRoot,
    RootResult,
)

R = CreateRootStatus
SECOND = 1_000_000_000
U64_MAX = (1 << 64) - 1
STANDING = LiabilityRoot(1, b"\x01" * 32, 500, epoch=4, leaves=3, unit=7, sequence=20)
NEXT = LiabilityRoot(2, b"\x02" * 32, 600, epoch=5, leaves=3, unit=7, sequence=21)


def create(machine: Machine, *roots: LiabilityRoot, records: bytes = b"") -> list[RootResult]:
    """Apply a group of roots a second after the last."""
    records = records or encode_roots(roots)
    now = machine.timestamp + SECOND
    outcome = machine.apply([Request(Kind.create_roots, records)], now)
    return root_results(outcome.outcomes[0].results)


def statuses(machine: Machine, *roots: LiabilityRoot) -> list[CreateRootStatus]:
    return [result.status for result in create(machine, *roots)]


@pytest.fixture(params=Make)
def machine(request: pytest.FixtureRequest) -> Machine:
    """One with a root of epoch 4 in unit 7."""
    made = new_machine(request.param)
    assert statuses(made, STANDING) == [R.created]
    return made


# Each breaks its own rule, and so do all rows below it: the order is what is tested.
RULES: list[tuple[CreateRootStatus, LiabilityRoot]] = [
    (R.timestamp_must_be_zero, replace(NEXT, timestamp=1, id=0, epoch=0)),
    (R.id_must_not_be_zero, replace(NEXT, id=0, epoch=0, leaves=0)),
    (R.id_must_not_be_int_max, replace(NEXT, id=ID_MAX, epoch=0, leaves=0)),
    (R.exists_with_different_root, replace(NEXT, id=1, unit=8)),
    (R.exists_with_different_total, replace(STANDING, total=501, epoch=0, leaves=0, unit=0)),
    (R.exists_with_different_epoch, replace(STANDING, epoch=0, leaves=0, unit=0)),
    (R.exists_with_different_leaves, replace(STANDING, leaves=0, unit=0, sequence=0)),
    (R.exists_with_different_unit, replace(STANDING, unit=0, sequence=0)),
    (R.exists_with_different_sequence, replace(STANDING, sequence=0)),
    (R.exists, STANDING),
    (R.epoch_must_not_be_zero, replace(NEXT, epoch=0, leaves=0, unit=0, sequence=0)),
    (R.leaves_must_not_be_zero, replace(NEXT, leaves=0, unit=0, sequence=0)),
    (R.unit_must_not_be_zero, replace(NEXT, unit=0, sequence=0)),
    (R.sequence_must_not_be_zero, replace(NEXT, epoch=4, sequence=0)),
    (R.epoch_must_advance, replace(NEXT, epoch=4, sequence=20)),
    (R.epoch_must_advance, replace(NEXT, epoch=3)),
    (R.sequence_must_advance, replace(NEXT, sequence=20)),
    (R.sequence_must_advance, replace(NEXT, sequence=19)),
    (R.created, NEXT),
    (R.created, replace(NEXT, epoch=U64_MAX, leaves=U64_MAX, sequence=U64_MAX)),
    (R.created, replace(NEXT, id=ID_MAX - 1, total=AMOUNT_MAX, root=bytes(32))),
    (R.created, replace(NEXT, unit=8, epoch=1, sequence=1)),
    (R.created, replace(NEXT, unit=U64_MAX, total=0)),
]


@pytest.mark.parametrize(("expected", "root"), RULES)
def test_the_first_rule_that_is_broken(
    machine: Machine, expected: CreateRootStatus, root: LiabilityRoot
) -> None:
    assert statuses(machine, root) == [expected]


@pytest.mark.parametrize("offset", [88, 95, 104, 111, 120, 127])
def test_reserved_bytes_are_zero(machine: Machine, offset: int) -> None:
    record = bytearray(encode_root(replace(NEXT, id=0)))
    record[offset] = 1
    [result] = create(machine, records=bytes(record))
    assert result.status is R.reserved_field


def test_every_status_is_reached() -> None:
    assert {expected for expected, _ in RULES} | {R.reserved_field} == set(R)
    assert [status.accepted for status in R] == [True, True] + [False] * (len(R) - 2)
    assert not any(status.transient for status in R)


def test_a_repeat_is_told_the_first_time(machine: Machine) -> None:
    [first] = create(machine, NEXT)
    [again] = create(machine, NEXT)
    assert (first.status, again.status) == (R.created, R.exists)
    assert first.timestamp == again.timestamp < machine.timestamp


def test_roots_of_one_request_are_decided_in_order(machine: Machine) -> None:
    later = replace(NEXT, id=3, epoch=6, sequence=22)
    results = create(machine, later, NEXT, replace(NEXT, unit=8), later)
    assert [result.status for result in results] == [
        R.created, R.epoch_must_advance, R.created, R.exists,
    ]  # fmt: skip
    times = [result.timestamp for result in results]
    assert times[1] == times[0] + 1
    assert times[2] == times[0] + 2
    assert times[3] == times[0]


def test_a_refusal_is_not_remembered_and_changes_nothing(machine: Machine) -> None:
    refused = replace(NEXT, id=9, epoch=4)
    before = state_hash(machine)
    time = machine.timestamp
    assert statuses(machine, refused) == [R.epoch_must_advance]
    state = b"".join(machine.dump())
    assert state[:8] == MAGIC
    changed = state[:8] + time.to_bytes(8, "little") + state[16:]
    assert state_hash(load_machine(changed, Make.reference)) == before
    assert statuses(machine, replace(refused, epoch=5)) == [R.created]


@pytest.mark.parametrize("make", Make)
def test_a_state_brings_its_roots_along(machine: Machine, make: Make) -> None:
    create(machine, NEXT, replace(NEXT, id=3, unit=8))
    loaded = load_machine(b"".join(machine.dump()), make)
    assert state_hash(loaded) == state_hash(machine)
    assert create(loaded, NEXT) == create(machine, NEXT)
    third = replace(NEXT, id=4, epoch=6)
    assert statuses(loaded, third) == statuses(machine, third) == [R.sequence_must_advance]
    assert loaded.last_epoch == machine.last_epoch == 5
    assert new_machine(make).last_epoch == 0
    assert state_hash(loaded) == state_hash(machine)


@pytest.mark.parametrize("make", Make)
def test_a_state_in_which_a_root_stands_twice_is_none(machine: Machine, make: Make) -> None:
    create(machine, NEXT)
    state = b"".join(machine.dump())
    doubled = state[:-RECORD_SIZE] + state[-2 * RECORD_SIZE : -RECORD_SIZE]
    for wrong in (doubled, state[:-RECORD_SIZE], state + state[-RECORD_SIZE:]):
        with pytest.raises(ValueError, match="not a snapshot"):
            load_machine(wrong, make)


def test_roots_and_other_requests_share_a_group(machine: Machine) -> None:
    requests = [
        Request(Kind.create_accounts, encode_accounts([Account(1, unit=7, code=1)])),
        Request(Kind.create_roots, encode_roots([NEXT])),
        Request(Kind.create_accounts, encode_accounts([Account(2, unit=7, code=1)])),
    ]
    now = machine.timestamp + SECOND
    outcome = machine.apply(requests, now)
    assert root_results(outcome.outcomes[1].results) == [RootResult(R.created, now - 1)]
    assert machine.account_count == 2


small = st.integers(0, 3)
roots = st.builds(
    LiabilityRoot,
    id=st.sampled_from([0, 1, 2, 3, 4, ID_MAX]),
    root=st.sampled_from([b"\x01" * 32, b"\x02" * 32]),
    total=small,
    epoch=small,
    leaves=small,
    unit=small,
    sequence=small,
    timestamp=st.sampled_from([0] * 9 + [1]),
)


def naive(known: list[LiabilityRoot], root: LiabilityRoot) -> CreateRootStatus:
    """The rules once more, from the words alone."""
    if root.timestamp:
        return R.timestamp_must_be_zero
    if root.id in (0, ID_MAX):
        return R.id_must_not_be_zero if root.id == 0 else R.id_must_not_be_int_max
    for old in known:
        if old.id == root.id:
            for name in ("root", "total", "epoch", "leaves", "unit", "sequence"):
                if getattr(old, name) != getattr(root, name):
                    return getattr(R, f"exists_with_different_{name}")  # type: ignore[no-any-return]
            return R.exists
    for name in ("epoch", "leaves", "unit", "sequence"):
        if not getattr(root, name):
            return getattr(R, f"{name}_must_not_be_zero")  # type: ignore[no-any-return]
    same_unit = [old for old in known if old.unit == root.unit]
    if any(old.epoch >= root.epoch for old in same_unit):
        return R.epoch_must_advance
    if any(old.sequence >= root.sequence for old in same_unit):
        return R.sequence_must_advance
    return R.created


@given(st.lists(st.lists(roots, min_size=1, max_size=5), max_size=8))
def test_both_machines_and_a_naive_one_agree(history: list[list[LiabilityRoot]]) -> None:
    machines = [new_machine(make) for make in Make]
    known: list[LiabilityRoot] = []
    for batch in history:
        expected = []
        for root in batch:
            status = naive(known, root)
            if status is R.created:
                known.append(root)
            expected.append(status)
        for machine in machines:
            assert statuses(machine, *batch) == expected
        assert len({state_hash(machine) for machine in machines}) == 1


@given(
    st.builds(
        LiabilityRoot,
        id=st.integers(0, ID_MAX),
        root=st.binary(min_size=32, max_size=32),
        total=st.integers(0, AMOUNT_MAX),
        epoch=st.integers(0, U64_MAX),
        leaves=st.integers(0, U64_MAX),
        unit=st.integers(0, U64_MAX),
        sequence=st.integers(0, U64_MAX),
        timestamp=st.integers(0, U64_MAX),
    )
)
def test_a_record_says_all_of_a_root(root: LiabilityRoot) -> None:
    record = encode_root(root)
    assert len(record) == RECORD_SIZE == ROOT.size
    assert decode_root(record) == root
    assert int.from_bytes(record[112:120], "little") == root.timestamp
    assert int.from_bytes(record[96:104], "little") == root.unit


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"id": -1}, "id"),
        ({"root": b"short"}, "root"),
        ({"total": AMOUNT_MAX + 1}, "total"),
        ({"epoch": U64_MAX + 1}, "epoch"),
        ({"leaves": -1}, "leaves"),
        ({"unit": 1 << 64}, "unit"),
        ({"sequence": 1.5}, "sequence"),
    ],
)
def test_what_does_not_fit_is_named(change: dict[str, Any], param: str) -> None:
    with pytest.raises(ParameterInvalid) as refused:
        encode_roots([NEXT, replace(NEXT, **change)])
    assert refused.value.param == param
    assert "event 1" in refused.value.message
