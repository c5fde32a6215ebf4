"""Reconciliations: the proof is run, kept, and what it finds becomes breaks that people own.

A run reads chains and banks with no transaction open, and is recorded in one: the row, the breaks
that are new, those that are another size, and those that are gone.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

import structlog
from sqlalchemy import Connection

from sakk.core import event
from sakk.core import ledger_break as break_rules
from sakk.core import reconciliation as rules
from sakk.core.bank_proof import SCOPE as BANKS
from sakk.core.bank_proof import BankMoment, findings_of_banks, others_suspense
from sakk.core.errors import ParameterInvalid, SakkError
from sakk.core.event import NewEvent
from sakk.core.ledger_break import Act, BreakAct, LedgerBreak
from sakk.core.reconcile import Proof
from sakk.core.reconciliation import Finding, Reconciliation, ReconciliationStatus, Suspended
from sakk.flow.context import Parts
from sakk.flow.reconcile import Progress, reconcile, settled_snapshot
from sakk.flow.stage import Stage
from sakk.store import bank_proof as bank_proofs
from sakk.store import event as events
from sakk.store import ledger_break as breaks
from sakk.store import network
from sakk.store import reconciliation as store
from sakk.store.identity import new_id

# How soon the stage looks whether a run is due.
LOOK_SECONDS: Final = 30.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Run:
    """A run that was kept, with the proof that it is of, or the error of what could not be read."""

    row: Reconciliation
    proof: Proof | None = None
    error: SakkError | None = None


def run(
    parts: Parts,
    *,
    livemode: bool,
    identifier: str | None = None,
    networks: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> Run:
    """Reconcile a mode, or some of its networks, and keep it; the same identifier is one run.

    A side that can not be read makes a run that failed: it finds nothing, and closes nothing.
    """
    name = identifier or new_id(rules.PREFIX)
    started = parts.clock()
    with parts.database.begin() as connection:
        found = store.find(connection, name, livemode=livemode)
        enabled = network.list_networks(connection)
    if found is not None:
        return Run(found)
    rows = livemode is any(each.livemode for each in enabled if each.enabled)
    wrong = set(networks or ()) - {each.network for each in enabled if each.enabled}
    if wrong:
        raise ParameterInvalid(
            "There is no enabled network {network}. GET /v1/networks lists them.",
            param="networks",
            network=repr(min(wrong)),
        )
    names = [
        each.network
        for each in enabled
        if each.enabled
        and each.livemode is livemode
        and (networks is None or each.network in networks)
    ]
    try:
        proof = reconcile(parts.database, parts.rail_of, networks=names, progress=progress)
        with settled_snapshot(parts.database) as connection:
            modes = store.unit_modes(connection)
            suspense = [
                each for each in store.suspended(connection) if modes.get(each.unit) is livemode
            ]
            banks = bank_proofs.read_moment(connection, livemode=livemode)
    except SakkError as error:
        log.warning("reconciliation.failed", why=str(error))
        failed = _failed(parts, name, str(error), livemode=livemode, started=started)
        return Run(failed, error=error)
    with parts.database.begin() as connection:
        now = parts.clock()
        others = others_suspense(suspense, banks.differences)
        findings = rules.findings_of(proof, others, rows=rows, now=now)
        findings += findings_of_banks(banks, now=now)
        scopes = [*(rules.chain_scope(each) for each in names), rules.SUSPENSE, BANKS]
        scopes += [rules.ROWS] if rows else []
        row = _row(
            name,
            findings,
            _document(proof, banks, suspense),
            scopes=scopes,
            livemode=livemode,
            started=started,
            now=now,
            sequence=proof.journal_sequence,
        )
        record(connection, row, findings)
    return Run(row, proof)


def _document(proof: Proof, banks: BankMoment, suspense: Sequence[Suspended]) -> dict[str, Any]:
    return {
        **proof.to_document(),
        "banks": [each.to_document() for each in banks.balances],
        "differences": [each.to_document() for each in banks.differences],
        "suspense": [{"account": each.account, "units": str(each.units)} for each in suspense],
    }


def _row(
    identifier: str,
    findings: Sequence[Finding],
    document: dict[str, Any],
    *,
    scopes: Sequence[str],
    livemode: bool,
    started: datetime,
    now: datetime,
    sequence: int,
) -> Reconciliation:
    status = ReconciliationStatus.broken if findings else ReconciliationStatus.balanced
    return Reconciliation(
        id=identifier,
        livemode=livemode,
        status=status.value,
        scopes=list(scopes),
        breaks=len(findings),
        journal_sequence=sequence,
        document=document,
        sha256=rules.sha256_of(document),
        why=None,
        started=started,
        created=now,
    )


def _failed(
    parts: Parts, identifier: str, why: str, *, livemode: bool, started: datetime
) -> Reconciliation:
    document: dict[str, Any] = {}
    row = Reconciliation(
        id=identifier,
        livemode=livemode,
        status=ReconciliationStatus.failed.value,
        scopes=[],
        breaks=0,
        journal_sequence=0,
        document=document,
        sha256=rules.sha256_of(document),
        why=why,
        started=started,
        created=parts.clock(),
    )
    with parts.database.begin() as connection:
        store.insert(connection, row)
    return row


def record(connection: Connection, row: Reconciliation, findings: Sequence[Finding]) -> None:
    """Keep a run, and bring the breaks of the scopes that it looked at in line with it."""
    store.lock_records(connection)
    store.insert(connection, row)
    standing = {
        each.key: each
        for each in breaks.lock_standing(
            connection,
            livemode=row.livemode,
            scopes=row.scopes,
            keys=[each.key for each in findings],
        )
    }
    now = row.created
    fresh: list[LedgerBreak] = []
    acts: list[BreakAct] = []
    for finding in findings:
        before = standing.pop(finding.key, None)
        if before is None:
            made = break_rules.opened(
                finding,
                identifier=new_id(break_rules.PREFIX),
                livemode=row.livemode,
                run=row.id,
                now=now,
            )
            fresh.append(made)
            acts.append(act_of(made, Act.opened, detail={"run": row.id}, now=now))
            continue
        changed, act = break_rules.found_again(before, finding, run=row.id, started=row.started)
        if act is not None:
            changed = replace(changed, acts=changed.acts + 1)
            detail = {"run": row.id, "units": str(changed.units), "was": str(before.units)}
            acts.append(act_of(changed, act, detail=detail, now=now))
        if changed != before:
            breaks.write(connection, changed)
    for missing in standing.values():
        ended = break_rules.gone(missing, run=row.id, now=now)
        if ended is not None and row.started >= missing.created:
            ended = replace(ended, acts=ended.acts + 1)
            breaks.write(connection, ended)
            acts.append(act_of(ended, Act.resolved, detail={"run": row.id}, now=now))
    breaks.insert(connection, fresh)
    breaks.insert_acts(connection, acts)
    if fresh:
        events.append(connection, [_broken(row)], now=now)


def _broken(row: Reconciliation) -> NewEvent:
    return NewEvent(
        account_id=None,
        livemode=row.livemode,
        type=event.RECONCILIATION_BROKEN,
        object_id=row.id,
        object=rules.public(row),
    )


def act_of(
    row: LedgerBreak,
    act: Act,
    *,
    detail: dict[str, Any],
    now: datetime,
    actor: str = break_rules.SYSTEM,
    key: str | None = None,
    identifier: str | None = None,
) -> BreakAct:
    """The act that led to a break as it is; its number is the break's count."""
    return BreakAct(
        id=identifier or new_id(break_rules.ACT_PREFIX),
        break_id=row.id,
        number=row.acts,
        livemode=row.livemode,
        act=act.value,
        actor=actor,
        key=key,
        detail=detail,
        created=now,
    )


def reconcile_stage(parts: Parts, *, every: timedelta) -> Stage:
    """The stage that reconciles each mode that has networks, so often; no ``every``: never.

    The first run of all is due so long after the stage began.
    """
    began = parts.clock()

    def run_due() -> int:
        if not every:
            return 0
        done = 0
        with parts.database.begin() as connection:
            known = network.list_networks(connection)
        for livemode in sorted({each.livemode for each in known if each.enabled}):
            with parts.database.begin() as connection:
                last = store.find_last(connection, livemode=livemode)
            since = began if last is None else last.created
            if parts.clock() - since >= every:
                run(parts, livemode=livemode)
                done += 1
        return done

    return Stage("reconciliation.run", run_due, idle_seconds=LOOK_SECONDS, gives_way=True)
