"""Money comes in and goes out by a bank, in a sandbox whose worker dies meanwhile."""

from collections.abc import Callable
from datetime import date
from pathlib import Path

from sakk.rails.bank.sandbox import SandboxBank
from tests.crash.house import House, await_true
from tests.crash.job import Merchant, query

CAME = 5_000
PAID = 1_000
RETURNED = 700
PAYEE = "FR7630006000011234567890189"


def bank_account(house: House, merchant: Merchant) -> Callable[[], None]:
    """What a bank says came is credited once, what it is asked to pay is ordered once, and what it
    gives back is back once, whoever dies."""
    operator = house.client(house.description["operator_key"])
    account = operator.post("/v1/accounts", {"business_profile": {"name": "Banked"}})["id"]
    name = account.removeprefix("acct_")
    own = operator.post(
        "/v1/bank_accounts",
        {
            "holder": "Sakk",
            "currency": "eur",
            "country": "US",
            "number": name,
            "bank_code": "026009593",
            "terms": {
                "folder": name,
                "adapter": "sandbox",
                "profile": "generic",
                "calendar": None,
            },
        },
    )
    bank = SandboxBank(
        Path(house.description["data_dir"]) / "banks" / name,
        account=name,
        currency="eur",
        opening_units=0,
        opened=date(2026, 1, 1),
    )
    with merchant.another(account) as shop:
        reference = shop.client.post(
            "/v1/bank_references", {"currency": "eur", "bank_account": own["id"]}
        )["reference"]
        bank.pay_in(units=CAME, name="Petra", iban=PAYEE, remittance=f"Order 7 {reference}")
        await_true(lambda: _balance(shop) == CAME, "the money to come in")
        paid = _payout(shop, "Anna", PAID)
        shop.await_event("payout.posted", paid)
        returned = _payout(shop, "RETURN AC04 Bob", RETURNED)
        shop.await_event("payout.failed", returned)

    def compare() -> None:
        assert _balance(shop) == CAME - PAID
        rows = query(
            house,
            "SELECT payout, status FROM bank_payments WHERE account_id = %s",
            account,
        )
        assert dict(rows) == {paid: "booked", returned: "returned"}
        rows = query(
            house,
            "SELECT outcome, count(*) FROM bank_lines WHERE account_id = %s AND status = 'booked'"
            " GROUP BY outcome",
            account,
        )
        assert dict(rows) == {"payin": 1, "payment": 2, "returned": 1}

    return compare


def _balance(shop: Merchant) -> int:
    available = shop.client.get("/v1/balance")["available"]
    return sum(each["amount"] for each in available if each["currency"] == "eur")


def _payout(shop: Merchant, holder: str, units: int) -> str:
    place = shop.client.post(
        "/v1/bank_accounts", {"holder": holder, "currency": "eur", "iban": PAYEE}
    )
    made = shop.client.post(
        "/v1/payouts", {"amount": units, "currency": "eur", "destination": place["id"]}
    )
    return str(made["id"])
