"""A document of rules: read, refused with the field, and shown."""

from datetime import UTC, datetime
from typing import Any, get_args

import msgspec
import pytest

from sakk.core.errors import ParameterInvalid
from sakk.core.label import ListKind
from sakk.core.rule import (
    BUILT_IN,
    BUILT_IN_NAME,
    BUILT_IN_NAMED,
    ENTRIES_MAX,
    NAME_LENGTH_MAX,
    RULES_MAX,
    Limit,
    Named,
    Rule,
    RulesState,
    RulesVersion,
    Velocity,
    fields_of,
    load_rules,
    public_built_in,
    public_version,
    read_rules,
    rules_digest,
    rules_document,
    version_name,
)
from sakk.core.screening import Verdict

DIRECT: dict[str, Any] = {
    "kind": "direct",
    "name": "a",
    "verdict": "review",
    "categories": ["mixer"],
}


@pytest.mark.parametrize("name", BUILT_IN)
def test_what_came_with_the_house_is_read_back_as_it_is(name: str) -> None:
    document = rules_document(BUILT_IN[name])
    assert read_rules(document) == BUILT_IN[name] == load_rules(document)


def test_the_digest_is_of_what_is_said_not_of_how_it_is_written() -> None:
    written = {"name": "a", "networks": [], "verdict": "review", "confidence_min": 0}
    same = read_rules([{**written, "categories": ["mixer"], "kind": "direct"}])
    assert rules_digest(same) == rules_digest(read_rules([DIRECT]))
    other = read_rules([DIRECT | {"verdict": "block"}])
    assert rules_digest(other) != rules_digest(read_rules([DIRECT]))


NAMED: dict[str, Any] = {"kind": "name", "name": "n", "verdict": "review", "score_min": 800}


def test_a_rule_about_names() -> None:
    (rule,) = read_rules([NAMED | {"list_kinds": ["sanctions"]}])
    assert rule == Named(
        name="n", verdict=Verdict.review, score_min=800, list_kinds=(ListKind.sanctions,)
    )
    assert rules_document([BUILT_IN_NAMED]) == [
        {"kind": "name", "name": "listed_name", "verdict": "review"}
    ]


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"score_min": 0}, "rules[0][score_min]"),
        ({"score_min": 1001}, "rules[0][score_min]"),
        ({"direction": "incoming"}, "rules[0]"),
        ({"networks": ["eip155:1"]}, "rules[0]"),
        ({"amount": {"whole": "5"}}, "rules[0]"),
        ({"list_kinds": ["states"]}, "rules[0][list_kinds][0]"),
    ],
)
def test_a_rule_about_names_that_can_not_be(changes: dict[str, Any], param: str) -> None:
    with pytest.raises(ParameterInvalid) as caught:
        read_rules([NAMED | changes])
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("changes", "param", "said"),
    [
        ({"kind": "hunch"}, "rules[0][kind]", "'hunch' is none of what"),
        ({"verdict": "clear"}, "rules[0][verdict]", "review or block"),
        ({"verdict": "perhaps"}, "rules[0][verdict]", "'perhaps' is none of what"),
        ({"colour": "red"}, "rules[0]", "no field colour"),
        ({"name": ""}, "rules[0][name]", f"1 to {NAME_LENGTH_MAX} characters"),
        ({"name": "a\nb"}, "rules[0][name]", "characters"),
        ({"name": "a" * (NAME_LENGTH_MAX + 1)}, "rules[0][name]", "characters"),
        ({"categories": []}, "rules[0][categories]", "at least one"),
        ({"categories": ["mixers"]}, "rules[0][categories][0]", "'mixers' is none of what"),
        ({"sides": ["left"]}, "rules[0][sides][0]", "'left' is none of what"),
        ({"direction": "up"}, "rules[0][direction]", "'up' is none of what"),
        ({"confidence_min": 101}, "rules[0][confidence_min]", "from 0 to 100"),
        ({"confidence_min": -1}, "rules[0][confidence_min]", "from 0 to 100"),
        ({"networks": ["base"]}, "rules[0][networks][0]", "CAIP-2"),
        ({"networks": ["eip155:1"] * (ENTRIES_MAX + 1)}, "rules[0][networks]", "at most"),
    ],
)
def test_a_rule_that_can_not_be_is_refused_by_its_field(
    changes: dict[str, Any], param: str, said: str
) -> None:
    with pytest.raises(ParameterInvalid) as refused:
        read_rules([DIRECT | changes])
    assert said in refused.value.message
    assert refused.value.param == param


def test_a_field_that_is_missing_is_named() -> None:
    with pytest.raises(ParameterInvalid) as refused:
        read_rules([{key: value for key, value in DIRECT.items() if key != "categories"}])
    assert refused.value.message == "The field categories is needed."
    assert refused.value.param == "rules[0][categories]"


def test_what_msgspec_says_in_words_of_another_release_is_told_as_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def says(*_: object) -> object:
        raise msgspec.ValidationError("A word too many - at `$[0].name`")

    monkeypatch.setattr(msgspec, "convert", says)
    with pytest.raises(ParameterInvalid, match="A word too many") as refused:
        read_rules([DIRECT])
    assert refused.value.param == "rules[0][name]"


def test_the_fields_of_a_kind_stand_in_their_order() -> None:
    assert fields_of("velocity") == tuple(
        name for name in Velocity.__struct_fields__ if name not in ("name", "verdict")
    )


EXPOSURE = {"kind": "exposure", "categories": ["theft"], "share_min_ppm": 50_000}
WINDOW = {"seconds": 3_600, "per": "account"}
STRUCTURING = {
    "kind": "structuring",
    "below": {"units": {"usdc": "10000000000"}},
    "width_ppm": 100_000,
    "count_min": 3,
    **WINDOW,
}
KINDS: list[dict[str, Any]] = [
    EXPOSURE | {"via": "indirect"},
    {"kind": "unknown", "share_min_ppm": 500_001, "amount": {"whole": "10000"}},
    {"kind": "mixer", "share_min_ppm": 1, "hops_max": 2},
    {"kind": "bridge_hop", "share_min_ppm": 1_000_000, "hops_max": 1},
    {"kind": "peel_chain", "hops_min": 3, "peel_max_ppm": 50_000},
    {"kind": "amount", "amount": {"whole": "10000", "units": {"usd": "999999"}}},
    {"kind": "velocity", "count_min": 10, **WINDOW},
    {"kind": "velocity", "units_min": {"whole": "5"}, "seconds": 60, "per": "counterparty"},
    STRUCTURING,
    {"kind": "pass_through", "seconds": 600, "share_min_ppm": 900_000},
    {"kind": "dust", "below": {"whole": "1"}, "seconds": 86_400, "count_min": 2},
    {"kind": "poisoning"},
    {"kind": "first_payout", "amount": {"whole": "1000"}},
    {"kind": "country", "lists": ["black_edd"], "parties": ["account"]},
    {"kind": "issuer", "direction": "outgoing"},
]


@pytest.mark.parametrize("rule", KINDS)
def test_every_kind_is_read_and_shown_as_it_was_written(rule: dict[str, Any]) -> None:
    written = {"name": "a", "verdict": "review", **rule}
    rules = read_rules([written])
    assert rules_document(rules) == [written]
    assert load_rules(rules_document(rules)) == rules


def test_there_is_an_example_of_every_kind() -> None:
    known = {kind.__struct_config__.tag for kind in get_args(Rule)}
    assert known == {rule["kind"] for rule in KINDS} | {"direct", "name"}


@pytest.mark.parametrize(
    ("rule", "param", "said"),
    [
        (EXPOSURE | {"share_min_ppm": 0}, "rules[0][share_min_ppm]", "from 1 to 1000000"),
        (EXPOSURE | {"share_min_ppm": 1_000_001}, "rules[0][share_min_ppm]", "to 1000000"),
        (EXPOSURE | {"categories": []}, "rules[0][categories]", "at least one"),
        (EXPOSURE | {"via": "maybe"}, "rules[0][via]", "'maybe' is none of what"),
        (KINDS[2] | {"hops_max": 6}, "rules[0][hops_max]", "from 1 to 5"),
        (KINDS[4] | {"hops_min": 1}, "rules[0][hops_min]", "from 2 to 5"),
        (KINDS[4] | {"peel_max_ppm": 0}, "rules[0][peel_max_ppm]", "from 1"),
        ({"kind": "amount"}, "rules[0][amount]", "from which on"),
        ({"kind": "amount", "amount": {}}, "rules[0][amount]", "Say units of a currency"),
        ({"kind": "amount", "amount": {"whole": "1.5"}}, "rules[0][amount][whole]", "digits"),
        (
            {"kind": "amount", "amount": {"units": {"usd": "-1"}}},
            "rules[0][amount][units][usd]",
            "digits",
        ),
        ({"kind": "velocity", **WINDOW}, "rules[0][count_min]", "how much at least, or both"),
        ({"kind": "velocity", "units_min": {}, **WINDOW}, "rules[0][units_min]", "Say units"),
        (KINDS[6] | {"seconds": 31 * 86_400 + 1}, "rules[0][seconds]", "to 2678400"),
        (KINDS[6] | {"count_min": 10_001}, "rules[0][count_min]", "to 10000"),
        (KINDS[6] | {"per": "moon"}, "rules[0][per]", "'moon' is none of what"),
        (STRUCTURING | {"width_ppm": 0}, "rules[0][width_ppm]", "from 1"),
        (STRUCTURING | {"below": {}}, "rules[0][below]", "Say units"),
        ({"kind": "country", "lists": []}, "rules[0][lists]", "at least one"),
        ({"kind": "country", "lists": ["a"], "parties": ["dog"]}, "rules[0][parties][0]", "'dog'"),
    ],
)
def test_a_limit_that_can_not_be_is_refused_by_its_field(
    rule: dict[str, Any], param: str, said: str
) -> None:
    with pytest.raises(ParameterInvalid) as refused:
        read_rules([{"name": "a", "verdict": "review", **rule}])
    assert said in refused.value.message
    assert refused.value.param == param


@pytest.mark.parametrize(
    ("limit", "currency", "decimals", "units"),
    [
        (Limit(whole="10000"), "usdc", 6, 10_000_000_000),
        (Limit(whole="10000"), "jpy", 0, 10_000),
        (Limit(units={"usdc": "5"}, whole="10000"), "usdc", 6, 5),
        (Limit(units={"usdc": "5"}, whole="10000"), "usdt", 6, 10_000_000_000),
        (Limit(units={"usdc": "5"}), "usdt", 6, None),
        (Limit(whole="10000"), None, None, None),
        (Limit(whole="10000"), "usdc", None, None),
    ],
)
def test_a_limit_is_of_a_currency(
    limit: Limit, currency: str | None, decimals: int | None, units: int | None
) -> None:
    assert limit.of(currency, decimals) == units


def test_two_rules_of_one_name_and_too_many_are_refused() -> None:
    with pytest.raises(ParameterInvalid, match="Two rules have the name 'a'") as refused:
        read_rules([DIRECT, DIRECT])
    assert refused.value.param == "rules[1][name]"
    many = [DIRECT | {"name": str(number)} for number in range(RULES_MAX + 1)]
    with pytest.raises(ParameterInvalid, match="at most 200 rules") as refused:
        read_rules(many)
    assert refused.value.param == "rules"
    with pytest.raises(ParameterInvalid, match="to be array"):
        read_rules({"rules": []})


def test_a_version_is_shown_whole() -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    rules = read_rules([DIRECT])
    version = RulesVersion(
        id="rul_1",
        livemode=True,
        number=3,
        state=RulesState.in_force.value,
        rules=rules_document(rules),
        digest=rules_digest(rules),
        note="why",
        base=0,
        proposed_by="per_1",
        decided_by="per_2",
        created=at,
        in_force_from=at,
        in_force_to=None,
        closed_at=None,
    )
    shown = public_version(version)
    assert shown["object"] == "screening_rules"
    assert shown["rules"] == [DIRECT]
    assert (shown["in_force_from"], shown["in_force_to"]) == (1767225600, None)
    assert version_name(3) == "3"


def test_what_came_with_the_house_has_a_name_and_nobody_who_proposed_it() -> None:
    shown = public_built_in(livemode=False, judges=True)
    assert (shown["number"], shown["state"], shown["proposed_by"]) == (0, "in_force", None)
    assert public_built_in(livemode=False, judges=False)["state"] == "retired"
    assert version_name(0) == BUILT_IN_NAME
    assert (
        shown.keys()
        == public_version(
            RulesVersion(
                "", True, 1, "", [], "", None, 0, "", None, datetime.now(UTC), *(None,) * 3
            )
        ).keys()
    )
