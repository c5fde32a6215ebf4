"""Confirmed losses to address poisoning: each would have been refused.

The data are 1,738 payoffs on Ethereum with the address that was meant beside each (Tsuchiya et al.,
"Blockchain Address Poisoning", USENIX Security 2025). They are not part of this repository.
"""

import csv
from itertools import pairwise
from pathlib import Path

import pytest

from sakk.core.beneficiary import lookalike_key, looks_like

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "kyt" / "poisoning"

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="the data stand beside the repository")


@pytest.fixture(scope="module")
def payoffs() -> list[tuple[str, str]]:
    """Where the money went, and where it was meant to go."""
    with (DATA / "payoff_transfers_ethereum.csv").open() as file:
        return [
            (row["topics_to_addr"].lower(), row["intended_addr"].lower())
            for row in csv.DictReader(file)
        ]


def test_every_confirmed_payoff_looks_like_what_was_meant(
    payoffs: list[tuple[str, str]],
) -> None:
    assert len(payoffs) > 1_000
    assert [pair for pair in payoffs if not looks_like(*pair)] == []
    assert [pair for pair in payoffs if lookalike_key(pair[0]) != lookalike_key(pair[1])] == []


def test_four_digits_at_each_end_would_let_most_of_them_pass(
    payoffs: list[tuple[str, str]],
) -> None:
    ends = [(paid[2:6], paid[-4:], meant[2:6], meant[-4:]) for paid, meant in payoffs]
    assert sum((head, tail) == (first, last) for head, tail, first, last in ends) == 624


def test_addresses_that_were_meant_do_not_look_like_one_another(
    payoffs: list[tuple[str, str]],
) -> None:
    meant = sorted({address for _, address in payoffs}, key=lookalike_key)
    assert [pair for pair in pairwise(meant) if looks_like(*pair)] == []
