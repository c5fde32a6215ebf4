"""The proof of liabilities at a bench: an epoch over a million accounts, and one account's proof.

Timed is what ``sakk ledger liabilities`` does between the replay and the journal: from the
machine's accounts to the root. Proofs of some accounts are then checked by the client's verifier.
"""

import gc
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from sakk.bench.figures import WrongResult, cost, times
from sakk.client.liability import verify
from sakk.core import chart, liability
from sakk.core.chart import AccountCode
from sakk.core.ledger import account_id, unit_id
from sakk.core.liability import LiabilityEpoch, Tree
from sakk.ledger.group import Kind, Request
from sakk.ledger.liability import compute
from sakk.ledger.machine import Machine, new_machine
from sakk.ledger.record import encode_accounts, encode_id, encode_transfers
from sakk.ledger.types import BATCH_MAX, Account, Transfer
from sakk.store.journal import JournalRow

ACCOUNTS = 1_000_000
REPEATS = 5
PROOFS = 500
UNIT = "test/usdc"
HEAD = JournalRow(0, 1, 1, 1, 1, bytes(32), b"\x05" * 32, b"")
_PEAK = Path("/proc/self/clear_refs")
_STATUS = Path("/proc/self/status")


def liabilities(
    *, accounts: int = ACCOUNTS, repeats: int = REPEATS, say: Callable[[str], None]
) -> list[dict[str, Any]]:
    """Lines for an epoch and a proof, and for the memory beyond the machine's where Linux tells."""
    say(f"a machine with {accounts} merchants' accounts")
    machine = _filled(accounts)
    epochs, memory, proofs = [], [], []
    for number in range(repeats):
        gc.collect()
        before = _reset_peak()
        started = time.perf_counter()
        [(epoch, tree)] = compute(machine, HEAD, epoch=number + 1, names=[UNIT])
        epochs.append(1_000 * (time.perf_counter() - started))
        peak = _peak()
        if before is not None and peak is not None:
            memory.append((peak - before) / 1_024)
        if (epoch.leaves, epoch.total) != (accounts, sum(range(accounts))):
            raise WrongResult(f"the tree holds {epoch.leaves} accounts and {epoch.total} units")
        proofs += _prove(epoch, tree, accounts)
    return [
        times(f"liability_epoch_{accounts}", epochs, repeats=repeats),
        *([cost(f"liability_epoch_{accounts}_memory", "MiB", memory)] if memory else []),
        times("liability_proof", proofs, repeats=repeats),
    ]


def _name(merchant: int) -> str:
    return chart.merchant(f"acct_{merchant}", "available", UNIT).name


def _filled(accounts: int) -> Machine:
    """A machine in which merchant n is owed n units; their accounts' ids are the chart's."""
    machine = new_machine()
    unit, code = unit_id(UNIT), int(AccountCode.merchant_available)
    ids = [account_id(_name(merchant)) for merchant in range(accounts)]
    source = Account(1, unit=unit, code=int(AccountCode.equity_operator))
    _apply(machine, Kind.create_accounts, encode_accounts([source]))
    for part in _parts(ids):
        made = [Account(identifier, unit=unit, code=code) for _, identifier in part]
        _apply(machine, Kind.create_accounts, encode_accounts(made))
        paid = [
            Transfer(merchant + 1, 1, identifier, merchant, unit, 100)
            for merchant, identifier in part
            if merchant
        ]
        _apply(machine, Kind.create_transfers, encode_transfers(paid))
    return machine


def _parts(ids: list[int]) -> Iterator[list[tuple[int, int]]]:
    for start in range(0, len(ids), BATCH_MAX):
        yield list(enumerate(ids[start : start + BATCH_MAX], start))


def _apply(machine: Machine, kind: Kind, records: bytes) -> None:
    request = Request(kind, records)
    outcome = machine.apply([request], machine.timestamp + request.count + 1)
    if any(outcome.outcomes[0].results[8 * request.count :]):
        raise WrongResult("the machine refused what the bench is made of")


def _prove(epoch: LiabilityEpoch, tree: Tree, accounts: int) -> list[float]:
    """Milliseconds of a proof from its tile, each checked afterwards as a merchant does."""
    journalled = replace(epoch, journalled=epoch.created)
    published = json.loads(json.dumps(liability.public_epoch(journalled, decimals=6)))
    firsts, taken = [tile.first for tile in tree.tiles], []
    for merchant in range(0, accounts, max(accounts // PROOFS, 1)):
        identifier = encode_id(account_id(_name(merchant)))
        started = time.perf_counter()
        number = liability.tile_of(firsts, liability.salt_of(epoch.secret, identifier))
        found = liability.prove(
            epoch.secret, identifier, number=number, held=tree.tiles[number].held, tops=tree.tops
        )
        taken.append(1_000 * (time.perf_counter() - started))
        if found is None:
            raise WrongResult(f"merchant {merchant} has no proof")
        proof = liability.public_proof(journalled, f"acct_{merchant}", [(_name(merchant), found)])
        verify(proof, published, account=f"acct_{merchant}", balance=merchant)
    return taken


def _reset_peak() -> int | None:
    """Let the peak of this process's memory begin anew; KiB in use, None where that is not told."""
    try:
        _PEAK.write_text("5")
    except OSError:
        return None
    return _kibibytes("VmRSS")


def _peak() -> int | None:
    return _kibibytes("VmHWM")


def _kibibytes(name: str) -> int | None:
    try:
        lines = _STATUS.read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) for line in lines if line.startswith(f"{name}:")), None)
