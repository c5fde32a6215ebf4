"""The chart's mapping: every account has one place, and a name that Beancount takes."""

from datetime import UTC, datetime

import pytest

from sakk.core import chart
from sakk.core import chart_mapping as rules
from sakk.core.chart import AccountCode
from sakk.core.chart_mapping import BUILT_IN, KINDS, AccountType, ChartMapping, MappingRule
from sakk.core.errors import ParameterInvalid, UnexpectedState

REST = MappingRule("*", "9999", "The rest", AccountType.equity)


def test_the_built_in_mapping_places_everything() -> None:
    rules.check(BUILT_IN)
    assert {rules.place(BUILT_IN, path).code for path in KINDS} == {rule.code for rule in BUILT_IN}
    assert rules.read_rules(rules.document_of(BUILT_IN)) == BUILT_IN


def test_every_kind_of_account_in_the_ledger_has_its_place() -> None:
    """A report that meets one without a place fails, so that a new kind must be in both lists."""
    places: tuple[chart.Custody, ...] = ("hot", "cold", "deposit")
    balances: tuple[chart.MerchantBalance, ...] = ("incoming", "available", "reserved")
    accounts = [
        *(chart.custody("a/b:c", place) for place in places),
        *(chart.merchant("acct_1", balance, "usdc") for balance in balances),
        *(
            of_asset("a/b:c")
            for of_asset in (
                chart.dust,
                chart.suspense,
                chart.quarantine,
                chart.seized,
                chart.escrow,
                chart.conversion_asset,
            )
        ),
        chart.gas_tank("eip155:1", "eip155:1/slip44:60"),
        chart.receivable("acct_1", "usdc"),
        chart.bank("ba_1", "eur"),
        chart.bank_suspense("ba_1", "eur"),
        *(of(unit) for of in (chart.payout_in_flight, chart.fee_revenue) for unit in ("usdc",)),
        *(of(unit) for of in (chart.fee_network, chart.fee_venue) for unit in ("usdc",)),
        chart.fx("eur", "usdc", "usdc"),
        chart.venue("north", "usdc"),
        chart.channel("ch_1", "usdc"),
        chart.pool("acct_1", "usdc"),
        chart.unclaimed("acct_1", "usdc"),
        chart.gift_card("gc_1", "usdc"),
        chart.equity_operator("usdc"),
        chart.loss("transfer_fee", "usdc"),
    ]
    # What mandates allow is counted and no money; one code is retired.
    left_out = {AccountCode.gas, AccountCode.mandate_budget, AccountCode.mandate_spent}
    assert {each.code for each in accounts} == set(AccountCode) - left_out
    asked = {path.split(":")[0] for path in KINDS}
    for each in accounts:
        assert rules.find(BUILT_IN, each.path) is not None, each.path
        assert each.path.split(":")[0] in asked


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("a", "a", True),
        ("a", "ab", False),
        ("*", "", True),
        ("a*a", "a", False),
        ("a*a", "aa", True),
        ("a*b*c", "axbxc", True),
        ("a*b*c", "axc", False),
        ("*b*b*", "ab", False),
        ("*b*b*", "abab", True),
        (".*", "a", False),
        ("*a" * 100, "a" * 99 + "b", False),
        ("*a" * 60 + "*b", "a" * 200, False),
    ],
)
def test_a_pattern_of_many_stars_is_read_in_one_pass(
    pattern: str, path: str, expected: bool
) -> None:
    assert rules.fits(pattern, path) is expected


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("merchant:acct_1:available", "2100"),
        ("merchant:acct_1:available:", None),
        ("custody:eip155:1/erc20:0x00:hot", "1010"),
        ("fee:revenue", "4000"),
        ("fee:network", "5000"),
    ],
)
def test_the_first_rule_that_fits_decides(path: str, code: str | None) -> None:
    found = rules.find(BUILT_IN, path)
    assert (None if found is None else found.code) == code


def test_what_no_rule_fits_is_told() -> None:
    with pytest.raises(UnexpectedState, match="unheard:of"):
        rules.place(BUILT_IN, "unheard:of")


@pytest.mark.parametrize(
    ("written", "param"),
    [
        ([], "rules"),
        ([REST] * (rules.RULES_MAX + 1), "rules"),
        ([MappingRule("fee:*", "4000", "Fees", AccountType.income)], "rules"),
        ([MappingRule("*", "-1", "Fees", AccountType.income)], "rules[0][code]"),
        ([MappingRule("*", "1", "", AccountType.income)], "rules[0][name]"),
        ([MappingRule("*" * 201, "1", "Fees", AccountType.income)], "rules[0][pattern]"),
        ([MappingRule("*", "1", "a\nb", AccountType.income)], "rules[0][name]"),
        ([REST, MappingRule("fee:*", "9999", "Fees", AccountType.income)], "rules[1][code]"),
        (
            [
                MappingRule("*", "1.1", "Fees", AccountType.income),
                MappingRule("a", "1-1", "Fees", AccountType.income),
            ],
            "rules[1][code]",
        ),
    ],
)
def test_a_chart_that_can_not_be_is_refused(written: list[MappingRule], param: str) -> None:
    with pytest.raises(ParameterInvalid) as refused:
        rules.check(written)
    assert refused.value.param == param


@pytest.mark.parametrize(
    ("unit", "symbol", "name"),
    [
        ("usdc", "usdc", "USDC"),
        ("test/usdc", "usdc", "USDC"),
        ("eip155:1/erc20:0x1", "USDC", "USDC.F22CC6F3"),
        ("eip155:1/slip44:60", "A-very-long-symbol", "AVERYLONGSYMBOL.EB04E0A2"),
        ("x", "1x", "X1XX"),
        ("x", "€", "XX"),
    ],
)
def test_units_are_commodities(unit: str, symbol: str, name: str) -> None:
    found = rules.commodity(unit, symbol)
    assert len(found) <= rules.COMMODITY_LENGTH_MAX
    assert found.partition(".")[0] == name.partition(".")[0]
    assert ("." in found) == ("." in name)


def test_names_are_of_letters_digits_and_dashes() -> None:
    rule = MappingRule("*", "2100", "Händler & Co. (EU)", AccountType.liability)
    assert rule.beancount == "Liabilities:2100-Ha-ndler-Co-EU"


def test_a_version_is_shown() -> None:
    made = ChartMapping(
        version=2,
        rules=rules.document_of([REST]),
        created=datetime(2026, 11, 26, tzinfo=UTC),
        created_by="key_1",
    )
    assert rules.public(made)["rules"] == rules.document_of([REST])
    assert rules.public(None)["version"] == 0
