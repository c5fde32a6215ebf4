"""Reports: asked for, written by a stage in parts, signed at the end, and forgotten in time.

A report is read in one snapshot of the database, by a cursor of the server's, and written in
another connection, a piece and a short transaction at a time, each of which draws out the lease.
Only the last of them makes a file of the pieces. Whoever finds a report whose lease ran out throws
the pieces away and begins again: what it reads has not changed, for its period was over.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import structlog
from sqlalchemy import Connection

from sakk.core import chart_mapping as mappings
from sakk.core import file as file_rules
from sakk.core import report as rules
from sakk.core import report_event as news
from sakk.core.chart_mapping import MappingRule
from sakk.core.errors import RateLimited, ReportTooLarge, ResourceMissing, SakkError
from sakk.core.event import NewEvent
from sakk.core.file import StoredFile
from sakk.core.report import Report, ReportForm, ReportKind, ReportParameters, ReportStatus
from sakk.core.sheet import Lines, Sheet, encoded
from sakk.flow import report_books, report_list
from sakk.flow.context import Parts
from sakk.flow.report_books import BooksBroken
from sakk.flow.stage import Stage, wake
from sakk.store import chart_mapping as mapping_store
from sakk.store import event as events
from sakk.store import file as files
from sakk.store import report as store
from sakk.store.database import among
from sakk.store.identity import new_id
from sakk.store.lease import claim, claimable, retry_delay
from sakk.store.lease_length import lease_length
from sakk.store.network import list_currencies
from sakk.store.settlement import SETTLED_AFTER, projected_until

STAGE = "report.write"
# A statement of the snapshot may take as long before its first row.
LEASE_MIN = timedelta(seconds=90)
WAIT_FOR_LEDGER = timedelta(seconds=1)
RETRY_AFTER_SECONDS = 30

log = structlog.get_logger(__name__)

_to_write = claimable(store.reports, Report, among(store.reports.c.status, rules.OPEN), limit=1)


class Lost(Exception):
    """The report was canceled, or somebody else writes it now."""


def create(
    connection: Connection,
    kind: ReportKind,
    form: ReportForm,
    parameters: ReportParameters,
    *,
    identifier: str,
    account_id: str,
    livemode: bool,
    is_operator: bool,
    requested_by: str | None,
    metadata: dict[str, str],
    now: datetime,
) -> Report:
    """Ask for a report. ``is_operator``: with the operator's own account, which sees all.

    ParameterInvalid, ParameterMissing, PermissionDenied; RateLimited while too many are open.
    """
    decimals = {each.currency: each.decimals for each in list_currencies(connection)}
    if not is_operator:
        parameters = replace(parameters, account=account_id)
    rules.check(kind, form, parameters, is_operator=is_operator, currencies=decimals, now=now)
    if store.count_open(connection, account_id) >= rules.OPEN_MAX:
        raise RateLimited(
            "{number} reports of this account are being written. Wait for one, or cancel it.",
            number=rules.OPEN_MAX,
            retry_after_seconds=RETRY_AFTER_SECONDS,
        )
    kept = files.kept_bytes(connection, account_id, livemode=livemode)
    if kept >= file_rules.ACCOUNT_BYTES_MAX:
        raise ReportTooLarge(
            "The account's files come to {bytes} bytes, which is all that is kept: DELETE the old"
            " ones that you have saved.",
            bytes=kept,
        )
    newest = mapping_store.find_newest(connection) if kind in rules.BY_CHART else None
    report = Report(
        id=identifier,
        account_id=account_id,
        livemode=livemode,
        kind=kind.value,
        form=form.value,
        status=ReportStatus.pending.value,
        parameters=parameters.document(),
        mapping=None if kind not in rules.BY_CHART else 0 if newest is None else newest.version,
        rows=0,
        rows_total=None,
        file=None,
        failure_code=None,
        failure_message=None,
        requested_by=requested_by,
        metadata=metadata,
        created=now,
    )
    store.insert(connection, report)
    wake(connection, STAGE)
    return report


def cancel(
    connection: Connection,
    identifier: str,
    *,
    account_id: str | None,
    livemode: bool,
    now: datetime,
) -> Report:
    """Write it no further, and throw away what was written; one that ended stays as it is.

    ResourceMissing.
    """
    report = store.find(connection, identifier, account_id=account_id, livemode=livemode, lock=True)
    if report is None:
        raise ResourceMissing("No such report: {report}.", param="id", report=repr(identifier))
    if report.status not in rules.OPEN:
        return report
    _end(connection, report, ReportStatus.canceled, now=now)
    return replace(report, status=ReportStatus.canceled.value, ended_at=now)


def report_stage(parts: Parts) -> Stage:
    """The stage that writes reports, one after the other."""

    def run() -> int:
        token = new_id("lease")
        now = parts.clock()
        with parts.database.begin() as connection:
            rows = claim(connection, _to_write, token=token, now=now)
            over = [row for row in rows if _is_over(connection, row, now)]
            for row in rows:
                if row not in over:
                    # Others are looked at meanwhile: they may not need what it waits for.
                    store.advance(
                        connection,
                        row.id,
                        token=token,
                        lease_until=None,
                        retry_at=now + WAIT_FOR_LEDGER,
                    )
        for row in over:
            _write(parts, row, token=token)
        return len(rows)

    return Stage(STAGE, run, due=(_to_write,), gives_way=True)


def _is_over(connection: Connection, report: Report, now: datetime) -> bool:
    """Is everything of the period written, also what was just being committed at its end?"""
    end = rules.read_parameters(report.parameters).end
    if ReportKind(report.kind) in rules.FROM_LEDGER:
        return projected_until(connection, end, now=now) is not None
    return now >= end + SETTLED_AFTER


def _write(parts: Parts, report: Report, *, token: str) -> None:
    """Write a report to its end, or note why that did not go."""
    if report.attempt >= rules.ATTEMPTS_MAX:
        _fail(parts, report, "internal_error", "It was begun too often. Tell the operator.", token)
        return
    file = file_of(report)
    now = parts.clock()
    with parts.database.begin() as connection:
        files.drop_chunks(connection, file)
        begun = store.advance(
            connection,
            report.id,
            token=token,
            lease_until=now + _lease(),
            status=ReportStatus.running.value,
            attempt=report.attempt + 1,
            rows=0,
        )
    if not begun:
        return
    try:
        with parts.database.engine.connect() as connection:
            connection.execution_options(
                isolation_level="REPEATABLE READ", postgresql_readonly=True
            )
            with connection.begin():
                content = content_of(connection, report, now=parts.clock())
                _Writer(parts, report, file, token, content.total).write(
                    encoded(content, report.form)
                )
    except Lost:
        log.info("report.left", report=report.id)
    except SakkError as error:
        if error.transient:
            _put_off(parts, report, token)
            return
        _fail(parts, report, error.code, error.message, token)
    except BooksBroken as error:
        log.error("report.books_broken", report=report.id, why=str(error))
        _fail(parts, report, "internal_error", "The books do not add up. Tell the operator.", token)


def content_of(connection: Connection, report: Report, *, now: datetime) -> Sheet | Lines:
    """What a report says, as rows that are read while they are written."""
    parameters = rules.read_parameters(report.parameters)
    live = report.livemode
    match ReportKind(report.kind):
        case ReportKind.general_ledger if report.form == ReportForm.beancount:
            return report_books.beancount(
                connection, parameters, _chart(connection, report), live=live
            )
        case ReportKind.general_ledger:
            return report_books.general_ledger(
                connection, parameters, _chart(connection, report), live=live
            )
        case ReportKind.trial_balance:
            return report_books.trial_balance(
                connection, parameters, _chart(connection, report), live=live
            )
        case ReportKind.merchant_statement:
            return report_list.merchant_statement(connection, parameters, live=live)
        case ReportKind.fees:
            return report_list.fees(connection, parameters, live=live)
        case ReportKind.volumes:
            return report_list.volumes(connection, parameters, live=live)
        case ReportKind.travel_rule:
            return report_list.travel_rule(connection, parameters, live=live)
        case ReportKind.large_values:
            return report_list.large_values(connection, parameters, live=live, now=now)


def _chart(connection: Connection, report: Report) -> Sequence[MappingRule]:
    """The version of the mapping that was in force when the report was asked for."""
    if not report.mapping:
        return mappings.BUILT_IN
    found = mapping_store.find(connection, report.mapping)
    assert found is not None, "versions never go"
    return mappings.read_rules(found.rules)


class _Writer:
    """Collects pieces of a file and commits each with the report's progress."""

    def __init__(self, parts: Parts, report: Report, file: str, token: str, total: int) -> None:
        self._parts, self._report, self._file, self._token = parts, report, file, token
        self._total = total
        self._number = self._size = self._rows = 0
        self._hash = hashlib.sha256()

    def write(self, pieces: Iterator[bytes]) -> None:
        """Write all of it, and make a file of it; Lost, ReportTooLarge."""
        waiting = bytearray()
        head = 1 if self._report.form == ReportForm.csv else 0
        for count, piece in enumerate(pieces, 1):
            waiting += piece
            self._rows = max(0, count - head)
            while len(waiting) >= file_rules.CHUNK_BYTES:
                self._commit(bytes(waiting[: file_rules.CHUNK_BYTES]))
                del waiting[: file_rules.CHUNK_BYTES]
        self._commit(bytes(waiting), is_last=True)

    def _commit(self, content: bytes, *, is_last: bool = False) -> None:
        now = self._parts.clock()
        self._size += len(content)
        if self._size > file_rules.BYTES_MAX:
            raise ReportTooLarge(
                "The report is larger than {bytes} bytes. Ask for a shorter period, or for one"
                " account.",
                bytes=file_rules.BYTES_MAX,
            )
        self._hash.update(content)
        with self._parts.database.begin() as connection:
            held = store.advance(
                connection,
                self._report.id,
                token=self._token,
                lease_until=now + _lease(),
                rows=self._rows,
                rows_total=max(self._total, self._rows),
            )
            if not held:
                raise Lost
            if content:
                files.insert_chunk(connection, self._file, self._number, content)
            if is_last:
                self._finish(connection, now)
        self._number += 1

    def _finish(self, connection: Connection, now: datetime) -> None:
        report = self._report
        vault = self._parts.secrets_vault()
        digest = self._hash.digest()
        words = file_rules.words(
            self._file, report.account_id, report.kind, size=self._size, created=now, sha256=digest
        )
        file = StoredFile(
            id=self._file,
            account_id=report.account_id,
            livemode=report.livemode,
            kind=report.kind,
            form=report.form,
            name=rules.file_name(report),
            size=self._size,
            rows=self._rows,
            sha256=digest,
            signature=vault.sign(words),
            authority=vault.authority_key(),
            expires_at=now + file_rules.KEPT_FOR,
            created=now,
        )
        files.insert(connection, file)
        ended = replace(
            report,
            status=ReportStatus.succeeded.value,
            rows=self._rows,
            rows_total=self._rows,
            file=file.id,
            ended_at=now,
        )
        store.set_ended(
            connection,
            report.id,
            status=ended.status,
            rows_total=self._rows,
            file=file.id,
            ended_at=now,
        )
        shown = file_rules.public(file, public_url=self._parts.public_url)
        told = _event(ended, news.REPORT_SUCCEEDED, shown)
        events.append(connection, [told], now=now)


def _put_off(parts: Parts, report: Report, token: str) -> None:
    """A part that we need is away: begun again a while later, and not for ever."""
    now = parts.clock()
    with parts.database.begin() as connection:
        store.advance(
            connection,
            report.id,
            token=token,
            lease_until=None,
            retry_at=now + retry_delay(report.failures),
            failures=report.failures + 1,
        )


def _fail(parts: Parts, report: Report, code: str, message: str, token: str) -> None:
    now = parts.clock()
    with parts.database.begin() as connection:
        held = store.advance(connection, report.id, token=token, lease_until=None)
        if not held:
            return
        _end(
            connection,
            report,
            ReportStatus.failed,
            now=now,
            failure_code=code,
            failure_message=message,
        )
        ended = replace(
            report,
            status=ReportStatus.failed.value,
            failure_code=code,
            failure_message=message,
            ended_at=now,
        )
        events.append(connection, [_event(ended, news.REPORT_FAILED, None)], now=now)


def _end(
    connection: Connection,
    report: Report,
    status: ReportStatus,
    *,
    now: datetime,
    **values: object,
) -> None:
    store.set_ended(connection, report.id, status=status.value, ended_at=now, **values)
    files.drop_chunks(connection, file_of(report))


def file_of(report: Report) -> str:
    """The id of the file that a report ends as, known before it is there."""
    return f"{file_rules.PREFIX}_{report.id.partition('_')[2]}"


def _lease() -> timedelta:
    return max(lease_length(), LEASE_MIN)


def _event(report: Report, name: str, file: dict[str, object] | None) -> NewEvent:
    return NewEvent(
        account_id=report.account_id,
        livemode=report.livemode,
        type=name,
        object_id=report.id,
        object=rules.public(report, file),
        request_id=None,
    )


def forget(connection: Connection, *, now: datetime, limit: int) -> int:
    """Files whose time is over go, and reports as long after theirs; how many."""
    gone = files.forget(connection, now=now, limit=limit)
    return gone + store.forget(connection, before=now - 4 * file_rules.KEPT_FOR, limit=limit)
