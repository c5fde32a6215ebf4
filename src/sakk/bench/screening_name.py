"""A name against 30,000 entries: how long a question takes, and how often the answer is right.

The names are made up, by a seed, in the shape of those on sanctions lists: a few words that very
many have, and very many that few have. The labelled pairs are made of them: a listed name as people
write it (two of: other order, a slip, another romanisation, an initial, a middle name left out,
words written as one) is the same name, and a listed name with one word that is another, or begins
like it, is not. With
``SAKK_NAME_PAIRS`` naming a CSV file of ``name1,name2,is_match`` and, if it has it, ``schema``
(such as nomenklatura's ``contrib/name_bench/cases.csv``), the same figures are told of that file.
"""

import csv
import os
import random
import resource
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, process_time
from typing import Any, Final

from sakk.bench.figures import WrongResult, cost, rate, times
from sakk.core.entity import EntityKind
from sakk.core.name import NAME_SCORE_MIN, SCORE_MAX, base_weight, compare_names
from sakk.core.name_text import read_name
from sakk.screening.name_index import NameCandidates

PAIRS_VARIABLE: Final = "SAKK_NAME_PAIRS"
ENTRIES: Final = 30_000
QUESTIONS: Final = 500
PAIRS: Final = 4_000
SEED: Final = 5
# What of the questions the index has to find again, or its speed means nothing.
RECALL_MIN: Final = 0.99

_FIRST = [
    "b",
    "d",
    "f",
    "g",
    "h",
    "j",
    "k",
    "l",
    "m",
    "n",
    "r",
    "s",
    "t",
    "v",
    "z",
    "ch",
    "sh",
    "kh",
]
_VOWEL = ["a", "e", "i", "o", "u", "ai", "ou"]
_LAST = ["", "", "l", "m", "n", "r", "s", "d"]
# One sound in two romanisations.
_ROMANISED = (("ou", "u"), ("kh", "h"), ("i", "y"), ("sh", "sch"), ("k", "q"), ("v", "w"))
_KINDS = {
    "Person": EntityKind.person,
    "Company": EntityKind.organization,
    "Organization": EntityKind.organization,
    "Vessel": EntityKind.vessel,
}

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Pair:
    """Two names, and are they one?"""

    one: str
    other: str
    is_same: bool
    kind: EntityKind = EntityKind.person


def names(say: Say) -> list[dict[str, Any]]:
    """Lines for times, the index, and how good the answers are."""
    dice = random.Random(SEED)
    listed = make_names(dice, ENTRIES)
    before = _memory()
    begun = process_time()
    candidates = NameCandidates([read_name.__wrapped__(each, EntityKind.person) for each in listed])
    built = process_time() - begun
    say(f"an index of {ENTRIES} names in {built:.1f} s")
    asked = [(number, written(listed[number], dice)) for number in range(0, ENTRIES, 60)]
    waited, found = [], 0
    candidates.search(read_name(listed[0], EntityKind.person))
    for number, name in asked[:QUESTIONS]:
        begun = perf_counter()
        query = read_name(name, EntityKind.person)
        near = candidates.search(query)
        for each in near:
            compare_names(query, candidates.names[each], weigh=candidates.weigh)
        waited.append(1000 * (perf_counter() - begun))
        found += number in near
    if found < RECALL_MIN * len(waited):
        raise WrongResult(f"the index found {found} of {len(waited)} names")
    results = [
        times("name_match", waited, repeats=len(waited)),
        cost("name_index_build", "s", [built]),
        cost("name_index_memory", "MB", [_memory() - before]),
        rate("name_candidates_recall", "of 1,000", [1000 * found / len(waited)]),
        *judged("name_pairs", make_pairs(listed, dice, PAIRS), weigh=candidates.weigh),
    ]
    if path := os.environ.get(PAIRS_VARIABLE):
        pairs = read_pairs(Path(path))
        say(f"{len(pairs)} labelled pairs of {path}")
        results += judged("name_pairs_of_file", pairs)
    return results


def judged(
    name: str, pairs: Sequence[Pair], *, weigh: Callable[[Any], float] = base_weight
) -> list[dict[str, Any]]:
    """Precision, recall and F1, of 1,000, at the score from which on a hit is somebody's work."""
    right = wrong = missed = 0
    for pair in pairs:
        names = (read_name(pair.one, pair.kind), read_name(pair.other, pair.kind))
        is_hit = compare_names(*names, weigh=weigh).score >= NAME_SCORE_MIN
        right += is_hit and pair.is_same
        wrong += is_hit and not pair.is_same
        missed += pair.is_same and not is_hit
    figures = {
        "precision": right / max(1, right + wrong),
        "recall": right / max(1, right + missed),
        "f1": 2 * right / max(1, 2 * right + wrong + missed),
    }
    return [
        rate(f"{name}_{figure}", f"of 1,000, {len(pairs)} pairs", [SCORE_MAX * value])
        for figure, value in figures.items()
    ]


def read_pairs(path: Path) -> list[Pair]:
    """Labelled pairs of somebody else's."""
    with path.open(newline="", encoding="utf-8") as file:
        return [
            Pair(
                row["name1"],
                row["name2"],
                row["is_match"].lower() == "true",
                _KINDS.get(row.get("schema", ""), EntityKind.unknown),
            )
            for row in csv.DictReader(file)
        ]


def make_names(dice: random.Random, count: int) -> list[str]:
    """Names of two to four words; the hundred most frequent words are half of all given names."""
    common = [_word(dice) for _ in range(100)]
    names = []
    for _ in range(count):
        given = [
            dice.choice(common) if dice.random() < 0.5 else _word(dice)
            for _ in range(dice.choice((1, 1, 2, 3)))
        ]
        names.append(" ".join([_word(dice), *given]))
    return names


def _word(dice: random.Random) -> str:
    return "".join(
        dice.choice(_FIRST) + dice.choice(_VOWEL) + dice.choice(_LAST)
        for _ in range(dice.choice((2, 2, 3)))
    )


def written(name: str, dice: random.Random) -> str:
    """A name as somebody writes it who has only heard it, or is in a hurry."""
    words = name.split()
    match dice.randrange(6):
        case 0:
            return " ".join([*words[1:], words[0]])
        case 1:
            place = dice.randrange(1, len(name) - 1)
            return name[:place] + name[place + 1] + name[place] + name[place + 2 :]
        case 2:
            for one, other in dice.sample(_ROMANISED, len(_ROMANISED)):
                if one in name:
                    return name.replace(one, other)
            return name
        case 3:
            return " ".join([words[0], words[1][0], *words[2:]]) if len(words) > 2 else name
        case 4:
            return " ".join([words[0], *words[2:]]) if len(words) > 2 else name
        case _:
            return words[0] + " ".join(words[1:]) if len(words) < 4 else name


def make_pairs(names: Sequence[str], dice: random.Random, count: int) -> list[Pair]:
    """As many of one name, twice miswritten, as of two that differ in one word."""
    return list(_pairs(names, dice, count // 2))


def _pairs(names: Sequence[str], dice: random.Random, count: int) -> Iterable[Pair]:
    for _ in range(count):
        name = dice.choice(names)
        yield Pair(written(written(name, dice), dice), name, True)
        words = name.split()
        place = dice.randrange(len(words))
        # Its beginning or its end stays, as in names of one family: Amina, Amir.
        kept = words[place]
        half = len(kept) // 2
        words[place] = kept[:half] + _word(dice) if dice.random() < 0.5 else _word(dice)
        yield Pair(" ".join(words), name, False)


def _memory() -> float:
    """The most memory that this process ever had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
