"""Build payouts: what was tried out gets a transaction with a nonce, alone or with others."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial

import structlog
from sqlalchemy import Connection

from sakk.core import event
from sakk.core.caip import erc20_contract
from sakk.core.disperse import LINES_MAX
from sakk.core.errors import SakkError
from sakk.core.gas_price import FeesAboveCap
from sakk.core.payout import BANK, HoldStatus, Payout, PayoutStatus
from sakk.core.transaction import Purpose
from sakk.flow import gas_price
from sakk.flow.build import (
    BATCH_MAX,
    WOULD_FAIL_MAX,
    Habits,
    NoTurn,
    Order,
    Waits,
    attempt,
    put_off,
    put_off_failed,
)
from sakk.flow.context import Parts
from sakk.flow.disperse import Group, disperse, may_go_together, park
from sakk.flow.payout import payout_event
from sakk.flow.sender import Senders
from sakk.flow.stage import REST_SECONDS, Stage, wake
from sakk.flow.trial import require_exact_transfer
from sakk.rails.evm.rail import EvmRail
from sakk.rails.evm.send import TransferWouldFail
from sakk.store import address, network
from sakk.store import event as events
from sakk.store import freeze as freezes
from sakk.store import payout as payouts
from sakk.store import sender as senders
from sakk.store.database import given_among
from sakk.store.identity import new_id
from sakk.store.lease import claim, claimable, give_back, settle

log = structlog.get_logger(__name__)

_due = claimable(
    payouts.payouts,
    Payout,
    payouts.payouts.c.status == PayoutStatus.approved.value,
    payouts.payouts.c.hold == HoldStatus.held.value,
    payouts.payouts.c.transaction.is_(None),
    payouts.payouts.c.network != BANK,
    ~given_among(payouts.payouts.c.network, "busy"),
    freezes.payout_may_go(),
    payouts.is_due(),
    limit=LINES_MAX,
)


def payout_build_stage(parts: Parts) -> Stage:
    """The stage that prepares the transactions of approved payouts.

    What is due together goes together, and nothing waits for company: a lone payout is sent at
    once, and while it is signed the next ones gather.
    """
    table = payouts.payouts

    def run() -> int:
        token = new_id("lease")
        now = parts.clock()
        with parts.database.begin() as connection:
            treasury = address.list_payers(connection)
            # Where every sender has an unsigned transaction nothing is built: its signing wakes.
            busy = senders.busy_networks(connection, [each.address for each in treasury])
            rows = claim(connection, _due, token=token, now=now, busy=list(busy))
            if not rows:
                return 0
            listed = {each.asset: each for each in network.list_assets(connection)}
            networks = {each.network: each for each in network.list_networks(connection)}
        if not treasury:
            with parts.database.begin() as connection:
                give_back(connection, table, [row.id for row in rows], token=token)
            raise SakkError("No treasury address yet: start the signer.")
        treasuries = Senders(parts, treasury)
        lone: list[Payout] = [row for row in rows if not may_go_together(row)]
        for asset, members in _by_asset(rows).items():
            group = Group(networks[listed[asset].network], listed[asset], treasury[0], members)
            lone += _together(parts, group, treasuries, token=token)
        # As it stands now: what a group was to take and did not is not promised to anyone.
        _each_alone(parts, lone, Senders(parts, treasury), token=token)
        return len(rows)

    # What is scheduled is due by the clock.
    return Stage("payout.build", run, rest_seconds=REST_SECONDS, keeps_time=True)


def _by_asset(rows: Sequence[Payout]) -> dict[str, list[Payout]]:
    """Those that may share a transaction, by what they pay in, the oldest first."""
    found: dict[str, list[Payout]] = {}
    for row in rows:
        if may_go_together(row):
            found.setdefault(row.asset, []).append(row)
    return found


def _together(parts: Parts, group: Group, treasuries: Senders, *, token: str) -> Sequence[Payout]:
    """Build one transaction for a group; returns those that go alone, now."""
    if not group.is_worth_it or not group.network.enabled:
        return group.rows
    table, rows = payouts.payouts, group.rows
    units = sum(row.token_amount for row in rows)
    try:
        sender = treasuries.choose(group.network.network, group.asset.asset, units=units)
        return disperse(parts, replace(group, sender=sender), token=token)
    except Waits as waiting:
        log.info("build.waits", payouts=len(rows), reason=str(waiting))
        delay, reason = waiting.delay, str(waiting)
        put_off(parts, table, rows, token=token, delay=delay, reason=reason)
    except FeesAboveCap as error:
        put_off(parts, table, rows, token=token, delay=gas_price.WAIT_FEES, reason=error.message)
    except TransferWouldFail as error:
        log.warning("build.would_fail", payouts=len(rows), reason=error.message)
        waiting_long = [row for row in rows if row.failures + 1 >= WOULD_FAIL_MAX]
        others = [row for row in rows if row.failures + 1 < WOULD_FAIL_MAX]
        park(parts, waiting_long, token=token)
        put_off_failed(parts, table, others, error, token=token)
    except SakkError as error:
        log.warning("build.failed", payouts=len(rows), code=error.code, reason=error.message)
        put_off_failed(parts, table, rows, error, token=token)
    return ()


def _each_alone(parts: Parts, rows: Sequence[Payout], treasuries: Senders, *, token: str) -> None:
    """One plain transfer each, on each network as long as a sender takes another nonce."""
    table = payouts.payouts
    habits = Habits(
        table, check=partial(_check, parts), give_up=_fail_payout, lacks_gas=lambda *_: None
    )
    full: dict[str, NoTurn] = {}
    left: list[Payout] = []
    for place, row in enumerate(rows):
        if row.network in full or place - len(left) == BATCH_MAX:
            left.append(row)
            continue
        sender = treasuries.choose(row.network, row.asset, units=row.token_amount)
        order = Order(
            livemode=row.livemode,
            network=row.network,
            purpose=Purpose(row.purpose),
            subject=row.id,
            account_id=row.account_id,
            sender=sender.address,
            key_branch="treasury",
            key_index=sender.key_index,
            asset=row.asset,
            destination=row.destination,
            units=row.token_amount,
        )
        waiting = attempt(parts, habits, row, order, token=token)
        if waiting is not None:
            full[row.network] = waiting
    for name, waiting in full.items():
        rest = [row for row in left if row.network == name]
        put_off(parts, table, rest, token=token, delay=waiting.delay, reason=str(waiting))
    with parts.database.begin() as connection:
        others = [row.id for row in left if row.network not in full]
        give_back(connection, table, others, token=token)


def _check(parts: Parts, rail: EvmRail, order: Order) -> None:
    """Exactly the amount must leave and arrive, and nothing else of ours may change."""
    require_exact_transfer(
        parts,
        rail,
        sender=order.sender,
        receiver=order.destination,
        contract=erc20_contract(order.asset),
        units=order.units,
    )


def _fail_payout(
    connection: Connection, row: Payout, reason: str, token: str, now: datetime
) -> None:
    """Nothing was signed, so it is certain that nothing was sent: the hold goes back."""
    failed = replace(
        row,
        status=PayoutStatus.failed.value,
        failure_code="transfer_would_fail",
        failure_message=reason,
    )
    fields = ("id", "status", "failure_code", "failure_message")
    change = {name: getattr(failed, name) for name in fields}
    if settle(connection, payouts.payouts, [change], token=token):
        events.append(connection, [payout_event(failed, event.PAYOUT_FAILED)], now=now)
        wake(connection, "payout.release")
