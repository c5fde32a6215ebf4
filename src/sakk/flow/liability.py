"""Proof of liabilities: make an epoch beside the running ledger, and answer proofs from it.

The journal is replayed from its last snapshot in this process; the writer goes on meanwhile and is
asked for one thing, to journal the roots. The leaves are stored before that and shown after it, so
a crash in between is repaired by sending the same roots under the same ids again.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection

from sakk.core import chart
from sakk.core import liability as rules
from sakk.core.chart import MerchantBalance
from sakk.core.errors import ResourceMissing, Unavailable, UnexpectedState
from sakk.core.ledger import account_id as ledger_id
from sakk.core.liability import Inclusion, LiabilityEpoch
from sakk.flow.context import Parts
from sakk.ledger.liability import compute, root_of
from sakk.ledger.outside import DatabaseJournal, run
from sakk.ledger.record import encode_id
from sakk.ledger.replay import restore
from sakk.store import journal, network
from sakk.store import liability as store
from sakk.store.failpoint import failpoint

NANOSECONDS = 1_000_000_000
BALANCES: tuple[MerchantBalance, ...] = ("incoming", "available", "reserved")
# An account's pool, and its newest channels: with its balances as many as a verifier takes.
OTHERS_MAX = 97

Say = Callable[[str], None]


def make_epoch(
    parts: Parts, *, shard: int = 0, say: Say = lambda line: None
) -> list[LiabilityEpoch]:
    """Prove what is owed now: one epoch number, one tree and root a unit.

    ``say`` is told of each step. Raises UnexpectedState where nothing is owed or an account is
    overdrawn, Unavailable while another process makes an epoch or the ledger does not answer, and
    OutcomeUnknown when its answer was lost: call again, it goes on from there.
    """
    with _alone(parts):
        _finish_earlier(parts, shard)
        say("replaying the journal")
        with DatabaseJournal(parts.database.url, shard) as recorded:
            machine, head = run(restore(recorded))
        with parts.database.begin() as reading:
            # The journal may hold more than this table: it was restored alone, say.
            number = max(store.last_epoch(reading, shard), machine.last_epoch) + 1
            names = store.unit_names(reading)
        made = []
        for epoch, tree in compute(machine, head, epoch=number, names=names):
            say(f"{epoch.unit}: {epoch.leaves} accounts, root {epoch.root.hex()}")
            made.append((epoch, tree.tiles))
        if not made:
            raise UnexpectedState("No merchant has an account in the ledger: nothing is owed yet.")
        del machine
        with parts.database.begin() as writing:
            for epoch, tiles in made:
                store.save(writing, epoch, tiles)
        say(f"journalling {len(made)} roots of epoch {number}, as of row {head.sequence}")
        return _journal(parts, [epoch for epoch, _ in made])


def prove(connection: Connection, epoch: LiabilityEpoch, account_id: str) -> dict[str, Any]:
    """The API's object ``liability_proof`` of an account; ResourceMissing if it has no leaf."""
    proved = []
    names = [chart.merchant(account_id, balance, epoch.unit).name for balance in BALANCES]
    others = store.other_names(connection, account_id, unit=epoch.unit, limit=OTHERS_MAX)
    for name in (*names, *others):
        found = _inclusion(connection, epoch, encode_id(ledger_id(name, shard=epoch.shard)))
        # Of channels that have ended nothing is owed, and nothing shown.
        if found is not None and (found.balance or name in names):
            proved.append((name, found))
    if not proved:
        raise ResourceMissing(
            f"{account_id} had no balance in {epoch.unit} when epoch {epoch.epoch} was made; "
            "ask for a later epoch, or another currency.",
            param="id",
        )
    return rules.public_proof(epoch, account_id, proved)


def published(connection: Connection, epochs: Sequence[LiabilityEpoch]) -> list[dict[str, Any]]:
    """The API's objects ``liability_epoch``: the same for everybody."""
    decimals = {each.currency: each.decimals for each in network.list_currencies(connection)}
    return [
        rules.public_epoch(each, decimals=decimals.get(chart.currency_of_unit(each.unit)[0]))
        for each in epochs
    ]


def _inclusion(connection: Connection, epoch: LiabilityEpoch, account: bytes) -> Inclusion | None:
    tile = store.find_tile(connection, epoch.id, rules.salt_of(epoch.secret, account))
    if tile is None:
        return None
    number, held = tile
    return rules.prove(epoch.secret, account, number=number, held=held, tops=epoch.tops)


@contextmanager
def _alone(parts: Parts) -> Iterator[None]:
    """A connection that keeps other makers of epochs away while it is open."""
    with journal.connect(parts.database.url) as connection:
        if not store.lock(connection):
            raise Unavailable("Another process makes an epoch of liabilities; wait for it to end.")
        try:
            yield
        finally:
            store.unlock(connection)


def _finish_earlier(parts: Parts, shard: int) -> None:
    """What a crash left behind: of stored epochs it is not known whether they are journalled."""
    with parts.database.begin() as connection:
        unfinished = store.list_unfinished(connection, shard)
    for number in sorted({epoch.epoch for epoch in unfinished}):
        with suppress(UnexpectedState):  # refused and forgotten: the epoch to come replaces it
            _journal(parts, [epoch for epoch in unfinished if epoch.epoch == number])


def _journal(parts: Parts, epochs: Sequence[LiabilityEpoch]) -> list[LiabilityEpoch]:
    """Have the roots journalled under their ids, and show what is; refused ones are forgotten."""
    failpoint("liability.journal.before")
    results = parts.books.ledger.create_roots([root_of(epoch) for epoch in epochs])
    failpoint("liability.journal.after")
    refused = []
    with parts.database.begin() as connection:
        for epoch, result in zip(epochs, results, strict=True):
            if result.status.accepted:
                seconds = result.timestamp // NANOSECONDS
                journalled = datetime.fromtimestamp(seconds, UTC)
                store.finish(connection, epoch.id, journalled=journalled)
            else:
                store.drop(connection, epoch.id)
                refused.append(f"{epoch.unit}: {result.status.name}")
        ids = [epoch.id for epoch in epochs]
        made = store.by_ids(connection, ids)
    if refused:
        raise UnexpectedState(
            f"The ledger refused the roots of epoch {epochs[0].epoch} ({'; '.join(refused)}): make"
            " the epoch again."
        )
    return made
