"""What each regime asks of which transfer."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from sakk.core.errors import ParameterInvalid
from sakk.core.regime import (
    PRESETS,
    Choice,
    Counterparty,
    CounterpartyKind,
    Limits,
    Moved,
    Regime,
    needed,
    preset,
    public_choice,
    read_regime,
    requirement_of,
)

DECIMALS = {"usd": 2, "eur": 2, "hkd": 2, "chf": 2, "sgd": 2}
VASP = Counterparty(CounterpartyKind.vasp, "vasp_1", reachable=True)
UNREACHABLE = Counterparty(CounterpartyKind.vasp)
WALLET = Counterparty(CounterpartyKind.self_hosted)
UNKNOWN = Counterparty(CounterpartyKind.unknown)
OWN = Counterparty(CounterpartyKind.own)


def asked(
    name: str, units: int, other: Counterparty, currency: str = "eur", linked: int = 0
) -> Any:
    return needed(Moved(currency, units, linked), preset(name, DECIMALS), other)


@pytest.mark.parametrize(
    ("name", "currency", "units", "level"),
    [
        ("fatf", "usd", 999_99, "none"),
        ("fatf", "usd", 1_000_00, "full"),
        ("fatf", "eur", 1_000_00, "full"),
        # Nothing is said of this currency: no amount is too small.
        ("fatf", "brl", 1, "full"),
        ("eu", "eur", 1, "full"),
        ("hk", "hkd", 1, "basic"),
        ("hk", "hkd", 7_999_99, "basic"),
        ("hk", "hkd", 8_000_00, "full"),
        ("ch", "chf", 1, "full"),
        ("sg", "sgd", 1_499_99, "basic"),
        ("sg", "sgd", 1_500_00, "full"),
        ("us", "usd", 2_999_99, "none"),
        ("us", "usd", 3_000_00, "full"),
    ],
)
def test_thresholds(name: str, currency: str, units: int, level: str) -> None:
    found = asked(name, units, VASP, currency)
    assert (found.needed, found.level) == (level != "none", level)
    assert found.reasons


@pytest.mark.parametrize(
    ("name", "currency", "units", "proved"),
    [
        ("eu", "eur", 1_000_00, False),
        ("eu", "eur", 1_000_01, True),
        ("eu", "brl", 1, True),
        ("ch", "chf", 1, True),
        ("fatf", "usd", 5_000_00, False),
        ("fatf", "brl", 5_000_00, False),
    ],
)
def test_ownership_of_self_hosted_wallets(
    name: str, currency: str, units: int, proved: bool
) -> None:
    assert asked(name, units, WALLET, currency).ownership is proved
    # An institution's wallet is its own matter.
    assert not asked(name, units, VASP, currency).ownership


def test_linked_transfers_count_together() -> None:
    assert not asked("fatf", 600_00, VASP, "usd").needed
    found = asked("fatf", 600_00, VASP, "usd", linked=400_00)
    assert found.needed
    assert found.reasons[0].startswith("With what is linked, 100000 usd is at least")


def test_what_stays_with_its_owner_is_exempt() -> None:
    found = asked("eu", 10**9, OWN)
    assert not found.needed
    assert found.reasons == ("It stays with the same owner.",)


def test_self_hosted_wallets_where_nothing_is_asked_of_them() -> None:
    assert not asked("us", 9_000_00, WALLET, "usd").needed
    assert asked("us", 9_000_00, UNKNOWN, "usd").counterparty


def test_exchange() -> None:
    assert asked("eu", 100, VASP).exchange
    assert asked("eu", 100, UNREACHABLE).exchange
    assert not asked("eu", 100, WALLET).exchange
    lenient = preset("eu", DECIMALS).model_copy(update={"unreachable": "proceed"})
    found = needed(Moved("eur", 100), lenient, UNREACHABLE)
    assert (found.needed, found.exchange) == (True, False)
    assert "kept here" in found.reasons[-1]
    assert needed(Moved("eur", 100), lenient, VASP).exchange


def test_who_is_at_the_other_end_has_to_be_known() -> None:
    found = asked("eu", 1_000_01, UNKNOWN)
    assert (found.counterparty, found.ownership, found.exchange) == (True, False, False)
    assert not asked("eu", 100, WALLET).counterparty


@pytest.mark.parametrize("name", PRESETS)
def test_a_requirement_comes_back_from_json(name: str) -> None:
    found = asked(name, 9_000_00, VASP)
    assert requirement_of(json.loads(json.dumps(found.document()))) == found
    regime = preset(name, DECIMALS)
    assert read_regime(json.loads(regime.model_dump_json())) == regime
    assert regime.source


def test_presets_know_the_currencies_that_there_are() -> None:
    assert set(preset("hk", {"usd": 6}).limits) == {"usd"}
    assert preset("hk", {"usd": 6}).limits["usd"].full_from_units == 1_000_000_000
    with pytest.raises(ParameterInvalid, match="There are fatf, eu"):
        preset("mars", DECIMALS)


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"name": "Big Name"}, "r[name]"),
        ({"limits": {"usd": {"from_units": -1}}}, "r[limits][usd][from_units]"),
        ({"limits": {"usd": {"from_units": 1.5}}}, "r[limits][usd][from_units]"),
        ({"limits": {"usd": {"from": 1}}}, "r[limits][usd][from]"),
        (
            {"basic": {"originator": [["shoe_size"]], "beneficiary": []}},
            "r[basic][originator][0][0]",
        ),
        ({"basic": {"originator": [[]], "beneficiary": []}}, "r[basic][originator][0]"),
        ({"linked_seconds": 10**9}, "r[linked_seconds]"),
        ({"silence": "shout"}, "r[silence]"),
        ({"more": 1}, "r[more]"),
    ],
)
def test_what_is_no_regime(change: dict[str, Any], param: str) -> None:
    document = {**preset("eu", DECIMALS).model_dump(mode="json"), **change}
    with pytest.raises(ParameterInvalid) as refused:
        read_regime(document, param="r")
    assert refused.value.param == param


def test_limits_of_a_currency_that_is_there() -> None:
    regime: Regime = preset("fatf", DECIMALS)
    assert regime.limits_of("usd") == Limits(from_units=1_000_00, full_from_units=1_000_00)


def test_what_an_operator_chose() -> None:
    choice = Choice(
        id="reg_1",
        livemode=True,
        name="none",
        regime=None,
        institution=None,
        chosen_by="per_1",
        created=datetime(2026, 1, 1, tzinfo=UTC),
    )
    assert public_choice(choice) == {
        "id": "reg_1",
        "object": "travel_rule_regime",
        "name": "none",
        "regime": None,
        "institution": None,
        "chosen_by": "per_1",
        "created": 1767225600,
        "livemode": True,
    }


def test_coins_that_are_worth_a_dollar_have_its_limits() -> None:
    regime = preset("fatf", {"usd": 2, "usdc": 6, "wbtc": 8}, dollars={"usdc"})
    assert regime.limits_of("usdc").from_units == 1_000_000_000
    assert regime.limits_of("wbtc").from_units == 0
