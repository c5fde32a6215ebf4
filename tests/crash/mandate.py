"""What an agent asks for under a mandate, and its end, with a death beside each step."""

import time
from collections.abc import Callable

from eth_account import Account

from tests.api.agent import signature
from tests.crash.house import House, await_true
from tests.crash.job import Merchant, query

TOTAL = 1_000_000
SPENT = 300_000
ELSEWHERE = {"network": "eip155:84532", "address": "0x00000000000000000000000000000000000000c7"}


def agents_mandate(house: House, merchant: Merchant) -> Callable[[], None]:
    """Signed, spent from, partly given back, parked under, and revoked."""
    client = merchant.client
    operator = house.client(house.description["operator_key"])
    payee = operator.post("/v1/accounts", {"business_profile": {"name": "Paid by agents"}})["id"]
    owner, agent = Account.create(), Account.create()
    key = client.post("/v1/owner_keys/draft", {"address": owner.address})
    client.post(
        "/v1/owner_keys",
        {"address": owner.address, "signature": signature(owner, key["typed_data"])},
    )
    terms = {
        "owner": owner.address,
        "agent": agent.address,
        "currency": "usdc",
        "total": TOTAL,
        "expires_at": int(time.time()) + 86_400,
        "periods": [{"seconds": 3_600, "amount": TOTAL, "count": 2}],
        "may_park": True,
    }
    draft = client.post("/v1/mandates/draft", {"terms": terms})
    mandate = client.post(
        "/v1/mandates",
        {"terms": draft["terms"], "signature": signature(owner, draft["typed_data"])},
    )["id"]
    path = f"/v1/mandates/{mandate}"
    spent = {"reference": "1", "amount": SPENT, "payee": {"account": payee}}
    assert client.post(f"{path}/spends", spent)["status"] == "posted"
    merchant.balance_units -= SPENT
    reserved = client.post(
        f"{path}/spends", {"reference": "2", "amount": SPENT, "payee": ELSEWHERE}
    )["id"]
    assert client.post(f"{path}/spends/{reserved}/release", {})["status"] == "released"
    for way in ("park", "unpark"):
        moved = client.post(f"{path}/{way}", {"reference": way, "amount": SPENT})
        assert moved["status"] == "posted"
    assert client.post(f"{path}/revoke", {})["status"] == "revoked"

    def is_revoked() -> bool:
        return query(house, "SELECT status FROM mandates WHERE id = %s", mandate) == [("revoked",)]

    await_true(is_revoked, "the mandate to be revoked")

    def compare() -> None:
        seller = house.client(house.description["operator_key"], account=payee)
        told = seller.get("/v1/balance")["available"]
        assert [(each["currency"], each["amount"]) for each in told] == [("usdc", SPENT)]
        budgets = client.get(path)["budgets"]
        assert [each["left"] for each in budgets[:2]] == [TOTAL - SPENT, TOTAL - SPENT]
        assert budgets[2]["left"] == 0  # two payments were made, whatever came back of one
        rows = query(
            house,
            "SELECT type, count(*) FROM events WHERE object_id IN (%s, %s)"
            " AND type LIKE 'mandate%%' AND account_id = %s GROUP BY type ORDER BY type",
            mandate,
            reserved,
            merchant.account,
        )
        assert rows == [
            ("mandate.created", 1),
            ("mandate.revoked", 1),
            ("mandate_spend.created", 1),
            ("mandate_spend.released", 1),
        ]

    return compare
