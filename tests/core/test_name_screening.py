"""Screening names: questions refused with their field, evidence, and verdicts by rules."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from sakk.core.entity import EntityKind, NameQuality
from sakk.core.errors import ParameterInvalid
from sakk.core.label import ListKind
from sakk.core.name_screening import (
    MATCHER,
    Evidence,
    NameExemption,
    NameHit,
    NameQuery,
    NameScreening,
    decide_names,
    name_rules,
    public_exemption,
    public_screening,
    query_hash,
    read_query,
    total_score,
    weigh_evidence,
)
from sakk.core.rule import BUILT_IN_NAMED, Direct, Named
from sakk.core.screening import Verdict

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HIT = NameHit(
    entity_id="ent_1",
    list_name="UN",
    list_kind="sanctions",
    list_version=1,
    ref="1",
    entity_version=1,
    kind="person",
    name="Ivan Petrov",
    matched="Ivan Petrov",
    quality="primary",
    score=800,
    name_score=800,
    pairs=(),
    query_left=(),
    listed_left=(),
    evidence=(),
)


def test_a_question() -> None:
    asked = read_query(
        " Ivan  Petrov ", kind="person", birth="3 May 1962", countries=("RU", "BY", "RU")
    )
    assert asked == NameQuery("Ivan Petrov", EntityKind.person, "1962-05-03", ("RU", "BY"))
    assert read_query("Ivan") == NameQuery("Ivan")


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"name": " "}, "name"),
        ({"name": "x" * 501}, "name"),
        ({"name": "a\0b"}, "name"),
        ({"kind": "horse"}, "kind"),
        ({"birth": "soon"}, "birth"),
        ({"countries": ("XX",)}, "countries"),
        ({"countries": ("RU",) * 21}, "countries"),
    ],
)
def test_a_question_that_can_not_be(fields: dict[str, object], param: str) -> None:
    with pytest.raises(ParameterInvalid) as caught:
        read_query(**({"name": "Ivan"} | fields))  # type: ignore[arg-type]
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("asked", "listed", "points"),
    [
        ("1962-05-03", ("1962-05-03",), 60),
        ("1962-05-03", ("1970", "1962-05-03"), 60),
        ("1962-05-03", ("1962",), 30),
        ("1962", ("1962",), 30),
        ("1962-05-03", ("1960/1965",), 30),
        ("1962", ("1965~",), 30),
        ("1962", ("1963",), 0),
        ("1962", ("1970", "1980"), -150),
        ("1962", ("1970~",), -150),
        ("1970", ("1962",), -150),
    ],
)
def test_evidence_of_a_birth(asked: str, listed: tuple[str, ...], points: int) -> None:
    query = NameQuery("Ivan", birth=asked)
    (found,) = weigh_evidence(
        query,
        kind=EntityKind.person,
        quality=NameQuality.primary,
        births=listed,
        countries=(),
    )
    assert found.points == points


def test_evidence_of_all_else() -> None:
    query = NameQuery("Ivan", EntityKind.person, None, ("RU", "BY"))

    def found(kind: EntityKind, quality: NameQuality, *countries: str) -> list[Evidence]:
        return list(
            weigh_evidence(query, kind=kind, quality=quality, births=("1962",), countries=countries)
        )

    assert found(EntityKind.person, NameQuality.strong) == []
    assert found(EntityKind.unknown, NameQuality.weak, "BY") == [
        Evidence("the list calls the name weak", -40),
        Evidence("country BY", 20),
    ]
    assert found(EntityKind.vessel, NameQuality.primary, "PA") == [
        Evidence("vessel on the list, person asked for", -120),
        Evidence("no country in common", -40),
    ]


def test_a_score_stays_a_score() -> None:
    assert total_score(990, [Evidence("", 60)]) == 1000
    assert total_score(100, [Evidence("", -150)]) == 0
    assert total_score(700, [Evidence("", 60), Evidence("", -40)]) == 720


def test_rules_about_names_decide() -> None:
    direct = Direct(name="a", verdict=Verdict.block, categories=())
    assert name_rules([direct]) == (BUILT_IN_NAMED,)
    assert decide_names([HIT], [direct]) == (Verdict.review, (HIT,))
    assert decide_names([replace(HIT, score=700)], [direct]) == (Verdict.clear, ())
    rules = [
        Named(name="n", verdict=Verdict.review, score_min=600),
        Named(name="s", verdict=Verdict.block, score_min=790, list_kinds=(ListKind.sanctions,)),
    ]
    own = replace(HIT, list_kind="operator")
    assert decide_names([own], rules) == (Verdict.review, (own,))
    assert decide_names([own, HIT], rules) == (Verdict.block, (own, HIT))
    exempt = replace(HIT, exemption="nex_1")
    assert decide_names([exempt], rules) == (Verdict.clear, (exempt,))


def test_what_is_shown_and_hashed() -> None:
    query = NameQuery("Ivan Petrov", EntityKind.person, "1962", ("RU",))
    first = query_hash(query, lists_version=1, rules_version="default-1")
    assert first == query_hash(query, lists_version=1, rules_version="default-1")
    assert first != query_hash(query, lists_version=2, rules_version="default-1")
    screening = NameScreening(
        id="nsc_1",
        account_id=None,
        livemode=False,
        subject="enquiry",
        query=query,
        verdict=Verdict.review,
        hits=(HIT,),
        lists_version=1,
        rules_version="default-1",
        matcher=MATCHER,
        input_hash=first,
        created=NOW,
    )
    shown = public_screening(screening)
    assert (shown["object"], shown["name"], shown["hits"][0]["score"]) == (
        "name_screening",
        "Ivan Petrov",
        800,
    )
    exemption = NameExemption(
        id="nex_1",
        livemode=False,
        subject="enquiry",
        entity_id="ent_1",
        entity_version=1,
        reason="another birth date",
        created_by="per_1",
        created=NOW,
    )
    assert public_exemption(exemption)["ended"] is None
    ended = public_exemption(replace(exemption, ended=NOW, ended_by="per_2"))
    assert ended["ended"] == int(NOW.timestamp())
