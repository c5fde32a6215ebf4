"""Matching: which entries of two books are the same movement, rule by rule, and what is left over.

Both sides come as one stream in the order of `order`, so that a month is matched in the memory of
its longest window. Three rules stand one behind the other; what one can not place goes on to the
next, in the same order: by a reference that both name, by amount within a window of time, and by
amounts of one counterparty that add up. An entry ends in exactly one outcome, which says by which
rule; where more than one answer is possible and they are not alike, there is none. The same entries
give the same outcomes however they were shuffled before they were put in order.
"""

from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from heapq import merge
from itertools import islice
from typing import Final, NamedTuple, TypeVar

# So many entries of one amount are looked at for one that may be the same.
SCAN_MAX: Final = 16
# Sums are looked for among so many entries, of at most so many parts.
CANDIDATES_MAX: Final = 12
PARTS_MAX: Final = 6
# Steps of that search: for one entry, and in all. A hostile book costs seconds, never hours.
STEPS_MAX: Final = 512
STEPS_TOTAL_MAX: Final = 8_000_000


class Side(IntEnum):
    """Of which book an entry is: ours is the left one."""

    left = 0
    right = 1


class Rule(StrEnum):
    """Why entries are the same movement."""

    reference = "reference"
    reference_late = "reference_late"
    reference_tolerance = "reference_tolerance"
    reference_sum = "reference_sum"
    amount = "amount"
    amount_tolerance = "amount_tolerance"
    sum = "sum"


class Fault(StrEnum):
    """What is wrong with entries that match nothing, or not wholly."""

    left_alone = "left_alone"
    right_alone = "right_alone"
    amount_differs = "amount_differs"
    counterparty_differs = "counterparty_differs"
    duplicate = "duplicate"


class Entry(NamedTuple):
    """One line of a book. ``units`` are signed, in the currency's smallest unit; ``at`` in seconds.

    ``references``: whatever names the movement in both books, the most telling first.
    ``counterparty``: an identity (an address, an IBAN), never a name as somebody spelt it.
    """

    at: int
    side: Side
    id: str
    units: int
    currency: str
    references: tuple[str, ...] = ()
    counterparty: str | None = None


class Match(NamedTuple):
    """Entries that are one movement. ``difference``: units of the right less the left."""

    rule: Rule
    currency: str
    left: tuple[Entry, ...]
    right: tuple[Entry, ...]
    difference: int


class Mismatch(NamedTuple):
    """Entries that a person has to look at. A duplicate's ``twin`` is what was matched instead."""

    fault: Fault
    currency: str
    left: tuple[Entry, ...]
    right: tuple[Entry, ...]
    difference: int
    twin: str | None = None


@dataclass(frozen=True, slots=True)
class MatchingRules:
    """How far apart two books may be.

    ``window_seconds`` for what shares no reference, ``reference_seconds`` (at least as long) for
    what does. ``tolerance_units``: what a bank or a token may have kept on the way.
    """

    window_seconds: int
    reference_seconds: int
    tolerance_units: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.window_seconds <= self.reference_seconds or self.tolerance_units < 0:
            raise ValueError("the window is 0 or more, and not longer than that of references")


Outcome = Match | Mismatch
_Key = TypeVar("_Key")
_Passed = Entry | Match | Mismatch


def order(entry: Entry) -> tuple[int, int, str]:
    """In which order entries are given: by time, the left side first."""
    return entry.at, entry.side, entry.id


def merged(left: Iterable[Entry], right: Iterable[Entry]) -> Iterator[Entry]:
    """Two books in their order as one stream."""
    return merge(left, right, key=order)


def match(entries: Iterable[Entry], rules: MatchingRules) -> Iterator[Outcome]:
    """The outcome of every entry; ValueError for entries out of order, or given twice."""
    passed = _by_reference(_in_order(entries), rules)
    for item in _by_sum(_by_amount(passed, rules), rules):
        if type(item) is Entry:
            alone = Fault.left_alone if item.side is Side.left else Fault.right_alone
            yield _mismatch(alone, [item])
        else:
            assert not isinstance(item, Entry)
            yield item


def _in_order(entries: Iterable[Entry]) -> Iterator[Entry]:
    before: tuple[int, int, str] | None = None
    for entry in entries:
        now = (entry.at, entry.side, entry.id)
        if before is not None and now <= before:
            raise ValueError(f"{entry.id} is out of order, or given twice")
        before = now
        yield entry


def _sides(
    entries: Iterable[Entry],
) -> tuple[tuple[Entry, ...], tuple[Entry, ...], int]:
    ordered = sorted(entries, key=order)
    left = tuple(each for each in ordered if each.side is Side.left)
    right = tuple(each for each in ordered if each.side is Side.right)
    return left, right, sum(each.units for each in right) - sum(each.units for each in left)


def _matched(rule: Rule, entries: Sequence[Entry]) -> Match:
    return Match(rule, entries[0].currency, *_sides(entries))


def _mismatch(fault: Fault, entries: Sequence[Entry], twin: str | None = None) -> Mismatch:
    return Mismatch(fault, entries[0].currency, *_sides(entries), twin)


def _other(side: Side) -> Side:
    return Side.right if side is Side.left else Side.left


def _may_agree(one: Entry, other: Entry) -> bool:
    """Do their counterparties not speak against it?"""
    known = one.counterparty is not None and other.counterparty is not None
    return not known or one.counterparty == other.counterparty


_Shelf = OrderedDict[str, Entry]


def _shelve(shelves: dict[_Key, _Shelf], key: _Key, entry: Entry) -> None:
    shelf = shelves.get(key)
    if shelf is None:
        shelf = shelves[key] = OrderedDict()
    shelf[entry.id] = entry


def _unshelve(shelves: dict[_Key, _Shelf], key: _Key, entry: Entry) -> None:
    shelf = shelves.get(key)
    if shelf is not None:
        shelf.pop(entry.id, None)
        if not shelf:
            del shelves[key]


class _ByReference:
    """What is open by its references, and what was matched by them a while ago."""

    def __init__(self, rules: MatchingRules) -> None:
        self.rules = rules
        self.waiting: deque[Entry] = deque()
        self.open: tuple[set[str], set[str]] = (set(), set())
        self.by_units: dict[tuple[str, str, Side, int], _Shelf] = {}
        self.groups: dict[tuple[str, str, Side], _Shelf] = {}
        self.done: dict[tuple[str, str, Side, int], tuple[int, str]] = {}
        self.forgotten: deque[tuple[int, tuple[str, str, Side, int]]] = deque()

    def add(self, entry: Entry) -> Match | None:
        """Take an entry in: its match, or None while it waits."""
        for reference in entry.references:
            found = self._exact(entry, reference)
            if found is not None:
                self._remove(found)
                self._remember(entry, found)
                late = abs(entry.at - found.at) > self.rules.window_seconds
                return _matched(Rule.reference_late if late else Rule.reference, (found, entry))
        self.waiting.append(entry)
        if entry.references:
            self.open[entry.side].add(entry.id)
        for reference in entry.references:
            key = (entry.currency, reference, entry.side)
            _shelve(self.groups, key, entry)
            _shelve(self.by_units, (*key, entry.units), entry)
        return None

    def expired(self, now: int | None) -> Iterator[_Passed]:
        """What has waited long enough at a time (None: all), oldest first."""
        patience = self.rules.reference_seconds
        while self.waiting and (now is None or self.waiting[0].at + patience < now):
            entry = self.waiting.popleft()
            if not entry.references:
                yield entry
            elif entry.id in self.open[entry.side]:
                yield self._judged(entry)
        while self.forgotten and now is not None and self.forgotten[0][0] + 2 * patience < now:
            at, key = self.forgotten.popleft()
            if self.done.get(key, (None, ""))[0] == at:
                del self.done[key]

    def _exact(self, entry: Entry, reference: str) -> Entry | None:
        """Who is open with this reference and as many units."""
        shelf = self.by_units.get((entry.currency, reference, _other(entry.side), entry.units))
        if shelf is not None:
            for found in islice(shelf.values(), SCAN_MAX):
                if _may_agree(found, entry):
                    return found
        return None

    def _judged(self, entry: Entry) -> _Passed:
        """What becomes of who waited in vain for its like, and of all that share its reference."""
        for reference in entry.references:
            others = self.groups.get((entry.currency, reference, _other(entry.side)))
            if others is not None:
                own = self.groups[entry.currency, reference, entry.side]
                group = [*own.values(), *others.values()]
                for each in group:
                    self._remove(each)
                return _judge(group, self.rules)
        self._remove(entry)
        for reference in entry.references:
            done = self.done.get((entry.currency, reference, entry.side, entry.units))
            if done is not None and abs(done[0] - entry.at) <= self.rules.reference_seconds:
                return _mismatch(Fault.duplicate, [entry], twin=done[1])
        return entry

    def _remove(self, entry: Entry) -> None:
        self.open[entry.side].discard(entry.id)
        for reference in entry.references:
            key = (entry.currency, reference, entry.side)
            _unshelve(self.groups, key, entry)
            _unshelve(self.by_units, (*key, entry.units), entry)

    def _remember(self, *entries: Entry) -> None:
        at = max(each.at for each in entries)
        for each in entries:
            for reference in each.references:
                key = (each.currency, reference, each.side, each.units)
                self.done[key] = (at, each.id)
                self.forgotten.append((at, key))


def _judge(group: Sequence[Entry], rules: MatchingRules) -> Outcome:
    """Entries of both sides that share a reference, and are not alike one by one."""
    left, right, difference = _sides(group)
    if abs(difference) > rules.tolerance_units:
        return _mismatch(Fault.amount_differs, group)
    ours, theirs = _parties(left), _parties(right)
    if ours and theirs and not ours & theirs:
        return _mismatch(Fault.counterparty_differs, group)
    if len(group) > 2:
        return _matched(Rule.reference_sum, group)
    return _matched(Rule.reference_tolerance if difference else Rule.reference, group)


def _parties(entries: Sequence[Entry]) -> set[str]:
    return {each.counterparty for each in entries if each.counterparty is not None}


def _by_reference(entries: Iterator[Entry], rules: MatchingRules) -> Iterator[_Passed]:
    book = _ByReference(rules)
    for entry in entries:
        yield from book.expired(entry.at)
        found = book.add(entry)
        if found is not None:
            yield found
    yield from book.expired(None)


class _ByAmount:
    """What is open by its amount, no longer than the window."""

    def __init__(self, rules: MatchingRules) -> None:
        self.rules = rules
        self.waiting: deque[Entry] = deque()
        self.open: tuple[set[str], set[str]] = (set(), set())
        self.by_units: dict[tuple[str, Side, int], _Shelf] = {}
        self.by_party: dict[tuple[str, Side, int, str | None], _Shelf] = {}

    def add(self, entry: Entry) -> Match | None:
        """Take an entry in: its match, or None while it waits."""
        found = self._like(entry)
        if found is not None:
            self._remove(found)
            return _matched(Rule.amount, (found, entry))
        self.waiting.append(entry)
        self.open[entry.side].add(entry.id)
        key = (entry.currency, entry.side, entry.units)
        _shelve(self.by_units, key, entry)
        _shelve(self.by_party, (*key, entry.counterparty), entry)
        return None

    def expired(self, now: int | None) -> Iterator[Entry]:
        """What has waited long enough at a time (None: all), oldest first."""
        window = self.rules.window_seconds
        while self.waiting and (now is None or self.waiting[0].at + window < now):
            entry = self.waiting.popleft()
            if entry.id in self.open[entry.side]:
                self._remove(entry)
                yield entry

    def _remove(self, entry: Entry) -> None:
        self.open[entry.side].discard(entry.id)
        key = (entry.currency, entry.side, entry.units)
        _unshelve(self.by_units, key, entry)
        _unshelve(self.by_party, (*key, entry.counterparty), entry)

    def _like(self, entry: Entry) -> Entry | None:
        """One of the same party before the first that may be it."""
        key = (entry.currency, _other(entry.side), entry.units)
        if entry.counterparty is None:
            candidates = self.by_units.get(key)
        else:
            same = self.by_party.get((*key, entry.counterparty))
            if same is not None:
                return next(iter(same.values()))
            candidates = self.by_party.get((*key, None))
        # Two that name different things are not one because they are worth the same.
        for found in islice(() if candidates is None else candidates.values(), SCAN_MAX):
            if not (found.references and entry.references):
                return found
        return None


def _by_amount(passed: Iterator[_Passed], rules: MatchingRules) -> Iterator[_Passed]:
    book = _ByAmount(rules)
    for item in passed:
        if not isinstance(item, Entry):
            yield item
            continue
        yield from book.expired(item.at)
        found = book.add(item)
        if found is not None:
            yield found
    yield from book.expired(None)


class _BySum:
    """What is open by its counterparty: amounts that are nearly alike, or add up."""

    def __init__(self, rules: MatchingRules) -> None:
        self.rules = rules
        self.waiting: deque[Entry] = deque()
        self.open: dict[tuple[str, str | None, Side], _Shelf] = {}
        self.steps_left = STEPS_TOTAL_MAX

    def add(self, entry: Entry) -> None:
        self.waiting.append(entry)
        _shelve(self.open, self._key(entry, entry.side), entry)

    def expired(self, now: int | None) -> Iterator[_Passed]:
        """What has waited long enough at a time (None: all), oldest first."""
        while self.waiting and (
            now is None or self.waiting[0].at + self.rules.window_seconds < now
        ):
            entry = self.waiting.popleft()
            if self._is_open(entry):
                self._remove(entry)
                found = self._found(entry)
                for each in (*found.left, *found.right) if isinstance(found, Match) else ():
                    self._remove(each)
                yield found

    def _key(self, entry: Entry, side: Side) -> tuple[str, str | None, Side]:
        return entry.currency, entry.counterparty, side

    def _is_open(self, entry: Entry) -> bool:
        return entry.id in self.open.get(self._key(entry, entry.side), ())

    def _remove(self, entry: Entry) -> None:
        _unshelve(self.open, self._key(entry, entry.side), entry)

    def _candidates(self, entry: Entry, side: Side) -> list[Entry]:
        shelf = self.open.get(self._key(entry, side))
        return [] if shelf is None else list(islice(shelf.values(), CANDIDATES_MAX))

    def _found(self, entry: Entry) -> _Passed:
        """One that is nearly alike, or the only way in which amounts add up; else the entry."""
        others = self._candidates(entry, _other(entry.side))
        near = [
            each for each in others if abs(each.units - entry.units) <= self.rules.tolerance_units
        ]
        if near:
            best = min(near, key=lambda each: (abs(each.units - entry.units), order(each)))
            return _matched(Rule.amount_tolerance, (entry, best))
        if not others or self.steps_left <= 0:
            return entry
        search = _Search(min(STEPS_MAX, self.steps_left))
        answers = [(entry, *parts) for parts in search.sums(entry.units, others, least=2)]
        own = self._candidates(entry, entry.side)
        for target in others:
            rest = target.units - entry.units
            if rest * target.units > 0 and entry.units * target.units > 0:
                found = search.sums(rest, own, least=1)
                answers += [(entry, target, *parts) for parts in found]
        self.steps_left -= search.steps
        if len(answers) != 1 or search.is_cut:
            return entry
        return _matched(Rule.sum, answers[0])


class _Search:
    """A search for amounts that add up, within so many steps."""

    def __init__(self, steps_max: int) -> None:
        self.steps = 0
        self.steps_max = steps_max

    @property
    def is_cut(self) -> bool:
        return self.steps >= self.steps_max

    def sums(self, target: int, among: Sequence[Entry], *, least: int) -> list[tuple[Entry, ...]]:
        """Up to two ways to the target, each of other amounts; of like amounts the first come."""
        wanted = [each for each in among if each.units * target > 0]
        wanted.sort(key=lambda each: (-abs(each.units), order(each)))
        found: list[tuple[Entry, ...]] = []
        self._walk(target, wanted, 0, (), least, found)
        return found

    def _walk(
        self,
        rest: int,
        among: Sequence[Entry],
        first: int,
        taken: tuple[Entry, ...],
        least: int,
        found: list[tuple[Entry, ...]],
    ) -> None:
        before: int | None = None
        for place in range(first, len(among)):
            entry = among[place]
            if entry.units == before or abs(entry.units) > abs(rest):
                continue
            before = entry.units
            self.steps += 1
            if self.is_cut or len(found) > 1:
                return
            parts = (*taken, entry)
            if entry.units == rest:
                found += [parts] if len(parts) >= least else []
            elif len(parts) < PARTS_MAX:
                self._walk(rest - entry.units, among, place + 1, parts, least, found)


def _by_sum(passed: Iterator[_Passed], rules: MatchingRules) -> Iterator[_Passed]:
    book = _BySum(rules)
    for item in passed:
        if not isinstance(item, Entry) or item.counterparty is None:
            yield item
            continue
        yield from book.expired(item.at)
        book.add(item)
    yield from book.expired(None)
