"""Matching two books: what matched by which rule, what is left, and that nothing is lost."""

from collections import Counter
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sakk.core import matching
from sakk.core.matching import (
    Entry,
    Fault,
    Match,
    MatchingRules,
    Mismatch,
    Outcome,
    Rule,
    Side,
    match,
    merged,
    order,
)

RULES = MatchingRules(window_seconds=10, reference_seconds=100, tolerance_units=2)


def left(
    name: str, units: int, at: int = 0, *references: str, party: str | None = None, of: str = "eur"
) -> Entry:
    return Entry(at, Side.left, name, units, of, references, party)


def right(
    name: str, units: int, at: int = 0, *references: str, party: str | None = None, of: str = "eur"
) -> Entry:
    return Entry(at, Side.right, name, units, of, references, party)


def told(entries: Iterable[Entry], rules: MatchingRules = RULES) -> set[str]:
    """Each outcome as ``why: left | right``."""
    return {_words(each) for each in match(sorted(entries, key=order), rules)}


def _words(outcome: Outcome) -> str:
    why = outcome.rule if isinstance(outcome, Match) else outcome.fault
    sides = [" ".join(each.id for each in side) for side in (outcome.left, outcome.right)]
    return f"{why}: {sides[0]}|{sides[1]} {outcome.difference:+d}"


CASES: list[tuple[str, list[Entry], set[str]]] = [
    ("nothing", [], set()),
    ("by reference", [left("a", 5, 0, "x"), right("b", 5, 9, "x")], {"reference: a|b +0"}),
    (
        "the reference that both name, of several",
        [left("a", 5, 0, "y", "x"), right("b", 5, 9, "z", "x")],
        {"reference: a|b +0"},
    ),
    ("late", [left("a", 5, 0, "x"), right("b", 5, 11, "x")], {"reference_late: a|b +0"}),
    (
        "too late",
        [left("a", 5, 0, "x"), right("b", 5, 101, "x")],
        {"left_alone: a| -5", "right_alone: |b +5"},
    ),
    (
        "as late as may be",
        [left("a", 5, 0, "x"), right("b", 5, 100, "x")],
        {"reference_late: a|b +0"},
    ),
    (
        "another currency is another book",
        [left("a", 5, 0, "x"), right("b", 5, 0, "x", of="usd")],
        {"left_alone: a| -5", "right_alone: |b +5"},
    ),
    (
        "a bank's fee",
        [left("a", 50, 0, "x"), right("b", 48, 9, "x")],
        {"reference_tolerance: a|b -2"},
    ),
    ("wrong", [left("a", 50, 0, "x"), right("b", 47, 9, "x")], {"amount_differs: a|b -3"}),
    (
        "split",
        [left("a", 50, 0, "x"), right("b", 20, 1, "x"), right("c", 30, 2, "x")],
        {"reference_sum: a|b c +0"},
    ),
    (
        "gathered",
        [left("a", 20, 0, "x"), left("b", 30, 1, "x"), right("c", 50, 2, "x")],
        {"reference_sum: a b|c +0"},
    ),
    (
        "doubled on the right",
        [left("a", 5, 0, "x"), right("b", 5, 1, "x"), right("c", 5, 2, "x")],
        {"reference: a|b +0", "duplicate: |c +5"},
    ),
    (
        "doubled before its like came",
        [right("b", 5, 0, "x"), right("c", 5, 1, "x"), left("a", 5, 2, "x")],
        {"reference: a|b +0", "duplicate: |c +5"},
    ),
    (
        "the same again, long after, is no double",
        [left("a", 5, 0, "x"), right("b", 5, 1, "x"), right("c", 5, 150, "x")],
        {"reference: a|b +0", "right_alone: |c +5"},
    ),
    (
        "a match is forgotten after a while",
        [
            left("a", 5, 0, "x"),
            right("b", 5, 1, "x"),
            left("c", 5, 150, "x"),
            right("d", 5, 151, "x"),
            left("e", 1, 300),
            left("f", 1, 600),
        ],
        {"reference: a|b +0", "reference: c|d +0", "left_alone: e| -1", "left_alone: f| -1"},
    ),
    (
        "swapped references",
        [
            left("a", 50, 0, "x", party="p"),
            left("b", 50, 0, "y", party="q"),
            right("c", 50, 1, "y", party="p"),
            right("d", 50, 1, "x", party="q"),
        ],
        {"counterparty_differs: a|d +0", "counterparty_differs: b|c +0"},
    ),
    (
        "one counterparty of several is enough for a sum",
        [
            left("a", 50, 0, "x", party="p"),
            right("b", 20, 1, "x", party="p"),
            right("c", 30, 2, "x", party="q"),
        ],
        {"reference_sum: a|b c +0"},
    ),
    (
        "one of two with another counterparty",
        [
            left("a", 5, 0, "x", party="p"),
            right("b", 5, 1, "x", party="q"),
            right("c", 5, 2, "x", party="p"),
        ],
        {"reference: a|c +0", "duplicate: |b +5"},
    ),
    ("by amount", [left("a", 5, 0), right("b", 5, 10)], {"amount: a|b +0"}),
    (
        "by amount, too far apart",
        [left("a", 5, 0), right("b", 5, 11)],
        {"left_alone: a| -5", "right_alone: |b +5"},
    ),
    (
        "a customer left the reference out",
        [left("a", 5, 0, "x"), right("b", 5, 9)],
        {"amount: a|b +0"},
    ),
    (
        "two that name different things",
        [left("a", 5, 0, "x"), right("b", 5, 1, "y")],
        {"left_alone: a| -5", "right_alone: |b +5"},
    ),
    (
        "two that name different things, of one party",
        [left("a", 5, 0, "x", party="p"), right("b", 5, 1, "y", party="p")],
        {"amount: a|b +0"},
    ),
    (
        "the same party comes before who came first",
        [
            left("a", 5, 0),
            left("b", 5, 1, party="p"),
            left("c", 5, 2, party="q"),
            right("d", 5, 3, party="q"),
            right("e", 5, 4, party="r"),
        ],
        {"amount: c|d +0", "amount: a|e +0", "left_alone: b| -5"},
    ),
    (
        "nearly alike, of one party: the nearest",
        [left("a", 50, 0, party="p"), right("b", 48, 1, party="p"), right("c", 51, 2, party="p")],
        {"amount_tolerance: a|c +1", "right_alone: |b +48"},
    ),
    (
        "adds up, of one party",
        [left("a", 50, 0, party="p"), right("b", 20, 1, party="p"), right("c", 30, 2, party="p")],
        {"sum: a|b c +0"},
    ),
    (
        "adds up the other way",
        [left("a", 20, 0, party="p"), left("b", 30, 1, party="p"), right("c", 50, 2, party="p")],
        {"sum: a b|c +0"},
    ),
    (
        "money out adds up too, and never with money in",
        [
            left("a", -50, 0, party="p"),
            right("b", -20, 1, party="p"),
            right("c", -30, 2, party="p"),
            right("d", 7, 3, party="p"),
        ],
        {"sum: a|b c +0", "right_alone: |d +7"},
    ),
    (
        "adds up in two ways: nobody's guess",
        [
            left("a", 50, 0, party="p"),
            *(right(f"b{n}", n, 1, party="p") for n in (10, 15, 35, 40)),
        ],
        {"left_alone: a| -50", *(f"right_alone: |b{n} +{n}" for n in (10, 15, 35, 40))},
    ),
    (
        "like parts are no two ways: the first are taken",
        [left("a", 60, 0, party="p"), *(right(f"b{n}", 30, n, party="p") for n in (1, 2, 3))],
        {"sum: a|b1 b2 +0", "right_alone: |b3 +30"},
    ),
    (
        "more parts than a sum may have",
        [
            left("a", 2**8 - 1, 0, party="p"),
            *(right(f"b{n}", 2**n, 1, party="p") for n in range(8)),
        ],
        {"left_alone: a| -255", *(f"right_alone: |b{n} +{2**n}" for n in range(8))},
    ),
]


@pytest.mark.parametrize(("_name", "entries", "expected"), CASES, ids=[each[0] for each in CASES])
def test_what_is_matched(_name: str, entries: list[Entry], expected: set[str]) -> None:
    assert told(entries) == expected


def test_a_duplicate_names_its_twin() -> None:
    [_, found] = match([left("a", 5, 0, "x"), right("b", 5, 1, "x"), right("c", 5, 2, "x")], RULES)
    assert isinstance(found, Mismatch)
    assert (found.fault, found.twin) == (Fault.duplicate, "b")


@pytest.mark.parametrize(
    "entries",
    [
        [left("a", 1, 1), left("b", 1, 0)],
        [left("a", 1), left("a", 1)],
        [right("a", 1), left("a", 1)],
    ],
)
def test_entries_out_of_order_are_refused(entries: list[Entry]) -> None:
    with pytest.raises(ValueError, match="out of order"):
        list(match(entries, RULES))


@pytest.mark.parametrize("wrong", [(11, 10, 0), (-1, 10, 0), (1, 1, -1)])
def test_rules_hold_together(wrong: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="the window is"):
        MatchingRules(*wrong)


def test_a_search_for_sums_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes more steps than there are has no answer, and costs the others nothing more."""
    entries = [
        left("a", 50, 0, party="p"),
        right("b", 20, 1, party="p"),
        right("c", 30, 2, party="p"),
    ]
    alone = {"left_alone: a| -50", "right_alone: |b +20", "right_alone: |c +30"}
    monkeypatch.setattr(matching, "STEPS_MAX", 2)
    assert told(entries) == alone
    monkeypatch.setattr(matching, "STEPS_MAX", 512)
    assert told(entries) != alone
    monkeypatch.setattr(matching, "STEPS_TOTAL_MAX", 0)
    assert told(entries) == alone


def test_a_hostile_book_is_no_trap() -> None:
    """One amount, one reference, one party: whatever there are most of, each is looked at once."""
    many = 1_000
    same = [left(f"a{n}", 5, n // 100, "x", party="p") for n in range(many)]
    other = [right(f"b{n}", 5, n // 100, "x", party="q") for n in range(many)]
    [found] = match(sorted([*same, *other], key=order), RULES)
    assert isinstance(found, Mismatch)
    assert (found.fault, len(found.left), len(found.right)) == (
        Fault.counterparty_differs,
        many,
        many,
    )
    sums = [left(f"a{n}", 1_000 + 7 * n, n // 50, party="p") for n in range(many // 2)]
    sums += [right(f"b{n}", 900_001 + 11 * n, n // 50, party="p") for n in range(many // 2)]
    assert len(told(sums)) == len(sums)


entries = st.lists(
    st.builds(
        lambda at, units, references, party, currency: (at, units, references, party, currency),
        st.integers(0, 40),
        st.integers(-6, 6).filter(bool),
        st.lists(st.sampled_from("xyz"), max_size=2).map(tuple),
        st.sampled_from(["p", "q", None]),
        st.sampled_from(["eur", "usd"]),
    ),
    max_size=14,
)


@given(entries, entries, st.randoms(use_true_random=False))
def test_every_entry_has_one_outcome_however_shuffled(ours, theirs, random) -> None:  # type: ignore[no-untyped-def]
    """Nothing is lost, nothing matched twice, sums agree, and the order given plays no part."""
    rules = MatchingRules(window_seconds=3, reference_seconds=12, tolerance_units=1)
    books = []
    for side, book in ((Side.left, ours), (Side.right, theirs)):
        books.append(
            [
                Entry(at, side, f"{side.name}{n}", units, currency, references, party)
                for n, (at, units, references, party, currency) in enumerate(book)
            ]
        )
    outcomes = list(match(merged(*(sorted(each, key=order) for each in books)), rules))
    placed = Counter(each for one in outcomes for each in (*one.left, *one.right))
    assert placed == Counter(each for book in books for each in book)
    for one in outcomes:
        assert {each.currency for each in (*one.left, *one.right)} == {one.currency}
        sums = [sum(each.units for each in side) for side in (one.left, one.right)]
        assert one.difference == sums[1] - sums[0]
        if isinstance(one, Match):
            assert one.left
            assert one.right
            assert abs(one.difference) <= rules.tolerance_units
    total = sum(each.units for each in books[1]) - sum(each.units for each in books[0])
    assert sum(one.difference for one in outcomes) == total
    for book in books:
        random.shuffle(book)
    again = match(merged(*(sorted(each, key=order) for each in books)), rules)
    assert list(again) == outcomes


def test_rules_are_told_apart() -> None:
    """Each rule and each fault has a case above."""
    reached = {outcome.split(":")[0] for _, _, expected in CASES for outcome in expected}
    assert reached == {*Rule, *Fault}
