"""Withdrawals: asked for, judged by the policy, approved by people, and sent to a vault."""

from dataclasses import replace
from datetime import datetime
from functools import partial

import structlog
from sqlalchemy import Connection

from sakk.core import chart, event, evm
from sakk.core import withdrawal as rules
from sakk.core.approval import Approval, is_enough
from sakk.core.errors import (
    BalanceInsufficient,
    ParameterInvalid,
    ResourceMissing,
    SakkError,
    UnexpectedState,
)
from sakk.core.event import NewEvent
from sakk.core.network import Asset, Network
from sakk.core.person import OPERATOR, Actor
from sakk.core.transaction import Purpose
from sakk.core.withdrawal import Withdrawal, WithdrawalStatus
from sakk.flow.build import BATCH_MAX, Habits, Order, attempt
from sakk.flow.context import Parts
from sakk.flow.policy import judge_one
from sakk.flow.sender import Senders
from sakk.flow.stage import Stage, wake
from sakk.flow.word import Word, approval_of, refusal_of, told_of, weighing
from sakk.store import address, network, treasury
from sakk.store import approval as approvals
from sakk.store import event as events
from sakk.store import policy as policies
from sakk.store import withdrawal as store
from sakk.store.database import update_records
from sakk.store.identity import new_id
from sakk.store.lease import claim, claimable, settle

_JUDGED = (
    "status",
    "policy_version",
    "rule",
    "approvals_needed",
    "approver_role",
    "decided_at",
    "failure_code",
)

log = structlog.get_logger(__name__)


def withdraw(
    parts: Parts,
    *,
    asset_name: str,
    units: int,
    destination: str,
    actor: Actor,
    livemode: bool | None = None,
    identifier: str | None = None,
) -> Withdrawal:
    """Ask for coins of the hot treasury to go to a vault; the same identifier is the same one.

    The policy in force says whether they go, wait for people, or stay. ``livemode``: of which mode
    the asset must be, None for any. ParameterInvalid when the destination is no vault of the
    asset's network; BalanceInsufficient when the hot treasury does not hold so much.
    """
    name = identifier or new_id("wd")
    [held] = parts.books.balances([chart.custody(asset_name, "hot")])
    now = parts.clock()
    with parts.database.begin() as connection:
        existing = store.find(connection, name)
        if existing is not None:
            return existing
        asset = network.find_asset(connection, asset_name)
        found = None if asset is None else network.find_network(connection, asset.network)
        if asset is None or found is None or livemode not in (None, found.livemode):
            raise ParameterInvalid(
                "There is no listed asset {asset}.", param="asset", asset=asset_name
            )
        place = _vault(connection, asset, destination)
        if units <= 0:
            raise ParameterInvalid("Withdraw more than nothing.", param="token_amount")
        if units > -held:
            raise BalanceInsufficient(
                "{held} units are hot, {units} are asked for.", held=-held, units=units
            )
        row = _drafted(connection, asset, found, name, place, units, actor, now=now)
        row = _judged(connection, row, now=now)
        store.insert(connection, row)
        told = [withdrawal_event(row, event.WITHDRAWAL_CREATED), *_news(row)]
        events.append(connection, told, now=now)
        wake(connection, "withdrawal.build")
    return row


def approve(
    parts: Parts, identifier: str, word: Word, *, approval_id: str, livemode: bool
) -> Withdrawal:
    """One more approval of a withdrawal that waits; with enough of them it may be signed.

    A version of the policy that took effect since is asked first. Raises what
    `sakk.flow.approval.approve` does.
    """
    with weighing(parts, word, livemode=livemode) as (connection, now):
        row, given = _waiting(connection, identifier, livemode=livemode)
        if any(each.id == approval_id for each in given):
            return row
        _require_waiting(row)
        active = policies.find_active(connection, livemode=livemode)
        if row.policy_version != (None if active is None else active.id):
            row = _judged(connection, row, now=now)
            if row.status != WithdrawalStatus.screened:
                return _written(connection, row, *_news(row), now=now)
        subject = rules.approvable(row)
        approval = approval_of(parts, connection, subject, word, given, approval_id, now=now)
        approvals.insert(connection, [approval])
        if is_enough(subject, [*given, approval]):
            row = replace(row, status=WithdrawalStatus.approved.value)
        return _written(connection, row, told_of(approval), now=now)


def reject(
    parts: Parts, identifier: str, word: Word, *, approval_id: str, livemode: bool
) -> Withdrawal:
    """One no is enough: the withdrawal ends, and the coins stay. So does one that was approved and
    waits for a transaction: what it waits for may never come."""
    now = parts.clock()
    with parts.database.begin() as connection:
        row, given = _waiting(connection, identifier, livemode=livemode)
        if any(each.id == approval_id for each in given):
            return row
        if not rules.may_be_rejected(row):
            raise UnexpectedState(
                "This withdrawal is {status}: nothing is to be decided.", status=row.status
            )
        asked = rules.approvable(row)
        if asked.approver_role is None:
            # The policy asked for nobody: who may stop it is who approves where nobody is named.
            asked = replace(asked, approver_role=OPERATOR)
        refusal = refusal_of(connection, asked, word, approval_id, now=now)
        if all(each.actor != refusal.actor for each in given):
            approvals.insert(connection, [refusal])
        rejected = WithdrawalStatus.rejected.value
        row = replace(row, status=rejected, failure_code="rejected")
        return _written(connection, row, told_of(refusal), *_news(row), now=now)


def _vault(connection: Connection, asset: Asset, destination: str) -> str:
    try:
        place = evm.parse_address(destination)
    except ValueError as error:
        raise ParameterInvalid(str(error), param="destination") from None
    if treasury.find_vault(connection, asset.network, place) is None:
        raise ParameterInvalid(
            "{destination} is no vault on {network}: withdrawals go to vaults alone. "
            "`sakk treasury vault` names one.",
            param="destination",
            destination=destination,
            network=asset.network,
        )
    return place


def _drafted(
    connection: Connection,
    asset: Asset,
    found: Network,
    name: str,
    place: str,
    units: int,
    actor: Actor,
    *,
    now: datetime,
) -> Withdrawal:
    currencies = {each.currency: each for each in network.list_currencies(connection)}
    currency = currencies[asset.currency]
    return Withdrawal(
        id=name,
        livemode=found.livemode,
        network=asset.network,
        asset=asset.asset,
        destination=place,
        token_amount=units,
        currency=asset.currency,
        decimals=currency.decimals,
        amount=rules.amount_of(units, asset, currency),
        status=WithdrawalStatus.requested.value,
        initiator=actor.key,
        initiator_person=actor.person,
        created=now,
    )


def _judged(connection: Connection, row: Withdrawal, *, now: datetime) -> Withdrawal:
    version, decision = judge_one(
        connection,
        partial(rules.facts_of, row),
        subject=row.id,
        person=row.initiator_person,
        livemode=row.livemode,
        now=now,
    )
    number = None if version is None else version.id
    return rules.decided(row, decision, version=number, now=now)


def _waiting(
    connection: Connection, identifier: str, *, livemode: bool
) -> tuple[Withdrawal, list[Approval]]:
    """A withdrawal of a mode, locked, and what was said of it; ResourceMissing."""
    row = store.lock_one(connection, identifier)
    if row is None or row.livemode is not livemode:
        raise ResourceMissing(
            "No such withdrawal: {identifier}", param="id", identifier=repr(identifier)
        )
    return row, approvals.of_subjects(connection, [row.id])


def _require_waiting(row: Withdrawal) -> None:
    if row.status != WithdrawalStatus.screened:
        raise UnexpectedState(
            "This withdrawal is {status} and waits for nobody's approval.", status=row.status
        )


def _news(row: Withdrawal) -> list[NewEvent]:
    """What is told of a withdrawal that was just judged or refused."""
    match WithdrawalStatus(row.status):
        case WithdrawalStatus.screened:
            return [withdrawal_event(row, event.WITHDRAWAL_AWAITING_APPROVALS)]
        case WithdrawalStatus.rejected:
            return [withdrawal_event(row, event.WITHDRAWAL_FAILED)]
        case _:
            return []


def _written(connection: Connection, row: Withdrawal, *told: NewEvent, now: datetime) -> Withdrawal:
    _write(connection, row, *_JUDGED)
    events.append(connection, list(told), now=now)
    wake(connection, "withdrawal.build")
    return row


_due = claimable(
    store.withdrawals,
    Withdrawal,
    store.withdrawals.c.status == WithdrawalStatus.approved.value,
    store.withdrawals.c.transaction.is_(None),
    limit=BATCH_MAX,
)


def withdrawal_build_stage(parts: Parts) -> Stage:
    """The stage that prepares the transactions of withdrawals to vaults."""
    table = store.withdrawals
    habits = Habits(table, check=lambda *_: None, give_up=_give_up, lacks_gas=_lacks_gas)

    def run() -> int:
        token = new_id("lease")
        with parts.database.begin() as connection:
            rows = claim(connection, _due, token=token, now=parts.clock())
            if not rows:
                return 0
            treasury = address.list_payers(connection)
        if not treasury:
            raise SakkError("No treasury address yet: start the signer.")
        senders = Senders(parts, treasury)
        for row in rows:
            sender = senders.choose(row.network, row.asset, units=row.token_amount)
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

    return Stage("withdrawal.build", run, due=(_due,))


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
