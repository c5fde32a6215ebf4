"""Reconcile: prove that the ledger's custody is what the chains hold, at one final block each.

Balances are read from the node for every address ever issued, never from what was observed, and
coins in the escrow of x402's channels from its contract.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Connection

from sakk.core.adoption import Adoption
from sakk.core.errors import Unavailable
from sakk.core.network import Asset, Network, Quirk
from sakk.core.outflow import Outflow
from sakk.core.payin import PayIn
from sakk.core.reconcile import AssetProof, InFlight, NetworkProof, Proof
from sakk.core.sweep import Sweep
from sakk.core.transaction import Attempt, ChainTransaction, Purpose
from sakk.flow.agreement import disagreements
from sakk.flow.escrow_proof import EscrowMoment, prove_escrow, read_escrow, remember_emptied
from sakk.flow.transaction_outcome import arrived_units, collected_units, dispersed, look_up
from sakk.rails.evm.balances import balances
from sakk.rails.evm.rail import EvmRail
from sakk.rails.evm.status import TransactionState, TransactionStatus
from sakk.store import network
from sakk.store import reconcile as store
from sakk.store.address import list_treasury
from sakk.store.agreement import carried_sweeps
from sakk.store.database import Database
from sakk.store.identity import now as wall_clock
from sakk.store.network import Block
from sakk.store.transaction import list_attempts
from sakk.store.treasury import list_vaults

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
    with settled_snapshot(database) as connection:
        return Proof(
            networks=proofs,
            row_breaks=disagreements(connection),
            journal_sequence=store.position(connection).journal_sequence,
        )


@contextmanager
def settled_snapshot(database: Database) -> Iterator[Connection]:
    """One moment of the database at which the projection has followed the journal to its end.

    A row says that it is booked only after the journal does, so at such a moment no row is ahead of
    the ledger's rows. Raises Unavailable when there is none in time.
    """
    deadline = time.monotonic() + PROJECTION_WAIT_SECONDS
    while True:
        with database.engine.connect() as raw:
            connection = raw.execution_options(isolation_level="REPEATABLE READ")
            with connection.begin():
                found = store.position(connection)
                if found.projected_sequence >= found.journal_sequence:
                    yield connection
                    return
        if time.monotonic() > deadline:
            raise Unavailable(
                "The ledger's projection is behind its journal. Start the role ledger, "
                "then try again."
            )
        time.sleep(PROJECTION_POLL_SECONDS)


def final_block(connection: Connection, found: Network) -> Block:
    """The newest block of a network that is final as it was followed; Unavailable before any."""
    cursor = network.find_cursor(connection, found.network)
    if cursor is not None and cursor.block_number is not None:
        number = max(0, cursor.block_number - found.confirmations)
        block = network.find_block(connection, found.network, number)
        if block is not None:
            return block
    raise Unavailable(
        "{network} has not been followed to a final block yet: start the watcher first.",
        network=found.network,
    )


@dataclass(frozen=True, slots=True)
class Moment:
    """What the database says of one network at one moment, to be held against a final block."""

    network: Network
    block: Block
    assets: Sequence[str]
    taking_fees: frozenset[str]
    addresses: Sequence[str]
    ledger: Mapping[str, int]
    payins: Sequence[PayIn]
    outflows: Sequence[Outflow]
    adoptions: Sequence[Adoption]
    sent: Sequence[ChainTransaction]
    collected: Mapping[str, Sequence[Sweep]]
    treasuries: frozenset[str]
    attempts: Mapping[str, Sequence[Attempt]]
    vaults: frozenset[str]
    booked: Mapping[tuple[str, str], int]
    escrow: EscrowMoment


def read_moment(connection: Connection, found: Network) -> Moment:
    """Read a network's moment; the connection is that of ``settled_snapshot``."""
    block = final_block(connection, found)
    listed: list[Asset] = network.list_assets(connection, network=found.network)
    assets = sorted({found.native_asset, *(asset.asset for asset in listed)})
    payins = store.unsettled_payins(connection, found.network, block=block.number)
    outflows = store.unsettled_outflows(connection, found.network, block=block.number)
    adoptions = store.unsettled_adoptions(connection, found.network, block=block.number)
    sent = store.unsettled_transactions(connection, found.network, block=block.number)
    rows = [each.id for each in payins] + [each.id for each in outflows]
    rows += [each.id for each in adoptions] + [each.id for each in sent]
    return Moment(
        network=found,
        block=block,
        assets=assets,
        taking_fees=frozenset(
            asset.asset for asset in listed if Quirk.fee_on_transfer in asset.quirks
        ),
        addresses=store.all_addresses(connection, found.family),
        ledger={asset: store.custody_units(connection, asset) for asset in assets},
        payins=payins,
        outflows=outflows,
        adoptions=adoptions,
        sent=sent,
        collected=carried_sweeps(
            connection, [each.id for each in sent if each.purpose == Purpose.collect]
        ),
        treasuries=frozenset(each.address for each in list_treasury(connection)),
        attempts=list_attempts(connection, [each.id for each in sent]),
        vaults=frozenset(each.address for each in list_vaults(connection)),
        booked=store.booked_units(connection, rows, assets),
        escrow=read_escrow(connection, found.network, sent),
    )


def is_mined_by(chain: TransactionStatus, block: int) -> bool:
    """Does the chain up to a block hold the transaction?"""
    return chain.state is TransactionState.mined and (chain.block_number or 0) <= block


def _prove(
    database: Database, rail: EvmRail, found: Network, progress: Progress | None
) -> NetworkProof:
    with settled_snapshot(database) as connection:
        moment = read_moment(connection, found)
    states = {sent.id: look_up(rail, found, sent, moment.attempts[sent.id]) for sent in moment.sent}
    in_flight = _in_flight(rail, moment, states)
    chain = _chain_totals(rail, moment, progress)
    done = {
        sent
        for sent, state in states.items()
        if state.succeeded and is_mined_by(state, moment.block.number)
    }
    escrows, channel_states = prove_escrow(rail.rpc, moment.escrow, moment.block, done)
    with database.begin() as connection:
        remember_emptied(connection, moment.escrow, channel_states, moment.block, now=wall_clock())
    return NetworkProof(
        network=found.network,
        block_number=moment.block.number,
        block_hash=moment.block.hash,
        addresses=len(moment.addresses),
        assets=[
            AssetProof(
                asset=asset,
                chain_units=chain[asset],
                ledger_units=moment.ledger[asset],
                in_flight=[each for each in in_flight if each.asset == asset],
            )
            for asset in moment.assets
        ],
        escrows=escrows,
    )


def _chain_totals(rail: EvmRail, moment: Moment, progress: Progress | None) -> dict[str, int]:
    totals: dict[str, int] = {}
    for position, asset in enumerate(moment.assets):
        if progress is not None:
            progress(asset, position, len(moment.assets))
        holdings = [(address, asset) for address in moment.addresses]
        totals[asset] = sum(balances(rail.rpc, holdings, moment.block.hash).values())
    return totals


def _in_flight(
    rail: EvmRail, moment: Moment, states: Mapping[str, TransactionStatus]
) -> list[InFlight]:
    """Rows that one side shows and the other does not, each with its difference."""
    on_chain = {**_observed(moment), **_effects(rail, moment, states)}
    result = []
    for row, asset in sorted({*on_chain, *moment.booked}):
        units, why = on_chain.get((row, asset), (0, "booked above the block"))
        difference = units - moment.booked.get((row, asset), 0)
        if difference:
            result.append(InFlight(row=row, asset=asset, units=difference, why=why))
    return result


def _observed(moment: Moment) -> dict[tuple[str, str], tuple[int, str]]:
    """What others did to our holdings by the block, as it was seen, and where each row stands."""
    block = moment.block.number
    found: dict[tuple[str, str], tuple[int, str]] = {}
    for payin in moment.payins:
        gone = payin.orphaned or payin.block_number > block
        why = "payin orphaned" if payin.orphaned else f"payin {payin.status}"
        if payin.asset in moment.assets:
            found[payin.id, payin.asset] = (0 if gone else _came(moment, payin), why)
    for outflow in moment.outflows:
        gone = outflow.orphaned or outflow.block_number > block
        why = "outflow orphaned" if outflow.orphaned else f"outflow {outflow.status}"
        gone = gone or outflow.place == "cold"
        found[outflow.id, outflow.asset] = (0 if gone else -outflow.token_amount, why)
    for adoption in moment.adoptions:
        units = 0 if adoption.block_number > block else adoption.token_amount
        found[adoption.id, adoption.asset] = (units, f"adoption {adoption.status}")
    return found


def _came(moment: Moment, payin: PayIn) -> int:
    """What a transfer brought to addresses whose keys are here, less what it took from them."""
    to_vault, from_vault = payin.address in moment.vaults, payin.sender in moment.vaults
    within = (to_vault or payin.address in moment.treasuries) and (
        from_vault or payin.sender in moment.treasuries
    )
    came = 0 if to_vault else payin.token_amount
    return came - (payin.token_amount if within and not from_vault else 0)


def _effects(
    rail: EvmRail, moment: Moment, states: Mapping[str, TransactionStatus]
) -> dict[tuple[str, str], tuple[int, str]]:
    """What our own transactions did to our holdings by the block, by the chain itself."""
    native = moment.network.native_asset
    found: dict[tuple[str, str], tuple[int, str]] = {}
    for sent in moment.sent:
        why = f"{sent.purpose} {'orphaned' if sent.orphaned else sent.status}"
        carried = moment.collected.get(sent.id, ())
        effects = {native: 0, sent.asset: 0, **dict.fromkeys((row.asset for row in carried), 0)}
        chain = states[sent.id]
        if is_mined_by(chain, moment.block.number):
            effects[native] -= chain.fee_wei
            if chain.succeeded:
                effects[sent.asset] -= _left(rail, moment, sent, chain)
                for asset, units in _kept(rail, moment, sent, chain):
                    effects[asset] -= units
        found.update({(sent.id, asset): (units, why) for asset, units in effects.items()})
    return found


def _left(rail: EvmRail, moment: Moment, sent: ChainTransaction, chain: TransactionStatus) -> int:
    """Atomic units that a successful transaction took out of our hands altogether."""
    match Purpose(sent.purpose):
        case (
            Purpose.payout
            | Purpose.refund
            | Purpose.withdrawal
            | Purpose.recovery
            | Purpose.forgotten
        ):
            return sent.token_amount
        case Purpose.sweep | Purpose.rotation:
            # What the token kept for itself on the way is gone; the rest only moved.
            takes_fee = sent.asset in moment.taking_fees
            arrived = arrived_units(rail, sent, chain, takes_fee=takes_fee)
            return sent.token_amount - min(arrived, sent.token_amount)
        case Purpose.disperse:
            takes_fee = sent.asset in moment.taking_fees
            return int(dispersed(sent, chain, takes_fee=takes_fee)["arrived_units"])
        case Purpose.redemption:
            # It brings coins: fewer than none leave.
            return -arrived_units(rail, sent, chain, takes_fee=sent.asset in moment.taking_fees)
        case (
            Purpose.topup
            | Purpose.collect
            | Purpose.cancel
            | Purpose.allowance
            | Purpose.deploy
            | Purpose.escrow
        ):
            return 0
        case Purpose.capture:
            # Payers' own coins; what comes to us is seen as pay-ins.
            return 0


def _kept(
    rail: EvmRail, moment: Moment, sent: ChainTransaction, chain: TransactionStatus
) -> Iterator[tuple[str, int]]:
    """What tokens kept for themselves on the way of a collection, per sweep that brought any."""
    carried = moment.collected.get(sent.id, ())
    if not carried:
        return
    arrived = collected_units(
        rail,
        sent,
        carried,
        chain,
        treasuries=moment.treasuries,
        taking_fees=moment.taking_fees,
    )
    for row in carried:
        if arrived[row.id]:
            yield row.asset, row.token_amount - min(arrived[row.id], row.token_amount)
