"""Any process, at any moment: a seeded run of kills while payments and payouts are in flight."""

import os
import random
import threading
import time

from tests.crash.house import ROLES, House
from tests.crash.job import Merchant, compare_books, compare_chain

IS_SOAK = "SAKK_SOAK" in os.environ
SEED = random.randrange(2**32) if IS_SOAK else 20_260
PAYMENTS, PAYOUTS, KILLS = (300, 100, 150) if IS_SOAK else (16, 6, 9)
PAUSE_SECONDS = (0.3, 1.2)


def _kill_at_random(house: House, seed: int, over: threading.Event) -> list[str]:
    """Kill one process after another, whatever it is doing; those that were killed."""
    dice = random.Random(seed)
    killed: list[str] = []
    while len(killed) < KILLS and not over.is_set():
        time.sleep(dice.uniform(*PAUSE_SECONDS))
        ready = [role for role in (*ROLES, "postgres") if house.pid(role) is not None]
        if ready:
            role = dice.choice(ready)
            house.kill(role)
            killed.append(role)
    return killed


def test_kills_of_any_process_lose_and_double_nothing(house: House, merchant: Merchant) -> None:
    over = threading.Event()
    killed: list[str] = []
    killer = threading.Thread(target=lambda: killed.extend(_kill_at_random(house, SEED, over)))
    killer.start()
    try:
        jobs = []
        for number in range(PAYMENTS):
            job = merchant.begin(cents=1_000 + number)
            merchant.pay(job)
            if number < PAYOUTS:
                job.payout_units = 1_000_000 + number
                merchant.send(job)
            jobs.append(job)
    finally:
        killer.join()
    house.await_all()
    assert len(killed) == KILLS, f"seed {SEED}"
    for job in jobs:
        merchant.await_end(job)
    for job in jobs:
        merchant.compare(job)
    merchant.compare_balance()
    compare_books(house)
    compare_chain(house, merchant.wallet)
