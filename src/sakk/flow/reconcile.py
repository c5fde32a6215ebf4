"""Reconcile: prove that the ledger's custody is what the chains hold, at one final block each.

Balances are read from the node for every address ever issued, never from what was observed.
"""

import time
from collections.abc import Callable, Sequence

from sqlalchemy import Connection

from sakk.core.errors import Unavailable
from sakk.core.network import Asset, Network
from sakk.core.outflow import Outflow
from sakk.core.payin import PayIn, PayInRole
from sakk.core.reconcile import AssetProof, InFlight, NetworkProof, Proof
from sakk.core.transaction import ChainTransaction, Purpose
from sakk.flow.transaction import arrived_units
from sakk.rails.evm.balances import balances
from sakk.rails.evm.rail import EvmRail, TransactionReference
from sakk.rails.evm.status import TransactionState
from sakk.store import network
from sakk.store import reconcile as store
from sakk.store.database import Database

PROJECTION_WAIT_SECONDS = 30.0
PROJECTION_POLL_SECONDS = 0.05

Progress = Callable[[str, int, int], None]


def reconcile(
    database: Database,
    rail_of: Callable[[Network], EvmRail],
    *,
    networks: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> Proof:
    """Compare every enabled network, or those named. Raises Unavailable if a side can't be read."""
    with database.begin() as connection:
        wanted = [
            each
            for each in network.list_networks(connection)
            if each.enabled and (networks is None or each.network in networks)
        ]
    proofs = [_prove(database, rail_of(each), each, progress) for each in wanted]
    with database.begin() as connection:
        return Proof(
            networks=proofs,
            row_breaks=_row_breaks(connection),
            journal_sequence=store.position(connection).journal_sequence,
        )


def _row_breaks(connection: Connection) -> list[str]:
    return store.disagreeing_rows(connection)


def _prove(
    database: Database, rail: EvmRail, found: Network, progress: Progress | None
) -> NetworkProof:
    with database.begin() as connection:
        cursor = network.find_cursor(connection, found.network)
        block = (
            None
            if cursor is None or cursor.block_number is None
            else network.find_block(
                connection, found.network, max(0, cursor.block_number - found.confirmations)
            )
        )
    if block is None:
        raise Unavailable(
            f"{found.network} has not been followed to a final block yet: start the watcher first."
        )
    await_projection(database)
    with database.engine.connect() as raw:
        connection = raw.execution_options(isolation_level="REPEATABLE READ")
        with connection.begin():
            assets = _held_assets(connection, found)
            ledger = {asset: store.custody_units(connection, asset) for asset in assets}
            in_flight = _in_flight(connection, rail, found, assets, block=block.number)
            addresses = store.all_addresses(connection, found.family)
    chain = _chain_totals(rail, addresses, assets, block.hash, progress)
    return NetworkProof(
        network=found.network,
        block_number=block.number,
        block_hash=block.hash,
        addresses=len(addresses),
        assets=[
            AssetProof(
                asset=asset,
                chain_units=chain[asset],
                ledger_units=ledger[asset],
                in_flight=[each for each in in_flight if each.asset == asset],
            )
            for asset in assets
        ],
    )


def await_projection(database: Database) -> None:
    """Wait until the projection has followed the journal to where it ended at the call."""
    deadline = time.monotonic() + PROJECTION_WAIT_SECONDS
    with database.begin() as connection:
        target = store.position(connection).journal_sequence
    while True:
        with database.begin() as connection:
            if store.position(connection).projected_sequence >= target:
                return
        if time.monotonic() > deadline:
            raise Unavailable(
                "The ledger's projection is behind its journal. Start the role ledger, "
                "then try again."
            )
        time.sleep(PROJECTION_POLL_SECONDS)


def _held_assets(connection: Connection, found: Network) -> list[str]:
    listed: list[Asset] = network.list_assets(connection, network=found.network)
    names = [asset.asset for asset in listed]
    return names if found.native_asset in names else [found.native_asset, *names]


def _chain_totals(
    rail: EvmRail,
    addresses: Sequence[str],
    assets: Sequence[str],
    block_hash: str,
    progress: Progress | None,
) -> dict[str, int]:
    totals: dict[str, int] = {}
    for position, asset in enumerate(assets):
        if progress is not None:
            progress(asset, position, len(assets))
        held = balances(rail.rpc, [(address, asset) for address in addresses], block_hash)
        totals[asset] = sum(held.values())
    return totals


def _in_flight(
    connection: Connection, rail: EvmRail, found: Network, assets: Sequence[str], *, block: int
) -> list[InFlight]:
    """Rows that one side shows and the other does not, each with its difference."""
    payins = store.unsettled_payins(connection, found.network, block=block)
    outflows = store.unsettled_outflows(connection, found.network, block=block)
    sent = store.unsettled_transactions(connection, found.network, block=block)
    rows = [*(each.id for each in payins), *(each.id for each in outflows)]
    booked = store.booked_units(connection, [*rows, *(each.id for each in sent)], assets)
    on_chain: dict[tuple[str, str], tuple[int, str]] = {}
    for payin in payins:
        if payin.asset in assets and payin.role != PayInRole.excessive:
            units = 0 if payin.orphaned or payin.block_number > block else payin.token_amount
            on_chain[payin.id, payin.asset] = (units, _why(payin))
    for outflow in outflows:
        units = 0 if outflow.orphaned or outflow.block_number > block else -outflow.token_amount
        on_chain[outflow.id, outflow.asset] = (units, f"outflow {outflow.status}")
    for each in sent:
        for asset, units in _effects(rail, found, each, block=block).items():
            on_chain[each.id, asset] = (units, f"{each.purpose} {each.status}")
    keys = sorted({*on_chain, *booked})
    result = []
    for row, asset in keys:
        units, why = on_chain.get((row, asset), (0, "booked above the block"))
        difference = units - booked.get((row, asset), 0)
        if difference:
            result.append(InFlight(row=row, asset=asset, units=difference, why=why))
    return result


def _why(payin: PayIn | Outflow) -> str:
    return "payin orphaned" if payin.orphaned else f"payin {payin.status}"


def _effects(
    rail: EvmRail, found: Network, sent: ChainTransaction, *, block: int
) -> dict[str, int]:
    """What a transaction of ours did to our holdings by the block, asked of the chain itself."""
    assert sent.hash is not None
    chain = rail.status(
        TransactionReference(
            tx_hash=sent.hash,
            sender=sent.sender,
            nonce=sent.nonce,
            since_block=sent.since_block,
            confirmations=found.confirmations,
        )
    )
    effects = {found.native_asset: 0}
    if sent.purpose != Purpose.topup:
        effects[sent.asset] = 0
    if chain.state is not TransactionState.mined or (chain.block_number or 0) > block:
        return effects
    effects[found.native_asset] -= chain.fee_wei
    if chain.succeeded:
        match Purpose(sent.purpose):
            case Purpose.payout | Purpose.refund:
                effects[sent.asset] -= sent.token_amount
            case Purpose.sweep:
                # What the token kept for itself on the way is gone; the rest only moved.
                effects[sent.asset] -= sent.token_amount - arrived_units(sent, chain.logs)
            case Purpose.topup:
                pass
    return effects
