"""Outgoing defence: tell what was done in our addresses' name and not by us, and stop at once.

The watcher calls it in the transaction that records the block, so that the freeze stands from the
moment at which the block is known, and nothing is signed after it. Ours is what our own rows say
was signed, whichever attempt of it was mined: bytes and hash are committed before anything is sent.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

import structlog
from prometheus_client import Counter
from sqlalchemy import Connection

from sakk.core import breach as rules
from sakk.core import event
from sakk.core.breach import PREFIX, Breach, BreachKind, Guard, Place
from sakk.core.case import CaseKind, Opening, Priority
from sakk.core.event import NewEvent
from sakk.core.freeze import PREFIX as FREEZE_PREFIX
from sakk.core.freeze import FreezeOrigin
from sakk.core.network import Network
from sakk.core.outflow import Outflow
from sakk.flow.case import open_cases
from sakk.flow.freeze import FreezeOrder, freeze
from sakk.rails.rail import ActSeen
from sakk.store import address, authorization, hub, network, transaction
from sakk.store import breach as store
from sakk.store import event as events
from sakk.store import freeze as freezes
from sakk.store.identity import new_id

log = structlog.get_logger(__name__)

breaches_total = Counter(
    "sakk_breaches_total",
    "Acts in the name of our addresses that are not ours.",
    ["network", "kind", "place"],
)


def foreign_acts(
    connection: Connection, found: Network, acts: Sequence[ActSeen], *, now: datetime
) -> list[Breach]:
    """Those of a block's acts that are not ours, as rows to be told by `tell`."""
    if not acts:
        return []
    own = transaction.known_purposes(
        connection, found.network, sorted({each.tx_hash for each in acts})
    )
    # What our own transaction carries is ours, but for another's signature by a key of ours.
    foreign = [each for each in acts if each.tx_hash not in own or each.kind == "delegation"]
    if not foreign:
        return []
    ours = address.find_addresses(connection, sorted({each.address for each in foreign}))
    listed = {each.asset for each in network.list_assets(connection, network=found.network)}
    delegates = hub.delegates(connection)
    rows = []
    for each in foreign:
        known = ours.get(each.address)
        # A vault's key is a person's, who needs not ask us.
        if known is None or known.purpose == address.VAULT:
            continue
        if each.asset is not None and each.asset not in listed:
            continue
        if each.kind == "delegation" and (
            each.other in delegates or authorization.is_known(connection, each.other)
        ):
            continue
        place = Place.treasury if known.purpose == address.TREASURY else Place.deposit
        rows.append(_of_act(found, each, place, now=now))
    return rows


def of_outflows(rows: Sequence[Outflow], *, now: datetime) -> list[Breach]:
    """Coins that left the treasury or a deposit address, as rows to be told by `tell`."""
    places = {"hot": Place.treasury, "deposit": Place.deposit}
    return [
        Breach(
            id=new_id(PREFIX),
            livemode=row.livemode,
            network=row.network,
            kind=BreachKind.transfer.value,
            place=places[row.place].value,
            address=row.address,
            other=row.receiver,
            asset=row.asset,
            units=row.token_amount,
            tx_hash=row.tx_hash,
            position=row.log_index,
            block_number=row.block_number,
            block_hash=row.block_hash,
            created=now,
        )
        for row in rows
        if row.place in places
    ]


def of_hub(found: Network, hub_address: str, treasury: str, *, now: datetime) -> Breach:
    """A hub pays, or is to pay, to an address that is not ours."""
    return _of_contract(found, BreachKind.treasury, hub_address, treasury, now=now)


def of_factory(found: Network, factory: str, recoverer: str, *, now: datetime) -> Breach:
    """A factory lets, or is to let, an address that is not ours send what its clones hold."""
    return _of_contract(found, BreachKind.recoverer, factory, recoverer, now=now)


def _of_contract(
    found: Network, kind: BreachKind, contract: str, other: str, *, now: datetime
) -> Breach:
    return Breach(
        id=new_id(PREFIX),
        livemode=found.livemode,
        network=found.network,
        kind=kind.value,
        place=Place.contract.value,
        address=contract,
        other=other,
        created=now,
    )


def tell(
    connection: Connection, rows: Sequence[Breach], *, guard: Guard, now: datetime
) -> list[Breach]:
    """Record what is new of these, stop what goes out if ``guard`` says so, and open a case each.

    Told again, they change nothing. One transaction of the chain is one case.
    """
    fresh = store.insert_new(connection, rows)
    if not fresh:
        return []
    halt = _halt(connection, fresh, guard=guard, now=now)
    first: dict[tuple[str, str], Breach] = {}
    for row in fresh:
        first.setdefault((row.network, row.tx_hash or row.id), row)
    openings = [_opening(row) for row in first.values()]
    cases = open_cases(connection, openings, now=now)
    told = [
        replace(row, freeze=halt, case=cases[first[row.network, row.tx_hash or row.id].id])
        for row in fresh
    ]
    store.set_consequences(connection, told)
    events.append(
        connection,
        [
            NewEvent(None, row.livemode, event.BREACH_SEEN, row.id, rules.public(row))
            for row in told
        ],
        now=now,
    )
    for row in told:
        breaches_total.labels(row.network, row.kind, row.place).inc()
        log.error("breach.seen", breach=row.id, reason=rules.reason(row), tx_hash=row.tx_hash)
    return told


def _halt(
    connection: Connection, rows: Sequence[Breach], *, guard: Guard, now: datetime
) -> str | None:
    """The freeze of everything that stands after these; None where nothing is to be frozen."""
    grave = [row for row in rows if guard.freezes(Place(row.place))]
    if not grave:
        return None
    for each in freezes.list_in_force(connection):
        if each.origin == FreezeOrigin.defence:
            return each.id
    order = FreezeOrder(reason=rules.reason(grave[0]))
    halt = freeze(
        connection, order, identifier=new_id(FREEZE_PREFIX), origin=FreezeOrigin.defence, now=now
    )
    return halt.id


def _of_act(found: Network, act: ActSeen, place: Place, *, now: datetime) -> Breach:
    return Breach(
        id=new_id(PREFIX),
        livemode=found.livemode,
        network=found.network,
        kind=BreachKind(act.kind).value,
        place=place.value,
        address=act.address,
        other=act.other,
        asset=act.asset,
        units=act.units,
        tx_hash=act.tx_hash,
        position=act.place,
        block_number=act.block_number,
        block_hash=act.block_hash,
        created=now,
    )


def _opening(row: Breach) -> Opening:
    return Opening(
        subject=row.id,
        kind=CaseKind.outflow,
        account_id=None,
        livemode=row.livemode,
        screening_id=None,
        reason=rules.reason(row),
        priority=Priority.high if row.place == Place.deposit else Priority.urgent,
    )
