"""Peel chains: the way that most of an address's money came, and what was kept at each stop."""

from typing import Final

from sqlalchemy import Connection

from sakk.core.behaviour import Peel
from sakk.core.exposure import ZERO_ADDRESS
from sakk.core.exposure_batch import ROW_BYTES, ends_and_units
from sakk.screening.exposure_history import History
from sakk.store import exposure as store

# So many of an address's newest transfers are read; what was longer ago is another chain.
TRANSFERS_MAX: Final = 200


def chain_of(
    history: History, connection: Connection, address: bytes, *, hops_max: int
) -> tuple[Peel, ...]:
    """From an address backward, to whoever gave most at each step, nearest first.

    It ends at a labelled address, which may serve thousands, at the issuer, and at a circle.
    """
    chain: list[Peel] = []
    seen = {_text(address)}
    arrived, labelled = _arrived(history, connection, address)
    while arrived and len(chain) < hops_max:
        giver, units_on = max(arrived.items(), key=lambda each: (each[1], each[0]))
        if giver in seen or giver in labelled or giver == ZERO_ADDRESS:
            break
        seen.add(giver)
        arrived, labelled = _arrived(history, connection, bytes.fromhex(giver[2:]))
        chain.append(Peel(giver, sum(arrived.values()), units_on))
    return tuple(chain)


def _arrived(
    history: History, connection: Connection, address: bytes
) -> tuple[dict[str, int], set[str]]:
    """Atomic units that came to an address, by who sent them; and who of these has a label."""
    found = history.graph.transfers_of(address, leaving=False, limit=TRANSFERS_MAX)
    content = store.cut_out(
        connection,
        history.asset.network,
        history.asset.asset,
        history.places_of([row for _, row, _ in found]),
        length=ROW_BYTES,
    )
    units: dict[str, int] = {}
    for sender, _, moved in map(ends_and_units, content):
        units[_text(sender)] = units.get(_text(sender), 0) + moved
    return units, {_text(other) for other, _, has_label in found if has_label}


def _text(address: bytes) -> str:
    return "0x" + address.hex()
