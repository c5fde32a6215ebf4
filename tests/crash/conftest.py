"""One sandbox for all kills, with a merchant who has a balance and a treasury with coins."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.house import House, await_true, descendants, is_gone, open_house
from tests.crash.job import Merchant, half_way, open_merchant

FLOAT_CENTS = 200_000


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder with a name that is short enough for unix sockets in it."""
    with tempfile.TemporaryDirectory(prefix="sakk-crash-") as folder:
        yield Path(folder)


@pytest.fixture(scope="package")
def house() -> Iterator[House]:
    """A running sandbox, shared: everything in it ends well in spite of the tests.

    Its first network has blocks all the time, the second one where a test asks for them. Asked to
    end it ends in order: nothing of it runs any more, and what it kept is removed.
    """
    with tempfile.TemporaryDirectory(prefix="sakk-crash-") as folder:
        opened = open_house(Path(folder))
        try:
            with opened.miner.at(0):
                yield opened
        finally:
            processes = descendants(opened.process.pid)
            code = opened.close()
        assert code == 0, opened.said()
        assert not Path(opened.description["data_dir"]).exists()
        assert [pid for pid in processes if not is_gone(pid)] == []


@pytest.fixture(scope="package")
def merchant(house: House) -> Iterator[Merchant]:
    """The sandbox's merchant, with enough on its balance for every payout of the tests."""
    with open_merchant(house) as opened:
        funding = opened.begin(cents=FLOAT_CENTS)
        opened.pay(funding)
        opened.await_end(funding)
        with house.miner.at(1):
            await_true(lambda: not half_way(house), "the treasury's gas to be booked")
        yield opened
