"""A period is closed, reserved, paid and released, in a sandbox whose worker dies meanwhile."""

import json
from collections.abc import Callable
from pathlib import Path

from eth_utils.crypto import keccak

from sakk.store.database import CHANNEL
from tests.crash.house import House, await_true
from tests.crash.job import Merchant, query, transfers

PAID_CENTS = 1_000
PAID_UNITS = 10_000_000
RESERVED_UNITS = 1_000_000


def converted_balance(house: House, merchant: Merchant) -> Callable[[], None]:
    """What one currency becomes of another moves once, whoever dies meanwhile."""
    operator = house.client(house.description["operator_key"])
    account = operator.post("/v1/accounts", {"business_profile": {"name": "Converted"}})["id"]
    with merchant.another(account) as shop:
        shop.run()
        wish = {"source_currency": "usdc", "target_currency": "usdt", "amount": 1_000_000}
        quote = shop.client.post("/v1/conversion_quotes", wish)
        made = shop.client.post("/v1/conversions", {"quote": quote["id"]})
        shop.balance_units -= 1_000_000
        shop.await_event("conversion.posted", made["id"])

    def compare() -> None:
        theirs = house.client(house.description["operator_key"], account=account)
        balance = {
            each["currency"]: each["amount"] for each in theirs.get("/v1/balance")["available"]
        }
        assert balance == {"usdc": shop.balance_units, "usdt": 1_000_000}
        [found] = theirs.get("/v1/conversions")["data"]
        assert (found["id"], found["status"]) == (made["id"], "posted")

    return compare


def closed_position(house: House, merchant: Merchant) -> Callable[[], None]:
    """What conversions left open is closed at venues, each filled once and booked once."""
    query(
        house,
        "INSERT INTO hedge_policies VALUES ('usdt', false, 'usdc', 1, 100000000, now())"
        " ON CONFLICT (currency, livemode) DO UPDATE SET updated = now() RETURNING currency",
    )
    converted_balance(house, merchant)
    query(house, "SELECT pg_notify(%s, 'order.hedge')", CHANNEL)

    def moved(*codes: int) -> int:
        found = query(
            house,
            "SELECT coalesce(sum(amount), 0) FROM ledger_transfers WHERE code = ANY(%s)",
            list(codes),
        )
        return int(found[0][0])

    def is_closed() -> bool:
        """What was given of the currency, and its spread, is what venues filled; all is told."""
        working = query(house, "SELECT count(*) FROM orders WHERE status <> 'done'")
        return moved(530) == moved(511, 512) > 0 and working == [(0,)]

    await_true(is_closed, "the position to be closed")

    def compare() -> None:
        filled = query(house, "SELECT sum(filled_units) FROM orders")
        assert int(filled[0][0]) == moved(530) == moved(511, 512)
        held = Path(house.description["data_dir"]) / "venues"
        lines = [line for file in held.glob("*.jsonl") for line in file.read_text().splitlines()]
        children = query(house, "SELECT id FROM child_orders")
        assert len(lines) == len(children)

    return compare


def platforms_fee(house: House, merchant: Merchant) -> Callable[[], None]:
    """What a platform took of a payment goes back with a refund, once."""
    made = house.run("accounts", "create", "Marketplace", "--json")
    assert made.returncode == 0, made.stderr
    key = json.loads(made.stdout)["secret_key"]
    platform, seller = house.client(key), house.client(key, account=merchant.account)
    terms = {"permissions": ["payments"], "application_fee_ppm_max": 100_000}
    asked = platform.post("/v1/connected_accounts", {"account": merchant.account, **terms})
    merchant.client.post(f"/v1/connected_accounts/{asked['id']}/accept", {})
    job = merchant.begin(by=seller, application_fee_amount=50)
    merchant.pay(job)
    merchant.balance_units -= 500_000
    merchant.await_end(job)
    place = {"network": house.network()["network"], "address": "0x" + "6f" * 20}
    part = {"payment_intent": job.intent["id"], "amount": 400, "destination": place}
    refund = seller.post("/v1/refunds", {**part, "refund_application_fee": True})
    merchant.balance_units -= 4_000_000 - 80_000
    merchant.await_event("refund.succeeded", refund["id"])

    def fees() -> list[tuple[int, str]]:
        found = platform.get("/v1/application_fees")["data"]
        return sorted((each["amount"], each["status"]) for each in found)

    await_true(
        lambda: fees() == [(-80_000, "posted"), (500_000, "posted")], "the fee to be given back"
    )

    def compare() -> None:
        merchant.compare_payment(job)
        left = platform.get("/v1/balance")["available"]
        assert [(each["currency"], each["amount"]) for each in left] == [("usdc", 420_000)]
        assert len(fees()) == 2

    return compare


def settled_account(house: House, merchant: Merchant) -> Callable[[], None]:
    """What a period brought goes out once, and its reserve comes back once, whoever dies."""
    operator = house.client(house.description["operator_key"])
    account = operator.post("/v1/accounts", {"business_profile": {"name": "Settled"}})["id"]
    address = "0x" + keccak(text=f"settled {account}")[-20:].hex()
    with merchant.another(account) as shop:
        job = shop.begin(cents=PAID_CENTS)
        shop.pay(job)
        shop.await_event("payment_intent.succeeded", job.intent["id"])
        network = house.network()["network"]
        place = shop.client.post(
            "/v1/beneficiaries", {"name": "Settled", "address": address, "networks": [network]}
        )
        terms = {"interval": "manual", "reserve_ppm": 100_000, "reserve_days": 1}
        destination = {"beneficiary": place["id"], "network": network}
        shop.client.post("/v1/settlement_schedules", {**terms, "destination": destination})
        await_true(
            lambda: bool(shop.client.get("/v1/balance_transactions")["data"]), "the statement"
        )
        made = shop.client.post("/v1/settlements", {"currency": "usdc"})
        shop.await_event("settlement.paid", made["id"])
        # The days of the reserve go by.
        query(
            house,
            "UPDATE settlements SET release_at = now() WHERE id = %s RETURNING id",
            made["id"],
        )
        await_true(
            lambda: shop.client.get(f"/v1/settlements/{made['id']}")["reserve_released"],
            "the reserve to come back",
        )
        shop.balance_units = RESERVED_UNITS

    def compare() -> None:
        shown = shop.client.get(f"/v1/settlements/{made['id']}")
        assert (shown["status"], shown["amount"]) == ("paid", PAID_UNITS - RESERVED_UNITS)
        shop.compare_balance()
        got = transfers(merchant.wallet, house.token(), receiver=address)
        assert [each["units"] for each in got] == [PAID_UNITS - RESERVED_UNITS]
        moved = query(
            house,
            "SELECT code, count(*), sum(amount) FROM ledger_transfers WHERE code IN (700, 701)"
            " AND user_data = (SELECT user_data FROM ledger_transfers WHERE code = 700"
            " ORDER BY timestamp_ns DESC LIMIT 1) GROUP BY code ORDER BY code",
        )
        assert [tuple(map(int, row)) for row in moved] == [
            (700, 1, RESERVED_UNITS),
            (701, 1, RESERVED_UNITS),
        ]

    return compare
