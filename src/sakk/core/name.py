"""Is this the same name? Tokens of two names are aligned, and what is left over counts against it.

Two tokens are alike by spelling (edit distance and Jaro-Winkler), by sound (the same consonants
however romanised) or by bones (what Arabic and Hebrew write). Order does not matter; an initial
stands for a name, two words written as one for both. Rare words weigh more than frequent ones,
titles, legal forms and particles next to nothing. What comes out is an integer from 0 to 1,000,
and what was matched with what.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from rapidfuzz.distance import OSA, JaroWinkler

from sakk.core.name_text import Name, Token, TokenRole, form_of

SCORE_MAX: Final = 1_000
# From here on a hit is somebody's work, unless the rules in force say otherwise.
NAME_SCORE_MIN: Final = 750
# Below this two tokens have nothing to do with each other.
LIKENESS_MIN: Final = 0.68
# Words written as one: so many, so long together, and so like the other's word.
JOINED_MAX: Final = 3
JOINED_LENGTH_MIN: Final = 5
JOINED_LIKENESS_MIN: Final = 0.88

_ROLE_WEIGHTS: Final = {
    TokenRole.word: 1.0,
    TokenRole.number: 0.6,
    TokenRole.initial: 0.35,
    TokenRole.particle: 0.12,
    TokenRole.title: 0.05,
    TokenRole.form: 0.12,
}
# A likeness counts by this power, so that half alike is much less than half.
POWER: Final = 2.0
# What is left over is worth this part of its weight: in both names, in the query, in the list. A
# list gives names in full where people do not.
CONFLICT: Final = 0.9
QUERY_LEFT: Final = 0.6
LISTED_LEFT: Final = 0.25

Weigh = Callable[[Token], float]


@dataclass(frozen=True, slots=True)
class Pair:
    """What of the query was matched with what of the list, and how alike, of 1,000."""

    query: str
    listed: str
    likeness: int


@dataclass(frozen=True, slots=True)
class Likeness:
    """How alike two names are."""

    score: int
    pairs: tuple[Pair, ...]
    query_left: tuple[str, ...]
    listed_left: tuple[str, ...]


def base_weight(token: Token) -> float:
    """How much a token says of whose name it is, before its frequency."""
    weight = _ROLE_WEIGHTS[token.role]
    if token.role is TokenRole.word and len(token.text) < 4:
        return weight * (0.55 + 0.15 * (len(token.text) - 1))
    return weight


def compare_names(query: Name, listed: Name, *, weigh: Weigh = base_weight) -> Likeness:
    """How alike two names are; ``weigh`` says what a token is worth."""
    ours, theirs = query.tokens, listed.tokens
    matches = _matches(ours, theirs)
    ours_left, theirs_left = set(range(len(ours))), set(range(len(theirs)))
    gained = whole = 0.0
    pairs = []
    for likeness, mine, yours in matches:
        if not (ours_left.issuperset(mine) and theirs_left.issuperset(yours)):
            continue
        ours_left.difference_update(mine)
        theirs_left.difference_update(yours)
        weight = (
            sum(weigh(ours[each]) for each in mine) + sum(weigh(theirs[each]) for each in yours)
        ) / 2
        gained += weight * likeness**POWER
        whole += weight
        pairs.append(
            Pair(
                " ".join(ours[each].text for each in mine),
                " ".join(theirs[each].text for each in yours),
                round(likeness * SCORE_MAX),
            )
        )
    lost = _lost(
        sum(weigh(ours[each]) for each in ours_left),
        sum(weigh(theirs[each]) for each in theirs_left),
    )
    score = gained / (whole + lost) if whole + lost else 0.0
    return Likeness(
        score=round(score * SCORE_MAX),
        pairs=tuple(pairs),
        query_left=tuple(ours[each].text for each in sorted(ours_left)),
        listed_left=tuple(theirs[each].text for each in sorted(theirs_left)),
    )


def _lost(ours: float, theirs: float) -> float:
    """What is left over counts most where both have something left: then they contradict."""
    conflict = min(ours, theirs)
    return (
        2 * CONFLICT * conflict + QUERY_LEFT * (ours - conflict) + LISTED_LEFT * (theirs - conflict)
    )


_Match = tuple[float, tuple[int, ...], tuple[int, ...]]


def _matches(ours: Sequence[Token], theirs: Sequence[Token]) -> list[_Match]:
    """Every way in which tokens are alike, the best first."""
    found: list[_Match] = []
    best_ours, best_theirs = [0.0] * len(ours), [0.0] * len(theirs)
    for mine, one in enumerate(ours):
        for yours, other in enumerate(theirs):
            likeness = token_likeness(one, other)
            if likeness >= LIKENESS_MIN:
                found.append((likeness, (mine,), (yours,)))
                best_ours[mine] = max(best_ours[mine], likeness)
                best_theirs[yours] = max(best_theirs[yours], likeness)
    found += _joined(ours, theirs, best_theirs)
    found += [(likeness, mine, yours) for likeness, yours, mine in _joined(theirs, ours, best_ours)]
    found.sort(key=lambda match: (-match[0] - 0.02 * (len(match[1]) + len(match[2])), match))
    return found


def _joined(many: Sequence[Token], single: Sequence[Token], best: Sequence[float]) -> list[_Match]:
    """Words next to each other that are one word in the other name, which has none like it."""
    open_places = [
        place
        for place, other in enumerate(single)
        if best[place] < JOINED_LIKENESS_MIN and len(other.text) >= JOINED_LENGTH_MIN
    ]
    found: list[_Match] = []
    for place in open_places:
        other = single[place].text
        for start in range(len(many) - 1):
            text = many[start].text
            for end in range(start + 1, min(start + JOINED_MAX, len(many))):
                text += many[end].text
                if abs(len(text) - len(other)) <= 2:
                    likeness = _spelled(text, other)
                    if likeness >= JOINED_LIKENESS_MIN:
                        found.append((likeness, tuple(range(start, end + 1)), (place,)))
    return found


def token_likeness(one: Token, other: Token) -> float:
    """How alike two tokens are, from 0 to 1."""
    if one is other or one.text == other.text:
        return 1.0
    return _likeness(one, other) if one.text < other.text else _likeness(other, one)


@lru_cache(maxsize=262_144)
def _likeness(one: Token, other: Token) -> float:
    if _either(one, other, TokenRole.number):
        return 0.0
    if _either(one, other, TokenRole.form):
        same = form_of(one.text) is not None and form_of(one.text) == form_of(other.text)
        return 0.95 if same else 0.0
    if _either(one, other, TokenRole.initial):
        return 0.9 if one.text[0] == other.text[0] else 0.0
    if one.is_abjad or other.is_abjad:
        return _unvocalised(one, other)
    likeness = _spelled(one.text, other.text)
    if one.sound == other.sound:
        closeness = JaroWinkler.similarity(one.text, other.text)
        # A single consonant is no sound of a name, and two are one only where the vowels agree.
        if len(one.sound) > 2 or closeness > 0.8:
            return max(likeness, 0.84 + 0.12 * closeness)
    return likeness


def _either(one: Token, other: Token, role: TokenRole) -> bool:
    return one.role is role or other.role is role


def _spelled(one: str, other: str) -> float:
    """By letters: short words may differ less than long ones."""
    longest = max(len(one), len(other))
    distance = OSA.distance(one, other, score_cutoff=max(1, longest // 3))
    if distance > max(1, longest // 3):
        return 0.0
    return 0.5 * (1 - distance / longest) + 0.5 * JaroWinkler.similarity(one, other)


def _unvocalised(one: Token, other: Token) -> float:
    """By what an alphabet without vowels writes; how near the long vowels are decides the rest."""
    closeness = JaroWinkler.similarity(one.text, other.text)
    if one.bones == other.bones and len(one.bones) > 1:
        return 0.86 + 0.14 * closeness
    likeness = _spelled(one.bones, other.bones)
    return likeness * (0.8 + 0.1 * closeness) if min(len(one.bones), len(other.bones)) > 3 else 0.0
