"""The whole decision on a payout without any node: screened against a million labels, then judged.

Rows, not requests: what the screen and decide stages do for a payout whose money is held, with the
policy's sums over a day, the verdict and the audit log's note of it on the disk. Then the log
itself: how fast what was noted is sealed, and that all of it proves.
"""

import random
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import text

from sakk.bench.figures import WrongResult, cost, times
from sakk.core import caip
from sakk.core.label import EVM
from sakk.core.network import Asset, Currency, CurrencyKind, Network
from sakk.core.payout import HoldStatus, Payout, PayoutStatus
from sakk.core.policy import PolicyVersion, VersionState, read_rules, rules_digest, rules_document
from sakk.flow.audit import seal, verify
from sakk.flow.context import Parts
from sakk.flow.decide import decide_stage
from sakk.flow.screen import payout_screen_stage
from sakk.runtime.postgres import start_postgres
from sakk.screening.engine import Engine
from sakk.store import label as label_store
from sakk.store import network
from sakk.store import payout as payouts
from sakk.store import policy as policies
from sakk.store.database import Database, open_database
from sakk.store.identity import new_id, now
from sakk.store.label import LabelRow
from sakk.store.migrate import upgrade

Say = Callable[[str], None]
Line = dict[str, Any]

SEED = 8402
LABELS = 1_000_000
SINGLES = 1_000
BATCH = 200
BATCHES = 10
ACCOUNTS = 50
NETWORK = "eip155:8453"
ASSET = caip.erc20_asset(NETWORK, "0x" + "75" * 20)
# A day's sum for each account is what the dearest of the usual rules asks for.
RULES = [
    {
        "name": "a day's worth",
        "action": "allow",
        "currencies": ["usdc"],
        "amount": {"up_to": "5000", "unit": "whole"},
        "period": {"seconds": 86400, "per": "account", "up_to": "50000000", "unit": "whole"},
    },
    {"name": "the rest", "action": "approve", "approvals": 1, "role": "approver"},
]


def decisions(
    say: Say,
    *,
    labels: int = LABELS,
    singles: int = SINGLES,
    batch: int = BATCH,
    batches: int = BATCHES,
) -> list[Line]:
    """``payout_decision`` (ms for one), ``payout_decision_batch`` (ms each, by the hundred),
    ``audit_seal`` (ms an entry). WrongResult where one was not decided, or the log breaks."""
    with start_postgres(ephemeral=True) as postgres:
        upgrade(postgres.url())
        database = open_database(postgres.url())
        try:
            say(f"loading {labels:,} labels")
            prepare(database, labels)
            parts = Parts(database, screening=Engine(database))
            parts.screening_engine().refresh()
            stages = payout_screen_stage(parts), decide_stage(parts)
            say(f"{singles} decisions, one at a time")
            alone = [_decide(parts, stages, 1) for _ in range(singles)]
            say(f"{batches} batches of {batch}")
            together = [_decide(parts, stages, batch) / batch for _ in range(batches)]
            sealed = _seal(database)
            proof = verify(database)
        finally:
            database.close()
    if not proof.ok:
        raise WrongResult(f"the audit log does not prove: {proof.breaks[0]}")
    if proof.entries < 2 * (singles + batch * batches):
        raise WrongResult(f"the audit log has {proof.entries} entries")
    return [
        times("payout_decision", alone, repeats=len(alone)),
        cost("payout_decision_batch", "ms/payout", together),
        cost("audit_seal", "ms/entry", sealed),
    ]


def _decide(parts: Parts, stages: tuple[Any, ...], count: int) -> float:
    """Milliseconds from held to approved, for so many payouts at once."""
    rows = [new_payout() for _ in range(count)]
    with parts.database.begin() as connection:
        payouts.insert_many(connection, rows)
    started = time.perf_counter()
    for stage in stages:
        if stage.run() != count:
            raise WrongResult(f"{stage.name} did not move {count} payouts")
    spent = 1_000 * (time.perf_counter() - started)
    with parts.database.begin() as connection:
        for row in rows[:1]:
            found = payouts.find(
                connection, row.id, account_id=row.account_id, livemode=row.livemode
            )
            if found is None or found.status != PayoutStatus.approved:
                raise WrongResult(f"a payout is {None if found is None else found.status}")
    return spent


def _seal(database: Database) -> list[float]:
    """Milliseconds an entry, block by block."""
    spent: list[float] = []
    while True:
        started = time.perf_counter()
        with database.begin() as connection:
            count = seal(connection, now=now())
        if not count:
            return spent
        spent.append(1_000 * (time.perf_counter() - started) / count)


_random = random.Random(SEED)


def new_address() -> str:
    """One that nobody has; the same ones in each run."""
    return f"0x{_random.getrandbits(160):040x}"


def new_payout() -> Payout:
    """A payout whose money is held, to an address that no list names."""
    return Payout(
        id=new_id("po"),
        account_id=f"acct_{_random.randrange(ACCOUNTS):026d}",
        livemode=True,
        amount=25_000_000,
        fee=0,
        currency="usdc",
        decimals=6,
        network=NETWORK,
        asset=ASSET,
        token_amount=25_000_000,
        destination=new_address(),
        fee_mode="sender",
        status=PayoutStatus.requested.value,
        hold=HoldStatus.held.value,
        metadata={},
        created=now(),
    )


def prepare(database: Database, labels: int) -> None:
    """A network with a coin, a policy in force, and one list of labels as an import leaves it."""
    at = now()
    rows = (LabelRow(EVM, new_address(), "scam", 80) for _ in range(labels))
    with database.begin() as connection:
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        kind = CurrencyKind.coin.value
        network.put_currency(connection, Currency("usdc", "USDC", kind, 6, 1, 1, at))
        network.put_network(connection, _network(at))
        network.put_asset(connection, _asset(at))
        _enact(connection, at)
        label_store.stage_rows(connection, rows)
        label_store.lock_lists(connection)
        label_store.apply_staged(connection, "lst_bench", now=at)


def _network(at: datetime) -> Network:
    return Network(
        network=NETWORK,
        name="Bench",
        family="eip155",
        livemode=True,
        enabled=True,
        rpc_urls=["http://127.0.0.1:9"],
        confirmations=1,
        block_seconds=1,
        poll_milliseconds=500,
        start_block=0,
        native_asset=caip.native_asset(NETWORK),
        bloom="exact",
        created=at,
    )


def _asset(at: datetime) -> Asset:
    return Asset(
        asset=ASSET,
        network=NETWORK,
        contract="0x" + "75" * 20,
        currency="usdc",
        symbol="USDC",
        decimals=6,
        quirks=[],
        payin_enabled=True,
        payout_enabled=True,
        sweep_minimum=0,
        eip712_name=None,
        eip712_version=None,
        created=at,
    )


def _enact(connection: Any, at: datetime) -> None:
    rules = read_rules(RULES, livemode=True)
    version = PolicyVersion(
        id=new_id("pol"),
        livemode=True,
        number=1,
        state=VersionState.active.value,
        rules=rules_document(rules),
        digest=rules_digest(rules),
        note=None,
        base=None,
        proposed_by="per_bench",
        decided_by="per_bench",
        created=at - timedelta(days=1),
        activated_at=at,
        closed_at=None,
    )
    policies.insert(connection, version)
