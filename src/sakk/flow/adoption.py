"""Adoption: book native coin that reconciliation found and no transaction names.

An operator's command writes the rows; the stage books them. Only the native coin is adopted: a
token's transfers have logs, so a surplus of a token is a fault to be found and not to be booked.
"""

from dataclasses import replace
from typing import Any

import structlog

from sakk.core import adoption as rules
from sakk.core import event
from sakk.core.adoption import Adoption, AdoptionStatus
from sakk.core.errors import Unavailable, UnexpectedState
from sakk.core.event import NewEvent
from sakk.core.network import Network
from sakk.core.transaction import Purpose
from sakk.flow.book import Outcome, PostingSet
from sakk.flow.context import Parts
from sakk.flow.reconcile import (
    Moment,
    is_mined_by,
    read_moment,
    settled_snapshot,
)
from sakk.flow.stage import Stage, wake
from sakk.flow.transaction_outcome import look_up
from sakk.rails.evm.balances import balances
from sakk.rails.evm.rail import EvmRail
from sakk.store import address, network
from sakk.store import adoption as store
from sakk.store import event as events
from sakk.store.failpoint import failpoint
from sakk.store.identity import new_id
from sakk.store.lease import claim, claimable, given_back_on_error, retry_delay, settle

log = structlog.get_logger(__name__)


def adopt(parts: Parts, name: str) -> list[Adoption]:
    """Have a network's surplus of native coin booked, per address at the final block.

    Again at the same block, or after it, it finds nothing more. UnexpectedState when coins are
    missing somewhere, which no adoption may hide; Unavailable when another decides meanwhile.
    """
    with settled_snapshot(parts.database) as connection:
        found = network.find_network(connection, name)
        if found is None:
            raise UnexpectedState(f"There is no network {name!r}. `sakk networks list` shows them.")
        moment = read_moment(connection, found)
        known = store.list_adoptions(connection, name)
        explained = store.explained_units(
            connection, network=name, asset=found.native_asset, block=moment.block.number
        )
    surplus = _surplus(parts.rail_of(found), moment, explained)
    with parts.database.begin() as connection:
        store.lock_network(connection, name)
        if store.list_adoptions(connection, name) != known:
            raise Unavailable("Another adoption of this network was just decided: look again.")
        rows = _rows(parts, found, moment, surplus, address.list_treasury(connection))
        store.insert(connection, rows)
        events.append(
            connection,
            [_adoption_event(row, event.ADOPTION_CREATED) for row in rows],
            now=parts.clock(),
        )
        wake(connection, "adoption.post")
    return rows


_due = claimable(
    store.adoptions, Adoption, store.adoptions.c.status == AdoptionStatus.requested.value
)


def adoption_stage(parts: Parts) -> Stage:
    """The stage that books what an operator adopted, into suspense."""
    table = store.adoptions

    def run() -> int:
        token = new_id("lease")
        with parts.database.begin() as connection:
            rows = claim(connection, _due, token=token, now=parts.clock())
        if not rows:
            return 0
        with given_back_on_error(parts.database, table, [row.id for row in rows], token=token):
            failpoint("adoption.post.before")
            outcomes = parts.books.post(
                [PostingSet(row.id, "adopt", row.attempt, rules.postings(row)) for row in rows]
            )
            failpoint("adoption.post.after")
        for row, outcome in zip(rows, outcomes, strict=True):
            _record(parts, row, outcome, token=token)
        return len(rows)

    return Stage("adoption.post", run, due=(_due,))


def _surplus(rail: EvmRail, moment: Moment, explained: dict[str, int]) -> dict[str, int]:
    native = moment.network.native_asset
    expected = dict(explained)
    for sent in moment.sent:
        if sent.orphaned or sent.status not in ("posted", "failed"):
            chain = look_up(rail, moment.network, sent, moment.attempts[sent.id])
            if not is_mined_by(chain, moment.block.number):
                continue
            moved = sent.token_amount if chain.succeeded and sent.asset == native else 0
            expected[sent.sender] = expected.get(sent.sender, 0) - chain.fee_wei - moved
            if sent.purpose == Purpose.topup:
                expected[sent.destination] = expected.get(sent.destination, 0) + moved
    holdings = balances(rail.rpc, [(each, native) for each in moment.addresses], moment.block.hash)
    held = {holder: units for (holder, _), units in holdings.items()}
    surplus = rules.differences(held, expected)
    missing = {holder: units for holder, units in surplus.items() if units < 0}
    if missing:
        listed = ", ".join(f"{holder} {units}" for holder, units in sorted(missing.items()))
        raise UnexpectedState(
            f"Native coin is missing, so nothing is adopted: {listed}. Find out who took it first."
        )
    return surplus


def _rows(
    parts: Parts,
    found: Network,
    moment: Moment,
    surplus: dict[str, int],
    treasury: list[address.Address],
) -> list[Adoption]:
    hot = {each.address for each in treasury}
    return [
        Adoption(
            id=new_id("ad"),
            livemode=found.livemode,
            network=found.network,
            asset=found.native_asset,
            address=holder,
            place="hot" if holder in hot else "deposit",
            token_amount=units,
            block_number=moment.block.number,
            block_hash=moment.block.hash,
            status=AdoptionStatus.requested.value,
            created=parts.clock(),
        )
        for holder, units in sorted(surplus.items())
    ]


def _record(parts: Parts, row: Adoption, outcome: Outcome, *, token: str) -> None:
    now = parts.clock()
    posted = replace(row, status=AdoptionStatus.posted.value, posted_at=now)
    change: dict[str, Any] = {"id": row.id, "status": posted.status, "posted_at": now}
    if not outcome.booked:
        log.error("adoption.refused", adoption=row.id, refusal=str(outcome.refusal))
        change = {
            "id": row.id,
            "attempt": row.attempt + 1,
            "failures": row.failures + 1,
            "retry_at": now + retry_delay(row.failures),
        }
    with parts.database.begin() as connection:
        if settle(connection, store.adoptions, [change], token=token) and outcome.booked:
            events.append(connection, [_adoption_event(posted, event.ADOPTION_POSTED)], now=now)


def _adoption_event(row: Adoption, name: str) -> NewEvent:
    return NewEvent(
        account_id=None,
        livemode=row.livemode,
        type=name,
        object_id=row.id,
        object=rules.public(row),
    )
