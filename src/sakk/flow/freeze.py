"""Freeze and lift, and the stage that brings the signer's freezes and the database's together.

The database's row stops the stages, the signer's entry stops the keys. Each half can be reached
when the other cannot; the stage carries a freeze over to the half that missed it. It never lifts.
"""

from dataclasses import dataclass
from datetime import datetime

import structlog
from prometheus_client import Gauge
from sqlalchemy import Connection

from sakk.core import event
from sakk.core.errors import ParameterInvalid, ResourceMissing
from sakk.core.event import NewEvent
from sakk.core.freeze import Freeze, FreezeOrigin, check_reason, public
from sakk.flow.context import Parts
from sakk.flow.stage import Stage, wake
from sakk.signing.protocol import FreezeRequest, FreezeState, SignerUnavailable
from sakk.store import event as events
from sakk.store import freeze as store
from sakk.store.account import find_account
from sakk.store.failpoint import failpoint
from sakk.store.network import find_asset, find_network

STAGE = "freeze.agree"
# What goes on when a freeze is lifted.
OUTGOING = (
    "payout.build",
    "sweep.build",
    "collect.build",
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
            raise ResourceMissing(f"No freeze in force: {identifier!r}", param="freeze")
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
        with parts.database.begin() as connection:
            rows = store.list_in_force(connection)
        in_force.labels("database").set(len(rows))
        missing = [row for row in rows if row.reaches_signer and row.signer_at is None]
        client = parts.signer_client()
        try:
            for row in missing:
                failpoint("freeze.signer.before")
                client.freeze(signer_request(row))
                failpoint("freeze.signer.after")
            states = client.status().freezes
        except SignerUnavailable as error:
            # It signs nothing either; it is told when it is back.
            log.info("freeze.awaits_signer", reason=error.message)
            return 0
        in_force.labels("signer").set(len(states))
        with parts.database.begin() as connection:
            now = parts.clock()
            store.note_signer(connection, [row.id for row in missing], now=now)
            return len(missing) + _adopt(connection, states, now=now)

    return Stage(STAGE, run)


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


def _check_scope(connection: Connection, order: FreezeOrder) -> None:
    if order.network is not None and find_network(connection, order.network) is None:
        raise ParameterInvalid(f"No such network: {order.network!r}.", param="network")
    if order.asset is not None and find_asset(connection, order.asset) is None:
        raise ParameterInvalid(f"No such asset: {order.asset!r}.", param="asset")
    if order.account_id is not None and find_account(connection, order.account_id) is None:
        raise ParameterInvalid(f"No such account: {order.account_id!r}.", param="account")


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
