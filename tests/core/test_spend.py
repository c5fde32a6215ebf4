"""Spends: a table of every constraint, and the budgets that each spend takes from."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sakk.core import chart, spend
from sakk.core.chart import TransferCode
from sakk.core.errors import MandateRefused, ParameterInvalid
from sakk.core.mandate import CategoryRule, PayeeRule, Period
from sakk.core.posting import Posting
from sakk.core.spend import Budget, Kind, Limit, Payee, Spend

from .test_mandate import FULL, SELLER, START, TERMS

NOW = datetime.fromtimestamp(START + 90_000, UTC)
MANDATE = "mnd_" + "0" * 26
UNIT = "test/usdc"
USES = "test/mandate/use"
ADDRESS = "0x" + "11" * 20
SPEND = Spend(
    amount=1_000, currency="usdc", payee=Payee(account=SELLER), scheme="transfer", network="sakk"
)


@pytest.mark.parametrize(
    ("terms", "asked", "seconds", "limit"),
    [
        ({}, {}, 0, None),
        ({}, {}, -1, Limit.not_begun),
        ({}, {}, 30 * 86_400 - 1, None),
        ({}, {}, 30 * 86_400, Limit.expired),
        ({}, {"currency": "usdt"}, 0, Limit.currency),
        ({"schemes": ("session",)}, {}, 0, Limit.scheme),
        ({"schemes": ("session", "transfer")}, {}, 0, None),
        ({"networks": ("eip155:1",)}, {}, 0, Limit.network),
        ({"networks": ("sakk",)}, {}, 0, None),
        ({"networks": ("eip155:1",)}, {"network": "eip155:1"}, 0, None),
        ({"payees": (PayeeRule(account=SELLER),)}, {}, 0, None),
        ({"payees": (PayeeRule(account="acct_" + "2" * 26),)}, {}, 0, Limit.payee),
        ({"payees": (PayeeRule(host="a.com"),)}, {}, 0, Limit.payee),
        ({"payees": (PayeeRule(host="a.com"),)}, {"payee": Payee(host="a.com")}, 0, None),
        ({"payees": (PayeeRule(host="a.com"),)}, {"payee": Payee(host="b.a.com")}, 0, Limit.payee),
        ({"payees": (PayeeRule(host="*.a.com"),)}, {"payee": Payee(host="b.a.com")}, 0, None),
        ({"payees": (PayeeRule(host="*.a.com"),)}, {"payee": Payee(host="ba.com")}, 0, Limit.payee),
        (
            {"payees": (PayeeRule(host="a.com", account=SELLER),)},
            {"payee": Payee(host="a.com", account="acct_" + "2" * 26)},
            0,
            Limit.payee,
        ),
        (
            {"payees": (PayeeRule(address=ADDRESS, network="eip155:1"),)},
            {"payee": Payee(address=ADDRESS, network="eip155:8453")},
            0,
            Limit.payee,
        ),
        (
            {"payees": (PayeeRule(address=ADDRESS),)},
            {"payee": Payee(address=ADDRESS, network="eip155:8453")},
            0,
            None,
        ),
        ({"call_min": 1_000}, {}, 0, None),
        ({"call_min": 1_001}, {}, 0, Limit.call_min),
        ({"call_max": 1_000}, {}, 0, None),
        ({"call_max": 999}, {}, 0, Limit.call_max),
        ({"call_max": 999}, {"kind": Kind.step}, 0, None),
    ],
)
def test_what_needs_no_counter(
    terms: dict[str, Any], asked: dict[str, Any], seconds: int, limit: Limit | None
) -> None:
    at = datetime.fromtimestamp(START + seconds, UTC)

    def check() -> None:
        spend.check(replace(TERMS, **terms), replace(SPEND, **asked), at=at)

    if limit is None:
        check()
        return
    with pytest.raises(MandateRefused) as caught:
        check()
    assert caught.value.details is not None
    assert caught.value.details["limit"] == limit


def test_what_a_spend_takes_from() -> None:
    terms = replace(
        FULL, payees=(*FULL.payees, PayeeRule(host="c.com", category="models")), livemode=False
    )
    found = spend.budgets(terms, SPEND, at=NOW)
    assert [(each.name, each.limit, each.uses) for each in found] == [
        ("total", 50_000_000, False),
        ("count", 1_000, True),
        ("period:86400:1", 5_000_000, False),
        ("period:86400:1:count", 100, True),
        ("period:3600:25", 1_000_000, False),
        ("period:60:1500:count", 5, True),
        ("payee:0", 9, False),
    ]
    other = replace(SPEND, payee=Payee(host="x.example.com"))
    names = [each.name for each in spend.budgets(terms, other, at=NOW)][-2:]
    assert names == ["payee:f25a731b4919ea641cbc107a13d65ccf", "category:models"]


@pytest.mark.parametrize(
    ("payee", "key"),
    [
        (Payee(account="acct_1", host="a.com"), "acct_1"),
        (Payee(address="0x1", network="eip155:1", host="a.com"), "eip155:1:0x1"),
        (Payee(host="a.com"), "a.com"),
    ],
)
def test_what_tells_payees_apart(payee: Payee, key: str) -> None:
    assert payee.key == key


def test_the_legs_of_a_spend_and_of_what_comes_back() -> None:
    terms = replace(TERMS, periods=(Period(60, 5_000, 3),))
    total = chart.mandate_budget(MANDATE, "total", UNIT)
    window = chart.mandate_budget(MANDATE, "period:60:1500", UNIT)
    counted = chart.mandate_budget(MANDATE, "period:60:1500:count", USES)
    spent, used = chart.mandate_spent(MANDATE, UNIT), chart.mandate_spent(MANDATE, USES)
    assert spend.reservations(MANDATE, terms, SPEND, at=NOW) == [
        Posting(total, spent, 1_000, TransferCode.mandate_reserved),
        Posting(window, spent, 1_000, TransferCode.mandate_reserved),
        Posting(counted, used, 1, TransferCode.mandate_reserved),
    ]
    assert spend.restorations(MANDATE, terms, SPEND, at=NOW, units=400) == [
        Posting(spent, total, 400, TransferCode.mandate_restored),
        Posting(spent, window, 400, TransferCode.mandate_restored),
    ]
    openings = [spend.opening(MANDATE, terms, each) for each in spend.budgets(terms, SPEND, at=NOW)]
    assert openings == [
        Posting(spent, total, 50_000_000, TransferCode.mandate_budgeted),
        Posting(spent, window, 5_000, TransferCode.mandate_budgeted),
        Posting(used, counted, 3, TransferCode.mandate_budgeted),
    ]


def test_what_comes_back_is_of_the_last() -> None:
    first, second = NOW, NOW + timedelta(seconds=1)
    taken = [(first, 10), (second, 5)]
    assert spend.newest_first(taken, 0) == []
    assert spend.newest_first(taken, 4) == [(second, 4)]
    assert spend.newest_first(taken, 7) == [(second, 5), (first, 2)]
    with pytest.raises(ValueError, match="1 units more"):
        spend.newest_first(taken, 16)


@pytest.mark.parametrize(
    ("call_max", "approval_above", "most"), [(None, None, None), (5, None, 5), (5, 3, 3)]
)
def test_what_a_charge_may_cost(
    call_max: int | None, approval_above: int | None, most: int | None
) -> None:
    terms = replace(TERMS, call_max=call_max, approval_above=approval_above)
    assert spend.charge_max(terms) == most
    assert spend.needs_person(terms, 4) is (approval_above == 3)
    assert not spend.needs_person(terms, 3)


def test_what_is_left_is_said_for_a_machine_and_in_words() -> None:
    terms = replace(TERMS, count=3, periods=(Period(60, 5_000),))
    total, count, window = spend.budgets(terms, SPEND, at=NOW)
    error = spend.exceeded(terms, SPEND, total, 999)
    assert error.message == (
        "The mandate's limit 'total' is 50.000000 usdc; 0.000999 usdc of it are left, and "
        "0.001000 usdc are asked for."
    )
    assert error.param == "amount"
    assert error.details == {
        "limit": "total",
        "amount": 50_000_000,
        "left": 999,
        "asked": 1_000,
    }
    error = spend.exceeded(terms, SPEND, count, 0)
    assert (error.param, error.transient) == (None, True)
    assert "3 payments; 0 payments of it are left, and 1 payments are asked for" in error.message
    error = spend.exceeded(terms, SPEND, window, 0)
    assert error.details is not None
    assert error.details["resets_at"] == START + 1501 * 60
    assert f"of 60 seconds, which ends at {START + 1501 * 60} (Unix time), 0.000" in error.message


def test_a_payee_of_no_rule_is_of_no_category() -> None:
    terms = replace(
        TERMS,
        payees=(PayeeRule(account=SELLER, category="x"),),
        categories=(CategoryRule("x", 5), CategoryRule("y", 5)),
    )
    names = [each.name for each in spend.budgets(terms, SPEND, at=NOW)]
    assert names == ["total", "category:x"]


def test_the_budgets_that_need_no_payee() -> None:
    names = [each.name for each in spend.standing(replace(FULL, count=None, periods=()), at=NOW)]
    assert names == ["total", "payee:0", "category:models"]


@pytest.mark.parametrize(
    ("credited", "debited", "left"), [(0, 0, 9), (9, 0, 9), (9, 4, 5), (9, 9, 0)]
)
def test_what_is_left(credited: int, debited: int, left: int) -> None:
    """A budget that nobody took from has no account yet."""
    assert spend.left_of(Budget(name="total", limit=9, of=Limit.total), credited, debited) == left


def test_a_budget_is_shown() -> None:
    terms = replace(TERMS, periods=(Period(60, 5),))
    total, window = spend.standing(terms, at=NOW)
    assert spend.public_budget(terms, total, 7) == {
        "name": "total",
        "limit": "total",
        "amount": 50_000_000,
        "left": 7,
        "resets_at": None,
    }
    assert spend.public_budget(terms, window, 0)["resets_at"] == START + 1501 * 60


def test_a_payee_is_read() -> None:
    checksummed = "0x742d35Cc6634C0532925a3b844Bc454e4438f44e"
    found = spend.read_payee(
        account=None, network="eip155:1", address=checksummed, host="API.example.com"
    )
    assert found == Payee(network="eip155:1", address=checksummed.lower(), host="api.example.com")
    assert spend.read_payee(account=SELLER, network=None, address=None, host=None) == Payee(
        account=SELLER
    )
    for network, address, param in (
        ("base", None, "payee[network]"),
        (None, "0x12", "payee[address]"),
    ):
        with pytest.raises(ParameterInvalid) as caught:
            spend.read_payee(account=None, network=network, address=address, host=None)
        assert caught.value.param == param
