"""The escrow's part of reconciliation: coins in x402's contract, by the contract and by the books.

A channel is asked for what was deposited and has not gone back, whatever was charged on it; an
asset for the coins that are still there, claimed for a receiver of ours or not.

Of a channel that the contract held nothing of any more, at a final block, no coin can leave: what
is claimed is never taken back. So it is not asked about again while the books say of it what they
said then; a few are, each time, those first that were asked about longest ago.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from sakk.core.escrow import ESCROW, ChannelState, decode_pair, encode_receiver_query
from sakk.core.escrow_call import CallKind, CarriedCall
from sakk.core.escrow_channel import ChannelStatus, EscrowChannel
from sakk.core.reconcile import ChannelProof, EscrowProof, InFlight, about_to_follow
from sakk.core.transaction import ChainTransaction, Purpose
from sakk.rails.evm.balances import canonical
from sakk.rails.evm.escrow import read_states
from sakk.rails.evm.rpc import Rpc, parse_data
from sakk.store import escrow_channel as store
from sakk.store import escrow_proof as books
from sakk.store.escrow_proof import Emptied
from sakk.store.network import Block

CHANNELS_PER_PAGE = 500
# So many that were proved empty are asked about all the same.
ASKED_AGAIN = 500


@dataclass(frozen=True, slots=True)
class EscrowMoment:
    """What the database says of one network's channels at one moment.

    ``standing``: per channel, what was deposited and has not gone back. ``ledger``: per asset, the
    coins in escrow. ``sent``: transactions that one side may not show yet, with what they carry;
    ``booked``: what they did to the coins in the ledger. ``followed``: the channels of which a
    payer's own withdrawal is booked, and the row says it a moment later.
    """

    channels: Sequence[EscrowChannel]
    standing: Mapping[str, int]
    ledger: Mapping[str, int]
    sent: Sequence[tuple[ChainTransaction, CarriedCall]]
    booked: Mapping[tuple[str, str], int]
    followed: Collection[str]
    emptied: Sequence[Emptied]


def read_escrow(
    connection: Connection, network: str, sent: Sequence[ChainTransaction]
) -> EscrowMoment:
    """Read the moment; the connection is that of ``settled_snapshot``."""
    channels = store.channels_of(connection, network)
    assets = sorted({each.asset for each in channels})
    carrying = []
    for row in sent:
        if row.purpose in (Purpose.escrow, Purpose.redemption):
            carried = store.carried_by(connection, row)
            if carried is not None:
                carrying.append((row, carried))
    return EscrowMoment(
        channels=channels,
        standing=books.standing_units(connection, channels),
        ledger={asset: books.coins(connection, asset) for asset in assets},
        sent=carrying,
        booked=books.booked_units(connection, [row.id for row, _ in carrying], assets),
        followed=books.followed(connection, [each for each in channels if each.gone_units]),
        emptied=books.emptied(connection, network),
    )


def prove_escrow(
    rpc: Rpc, moment: EscrowMoment, block: Block, done: Collection[str]
) -> tuple[list[EscrowProof], Mapping[str, ChannelState]]:
    """Each asset with channels. ``done``: transactions that succeeded on the chain by the block."""
    states = _known(moment, block)
    asked = [each for each in moment.channels if each.id not in states]
    for place in range(0, len(asked), CHANNELS_PER_PAGE):
        page = asked[place : place + CHANNELS_PER_PAGE]
        names = [bytes.fromhex(each.channel[2:]) for each in page]
        found = read_states(rpc, names, block.hash)
        states.update({each.id: state for each, state in zip(page, found, strict=True)})
    by_asset: dict[str, list[EscrowChannel]] = defaultdict(list)
    for channel in moment.channels:
        by_asset[channel.asset].append(channel)
    unpaid = _claimed_and_unpaid(rpc, moment, states, block, done)
    proofs = [
        _proof(asset, channels, moment, states, done, unpaid=unpaid.get(asset, 0))
        for asset, channels in sorted(by_asset.items())
    ]
    return proofs, states


def remember_emptied(
    connection: Connection,
    moment: EscrowMoment,
    states: Mapping[str, ChannelState],
    block: Block,
    *,
    now: datetime,
) -> None:
    """Write down which channels the contract held nothing of at the block."""
    known, moving = _known(moment, block), _moving(moment)
    empty, other = [], []
    for channel in moment.channels:
        if channel.id in known:
            continue
        units = states[channel.id].balance
        nothing = units == states[channel.id].total_claimed == moment.standing[channel.id]
        if nothing and _rests(channel, units) and channel.id not in moving:
            empty.append(Emptied(channel.id, channel.network, units, block.number, now))
        else:
            other.append(channel.id)
    before = {each.channel_id for each in moment.emptied}
    books.keep_emptied(connection, empty, [each for each in other if each in before])


def _known(moment: EscrowMoment, block: Block) -> dict[str, ChannelState]:
    """How the contract has channels that it is not asked about."""
    channels, moving = {each.id: each for each in moment.channels}, _moving(moment)
    found = {}
    for each in moment.emptied[ASKED_AGAIN:]:
        channel = channels.get(each.channel_id)
        if (
            channel is not None
            and each.channel_id not in moving
            and each.block_number <= block.number
            and each.units == moment.standing[channel.id]
            and _rests(channel, each.units)
        ):
            found[channel.id] = ChannelState(each.units, each.units, 0, 0, 0)
    return found


def _rests(channel: EscrowChannel, units: int) -> bool:
    """Do the books have all of it as claimed, and expect nothing of its payer?"""
    is_open = channel.status == ChannelStatus.open
    return is_open and channel.redeemed == units and not channel.gone_units


def _moving(moment: EscrowMoment) -> set[str]:
    """Channels of which a call is on its way."""
    found = {carried.channel.id for _, carried in moment.sent if carried.channel is not None}
    return found | {channel.id for _, one in moment.sent for _, channel in one.redemptions}


def _proof(
    asset: str,
    channels: Sequence[EscrowChannel],
    moment: EscrowMoment,
    states: Mapping[str, ChannelState],
    done: Collection[str],
    *,
    unpaid: int,
) -> EscrowProof:
    in_flight, differing = [], []
    late, undone = defaultdict[str, int](int), set()
    for row, carried in moment.sent:
        units = _effect(carried) if row.id in done else 0
        difference = units - moment.booked.get((row.id, asset), 0)
        if row.asset != asset or not (difference or row.orphaned):
            continue
        if carried.channel is not None:
            late[carried.channel.id] += difference
            undone |= {carried.channel.id} if row.orphaned else set()
        if difference:
            why = f"{row.purpose} {'orphaned' if row.orphaned else row.status}"
            in_flight.append(InFlight(row.id, asset, difference, why))
    for channel in channels:
        held, owed = states[channel.id].balance, moment.standing[channel.id]
        coming = late[channel.id]
        rest = held - owed - coming
        following = about_to_follow(channel, rest, undone=channel.id in undone)
        if held != owed:
            differing.append(ChannelProof(channel.id, held, owed, coming + following))
        leaving = 0 if channel.id in undone else following
        if channel.gone_units:
            # The books take it in two steps, the coins by the second.
            leaving = 0 if channel.id in moment.followed else -channel.gone_units
        if leaving:
            in_flight.append(InFlight(channel.id, asset, leaving, "withdrawn by its payer"))
    in_contract = sum(states[each.id].balance - states[each.id].total_claimed for each in channels)
    return EscrowProof(
        asset=asset,
        chain_units=in_contract + unpaid,
        ledger_units=moment.ledger[asset],
        in_flight=in_flight,
        channels=differing,
    )


def _effect(carried: CarriedCall) -> int:
    """What a call that succeeded did to our coins in the escrow."""
    match CallKind(carried.call.kind):
        case CallKind.deposit:
            return carried.call.token_amount
        case CallKind.refund | CallKind.redemption:
            return -carried.call.token_amount
        case CallKind.relay:
            return 0


def _claimed_and_unpaid(
    rpc: Rpc,
    moment: EscrowMoment,
    states: Mapping[str, ChannelState],
    block: Block,
    done: Collection[str],
) -> dict[str, int]:
    """Per asset, coins that were claimed on channels here and stand in the contract all the same.

    A receiver is asked only where a channel is claimed beyond what was redeemed by the block.
    """
    redeemed = {each.id: each.redeemed for each in moment.channels}
    mined = [carried for row, carried in moment.sent if row.id in done]
    for each, channel in (one for carried in mined for one in carried.redemptions):
        redeemed[channel.id] = max(redeemed[channel.id], each.claimed_to)
    later = [carried for row, carried in moment.sent if row.id not in done]
    for each, channel in (one for carried in later for one in carried.redemptions):
        redeemed[channel.id] = min(redeemed[channel.id], each.claimed_from)
    waiting: dict[tuple[str, str, str], int] = defaultdict(int)
    for channel in moment.channels:
        beyond = states[channel.id].total_claimed - redeemed[channel.id]
        if beyond > 0:
            waiting[channel.asset, channel.receiver, channel.token] += beyond
    found: dict[str, int] = defaultdict(int)
    for (asset, receiver, token), beyond in waiting.items():
        query = "0x" + encode_receiver_query(receiver, token).hex()
        asked = [{"to": ESCROW, "data": query}, canonical(block.hash)]
        claimed_units, paid = decode_pair(parse_data(rpc.call("eth_call", asked, str)))
        found[asset] += min(beyond, claimed_units - paid)
    return found
