"""The names on the public lists, where they are at hand: found again, and few mistaken."""

import csv
import random
from pathlib import Path

import pytest

from sakk.bench.screening_name import written
from sakk.core.entity import EntityKind
from sakk.core.name import NAME_SCORE_MIN, compare_names
from sakk.core.name_text import Name, read_name
from sakk.screening.formats import NameStatement, Notes
from sakk.screening.name_index import NameCandidates
from sakk.screening.ofac import ofac_csv_parser
from sakk.screening.sanctions_xml import parse_un
from sakk.screening.source import Source

LISTS = Path(__file__).resolve().parents[3] / "shared" / "data" / "kyt" / "names"
GIVEN = """
James Mary Robert Patricia John Jennifer Michael Linda David Elizabeth William Barbara Richard Susan
Joseph Jessica Thomas Sarah Karen Lisa Wei Min Hiroshi Yuki Carlos Maria Jose Ana Luis Ahmed Fatima
Omar Aisha Ivan Olga Sergei Anna Hans Pierre
"""
SURNAMES = """
Smith Johnson Williams Brown Jones Garcia Miller Davis Rodriguez Martinez Hernandez Lopez Wilson
Anderson Taylor Moore Jackson Martin Lee Wang Li Zhang Chen Tanaka Suzuki Kim Park Nguyen Tran
Hassan Ali Khan Ivanov Petrov Muller Schmidt Rossi Silva Dubois
"""

pytestmark = pytest.mark.skipif(
    not LISTS.is_dir(), reason=f"the public lists are not at hand ({LISTS.name} is absent)"
)


@pytest.fixture(scope="module")
def listed() -> list[tuple[str, Name]]:
    """Every name and alias of OFAC's and the UN's lists, with whose it is."""
    found: list[tuple[str, EntityKind, str]] = []
    for file, parse in (
        ("ofac_sdn_2023-01-21.csv", ofac_csv_parser(())),
        ("ofac_cons_prim_2025-12-19.csv", ofac_csv_parser(())),
        ("UN_consolidated_2026-02-27.xml", parse_un),
    ):
        with Source(LISTS / file) as source:
            for each in parse(source, Notes()):
                if isinstance(each, NameStatement):
                    names = (each.name, *(alias.name for alias in each.content.aliases))
                    found += [(f"{file}:{each.ref}", each.kind, name) for name in names]
    with (LISTS / "ofac_alt_2025-12-24.csv").open(newline="") as file_of_aliases:
        rows = [row for row in csv.reader(file_of_aliases) if len(row) > 3]
    found += [(f"ofac_sdn_2023-01-21.csv:{row[0]}", EntityKind.unknown, row[3]) for row in rows]
    return [(whose, read_name.__wrapped__(name, kind)) for whose, kind, name in found]


@pytest.fixture(scope="module")
def candidates(listed: list[tuple[str, Name]]) -> NameCandidates:
    return NameCandidates([name for _, name in listed])


def test_who_is_listed_is_found_again_with_slips_in_the_name(
    listed: list[tuple[str, Name]], candidates: NameCandidates
) -> None:
    dice = random.Random(1)
    whole = [(whose, name) for whose, name in listed if len(name.tokens) > 1]
    asked = [(whose, written(name.text, dice)) for whose, name in dice.sample(whole, 200)]
    among = hit = 0
    for whose, text in asked:
        query = read_name(text)
        near = [number for number in candidates.search(query) if listed[number][0] == whose]
        among += bool(near)
        hit += any(
            compare_names(query, candidates.names[number], weigh=candidates.weigh).score
            >= NAME_SCORE_MIN
            for number in near
        )
    assert len(listed) > 38_000
    assert among >= 0.99 * len(asked)
    assert hit >= 0.95 * len(asked)


def test_common_names_raise_few_alarms(
    listed: list[tuple[str, Name]], candidates: NameCandidates
) -> None:
    """Of 400 names that thousands bear; some are on the lists, as Luis Lopez is."""
    dice = random.Random(7)
    given, surnames = GIVEN.split(), SURNAMES.split()
    names = {f"{dice.choice(given)} {dice.choice(surnames)}" for _ in range(600)}
    asked = sorted(names)[:400]
    alarms = 0
    for text in asked:
        query = read_name(text, EntityKind.person)
        alarms += any(
            compare_names(query, candidates.names[number], weigh=candidates.weigh).score
            >= NAME_SCORE_MIN
            for number in candidates.search(query)
        )
    assert len(asked) == 400
    assert 0 < alarms <= 40
