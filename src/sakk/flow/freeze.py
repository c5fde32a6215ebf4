"""Freeze and lift, and the stage that brings the signer's freezes and the database's together.

The database's row stops the stages, the signer's entry stops the keys. Each half can be reached
when the other cannot; the stage carries a freeze over to the half that missed it. It never lifts
by itself: what two people lifted ends in the signer too where both signed and its policy file lets
them, and else at its own files.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Final

import structlog
from prometheus_client import Gauge
from sqlalchemy import Connection

from sakk.core import event
from sakk.core.errors import (
    ApprovalStale,
    ParameterInvalid,
    PermissionDenied,
    ResourceMissing,
    SamePerson,
    UnexpectedState,
)
from sakk.core.event import NewEvent
from sakk.core.freeze import (
    Freeze,
    FreezeOrigin,
    Lift,
    LiftStatus,
    check_reason,
    lift_digest,
    message_of,
    public,
    public_lift,
)
from sakk.core.person import Actor, Person
from sakk.core.proposal import SecondPerson
from sakk.core.role import Role
from sakk.flow.context import Parts
from sakk.flow.stage import Stage, wake
from sakk.flow.step_up import StepUp, check, person_with
from sakk.flow.word import Word, weighing
from sakk.signing.client import SignerClient
from sakk.signing.protocol import (
    Approval,
    FreezeRequest,
    FreezeState,
    SignerRefused,
    SignerUnavailable,
    UnfreezeRequest,
)
from sakk.store import event as events
from sakk.store import freeze as store
from sakk.store.account import find_account
from sakk.store.failpoint import failpoint
from sakk.store.network import find_asset, find_network, list_networks

STAGE = "freeze.agree"
LIFT_PROPOSERS: Final = frozenset({Role.admin, Role.finance, Role.approver})
LIFT_CONFIRMERS: Final = frozenset({Role.admin, Role.approver})
# What goes on when a freeze is lifted.
OUTGOING = (
    "payout.build",
    "bank.order",
    "bank.send",
    "sweep.build",
    "collect.build",
    "clone.build",
    "clone.recover",
    "rotation.build",
    "transaction.sign",
    "transaction.broadcast",
)

log = structlog.get_logger(__name__)

in_force = Gauge(
    "sakk_freezes",
    "Freezes in force, in the database and in the signer.",
    ["half"],
    multiprocess_mode="mostrecent",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FreezeOrder:
    """What is to be stopped, and why; a scope that names nothing is everything."""

    reason: str
    network: str | None = None
    asset: str | None = None
    account_id: str | None = None
    holds_rebroadcasts: bool = False


def freeze(
    connection: Connection,
    order: FreezeOrder,
    *,
    identifier: str,
    origin: FreezeOrigin,
    now: datetime,
    request_id: str | None = None,
) -> Freeze:
    """Stop what the order names from this transaction's end on; the same id again is the same.

    Raises ParameterInvalid for a network, asset or account that is not here: a freeze that was
    misspelt would stop nothing.
    """
    _check_scope(connection, order)
    row = Freeze(
        id=identifier,
        network=order.network,
        asset=order.asset,
        account_id=order.account_id,
        holds_rebroadcasts=order.holds_rebroadcasts,
        reason=check_reason(order.reason),
        origin=origin.value,
        created=now,
    )
    if not store.insert(connection, row):
        store.complete(connection, row)
        found = store.find(connection, identifier)
        assert found is not None
        return found
    _tell(connection, row, event.FREEZE_CREATED, now=now, request_id=request_id)
    wake(connection, STAGE)
    return row


def lift(
    connection: Connection, identifier: str | None, *, reason: str, now: datetime
) -> list[Freeze]:
    """End one freeze, or all that are in force, in the database; which ended.

    The signer's half ends at its own files alone. Raises ResourceMissing for an id that is not in
    force.
    """
    kept = check_reason(reason)
    found = [
        each
        for each in store.list_in_force(connection, lock=True)
        # `sakk restore check` ends that one, and nothing else.
        if each.origin != FreezeOrigin.restore
    ]
    if identifier is not None:
        found = [each for each in found if each.id == identifier]
        if not found:
            raise ResourceMissing(
                "No freeze in force: {freeze}", param="freeze", freeze=repr(identifier)
            )
    store.lift(connection, [each.id for each in found], reason=kept, now=now)
    lifted = [row for each in found if (row := store.find(connection, each.id)) is not None]
    for each in lifted:
        _tell(connection, each, event.FREEZE_LIFTED, now=now)
    wake(connection, STAGE, *OUTGOING)
    return lifted


def signer_request(row: Freeze) -> FreezeRequest:
    """The same freeze, as the signer is asked for it."""
    return FreezeRequest(reason=row.reason, freeze=row.id, network=row.network, asset=row.asset)


def freeze_stage(parts: Parts) -> Stage:
    """The stage that tells each half of a freeze that only the other has."""

    def run() -> int:
        with parts.database.read() as connection:
            rows = store.list_in_force(connection)
        in_force.labels("database").set(len(rows))
        missing = [row for row in rows if row.reaches_signer and row.signer_at is None]
        client = parts.signer_client()
        try:
            for row in missing:
                _tell_signer(partial(client.freeze, signer_request(row)))
            states = _end_signed(parts, client, client.status().freezes)
        except SignerUnavailable as error:
            # It signs nothing either; it is told when it is back.
            log.info("freeze.awaits_signer", reason=error.message)
            return 0
        in_force.labels("signer").set(len(states))
        if not missing and not states:
            return 0
        with parts.database.begin() as connection:
            now = parts.clock()
            store.note_signer(connection, [row.id for row in missing], now=now)
            return len(missing) + _adopt(connection, states, now=now)

    return Stage(STAGE, run, keeps_time=True)


def _tell_signer(ask: Callable[[], object]) -> None:
    failpoint("freeze.signer.before")
    ask()
    failpoint("freeze.signer.after")


def _end_signed(
    parts: Parts, client: SignerClient, states: tuple[FreezeState, ...]
) -> tuple[FreezeState, ...]:
    """End in the signer what two people lifted and signed; what is in force afterwards."""
    with parts.database.read() as connection:
        ended = store.signed_lifts(connection, [state.freeze for state in states])
    if not ended:
        return states
    for lift_row in ended:
        request = UnfreezeRequest(
            freeze=lift_row.freeze,
            reason=lift_row.reason,
            approvals=tuple(
                Approval(bytes.fromhex(each["public_key"]), bytes.fromhex(each["signature"]))
                for each in lift_row.approvals
            ),
        )
        try:
            _tell_signer(partial(client.unfreeze, request))
        except SignerRefused as error:
            # Its policy file asks for more, or for hands at its own files.
            log.info("freeze.signer_keeps", freeze=lift_row.freeze, reason=error.message)
    return client.status().freezes


def _adopt(connection: Connection, states: tuple[FreezeState, ...], *, now: datetime) -> int:
    """The signer was frozen while the database could not be reached: the stages stop too."""
    known = store.known(connection, [state.freeze for state in states])
    news = [state for state in states if state.freeze and state.freeze not in known]
    for state in news:
        row = Freeze(
            id=state.freeze,
            network=state.network,
            asset=state.asset,
            reason=state.reason,
            origin=FreezeOrigin.signer.value,
            signer_at=now,
            created=now,
        )
        if store.insert(connection, row):
            log.error("freeze.adopted", freeze=row.id, reason=row.reason)
            _tell(connection, row, event.FREEZE_CREATED, now=now)
    return len(news)


def propose_lift(
    parts: Parts,
    identifier: str,
    *,
    reason: str,
    lift_id: str,
    actor: Actor,
    livemode: bool,
    signature: str | None = None,
) -> tuple[Lift, Freeze]:
    """A person wants to end a freeze; nothing ends until another confirms.

    The same person again may add a ``signature`` for the signer. Raises ResourceMissing for a
    freeze that is not in force, and UnexpectedState while another lift of it is proposed.
    """
    kept = check_reason(reason)
    now = parts.clock()
    with parts.database.begin() as connection:
        row = _in_force(connection, identifier)
        by = _person(connection, actor, LIFT_PROPOSERS, livemode=livemode)
        before = store.find_lift(connection, row.id)
        if before is not None and before.status == LiftStatus.proposed:
            if (before.proposed_by, before.reason) != (by.id, kept):
                raise UnexpectedState(
                    "{lift} proposes to lift it already: confirm or reject.", lift=before.id
                )
            lifting = before
        else:
            lifting = Lift(
                id=lift_id,
                freeze=row.id,
                livemode=livemode,
                status=LiftStatus.proposed.value,
                reason=kept,
                digest=lift_digest(row, kept),
                approvals=[],
                proposed_by=by.id,
                created=now,
            )
            store.insert_lift(connection, lifting)
            _tell_lift(connection, lifting, row, event.FREEZE_LIFT_PROPOSED, now=now)
        if signature is not None:
            step_up = StepUp(signature=signature)
            lifting = _signed(parts, connection, lifting, row, by, step_up, now=now)
            store.change_lift(connection, lifting, "approvals")
    return lifting, row


def confirm_lift(
    parts: Parts, identifier: str, word: Word, *, livemode: bool
) -> tuple[Lift, Freeze]:
    """Another person ends a freeze, with a fresh code or a signature; what waited goes on.

    The word's digest is of the lift that was read. Raises SamePerson, ApprovalStale, and
    ResourceMissing when nothing is proposed.
    """
    with weighing(parts, word, livemode=livemode) as (connection, now):
        row = _in_force(connection, identifier)
        lifting = _proposed(connection, row)
        by = _person(connection, word.actor, LIFT_CONFIRMERS, livemode=livemode)
        SecondPerson(by.id, True, word.digest).check(
            proposed_by=lifting.proposed_by,
            shown=lifting.digest,
            stale=ApprovalStale(
                "This is not the lift that you read: look at it again.", param="digest"
            ),
            same=SamePerson("You proposed this lift: another person has to confirm it."),
        )
        lifting = _signed(parts, connection, lifting, row, by, word.step_up, now=now)
        lifting = replace(
            lifting, status=LiftStatus.confirmed.value, decided_by=by.id, decided_at=now
        )
        store.change_lift(connection, lifting, "status", "decided_by", "decided_at", "approvals")
        _tell_lift(connection, lifting, row, event.FREEZE_LIFT_CONFIRMED, now=now)
        lift(connection, row.id, reason=lifting.reason, now=now)
    return lifting, row


def reject_lift(
    parts: Parts, identifier: str, *, actor: Actor, livemode: bool
) -> tuple[Lift, Freeze]:
    """One no ends a lift that was proposed; who proposed it may take it back so."""
    now = parts.clock()
    with parts.database.begin() as connection:
        row = _in_force(connection, identifier)
        lifting = _proposed(connection, row)
        by = _person(connection, actor, LIFT_PROPOSERS, livemode=livemode)
        lifting = replace(
            lifting, status=LiftStatus.rejected.value, decided_by=by.id, decided_at=now
        )
        store.change_lift(connection, lifting, "status", "decided_by", "decided_at")
        _tell_lift(connection, lifting, row, event.FREEZE_LIFT_REJECTED, now=now)
    return lifting, row


def _signed(
    parts: Parts,
    connection: Connection,
    lifting: Lift,
    row: Freeze,
    by: Person,
    step_up: StepUp,
    *,
    now: datetime,
) -> Lift:
    """The person proves to be there; a signature is kept for the signer."""
    message = message_of(row, lifting.reason)
    _, signature = check(parts, connection, by, step_up, message=message, now=now)
    if signature is None or by.public_key is None:
        return lifting
    others = [each for each in lifting.approvals if each["public_key"] != by.public_key]
    given = {"public_key": by.public_key, "signature": signature.hex()}
    return replace(lifting, approvals=[*others, given])


def _in_force(connection: Connection, identifier: str) -> Freeze:
    """A freeze that people may lift, locked; a restore's ends with the restore alone."""
    for each in store.list_in_force(connection, lock=True):
        if each.id == identifier and each.origin != FreezeOrigin.restore:
            return each
    raise ResourceMissing("No freeze in force: {freeze}", param="freeze", freeze=repr(identifier))


def _proposed(connection: Connection, row: Freeze) -> Lift:
    lifting = store.find_lift(connection, row.id)
    if lifting is None or lifting.status != LiftStatus.proposed:
        raise ResourceMissing("Nobody proposed to lift {freeze}.", param="freeze", freeze=row.id)
    return lifting


def _person(
    connection: Connection, actor: Actor, roles: frozenset[Role], *, livemode: bool
) -> Person:
    """A person who may: where real money moves, one whose key is of real money.

    A freeze is of both modes, and test mode's people are easily made.
    """
    if not livemode and any(each.livemode and each.enabled for each in list_networks(connection)):
        raise PermissionDenied("Real money moves here: lift it with a live key of a person.")
    return person_with(connection, actor, roles, livemode=livemode)


def _tell_lift(
    connection: Connection, lifting: Lift, row: Freeze, name: str, *, now: datetime
) -> None:
    told = NewEvent(
        account_id=None,
        livemode=lifting.livemode,
        type=name,
        object_id=lifting.id,
        object=public_lift(lifting, row),
    )
    events.append(connection, [told], now=now)


def _check_scope(connection: Connection, order: FreezeOrder) -> None:
    if order.network is not None and find_network(connection, order.network) is None:
        raise ParameterInvalid(
            "No such network: {network}.", param="network", network=repr(order.network)
        )
    if order.asset is not None and find_asset(connection, order.asset) is None:
        raise ParameterInvalid("No such asset: {asset}.", param="asset", asset=repr(order.asset))
    if order.account_id is not None and find_account(connection, order.account_id) is None:
        raise ParameterInvalid(
            "No such account: {account}.", param="account", account=repr(order.account_id)
        )


def _tell(
    connection: Connection,
    row: Freeze,
    type: str,
    *,
    now: datetime,
    request_id: str | None = None,
) -> None:
    """A freeze is of both modes, so both modes' lists have it."""
    events.append(
        connection,
        [
            NewEvent(
                account_id=None,
                livemode=livemode,
                type=type,
                object_id=row.id,
                object=public(row, livemode=livemode),
                request_id=request_id,
            )
            for livemode in (False, True)
        ],
        now=now,
    )
