"""Bank files: put out, taken in, and read, each once.

What goes out was committed before, and is the same bytes whenever it is put out again. What comes
in is kept by its hash, whoever delivers it how often, and read by a stage of its own.
"""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from datetime import datetime
from hashlib import sha256

import structlog
from sqlalchemy import Connection

from sakk.core import bank_event as news
from sakk.core import bank_file as rules
from sakk.core.bank_account import BankAccount
from sakk.core.bank_file import FILE_BYTES_MAX, BankFile, FileKind, FileStatus, Way
from sakk.core.errors import ParameterInvalid
from sakk.core.event import NewEvent
from sakk.flow import bank_payment, bank_return_order, bank_statement
from sakk.flow.bank_account import rail_of
from sakk.flow.bank_screen import bank_screen_stage
from sakk.flow.context import Parts
from sakk.flow.provider_order import provider_stage
from sakk.flow.stage import Stage, wake
from sakk.rails.bank.rail import BankRail, BankUnreachable, FileTooLarge
from sakk.rails.bank.read import read_file
from sakk.rails.bank.reader import ReadFile, Unreadable
from sakk.store import bank_account as bank_accounts
from sakk.store import bank_file as store
from sakk.store import event as events
from sakk.store.database import fetch, update_records
from sakk.store.failpoint import failpoint
from sakk.store.identity import new_id
from sakk.store.lease import claim, claimable, given_back_on_error, retry_delay, settle

BATCH_MAX = 20

log = structlog.get_logger(__name__)

_ready = claimable(
    store.bank_files,
    BankFile,
    store.bank_files.c.status == FileStatus.ready.value,
    bank_payment.may_be_sent,
    limit=BATCH_MAX,
)


def bank_stages(parts: Parts) -> list[Stage]:
    """The stages of money at banks, in their order."""
    return [
        bank_screen_stage(parts),
        bank_payment.order_stage(parts),
        bank_return_order.return_stage(parts),
        provider_stage(parts),
        send_stage(parts),
        fetch_stage(parts),
        read_stage(parts),
        bank_statement.match_stage(parts),
        bank_statement.book_stage(parts),
    ]


def send_stage(parts: Parts) -> Stage:
    """The stage that puts files out to banks."""
    table = store.bank_files

    def run() -> int:
        token = new_id("lease")
        with parts.database.begin() as connection:
            rows = _tried(connection, token=token, now=parts.clock())
            own = bank_accounts.list_by_ids(connection, [row.bank_account or "" for row in rows])
            contents = {row.id: store.content_of(connection, row.id) for row in rows}
            answered = {row.id for row in rows if _is_answered(connection, row.id)}
        with given_back_on_error(parts.database, table, [row.id for row in rows], token=token):
            for row in rows:
                # What the bank has spoken of was put out before a crash: it might pay it again.
                content = None if row.id in answered else contents[row.id]
                _put(parts, own[row.bank_account or ""], row, content, token=token)
        return len(rows)

    return Stage("bank.send", run, idle_seconds=2.0, due=(_ready,))


def _is_answered(connection: Connection, file: str) -> bool:
    by_payouts = bank_payment.is_answered(connection, file)
    return by_payouts or bank_return_order.is_answered(connection, file)


def _tried(connection: Connection, *, token: str, now: datetime) -> list[BankFile]:
    """Files to be put out now, that they are tried written down; others go in other files."""
    going: list[BankFile] = []
    withdrawn: list[BankFile] = []
    for row in claim(connection, _ready, token=token, now=now):
        again = bank_payment.made_again(connection, row, now=now)
        again = again or bank_return_order.made_again(connection, row, now=now)
        (withdrawn if again else going).append(row)
    done = {"status": FileStatus.withdrawn.value, "done_at": now}
    settle(connection, store.bank_files, [{"id": row.id, **done} for row in withdrawn], token=token)
    first = [{"id": row.id, "tried_at": now} for row in going if row.tried_at is None]
    update_records(connection, store.bank_files, first)
    return going


def _put(
    parts: Parts, account: BankAccount, row: BankFile, content: bytes | None, *, token: str
) -> None:
    table = store.bank_files
    try:
        rail = rail_of(parts, account)
        if rail is None:
            raise BankUnreachable("this worker has no way to banks: set SAKK_BANK_DIR")
        failpoint("bank.send.before")
        if content is not None:
            with closing(rail):
                rail.put(row.name, content)
        failpoint("bank.send.after")
    except BankUnreachable as error:
        log.warning("bank.unreachable", file=row.id, why=str(error))
        now = parts.clock()
        with parts.database.begin() as connection:
            change = {
                "id": row.id,
                "reason": str(error)[: rules.REASON_LENGTH_MAX],
                "failures": row.failures + 1,
                "retry_at": now + retry_delay(row.failures),
            }
            settle(connection, table, [change], token=token)
        return
    now = parts.clock()
    with parts.database.begin() as connection:
        done = {
            "id": row.id,
            "status": FileStatus.sent.value,
            "reason": None,
            "done_at": now,
        }
        if settle(connection, table, [done], token=token):
            bank_payment.sent(connection, row.id, now=now)
            bank_return_order.sent(connection, row.id)
            wake(connection, "bank.fetch")


def fetch_stage(parts: Parts) -> Stage:
    """The stage that takes in what banks left, from every account's own place."""

    def run() -> int:
        with parts.database.read() as connection:
            own = bank_accounts.list_approved(connection)
        return sum(_fetch(parts, account) for account in own)

    return Stage("bank.fetch", run, idle_seconds=2.0, gives_way=True, keeps_time=True)


def _fetch(parts: Parts, account: BankAccount) -> int:
    try:
        rail = rail_of(parts, account)
    except BankUnreachable as error:
        # One that is not set up yet keeps no other from being read.
        log.warning("bank.unreachable", bank_account=account.id, why=str(error))
        return 0
    if rail is None:
        return 0
    with closing(rail):
        return _taken_in(parts, account, rail)


def _taken_in(parts: Parts, account: BankAccount, rail: BankRail) -> int:
    taken = 0
    try:
        for name in rail.list():
            try:
                content = rail.take(name, bytes_max=FILE_BYTES_MAX)
            except FileTooLarge as error:
                _refuse_unread(parts, account, name, str(error))
            except BankUnreachable as error:
                # One file that nobody may read keeps no other from being read.
                log.warning("bank.unreachable", bank_account=account.id, why=str(error))
                continue
            else:
                if not content:
                    # It is being written: it is listed again.
                    continue
                with parts.database.begin() as connection:
                    take_in(
                        connection,
                        content,
                        name=name,
                        bank_account=account.id,
                        livemode=account.livemode,
                        now=parts.clock(),
                    )
            failpoint("bank.fetch.before")
            rail.done(name)
            failpoint("bank.fetch.after")
            taken += 1
    except BankUnreachable as error:
        # One bank that is away keeps no other from being read.
        log.warning("bank.unreachable", bank_account=account.id, why=str(error))
    return taken


def _refuse_unread(parts: Parts, account: BankAccount, name: str, why: str) -> None:
    """What is too large to be taken in is written down by its name alone."""
    now = parts.clock()
    row = BankFile(
        id=new_id(rules.PREFIX),
        livemode=account.livemode,
        bank_account=account.id,
        way=Way.incoming.value,
        kind=FileKind.unknown.value,
        name=rules.safe_name(name),
        sha256=sha256(f"{account.id} {name} {now.isoformat()}".encode()).hexdigest(),
        size=0,
        status=FileStatus.refused.value,
        reason=why[: rules.REASON_LENGTH_MAX],
        done_at=now,
        created=now,
    )
    with parts.database.begin() as connection:
        store.insert(connection, row, b"")
        events.append(connection, [file_event(row, news.BANK_FILE_REFUSED)], now=now)


def take_in(
    connection: Connection,
    content: bytes,
    *,
    name: str,
    bank_account: str | None,
    livemode: bool,
    now: datetime,
    identifier: str | None = None,
    brought_by: str | None = None,
) -> BankFile:
    """Keep a file that a bank sent, whoever brings it; the one that is there already by its hash.

    ``brought_by``: who brings it by hand; it is read when another person has released it
    (`sakk.flow.bank_release`), or when the bank's own adapter brings it. One that was refused is
    read again: an account may be here now that was not. ParameterInvalid for one that is empty or
    larger than any.
    """
    status = FileStatus.received if brought_by is None else FileStatus.awaiting
    if not content or len(content) > FILE_BYTES_MAX:
        raise ParameterInvalid(
            "A file has 1 to {most} bytes.", param="content", most=FILE_BYTES_MAX
        )
    row = BankFile(
        id=identifier or new_id(rules.PREFIX),
        livemode=livemode,
        bank_account=bank_account,
        way=Way.incoming.value,
        kind=FileKind.unknown.value,
        name=rules.safe_name(name),
        sha256=sha256(content).hexdigest(),
        size=len(content),
        status=status.value,
        brought_by=brought_by,
        created=now,
    )
    if store.insert(connection, row, content):
        _tell(connection, row, now=now)
        return row
    found = store.find_hash(connection, row.sha256, way=Way.incoming, livemode=livemode)
    assert found is not None
    was_refused = found.status == FileStatus.refused and found.size > 0
    by_bank = found.status == FileStatus.awaiting and brought_by is None
    if not was_refused and not by_bank:
        return found
    again = replace(
        found,
        bank_account=bank_account,
        status=status.value,
        reason=None,
        done_at=None,
        brought_by=brought_by,
        released_by=None,
        released_at=None,
    )
    fields = (
        *("id", "bank_account", "status", "reason", "done_at"),
        *("brought_by", "released_by", "released_at"),
    )
    update_records(connection, store.bank_files, [{name: getattr(again, name) for name in fields}])
    _tell(connection, again, now=now)
    return again


def _tell(connection: Connection, row: BankFile, *, now: datetime) -> None:
    """A file is there: it is read, or waits for another person."""
    if row.status == FileStatus.received:
        wake(connection, "bank.read")
        return
    events.append(connection, [file_event(row, news.BANK_FILE_AWAITING)], now=now)


def read_stage(parts: Parts) -> Stage:
    """The stage that reads what was taken in, whole or not at all, the oldest first."""

    def run() -> int:
        with parts.database.begin() as connection:
            rows = fetch(connection, store.received)
            contents = [store.content_of(connection, row.id) for row in rows]
        for row, content in zip(rows, contents, strict=True):
            # Outside of a transaction: a large file takes its time.
            try:
                found, why = read_file(content), None
            except Unreadable as error:
                found, why = None, str(error)
            _apply(parts, row, found, why)
        return len(rows)

    return Stage("bank.read", run, idle_seconds=2.0, due=(store.received,))


def _apply(parts: Parts, row: BankFile, found: ReadFile | None, why: str | None) -> None:
    now = parts.clock()
    with parts.database.begin() as connection:
        if not store.lock_received(connection, row.id):
            # Another worker was quicker.
            return
        if found is not None:
            why = _told(connection, row, found, now=now)
        status = FileStatus.read if why is None else FileStatus.refused
        change = {
            "id": row.id,
            "status": status.value,
            "kind": FileKind.unknown.value if found is None else found.kind.value,
            "reason": None if why is None else why[: rules.REASON_LENGTH_MAX],
            "done_at": now,
        }
        update_records(connection, store.bank_files, [change])
        if why is not None:
            log.warning("bank.file_refused", file=row.id, why=why)
            after = store.find(connection, row.id, livemode=row.livemode)
            assert after is not None
            events.append(connection, [file_event(after, news.BANK_FILE_REFUSED)], now=now)


def _told(connection: Connection, row: BankFile, found: ReadFile, *, now: datetime) -> str | None:
    """Do what a file says; why not, where it is not about us."""
    for each in found.reports:
        try:
            file = bank_payment.file_of(
                connection, each, place=row.bank_account, livemode=row.livemode
            )
        except bank_payment.ReportRefused as refused:
            return str(refused)
        bank_payment.report(connection, each, file=file, now=now)
        bank_return_order.report(connection, each, file=file, now=now)
    accounts = _accounts(connection, row, found)
    if isinstance(accounts, str):
        return accounts
    for read, account in zip(found.statements, accounts, strict=True):
        bank_statement.take_in(connection, read, account, row, found.kind, now=now)
    return None


def _accounts(
    connection: Connection, row: BankFile, found: ReadFile
) -> Sequence[BankAccount] | str:
    """Of which of the operator's accounts the statements are; why not, where one is of none."""
    accounts: list[BankAccount] = []
    for read in found.statements:
        named = bank_accounts.find_named(connection, read.account, read.currency)
        of_mode = [each for each in named if each.livemode is row.livemode]
        if not of_mode:
            return f"there is no account {read.account[:40]!r} in {read.currency} here"
        if row.bank_account is not None and row.bank_account != of_mode[0].id:
            return f"it is of {of_mode[0].id}, and came from the place of {row.bank_account}"
        if of_mode[0].approved_at is None:
            return f"it is of {of_mode[0].id}, which no second person has approved"
        accounts.append(of_mode[0])
    return accounts


def file_event(row: BankFile, name: str) -> NewEvent:
    """An event about a file, to the operator."""
    return NewEvent(
        account_id=None,
        livemode=row.livemode,
        type=name,
        object_id=row.id,
        object=rules.public(row),
    )
