"""Hundreds of worlds in which everything goes wrong, and bugs that must be found in them.

``SAKK_SIM_SEED=7 pytest -s tests/sim`` replays one seed and prints how it went;
``SAKK_SIM_SEEDS`` says how many; ``make soak`` looks at twenty thousand.
"""

import os
import subprocess
import sys
from collections import Counter

import pytest

from sakk.ledger.replay import JournalBroken
from tests.sim.planted import BUGS, Bug, planted
from tests.sim.world import Ended, simulate

SEEDS = int(os.environ.get("SAKK_SIM_SEEDS", "20000" if os.environ.get("SAKK_SOAK") else "600"))
ONE_SEED = os.environ.get("SAKK_SIM_SEED")
BLOCK = 50
PLANTED_SEEDS_MAX = 400
# What a wrong ledger shows itself by; a bug that does not even run raises something else.
FOUND = (AssertionError, JournalBroken, ValueError)

if ONE_SEED is not None:

    def test_one_seed() -> None:
        print(*simulated(int(ONE_SEED or 0)).trace, sep="\n")


def simulated(seed: int) -> Ended:
    """Run a seed; what is wrong comes with the command that replays it."""
    try:
        return simulate(seed)
    except Exception as error:
        error.add_note(f"replay: SAKK_SIM_SEED={seed} pytest -s tests/sim/test_sim.py -k one_seed")
        raise


@pytest.mark.parametrize("first", range(0, SEEDS, BLOCK))
def test_seeds(first: int) -> None:
    ended = [simulated(seed) for seed in range(first, min(first + BLOCK, SEEDS))]
    assert all(each.acknowledged for each in ended)
    assert sum(each.answered_reads for each in ended) > len(ended)


def test_the_same_seed_is_the_same_world_in_every_process() -> None:
    code = (
        "from tests.sim.world import simulate\n"
        "for seed in (3, 8): print(e := simulate(seed), *e.trace, sep='\\n')"
    )
    runs = [
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONHASHSEED": hash_seed},
            stdout=subprocess.PIPE,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    ]
    assert runs[0] == runs[1]
    assert b"has epoch 1" in runs[0]


def test_the_worlds_reach_what_they_are_made_for() -> None:
    """A storm that never fences, fills or loses anything would prove nothing."""
    refusals: Counter[str] = Counter()
    traces: Counter[str] = Counter()
    for seed in range(100):
        ended = simulated(seed)
        refusals += ended.refusals
        traces.update(line.split(" ", 1)[1].rstrip(" 0123456789.") for line in ended.trace)
    said = " ".join(refusals)
    for what in ("queue is full", "too far behind", "cannot be reached", "another writer took"):
        assert what in said
    noted = " ".join(traces)
    for what in (
        "is killed",
        "goes on",
        "the disk is full",
        "the disk is slow",
        "the standby takes over without",
        "postgres crashes",
        "all connections are cut",
        "jumps",
        "from a snapshot",
    ):
        assert what in noted


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.title)
def test_a_planted_bug_is_found(bug: Bug) -> None:
    with planted(bug):
        for seed in range(PLANTED_SEEDS_MAX):
            try:
                simulate(seed)
            except FOUND:
                return
    pytest.fail(f"{PLANTED_SEEDS_MAX} seeds did not find it")
