"""Rules of policies: what fits, in which order, what is refused to be written."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sakk.core.errors import ParameterInvalid
from sakk.core.policy import (
    ENTRIES_MAX,
    RULES_MAX,
    Action,
    Amount,
    Facts,
    Per,
    Period,
    PeriodKey,
    PolicyVersion,
    Rule,
    counted_keys,
    evaluate,
    is_transfer_blocked,
    load_rules,
    period_keys,
    public_decision,
    public_version,
    read_rules,
    role_default,
    rules_digest,
    rules_document,
    rules_for_transfers,
    seed_rules,
)

BASE = "eip155:8453"
USDC = f"{BASE}/erc20:0x833589fcd6edb6e08f4c7c32d4f71b54bda02913"
ACME = "0x8ba1f109551bd432803012645ac136ddd64dba72"
ACCOUNT, KEY, PERSON, BENEFICIARY = (
    f"{prefix}_01jd8k00000000000000000000" for prefix in ("acct", "key", "per", "ben")
)
STRICTNESS = {Action.allow: 0, Action.approve: 1, Action.block: 2}


def facts(amount: int = 1_000_000, **changes: Any) -> Facts:
    known: dict[str, Any] = {
        "account": ACCOUNT,
        "currency": "usdc",
        "decimals": 6,
        "network": BASE,
        "asset": USDC,
        "destination": ACME,
        "amount": amount,
    }
    return Facts(**(known | changes))


def allow(name: str = "a", **conditions: Any) -> Rule:
    return Rule(name=name, action=Action.allow, **conditions)


def decide(*rules: Rule, of: Facts | None = None, before: int = 0) -> Action:
    """What rules say; what they do not allow waits."""
    found = of or facts()
    sums = dict.fromkeys(period_keys(rules, found), before)
    return evaluate(rules, found, sums, role_default="approver").action


FITTING = {
    "nothing named": ({}, {}),
    "currency": ({"currencies": ("usdt", "usdc")}, {}),
    "network": ({"networks": (BASE,)}, {}),
    "asset": ({"assets": (USDC,)}, {}),
    "purpose": ({"purposes": ("refund",)}, {"purpose": "refund"}),
    "address, however it is spelt": ({"destinations": (ACME.upper().replace("0X", "0x"),)}, {}),
    "beneficiary": ({"destinations": (BENEFICIARY,)}, {"beneficiary": BENEFICIARY}),
    "address book": ({"destinations": ("address_book",)}, {"beneficiary": BENEFICIARY}),
    "vault": ({"destinations": ("vault",)}, {"is_vault": True}),
    "withdrawal": ({"purposes": ("withdrawal",)}, {"purpose": "withdrawal"}),
    "account": ({"initiators": (ACCOUNT,)}, {}),
    "key": ({"initiators": ("per_x", KEY)}, {"key": KEY}),
    "person": ({"initiators": (PERSON,)}, {"person": PERSON}),
    "role": ({"initiators": ("role:finance",)}, {"roles": frozenset({"finance"})}),
    "up to, itself": ({"amount": Amount(up_to="1000000")}, {}),
    "up to, whole": ({"amount": Amount(up_to="1", unit="whole")}, {}),
    "above": ({"amount": Amount(above="999999")}, {}),
    "within": ({"amount": Amount(above="0", up_to="2", unit="whole")}, {}),
}
OTHERWISE = {
    "currency": ({"currencies": ("usdt",)}, {}, "currency usdc is not usdt"),
    "network": ({"networks": ("eip155:1",)}, {}, f"network {BASE} is not eip155:1"),
    "asset": ({"assets": (f"{BASE}/slip44:60",)}, {}, f"asset {USDC} is not {BASE}/slip44:60"),
    "purpose": ({"purposes": ("refund",)}, {}, "purpose payout is not refund"),
    "address": ({"destinations": ("0x" + "11" * 20,)}, {}, "destination 0x8ba1"),
    "not in the book": ({"destinations": ("address_book",)}, {}, "is not address_book"),
    "another entry": (
        {"destinations": ("ben_x",)},
        {"beneficiary": BENEFICIARY},
        "is not ben_x",
    ),
    "nobody of these": (
        {"initiators": ("per_a", "per_b", "per_c", "per_d")},
        {"person": PERSON},
        f"initiator {PERSON} is not per_a, per_b, per_c or 1 more",
    ),
    "another role": ({"initiators": ("role:admin",)}, {}, f"initiator {ACCOUNT} is not role:admin"),
    "a unit more": ({"amount": Amount(up_to="999999")}, {}, "amount 1000000 is above 999999"),
    "not more": (
        {"amount": Amount(above="1", unit="whole")},
        {},
        "amount 1000000 is not above 1000000",
    ),
}


@pytest.mark.parametrize(("conditions", "changes"), FITTING.values(), ids=FITTING)
def test_a_rule_fits(conditions: dict[str, Any], changes: dict[str, Any]) -> None:
    assert decide(allow(**conditions), of=facts(**changes)) is Action.allow


@pytest.mark.parametrize(("conditions", "changes", "why"), OTHERWISE.values(), ids=OTHERWISE)
def test_a_rule_does_not_fit_and_says_why(
    conditions: dict[str, Any], changes: dict[str, Any], why: str
) -> None:
    found = evaluate([allow("first", **conditions)], facts(**changes), {}, role_default="approver")
    assert (found.action, found.rule, found.index) == (Action.approve, None, None)
    assert (found.approvals, found.role) == (1, "approver")
    [passed] = found.passed
    assert (passed.rule, passed.by_period) == ("first", False)
    assert why in passed.reason


def test_the_first_that_fits_decides() -> None:
    rules = (
        allow("other currency", currencies=("usdt",)),
        Rule(name="two", action=Action.approve, approvals=2, role="approver"),
        Rule(name="never", action=Action.block),
    )
    found = evaluate(rules, facts(), {}, role_default="approver")
    assert (found.action, found.rule, found.index) == (Action.approve, "two", 1)
    assert (found.approvals, found.role) == (2, "approver")
    assert [each.rule for each in found.passed] == ["other currency"]


@pytest.mark.parametrize(
    ("per", "value"),
    [("account", ACCOUNT), ("initiator", KEY), ("destination", ACME), ("all", "")],
)
def test_a_period_adds_up_what_went_before(per: Per, value: str) -> None:
    rule = allow(
        currencies=("usdc",), networks=(BASE,), period=Period(seconds=60, per=per, up_to="5000000")
    )
    asked = facts(key=KEY)
    [key] = period_keys([rule], asked)
    assert key == PeriodKey(60, per, value, "usdc", (), (BASE,), ())
    assert decide(rule, of=asked, before=4_000_000) is Action.allow
    assert decide(rule, of=asked, before=4_000_001) is Action.approve
    found = evaluate([rule], asked, {key: 4_000_001}, role_default="approver")
    assert found.passed[0].by_period
    assert found.passed[0].reason == f"sum of 60 s per {per} 5000001 is above 5000000"


def test_whose_key_it_was_is_who_asked() -> None:
    rule = allow(period=Period(seconds=60, per="initiator", up_to="5", unit="whole"))
    keys = [period_keys([rule], facts(key=key, person=PERSON)) for key in ("key_1", "key_2")]
    assert keys[0] == keys[1]
    assert [key.value for key in period_keys([rule], facts())] == [""]


def test_only_sums_that_may_be_needed_are_asked_for() -> None:
    period = Period(seconds=60, per="all", up_to="5", unit="whole")
    rules = (allow("a", currencies=("usdt",), period=period), allow("b"))
    assert period_keys(rules, facts()) == []
    # A payout of the currency counts all the same, whatever its amount was.
    small = allow("c", amount=Amount(up_to="1"), currencies=("usdc",), period=period)
    assert period_keys([small], facts()) == []
    assert len(counted_keys([small, allow("d", period=period)], facts())) == 1


@pytest.mark.parametrize(
    "conditions",
    [{"assets": (f"{BASE}/slip44:60",)}, {"networks": ("eip155:1",)}, {"purposes": ("refund",)}],
)
def test_a_period_counts_what_its_rule_names(conditions: dict[str, Any]) -> None:
    period = Period(seconds=60, per="all", up_to="5", unit="whole")
    assert counted_keys([allow(period=period, **conditions)], facts()) == set()


def test_what_no_rule_fits_waits_for_a_person() -> None:
    assert role_default(livemode=True) == "approver"
    assert role_default(livemode=False) == "operator"
    assert decide() is Action.approve


def test_test_money_goes_up_to_ten_thousand() -> None:
    whole = 10**6
    assert decide(*seed_rules(), of=facts(10_000 * whole)) is Action.allow
    found = evaluate(seed_rules(), facts(10_000 * whole + 1), {}, role_default="x")
    assert (found.action, found.approvals, found.role) == (Action.approve, 1, "operator")
    assert read_rules(rules_document(seed_rules()), livemode=False) == seed_rules()


GOOD: dict[str, Any] = {
    "name": "large",
    "action": "approve",
    "approvals": 2,
    "role": "approver",
    "currencies": ["usdc"],
    "networks": [BASE],
    "assets": [USDC],
    "purposes": ["payout"],
    "destinations": [ACME, BENEFICIARY, "address_book"],
    "initiators": ["role:finance", ACCOUNT, KEY, PERSON],
    "amount": {"above": 5, "up_to": "10000000000000000000000"},
    "period": {"seconds": 86_400, "per": "all", "up_to": "5", "unit": "whole"},
}


def test_rules_are_read_stored_and_shown() -> None:
    rules = read_rules([GOOD, {"name": "rest", "action": "block"}], livemode=True)
    assert rules[0].amount == Amount(above="5", up_to="10000000000000000000000")
    document = rules_document(rules)
    assert document[1] == {"name": "rest", "action": "block"}
    assert load_rules(document) == rules
    assert rules_digest(rules) == rules_digest(load_rules(document))
    assert rules_digest(rules) != rules_digest(rules[:1])


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "unknown field": ({"colour": 1}, "rules[0]"),
    "no such action": ({"action": "maybe"}, "rules[0][action]"),
    "a float": ({"amount": {"up_to": 1.5}}, "rules[0][amount][up_to]"),
    "a wrong list": ({"currencies": [5]}, "rules[0][currencies][0]"),
    "no name": ({"name": ""}, "rules[0][name]"),
    "unprintable": ({"name": "a\n"}, "rules[0][name]"),
    "capital currency": ({"currencies": ["USDC"]}, "rules[0][currencies][0]"),
    "no network": ({"networks": [BASE, "base"]}, "rules[0][networks][1]"),
    "no asset": ({"assets": ["usdc"]}, "rules[0][assets][0]"),
    "asset not canonical": ({"assets": [USDC.upper()]}, "rules[0][assets][0]"),
    "no purpose": ({"purposes": ["gift"]}, "rules[0][purposes][0]"),
    "no address": ({"destinations": ["0x12"]}, "rules[0][destinations][0]"),
    "no initiator": ({"initiators": ["po_01jd8k00000000000000000000"]}, "rules[0][initiators][0]"),
    "no role": ({"initiators": ["role:king"]}, "rules[0][initiators][0]"),
    "too many": ({"currencies": ["usdc"] * (ENTRIES_MAX + 1)}, "rules[0][currencies]"),
    "not digits": ({"amount": {"up_to": "1.5"}}, "rules[0][amount][up_to]"),
    "no bound": ({"amount": {}}, "rules[0][amount]"),
    "nothing between": ({"amount": {"above": 5, "up_to": 5}}, "rules[0][amount][above]"),
    "whose unit": (
        {"amount": {"up_to": 5}, "currencies": [], "assets": []},
        "rules[0][amount][unit]",
    ),
    "no period": (
        {"period": {"seconds": 0, "per": "all", "up_to": 5}},
        "rules[0][period][seconds]",
    ),
    "per what": ({"period": {"seconds": 5, "per": "moon", "up_to": 5}}, "rules[0][period][per]"),
    "none needed": ({"approvals": 0}, "rules[0][approvals]"),
    "how many": ({"approvals": None}, "rules[0][approvals]"),
    "of whom": ({"role": None}, "rules[0][role]"),
    "of viewers": ({"role": "viewer"}, "rules[0][role]"),
    "the operator's key, live": ({"role": "operator", "approvals": 1}, "rules[0][role]"),
    "approvals of a block": ({"action": "block", "role": None}, "rules[0][approvals]"),
    "a role of a block": ({"action": "block", "approvals": None}, "rules[0][approvals]"),
}


@pytest.mark.parametrize(("changes", "param"), BAD.values(), ids=BAD)
def test_what_can_not_be_written(changes: dict[str, Any], param: str) -> None:
    with pytest.raises(ParameterInvalid) as caught:
        read_rules([GOOD | changes], livemode=True)
    assert caught.value.param == param


def test_more_that_can_not_be_written() -> None:
    with pytest.raises(ParameterInvalid, match="Two rules have the name 'large'"):
        read_rules([GOOD, GOOD], livemode=True)
    many = [{"name": str(number), "action": "block"} for number in range(RULES_MAX + 1)]
    with pytest.raises(ParameterInvalid, match="at most 200 rules"):
        read_rules(many, livemode=True)
    with pytest.raises(ParameterInvalid, match="Expected `array`"):
        read_rules("allow", livemode=True)
    with pytest.raises(ParameterInvalid, match="one approver"):
        read_rules([GOOD | {"role": "operator"}], livemode=False)


@st.composite
def _rules(draw: st.DrawFn) -> list[Rule]:
    """Rules of every kind, some of which fit what is asked here."""
    actions = draw(st.lists(st.sampled_from(list(Action)), max_size=6))
    return [
        Rule(
            name=str(number),
            action=action,
            approvals=1 if action is Action.approve else None,
            role="approver" if action is Action.approve else None,
            currencies=draw(st.sampled_from([(), ("usdc",), ("usdt",)])),
            networks=draw(st.sampled_from([(), (BASE,), ("eip155:1",)])),
            amount=draw(st.sampled_from([None, Amount(up_to="1", unit="whole")])),
        )
        for number, action in enumerate(actions)
    ]


@given(_rules(), st.integers(min_value=1, max_value=2_000_000))
def test_the_decision_is_of_the_first_that_fits_alone(rules: list[Rule], amount: int) -> None:
    asked = facts(amount)
    found = evaluate(rules, asked, {}, role_default="approver")
    alone = [evaluate([rule], asked, {}, role_default="approver") for rule in rules]
    first = next((index for index, each in enumerate(alone) if each.rule is not None), None)
    assert found.index == first
    assert len(found.passed) == (len(rules) if first is None else first)
    if first is not None:
        assert found.action is rules[first].action
        # What comes after changes nothing.
        cut = evaluate(rules[: first + 1], asked, {}, role_default="approver")
        assert cut == found


@given(
    st.lists(st.integers(min_value=0, max_value=10**30), min_size=3, max_size=3, unique=True),
    st.integers(min_value=1, max_value=10**30),
    st.integers(min_value=0, max_value=10**30),
    st.integers(min_value=0, max_value=10**30),
)
def test_more_money_is_never_let_go_more_easily(
    limits: list[int], amount: int, before: int, more: int
) -> None:
    """Of rules with rising limits a greater amount, or more before it, is judged no milder."""
    low, middle, day = sorted(limits)
    rules = (
        Rule(
            name="a day's most",
            action=Action.block,
            currencies=("usdc",),
            period=Period(seconds=86_400, per="all", above=str(day)),
        ),
        allow("small", currencies=("usdc",), amount=Amount(up_to=str(low))),
        Rule(
            name="middle",
            action=Action.approve,
            approvals=1,
            role="approver",
            currencies=("usdc",),
            amount=Amount(up_to=str(middle)),
        ),
        Rule(name="rest", action=Action.block),
    )
    milder = decide(*rules, of=facts(amount), before=before)
    assert STRICTNESS[decide(*rules, of=facts(amount + more), before=before)] >= STRICTNESS[milder]
    assert STRICTNESS[decide(*rules, of=facts(amount), before=before + more)] >= STRICTNESS[milder]


def test_versions_and_decisions_are_shown() -> None:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    version = PolicyVersion(
        id="pol_1",
        livemode=True,
        number=4,
        state="proposed",
        rules=rules_document(seed_rules()),
        digest=rules_digest(seed_rules()),
        note="why",
        base=3,
        proposed_by="per_1",
        decided_by=None,
        created=moment,
        activated_at=None,
        closed_at=None,
    )
    shown = public_version(version)
    assert (shown["number"], shown["base"], shown["activated_at"]) == (4, 3, None)
    assert shown["created"] == int(moment.timestamp())
    assert shown["rules"][1]["role"] == "operator"
    found = evaluate(seed_rules(), facts(10**13), {}, role_default="x")
    assert public_decision(found) == {
        "action": "approve",
        "rule": "everything else",
        "approvals": 1,
        "role": "operator",
        "passed": [
            {"rule": "up to 10,000", "reason": "amount 10000000000000 is above 10000000000"}
        ],
    }


def test_a_period_adds_up_no_recoveries() -> None:
    counted = allow(period=Period(seconds=60, per="all", up_to="5", unit="whole"))
    assert decide(counted, of=facts(1)) is Action.allow
    assert decide(counted, of=facts(1, purpose="recovery")) is Action.approve
    with pytest.raises(ParameterInvalid, match="adds up no recoveries") as caught:
        read_rules(
            [
                {
                    "name": "back",
                    "action": "allow",
                    "purposes": ["recovery"],
                    "period": {"seconds": 60, "per": "all", "up_to": "5", "unit": "whole"},
                }
            ],
            livemode=False,
        )
    assert caught.value.param == "rules[0][purposes]"


def test_a_vault_is_no_other_destination() -> None:
    assert decide(allow(destinations=("vault",))) is Action.approve


def test_transfers_are_judged_by_the_rules_alone_that_name_them() -> None:
    """A limit on what leaves does not stop what stays, and a transfer never waits for people."""
    limit = Rule(
        name="a day",
        action=Action.block,
        purposes=("transfer",),
        period=Period(seconds=86_400, per="account", above="10", unit="whole"),
    )
    rules = (Rule(name="no payouts", action=Action.block), limit)
    sent = facts(purpose="transfer", network="", asset="", destination=ACCOUNT)
    [key] = period_keys(rules_for_transfers(rules), sent)
    assert not is_transfer_blocked(rules, sent, {key: 9_000_000})
    assert is_transfer_blocked(rules, sent, {key: 9_000_001})
    assert not is_transfer_blocked((), sent, {})
    with pytest.raises(ParameterInvalid, match="at once or not") as caught:
        read_rules(
            [
                {
                    "name": "a",
                    "action": "approve",
                    "approvals": 1,
                    "role": "approver",
                    "purposes": ["transfer"],
                }
            ],
            livemode=True,
        )
    assert caught.value.param == "rules[0][action]"
