"""Capture: requested x402 payments get transactions of the keys that carry them out.

What is due for one token goes together, through our contract, in which one that fails stops no
other; each key takes its share, so several are built at once. What does not fit there (Permit2, a
wallet contract's signature, numbers that are too wide) goes alone. Everything is tried out first:
what would move nothing fails here, with its reason, and costs no gas.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import cycle

import structlog
from sqlalchemy import Connection

from sakk.core import capture as rules
from sakk.core import evm
from sakk.core.caip import chain_id
from sakk.core.capture import LINES_MAX, Line, fits
from sakk.core.contract import CAPTURE
from sakk.core.disperse import TRANSACTION_GAS_MAX
from sakk.core.errors import SakkError
from sakk.core.gas_price import FeesAboveCap
from sakk.core.network import Network
from sakk.core.transaction import ChainTransaction, Purpose, TransactionStatus
from sakk.core.x402 import Invalid, Reason
from sakk.core.x402_payment import Method, X402Payment, X402Status, check_times, encode_call
from sakk.flow import gas_price
from sakk.flow.build import WAIT_TURN, Waits, stand, take_turn
from sakk.flow.context import Parts
from sakk.flow.stage import Stage, wake
from sakk.flow.x402_payment import BUILD, fail
from sakk.rails.evm.balances import balances
from sakk.rails.evm.capture import explain, has_code, try_capture, words_of, would_fail
from sakk.rails.evm.rail import EvmRail
from sakk.rails.evm.send import GAS_MARGIN_PERCENT, estimate_call
from sakk.store import address, network, transaction
from sakk.store import freeze as freezes
from sakk.store import sender as senders
from sakk.store import x402_payment as store
from sakk.store.address import Address
from sakk.store.database import given_among
from sakk.store.failpoint import failpoint
from sakk.store.identity import new_id
from sakk.store.lease import claim, claimable, retry_delay, settle

# What a run takes; a token's share goes in transactions of `LINES_MAX` lines at most.
BATCH_MAX = 400
# Payments gather for so long after a run that moved few; the first never waits.
REST_SECONDS = 0.15
WAIT_GAS = timedelta(seconds=2)
# A payment that can not be built so often is called off.
FAILURES_MAX = 8

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Batch:
    """Payments of one token on one network that one key carries out."""

    network: Network
    asset: str
    sender: Address
    rows: Sequence[X402Payment]

    @property
    def goes_together(self) -> bool:
        return may_go_together(self.rows[0])


@dataclass(frozen=True, slots=True)
class Call:
    """What a batch calls, with how much gas; ``rows`` in the order of its lines."""

    to: str
    data: bytes
    gas_limit: int
    rows: Sequence[X402Payment]


_due = claimable(
    store.x402_payments,
    X402Payment,
    store.x402_payments.c.status == X402Status.requested.value,
    store.x402_payments.c.transaction.is_(None),
    ~given_among(store.x402_payments.c.network, "busy"),
    freezes.capture_may_go(),
    limit=BATCH_MAX,
)


def capture_stage(parts: Parts) -> Stage:
    """The stage that prepares the transactions of requested payments."""

    def run() -> int:
        token = new_id("lease")
        now = parts.clock()
        with parts.database.begin() as connection:
            keys = address.list_captors(connection)
            # Where every key has an unsigned transaction nothing is built: its signing wakes.
            busy = senders.busy_networks(connection, [each.address for each in keys])
            rows = claim(connection, _due, token=token, now=now, busy=list(busy))
            if not rows:
                return 0
            found = {each.network: each for each in network.list_networks(connection)}
        if not keys:
            raise SakkError("No treasury address yet: start the signer.")
        for batch in _batches(rows, found, keys):
            _build(parts, batch, token=token)
        return len(rows)

    return Stage(BUILD, run, rest_seconds=REST_SECONDS)


def may_go_together(row: X402Payment) -> bool:
    """Is it a key's signature over numbers that fit a line of our contract?"""
    return row.method == Method.eip3009 and row.by_key and fits(row.claim.authorization)


def _batches(
    rows: Sequence[X402Payment], found: dict[str, Network], keys: Sequence[Address]
) -> list[Batch]:
    """Shares of what is due, the oldest first, each for the next key in turn."""
    shares: list[list[X402Payment]] = []
    open_share: dict[tuple[str, str], list[X402Payment]] = {}
    for row in rows:
        if not may_go_together(row):
            shares.append([row])
            continue
        share = open_share.get((row.network, row.asset))
        if share is None or len(share) == LINES_MAX:
            share = open_share[row.network, row.asset] = []
            shares.append(share)
        share.append(row)
    return [
        Batch(found[share[0].network], share[0].asset, key, share)
        for share, key in zip(shares, cycle(keys), strict=False)
    ]


def _build(parts: Parts, batch: Batch, *, token: str) -> None:
    """Build one batch's transaction, or say why its payments wait or fail."""
    try:
        batch = _in_time(parts, batch)
        if batch.rows:
            _prepare(parts, batch, token=token)
    except Waits as waiting:
        log.info("capture.waits", payments=len(batch.rows), reason=str(waiting))
        _put_off(parts, batch, token=token, until=parts.clock() + waiting.delay)
    except FeesAboveCap:
        _put_off(parts, batch, token=token, until=parts.clock() + gas_price.WAIT_FEES)
    except SakkError as error:
        log.warning("capture.failed", payments=len(batch.rows), code=error.code)
        _put_off(parts, batch, token=token, until=None)


def _in_time(parts: Parts, batch: Batch) -> Batch:
    """Without those that have expired while they waited."""
    now = parts.clock()
    good = []
    for row in batch.rows:
        try:
            check_times(row.claim, now)
            good.append(row)
        except Invalid as error:
            with parts.database.begin() as connection:
                fail(connection, [row], error.reason, error.message)
    return Batch(batch.network, batch.asset, batch.sender, good)


def _prepare(parts: Parts, batch: Batch, *, token: str) -> None:
    with parts.database.begin() as connection:
        standing = stand(
            connection,
            batch.network,
            batch.sender.address,
            batch.asset,
            purpose=Purpose.capture,
        )
    rail = parts.rail_of(batch.network)
    call = _call(parts, rail, batch)
    if not call.rows:
        return
    head = rail.head().number
    price = gas_price.price(parts, batch.network)
    native = batch.network.native_asset
    holding = (batch.sender.address, native)
    spare_wei = balances(rail.rpc, [holding], head)[holding] - standing.taken_wei
    if spare_wei < call.gas_limit * price.max_fee_per_gas:
        raise Waits("the sender has not enough native coin for gas", WAIT_GAS)
    identifier = new_id("tx")
    nonce = standing.next_nonce(rail)
    unsigned = evm.Transaction(
        chain_id=chain_id(batch.network.network),
        nonce=nonce,
        max_priority_fee_per_gas=price.max_priority_fee_per_gas,
        max_fee_per_gas=price.max_fee_per_gas,
        gas_limit=call.gas_limit,
        to=call.to,
        value=0,
        data=call.data,
    )
    built = ChainTransaction(
        id=identifier,
        livemode=batch.network.livemode,
        network=batch.network.network,
        purpose=Purpose.capture.value,
        subject=identifier,
        sender=batch.sender.address,
        key_branch="treasury",
        key_index=batch.sender.key_index,
        nonce=nonce,
        asset=batch.asset,
        destination=call.to,
        token_amount=sum(row.token_amount for row in call.rows),
        gas_limit=call.gas_limit,
        max_fee_per_gas=price.max_fee_per_gas,
        max_priority_fee_per_gas=price.max_priority_fee_per_gas,
        unsigned=evm.encode_unsigned(unsigned),
        since_block=head,
        status=TransactionStatus.built.value,
        created=parts.clock(),
    )
    failpoint("capture.build.before")
    with parts.database.begin() as connection:
        _insert(connection, call.rows, built, token=token)
    failpoint("capture.build.after")


def _call(parts: Parts, rail: EvmRail, batch: Batch) -> Call:
    """What carries out those of a batch that would move their coins now; the others fail."""
    if batch.goes_together and has_code(rail.rpc, CAPTURE.address):
        return _together(parts, rail, batch)
    first, *others = batch.rows
    if others:
        # Where our contract does not stand each goes alone, one a turn.
        with parts.database.begin() as connection:
            store.change(connection, [row.id for row in others], lease_until=None)
            wake(connection, BUILD)
    return _alone(parts, rail, Batch(batch.network, batch.asset, batch.sender, [first]))


def _alone(parts: Parts, rail: EvmRail, batch: Batch) -> Call:
    [row] = batch.rows
    to, data = encode_call(row.claim)
    failure = would_fail(rail.rpc, row.claim)
    if failure is not None:
        with parts.database.begin() as connection:
            fail(connection, [row], *failure)
        return Call(to, data, 0, ())
    limit = estimate_call(rail.rpc, sender=batch.sender.address, to=to, value=0, data=data)
    return Call(to, data, limit, [row])


def _together(parts: Parts, rail: EvmRail, batch: Batch) -> Call:
    """All lines that a trial moves; what it names as failed is taken out, and fails."""
    token = batch.rows[0].claim.token
    rows = list(batch.rows)
    lines = [_line(row) for row in rows]
    tried = try_capture(rail.rpc, token, lines, sender=batch.sender.address)
    limit = min(len(rows) * rules.LINE_GAS_MAX, TRANSACTION_GAS_MAX)
    if tried is None:
        failures = [would_fail(rail.rpc, row.claim) for row in rows]
    else:
        failures = [
            None
            if outcome.log_index is not None
            else explain(rail.rpc, row.claim, words_of(outcome))
            for row, outcome in zip(rows, tried.outcomes, strict=True)
        ]
        limit = rules.gas_limit(tried.gas_used, margin_percent=GAS_MARGIN_PERCENT)
    good = []
    for row, failure in zip(rows, failures, strict=True):
        if failure is None:
            good.append(row)
            continue
        with parts.database.begin() as connection:
            fail(connection, [row], *failure)
    data = rules.encode_capture(token, [_line(row) for row in good]) if good else b""
    return Call(CAPTURE.address, data, min(limit, TRANSACTION_GAS_MAX), good)


def _line(row: X402Payment) -> Line:
    return Line(row.claim.authorization, row.signature)


def _insert(
    connection: Connection, rows: Sequence[X402Payment], built: ChainTransaction, *, token: str
) -> None:
    take_turn(connection, built)
    changes = [
        {
            "id": row.id,
            "transaction": built.id,
            "transaction_line": line,
            "status": row.status,
            "failures": row.failures,
        }
        for line, row in enumerate(rows)
    ]
    # Guarded by the status too: where one was called off meanwhile, the bytes would be wrong.
    done = settle(connection, store.x402_payments, changes, token=token, guards=("status",))
    if done != len(changes):
        raise Waits("a payment was called off, or the lease was lost", WAIT_TURN)
    transaction.insert(connection, built)
    wake(connection, "transaction.sign")


def _put_off(parts: Parts, batch: Batch, *, token: str, until: datetime | None) -> None:
    """Give payments back until later; after a failure (``until`` None) for longer each time."""
    now = parts.clock()
    kept, lost = [], []
    for row in batch.rows:
        failures = row.failures + (until is None)
        if failures > FAILURES_MAX:
            lost.append(row)
            continue
        again = until or now + retry_delay(row.failures)
        kept.append({"id": row.id, "retry_at": again, "failures": failures})
    with parts.database.begin() as connection:
        settle(connection, store.x402_payments, kept, token=token)
        fail(connection, lost, Reason.unavailable_settle, "It could not be sent: try again.")
