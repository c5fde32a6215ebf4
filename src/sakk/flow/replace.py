"""Replace: what no block takes is offered again for more, with the same nonce and the same call.

One nonce is mined once, so of all attempts exactly one is: whichever that is, it is booked with its
own gas. An attempt's bytes are committed before it is signed, and signed bytes before they are
sent. An operator may ask for a replacement at once, or for one that only uses the nonce up.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import structlog
from prometheus_client import Counter
from sqlalchemy import Connection

from sakk.core import authorization, event, evm, gas_price
from sakk.core.caip import chain_id
from sakk.core.errors import SakkError
from sakk.core.gas_price import Fees
from sakk.core.network import Network
from sakk.core.restore import Head
from sakk.core.sweep import Sweep
from sakk.core.transaction import (
    ASK_CANCEL,
    Attempt,
    AttemptStatus,
    ChainTransaction,
    Purpose,
    TransactionStatus,
)
from sakk.flow.context import Parts
from sakk.flow.gas_price import WAIT_FEES, price
from sakk.flow.sign_request import carried_payouts, deposit_indexes, sign_request
from sakk.flow.stage import Stage, wake
from sakk.flow.sweep import order_topup
from sakk.flow.transaction import (
    follow_hash,
    transaction_event,
)
from sakk.rails.evm.balances import balances
from sakk.rails.evm.send import estimate_call
from sakk.signing.protocol import Signed, SignerRefused
from sakk.store import event as events
from sakk.store import freeze as freezes
from sakk.store import network
from sakk.store import restore as restores
from sakk.store import sweep as sweeps
from sakk.store import transaction as store
from sakk.store.database import among, update_records
from sakk.store.failpoint import failpoint
from sakk.store.identity import new_id
from sakk.store.lease import NOW, claim, claimable, retry_delay, settle

BATCH_MAX = 50
# Each attempt offers at least a tenth more, so this many lead from any price to any other.
ATTEMPTS_MAX = 100
WAIT_SIGNER = timedelta(minutes=5)
WAIT_GAS = timedelta(seconds=10)

log = structlog.get_logger(__name__)

replaced_total = Counter(
    "sakk_transactions_replaced_total",
    "Transactions that were signed anew for a higher fee.",
    ["network"],
)


class Waits(Exception):
    """Not replaced now, and why; asked again after ``delay``."""

    def __init__(self, reason: str | None, delay: timedelta) -> None:
        super().__init__(reason)
        self.reason = reason
        self.delay = delay


_table = store.transactions
_due = claimable(
    _table,
    ChainTransaction,
    _table.c.block_hash.is_(None),
    _table.c.hash.is_not(None),
    among(_table.c.status, [TransactionStatus.broadcast.value, TransactionStatus.unknown.value])
    | _table.c.orphaned,
    _table.c.replace_at <= NOW,
    freezes.more_may_be_offered(),
    limit=BATCH_MAX,
    early=True,
)


def replace_stage(parts: Parts) -> Stage:
    """The stage that offers more for what is stuck, or what an operator names."""

    def run() -> int:
        token = new_id("lease")
        now = parts.clock()
        with parts.database.begin() as connection:
            rows = claim(connection, _due, token=token, now=now)
            if not rows:
                return 0
            networks = {each.network: each for each in network.list_networks(connection)}
            attempts = store.list_attempts(connection, [row.id for row in rows])
        replaced = 0
        for row in rows:
            replaced += _replace(parts, networks[row.network], row, attempts[row.id], token=token)
        return replaced

    return Stage("transaction.replace", run, due=(_due,))


def _replace(
    parts: Parts, found: Network, row: ChainTransaction, attempts: Sequence[Attempt], *, token: str
) -> int:
    """Bring one transaction to its next attempt; 1 if it has one, else it says why it waits."""
    try:
        following = attempts[-1] if attempts else None
        if following is None or following.status != AttemptStatus.built:
            following = _next_attempt(parts, found, row, attempts)
            failpoint("transaction.replace.before")
            with parts.database.begin() as connection:
                if not store.holds_lease(connection, row.id, token):
                    return 0
                if not attempts:
                    store.insert_attempt(connection, _as_first(row))
                store.insert_attempt(connection, following)
            failpoint("transaction.replace.after")
        _require_no_freeze(parts, row, following)
        failpoint("transaction.resign.before")
        signed = parts.signer_client().sign(
            sign_request(
                row,
                following,
                carried=carried_payouts(parts, row),
                deposits=deposit_indexes(parts, row),
                native=found.native_asset,
            )
        )
        failpoint("transaction.resign.after")
    except Waits as waiting:
        _wait(parts, row, waiting.reason, waiting.delay, token=token)
        return 0
    except SignerRefused as refusal:
        assert following is not None
        _refused(parts, row, following, refusal, token=token)
        return 0
    except SakkError as error:
        log.warning("replace.waits", transaction=row.id, code=error.code)
        _wait(parts, row, error.message, WAIT_FEES, token=token)
        return 0
    with parts.database.begin() as connection:
        restores.put_anchor(connection, Head(signed.sequence, signed.line_hash))
        return _record(connection, row, following, signed, found, token=token, now=parts.clock())


def _require_no_freeze(parts: Parts, row: ChainTransaction, attempt: Attempt) -> None:
    """Nothing is signed through a freeze; only what moves nothing may end what one forbids."""
    with parts.database.begin() as connection:
        frozen = freezes.stopping(connection, replace(row, broadcast_at=None))
    if frozen is not None and (frozen.is_whole or not attempt.cancels):
        raise Waits(f"frozen by {frozen.id}: {frozen.reason}", WAIT_FEES)


def _next_attempt(
    parts: Parts, found: Network, row: ChainTransaction, attempts: Sequence[Attempt]
) -> Attempt:
    """What is to be signed next; Waits while there is no reason to, or no way."""
    number = attempts[-1].attempt + 1 if attempts else 1
    if number >= ATTEMPTS_MAX:
        raise Waits(f"it was tried {ATTEMPTS_MAX} times: look at the network", WAIT_SIGNER)
    now_asked = price(parts, found)
    offered = Fees(row.max_fee_per_gas, row.max_priority_fee_per_gas, 0)
    if row.asked is None and gas_price.is_enough(offered, now_asked):
        # It is not the price: a node lost it, or blocks are full of what came first.
        raise Waits(None, timedelta(seconds=found.replace_after_seconds))
    fees = gas_price.raised(offered, now_asked, found.fee_caps)
    if fees is None:
        raise Waits(
            f"the next attempt must offer a tenth more than {row.max_fee_per_gas} wei per gas,"
            f" and the network's cap is {found.max_fee_per_gas_max}",
            WAIT_FEES,
        )
    cancels = row.asked == ASK_CANCEL or any(each.cancels for each in attempts)
    unsigned = _canceling(parts, found, row, fees) if cancels else _repriced(row, fees)
    _require_gas(parts, found, row, fees)
    return Attempt(
        id=new_id("txa"),
        transaction=row.id,
        attempt=number,
        network=row.network,
        cancels=cancels,
        max_fee_per_gas=fees.max_fee_per_gas,
        max_priority_fee_per_gas=fees.max_priority_fee_per_gas,
        unsigned=unsigned,
        status=AttemptStatus.built.value,
        created=parts.clock(),
    )


def _repriced(row: ChainTransaction, fees: Fees) -> bytes:
    is_set_code = authorization.is_set_code(row.unsigned)
    repriced = authorization.repriced if is_set_code else evm.repriced
    return repriced(
        row.unsigned,
        max_fee_per_gas=fees.max_fee_per_gas,
        max_priority_fee_per_gas=fees.max_priority_fee_per_gas,
    )


def _canceling(parts: Parts, found: Network, row: ChainTransaction, fees: Fees) -> bytes:
    """Nothing to the sender itself, in place of what was to be sent."""
    gas_limit = estimate_call(
        parts.rail_of(found).rpc, sender=row.sender, to=row.sender, value=0, data=b""
    )
    return evm.encode_unsigned(
        evm.Transaction(
            chain_id=chain_id(row.network),
            nonce=row.nonce,
            max_priority_fee_per_gas=fees.max_priority_fee_per_gas,
            max_fee_per_gas=fees.max_fee_per_gas,
            gas_limit=min(gas_limit, row.gas_limit),
            to=row.sender,
            value=0,
            data=b"",
        )
    )


def _require_gas(parts: Parts, found: Network, row: ChainTransaction, fees: Fees) -> None:
    """The sender must have the native coin for it; a sweep orders what its address lacks."""
    native = found.native_asset
    with parts.database.begin() as connection:
        taken = store.unmined_wei(connection, network=row.network, sender=row.sender, native=native)
        alone = row.purpose in (Purpose.sweep, Purpose.recovery)
        sweep = sweeps.find(connection, row.subject) if alone else None
    rail = parts.rail_of(found)
    held = balances(rail.rpc, [(row.sender, native)], rail.head().number)[row.sender, native]
    needed = row.gas_limit * fees.max_fee_per_gas
    more = needed - row.gas_limit * row.max_fee_per_gas
    lacking = taken + more - held
    if lacking <= 0:
        return
    if isinstance(sweep, Sweep):
        order_topup(parts, sweep, found, needed=needed, lacking=lacking)
    raise Waits(f"the sender lacks {lacking} wei of native coin for a higher fee", WAIT_GAS)


def _as_first(row: ChainTransaction) -> Attempt:
    """A transaction that was signed before its attempts were kept."""
    return Attempt(
        id=new_id("txa"),
        transaction=row.id,
        attempt=0,
        network=row.network,
        max_fee_per_gas=row.max_fee_per_gas,
        max_priority_fee_per_gas=row.max_priority_fee_per_gas,
        unsigned=row.unsigned,
        raw=row.raw,
        hash=row.hash,
        status=AttemptStatus.signed.value,
        signed_at=row.signed_at,
        created=row.created,
    )


def _record(
    connection: Connection,
    row: ChainTransaction,
    attempt: Attempt,
    signed: Signed,
    found: Network,
    *,
    token: str,
    now: datetime,
) -> int:
    """The newest attempt is what goes out from now on; those before it are watched like it."""
    # Asked for while another attempt was on its way to the signer: that comes next, at once.
    still_asked = row.asked == ASK_CANCEL and not attempt.cancels
    wait = timedelta() if still_asked else timedelta(seconds=found.replace_after_seconds)
    change: dict[str, Any] = {
        "raw": signed.raw,
        "hash": signed.hash,
        "explanation": signed.explanation,
        "max_fee_per_gas": attempt.max_fee_per_gas,
        "max_priority_fee_per_gas": attempt.max_priority_fee_per_gas,
        "replacements": attempt.attempt,
        "replace_at": now + wait,
        "waits_for": None,
        "asked": row.asked if still_asked else None,
        "broadcasts": 0,
    }
    settled = settle(connection, store.transactions, [{"id": row.id, **change}], token=token)
    if not settled:
        return 0
    update_records(
        connection,
        store.attempts,
        [
            {
                "id": attempt.id,
                "status": AttemptStatus.signed.value,
                "raw": signed.raw,
                "hash": signed.hash,
                "explanation": signed.explanation,
                "signed_at": now,
            }
        ],
    )
    follow_hash(connection, row, signed.hash)
    after = replace(row, **change)
    events.append(
        connection,
        [transaction_event(after, event.TRANSACTION_REPLACED, replaced_hash=row.hash)],
        now=now,
    )
    replaced_total.labels(row.network).inc()
    wake(connection, "transaction.broadcast")
    return settled


def _refused(
    parts: Parts, row: ChainTransaction, attempt: Attempt, refusal: SignerRefused, *, token: str
) -> None:
    """Nothing was signed. A refusal for good ends the attempt, never the transaction."""
    reason = f"the signer refuses: {refusal.reason.value}: {refusal.message}"
    log.error("replace.refused", transaction=row.id, reason=refusal.reason.value)
    if not refusal.transient:
        with parts.database.begin() as connection:
            if not store.holds_lease(connection, row.id, token):
                return
            update_records(
                connection,
                store.attempts,
                [{"id": attempt.id, "status": AttemptStatus.refused.value, "error": reason}],
            )
    delay = retry_delay(row.failures) if refusal.transient else WAIT_SIGNER
    # A booked one that is to be called off is never let go again.
    asked = row.asked if refusal.transient or row.orphaned else None
    _wait(parts, row, reason, delay, token=token, asked=asked)


def _wait(
    parts: Parts,
    row: ChainTransaction,
    reason: str | None,
    delay: timedelta,
    *,
    token: str,
    **more: Any,
) -> None:
    change = {
        "id": row.id,
        "replace_at": parts.clock() + delay,
        "waits_for": reason,
        "retry_at": row.retry_at,
        "failures": row.failures,
        **more,
    }
    with parts.database.begin() as connection:
        settle(connection, store.transactions, [change], token=token)
