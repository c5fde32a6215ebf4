"""The treasury: its vaults and targets, what should move, and withdrawals to vaults."""

from dataclasses import replace
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy import Connection

from sakk.core import chart, event, evm
from sakk.core import treasury as rules
from sakk.core.caip import asset_network
from sakk.core.errors import BalanceInsufficient, ParameterInvalid, SakkError
from sakk.core.event import NewEvent
from sakk.core.network import Network
from sakk.core.transaction import Purpose
from sakk.core.treasury import Holding, Target, Tier, Vault, Withdrawal, WithdrawalStatus
from sakk.flow.build import BATCH_MAX, Habits, Order, attempt
from sakk.flow.context import Parts
from sakk.flow.stage import Stage, wake
from sakk.store import address, network
from sakk.store import event as events
from sakk.store import treasury as store
from sakk.store.database import update_records
from sakk.store.identity import new_id
from sakk.store.lease import claim, settle

LABEL_CHARACTERS_MAX = 100

log = structlog.get_logger(__name__)


def put_vault(
    connection: Connection, *, name: str, place: str, tier: Tier, label: str, now: datetime
) -> Vault:
    """Name an address of the operator's own as a vault, and watch it from now on.

    What stands there already is not counted: it is booked as it comes. ParameterInvalid for an
    address that deposits come to, or of the treasury.
    """
    found = network.find_network(connection, name)
    if found is None:
        raise ParameterInvalid(f"There is no network {name}.", param="network")
    try:
        parsed = evm.parse_address(place)
    except ValueError as error:
        raise ParameterInvalid(str(error), param="address") from None
    if tier is Tier.hot:
        raise ParameterInvalid("A vault is warm or cold.", param="tier")
    if not 0 < len(label) <= LABEL_CHARACTERS_MAX:
        raise ParameterInvalid(
            f"A label has 1 to {LABEL_CHARACTERS_MAX} characters.", param="label"
        )
    known = address.find_address(connection, parsed)
    if known is not None and known.purpose != address.VAULT:
        raise ParameterInvalid(
            f"{place} is already an address of this house, for {known.purpose}.", param="address"
        )
    address.put_vault(connection, parsed, livemode=found.livemode, now=now)
    vault = Vault(network=name, address=parsed, tier=tier.value, label=label, created=now)
    store.put_vault(connection, vault)
    return vault


def put_target(connection: Connection, target: Target) -> Target:
    """Say how much of an asset shall stand hot. ParameterInvalid unless low ≤ target ≤ high."""
    if network.find_asset(connection, target.asset) is None:
        raise ParameterInvalid(f"There is no listed asset {target.asset}.", param="asset")
    if not 0 <= target.low_units <= target.target_units <= target.high_units:
        raise ParameterInvalid("The band is low ≤ target ≤ high, from 0 on.", param="target")
    store.put_target(connection, target)
    return target


def plan(parts: Parts, *, livemode: bool) -> list[dict[str, Any]]:
    """Every asset's balances by tier, its target, and what should move, by the books."""
    with parts.database.begin() as connection:
        live = {
            each.network for each in network.list_networks(connection) if each.livemode is livemode
        }
        assets = [each.asset for each in network.list_assets(connection) if each.network in live]
        vaults = [each for each in store.list_vaults(connection) if each.network in live]
        units_at = store.vault_units(connection, [each.address for each in vaults])
        targets = store.list_targets(connection)
    hot = parts.books.balances([chart.custody(each, "hot") for each in assets])
    # Credits less debits: an account of coins held shows what it holds below zero.
    standing = [Holding(asset, Tier.hot, -units) for asset, units in zip(assets, hot, strict=True)]
    for vault in vaults:
        for asset in assets:
            if asset_network(asset) == vault.network:
                units = units_at.get((vault.address, asset), 0)
                standing.append(Holding(asset, Tier(vault.tier), units, vault.address, vault.label))
    return [rules.public_holding(name, targets.get(name), standing) for name in assets]


def withdraw(
    parts: Parts, *, asset_name: str, units: int, destination: str, identifier: str | None = None
) -> Withdrawal:
    """Send coins of the hot treasury to a vault; the same identifier again is the same one.

    ParameterInvalid when the destination is no vault of the asset's network;
    BalanceInsufficient when the hot treasury does not hold so much.
    """
    name = identifier or new_id("wd")
    [held] = parts.books.balances([chart.custody(asset_name, "hot")])
    now = parts.clock()
    with parts.database.begin() as connection:
        existing = store.find(connection, name)
        if existing is not None:
            return existing
        asset = network.find_asset(connection, asset_name)
        if asset is None:
            raise ParameterInvalid(f"There is no listed asset {asset_name}.", param="asset")
        found = network.find_network(connection, asset.network)
        assert found is not None
        try:
            place = evm.parse_address(destination)
        except ValueError as error:
            raise ParameterInvalid(str(error), param="destination") from None
        if store.find_vault(connection, asset.network, place) is None:
            raise ParameterInvalid(
                f"{destination} is no vault on {asset.network}: withdrawals go to vaults alone. "
                "`sakk treasury vault` names one.",
                param="destination",
            )
        if units <= 0:
            raise ParameterInvalid("Withdraw more than nothing.", param="amount")
        if units > -held:
            raise BalanceInsufficient(f"{-held} units are hot, {units} are asked for.")
        row = Withdrawal(
            id=name,
            livemode=found.livemode,
            network=asset.network,
            asset=asset.asset,
            destination=place,
            token_amount=units,
            status=WithdrawalStatus.approved.value,
            created=now,
        )
        store.insert(connection, row)
        events.append(connection, [withdrawal_event(row, event.WITHDRAWAL_CREATED)], now=now)
        wake(connection, "withdrawal.build")
    return row


def withdrawal_build_stage(parts: Parts) -> Stage:
    """The stage that prepares the transactions of withdrawals to vaults."""
    table = store.withdrawals
    habits = Habits(table, check=lambda *_: None, give_up=_give_up, lacks_gas=_lacks_gas)

    def run() -> int:
        token = new_id("lease")
        with parts.database.begin() as connection:
            rows = claim(
                connection,
                table,
                Withdrawal,
                table.c.status == WithdrawalStatus.approved.value,
                table.c.transaction.is_(None),
                token=token,
                now=parts.clock(),
                limit=BATCH_MAX,
            )
            treasury = address.list_payers(connection)
        if rows and not treasury:
            raise SakkError("No treasury address yet: start the signer.")
        for row in rows:
            sender = treasury[0]
            order = Order(
                livemode=row.livemode,
                network=row.network,
                purpose=Purpose.withdrawal,
                subject=row.id,
                account_id=None,
                sender=sender.address,
                key_branch="treasury",
                key_index=sender.key_index,
                asset=row.asset,
                destination=row.destination,
                units=row.token_amount,
            )
            attempt(parts, habits, row, order, token=token)
        return len(rows)

    return Stage("withdrawal.build", run)


def withdrawal_event(row: Withdrawal, name: str) -> NewEvent:
    """An event about a withdrawal; the operator's alone."""
    return NewEvent(
        account_id=None,
        livemode=row.livemode,
        type=name,
        object_id=row.id,
        object=rules.public(row),
    )


def advance_withdrawal(
    connection: Connection, identifier: str, status: WithdrawalStatus, *, tx_hash: str | None = None
) -> list[NewEvent]:
    """A withdrawal takes its transaction's status; its end alone is told of."""
    row = store.lock_one(connection, identifier)
    assert row is not None
    moved = replace(row, status=status.value, tx_hash=tx_hash or row.tx_hash)
    _write(connection, moved, "status", "tx_hash")
    return []


def finish_withdrawal(
    connection: Connection, identifier: str, *, succeeded: bool, now: datetime
) -> list[NewEvent]:
    """Bring the withdrawal of a booked transaction to its end, and tell of it."""
    row = store.lock_one(connection, identifier)
    assert row is not None
    if succeeded:
        done = replace(row, status=WithdrawalStatus.posted.value, posted_at=now, failure_code=None)
        name = event.WITHDRAWAL_POSTED
    else:
        done = replace(row, status=WithdrawalStatus.failed.value, failure_code="transaction_failed")
        name = event.WITHDRAWAL_FAILED
    _write(connection, done, "status", "posted_at", "failure_code")
    return [withdrawal_event(done, name)]


def refuse_withdrawal(connection: Connection, identifier: str, code: str, *, now: datetime) -> None:
    """The signer refused it for good: nothing was sent."""
    row = store.lock_one(connection, identifier)
    assert row is not None
    if row.status != WithdrawalStatus.approved:
        return
    done = replace(row, status=WithdrawalStatus.rejected.value, failure_code=code)
    _write(connection, done, "status", "failure_code")
    events.append(connection, [withdrawal_event(done, event.WITHDRAWAL_FAILED)], now=now)


def _give_up(
    connection: Connection, row: Withdrawal, reason: str, token: str, now: datetime
) -> None:
    failed = replace(row, status=WithdrawalStatus.failed.value, failure_code="transfer_would_fail")
    change = {name: getattr(failed, name) for name in ("id", "status", "failure_code")}
    if settle(connection, store.withdrawals, [change], token=token):
        log.warning("withdrawal.given_up", withdrawal=row.id, reason=reason)
        happened = [withdrawal_event(failed, event.WITHDRAWAL_FAILED)]
        events.append(connection, happened, now=now)


def _lacks_gas(parts: Parts, row: Withdrawal, found: Network, needed: int, lacking: int) -> None:
    """The treasury itself is out of native coin: the low tank's alarm says so."""
    log.warning("withdrawal.no_native_coin", withdrawal=row.id, network=found.network)


def _write(connection: Connection, row: Withdrawal, *fields: str) -> None:
    change = {name: getattr(row, name) for name in ("id", *fields)}
    update_records(connection, store.withdrawals, [change])
