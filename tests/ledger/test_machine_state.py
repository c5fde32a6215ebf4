"""Machines that are large, frozen, loaded from garbage, or out of memory."""

import random
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.ledger.bench import (
    BALANCING_DEBIT,
    CLOSING_CREDIT,
    LINKED,
    PENDING,
    SECOND,
    VOID,
    Bench,
    move,
    settle,
)

from sakk.bench.ledger_machine import account_batches, account_id, transfer_batches
from sakk.core.errors import Misconfigured
from sakk.ledger import machine as machines
from sakk.ledger.frozen import ACCOUNTS_A_PART, ENTRIES_A_PART, NO_STATE
from sakk.ledger.group import Kind, Request
from sakk.ledger.machine import Machine, Make, load_machine, new_loader, new_machine, serving
from sakk.ledger.record import decode_id, encode_id, encode_transfers
from sakk.ledger.types import (
    AMOUNT_MAX,
    Account,
    CreateAccountStatus,
    CreateTransferStatus,
    Transfer,
    TransferFlags,
)

ACCOUNTS = ACCOUNTS_A_PART + 1
COMPILED = Path(machines.__file__).with_name("compiled")


@pytest.fixture(params=list(Make))
def bench(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr(Bench, "make", request.param)
    return Bench()


# Large


def test_both_machines_grow_alike() -> None:
    """Past every boundary of parts and tables, with chains that fail among what stands."""
    chance = random.Random(7)
    pair = [new_machine(make) for make in Make]
    now = created = 0
    for records in account_batches(ACCOUNTS):
        now = apply(pair, Kind.create_accounts, records, now)
    while created <= ENTRIES_A_PART:
        if created < ENTRIES_A_PART - 8_000:
            batches = transfer_batches(4_000, batch=4_000, accounts=ACCOUNTS, seed=created)
            records = with_user_data(next(batches))
        else:
            records = encode_transfers([a_transfer(chance) for _ in range(4_000)])
        now = apply(pair, Kind.create_transfers, records, now)
        created += 4_000
    assert list(pair[0].transfer_records()) == list(pair[1].transfer_records())
    parts = pair[0].dump()
    assert len(parts) == 1 + 2 + 2 + 3 + 1  # header, accounts, entries, extras, holds
    assert parts == pair[1].dump()
    loaded = load_machine(b"".join(parts), Make.compiled)
    assert loaded.dump() == parts
    ids = b"".join([encode_id(chance.getrandbits(128)) for _ in range(64)])
    assert loaded.lookup_results(ids) == pair[0].lookup_results(ids)


def with_user_data(records: bytes) -> bytes:
    """Each transfer's user data is its id."""
    buffer = bytearray(records)
    with memoryview(buffer).cast("Q") as words:
        words[10::16] = words[0::16]
    return bytes(buffer)


def a_transfer(chance: random.Random) -> Transfer:
    """Most pass; one in twenty is refused; one in six is linked to the next."""
    kind = chance.choice([TransferFlags.none] * 5 + [LINKED])
    return move(
        chance.getrandbits(127) + 1,
        decode_id(account_id(chance.randrange(1, ACCOUNTS))),
        decode_id(account_id(chance.choice([0] * 19 + [10**9]))),
        chance.choice([1, 2**70]),
        flags=kind | (PENDING if chance.random() < 0.05 else 0),
        user_data=chance.choice([0, 5]),
    )


def apply(pair: list[Machine], kind: Kind, records: bytes, now: int) -> int:
    request = Request(kind, records)
    now += request.count + 1
    first, second = (machine.apply([request], now) for machine in pair)
    assert first == second
    return now


# Frozen


def test_a_frozen_state_is_read_while_the_machine_goes_on(bench: Bench) -> None:
    machine = bench.machine
    expected = machine.dump()
    frozen = machine.freeze()
    parts = frozen.parts()
    seen = [next(parts)]
    bench.transfers(
        move(1000, 1, 2, 5, user_data=9),
        settle(1001, VOID, 500, 0),
        move(1002, 1, 2, 5, flags=PENDING | CLOSING_CREDIT | LINKED),
        move(1003, 1, 99, 5),
    )
    bench.accounts(Account(77, unit=7, code=1))
    bench.transfers(move(1004, 77, 9, 5))
    machine.apply([], bench.now + 5 * SECOND)  # 505 runs out
    bench.now += 5 * SECOND
    seen += parts
    assert seen == expected
    assert list(frozen.parts()) == expected
    frozen.close()
    frozen.close()
    assert machine.dump() != expected


def test_one_freeze_at_a_time() -> None:
    machine = new_machine(Make.compiled)
    machine.apply([Request(Kind.create_accounts, next(account_batches(5)))], 10)
    frozen = machine.freeze()
    with pytest.raises(ValueError, match="being taken already"):
        machine.freeze()
    frozen.close()
    with pytest.raises(ValueError, match="was closed"):
        list(frozen.parts())
    machine.freeze()  # and one that nobody holds any more is none
    assert len(machine.dump()) == 2


# Loaded


def test_a_snapshot_is_the_whole_state(bench: Bench) -> None:
    bench.transfers(move(1000, 3, 1, AMOUNT_MAX, flags=BALANCING_DEBIT))
    for make in Make:
        loaded = load_machine(b"".join(bench.machine.dump()), make)
        assert loaded.dump() == bench.machine.dump()
        assert loaded.next_expiry() == bench.machine.next_expiry()
    requests = [Request(Kind.create_transfers, encode_transfers([move(600, 8, 2, 1)]))]
    assert loaded.apply(requests, bench.now + 5) == bench.machine.apply(requests, bench.now + 5)


@pytest.mark.parametrize("cut", [0, 10, -1])
def test_bytes_that_are_no_snapshot_are_refused(bench: Bench, cut: int) -> None:
    state = b"".join(bench.machine.dump())
    with pytest.raises(ValueError, match="not a snapshot"):
        load_machine(state[:cut], Bench.make)


def test_an_altered_state_is_refused_or_is_a_state(bench: Bench) -> None:
    """Every byte once: no crash, no other error, and what was loaded can be asked."""
    state = b"".join(bench.machine.dump())
    refused = 0
    for place in range(len(state)):
        altered = bytearray(state)
        altered[place] ^= 0xFF
        try:
            machine = load_machine(bytes(altered), bench.make)
        except ValueError:
            refused += 1
            continue
        list(machine.transfer_records())
        machine.lookup_transfers(encode_id(500) + encode_id(600))
        machine.dump()
    assert refused > 250


@pytest.mark.parametrize("make", Make)
def test_parts_that_are_too_many_or_too_few_are_refused(make: Make) -> None:
    parts = Bench().machine.dump()
    for wrong in (parts[:-1], [*parts, b"\x00"], parts[1:], [parts[0], parts[1][:-1], *parts[2:]]):
        with pytest.raises(ValueError, match=NO_STATE):
            load_parts(make, wrong)


def load_parts(make: Make, parts: list[bytes]) -> Machine:
    loader = new_loader(make)
    for part in parts:
        loader.add(part)
    return loader.finish()


# What is asked wrongly


def test_a_compiled_machine_takes_bytes_alone() -> None:
    machine = new_machine(Make.compiled)
    with pytest.raises(TypeError, match="bytes"):
        machine.apply([Request(Kind.create_transfers, bytearray(128))], 10)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="16 bytes"):
        machine.lookup_account(b"short")
    assert machine.timestamp == 0


OUT_OF_MEMORY = """
import resource
from sakk.bench.ledger_machine import account_batches, transfer_batches
from sakk.ledger.group import Kind, Request
from sakk.ledger.machine import Make, new_machine
from sakk.ledger.snapshot import state_hash

machine, now = new_machine(Make.compiled), 10
for records in account_batches(100):
    machine.apply([Request(Kind.create_accounts, records)], now := now + 1_000)
batches = list(transfer_batches(8_000 * 50, batch=8_000, accounts=100))
machine.apply([Request(Kind.create_transfers, batches.pop())], now := now + 10_000)
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (7 << 20), resource.RLIM_INFINITY))
applied = 0
try:
    for records in batches:
        machine.apply([Request(Kind.create_transfers, records)], now := now + 10_000)
        applied += 1
except MemoryError as error:
    print(error)
resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
assert 0 < applied < len(batches), applied
assert machine.transfer_count == (1 + applied) * 8_000
for records in batches[applied:]:
    machine.apply([Request(Kind.create_transfers, records)], now := now + 10_000)
assert machine.transfer_count == (1 + len(batches)) * 8_000
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is Linux's")
def test_out_of_memory_refuses_a_group_whole() -> None:
    done = subprocess.run(
        [sys.executable, "-c", OUT_OF_MEMORY], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "nothing was applied" in done.stdout


# Which one


def test_the_compiled_numbers_are_the_documented_ones() -> None:
    text = (COMPILED / "statuses.pxd").read_text()
    for prefix, statuses in (("A_", CreateAccountStatus), ("T_", CreateTransferStatus)):
        found = dict(re.findall(rf"    {prefix}(\w+) = (\d+)", text))
        assert {name: int(number) for name, number in found.items()} == {
            status.name: status.value for status in statuses
        }


def test_the_compiled_machine_serves_where_it_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    assert serving() is Make.compiled
    monkeypatch.setattr(machines, "IS_BUILT", False)
    assert serving() is Make.reference
    assert type(new_machine()) is type(new_machine(Make.reference))
    for function in (new_machine, new_loader):
        with pytest.raises(Misconfigured, match="make setup"):
            function(Make.compiled)
