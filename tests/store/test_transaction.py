"""Chain transactions' rows: bytes survive, nonces never gap, what is under way is counted."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from sakk.core.transaction import ChainTransaction
from sakk.store import transaction as store
from sakk.store.database import Database
from sakk.store.identity import new_id
from sakk.store.lease import claim, claimable, settle

NETWORK = "eip155:84532"
NATIVE = f"{NETWORK}/slip44:60"
ASSET = f"{NETWORK}/erc20:0x036cbd53842c5426634e7929541ec2318f3dcf7e"
SENDER = "0x70997970c51812dc3a010c7d01b50e0d17dc79c8"
NOW = datetime(2026, 1, 2, tzinfo=UTC)


def transaction(**changes: Any) -> ChainTransaction:
    row = ChainTransaction(
        id=new_id("tx"),
        livemode=False,
        network=NETWORK,
        purpose="payout",
        subject=new_id("po"),
        sender=SENDER,
        key_branch="treasury",
        key_index=0,
        nonce=0,
        asset=ASSET,
        destination="0x3c44cdddb6a900fa2b585dd299e03d12fa4293bc",
        token_amount=1_000,
        gas_limit=80_000,
        max_fee_per_gas=2_000,
        max_priority_fee_per_gas=1_000,
        unsigned=bytes(range(256)),
        since_block=9,
        status="built",
        created=NOW,
    )
    return replace(row, **changes)


def put(database: Database, *rows: ChainTransaction) -> None:
    with database.begin() as connection:
        for row in rows:
            store.insert(connection, row)


def test_bytes_come_back_as_they_went(database: Database) -> None:
    row = transaction()
    put(database, row)
    raw = bytes(reversed(range(256)))
    with database.begin() as connection:
        due = claimable(store.transactions, ChainTransaction, store.transactions.c.id == row.id)
        [leased] = claim(connection, due, token="t", now=NOW)
        assert leased.unsigned == row.unsigned
        change = {"id": row.id, "raw": raw, "hash": "0xab", "status": "signed"}
        assert settle(connection, store.transactions, [change], token="t") == 1
        found = store.find(connection, row.id)
    assert found is not None
    assert (found.unsigned, found.raw, found.status) == (row.unsigned, raw, "signed")


def test_a_sender_counts_on_from_what_the_chain_said_first(database: Database) -> None:
    with database.begin() as connection:
        assert store.next_nonce(connection, NETWORK, SENDER) is None
        assert store.lock_nonce(connection, NETWORK, SENDER, base=7) == 7
        # What the chain says later counts no more: it may lag behind what was sent.
        assert store.lock_nonce(connection, NETWORK, SENDER, base=3) == 7
    put(database, transaction(nonce=7, status="posted"), transaction(nonce=8, status="broadcast"))
    with database.begin() as connection:
        assert store.next_nonce(connection, NETWORK, SENDER) == 9
        assert store.lock_nonce(connection, NETWORK, SENDER, base=3) == 9
        assert store.next_nonce(connection, "eip155:1", SENDER) is None


def test_a_refused_nonce_is_free_again(database: Database) -> None:
    with database.begin() as connection:
        store.lock_nonce(connection, NETWORK, SENDER, base=0)
    put(database, transaction(nonce=0, status="posted"), transaction(nonce=1, status="refused"))
    with database.begin() as connection:
        assert store.next_nonce(connection, NETWORK, SENDER) == 1
    put(database, transaction(nonce=1, status="refused"), transaction(nonce=1, status="signed"))
    with database.begin() as connection:
        assert store.next_nonce(connection, NETWORK, SENDER) == 2


def test_what_is_under_way_is_counted(database: Database) -> None:
    put(
        database,
        transaction(nonce=0, status="posted", block_hash="0x1"),
        transaction(nonce=1, status="broadcast", block_hash="0x1"),
        transaction(nonce=2, status="broadcast"),
        transaction(nonce=3, status="unknown", asset=NATIVE, token_amount=5),
        transaction(nonce=4, status="posted", orphaned=True),
        transaction(nonce=5, status="refused"),
        transaction(nonce=5, status="built"),
        transaction(nonce=0, status="built", sender="0x" + "11" * 20),
    )
    with database.begin() as connection:
        assert store.unmined_units(connection, network=NETWORK, sender=SENDER, asset=ASSET) == 3_000
        wei = store.unmined_wei(connection, network=NETWORK, sender=SENDER, native=NATIVE)
        assert wei == 4 * 80_000 * 2_000 + 5


def test_blocks_that_left_the_chain_give_their_transactions_back(database: Database) -> None:
    rows = {
        status: transaction(
            nonce=nonce,
            status=status,
            block_hash="0x1",
            block_number=4,
            broadcasts=3,
            succeeded={"posted": True, "failed": False}.get(status),
            asked="replace",
        )
        for nonce, status in enumerate(("broadcast", "unknown", "confirmed", "posted", "failed"))
    }
    # What had failed was given back: it is called off. What was final is asked nothing else.
    asked = {"broadcast": "replace", "unknown": "replace", "confirmed": None, "posted": None}
    asked |= {"failed": "cancel"}
    kept = transaction(nonce=9, status="posted", block_hash="0x2", block_number=5)
    put(database, *rows.values(), kept)
    with database.begin() as connection:
        assert store.reopen_orphaned(connection, NETWORK, [], now=NOW) == 0
        assert store.reopen_orphaned(connection, NETWORK, ["0x1"], now=NOW) == 5
        assert store.reopen_orphaned(connection, NETWORK, ["0x1"], now=NOW) == 0
        for status, row in rows.items():
            found = store.find(connection, row.id)
            assert found is not None
            assert (found.status, found.block_hash, found.block_number) == (status, None, None)
            assert found.asked == asked[status]
            assert found.orphaned is (status in ("confirmed", "posted", "failed"))
        assert store.find(connection, kept.id) == kept
