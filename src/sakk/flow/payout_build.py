"""Build payouts: an approved one that was tried out gets a transaction with a nonce."""

from dataclasses import replace
from datetime import datetime
from functools import partial

from sqlalchemy import Connection

from sakk.core import event
from sakk.core.caip import erc20_contract
from sakk.core.errors import SakkError
from sakk.core.payout import HoldStatus, Payout, PayoutStatus
from sakk.core.transaction import Purpose
from sakk.flow.build import BATCH_MAX, Habits, Order, attempt
from sakk.flow.context import Parts
from sakk.flow.payout import payout_event
from sakk.flow.sender import Senders
from sakk.flow.stage import Stage, wake
from sakk.flow.trial import require_exact_transfer
from sakk.rails.evm.rail import EvmRail
from sakk.store import address
from sakk.store import event as events
from sakk.store import freeze as freezes
from sakk.store import payout as payouts
from sakk.store.identity import new_id
from sakk.store.lease import claim, give_back, settle


def payout_build_stage(parts: Parts) -> Stage:
    """The stage that prepares the transactions of approved payouts."""
    table = payouts.payouts
    habits = Habits(
        table, check=partial(_check, parts), give_up=_fail_payout, lacks_gas=lambda *_: None
    )

    def run() -> int:
        token = new_id("lease")
        now = parts.clock()
        with parts.database.begin() as connection:
            rows = claim(
                connection,
                table,
                Payout,
                table.c.status == PayoutStatus.approved.value,
                table.c.hold == HoldStatus.held.value,
                table.c.transaction.is_(None),
                freezes.payout_may_go(),
                payouts.is_due(now),
                token=token,
                now=now,
                limit=BATCH_MAX,
            )
            treasury = address.list_treasury(connection)
        if not rows:
            return 0
        if not treasury:
            with parts.database.begin() as connection:
                give_back(connection, table, [row.id for row in rows], token=token)
            raise SakkError("No treasury address yet: start the signer.")
        senders = Senders(parts, treasury)
        for row in rows:
            sender = senders.choose(row.network, row.asset, units=row.token_amount)
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
            attempt(parts, habits, row, order, token=token)
        return len(rows)

    return Stage("payout.build", run)


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
