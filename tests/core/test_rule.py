"""A document of rules: read, refused with the field, and shown."""

from datetime import UTC, datetime
from typing import Any

import pytest

from sakk.core.errors import ParameterInvalid
from sakk.core.rule import (
    BUILT_IN,
    BUILT_IN_NAME,
    ENTRIES_MAX,
    NAME_LENGTH_MAX,
    RULES_MAX,
    RulesState,
    RulesVersion,
    load_rules,
    public_built_in,
    public_version,
    read_rules,
    rules_digest,
    rules_document,
    version_name,
)

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


@pytest.mark.parametrize(
    ("changes", "param", "said"),
    [
        ({"kind": "hunch"}, "rules[0][kind]", "Invalid value 'hunch'"),
        ({"verdict": "clear"}, "rules[0][verdict]", "review or block"),
        ({"verdict": "perhaps"}, "rules[0][verdict]", "Invalid enum value 'perhaps'"),
        ({"colour": "red"}, "rules[0]", "unknown field `colour`"),
        ({"name": ""}, "rules[0][name]", f"1 to {NAME_LENGTH_MAX} characters"),
        ({"name": "a\nb"}, "rules[0][name]", "characters"),
        ({"name": "a" * (NAME_LENGTH_MAX + 1)}, "rules[0][name]", "characters"),
        ({"categories": []}, "rules[0][categories]", "at least one category"),
        ({"categories": ["mixers"]}, "rules[0][categories][0]", "Invalid enum value 'mixers'"),
        ({"sides": ["left"]}, "rules[0][sides][0]", "Invalid enum value 'left'"),
        ({"direction": "up"}, "rules[0][direction]", "Invalid enum value 'up'"),
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


def test_two_rules_of_one_name_and_too_many_are_refused() -> None:
    with pytest.raises(ParameterInvalid, match="Two rules have the name 'a'") as refused:
        read_rules([DIRECT, DIRECT])
    assert refused.value.param == "rules[1][name]"
    many = [DIRECT | {"name": str(number)} for number in range(RULES_MAX + 1)]
    with pytest.raises(ParameterInvalid, match="at most 200 rules") as refused:
        read_rules(many)
    assert refused.value.param == "rules"
    with pytest.raises(ParameterInvalid, match="Expected `array`"):
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
