"""Disperse: payouts of one token that are due together, in one transaction of the treasury.

What can not go with the others is parked: it goes alone to its end, where it gets a reason of its
own. Where all fail alike it is no recipient's doing (a paused token, a sender that is deny-listed):
they wait together, and are parked when that has not helped. A later payout to the same address
begins with others again, because what was wrong may be right by then.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

import structlog
from sqlalchemy import Connection

from sakk.core import evm
from sakk.core.abi import encode_approve
from sakk.core.caip import chain_id
from sakk.core.contract import DISPERSE
from sakk.core.disperse import (
    LINES_MAX,
    TRANSACTION_GAS_MAX,
    UNITS_MAX,
    Dispersal,
    Payment,
    encode_disperse,
    gas_limit,
)
from sakk.core.gas_price import Fees
from sakk.core.network import Asset, Network
from sakk.core.payout import Payout
from sakk.core.transaction import ChainTransaction, Purpose, TransactionStatus
from sakk.core.trial import Holding, objection
from sakk.flow import gas_price
from sakk.flow.build import (
    WAIT_LIQUIDITY,
    WAIT_TURN,
    Call,
    Standing,
    Waits,
    order_call,
    put_off,
    stand,
    take_turn,
)
from sakk.flow.context import Parts
from sakk.flow.stage import wake
from sakk.rails.evm.balances import balances
from sakk.rails.evm.disperse import Tried, allowed_units, is_dispersing, try_dispersal
from sakk.rails.evm.rail import EvmRail
from sakk.rails.evm.send import GAS_MARGIN_PERCENT, TransferWouldFail
from sakk.store import address, transaction
from sakk.store import payout as payouts
from sakk.store.address import Address
from sakk.store.failpoint import failpoint
from sakk.store.identity import new_id
from sakk.store.lease import settle

# What fails in a trial is taken out and the rest is tried again, so often at most.
TRIALS_MAX = 4
# An allowance that was refused, or that is not there yet, is not ordered again before.
ALLOWANCE_AGAIN_AFTER = timedelta(minutes=1)
WAIT_ALLOWANCE = timedelta(milliseconds=500)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Group:
    """Payouts of one asset that one treasury address may send together."""

    network: Network
    asset: Asset
    sender: Address
    rows: Sequence[Payout]

    def of(self, rows: Sequence[Payout]) -> "Group":
        return replace(self, rows=rows)

    @property
    def is_worth_it(self) -> bool:
        """Are there so many that the operator wants them in one transaction?"""
        minimum = self.asset.disperse_min
        return minimum > 0 and len(self.rows) >= max(minimum, 2)

    @property
    def dispersal(self) -> Dispersal:
        assert self.asset.contract is not None
        payments = tuple(Payment(row.destination, row.token_amount) for row in self.rows)
        return Dispersal(self.asset.contract, payments)


def may_go_together(row: Payout) -> bool:
    """Was it not parked, and does its amount fit a line?"""
    return not row.alone and row.token_amount <= UNITS_MAX


def disperse(parts: Parts, group: Group, *, token: str) -> Sequence[Payout]:
    """Build one transaction for what of a group can go together; returns what must go alone now.

    The others are put off, or parked. Raises ``Waits`` when the whole group waits, and what the
    rail raises.
    """
    group = group.of(group.rows[:LINES_MAX])
    with parts.database.begin() as connection:
        standing = stand(
            connection,
            group.network,
            group.sender.address,
            group.asset.asset,
            purpose=Purpose.disperse,
        )
    rail = parts.rail_of(group.network)
    if not is_dispersing(rail.rpc):
        return group.rows
    head = rail.head().number
    native = group.network.native_asset
    sender = group.sender.address
    held = balances(rail.rpc, [(sender, group.asset.asset), (sender, native)], head)
    group = _covered(parts, group, held[sender, group.asset.asset] - standing.taken_units, token)
    if not group.is_worth_it or not _is_allowed(parts, rail, group, standing):
        return group.rows
    found = _tried(parts, rail, group, token)
    if isinstance(found, Group):
        return found.rows
    group, tried = found
    price = gas_price.price(parts, group.network)
    limit = gas_limit(tried.gas_used, margin_percent=GAS_MARGIN_PERCENT)
    if held[sender, native] - standing.taken_wei < limit * price.max_fee_per_gas:
        raise Waits("the sender has not enough native coin for gas", WAIT_LIQUIDITY)
    nonce = standing.next_nonce(rail)
    built = _transaction(parts, group, price, limit=limit, nonce=nonce, since_block=head)
    failpoint("disperse.build.before")
    with parts.database.begin() as connection:
        _insert(connection, group, built, token=token)
    failpoint("disperse.build.after")
    return ()


def _covered(parts: Parts, group: Group, spare: int, token: str) -> Group:
    """Those that the sender's coins cover, the oldest first; the rest waits for more coins."""
    covered, short = [], []
    for row in group.rows:
        if row.token_amount <= spare:
            spare -= row.token_amount
            covered.append(row)
        else:
            short.append(row)
    reason = "the sender's coins do not cover it yet"
    put_off(parts, payouts.payouts, short, token=token, delay=WAIT_LIQUIDITY, reason=reason)
    return group.of(covered)


def _is_allowed(parts: Parts, rail: EvmRail, group: Group, standing: Standing) -> bool:
    """May the contract take so much from the sender? Orders the allowance where it lacks.

    False when it can not be had now, so that nobody waits for it; ``Waits`` while it is on its way.
    """
    needed = group.dispersal.units + standing.taken_units
    allowed = allowed_units(rail.rpc, token=group.dispersal.token, owner=group.sender.address)
    if allowed >= needed:
        return True
    with parts.database.begin() as connection:
        last = transaction.latest_allowance(
            connection, group.sender.address, asset=group.asset.asset
        )
    if last is not None:
        status = TransactionStatus(last.status)
        if not status.is_over:
            raise Waits("the allowance of the disperse contract is on its way", WAIT_ALLOWANCE)
        if last.created > parts.clock() - ALLOWANCE_AGAIN_AFTER and last.token_amount:
            return False
    # Tether's token changes no allowance into another: it passes through nothing.
    order_allowance(parts, group, units=0 if allowed else evm.UINT256_MAX)
    raise Waits("the allowance of the disperse contract was ordered", WAIT_ALLOWANCE)


def order_allowance(parts: Parts, group: Group, *, units: int) -> ChainTransaction:
    """Have the treasury allow the contract so much of a token; ``Waits`` when it is not its turn.

    The contract pulls from its caller alone, so a standing allowance is of use to the treasury
    alone; 0 takes it back.
    """
    assert group.asset.contract is not None
    return order_call(
        parts,
        group.network,
        group.sender,
        Call(
            purpose=Purpose.allowance,
            to=group.asset.contract,
            data=encode_approve(DISPERSE.address, units),
            asset=group.asset.asset,
            destination=DISPERSE.address,
            units=units,
        ),
    )


def _tried(parts: Parts, rail: EvmRail, group: Group, token: str) -> tuple[Group, Tried] | Group:
    """Try the group out, and again without those that do not fit; those alone if too few are left.

    Exactly its units must leave for each line and arrive, and nothing else happen.
    """
    for _ in range(TRIALS_MAX):
        found = try_dispersal(
            rail.rpc, group.dispersal, sender=group.sender.address, asset=group.asset.asset
        )
        if found is None:
            return group
        parked = _misfits(group, found)
        if len(parked) == len(group.rows):
            raise TransferWouldFail("Each of them would fail: the token or its sender is at fault.")
        excess = _excess(group, found)
        beside = None if parked else _beside(parts, group, found)
        if beside is not None:
            # Whose fault it is can not be told: each is tried alone.
            log.error("disperse.held", network=group.network.network, beside=beside)
            parked = list(group.rows)
        if not parked and not excess:
            return group, found
        gone = {row.id for row in [*parked, *excess]}
        park(parts, parked, token=token)
        put_off(parts, payouts.payouts, excess, token=token, delay=None, reason=None)
        group = group.of([row for row in group.rows if row.id not in gone])
        if not group.is_worth_it:
            return group
    return group


def _expected(group: Group, failed: Collection[int] = ()) -> dict[Holding, int]:
    """By how much each holding is to change."""
    expected: Counter[Holding] = Counter()
    token, sender = group.dispersal.token, group.sender.address
    for line, row in enumerate(group.rows):
        units = 0 if line in failed else row.token_amount
        expected[row.destination, token] += units
        expected[sender, token] -= units
    return expected


def _misfits(group: Group, found: Tried) -> list[Payout]:
    """The lines that would fail, or whose recipient would not get exactly its units."""
    failed = found.outcomes.failed
    changes = found.trial.changes or {}
    inexact = {
        holder
        for (holder, token), units in _expected(group, failed).items()
        if changes.get((holder, token)) != units
    }
    return [
        row for line, row in enumerate(group.rows) if line in failed or row.destination in inexact
    ]


def _beside(parts: Parts, group: Group, found: Tried) -> str | None:
    """What the whole would do that nobody asked for; None if nothing."""
    with parts.database.begin() as connection:
        ours = set(address.find_addresses(connection, sorted(found.trial.parties)))
    sender = group.sender.address
    # Some tokens tell of the allowance that is left.
    approved = {(sender, DISPERSE.address)}
    return objection(found.trial, _expected(group), ours=ours | {sender}, approved=approved)


def _excess(group: Group, found: Tried) -> list[Payout]:
    """The newest of a group that needs more gas than a transaction may use."""
    limit = gas_limit(found.gas_used, margin_percent=GAS_MARGIN_PERCENT)
    if limit <= TRANSACTION_GAS_MAX:
        return []
    kept = len(group.rows) * TRANSACTION_GAS_MAX // limit
    return list(group.rows[max(1, kept - 1) :])


def park(parts: Parts, rows: Sequence[Payout], *, token: str) -> None:
    """From now on these go alone: there the reason is told, tried again and at last decided."""
    if not rows:
        return
    log.warning("disperse.parked", payouts=[row.id for row in rows])
    with parts.database.begin() as connection:
        settle(
            connection,
            payouts.payouts,
            [{"id": row.id, "alone": True} for row in rows],
            token=token,
        )
        wake(connection, "payout.build")


def _transaction(
    parts: Parts, group: Group, price: Fees, *, limit: int, nonce: int, since_block: int
) -> ChainTransaction:
    accounts = {row.account_id for row in group.rows}
    identifier = new_id("tx")
    dispersal = group.dispersal
    unsigned = evm.Transaction(
        chain_id=chain_id(group.network.network),
        nonce=nonce,
        max_priority_fee_per_gas=price.max_priority_fee_per_gas,
        max_fee_per_gas=price.max_fee_per_gas,
        gas_limit=limit,
        to=DISPERSE.address,
        value=0,
        data=encode_disperse(dispersal.token, dispersal.payments),
    )
    return ChainTransaction(
        id=identifier,
        livemode=group.network.livemode,
        network=group.network.network,
        purpose=Purpose.disperse.value,
        subject=identifier,
        account_id=accounts.pop() if len(accounts) == 1 else None,
        sender=group.sender.address,
        key_branch="treasury",
        key_index=group.sender.key_index,
        nonce=nonce,
        asset=group.asset.asset,
        destination=DISPERSE.address,
        token_amount=dispersal.units,
        gas_limit=limit,
        max_fee_per_gas=price.max_fee_per_gas,
        max_priority_fee_per_gas=price.max_priority_fee_per_gas,
        unsigned=evm.encode_unsigned(unsigned),
        since_block=since_block,
        status=TransactionStatus.built.value,
        created=parts.clock(),
    )


def _insert(connection: Connection, group: Group, built: ChainTransaction, *, token: str) -> None:
    take_turn(connection, built)
    changes = [
        {
            "id": row.id,
            "transaction": built.id,
            "transaction_line": line,
            "status": row.status,
            "waits_for": None,
        }
        for line, row in enumerate(group.rows)
    ]
    # Guarded by the status too: where one was called off meanwhile, the bytes would be wrong.
    if settle(connection, payouts.payouts, changes, token=token, guards=("status",)) != len(
        changes
    ):
        raise Waits("one of the group was called off, or the lease was lost", WAIT_TURN)
    transaction.insert(connection, built)
    wake(connection, "transaction.sign")
