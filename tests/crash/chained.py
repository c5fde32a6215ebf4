"""What the chain does without us: it takes a block back, coins leave, coins are there.

A process dies beside the posting that says so.
"""

from collections.abc import Callable
from typing import Any

from sakk.core import chart
from sakk.flow.adoption import adopt
from sakk.flow.context import Parts
from sakk.runtime.wiring import make_rail
from sakk.store.database import open_database
from sakk.store.network import find_network
from tests.crash.house import House, await_true, await_value
from tests.crash.job import Merchant, query, steal

SURPLUS_WEI = 10**16


def reversed_payment(house: House, merchant: Merchant) -> Callable[[], None]:
    """A final payment leaves the chain: what was credited is taken back."""
    job = merchant.begin(cents=50)
    with house.payer(1) as wallet:
        with house.miner.at(1):
            paid = wallet.transfer(house.token(index=1), job.deposit, job.paid_units)
            merchant.await_event("payment_intent.succeeded", job.intent["id"])
        block = int(wallet.wait(paid)["blockNumber"], 16)
        head = int(wallet.rpc.call("eth_blockNumber"), 16)
        wallet.rpc.call("anvil_reorg", head - block + 1, [])
    with house.miner.at(1):
        merchant.await_event("payment_intent.reversed", job.intent["id"])

    def compare() -> None:
        payins = merchant.client.get("/v1/payins", payment_intent=job.intent["id"])["data"]
        assert [each["status"] for each in payins] == ["reversed"]
        merchant.compare_event("payin.reversed", payins[0]["id"])

    return compare


def outflow(house: House, merchant: Merchant) -> Callable[[], None]:
    """Coins leave a deposit address without us: that is booked as what it is, a loss, once."""
    job = merchant.begin(cents=50)
    merchant.balance_units += job.paid_units
    token = house.token(index=1)
    with house.payer(1) as wallet, house.miner.at(1):
        wallet.transfer(token, job.deposit, job.paid_units)
        merchant.await_event("payment_intent.succeeded", job.intent["id"])
        steal(wallet, token, job.deposit, job.paid_units)

        def booked() -> bool:
            return query(
                house, "SELECT status FROM outflows WHERE address = %s", job.deposit.lower()
            ) == [("posted",)]

        await_true(booked, "the outflow to be booked")
    return lambda: None


def adopted_surplus(house: House, merchant: Merchant) -> Callable[[], None]:
    """Native coin without a transaction of its own is booked, once, when the operator says so."""
    job = merchant.begin()
    network = house.network(1)["network"]
    database = open_database(house.database_url)
    with database.begin() as connection:
        found = find_network(connection, network)
    assert found is not None
    rail = make_rail(found)
    parts = Parts(database, rail=lambda _: rail)
    try:
        with house.payer(1) as wallet, house.miner.at(1):
            wallet.rpc.call("anvil_setBalance", job.deposit, hex(SURPLUS_WEI))
            # Nothing is found until the block is final.
            [row] = await_value(lambda: adopt(parts, network) or None, "the coin, in a final block")
        assert (row.address, row.token_amount) == (job.deposit.lower(), SURPLUS_WEI)
    finally:
        rail.rpc.close()
        database.close()

    def booked() -> bool:
        return query(house, "SELECT status FROM adoptions WHERE id = %s", row.id) == [("posted",)]

    await_true(booked, "the adoption to be booked")
    return corrected_suspense(house, row.asset)


def corrected_suspense(house: House, asset: str) -> Callable[[], None]:
    """What stands in suspense is a break, which a transfer ends, once."""
    operator = house.client(house.description["operator_key"])
    suspense = chart.suspense(asset).name

    def standing() -> dict[str, Any] | None:
        house.run("reconcile", "--network", asset.rpartition("/")[0])
        found = operator.get("/v1/breaks", kind="suspense", status="open")["data"]
        return next((each for each in found if each["subject"] == suspense), None)

    found = await_value(standing, "the suspense to be a break")
    leg = {
        "debit": suspense,
        "credit": chart.equity_operator(asset).name,
        "units": found["units"],
    }
    path = f"/v1/breaks/{found['id']}"
    proposed = operator.post(f"{path}/propose", {"transfers": [leg]})
    operator.post(f"{path}/confirm", {"digest": proposed["digest"]})

    def is_corrected() -> bool:
        shown: str = operator.get(path)["status"]
        return shown in ("corrected", "resolved")

    await_true(is_corrected, "the correction to be booked")

    def compare() -> None:
        rows = query(
            house,
            "SELECT amount FROM ledger_transfers WHERE code = %s",
            int(chart.TransferCode.break_corrected),
        )
        assert rows == [(int(found["units"]),)]

    return compare
