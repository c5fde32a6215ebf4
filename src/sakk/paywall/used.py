"""Which payments were taken, so that one payment is served once, whoever presents it how often.

A facilitator may answer a second settlement of one authorisation as it answered the first, and two
copies of a header may arrive at once, in two processes. So a door writes down each payment before
it asks for anything, under a digest of its proof, in a file that all its processes share (SQLite;
in memory when no file is named, and then for one process alone).

A payment is here in one of three states. ``held``: somebody is at it. ``open``: it was settled, or
may have been, and nothing was served for it: whoever presents it again goes on from there.
``done``: it was served. What is settled and not served outlives what was signed. What was refused
is forgotten, so that it can be mended and sent again. A holder that died (a process that is not
there any more) holds nothing.
"""

import os
import secrets
import sqlite3
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

# Beyond these, new payments wait until old ones expire.
PAYMENTS_MAX: Final = 1_000_000
_COUNTED_EVERY: Final = 1_000
# An authorisation that has expired is refused before it is looked up here; clocks differ.
KEEP_SECONDS_MIN: Final = 120
KEEP_SECONDS_MAX: Final = 366 * 24 * 3_600
# What was settled and not served is good so much longer: its coins do not expire.
SETTLED_SECONDS: Final = 7 * 24 * 3_600
_BUSY_SECONDS_MAX: Final = 5.0
_SWEPT_MAX: Final = 256
# Numbers of processes come again; this does not.
_RUN: Final = secrets.token_hex(8)

_TABLE = """
CREATE TABLE IF NOT EXISTS payment (
  digest BLOB PRIMARY KEY, nonce TEXT UNIQUE, state TEXT NOT NULL, owner TEXT NOT NULL,
  key TEXT NOT NULL, settlement BLOB, expires INTEGER NOT NULL
) WITHOUT ROWID
"""


class State(StrEnum):
    """Where a payment stands."""

    held = "held"
    open = "open"
    done = "done"


@dataclass(frozen=True, slots=True)
class Claim:
    """A payment that this request holds. ``settlement``: it was settled before, with this answer.

    ``key`` is the same as long as the outcome is not known, so that asking again is not asking
    twice.
    """

    digest: bytes
    key: str
    settlement: bytes | None
    is_first: bool
    keep: int


class Used:
    """The payments of one door. Not for several threads."""

    def __init__(self, path: str | Path | None = None) -> None:
        self._path = ":memory:" if path is None else str(path)
        self._owner = f"{os.getpid()}:{_RUN}"
        self._database = self._open()
        self._room = 0

    def claim(self, digest: bytes, *, now: int, expires: int) -> Claim | State:
        """Take a payment, or learn that another has it (``held``) or that it is ``done``.

        OverflowError: there is no room for another.
        """
        self._forget(now)
        keep = min(max(expires, now) + KEEP_SECONDS_MIN, now + KEEP_SECONDS_MAX)
        key = secrets.token_hex(16)
        with self._database as database:
            # Locks at once: two processes must not both read first.
            database.execute("BEGIN IMMEDIATE")
            row = database.execute(
                "SELECT state, owner, key, settlement FROM payment WHERE digest = ?", (digest,)
            ).fetchone()
            if row is None:
                self._take_room(database)
                database.execute(
                    "INSERT INTO payment VALUES (?, NULL, ?, ?, ?, NULL, ?)",
                    (digest, State.held, self._owner, key, keep),
                )
                return Claim(digest, key, None, is_first=True, keep=keep)
            state, owner, key, settlement = row
            if state == State.done:
                return State.done
            if state == State.held and self._is_alive(owner):
                return State.held
            database.execute(
                "UPDATE payment SET state = ?, owner = ? WHERE digest = ?",
                (State.held, self._owner, digest),
            )
            return Claim(digest, key, settlement, is_first=False, keep=keep)

    def bind(self, claim: Claim, nonce: str | None, settlement: bytes | None = None) -> bool:
        """Write down whose nonce it is, and how it was settled.

        False: another proof of the same nonce is here already.
        """
        try:
            with self._database as database:
                database.execute(
                    "UPDATE payment SET nonce = ?, settlement = ?, expires = ? WHERE digest = ?",
                    (
                        nonce,
                        settlement,
                        claim.keep if settlement is None else claim.keep + SETTLED_SECONDS,
                        claim.digest,
                    ),
                )
        except sqlite3.IntegrityError:
            return False
        return True

    def is_settled(self, digest: bytes) -> bool:
        """Was it settled, and not served yet?"""
        found = self._database.execute(
            "SELECT settlement FROM payment WHERE digest = ? AND state != ?", (digest, State.done)
        ).fetchone()
        return found is not None and found[0] is not None

    def end(self, claim: Claim, state: State) -> None:
        """Let go of it: ``done`` when it was served, ``open`` when it is good again."""
        with self._database as database:
            database.execute(
                "UPDATE payment SET state = ?1, expires = iif(?2, ?3, expires) WHERE digest = ?4",
                (state, state is State.done, claim.keep, claim.digest),
            )

    def forget(self, claim: Claim) -> None:
        """It was refused, and nothing was taken."""
        with self._database as database:
            database.execute("DELETE FROM payment WHERE digest = ?", (claim.digest,))

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def _take_room(self, database: sqlite3.Connection) -> None:
        """Room for one more; all are counted once in a while, since that costs."""
        if self._room <= 0:
            [(count,)] = database.execute("SELECT count(*) FROM payment")
            self._room = min(_COUNTED_EVERY, PAYMENTS_MAX - count)
            if self._room <= 0:
                raise OverflowError("there is no room for another payment")
        self._room -= 1

    def _forget(self, now: int) -> None:
        with self._database as database:
            database.execute(
                "DELETE FROM payment WHERE digest IN"
                " (SELECT digest FROM payment WHERE expires < ? LIMIT ?)",
                (now, _SWEPT_MAX),
            )

    def _is_alive(self, owner: str) -> bool:
        """Is whoever held it still there? Our own earlier self with the same number is not."""
        pid = int(owner.partition(":")[0])
        if pid == os.getpid():
            return owner == self._owner
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True

    def _open(self) -> sqlite3.Connection:
        database = sqlite3.connect(
            self._path, timeout=_BUSY_SECONDS_MAX, isolation_level=None, check_same_thread=False
        )
        database.execute("PRAGMA journal_mode = WAL")
        # A process that dies loses nothing; a machine that dies, the last moments at most.
        database.execute("PRAGMA synchronous = NORMAL")
        database.execute(_TABLE)
        database.execute("CREATE INDEX IF NOT EXISTS expiry ON payment (expires)")
        return database
