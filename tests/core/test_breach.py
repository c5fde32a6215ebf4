"""Breaches: what stops what goes out, and what is said of it."""

from datetime import UTC, datetime
from typing import Any

import pytest

from sakk.core import breach
from sakk.core.breach import Breach, BreachKind, Guard, Place
from sakk.core.freeze import REASON_CHARACTERS_MAX, check_reason

OURS, THEIRS = "0x" + "11" * 20, "0x" + "22" * 20


def make(**fields: Any) -> Breach:
    return Breach(
        **{
            "id": "brc_1",
            "livemode": False,
            "network": "eip155:1",
            "kind": "approval",
            "place": "treasury",
            "address": OURS,
            "other": THEIRS,
            "created": datetime(2026, 1, 1, tzinfo=UTC),
            **fields,
        }
    )


@pytest.mark.parametrize(
    ("guard", "frozen"),
    [
        (Guard.off, set()),
        (Guard.treasury, {Place.treasury}),
        (Guard.all, {Place.treasury, Place.deposit, Place.contract}),
    ],
)
def test_what_freezes(guard: Guard, frozen: set[Place]) -> None:
    assert {place for place in Place if guard.freezes(place)} == frozen


@pytest.mark.parametrize("kind", list(BreachKind))
def test_every_kind_has_words_that_a_freeze_can_carry(kind: BreachKind) -> None:
    words = breach.reason(make(kind=kind.value))
    assert check_reason(words) == words
    assert len(words) <= REASON_CHARACTERS_MAX
    assert words.count("0x") == 2


def test_the_object_says_what_and_what_followed() -> None:
    shown = breach.public(make(units=2**256 - 1, tx_hash="0xab", freeze="frz_1", case="case_1"))
    assert (shown["token_amount"], shown["tx_hash"], shown["freeze"], shown["case"]) == (
        str(2**256 - 1),
        "0xab",
        "frz_1",
        "case_1",
    )
    assert (breach.public(make())["token_amount"], breach.public(make())["tx_hash"]) == (None, None)
