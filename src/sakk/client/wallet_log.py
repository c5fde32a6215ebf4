"""What a wallet has signed, in one SQLite file: budgets that several processes share, and receipts.

A payment is written down before it is sent, with the exact header that carries it, so that a crash
between the two neither forgets what may be owed nor pays again: the same request under the same key
goes out with the same bytes. What may have been spent counts as spent until it is known that it was
not.
"""

import json
import sqlite3
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

BUSY_SECONDS: Final = 10.0
RECEIPTS_MAX: Final = 1_000
# Receipts of calls inside a step are worth less than the step: they are written together.
BUFFERED_MAX: Final = 256

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS payments (
  id TEXT PRIMARY KEY,
  key TEXT UNIQUE,
  state TEXT NOT NULL,
  counts INTEGER NOT NULL,
  value INTEGER NOT NULL,
  host TEXT NOT NULL,
  created_ms INTEGER NOT NULL,
  expires_ms INTEGER NOT NULL,
  header TEXT NOT NULL,
  receipt TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS payments_by_time ON payments (created_ms, id);
"""


class State(StrEnum):
    """What is known of a payment."""

    signed = "signed"
    paid = "paid"
    # The seller said no; what was signed may still be taken until it expires.
    refused = "refused"
    # No answer came: only the same bytes may be sent again.
    unknown = "unknown"
    # It is known that nothing was or can be taken.
    released = "released"


class BudgetExceeded(Exception):
    """What was asked for passes a limit of the wallet's policy; nothing was signed."""

    def __init__(self, limit: str, *, left: int, wanted: int) -> None:
        super().__init__(
            f"{limit} leaves {left} millionths of a dollar, and {wanted} are wanted: raise it in "
            "the wallet's policy, or wait until its period is over"
        )
        self.limit = limit
        self.left = left
        self.wanted = wanted


@dataclass(frozen=True, slots=True)
class Receipt:
    """One payment as the buyer has it.

    ``amount`` is atomic units of ``asset``; ``value`` is millionths of a US dollar, rounded up;
    ``transaction`` is what the seller said (a hash, or ``ses_…:nonce``); ``is_verified``: what the
    seller said was held against the chain or the session's key (None: it could not be);
    ``route`` says of every way that was offered why it was taken or not; times are milliseconds
    since 1970. ``counts``: whether it takes from the budget, which a call inside a step does not,
    because the step did.
    """

    id: str
    method: str
    url: str
    scheme: str
    network: str
    asset: str
    amount: int
    value: int
    payee: str
    payer: str
    state: State
    created_ms: int
    expires_ms: int
    key: str | None = None
    transaction: str | None = None
    is_verified: bool | None = None
    counts: bool = True
    request_hash: str | None = None
    settlement: dict[str, Any] | None = None
    route: list[dict[str, Any]] = field(default_factory=list)
    said: str | None = None

    def to_json(self) -> str:
        """One line of JSON, as receipts are exported."""
        return json.dumps({name: getattr(self, name) for name in _FIELDS}, separators=(",", ":"))


_FIELDS: Final = tuple(Receipt.__dataclass_fields__)


def receipt_from(line: str) -> Receipt:
    """Read what ``to_json`` wrote."""
    document = json.loads(line)
    return Receipt(**(document | {"state": State(document["state"])}))


@dataclass(frozen=True, slots=True)
class Limits:
    """What may be spent, in millionths of a US dollar; None is no limit.

    ``per_period`` is (seconds, value) pairs over the time before now; ``per_host`` bounds one
    seller for ever.
    """

    per_call: int | None = 100_000
    total: int | None = 10_000_000
    per_period: tuple[tuple[int, int], ...] = ()
    per_host: int | None = None


class PaymentLog:
    """Payments in a file, or in memory. Safe to share between threads; a file between processes."""

    def __init__(self, path: str | Path | None = None) -> None:
        self._lock = threading.RLock()
        self._buffered: list[Receipt] = []
        self._connection = sqlite3.connect(
            ":memory:" if path is None else Path(path),
            timeout=BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,
        )
        if path is not None:
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.executescript(_SCHEMA)

    def close(self) -> None:
        with self._lock:
            self.flush()
            self._connection.close()

    def begin(self, receipt: Receipt, header: str, *, host: str, limits: Limits) -> Receipt:
        """Write a payment down before it is sent, or raise BudgetExceeded.

        Where its key was used before, the earlier payment is returned instead.
        """
        with self._transaction():
            if receipt.key is not None:
                earlier = self.under(receipt.key)
                if earlier is not None:
                    return earlier[0]
            # What spends of a deposit was counted when that was signed.
            if receipt.counts:
                self._check(receipt, host, limits)
            self._insert(receipt, header, host)
        return receipt

    def under(self, key: str) -> tuple[Receipt, str] | None:
        """The payment of a request's key, and the header that carries it."""
        with self._lock:
            row = self._connection.execute(
                "SELECT receipt, header FROM payments WHERE key = ?", (key,)
            ).fetchone()
        return None if row is None else (receipt_from(row[0]), row[1])

    def header_of(self, id: str) -> str | None:
        """The header of a payment, to send the same bytes again."""
        with self._lock:
            row = self._connection.execute(
                "SELECT header FROM payments WHERE id = ?", (id,)
            ).fetchone()
        return None if row is None else str(row[0])

    def last_paid(
        self, *, scheme: str, network: str, asset: str, payee: str
    ) -> tuple[Receipt, str] | None:
        """The newest payment to a payee in one way that it took, and the header that carried it."""
        with self._lock:
            self.flush()
            row = self._connection.execute(
                "SELECT receipt, header FROM payments WHERE state = ?"
                " AND json_extract(receipt, '$.scheme') = ?"
                " AND json_extract(receipt, '$.network') = ?"
                " AND lower(json_extract(receipt, '$.asset')) = ?"
                " AND lower(json_extract(receipt, '$.payee')) = ?"
                " ORDER BY created_ms DESC, id DESC LIMIT 1",
                (State.paid, scheme, network, asset.lower(), payee.lower()),
            ).fetchone()
        return None if row is None else (receipt_from(row[0]), str(row[1]))

    def update(self, receipt: Receipt) -> Receipt:
        """Record what became of a payment. Of one that is released another may take its key."""
        is_released = receipt.state is State.released
        with self._transaction():
            self._connection.execute(
                "UPDATE payments SET state = ?, counts = ?, value = ?, receipt = ?,"
                " key = CASE WHEN ? THEN NULL ELSE key END WHERE id = ?",
                (
                    receipt.state,
                    receipt.counts and not is_released,
                    receipt.value,
                    receipt.to_json(),
                    is_released,
                    receipt.id,
                ),
            )
        return receipt

    def let_key_go(self, id: str) -> None:
        """Another payment may take the key of one that was refused; what it counts it counts on."""
        with self._transaction():
            self._connection.execute("UPDATE payments SET key = NULL WHERE id = ?", (id,))

    def note(self, receipt: Receipt) -> None:
        """Keep the receipt of a call that a step paid for; it is written with the next ones."""
        assert not receipt.counts
        with self._lock:
            self._buffered.append(receipt)
            if len(self._buffered) >= BUFFERED_MAX:
                self.flush()

    def flush(self) -> None:
        """Write what is buffered."""
        with self._transaction():
            pass

    def spent(self, *, since_ms: int = 0, host: str | None = None) -> int:
        """What counts as spent since a time, at one host or at all, in millionths of a dollar."""
        with self._lock:
            [spent] = self._connection.execute(
                "SELECT coalesce(sum(value), 0) FROM payments"
                " WHERE counts AND created_ms >= ? AND (?2 IS NULL OR host = ?2)",
                (since_ms, host),
            ).fetchone()
        return int(spent)

    def receipts(self, *, limit: int = RECEIPTS_MAX, before: str | None = None) -> list[Receipt]:
        """Newest first; ``before`` is the id of a receipt to go on from."""
        with self._lock:
            self.flush()
            rows = self._connection.execute(
                "SELECT receipt FROM payments WHERE ?1 IS NULL OR (created_ms, id) <"
                " (SELECT created_ms, id FROM payments WHERE id = ?1)"
                " ORDER BY created_ms DESC, id DESC LIMIT ?2",
                (before, limit),
            ).fetchall()
        return [receipt_from(row[0]) for row in rows]

    def unfinished(self) -> list[Receipt]:
        """What counts and is not known to be paid or released, oldest first, however long ago."""
        with self._lock:
            rows = self._connection.execute(
                "SELECT receipt FROM payments WHERE counts AND state IN (?, ?, ?)"
                " ORDER BY created_ms, id",
                (State.signed, State.unknown, State.refused),
            ).fetchall()
        return [receipt_from(row[0]) for row in rows]

    def export(self) -> Iterator[str]:
        """Every receipt, a line of JSON each, newest first."""
        before: str | None = None
        while page := self.receipts(before=before):
            yield from (receipt.to_json() for receipt in page)
            before = page[-1].id

    def left(self, limits: Limits, *, host: str, now_ms: int) -> dict[str, int]:
        """What each limit leaves, by its name."""
        found: dict[str, int] = {}
        if limits.total is not None:
            found["total"] = limits.total - self.spent()
        for seconds, value in limits.per_period:
            spent = self.spent(since_ms=now_ms - 1_000 * seconds + 1)
            found[f"per_period[{seconds} s]"] = value - spent
        if limits.per_host is not None:
            found["per_host"] = limits.per_host - self.spent(host=host)
        return found

    def _check(self, receipt: Receipt, host: str, limits: Limits) -> None:
        for name, left in self.left(limits, host=host, now_ms=receipt.created_ms).items():
            if receipt.value > left:
                raise BudgetExceeded(name, left=max(left, 0), wanted=receipt.value)

    def _insert(self, receipt: Receipt, header: str, host: str) -> None:
        self._connection.execute(
            "INSERT INTO payments VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                receipt.id,
                receipt.key,
                receipt.state,
                receipt.counts and receipt.state is not State.released,
                receipt.value,
                host,
                receipt.created_ms,
                receipt.expires_ms,
                header,
                receipt.to_json(),
            ),
        )

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """One transaction, with what is buffered before it; a second writer waits at its head."""
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                buffered, self._buffered = self._buffered, []
                for receipt in buffered:
                    self._insert(receipt, "", "")
                yield
            except BaseException:
                self._connection.execute("ROLLBACK")
                self._buffered = [*buffered, *self._buffered]
                raise
            self._connection.execute("COMMIT")


def new_id() -> str:
    """An id for a payment; no one else ever makes the same."""
    return f"pay_{uuid.uuid4().hex}"


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def settled(
    receipt: Receipt, state: State, *, settlement: dict[str, Any] | None, said: str | None = None
) -> Receipt:
    """The receipt with what the seller said of it."""
    transaction = None if settlement is None else settlement.get("transaction") or None
    return replace(receipt, state=state, settlement=settlement, transaction=transaction, said=said)
