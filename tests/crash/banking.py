"""Money comes in and goes out by a bank and a provider, in a sandbox whose worker dies."""

import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

from sakk.rails.bank.sandbox import SandboxBank
from tests.crash.house import Client, House, await_true
from tests.crash.job import Merchant, query

CAME = 5_000
PAID = 1_000
RETURNED = 700
STRAY = 300
PAYEE = "FR7630006000011234567890189"


def bank_account(house: House, merchant: Merchant) -> Callable[[], None]:
    """What a bank says came is credited once, what it is asked to pay is ordered once, and what it
    gives back is back once, whoever dies; and a provider has one order."""
    operator = house.client(house.description["operator_key"])
    account = operator.post("/v1/accounts", {"business_profile": {"name": "Banked"}})["id"]
    name = account.removeprefix("acct_")
    own = _opened(operator, _terms(name, "eur", adapter="sandbox"))
    told = _terms(name, "usd", adapter="provider", provider="sandbox")
    provider = _opened(operator, told)
    with merchant.another(account) as shop:
        for place in (own, provider):
            _pay_in(house, shop, place)
        await_true(lambda: _balance(shop, "usd") == CAME, "the provider to have money")
        await_true(lambda: _balance(shop) == CAME, "the money to come in")
        provided = _payout(shop, "Anna", PAID, "usd")
        shop.await_event("payout.posted", provided)
        heard = "SELECT notice FROM provider_notices WHERE bank_account = %s"
        await_true(lambda: bool(query(house, heard, provider["id"])), "the provider's notice")
        paid = _payout(shop, "Anna", PAID)
        shop.await_event("payout.posted", paid)
        returned = _payout(shop, "RETURN AC04 Bob", RETURNED)
        shop.await_event("payout.failed", returned)
        bank_of(house, own).pay_in(
            units=STRAY, name="Stranger", iban=PAYEE, remittance="to whom it concerns"
        )
        sent_back = _sent_back(operator, own["id"])

    def compare() -> None:
        assert (_balance(shop), _balance(shop, "usd")) == (CAME - PAID, CAME - PAID)
        folder = Path(house.description["data_dir"]) / "banks" / provider["terms"]["folder"]
        orders = json.loads((folder / "books.json").read_text())["provider"]["orders"]
        assert list(orders) == [provided]
        assert operator.get(f"/v1/bank_returns/{sent_back}")["status"] == "booked"
        rows = query(
            house,
            "SELECT units FROM bank_lines WHERE bank_account = %s AND outcome = 'sent_back'",
            own["id"],
        )
        assert sorted(int(units) for (units,) in rows) == [-STRAY, STRAY]
        rows = query(
            house,
            "SELECT payout, status FROM bank_payments WHERE account_id = %s",
            account,
        )
        assert dict(rows) == {paid: "booked", provided: "booked", returned: "returned"}
        rows = query(
            house,
            "SELECT outcome, count(*) FROM bank_lines WHERE account_id = %s AND status = 'booked'"
            " GROUP BY outcome",
            account,
        )
        assert dict(rows) == {"payin": 2, "payment": 3, "returned": 1}

    return compare


def _opened(operator: Client, request: dict[str, Any]) -> dict[str, Any]:
    """One of the operator's own accounts; in the sandbox one key proposes and approves."""
    made = operator.post("/v1/bank_accounts", request)
    digest = made["change"]["digest"]
    return operator.post(f"/v1/bank_accounts/{made['id']}/confirm", {"digest": digest})


def _terms(name: str, currency: str, **terms: str) -> dict[str, Any]:
    return {
        "holder": "Sakk",
        "currency": currency,
        "country": "US",
        "number": name,
        "bank_code": "026009593",
        "terms": {"folder": f"{name}-{currency}", "profile": "generic", "calendar": None, **terms},
    }


def _pay_in(house: House, shop: Merchant, place: dict[str, Any]) -> None:
    """Somebody pays into one of the operator's accounts by the merchant's reference."""
    wanted = {"currency": place["currency"], "bank_account": place["id"]}
    reference = shop.client.post("/v1/bank_references", wanted)["reference"]
    bank_of(house, place).pay_in(
        units=CAME, name="Petra", iban=PAYEE, remittance=f"Order 7 {reference}"
    )


def bank_of(house: House, place: dict[str, Any]) -> SandboxBank:
    """The sandbox's bank behind one of the operator's accounts."""
    return SandboxBank(
        Path(house.description["data_dir"]) / "banks" / place["terms"]["folder"],
        account=place["number"],
        currency=place["currency"],
        opening_units=0,
        opened=date(2026, 1, 1),
    )


def _sent_back(operator: Client, own: str) -> str:
    """What a stranger paid goes back; in the sandbox one key proposes and confirms."""

    def found() -> list[dict[str, Any]]:
        listed = operator.get("/v1/bank_lines", bank_account=own, outcome="suspense")
        return [each for each in listed["data"] if each["status"] == "booked"]

    await_true(lambda: bool(found()), "the stray line to be in suspense")
    made = operator.post("/v1/bank_returns", {"line": found()[0]["id"]})
    operator.post(f"/v1/bank_returns/{made['id']}/confirm", {"digest": made["digest"]})
    await_true(
        lambda: operator.get(f"/v1/bank_returns/{made['id']}")["status"] == "booked",
        "the stray money to be gone",
    )
    return str(made["id"])


def _balance(shop: Merchant, currency: str = "eur") -> int:
    available = shop.client.get("/v1/balance")["available"]
    return sum(each["amount"] for each in available if each["currency"] == currency)


def _payout(shop: Merchant, holder: str, units: int, currency: str = "eur") -> str:
    place = shop.client.post(
        "/v1/bank_accounts", {"holder": holder, "currency": currency, "iban": PAYEE}
    )
    made = shop.client.post(
        "/v1/payouts", {"amount": units, "currency": currency, "destination": place["id"]}
    )
    return str(made["id"])
