"""Redemption: what was charged on escrow channels is claimed on the chain, many in one transaction.

Two stages. One asks the contract how channels stand, so that a payer on its way out is seen long
before it can be gone: what it may take is set aside, and what was charged is claimed first. The
other claims, when that is worth its gas or a deadline presses.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import structlog
from prometheus_client import Gauge

from sakk.core.errors import SakkError
from sakk.core.escrow import (
    AMOUNT_MAX,
    CLAIMS_MAX,
    ESCROW,
    ChannelState,
    encode_claim,
    encode_multicall,
    encode_settle,
)
from sakk.core.escrow_call import PREFIX as CALL_PREFIX
from sakk.core.escrow_call import CallKind, CallStatus, EscrowCall
from sakk.core.escrow_channel import (
    ChannelStatus,
    EscrowChannel,
    gone_postings,
    gone_step,
    leaving_posting,
    staying_posting,
    taken_posting,
)
from sakk.core.network import Network
from sakk.core.posting import Posting
from sakk.core.redemption import (
    GAS_EACH,
    GAS_FIRST,
    GAS_PERCENT_MAX,
    PREFIX,
    Due,
    Redemption,
    is_late,
    is_pressing,
    worth_redeeming,
)
from sakk.core.sweep import units_worth_collecting
from sakk.flow import gas_price
from sakk.flow.book import PostingSet
from sakk.flow.context import Parts
from sakk.flow.escrow_call import BUILD
from sakk.flow.reconcile import final_block
from sakk.flow.stage import Stage, wake
from sakk.flow.voucher import Vouchers
from sakk.ledger.types import TransferFlags
from sakk.ledger.voucher import kept_vouchers
from sakk.rails.evm.escrow import read_states, why_refused
from sakk.store import charge_refund as charge_refunds
from sakk.store import escrow_channel as store
from sakk.store import network as networks
from sakk.store.charge_refund import NOTHING
from sakk.store.identity import new_id
from sakk.store.lease import before, claim, claimable, settle

IDLE = timedelta(seconds=15)
PAGE = 500
# A payer's way out takes 15 minutes at the least: it is seen within two.
LOOK_EVERY = timedelta(minutes=2)
LOOKS_MAX = 100

log = structlog.get_logger(__name__)

late_channels = Gauge(
    "sakk_escrow_channels_late",
    "Channels whose payer may soon take what was charged and is not claimed yet.",
    ["network"],
)


def redeem_stage(parts: Parts) -> Stage:
    """The stage that orders claims of what is charged and not claimed."""
    vouchers = Vouchers(parts)

    def run() -> int:
        with parts.database.read() as connection:
            found = [each for each in networks.list_networks(connection) if each.enabled]
        return sum(_redeem(parts, vouchers, each) for each in found)

    return Stage("redemption.order", run, idle_seconds=IDLE.total_seconds())


def _redeem(parts: Parts, vouchers: Vouchers, found: Network) -> int:
    """Order the redemptions of a network that go now; how many channels they claim."""
    try:
        groups = _due(parts, vouchers, found)
        return sum(_order(parts, found, due) for due in groups.values()) if groups else 0
    except SakkError as error:
        log.info("redemption.waits", network=found.network, code=error.code)
        return 0


def _due(parts: Parts, vouchers: Vouchers, found: Network) -> dict[tuple[str, str, str], list[Due]]:
    """What is charged and not claimed, by who has to claim it, whom it pays and in what."""
    groups: dict[tuple[str, str, str], list[Due]] = defaultdict(list)
    last, late, now = "", 0, parts.clock()
    while True:
        with parts.database.read() as connection:
            page = store.channels_after(connection, last, network=found.network, limit=PAGE)
            named = [each.id for each in page]
            under_way = store.is_redeeming(connection, named)
            given = charge_refunds.given_back(connection, named)
        kept = kept_vouchers(parts.books.ledger, parts.database, named)
        for channel in page:
            last = channel.id
            if channel.id not in kept:
                continue
            # What is about to be given back is not claimed.
            back = given.get(channel.id, NOTHING)
            charged = vouchers.totals(channel).charged - back.not_booked
            if charged <= channel.redeemed:
                continue
            late += is_late(channel, now=now)
            # What was charged since its voucher was looked for is claimed by the next run.
            ceiling, signature = kept[channel.id]
            charged = min(charged, ceiling)
            if charged > channel.redeemed and channel.id not in under_way:
                place = (channel.receiver_authorizer, channel.receiver, channel.asset)
                groups[place].append(Due(channel, charged, ceiling, signature, back.number))
        if len(page) < PAGE:
            break
    late_channels.labels(found.network).set(late)
    if late:
        log.error("redemption.late", network=found.network, channels=late)
    return groups


def _order(parts: Parts, found: Network, due: Sequence[Due]) -> int:
    """Have those of one receiver claimed that press, and the others where they are worth it."""
    pressing = [each for each in due if is_pressing(each.channel)]
    # A payer on its way out could make a claim fail, and with it all that are beside it.
    count = sum(_request(parts, found, [each]) for each in pressing)
    calm = [each for each in due if not is_pressing(each.channel)]
    if calm:
        first, each_costs = _least_units(parts, found, calm[0].channel.asset)
        chosen = worth_redeeming(calm, first_units=first, each_units=each_costs)
        for place in range(0, len(chosen), CLAIMS_MAX):
            count += _request(parts, found, chosen[place : place + CLAIMS_MAX])
    return count


def _least_units(parts: Parts, found: Network, asset: str) -> tuple[int, int]:
    """What a redemption must bring, and what each of its channels, by what gas costs now."""
    with parts.database.begin() as connection:
        listed = {each.asset: each for each in networks.list_assets(connection)}
        currencies = {each.currency: each for each in networks.list_currencies(connection)}
    token, native = listed[asset], listed[found.native_asset]
    price = gas_price.price(parts, found)
    wei = price.base_fee_per_gas + price.max_priority_fee_per_gas

    def least(gas: int) -> int:
        return units_worth_collecting(
            currencies[token.currency],
            currencies[native.currency],
            decimals=token.decimals,
            native_decimals=native.decimals,
            cost_wei=gas * wei,
            percent_max=GAS_PERCENT_MAX,
        )

    return least(GAS_FIRST), least(GAS_EACH)


def _request(parts: Parts, found: Network, due: Sequence[Due]) -> int:
    """Order one redemption of channels that a trial lets claim; how many."""
    first = due[0].channel
    good = _claimable(parts, found, due)
    if not good:
        return 0
    now = parts.clock()
    call = EscrowCall(
        id=new_id(CALL_PREFIX),
        kind=CallKind.redemption.value,
        livemode=found.livemode,
        network=found.network,
        asset=first.asset,
        channel_id=None,
        account_id=first.account_id,
        key=f"redemption:{new_id(PREFIX)}",
        sender=first.receiver_authorizer,
        destination=first.receiver,
        token_amount=sum(each.units for each in good),
        data=_data(good),
        status=CallStatus.requested.value,
        created=now,
    )
    rows = [
        Redemption(
            id=new_id(PREFIX),
            call_id=call.id,
            channel_id=each.channel.id,
            account_id=each.channel.account_id,
            claimed_from=each.channel.redeemed,
            claimed_to=each.charged,
            ceiling=each.ceiling,
            signature=each.signature,
            created=now,
        )
        for each in good
    ]
    with parts.database.begin() as connection:
        # Locked, so that of two workers one orders it.
        named = [each.channel_id for each in rows]
        standing = {each.id: each for each in store.lock_channels(connection, named)}
        given = charge_refunds.given_back(connection, named)
        if store.is_redeeming(connection, named) or any(
            standing[row.channel_id].redeemed != row.claimed_from
            or given.get(row.channel_id, NOTHING).number != each.refunds
            for row, each in zip(rows, good, strict=True)
        ):
            return 0
        store.insert_call(connection, call)
        store.insert_redemptions(connection, rows)
        wake(connection, BUILD)
    return len(rows)


def _data(due: Sequence[Due]) -> bytes:
    """Claims of channels of one receiver and token, and the one payment of them all."""
    channel = due[0].channel
    claims = encode_claim([each.claim for each in due])
    return encode_multicall([claims, encode_settle(channel.receiver, channel.token)])


def _claimable(parts: Parts, found: Network, due: Sequence[Due]) -> Sequence[Due]:
    """Those that the contract would take now. One bad claim would stop all that are beside it."""
    rpc = parts.rail_of(found).rpc
    sender = due[0].channel.receiver_authorizer
    if why_refused(rpc, sender=sender, data=_data(due)) is None:
        return due
    good = []
    for each in due:
        refused = why_refused(rpc, sender=sender, data=_data([each]))
        if refused is None:
            good.append(each)
            continue
        log.error("redemption.refused", channel=each.channel.id, reason=refused)
        if is_pressing(each.channel):
            _claim_alone(parts, each)
    return good


def _claim_alone(parts: Parts, due: Due) -> None:
    """Claim without payment, where the receiver can not be paid now and the payer is leaving.

    What is claimed is safe from the payer; the next redemption that goes pays it too.
    """
    channel = due.channel
    call = EscrowCall(
        id=new_id(CALL_PREFIX),
        kind=CallKind.relay.value,
        livemode=channel.livemode,
        network=channel.network,
        asset=channel.asset,
        channel_id=None,
        account_id=channel.account_id,
        key=f"claim:{channel.id}:{due.charged}",
        sender=channel.receiver_authorizer,
        destination=ESCROW,
        token_amount=0,
        data=encode_claim([due.claim]),
        status=CallStatus.requested.value,
        created=parts.clock(),
    )
    with parts.database.begin() as connection:
        if store.insert_call(connection, call):
            wake(connection, BUILD)


_due_to_look = claimable(
    store.escrow_channels,
    EscrowChannel,
    store.escrow_channels.c.status != ChannelStatus.opening.value,
    store.escrow_channels.c.looked_at.is_(None)
    | (store.escrow_channels.c.looked_at < before(LOOK_EVERY)),
    limit=LOOKS_MAX,
)


def look_stage(parts: Parts) -> Stage:
    """The stage that asks the contract whether payers are on their way out, or gone."""
    vouchers = Vouchers(parts)

    def run() -> int:
        token = new_id("lease")
        with parts.database.begin() as connection:
            rows = claim(connection, _due_to_look, token=token, now=parts.clock())
            if not rows:
                return 0
            found = {each.network: each for each in networks.list_networks(connection)}
        by_network: dict[str, list[EscrowChannel]] = defaultdict(list)
        for row in rows:
            by_network[row.network].append(row)
        return sum(
            _look(parts, vouchers, found[name], channels, token=token)
            for name, channels in by_network.items()
        )

    return Stage(
        "escrow_channel.look",
        run,
        idle_seconds=IDLE.total_seconds(),
        keeps_time=True,
        due=(_due_to_look,),
    )


def _look(
    parts: Parts,
    vouchers: Vouchers,
    found: Network,
    channels: Sequence[EscrowChannel],
    *,
    token: str,
) -> int:
    """Ask how channels stand, now and finally, and follow; how many changed."""
    names = [bytes.fromhex(each.channel[2:]) for each in channels]
    try:
        # The final block that was followed: another branch than ours is not read.
        with parts.database.begin() as connection:
            final = final_block(connection, found)
        rpc = parts.rail_of(found).rpc
        newest = read_states(rpc, names)
        settled = read_states(rpc, names, final.hash)
    except SakkError as error:
        log.info("escrow_channel.look_waits", network=found.network, code=error.code)
        return 0
    changed = 0
    for channel, now_, then in zip(channels, newest, settled, strict=True):
        after = _follow(parts, vouchers, channel, now_, then)
        changed += after != channel
        fields = ("id", "status", "withdraw_units", "withdraw_ends_at", "gone_units", "lost")
        change = {name: getattr(after, name) for name in (*fields, "attempt")}
        with parts.database.begin() as connection:
            change["looked_at"] = parts.clock()
            settle(connection, store.escrow_channels, [change], token=token)
            if after.withdraw_ends_at is not None:
                wake(connection, "redemption.order")
    return changed


def _follow(
    parts: Parts,
    vouchers: Vouchers,
    channel: EscrowChannel,
    newest: ChannelState,
    final: ChannelState,
) -> EscrowChannel:
    """The channel as it stands after what the contract says of it; the books follow first."""
    if newest.withdraw_begun and channel.withdraw_ends_at is None:
        ends = newest.withdraw_begun + channel.withdraw_delay
        channel = replace(
            channel,
            status=ChannelStatus.withdrawing.value,
            withdraw_units=newest.withdraw_units,
            withdraw_ends_at=datetime.fromtimestamp(ends, UTC),
        )
        log.warning("escrow_channel.withdrawing", channel=channel.id, units=newest.withdraw_units)
    if channel.withdraw_ends_at is not None:
        # What it may take is charged by nobody any more. Again it is the same transfer.
        step = f"leave:{int(channel.withdraw_ends_at.timestamp())}"
        _balancing(parts, channel, step, leaving_posting(channel, channel.withdraw_units))
    with parts.database.begin() as connection:
        if store.calls_under_way(connection, channel.id):
            return channel
    channel = _note_gone(parts, vouchers, channel, final)
    if channel.withdraw_ends_at is not None and not newest.withdraw_begun + final.withdraw_begun:
        step = f"stay:{int(channel.withdraw_ends_at.timestamp())}"
        _balancing(parts, channel, step, staying_posting(channel, AMOUNT_MAX))
        channel = replace(
            channel, status=ChannelStatus.open.value, withdraw_units=0, withdraw_ends_at=None
        )
    return channel


def _note_gone(
    parts: Parts, vouchers: Vouchers, channel: EscrowChannel, final: ChannelState
) -> EscrowChannel:
    """Book what the contract holds less than the books: the payer has taken it."""
    if not channel.gone_units:
        [leaving] = parts.books.balances([channel.leaving_account])
        standing = vouchers.totals(channel).balance + leaving - channel.lost
        missing = standing - final.balance
        if missing <= 0:
            return channel
        # What is about to be booked is committed first, so that it is booked once.
        channel = replace(channel, gone_units=missing)
        with parts.database.begin() as connection:
            store.change_channel(connection, channel.id, gone_units=missing)
    units, step = channel.gone_units, gone_step(channel)
    taken = 0
    for place in (channel.leaving_account, channel.deposit_account):
        if taken < units:
            legs = taken_posting(place, channel, units - taken)
            taken += _balancing(parts, channel, f"{step}:{place.path}", legs)
    gone = gone_postings(channel, units, taken=taken)
    [outcome] = parts.books.post([PostingSet(channel.id, step, 0, gone)])
    if not outcome.booked:
        log.error("escrow_channel.gone_refused", channel=channel.id, why=str(outcome.refusal))
        return channel
    if taken < units:
        log.error("escrow_channel.lost", channel=channel.id, units=units - taken)
    lost = channel.lost + units - taken
    return replace(channel, gone_units=0, lost=lost, attempt=channel.attempt + 1)


def _balancing(parts: Parts, channel: EscrowChannel, step: str, posting: Posting) -> int:
    """Move as much as there is, once; how much that was."""
    take = PostingSet(channel.id, step, 0, [posting], TransferFlags.balancing_debit)
    booked = parts.books.post([take])[0].booked
    return parts.books.amount_moved(take.transfer_id(0)) if booked else 0
