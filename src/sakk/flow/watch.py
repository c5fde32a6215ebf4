"""Watch: follow every network block by block and record what touches an address of ours.

One transaction writes blocks, transfers and the cursor, so a crash repeats a step and never loses
or doubles one. The address set is read after the head: an address that was issued before its payer
could know it is in the set before any block that may hold the payment.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import structlog
from prometheus_client import Gauge
from sqlalchemy import Connection

from sakk.core import event
from sakk.core.breach import Guard
from sakk.core.errors import SakkError
from sakk.core.event import NewEvent
from sakk.core.network import Network, Quirk
from sakk.core.outflow import Outflow, OutflowStatus
from sakk.core.outflow import public as public_outflow
from sakk.core.payin import PayIn, PayInStatus
from sakk.core.transaction import Purpose
from sakk.flow import breach
from sakk.flow import exposure as exposure_flow
from sakk.flow.context import Parts
from sakk.flow.stage import Stage, wake
from sakk.rails.evm.balances import net_changes
from sakk.rails.evm.rail import EvmRail
from sakk.rails.evm.watch import AddressSet
from sakk.rails.rail import BlockRef, BlockSeen, Reorg, TransferSeen
from sakk.store import address, exposure, network, outflow, payin, transaction, x402_payment
from sakk.store import event as events
from sakk.store.failpoint import failpoint
from sakk.store.identity import new_id
from sakk.store.lease_length import lease_length
from sakk.store.network import Block, Cursor

# How often a head that stays the same is written down as looked at.
IDLE_WRITE = timedelta(seconds=1)
BLOCKS_PER_STEP_MAX = 64
BLOCKS_KEPT = 50_000
PRUNE_EVERY = 1_000

log = structlog.get_logger(__name__)

head_number = Gauge("sakk_network_head_block", "The node's newest block.", ["network"])
cursor_number = Gauge("sakk_network_cursor_block", "The newest block followed.", ["network"])


@dataclass(slots=True)
class Follower:
    """One network being followed; holds the address set and nothing that can not be read again."""

    parts: Parts
    name: str
    addresses: AddressSet
    rail: EvmRail
    guard: Guard = Guard.off
    token: str = field(default_factory=lambda: new_id("lease"))
    horizon: int = 0
    # The head that the cursor stood at when it was last written, and when that was.
    rested_at: str | None = None
    rested: datetime | None = None

    def step(self) -> int:
        """Read on from the cursor; returns how many blocks were taken or taken back."""
        head = self.rail.head()
        head_number.labels(self.name).set(head.number)
        if self._is_resting(head):
            return 0
        cursor = self._lease()
        if cursor is None:
            return 0
        if cursor.block_hash == head.hash:
            self._write_idle(cursor, head)
            return 0
        self._refresh_addresses()
        follow = self.rail.watch(
            _block_ref(cursor),
            until=head.number,
            blocks_max=BLOCKS_PER_STEP_MAX,
            known_hash=self._known_hash,
            start=self._start_block(),
        )
        failpoint("watch.record.before")
        if follow.reorg is not None:
            self._write_reorg(cursor, follow.reorg, head)
            return len(follow.reorg.orphaned)
        if not follow.blocks:
            self._write_idle(cursor, head)
            return 0
        self._write_blocks(cursor, follow.blocks, head)
        failpoint("watch.record.after")
        return len(follow.blocks)

    def _is_resting(self, head: BlockRef) -> bool:
        """Is there nothing to read, and was that written down a moment ago?

        Most polls end here. The lease is many times longer than this moment.
        """
        return (
            self.rested is not None
            and self.rested_at == head.hash
            and self.parts.clock() < self.rested + IDLE_WRITE
        )

    def _lease(self) -> Cursor | None:
        now = self.parts.clock()
        with self.parts.database.begin() as connection:
            return network.lease_cursor(
                connection, self.name, token=self.token, now=now, until=now + lease_length() / 2
            )

    def _start_block(self) -> int | None:
        with self.parts.database.begin() as connection:
            found = network.find_network(connection, self.name)
        return None if found is None else found.start_block

    def _known_hash(self, number: int) -> str | None:
        with self.parts.database.begin() as connection:
            return network.known_hash(connection, self.name, number)

    def _refresh_addresses(self) -> None:
        with self.parts.database.begin() as connection:
            fresh, self.horizon = address.issued_since(connection, horizon=self.horizon)
            self.rail.watcher.tokens = exposure.followed_tokens(connection, self.name)
        self.addresses.extend(fresh)

    def _write_idle(self, cursor: Cursor, head: BlockRef) -> None:
        """Nothing new: say that the head was looked at, for expiries and for the lag alarm."""
        now = self.parts.clock()
        with self.parts.database.begin() as connection:
            network.advance_cursor(
                connection,
                replace(
                    cursor,
                    head_number=head.number,
                    head_timestamp=head.timestamp,
                    checked=now,
                ),
                token=self.token,
            )
        self.rested_at, self.rested = cursor.block_hash, now

    def _write_blocks(self, cursor: Cursor, blocks: tuple[BlockSeen, ...], head: BlockRef) -> None:
        transfers = [transfer for block in blocks for transfer in block.transfers]
        refs = {block.ref.hash: block.ref for block in blocks}
        last = blocks[-1].ref
        with self.parts.database.begin() as connection:
            # The cursor first: whoever lost the lease writes nothing at all.
            if not network.advance_cursor(
                connection, self._at(cursor, last, head), token=self.token
            ):
                raise LeaseLost(self.name)
            hashes = [block.ref.hash for block in blocks]
            network.insert_blocks(connection, [_block(self.name, block.ref) for block in blocks])
            payin.revive(connection, self.name, hashes)
            if outflow.revive(connection, self.name, hashes):
                wake(connection, "outflow.post")
            gone = self._record(connection, transfers, refs)
            exposure_flow.keep(connection, self.name, blocks, now=self.parts.clock())
            self._guard(connection, blocks, gone)
            if last.number // PRUNE_EVERY != (cursor.block_number or 0) // PRUNE_EVERY:
                network.prune_blocks(connection, self.name, below=last.number - BLOCKS_KEPT)
            wake(
                connection,
                "payin.match",
                "payin.finality",
                "payin.compare",
                "transaction.confirm",
            )
        cursor_number.labels(self.name).set(last.number)
        if last.hash == head.hash:
            # What a look would have written down stands in the cursor already.
            self.rested_at, self.rested = head.hash, self.parts.clock()

    def _write_reorg(self, cursor: Cursor, reorg: Reorg, head: BlockRef) -> None:
        now = self.parts.clock()
        back_to = reorg.orphaned[0] - 1
        log.warning("watch.reorg", network=self.name, back_to=back_to, depth=len(reorg.orphaned))
        with self.parts.database.begin() as connection:
            ancestor = reorg.ancestor
            if not network.advance_cursor(
                connection, self._at(cursor, ancestor, head), token=self.token
            ):
                raise LeaseLost(self.name)
            hashes = network.orphan_blocks(connection, self.name, above=back_to)
            payin.mark_orphaned(connection, self.name, hashes)
            outflow.mark_orphaned(connection, self.name, hashes)
            x402_payment.take_back(connection, self.name, hashes)
            transaction.reopen_orphaned(connection, self.name, hashes, now=now)
            exposure_flow.take_back(connection, self.name, above=back_to, now=now)
            if ancestor is not None:
                network.insert_blocks(connection, [_block(self.name, ancestor)])
            found = network.find_network(connection, self.name)
            assert found is not None
            events.append(
                connection,
                [_reorganized(found, back_to=back_to, depth=len(reorg.orphaned))],
                now=now,
            )
            wake(
                connection,
                "payin.orphan",
                "payin.reverse",
                "outflow.reverse",
                "transaction.confirm",
            )

    def _at(self, cursor: Cursor, ref: BlockRef | None, head: BlockRef) -> Cursor:
        return replace(
            cursor,
            block_number=None if ref is None else ref.number,
            block_hash=None if ref is None else ref.hash,
            parent_hash=None if ref is None else ref.parent_hash,
            block_timestamp=None if ref is None else ref.timestamp,
            head_number=head.number,
            head_timestamp=head.timestamp,
            checked=self.parts.clock(),
        )

    def _record(
        self, connection: Connection, transfers: list[TransferSeen], refs: dict[str, BlockRef]
    ) -> list[Outflow]:
        """Write pay-ins and outflows; the outflows that are new."""
        if not transfers:
            return []
        own = transaction.known_purposes(
            connection, self.name, list({each.tx_hash for each in transfers})
        )
        # A payout of ours to a deposit address of ours is a pay-in for whoever that address is;
        # a sweep or a top-up only moves our own coins about.
        internal = {name for name, purpose in own.items() if purpose in _WITHIN}
        arriving = [
            each for each in transfers if each.direction != "out" and each.tx_hash not in internal
        ]
        foreign = [each for each in transfers if each.tx_hash not in own]
        if not arriving and not foreign:
            return []
        found = network.find_network(connection, self.name)
        assert found is not None
        arrived = self._arrived(connection, arriving, transfers, refs)
        now = self.parts.clock()
        payin.insert_seen(
            connection,
            [
                _payin(
                    found,
                    each,
                    units=units,
                    block_timestamp=refs[each.block_hash].timestamp,
                    now=now,
                )
                for each, units in arrived
                if units
            ],
        )
        return self._record_outflows(connection, found, foreign)

    def _record_outflows(
        self, connection: Connection, found: Network, foreign: list[TransferSeen]
    ) -> list[Outflow]:
        leaving = [each for each in foreign if each.direction != "in"]
        if not leaving:
            return []
        ends = [end for each in leaving for end in (each.sender, each.receiver)]
        ours = address.find_addresses(connection, ends)
        listed = {each.asset for each in network.list_assets(connection, network=self.name)}
        now = self.parts.clock()
        rows = [
            _outflow(found, each, purpose=ours[each.sender].purpose, now=now)
            for each in leaving
            if each.sender in ours and each.asset in listed and not _is_moved(each, ours)
        ]
        fresh = outflow.insert_seen(connection, rows)
        events.append(connection, [_outflow_seen(row) for row in rows if row.id in fresh], now=now)
        if fresh:
            log.error("watch.outflow", network=self.name, transactions=[r.tx_hash for r in rows])
            wake(connection, "outflow.post")
        return [row for row in rows if row.id in fresh]

    def _guard(
        self, connection: Connection, blocks: tuple[BlockSeen, ...], gone: list[Outflow]
    ) -> None:
        """Hold what was done in the name of our addresses against what we did."""
        acts = [act for block in blocks for act in block.acts]
        if not acts and not gone:
            return
        found = network.find_network(connection, self.name)
        assert found is not None
        now = self.parts.clock()
        rows = breach.foreign_acts(connection, found, acts, now=now)
        rows += breach.of_outflows(gone, now=now)
        breach.tell(connection, rows, guard=self.guard, now=now)

    def _arrived(
        self,
        connection: Connection,
        incoming: list[TransferSeen],
        transfers: list[TransferSeen],
        refs: dict[str, BlockRef],
    ) -> list[tuple[TransferSeen, int]]:
        """What really arrived: a token that takes a fee may log more than it credits.

        For such a token the difference of balances around the block, with what left in it, is what
        came, given to the block's transfers in order; to those, too, by which we move our own.
        """
        taking = {
            each.asset
            for each in network.list_assets(connection, network=self.name)
            if Quirk.fee_on_transfer in each.quirks
        }
        result = [(each, each.units) for each in incoming if each.asset not in taking]
        members: dict[str, dict[tuple[str, int], TransferSeen]] = {}
        for each in incoming:
            if each.asset in taking:
                members.setdefault(each.block_hash, {})[each.tx_hash, each.log_index] = each
        for block_hash, group in members.items():
            came = net_changes(
                self.rail.rpc,
                [(each.receiver, each.asset) for each in group.values()],
                refs[block_hash],
            )
            beside = [each for each in transfers if each.block_hash == block_hash]
            for each in beside:
                if (each.sender, each.asset) in came:
                    came[each.sender, each.asset] += each.units
            for each in beside:
                holding = (each.receiver, each.asset)
                if holding not in came:
                    continue
                units = min(each.units, max(0, came[holding]))
                came[holding] -= units
                if (each.tx_hash, each.log_index) in group:
                    result.append((each, units))
        return result


# Transactions of ours that only move our own coins about.
# A recovery comes to an address of ours where what was seized goes to a vault, and nowhere else.
_WITHIN = (
    Purpose.sweep,
    Purpose.collect,
    Purpose.topup,
    Purpose.withdrawal,
    Purpose.rotation,
    Purpose.recovery,
    Purpose.redemption,
)
_PLACES = {address.TREASURY: "hot", address.VAULT: "cold"}


class LeaseLost(SakkError):
    """Another watcher has taken this network over; this one steps back."""

    code = "lease_lost"
    transient = True

    def __init__(self, name: str) -> None:
        super().__init__(f"another watcher follows {name} now")


def watch_stage(parts: Parts, found: Network, rail: EvmRail, *, guard: Guard = Guard.off) -> Stage:
    """The stage that follows one network; asleep for its poll interval at the head.

    ``guard``: which acts that are not ours stop all that goes out.
    """
    follower = Follower(
        parts=parts,
        name=found.network,
        addresses=rail.watcher.addresses,
        rail=rail,
        guard=guard,
    )
    return Stage(
        f"watch.{found.network}",
        follower.step,
        idle_seconds=found.poll_milliseconds / 1000,
        keeps_time=True,
    )


def _block_ref(cursor: Cursor) -> BlockRef | None:
    if cursor.block_number is None:
        return None
    assert cursor.block_hash is not None
    assert cursor.parent_hash is not None
    return BlockRef(
        number=cursor.block_number,
        hash=cursor.block_hash,
        parent_hash=cursor.parent_hash,
        timestamp=cursor.block_timestamp or 0,
    )


def _block(name: str, ref: BlockRef) -> Block:
    return Block(
        network=name,
        hash=ref.hash,
        number=ref.number,
        parent_hash=ref.parent_hash,
        timestamp=ref.timestamp,
        canonical=True,
    )


def _payin(
    found: Network, seen: TransferSeen, *, units: int, block_timestamp: int, now: datetime
) -> PayIn:
    return PayIn(
        id=new_id("pin"),
        livemode=found.livemode,
        network=seen.network,
        asset=seen.asset,
        contract=seen.contract or None,
        token_amount=units,
        address=seen.receiver,
        sender=seen.sender,
        tx_hash=seen.tx_hash,
        log_index=seen.log_index,
        block_number=seen.block_number,
        block_hash=seen.block_hash,
        block_timestamp=block_timestamp,
        status=PayInStatus.seen.value,
        created=now,
    )


def _is_moved(seen: TransferSeen, ours: dict[str, address.Address]) -> bool:
    """Between the treasury and vaults: its arrival tells of both sides."""
    ends = [ours.get(seen.sender), ours.get(seen.receiver)]
    return all(end is not None and end.purpose in address.OPERATORS for end in ends)


def _outflow(found: Network, seen: TransferSeen, *, purpose: str, now: datetime) -> Outflow:
    return Outflow(
        id=new_id("out"),
        livemode=found.livemode,
        network=seen.network,
        asset=seen.asset,
        token_amount=seen.units,
        address=seen.sender,
        place=_PLACES.get(purpose, "deposit"),
        receiver=seen.receiver,
        tx_hash=seen.tx_hash,
        log_index=seen.log_index,
        block_number=seen.block_number,
        block_hash=seen.block_hash,
        status=OutflowStatus.seen.value,
        orphaned=False,
        created=now,
    )


def _outflow_seen(row: Outflow) -> NewEvent:
    return NewEvent(
        account_id=None,
        livemode=row.livemode,
        type=event.OUTFLOW_SEEN,
        object_id=row.id,
        object=public_outflow(row),
    )


def _reorganized(found: Network, *, back_to: int, depth: int) -> NewEvent:
    return NewEvent(
        account_id=None,
        livemode=found.livemode,
        type=event.NETWORK_REORGANIZED,
        object_id=found.network,
        object={
            "id": found.network,
            "object": "network",
            "block_number": back_to,
            "orphaned_blocks": depth,
        },
    )
