"""No limit is passed, in any order of what can happen, and by any number at once.

The model counts by itself what every spend took from which limit; the mandate in the ledger must
refuse exactly what the model refuses, and leave exactly what it leaves.
"""

import os
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.flow.mandating import WHOLE, House, open_house

from sakk.core.errors import MandateRefused
from sakk.core.mandate import Mandate, Period
from sakk.core.spend import Payee
from sakk.flow import mandate_spend
from sakk.ledger.calls import OpenLedger
from sakk.ledger.server import serve_ledger
from sakk.store.database import Database

ELSEWHERE = Payee(network="eip155:8453", address="0x" + "11" * 20)
PARALLEL = 1_000
PROCESSES = 2
EXAMPLES_MAX = 200 if "SAKK_SOAK" in os.environ else 40


@pytest.fixture(scope="module")
def house(module_database: Database) -> Iterator[House]:
    with open_house(module_database) as opened:
        yield opened
        # The thousand at once are posted by the ledger's words alone.
        opened.check(rows=False)


@dataclass
class Model:
    """What was taken from each limit, counted plainly."""

    total: int
    minute: int
    hour: int
    payments: int
    taken: Counter[str] = field(default_factory=Counter)
    revoked: bool = False
    over: bool = False

    def keys(self, second: int) -> dict[str, int]:
        return {
            "total": self.total,
            f"m{second // 60}": self.minute,
            f"h{second // 3_600}": self.hour,
        }

    def take(self, amount: int, second: int) -> bool:
        """Is a spend allowed? It is counted if so."""
        hour = f"n{second // 3_600}"
        fits = all(self.taken[name] + amount <= most for name, most in self.keys(second).items())
        if self.revoked or self.over or not fits or self.taken[hour] == self.payments:
            return False
        self.taken.update(dict.fromkeys(self.keys(second), amount))
        self.taken[hour] += 1
        return True

    def give_back(self, amount: int, second: int) -> None:
        if not self.revoked:
            self.taken.subtract(dict.fromkeys(self.keys(second), amount))


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("spend"), st.integers(1, 12)),
        st.tuples(st.just("reserve"), st.integers(1, 12)),
        st.tuples(st.just("return"), st.integers(0, 5)),
        st.tuples(st.just("wait"), st.sampled_from([1, 30, 61, 3_600, 4_000])),
        st.tuples(st.just("revoke"), st.just(0)),
    ),
    max_size=25,
)


@settings(
    max_examples=EXAMPLES_MAX,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(steps=STEPS)
def test_any_order_of_spends_returns_revocations_and_expiry(
    house: House, steps: list[tuple[str, int]]
) -> None:
    fresh = House(house.parts, house.clock)
    model = Model(total=30, minute=10, hour=20, payments=6)
    began = house.clock.now
    made = fresh.mandate(
        total=30,
        expires_at=int(began.timestamp()) + 8_000,
        periods=(Period(60, 10), Period(3_600, 20, 6)),
    )
    reserved: list[tuple[str, int, int]] = []
    paid = 0

    def second() -> int:
        return int((house.clock.now - began).total_seconds())

    for what, value in steps:
        match what:
            case "wait":
                house.clock.pass_by(value)
                model.over = second() >= 8_000
            case "revoke":
                fresh.revoke(made)
                model.revoked = True
            case "return" if reserved:
                identifier, amount, at = reserved.pop(value % len(reserved))
                mandate_spend.release(
                    fresh.parts, made.id, identifier, account_id=fresh.account, livemode=False
                )
                model.give_back(amount, at)
            case "spend" | "reserve":
                payee = ELSEWHERE if what == "reserve" else Payee(account=fresh.seller)
                if not model.take(value, second()):
                    with pytest.raises(MandateRefused):
                        fresh.spend(made, value, payee=payee)
                    continue
                done = fresh.spend(made, value, payee=payee)
                if what == "reserve":
                    reserved.append((done.id, value, second()))
                else:
                    paid += value
    conserve(fresh, made, paid, model, second())


def conserve(house: House, made: Mandate, paid: int, model: Model, second: int) -> None:
    """What left is what arrived, and the budgets have what the model has."""
    assert house.balance(house.seller) == paid
    assert house.balance() == 100 * WHOLE - paid
    left = house.budgets(made)
    assert left["total"] == 30 - model.taken["total"]
    assert left[f"period:60:{second // 60}"] == 10 - model.taken[f"m{second // 60}"]
    assert left[f"period:3600:{second // 3_600}"] == 20 - model.taken[f"h{second // 3_600}"]


def test_a_thousand_at_once_from_several_processes(house: House) -> None:
    """Each process has its own connections to the one ledger; all of them together spend 500."""
    fresh = House(house.parts, house.clock)
    made = fresh.mandate(total=500, periods=(Period(3_600, 500),))
    ledger = house.parts.books.ledger
    assert isinstance(ledger, OpenLedger)
    # The path of a unix socket is short.
    folder = tempfile.TemporaryDirectory(prefix="sakk-")
    socket, stop = Path(folder.name) / "ledger.sock", threading.Event()
    server = threading.Thread(target=serve_ledger, args=(ledger, socket, stop))
    server.start()
    job = f"{socket} {house.parts.database.url} {made.id} {PARALLEL // PROCESSES}"
    workers = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.flow.mandate_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(PROCESSES)
    ]
    try:
        with ThreadPoolExecutor(PROCESSES) as threads:
            said = list(threads.map(lambda worker: worker.communicate(job)[0], workers))
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
        stop.set()
        server.join()
        folder.cleanup()
    assert sum(int(each) for each in said) == 500
    assert fresh.budgets(made)["total"] == 0
