"""Which of thousands of names could be the one asked for: an index by words that are alike.

The vocabulary of a list is far smaller than the list. A word of the query is held against it by
trigrams, by sound and by bones; the few words that are alike lead to the names that have them, and
what a name gathers that way ranks it. Words next to each other are in the vocabulary as one word
too, so that a name written together is found. The best ranked are compared in full
(``core/name.py``).
"""

import math
from array import array
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sakk.core.name import JOINED_LENGTH_MIN, LIKENESS_MIN, base_weight, token_likeness
from sakk.core.name_text import Name, Token, TokenRole, token_of

CANDIDATES_MAX: Final = 150
# Words of the vocabulary that are compared with one of the query, the most alike first.
WORDS_MAX: Final = 200
# A word that every list is full of still says something.
_FREQUENT: Final = 0.4
# Half is the whole name; a name of which only two words of seven are asked for has a quarter.
RANK_MIN: Final = 0.2
_SHARE_MIN: Final = 0.25
_WEIGHTS_MAX: Final = 1 << 18
_IDS = np.int32

Ids = NDArray[np.int32]


class NameCandidates:
    """The names of the lists, searchable. Threads may share it: what it learns never changes."""

    def __init__(self, names: Sequence[Name]) -> None:
        self.names = names
        self._words: dict[str, int] = {}
        self._tokens: list[Token] = []
        self._frequency: dict[str, int] = defaultdict(int)
        self._weights: dict[Token, float] = {}
        places: list[array[int]] = []
        for number, name in enumerate(names):
            self._count(name)
            for token in _words_of(name):
                word = self._words.setdefault(token.text, len(places))
                if word == len(places):
                    places.append(array("i"))
                    self._tokens.append(token)
                if not places[word] or places[word][-1] != number:
                    places[word].append(number)
        self._places = [np.array(each, dtype=_IDS) for each in places]
        self._grams, self._lengths = _gram_postings(self._tokens)
        self._sounds = _grouped(token.sound for token in self._tokens)
        self._bones = _grouped(token.bones for token in self._tokens)
        self._scale = math.log(len(names) + 2)
        self._worth = np.array(
            [sum(self.weigh(token) for token in name.tokens) for name in names], dtype=np.float32
        )

    def __len__(self) -> int:
        return len(self.names)

    def weigh(self, token: Token) -> float:
        """What a token says of whose name it is: less, the more names of the lists have it."""
        known = self._weights.get(token)
        if known is not None:
            return known
        weight = base_weight(token)
        often = self._frequency.get(token.sound, 0)
        if often > 1 and token.role is TokenRole.word:
            rarity = 1 - math.log(often) / self._scale
            weight *= max(_FREQUENT, min(1.0, 0.15 + 1.1 * rarity))
        if len(self._weights) < _WEIGHTS_MAX:
            self._weights[token] = weight
        return weight

    def search(self, query: Name, *, limit: int = CANDIDATES_MAX) -> Ids:
        """The numbers of the names that could be the query's, the most promising first."""
        gathered = np.zeros(len(self.names), dtype=np.float32)
        if not self.names:
            return np.zeros(0, dtype=_IDS)
        worth = 0.0
        for token in query.tokens:
            weight = self.weigh(token)
            worth += weight
            self._gather(token, weight, gathered)
        for token in _joined(query):
            self._gather(token, 2 * self.weigh(token), gathered)
        rank = gathered / (worth + self._worth)
        count = min(limit, len(rank))
        best = np.argpartition(-rank, count - 1)[:count]
        best = best[rank[best] >= RANK_MIN]
        return best[np.argsort(-rank[best], kind="stable")].astype(_IDS)

    def _gather(self, token: Token, weight: float, gathered: NDArray[np.float32]) -> None:
        """Add to each name what its most alike word has of a word of the query."""
        alike = [
            (likeness, word)
            for word in self._alike(token)
            if (likeness := token_likeness(token, self._tokens[word])) >= LIKENESS_MIN
        ]
        if not alike:
            return
        alike.sort()
        own = np.zeros(len(self.names), dtype=np.float32)
        for likeness, word in alike:
            own[self._places[word]] = likeness
        gathered += np.float32(weight) * own

    def _alike(self, token: Token) -> Iterable[int]:
        """Words that may be like this one: the same sound or bones, or many trigrams in common."""
        found: set[int] = set()
        if (same := self._words.get(token.text)) is not None:
            found.add(same)
        if token.role is not TokenRole.word:
            return found
        if len(token.sound) > 1:
            found.update(self._sounds.get(token.sound, ()))
        if len(token.bones) > 1:
            found.update(self._bones.get(token.bones, ()))
        grams = _grams(token.text)
        shared = np.zeros(len(self._tokens), dtype=np.float32)
        for gram in grams:
            if (words := self._grams.get(gram)) is not None:
                shared[words] += 1
        share = shared / (self._lengths + len(grams) - shared)
        near = np.flatnonzero(share >= _SHARE_MIN)
        if len(near) > WORDS_MAX:
            near = near[np.argpartition(-share[near], WORDS_MAX)[:WORDS_MAX]]
        found.update(near.tolist())
        return found

    def _count(self, name: Name) -> None:
        for sound in {token.sound for token in name.tokens}:
            self._frequency[sound] += 1


def _words_of(name: Name) -> Iterable[Token]:
    """The words by which a name is found: all that say something, and neighbours as one."""
    said = [token for token in name.tokens if token.role in (TokenRole.word, TokenRole.number)]
    return [*(said or name.tokens), *_joined(name)]


def _joined(name: Name) -> list[Token]:
    tokens = [
        token
        for token in name.tokens
        if token.role in (TokenRole.word, TokenRole.particle, TokenRole.initial)
    ]
    pairs = [first.text + second.text for first, second in pairwise(tokens)]
    if name.is_han:
        triples = zip(tokens, tokens[1:], tokens[2:], strict=False)
        pairs += [first.text + second.text + third.text for first, second, third in triples]
    return [token_of(text, TokenRole.word) for text in pairs if len(text) >= JOINED_LENGTH_MIN]


def _grams(text: str) -> set[str]:
    """Trigrams with the word's ends marked; of the first letters also the pair."""
    padded = f"^{text}$"
    return {padded[start : start + 3] for start in range(len(padded) - 2)} | {
        padded[:2],
        padded[-2:],
    }


def _gram_postings(tokens: Sequence[Token]) -> tuple[dict[str, Ids], NDArray[np.float32]]:
    postings: dict[str, array[int]] = {}
    lengths = np.zeros(len(tokens), dtype=np.float32)
    for number, token in enumerate(tokens):
        grams = _grams(token.text)
        lengths[number] = len(grams)
        for gram in grams:
            postings.setdefault(gram, array("i")).append(number)
    return {gram: np.array(ids, dtype=_IDS) for gram, ids in postings.items()}, lengths


def _grouped(keys: Iterable[str]) -> dict[str, tuple[int, ...]]:
    groups: dict[str, list[int]] = defaultdict(list)
    for number, key in enumerate(keys):
        groups[key].append(number)
    return {key: tuple(numbers) for key, numbers in groups.items()}
