"""Before anything starts: is this database older than what was done with it?

The evidence lies outside of the database: the signer's log, and the anchor, a small file in the
data directory in which the worker writes every few seconds how far the house has come. A copy of
the anchor kept elsewhere proves more.
"""

from dataclasses import replace
from datetime import datetime
from pathlib import Path

import msgspec
import structlog
from sqlalchemy import Connection

from sakk.core.errors import Misconfigured
from sakk.core.restore import GAP_DEFAULT, Head, Restore
from sakk.flow.context import Parts
from sakk.flow.imported import Line
from sakk.flow.restore import (
    REASON,
    Evidence,
    begin,
    read_journal_head,
    read_signer_log,
    staleness,
)
from sakk.flow.stage import Stage
from sakk.runtime.settings import Settings
from sakk.signing.server import signer_files
from sakk.store import restore as store
from sakk.store.address import has_wallet
from sakk.store.database import Database, open_database
from sakk.store.identity import now

ANCHOR_NAME = "anchor.json"
ANCHOR_SECONDS = 5.0

log = structlog.get_logger(__name__)


class Anchor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How far the house had come; hashes are hexadecimal."""

    at: datetime
    journal_sequence: int
    journal_hash: str
    address_index: int


def anchor_path(settings: Settings) -> Path:
    return settings.data_dir / ANCHOR_NAME


def read_anchor(path: Path) -> Anchor | None:
    """The anchor, or None where there is none; Misconfigured for one that says nothing."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Anchor)
    except FileNotFoundError:
        return None
    except msgspec.MsgspecError as error:
        raise Misconfigured(f"{path} is no anchor: {error}") from None


def write_anchor(database: Database, path: Path, *, at: datetime) -> None:
    """Write it whole, in one step."""
    with database.begin() as connection:
        index = store.address_index(connection)
    head = read_journal_head(database.url)
    scratch = path.with_suffix(".new")
    scratch.write_bytes(msgspec.json.encode(Anchor(at, head.sequence, head.hash, index)))
    scratch.rename(path)


def anchor_stage(parts: Parts, path: Path) -> Stage:
    """The stage that says outside of the database how far the house has come."""

    def run() -> int:
        write_anchor(parts.database, path, at=parts.clock())
        return 0

    return Stage("anchor.write", run, idle_seconds=ANCHOR_SECONDS, keeps_time=True)


def read_evidence(
    connection: Connection,
    settings: Settings,
    *,
    log_file: Path | None = None,
    anchor_file: Path | None = None,
) -> Evidence:
    """What these files know; a log that is not there or not ours to read knows nothing."""
    anchor = read_anchor(anchor_file or anchor_path(settings))
    lines: list[Line] = []
    head = at_anchor = None
    path = log_file or signer_files(settings.data_dir).log
    try:
        if path.exists():
            lines, head, at_anchor = read_signer_log(connection, path)
    except PermissionError:
        log.warning("restore.log_unreadable", path=str(path))
    return Evidence(
        lines=lines,
        log_head=head,
        log_hash_at_anchor=at_anchor,
        journal=None if anchor is None else Head(anchor.journal_sequence, anchor.journal_hash),
        address_index=None if anchor is None else anchor.address_index,
    )


def look_before_start(settings: Settings, url: str) -> Restore | None:
    """Begin a restore if the evidence proves that one is due; None if all is in line."""
    database = open_database(url)
    try:
        with database.begin() as connection:
            # Without a wallet nothing was ever given out or signed for this database.
            if not has_wallet(connection):
                return None
            evidence = read_evidence(connection, settings)
            found = staleness(connection, url, evidence)
            if not found:
                return store.find_open(connection)
            for each in found:
                log.error("restore.stale", finding=each.name, message=each.message)
            notes = [each for each in found if each.code.startswith("signer_log")]
            reason = f"{REASON}: {found[0].message}"
            return begin(
                connection,
                replace(evidence, notes=notes),
                reason=reason,
                gap=GAP_DEFAULT,
                now=now(),
            )
    finally:
        database.close()
