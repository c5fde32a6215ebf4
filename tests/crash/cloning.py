"""A clone is paid, collected from and recovered from, in a sandbox whose worker dies meanwhile."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from eth_utils.crypto import keccak

from sakk.core.person import Actor
from sakk.flow import claim as claims
from sakk.flow import recovery
from sakk.flow.adoption import adopt
from sakk.flow.context import Parts
from sakk.flow.recovery_finding import examine
from sakk.flow.refund_draft import Place
from sakk.runtime.wiring import make_rail
from sakk.store.database import open_database
from sakk.store.identity import new_id, now
from sakk.store.network import find_network
from tests.crash.house import House, await_true, await_value
from tests.crash.job import Job, Merchant, query

STRAY_WEI = 10**16


def cloned_payment(house: House, merchant: Merchant) -> Callable[[], None]:
    """Paid to a clone and collected by its factory; what else came to it goes to who sent it."""
    network = house.network()["network"]
    payer = "0x" + keccak(text="who sent native coin to a clone")[-20:].hex()
    with giving_clones(house, network):
        job = await_value(lambda: _clone_of(house, merchant), "clones to be given out")
    merchant.pay(job)
    merchant.await_end(job)
    sent_back = _send_back(house, merchant, network, job.deposit, payer)

    def compare() -> None:
        merchant.compare(job)
        assert int(merchant.wallet.rpc.call("eth_getBalance", payer, "latest"), 16) == STRAY_WEI
        rows = query(
            house,
            "SELECT method, status, count(*) FROM sweeps WHERE address = %s"
            " GROUP BY method, status ORDER BY method",
            job.deposit.lower(),
        )
        assert rows == [("clone", "posted", 1), ("recovery", "posted", 1)]
        found = query(house, "SELECT status FROM recoveries WHERE id = %s", sent_back)
        assert found == [("succeeded",)]

    return compare


@contextmanager
def giving_clones(house: House, network: str) -> Iterator[None]:
    """The network gives out clones of the sandbox's factory, and then addresses of keys again."""
    [(factory,)] = query(house, "SELECT address FROM factories WHERE network = %s", network)
    settings = ("networks", "deposits", network, "--method")
    done = house.run(*settings, "clone", "--factory", factory)
    assert done.returncode == 0, done.stderr
    try:
        yield
    finally:
        assert house.run(*settings, "key").returncode == 0


def _clone_of(house: House, merchant: Merchant) -> Job | None:
    """A job whose address is a clone; none while a door remembers the setting of before."""
    job = merchant.begin(cents=300)
    rows = query(house, "SELECT factory FROM addresses WHERE address = %s", job.deposit.lower())
    if rows[0][0] is not None:
        return job
    merchant.jobs.remove(job)
    return None


def _send_back(house: House, merchant: Merchant, network: str, place: str, payer: str) -> str:
    """Native coin that nobody named is booked, offered and claimed; the recovery."""
    token = hashlib.sha256(b"native coin at a clone").hexdigest()
    database = open_database(house.database_url)
    with database.begin() as connection:
        found = find_network(connection, network)
    assert found is not None
    rail = make_rail(found)
    parts = Parts(database, rail=lambda _: rail)
    try:
        merchant.wallet.rpc.call("anvil_setBalance", place, hex(STRAY_WEI))
        [row] = await_value(lambda: adopt(parts, network) or None, "the coin, in a final block")

        def booked() -> bool:
            return query(house, "SELECT status FROM adoptions WHERE id = %s", row.id) == [
                ("posted",)
            ]

        await_true(booked, "the adoption to be booked")
        offered = recovery.create(
            parts,
            examine(
                parts, network=network, address=place, asset=found.native_asset, livemode=False
            ),
            identifier=new_id("rec"),
            livemode=False,
            claim_hash=token,
            claim_expires_at=None,
            actor=Actor("key_operator"),
        )
        with database.begin() as connection:
            claims.give(connection, token, Place(network, payer), now=now(), confirm=True)
    finally:
        rail.rpc.close()
        database.close()

    def over() -> bool:
        rows = query(house, "SELECT status FROM recoveries WHERE id = %s", offered.id)
        return rows == [("succeeded",)]

    await_true(over, "the coin to be sent back", 60)
    return offered.id
