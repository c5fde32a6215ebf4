"""What the ledger's state machine does without a disk: applying, growing, replaying, loading.

Each function makes its own machine, looks at its result afterwards (``WrongResult`` where it is not
what it must be), and returns figures: counts, seconds, bytes.
"""

import random
import time
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sakk.bench.figures import WrongResult
from sakk.ledger.group import Kind, Request
from sakk.ledger.journal import encode_group, next_row
from sakk.ledger.machine import Machine, Make, new_loader, new_machine
from sakk.ledger.record import ACCOUNT, ID_ZERO, RECORD_SIZE, TRANSFER, decode_account
from sakk.ledger.replay import apply_row, check_link, genesis
from sakk.ledger.snapshot import state_hash
from sakk.store.journal import JournalRow

UNIT = 7
CODE = 1
WORDS = RECORD_SIZE // 8
START_NS = 1_800_000_000 * 1_000_000_000
ACCOUNT_BATCH = 8_192
# Of an account's id, the last eight bytes; the first are its number.
SUFFIX = b"\xacc0unt\x00\x01"


@dataclass(frozen=True, slots=True)
class Applied:
    """``seconds`` is CPU time of this process, ``pause_seconds_max`` the longest group's."""

    transfers: int
    seconds: float
    pause_seconds_max: float

    @property
    def per_second(self) -> float:
        return self.transfers / self.seconds


@dataclass(frozen=True, slots=True)
class Grown:
    """A machine with many ids: what it keeps, and how long one group stood still for it."""

    accounts: int
    ids: int
    resident_bytes: int
    group: int
    pause_seconds_max: float
    pause_seconds_p99: float


@dataclass(frozen=True, slots=True)
class Started:
    """From an empty process's memory to a machine that can be asked."""

    transfers: int
    seconds: float
    bytes: int = 0


def account_id(number: int) -> bytes:
    return number.to_bytes(8, "little") + SUFFIX


def account_batches(count: int) -> Iterator[bytes]:
    """Records of accounts that refuse nothing."""
    for first in range(0, count, ACCOUNT_BATCH):
        yield b"".join(
            ACCOUNT.pack(
                account_id(number), *[ID_ZERO] * 5, UNIT, 0, CODE, 0, bytes(12)
            )
            for number in range(first, min(first + ACCOUNT_BATCH, count))
        )  # fmt: skip


def transfer_batches(count: int, *, batch: int, accounts: int, seed: int = 1) -> Iterator[bytes]:
    """Records of plain transfers of 1 under random ids, between two accounts of many."""
    chance = random.Random(seed)
    template = TRANSFER.pack(
        ID_ZERO, account_id(0), account_id(0), (1).to_bytes(16, "little"), ID_ZERO, ID_ZERO,
        UNIT, 0, 0, 0, CODE, 0,
    )  # fmt: skip
    for _ in range(count // batch):
        buffer = bytearray(template * batch)
        with memoryview(buffer).cast("Q") as words:
            for place in (0, 1):
                words[place::WORDS] = memoryview(array("Q", chance.randbytes(8 * batch)))
            debits = array("Q", chance.choices(range(accounts), k=batch))
            steps = chance.choices(range(1, min(accounts, 1_000)), k=batch)
            pairs = zip(debits, steps, strict=True)
            credits = array("Q", [(debit + step) % accounts for debit, step in pairs])
            words[2::WORDS] = memoryview(debits)
            words[4::WORDS] = memoryview(credits)
        yield bytes(buffer)


def apply_speed(*, transfers: int, batch: int, accounts: int, make: Make | None = None) -> Applied:
    """Plain transfers, one request a group, in memory."""
    machine = new_machine(make)
    now = _open_accounts(machine, accounts)
    batches = list(transfer_batches(transfers, batch=batch, accounts=accounts))
    pauses, begun = [], time.process_time()
    for records in batches:
        now += batch + 1
        started = time.process_time()
        machine.apply([Request(Kind.create_transfers, records)], now)
        pauses.append(time.process_time() - started)
    seconds = time.process_time() - begun
    _check(machine, len(batches) * batch)
    return Applied(machine.transfer_count, seconds, max(pauses))


def grow(*, ids: int, accounts: int, group: int = 8_000, make: Make | None = None) -> Grown:
    """Remember many ids; what the process keeps more than before, and the longest stops."""
    before = resident_bytes()
    machine = new_machine(make)
    now = _open_accounts(machine, accounts)
    pauses = []
    for records in transfer_batches(ids, batch=group, accounts=accounts):
        now += group + 1
        requests = [Request(Kind.create_transfers, records)]
        started = time.perf_counter()
        machine.apply(requests, now)
        pauses.append(time.perf_counter() - started)
    resident = resident_bytes() - before
    _check(machine, ids // group * group)
    pauses.sort()
    p99 = pauses[len(pauses) * 99 // 100]
    return Grown(accounts, machine.transfer_count, resident, group, pauses[-1], p99)


def replay_speed(*, transfers: int, batch: int, accounts: int, make: Make | None = None) -> Applied:
    """Rows of a journal, as a start reads them: hash, link, results compared, state rebuilt."""
    rows, wanted = _journal(transfers, batch=batch, accounts=accounts)
    machine, head = new_machine(make), genesis(0)
    pauses, begun = [], time.process_time()
    for row in rows:
        started = time.process_time()
        broken = check_link(head, row) or apply_row(machine, row)
        _demand(broken is None, broken or "")
        head = row
        pauses.append(time.process_time() - started)
    seconds = time.process_time() - begun
    _demand(state_hash(machine) == wanted, "the replayed state is another")
    return Applied(machine.transfer_count, seconds, max(pauses))


def load_speed(*, transfers: int, accounts: int, make: Make | None = None) -> Started:
    """A snapshot's parts become a machine; reading them from the database is not counted."""
    machine = new_machine(make)
    now = _open_accounts(machine, accounts)
    for records in transfer_batches(transfers, batch=8_000, accounts=accounts):
        now += 8_001
        machine.apply([Request(Kind.create_transfers, records)], now)
    parts, wanted = machine.dump(), state_hash(machine)
    del machine
    loader, begun = new_loader(make), time.perf_counter()
    for part in parts:
        loader.add(part)
    loaded = loader.finish()
    seconds = time.perf_counter() - begun
    _demand(state_hash(loaded) == wanted, "the loaded state is another")
    return Started(loaded.transfer_count, seconds, sum(len(part) for part in parts))


def resident_bytes() -> int:
    """What this process holds of the machine's memory now; 0 where nobody tells."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS")), 0)


def _open_accounts(machine: Machine, count: int) -> int:
    """Create accounts; the journal's time afterwards."""
    now = START_NS
    for records in account_batches(count):
        now += len(records) // RECORD_SIZE + 1
        machine.apply([Request(Kind.create_accounts, records)], now)
    _demand(machine.account_count == count, "accounts were refused")
    return now


def _check(machine: Machine, transfers: int) -> None:
    """Every transfer stands, and what was debited was credited."""
    debits = credits = 0
    for record in machine.account_records():
        account = decode_account(record)
        debits += account.debits_posted
        credits += account.credits_posted
    counts = {machine.transfer_count, debits, credits, transfers}
    _demand(len(counts) == 1, f"transfers, debits and credits are {counts}")


def _demand(fulfilled: bool, words: str) -> None:
    if not fulfilled:
        raise WrongResult(words)


def _journal(transfers: int, *, batch: int, accounts: int) -> tuple[Sequence[JournalRow], bytes]:
    """The rows that a writer would have written, and the hash of the state behind them."""
    machine, head, now = new_machine(), genesis(0), START_NS
    rows = []
    batches = [(Kind.create_accounts, records) for records in account_batches(accounts)]
    batches += [
        (Kind.create_transfers, records)
        for records in transfer_batches(transfers, batch=batch, accounts=accounts)
    ]
    for kind, records in batches:
        requests = [Request(kind, records)]
        count = requests[0].count
        now += count + 1
        payload = encode_group(requests, machine.apply(requests, now))
        head = next_row(head, epoch=1, timestamp_ns=now, payload=payload, count=count)
        rows.append(head)
    return rows, state_hash(machine)
