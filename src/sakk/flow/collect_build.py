"""Build collections: many sweeps of a network become one call of its hub.

What the hub can not collect for now is sent back alone, and goes by its own key and a top-up: an
address whose authorisation is missing or spent, or the only one of its batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy import Connection

from sakk.core import authorization as codec
from sakk.core import event, evm, hub
from sakk.core.authorization import SetCodeTransaction, SignedAuthorization
from sakk.core.caip import chain_id, erc20_contract
from sakk.core.errors import SakkError
from sakk.core.fee import Fees, FeesAboveCap
from sakk.core.hub import Alone, Hub, Item
from sakk.core.network import Network
from sakk.core.sweep import Sweep, SweepMethod, SweepStatus
from sakk.core.transaction import ChainTransaction, Purpose, TransactionStatus
from sakk.flow import fee
from sakk.flow.build import WAIT_LIQUIDITY, WAIT_TURN, WOULD_FAIL_MAX, Waits
from sakk.flow.context import Parts
from sakk.flow.hub import collector_among, follow_treasury
from sakk.flow.stage import Stage, wake
from sakk.flow.sweep import sweep_event
from sakk.rails.evm.balances import balances
from sakk.rails.evm.hub import Standing, estimate_collect, standings
from sakk.rails.evm.rail import EvmRail
from sakk.rails.evm.send import TransferWouldFail, nonces
from sakk.store import address, authorization, network, transaction
from sakk.store import event as events
from sakk.store import freeze as freezes
from sakk.store import hub as hubs
from sakk.store import sweep as sweeps
from sakk.store.address import Address
from sakk.store.failpoint import failpoint
from sakk.store.identity import new_id
from sakk.store.lease import claim, claimable, retry_delay, settle

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Known:
    """What the database says of a batch before the chain is asked."""

    network: Network
    hub: Hub
    sender: Address
    nonce: int | None
    taken_wei: int
    signed: dict[str, SignedAuthorization]
    addresses: dict[str, Address]


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the hub: who asks for it, what it collects, and what it carries."""

    sweeps: Sequence[Sweep]
    authorizations: Sequence[SignedAuthorization]
    gas_limit: int

    @property
    def data(self) -> bytes:
        return hub.encode_sweep([_item(each) for each in self.sweeps])


_due = claimable(
    sweeps.sweeps,
    Sweep,
    sweeps.sweeps.c.status == SweepStatus.approved.value,
    sweeps.sweeps.c.method == SweepMethod.hub.value,
    sweeps.sweeps.c.transaction.is_(None),
    freezes.sweep_may_go(),
    limit=hub.ITEMS_MAX,
)


def collect_build_stage(parts: Parts) -> Stage:
    """The stage that makes one call of the hub of many approved sweeps."""

    def run() -> int:
        token = new_id("lease")
        with parts.database.begin() as connection:
            rows = claim(connection, _due, token=token, now=parts.clock())
        for name in sorted({row.network for row in rows}):
            _attempt(parts, name, [row for row in rows if row.network == name], token=token)
        return len(rows)

    return Stage("collect.build", run)


def _attempt(parts: Parts, name: str, rows: list[Sweep], *, token: str) -> None:
    """Build one network's call, or say why it waits."""
    now = parts.clock()
    try:
        _build(parts, name, rows, token=token)
        return
    except Waits as waiting:
        log.info("collect.waits", network=name, reason=str(waiting))
        change: dict[str, Any] = {"retry_at": now + waiting.delay, "waits_for": str(waiting)}
        failed = 0
    except FeesAboveCap as error:
        log.info("collect.waits", network=name, reason=error.message)
        change = {"retry_at": now + fee.WAIT_FEES, "waits_for": error.message}
        failed = 0
    except SakkError as error:
        log.warning("collect.failed", network=name, code=error.code, reason=error.message)
        change = {"retry_at": now + retry_delay(rows[0].failures), "waits_for": error.message}
        failed = 1
        if isinstance(error, TransferWouldFail) and rows[0].failures + 1 >= WOULD_FAIL_MAX:
            # The hub itself refuses, whatever is asked of it: each goes by its own key.
            change = {"method": SweepMethod.key.value}
            failed = 0
    changes = [{"id": row.id, "failures": row.failures + failed, **change} for row in rows]
    with parts.database.begin() as connection:
        settle(connection, sweeps.sweeps, changes, token=token)
        wake(connection, "sweep.build")


def _build(parts: Parts, name: str, rows: list[Sweep], *, token: str) -> None:
    with parts.database.begin() as connection:
        held = sweeps.with_held_money(connection, [row.address for row in rows])
        set_aside = [row for row in rows if row.address in held]
        _set_aside(connection, set_aside, token=token, now=parts.clock())
    rows = [row for row in rows if row.address not in held]
    if not rows:
        return
    found, named, sender = _collector(parts, name)
    with parts.database.begin() as connection:
        known = _known(connection, found, named, sender, rows)
    rail = parts.rail_of(known.network)
    known = replace(known, hub=follow_treasury(parts, known.hub, known.network))
    standing = standings(rail.rpc, [row.address for row in rows], delegate=known.hub.delegate)
    by_hub = [row for row in rows if _goes_by_hub(row, rows, known, standing[row.address])]
    by_key = [row for row in rows if row not in by_hub]
    if by_key:
        with parts.database.begin() as connection:
            _send_by_key(connection, by_key, token=token)
    if not by_hub:
        return
    call = _fitting_call(rail, known, by_hub, standing)
    built = _built(parts, rail, known, call)
    failpoint("collect.build.before")
    with parts.database.begin() as connection:
        _insert(connection, built, call.sweeps, known, token=token)
        # What one transaction's gas does not allow goes with the next.
        rest = [{"id": row.id} for row in by_hub if row not in call.sweeps]
        settle(connection, sweeps.sweeps, rest, token=token)
        wake(connection, "collect.build")
    failpoint("collect.build.after")


def _collector(parts: Parts, name: str) -> tuple[Network, Hub, Address]:
    """The network, its hub, and the first of our addresses whose calls the hub takes."""
    with parts.database.begin() as connection:
        found = network.find_network(connection, name)
        named = hubs.find(connection, name)
        candidates = address.list_gas_payers(connection)
    if found is None or not found.enabled:
        raise Waits("the network is not enabled", WAIT_LIQUIDITY)
    if named is None:
        raise Waits("the network has no hub", WAIT_LIQUIDITY)
    if len(candidates) == 1:
        return found, named, candidates[0]
    return found, named, collector_among(parts.rail_of(found), named.address, candidates)


def _known(
    connection: Connection, found: Network, named: Hub, sender: Address, rows: Sequence[Sweep]
) -> Known:
    name = found.network
    if transaction.unsigned_of(connection, name, sender.address) is not None:
        raise Waits("another transaction of this sender is being signed", WAIT_TURN)
    deposited = [row.address for row in rows]
    return Known(
        network=found,
        hub=named,
        sender=sender,
        nonce=transaction.next_nonce(connection, name, sender.address),
        taken_wei=transaction.unmined_wei(
            connection, network=name, sender=sender.address, native=found.native_asset
        ),
        signed={
            each.address: SignedAuthorization(
                codec.for_delegate(each.delegate), evm.parse_signature(each.signature)
            )
            for each in authorization.find(connection, named.delegate, deposited).values()
        },
        addresses=address.find_addresses(connection, deposited),
    )


def _goes_by_hub(row: Sweep, rows: Sequence[Sweep], known: Known, standing: Standing) -> bool:
    if not known.hub.enabled:
        return False
    match standing:
        case Standing.ready:
            return True
        case Standing.spent:
            return False
        case Standing.can_be_delegated:
            if row.address not in known.signed:
                return False
    # A payment's address is rarely used again, so what is dearer now is not made good later.
    is_alone = all(each.address == row.address for each in rows)
    once = known.addresses[row.address].purpose == "payment"
    return not (is_alone and once and known.hub.alone == Alone.key)


def _fitting_call(
    rail: EvmRail, known: Known, rows: Sequence[Sweep], standing: dict[str, Standing]
) -> Call:
    """The call of as many sweeps as one transaction's gas allows; TransferWouldFail."""
    count = len(rows)
    while True:
        chosen = rows[:count]
        fresh = sorted(
            {row.address for row in chosen if standing[row.address] is Standing.can_be_delegated}
        )
        call = Call(chosen, [known.signed[each] for each in fresh], 0)
        gas_limit = estimate_collect(
            rail.rpc,
            sender=known.sender.address,
            to=known.hub.address,
            data=call.data,
            authorizations=call.authorizations,
        )
        if gas_limit <= hub.TRANSACTION_GAS_MAX or count == 1:
            return replace(call, gas_limit=gas_limit)
        count = max(1, count * hub.TRANSACTION_GAS_MAX // (gas_limit + 1))


def _built(parts: Parts, rail: EvmRail, known: Known, call: Call) -> ChainTransaction:
    """Price the call against the chain as it is now; its nonce is a guess."""
    price = fee.price(parts, known.network)
    head = rail.head()
    native, sender = known.network.native_asset, known.sender
    held = balances(rail.rpc, [(sender.address, native)], head.number)[sender.address, native]
    if held - known.taken_wei < call.gas_limit * price.max_fee_per_gas:
        raise Waits("the treasury has not enough native coin for gas", WAIT_LIQUIDITY)
    nonce = nonces(rail.rpc, sender.address).latest if known.nonce is None else known.nonce
    identifier = new_id("tx")
    return ChainTransaction(
        id=identifier,
        livemode=known.network.livemode,
        network=known.network.network,
        purpose=Purpose.collect.value,
        subject=identifier,
        sender=sender.address,
        key_branch="treasury",
        key_index=sender.key_index,
        nonce=nonce,
        asset=native,
        destination=known.hub.treasury,
        token_amount=0,
        gas_limit=call.gas_limit,
        max_fee_per_gas=price.max_fee_per_gas,
        max_priority_fee_per_gas=price.max_priority_fee_per_gas,
        unsigned=_encode(known, call, price, nonce),
        since_block=head.number,
        status=TransactionStatus.built.value,
        created=parts.clock(),
    )


def _encode(known: Known, call: Call, price: Fees, nonce: int) -> bytes:
    """Type 4 with the authorizations of addresses that pay to the hub for the first time."""
    unsigned = evm.Transaction(
        chain_id=chain_id(known.network.network),
        nonce=nonce,
        max_priority_fee_per_gas=price.max_priority_fee_per_gas,
        max_fee_per_gas=price.max_fee_per_gas,
        gas_limit=call.gas_limit,
        to=known.hub.address,
        value=0,
        data=call.data,
    )
    if not call.authorizations:
        return evm.encode_unsigned(unsigned)
    return codec.encode_unsigned(SetCodeTransaction(unsigned, tuple(call.authorizations)))


def _insert(
    connection: Connection,
    built: ChainTransaction,
    rows: Sequence[Sweep],
    known: Known,
    *,
    token: str,
) -> None:
    nonce = transaction.lock_nonce(connection, built.network, built.sender, base=built.nonce)
    if nonce != built.nonce:
        raise Waits("another transaction of this sender came first", WAIT_TURN)
    if transaction.unsigned_of(connection, built.network, built.sender) is not None:
        raise Waits("another transaction of this sender is being signed", WAIT_TURN)
    changes = [
        {
            "id": row.id,
            "transaction": built.id,
            "status": row.status,
            "destination": known.hub.treasury,
            "waits_for": None,
        }
        for row in rows
    ]
    if settle(connection, sweeps.sweeps, changes, token=token, guards=("status",)) != len(rows):
        raise Waits("the lease was lost", WAIT_TURN)
    transaction.insert(connection, built)
    wake(connection, "transaction.sign")


def _send_by_key(connection: Connection, rows: Sequence[Sweep], *, token: str) -> None:
    """These go by a top-up and their own keys."""
    changes = [{"id": row.id, "method": SweepMethod.key.value} for row in rows]
    settle(connection, sweeps.sweeps, changes, token=token)
    wake(connection, "sweep.build")


def _set_aside(connection: Connection, rows: Sequence[Sweep], *, token: str, now: datetime) -> None:
    """Money came to these addresses that screening holds: they are not touched until it is free."""
    for row in rows:
        failed = replace(row, status=SweepStatus.failed.value, failure_code="address_held")
        change = {name: getattr(failed, name) for name in ("id", "status", "failure_code")}
        if settle(connection, sweeps.sweeps, [change], token=token):
            address.add_deposits(connection, [(row.address, row.asset, row.token_amount)])
            events.append(connection, [sweep_event(failed, event.SWEEP_FAILED)], now=now)


def _item(row: Sweep) -> Item:
    token = erc20_contract(row.asset)
    assert token is not None, "the hub's sweeps are of tokens"
    return Item(deposit=row.address, token=token, units=row.token_amount)
