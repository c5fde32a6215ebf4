"""AP2: its constraints become the same limits, in exact amounts, or are refused by name."""

from typing import Any

import pytest

from sakk.core import ap2
from sakk.core.errors import ParameterInvalid
from sakk.core.mandate import PayeeRule, Period, Terms, check_terms

from .test_mandate import AGENT, OWNER, SELLER, START, TERMS

RANGE = {"type": "payment.amount_range", "currency": "USD", "max": 10_000, "min": 1}
BUDGET = {"type": "payment.budget", "currency": "USD", "max": 50.25}
DAILY = {"type": "payment.agent_recurrence", "frequency": "DAILY", "max_occurrences": 20}
REFERENCE = {"type": "payment.reference", "conditional_transaction_id": "abc"}
ON_DEMAND = {"type": "payment.agent_recurrence", "frequency": "ON_DEMAND"}


def payees(*ids: str) -> dict[str, Any]:
    allowed = [{"id": each, "name": "?", "website": "https://?"} for each in ids]
    return {"type": "payment.allowed_payees", "allowed": allowed}


def read(*constraints: Any, **values: Any) -> Terms:
    given: dict[str, Any] = {
        "vct": ap2.VCT,
        "constraints": list(constraints),
        "cnf": {"jwk": {}},
        "exp": START + 86_400,
        **values,
    }
    options: dict[str, Any] = {}
    for name in ("currency", "decimals", "expires_at"):
        if name in given:
            options[name] = given.pop(name)
    whole: dict[str, Any] = {
        "account_id": TERMS.account_id,
        "livemode": False,
        "owner": OWNER.address,
        "agent": AGENT.address,
        "currency": "usdc",
        "decimals": 6,
        "starts_at": None,
        "expires_at": None,
        "now": START,
        "salt": TERMS.salt,
        **options,
    }
    return ap2.read(given, **whole)


def test_an_open_payment_mandate_becomes_terms() -> None:
    window = {
        "type": "payment.execution_date",
        "not_before": "2026-05-28T21:00:00Z",
        "not_after": "2026-05-29T00:00:00+00:00",
    }
    instruments = {
        "type": "payment.allowed_payment_instruments",
        "allowed": [{"id": "card_1", "type": "card"}, {"id": TERMS.account_id, "type": "sakk"}],
    }
    terms = read(
        RANGE,
        BUDGET,
        DAILY,
        REFERENCE,
        window,
        instruments,
        payees(SELLER, "did:web:API.example.com", "eip155:8453:" + OWNER.address),
    )
    assert terms.total == 50_250_000
    assert (terms.call_min, terms.call_max) == (10_000, 100_000_000)
    assert (terms.count, terms.periods) == (20, (Period(86_400, None, 1),))
    assert (terms.starts_at, terms.expires_at) == (1_780_002_000, 1_780_012_800)
    assert terms.payees == (
        PayeeRule(account=SELLER),
        PayeeRule(host="api.example.com"),
        PayeeRule(network="eip155:8453", address=OWNER.address),
    )
    check_terms(terms)
    assert ap2.unenforced({"constraints": [RANGE, REFERENCE]}) == ["payment.reference"]
    assert ap2.unenforced({}) == []


@pytest.mark.parametrize(
    ("constraints", "total", "count"),
    [
        ([{**RANGE, "min": None}], 100_000_000, 1),  # without recurrence it is used once
        ([RANGE, DAILY], 2_000_000_000, 20),
        ([BUDGET, ON_DEMAND], 50_250_000, None),
        ([{**BUDGET, "max": 7}, ON_DEMAND], 7_000_000, None),
    ],
)
def test_what_bounds_the_sum(
    constraints: list[dict[str, Any]], total: int, count: int | None
) -> None:
    terms = read(*constraints)
    assert (terms.total, terms.count) == (total, count)


@pytest.mark.parametrize(("frequency", "seconds"), list(ap2.FREQUENCIES.items()))
def test_no_frequency_comes_more_often_than_ap2_says(frequency: str, seconds: int | None) -> None:
    terms = read(BUDGET, {**ON_DEMAND, "frequency": frequency})
    assert terms.periods == (() if seconds is None else (Period(seconds, None, 1),))


@pytest.mark.parametrize(
    ("code", "currency", "decimals", "cents", "units"),
    [
        ("USD", "usd", 2, 27_999, 27_999),
        ("USD", "usdc", 18, 1, 10**16),
        ("JPY", "jpyc", 2, 7, 700),
        ("KWD", "kwd", 3, 7, 7),
    ],
)
def test_cents_are_converted_exactly(
    code: str, currency: str, decimals: int, cents: int, units: int
) -> None:
    given = {**RANGE, "currency": code, "max": cents, "min": cents}
    terms = read(given, currency=currency, decimals=decimals)
    assert (terms.call_min, terms.call_max) == (units, units)


def test_what_the_user_set_beforehand_is_so_exactly() -> None:
    terms = read(
        payees(SELLER, "did:web:a.com"),
        payee={"id": "did:web:a.com"},
        payment_amount={"amount": 150, "currency": "USD"},
        payment_instrument={"id": TERMS.account_id, "type": "sakk"},
    )
    assert (terms.call_min, terms.call_max, terms.total) == (1_500_000, 1_500_000, 1_500_000)
    assert terms.payees == (PayeeRule(host="a.com"),)


def test_a_window_may_be_open_on_one_side() -> None:
    opens = {"type": "payment.execution_date", "not_before": "2026-05-28T21:00:00Z"}
    terms = read(RANGE, opens)
    assert (terms.starts_at, terms.expires_at) == (1_780_002_000, START + 86_400)


def test_the_earliest_end_holds() -> None:
    assert read(RANGE, expires_at=START + 60).expires_at == START + 60
    assert read(RANGE, exp=None, expires_at=START + 60).expires_at == START + 60
    with pytest.raises(ParameterInvalid) as caught:
        read(RANGE, exp=None)
    assert caught.value.param == "expires_at"


@pytest.mark.parametrize(
    ("constraints", "values", "param"),
    [
        ([], {"vct": "mandate.payment.1"}, "mandate[vct]"),
        ([], {"constraints": "all"}, "mandate[constraints]"),
        ([RANGE] * 51, {}, "mandate[constraints]"),
        (["x"], {}, "mandate[constraints][0]"),
        ([{"type": "payment.allowed_pisps", "allowed": []}], {}, "mandate[constraints][0]"),
        ([ON_DEMAND], {}, "mandate[constraints]"),
        ([RANGE, ON_DEMAND], {}, "mandate[constraints]"),
        ([{**RANGE, "max": 1.5}], {}, "mandate[constraints][0][max]"),
        ([{**RANGE, "max": True}], {}, "mandate[constraints][0][max]"),
        ([{**RANGE, "max": 0}], {}, "mandate[constraints][0][max]"),
        ([{**RANGE, "currency": "EUR"}], {}, "mandate[constraints][0][max][currency]"),
        ([{**RANGE, "currency": 1}], {}, "mandate[constraints][0][max][currency]"),
        ([{**RANGE, "max": 7}], {"decimals": 1}, "mandate[constraints][0][max]"),
        ([{**BUDGET, "max": 0.0000001}], {}, "mandate[constraints][0][max]"),
        ([{**BUDGET, "max": 0.1 + 0.2}], {}, "mandate[constraints][0][max]"),
        ([{**BUDGET, "max": "50"}], {}, "mandate[constraints][0][max]"),
        ([{**BUDGET, "max": float("inf")}], {}, "mandate[constraints][0][max]"),
        ([{**BUDGET, "max": -1}], {}, "mandate[constraints][0][max]"),
        ([{**DAILY, "frequency": "HOURLY"}], {}, "mandate[constraints][0][frequency]"),
        ([{**DAILY, "max_occurrences": 0}], {}, "mandate[constraints][0][max_occurrences]"),
        ([payees("Acme")], {}, "mandate[constraints][0][allowed][0][id]"),
        ([payees()], {}, "mandate[constraints][0]"),
        (
            [{"type": "payment.allowed_payees", "allowed": None}],
            {},
            "mandate[constraints][0][allowed]",
        ),
        (
            [{"type": "payment.allowed_payees", "allowed": ["Acme"]}],
            {},
            "mandate[constraints][0][allowed][0]",
        ),
        ([payees(SELLER), payees("did:web:a.com")], {}, "mandate[constraints][1]"),
        ([payees(SELLER)], {"payee": {"id": "did:web:a.com"}}, "mandate[payee]"),
        (
            [{"type": "payment.allowed_payment_instruments", "allowed": [{"id": "card_1"}]}],
            {},
            "mandate[constraints][0]",
        ),
        (
            [{"type": "payment.execution_date", "not_after": "2026-12-31"}],
            {},
            "mandate[constraints][0][not_after]",
        ),
        (
            [{"type": "payment.execution_date", "not_before": "soon"}],
            {},
            "mandate[constraints][0][not_before]",
        ),
        ([RANGE], {"execution_date": "2026-12-31"}, "mandate[execution_date]"),
        ([RANGE], {"pisp": {"legal_name": "x"}}, "mandate[pisp]"),
        ([RANGE], {"exp": "tomorrow"}, "mandate[exp]"),
    ],
)
def test_what_is_not_exact_is_refused(
    constraints: list[Any], values: dict[str, Any], param: str
) -> None:
    with pytest.raises(ParameterInvalid) as caught:
        read(*constraints, **values)
    assert caught.value.param == param
