"""Epochs of the proof of liabilities, on a real database beside a running ledger."""

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest

from sakk.client.liability import LiabilityProofError, verify
from sakk.core import chart
from sakk.core.chart import LedgerAccount, TransferCode
from sakk.core.errors import ResourceMissing, Unavailable, UnexpectedState
from sakk.core.ledger import account_id, unit_id
from sakk.core.liability import OWED, LiabilityEpoch
from sakk.core.posting import Posting
from sakk.flow import liability as flow
from sakk.flow.book import Books, PostingSet
from sakk.flow.context import Parts
from sakk.ledger.calls import Op, OpenLedger
from sakk.ledger.projection import catch_up
from sakk.ledger.replay import take_snapshot
from sakk.ledger.server import serve_ledger
from sakk.ledger.types import (
    Account,
    LiabilityRoot,
    OutcomeUnknown,
    RootResult,
    Transfer,
    TransferFlags,
)
from sakk.ledger.verify import Report
from sakk.ledger.verify import verify as verify_ledger
from sakk.ledger.writer import open_ledger
from sakk.store import journal
from sakk.store import liability as store
from sakk.store.database import Database
from sakk.store.identity import new_id
from sakk.store.page import PageRequest

USDC, EURC = "test/usdc", "test/eurc"
Document = dict[str, Any]


class LosesAnswers:
    """A ledger whose ``create_roots`` is cut off before or after it did anything."""

    def __init__(self, ledger: OpenLedger, *, done: bool) -> None:
        self._ledger = ledger
        self._done = done

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)

    def create_roots(self, roots: Sequence[LiabilityRoot]) -> list[RootResult]:
        if self._done:
            self._ledger.create_roots(roots)
        raise OutcomeUnknown("the answer was lost; repeat the same ids")


@dataclass(slots=True)
class House:
    """A ledger with merchants ``alice`` and ``bob``, and what an operator does with it."""

    database: Database
    ledger: OpenLedger
    alice: str = field(default_factory=lambda: new_id("acct"))
    bob: str = field(default_factory=lambda: new_id("acct"))
    steps: Iterator[int] = field(default_factory=count)

    @property
    def parts(self) -> Parts:
        return Parts(self.database, Books(self.database, self.ledger))

    def move(self, debit: LedgerAccount, credit: LedgerAccount, amount: int) -> None:
        self.post(Posting(debit, credit, amount, TransferCode.book_transfer))

    def post(self, posting: Posting, flags: TransferFlags = TransferFlags.none) -> PostingSet:
        made = PostingSet(new_id("tr"), f"step {next(self.steps)}", 0, [posting], flags)
        [outcome] = self.parts.books.post([made])
        assert outcome.booked, outcome
        return made

    def credit(self, account: str, amount: int, unit: str = USDC) -> None:
        self.move(chart.equity_operator(unit), chart.merchant(account, "available", unit), amount)

    def make(self, ledger: Any = None) -> dict[str, LiabilityEpoch]:
        parts = Parts(self.database, Books(self.database, ledger or self.ledger))
        return {epoch.unit: epoch for epoch in flow.make_epoch(parts)}

    def published(self, epoch: LiabilityEpoch) -> Document:
        with self.database.begin() as connection:
            [document] = flow.published(connection, [epoch])
        return json.loads(json.dumps(document))  # type: ignore[no-any-return]

    def proof(self, epoch: LiabilityEpoch, account: str) -> Document:
        with self.database.begin() as connection:
            return json.loads(  # type: ignore[no-any-return]
                json.dumps(flow.prove(connection, epoch, account))
            )

    def proved(self, epoch: LiabilityEpoch, account: str) -> int:
        """What the account's own verifier says."""
        return verify(self.proof(epoch, account), self.published(epoch), account=account)

    def shown(self) -> list[int]:
        """The numbers of the epochs that anybody may see, newest first."""
        with self.database.begin() as connection:
            rows, _ = store.list_epochs(connection, livemode=False, page=PageRequest())
        return [row.epoch for row in rows]

    def check(self) -> Report:
        catch_up(self.database.url)
        return verify_ledger(self.database.url)


@pytest.fixture
def house(database: Database) -> Iterator[House]:
    ledger = open_ledger(database.url)
    yield House(database, ledger)
    ledger.close()


def test_what_is_owed_is_proved_to_each(house: House) -> None:
    house.credit(house.alice, 250)
    house.credit(house.bob, 1_000)
    house.credit(house.bob, 7, EURC)
    made = house.make()
    assert {unit: (row.total, row.leaves, row.epoch) for unit, row in made.items()} == {
        USDC: (1_250, 2, 1),
        EURC: (7, 1, 1),
    }
    assert house.proved(made[USDC], house.alice) == 250
    assert house.proved(made[USDC], house.bob) == 1_000
    assert house.proved(made[EURC], house.bob) == 7
    with pytest.raises(ResourceMissing, match="had no balance in test/eurc when epoch 1"):
        house.proof(made[EURC], house.alice)
    with pytest.raises(LiabilityProofError, match="another account"):
        verify(house.proof(made[USDC], house.bob), house.published(made[USDC]), account=house.alice)
    report = house.check()
    assert report.breaks == []
    assert (report.roots, report.roots_recomputed) == (2, 2)


def test_what_is_in_channels_and_parked_is_owed_too(house: House) -> None:
    house.credit(house.alice, 250)
    available = chart.merchant(house.alice, "available", USDC)
    own = new_id("ch")
    house.move(available, chart.channel(own, USDC, payer=house.alice), 40)
    house.move(available, chart.pool(house.alice, USDC), 10)
    made = house.make()[USDC]
    assert made.total == 250
    proof, published = house.proof(made, house.alice), house.published(made)
    assert verify(proof, published, account=house.alice, channels=[own]) == 250
    # Whose channel it is only its payer knows.
    with pytest.raises(LiabilityProofError, match="is not an account of"):
        verify(proof, published, account=house.alice)


def test_a_hold_is_owed_and_a_receivable_is_netted_with_nobody(house: House) -> None:
    house.credit(house.alice, 250)
    house.credit(house.bob, 100)
    available = chart.merchant(house.alice, "available", USDC)
    hold = Posting(available, chart.payout_in_flight(USDC), 200, TransferCode.payout_hold)
    held = house.post(hold, TransferFlags.pending)
    house.move(chart.receivable(house.bob, USDC), chart.equity_operator(USDC), 90)
    house.move(available, chart.merchant(house.alice, "reserved", USDC), 30)
    first = house.make()[USDC]
    assert (first.total, first.leaves) == (350, 3)
    assert house.proved(first, house.alice) == 250
    assert house.proved(first, house.bob) == 100
    assert len(house.proof(first, house.alice)["leaves"]) == 2
    house.parts.books.settle_hold(held, step="settle", attempt=0, void=False)
    second = house.make()[USDC]
    assert house.proved(second, house.alice) == 50
    assert second.total == 150


def test_test_money_and_the_operators_own_accounts_stand_apart(house: House) -> None:
    house.credit(house.alice, 5)
    house.credit(house.alice, 6, "usdc")
    merchant_code = min(OWED)
    house.ledger.create_accounts([Account(1 << 63, unit=1 << 63, code=int(merchant_code))])
    made = house.make()
    assert {unit: (row.total, row.livemode) for unit, row in made.items()} == {
        USDC: (5, False),
        "usdc": (6, True),
    }


def test_epochs_follow_one_another_and_old_proofs_go_on_holding(house: House) -> None:
    house.credit(house.alice, 10)
    first = house.make()[USDC]
    house.credit(house.alice, 5)
    house.credit(house.bob, 1, EURC)
    made = house.make()
    assert {row.epoch for row in made.values()} == {2}
    assert made[USDC].sequence > first.sequence
    assert house.proved(first, house.alice) == 10
    assert house.proved(made[USDC], house.alice) == 15
    with pytest.raises(LiabilityProofError) as refused:
        verify(house.proof(first, house.alice), house.published(made[USDC]), account=house.alice)
    assert refused.value.check == "epoch"
    assert house.check().breaks == []


def test_the_writer_goes_on_meanwhile(house: House) -> None:
    """Transfers between two merchants never change the total, whichever row it speaks of."""
    for account in (house.alice, house.bob):
        house.credit(account, 100_000)
    take_snapshot(house.database.url)
    ends = [
        account_id(chart.merchant(each, "available", USDC).name)
        for each in (house.alice, house.bob)
    ]
    started, stop, moved = threading.Event(), threading.Event(), []

    def flood() -> None:
        for number in count(1):
            if stop.is_set():
                return
            transfer = Transfer(number, ends[0], ends[1], 1, unit_id(USDC), 1)
            moved.append(house.ledger.create_transfers([transfer])[0].status.accepted)
            started.set()

    thread = threading.Thread(target=flood)
    thread.start()
    started.wait()
    epochs = [house.make()[USDC] for _ in range(3)]
    stop.set()
    thread.join()
    assert all(moved)
    for epoch in epochs:
        assert epoch.total == 200_000
        proved = [house.proved(epoch, each) for each in (house.alice, house.bob)]
        assert sum(proved) == 200_000
    assert house.check().breaks == []


@pytest.mark.parametrize("done", [False, True])
def test_an_answer_that_was_lost_is_repaired_by_the_next_call(house: House, done: bool) -> None:
    house.credit(house.alice, 10)
    with pytest.raises(OutcomeUnknown):
        house.make(LosesAnswers(house.ledger, done=done))
    assert house.shown() == []
    assert house.check().breaks == []
    house.credit(house.alice, 1)
    made = house.make()[USDC]
    assert (made.epoch, made.total) == (2, 11)
    with house.database.begin() as connection:
        first = store.find_of_unit(connection, USDC, epoch=1)
    assert first is not None
    assert house.proved(first, house.alice) == 10
    assert house.shown() == [2, 1]
    report = house.check()
    assert report.breaks == []
    assert report.roots == report.roots_recomputed == 2


def test_what_the_ledger_refuses_is_forgotten(house: House) -> None:
    """A later root of the unit came in between: it is the ledger that decides."""
    house.credit(house.alice, 10)

    class Foreign(LosesAnswers):
        def create_roots(self, roots: Sequence[LiabilityRoot]) -> list[RootResult]:
            later = LiabilityRoot(99, b"\x01" * 32, 1, 9, 1, roots[0].unit, sequence=1)
            return self._ledger.create_roots([later, *roots])[1:]

    with pytest.raises(UnexpectedState, match="test/usdc: epoch_must_advance"):
        house.make(Foreign(house.ledger, done=True))
    assert house.shown() == []
    report = house.check()
    assert report.breaks == []
    assert (report.roots, report.roots_recomputed) == (1, 0)
    assert house.make()[USDC].epoch == 10


def test_epochs_go_on_from_what_the_journal_holds(house: House) -> None:
    """Also where the table of epochs was lost."""
    house.credit(house.alice, 10)
    assert [house.make()[USDC].epoch for _ in range(2)] == [1, 2]
    with psycopg.connect(house.database.url, autocommit=True) as connection:
        connection.execute("TRUNCATE liability_epochs, liability_tiles")
    assert house.make()[USDC].epoch == 3
    assert house.shown() == [3]
    report = house.check()
    assert report.breaks == []
    assert (report.roots, report.roots_recomputed) == (3, 1)


def test_nothing_is_owed_yet(house: House) -> None:
    with pytest.raises(UnexpectedState, match="nothing is owed yet"):
        house.make()


def test_an_overdrawn_account_lowers_nobodys_claim(house: House) -> None:
    house.credit(house.alice, 10)
    code = int(chart.AccountCode.merchant_available)
    house.ledger.create_accounts([Account(77, unit=unit_id(USDC), code=code)])
    equity = account_id(chart.equity_operator(USDC).name)
    house.ledger.create_transfers([Transfer(1, 77, equity, 3, unit_id(USDC), 1)])
    with pytest.raises(UnexpectedState, match="0000004d holds money owed and is overdrawn by 3"):
        house.make()


def test_a_unit_without_a_name_is_not_passed_over(house: House) -> None:
    house.credit(house.alice, 10)
    with psycopg.connect(house.database.url, autocommit=True) as connection:
        connection.execute("DELETE FROM ledger_account_names")
    with pytest.raises(UnexpectedState, match="ledger_account_names does not name"):
        house.make()


def test_one_at_a_time(house: House) -> None:
    house.credit(house.alice, 10)
    with flow._alone(house.parts), pytest.raises(Unavailable, match="Another process"):
        house.make()
    assert house.make()[USDC].epoch == 1


def test_the_next_does_not_wait_for_a_disconnection(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server notices a closed connection a moment later; here it is open for good."""
    house.credit(house.alice, 10)
    with journal.connect(house.database.url) as kept:
        with monkeypatch.context() as patched:
            patched.setattr(journal, "connect", lambda url: nullcontext(kept))
            with flow._alone(house.parts):
                pass
        assert house.make()[USDC].epoch == 1


TAMPERINGS: dict[str, tuple[str, str]] = {
    "a root": ("UPDATE liability_epochs SET root = sha256(root)", "its root, total"),
    "a total": ("UPDATE liability_epochs SET total = total - 1", "its root, total"),
    "the number of leaves": ("UPDATE liability_epochs SET leaves = leaves - 1", "its root"),
    "a hash of the journal": (
        "UPDATE liability_epochs SET journal_hash = sha256(journal_hash)",
        "its root, total, leaves or journal hash",
    ),
    "the secret": ("UPDATE liability_epochs SET secret = sha256(secret)", "its root, total"),
    "half of the secret": ("UPDATE liability_epochs SET secret = '\\x00'", "is not whole"),
    "the tops": ("UPDATE liability_epochs SET tops = sha256(tops)", "its stored leaves"),
    "the row that it speaks of": (
        "UPDATE liability_epochs SET sequence = sequence - 1",
        "its root, total",
    ),
    "a row that is not there": (
        "UPDATE liability_epochs SET sequence = sequence + 99",
        "speaks of row",
    ),
    "the unit": ("UPDATE liability_epochs SET unit_id = unit_id + 1", "nothing was owed"),
    "the number of the epoch": (
        "UPDATE liability_epochs SET epoch = epoch + 1",
        "is shown, and its root is not in the journal",
    ),
    "a balance": (
        "UPDATE liability_tiles SET held = set_byte(held, 31, get_byte(held, 31) # 1)",
        "its stored leaves",
    ),
    "a leaf left out": (
        "UPDATE liability_tiles SET held = substr(held, 33)",
        "its stored leaves",
    ),
    "all leaves": ("DELETE FROM liability_tiles", "its stored leaves"),
}


@pytest.mark.parametrize("name", TAMPERINGS)
def test_tampering_is_found_and_named(house: House, name: str) -> None:
    house.credit(house.alice, 10)
    house.credit(house.bob, 20)
    epoch = house.make()[USDC]
    statement, message = TAMPERINGS[name]
    with psycopg.connect(house.database.url, autocommit=True) as connection:
        assert connection.execute(statement).rowcount == 1
    found = [each for each in house.check().breaks if each.check == "liability"]
    assert any(message in each.message for each in found), found
    assert all(epoch.id in each.place or "root of epoch 1" in each.place for each in found)


def test_a_root_that_the_journal_does_not_come_to_is_found(house: House) -> None:
    """An operator who journals and publishes less than is owed, and stores a tree that fits."""
    house.credit(house.alice, 10)
    lied: list[LiabilityRoot] = []

    class Lies(LosesAnswers):
        def create_roots(self, roots: Sequence[LiabilityRoot]) -> list[RootResult]:
            [root] = roots
            lied.append(LiabilityRoot(root.id, root.root, 9, 1, 1, root.unit, root.sequence))
            return self._ledger.create_roots(lied)

    house.make(Lies(house.ledger, done=True))
    [found] = [each for each in house.check().breaks if each.check == "liability"]
    assert found.message == "is not what the journal comes to at its row"
    assert found.place.startswith("root of epoch 1, unit ")


def test_a_root_of_a_row_to_come_is_found(house: House) -> None:
    house.credit(house.alice, 10)
    future = LiabilityRoot(99, b"\x01" * 32, 1, epoch=1, leaves=1, unit=7, sequence=10_000)
    assert house.ledger.create_roots([future])[0].status.accepted
    assert [each.message for each in house.check().breaks] == [
        "speaks of a row that was not written yet"
    ]


# The commands, as an operator, a merchant and an auditor use them


@contextmanager
def served(house: House) -> Iterator[Callable[..., subprocess.CompletedProcess[str]]]:
    """The ledger behind its socket, and the real command beside it."""
    with tempfile.TemporaryDirectory(prefix="sakk-") as folder:
        address, stop = str(Path(folder, "ledger.sock")), threading.Event()
        thread = threading.Thread(target=serve_ledger, args=(house.ledger, address, stop))
        thread.start()
        environment = {
            **os.environ,
            "DATABASE_URL": house.database.url,
            "SAKK_LEDGER_ADDRESS": f"unix:{address}",
            "SAKK_DATA_DIR": folder,
        }

        def command(*arguments: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                [sys.executable, "-m", "sakk.cli", *arguments],
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )

        try:
            yield command
        finally:
            stop.set()
            thread.join()


def test_the_commands_from_the_ledger_to_the_merchants_own_machine(
    house: House, tmp_path: Path
) -> None:
    house.credit(house.alice, 1_250_000)
    house.credit(house.bob, 3)
    with served(house) as command:
        made = command("ledger", "liabilities", "--json", "--publish", str(tmp_path))
        assert made.returncode == 0, made.stderr
        [epoch] = json.loads(made.stdout)
        file = tmp_path / "liabilities-1-test-usdc.json"
        assert json.loads(file.read_text()) == epoch
        assert (epoch["total"], epoch["leaves"], epoch["epoch"]) == ("1250003", 2, 1)
        shown = command("ledger", "proof", house.alice, "--currency", "usdc")
        assert shown.returncode == 0, shown.stderr
        missing = command("ledger", "proof", house.alice, "--currency", "usdc", "--epoch", "9")
        assert missing.returncode == 1
        assert "There is no such epoch of test/usdc" in missing.stderr
    proof = tmp_path / "proof.json"
    proof.write_text(shown.stdout)
    alone = tmp_path / "liability.py"
    alone.write_bytes(Path(sys.modules[verify.__module__].__file__ or "").read_bytes())
    check = [sys.executable, "-I", "-S", str(alone), str(proof), str(file)]
    done = subprocess.run(
        [*check, "--account", house.alice, "--balance", "1250000"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={},
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"YES: 1250000 smallest units of test/usdc owed to {house.alice}")


def test_roots_travel_like_every_other_call(house: House) -> None:
    """The same root twice is one root; its first time is what both are told."""
    root = LiabilityRoot(5, b"\x02" * 32, 3, epoch=1, leaves=2, unit=7, sequence=1)
    first, again = (house.ledger.create_roots([root])[0] for _ in range(2))
    assert (first.status.name, again.status.name) == ("created", "exists")
    assert first.timestamp == again.timestamp
    assert Op.create_roots.writes
