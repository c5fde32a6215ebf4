"""Fill: a nonce that nothing of ours will use holds up all that come after it, so it is used up.

A sequence has no gap of its own making (`flow/build.py`). The chain can make one: a node said too
much when an address was first used, or a block that nobody followed left the chain with the
transaction of somebody else that had used a nonce of ours. Then nothing is sent to the sender
itself under that nonce.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

import structlog
from prometheus_client import Counter
from sqlalchemy import Connection

from sakk.core import evm
from sakk.core.caip import chain_id
from sakk.core.errors import SakkError
from sakk.core.gas_price import Fees
from sakk.core.network import Network
from sakk.core.transaction import ChainTransaction, Purpose, TransactionStatus
from sakk.flow.context import Parts
from sakk.flow.gas_price import price
from sakk.flow.stage import Stage, wake
from sakk.rails.evm.send import agreed_nonce, estimate_call
from sakk.store import network
from sakk.store import sender as senders
from sakk.store import transaction as store
from sakk.store.identity import new_id
from sakk.store.sender import Waiting

# What was sent so long ago and is not mined may wait for a nonce before it.
GAP_AFTER = timedelta(minutes=1)
GAPS_MAX = 16
IDLE_SECONDS = 15.0

log = structlog.get_logger(__name__)

filled_total = Counter(
    "sakk_nonce_gaps_filled_total",
    "Nonces that were used up because nothing of ours would use them.",
    ["network"],
)


def fill_stage(parts: Parts) -> Stage:
    """The stage that uses up nonces which hold up what was sent after them."""

    def run() -> int:
        with parts.database.read() as connection:
            waiting = senders.waiting(connection, before=parts.clock() - GAP_AFTER)
            if not waiting:
                return 0
            networks = {each.network: each for each in network.list_networks(connection)}
        filled = 0
        for each in waiting:
            try:
                filled += _fill(parts, networks[each.network], each)
            except SakkError as error:
                log.warning("fill.waits", network=each.network, code=error.code)
        return filled

    return Stage("transaction.fill", run, idle_seconds=IDLE_SECONDS)


def _fill(parts: Parts, found: Network, waiting: Waiting) -> int:
    """Fill the gap below the first nonce that waits; how many nonces that were."""
    rail = parts.rail_of(found)
    used = agreed_nonce(rail.rpc, waiting.sender)
    gap = range(used, min(waiting.nonce, used + GAPS_MAX))
    with parts.database.begin() as connection:
        before = store.at_nonces(connection, found.network, waiting.sender, gap)
    if not gap or all(_is_ours(before.get(nonce)) for nonce in gap):
        return 0
    offered = price(parts, found)
    gas_limit = estimate_call(rail.rpc, sender=waiting.sender, to=waiting.sender, value=0, data=b"")
    blank = _blank(found, waiting, offered, gas_limit, since_block=rail.head().number)
    with parts.database.begin() as connection:
        store.lock_nonce(connection, found.network, waiting.sender, base=used)
        rows = store.at_nonces(connection, found.network, waiting.sender, gap)
        return _write(connection, parts, blank, gap, rows)


def _is_ours(row: ChainTransaction | None) -> bool:
    """Will it use its nonce by itself? One that had failed will not."""
    if row is None:
        return False
    return row.status != TransactionStatus.failed or row.orphaned


def _write(
    connection: Connection,
    parts: Parts,
    blank: ChainTransaction,
    gap: Sequence[int],
    rows: Mapping[int, ChainTransaction],
) -> int:
    """One transaction that does nothing for each nonce without any, under the nonce's lock."""
    now = parts.clock()
    filled = 0
    for nonce in gap:
        row = rows.get(nonce)
        if row is None:
            store.insert(connection, _at(blank, nonce))
        elif not _is_ours(row):
            # Its bytes are good again, and its money was given back: it must not be mined.
            store.reopen_to_cancel(connection, row.id, now=now)
        else:
            continue
        log.warning("fill.nonce", network=blank.network, sender=blank.sender, nonce=nonce)
        filled_total.labels(blank.network).inc()
        filled += 1
    wake(connection, "transaction.sign", "transaction.replace")
    return filled


def _blank(
    found: Network, waiting: Waiting, offered: Fees, gas_limit: int, *, since_block: int
) -> ChainTransaction:
    """What uses a nonce up, before it is said which; it is priced like any other."""
    return ChainTransaction(
        id="",
        livemode=found.livemode,
        network=found.network,
        purpose=Purpose.cancel.value,
        subject="",
        sender=waiting.sender,
        key_branch=waiting.key_branch,
        key_index=waiting.key_index,
        nonce=waiting.nonce,
        asset=found.native_asset,
        destination=waiting.sender,
        token_amount=0,
        gas_limit=gas_limit,
        max_fee_per_gas=offered.max_fee_per_gas,
        max_priority_fee_per_gas=offered.max_priority_fee_per_gas,
        unsigned=b"",
        since_block=since_block,
        status=TransactionStatus.built.value,
        created=waiting.since,
    )


def _at(blank: ChainTransaction, nonce: int) -> ChainTransaction:
    identifier = new_id("tx")
    unsigned = evm.Transaction(
        chain_id=chain_id(blank.network),
        nonce=nonce,
        max_priority_fee_per_gas=blank.max_priority_fee_per_gas,
        max_fee_per_gas=blank.max_fee_per_gas,
        gas_limit=blank.gas_limit,
        to=blank.sender,
        value=0,
        data=b"",
    )
    return replace(
        blank,
        id=identifier,
        subject=identifier,
        nonce=nonce,
        unsigned=evm.encode_unsigned(unsigned),
    )
