"""What every provider's connector must do: each is put before the same questions.

A connector stands here with a fake of its provider; see docs/guides/connector.md.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sakk.core.provider_order import Word
from sakk.rails.bank.pain001 import Party
from sakk.rails.bank.provider import ProviderRail, ProviderRefused, ProviderUnknown, Wanted
from sakk.rails.bank.sandbox_provider import SandboxProvider
from sakk.store.identity import new_id

WANTED = Wanted(
    units=10_000,
    currency="eur",
    payee=Party(name="Anna Müller", country="FR", iban="FR7630006000011234567890189"),
    end_to_end_id="PO01",
    remittance="Invoice 7",
)


@dataclass
class Case:
    """A connector before its fake. ``orders``: how many the provider has; ``advance``: time goes
    by there; ``lose``: it does the next thing that it is asked, and its answer is lost."""

    rail: ProviderRail
    orders: Callable[[], int]
    advance: Callable[[timedelta], None]
    lose: Callable[[], None]
    lock: timedelta


@contextmanager
def sandbox(directory: Path) -> Iterator[Case]:
    moment = [datetime(2026, 11, 26, 12, tzinfo=UTC)]

    class Lossy(SandboxProvider):
        loses = False

        def place(self, key: str, quote: str, wanted: Wanted) -> Any:
            standing = super().place(key, quote, wanted)
            if self.loses:
                self.loses = False
                raise ProviderUnknown("lost")
            return standing

    rail = Lossy(
        directory,
        account="123",
        currency="eur",
        opening_units=0,
        opened=moment[0].date(),
        clock=lambda: moment[0],
    )

    def advance(by: timedelta) -> None:
        moment[0] += by

    def lose() -> None:
        rail.loses = True

    yield Case(
        rail,
        lambda: len(rail._books().get("provider", {"orders": ()})["orders"]),
        advance,
        lose,
        timedelta(minutes=1),
    )


CASES = (sandbox,)


@pytest.fixture(params=CASES, ids=lambda each: each.__name__)
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Case]:
    with request.param(tmp_path) as made:
        yield made


def test_a_quote_moves_nothing_and_says_what_is_taken(case: Case) -> None:
    quote = case.rail.quote(WANTED)
    assert (quote.units, case.orders()) == (WANTED.units, 0)
    assert 0 < quote.fee_units < WANTED.units // 20
    assert case.rail.find(new_id("po")) is None


def test_a_key_is_one_order(case: Case) -> None:
    key = new_id("po")
    quote = case.rail.quote(WANTED)
    case.lose()
    with pytest.raises(ProviderUnknown):
        case.rail.place(key, quote.id, WANTED)
    # However often, and by another quote; and it says what it takes.
    first = case.rail.place(key, quote.id, WANTED)
    again = case.rail.place(key, case.rail.quote(WANTED).id, WANTED)
    found = case.rail.find(key)
    assert found is not None
    assert first.reference == again.reference == found.reference
    assert found.word in (Word.processing, Word.paid)
    assert first.fee_units == found.fee_units == quote.fee_units
    assert case.orders() == 1
    other = new_id("po")
    assert case.rail.find(other) is None
    assert case.rail.place(other, case.rail.quote(WANTED).id, WANTED).reference != first.reference
    assert case.orders() == 2


def test_by_a_quote_that_is_over_nothing_is_ordered(case: Case) -> None:
    quote, key = case.rail.quote(WANTED), new_id("po")
    case.advance(case.lock + timedelta(seconds=1))
    with pytest.raises(ProviderRefused) as refused:
        case.rail.place(key, quote.id, WANTED)
    assert refused.value.is_quote
    assert (case.rail.find(key), case.orders()) == (None, 0)
    # The key is free for the next one.
    case.rail.place(key, case.rail.quote(WANTED).id, replace(WANTED))
    assert case.orders() == 1
