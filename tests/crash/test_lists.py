"""A list import holds for the very next decision, in every process that decides."""

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from eth_utils.crypto import keccak

from sakk.rails.sandbox.chain import ISSUER_INDEX, derive_private_key
from sakk.rails.sandbox.wallet import Wallet
from tests.crash.house import START_SECONDS_MAX, STOP_SECONDS_MAX, House, await_true
from tests.crash.job import Job, Merchant, query

GAS_WEI = 10**18
HOARD_UNITS = 1_000_000_000
QUIET_CHECKS = 5


@pytest.fixture
def suspect(merchant: Merchant) -> Iterator[Wallet]:
    """A payer with coins, and no past; nor does anybody else have paid to who will be listed."""
    key = "0x" + keccak(text="a payer who will be listed").hex()
    with Wallet(merchant.wallet.rpc.url, key) as wallet:
        merchant.wallet.send_native(wallet.address, GAS_WEI)
        with Wallet(merchant.wallet.rpc.url, derive_private_key(ISSUER_INDEX)) as issuer:
            given = issuer.call_contract(
                merchant.house.token(), "mint(address,uint256)", wallet.address, HOARD_UNITS
            )
            issuer.wait(given)
        yield wallet


@pytest.fixture
def second_worker(house: House) -> Iterator[int]:
    """Another process with the role worker, beside the supervisor's; its number."""
    reading, writing = os.pipe()
    environment = {
        **house.environment,
        "DATABASE_URL": house.database_url,
        "SAKK_DATA_DIR": str(house.description["data_dir"]),
        "SAKK_SANDBOX": "true",
        "SAKK_WEBHOOK_ALLOW_LOOPBACK": "true",
        "SAKK_READY_FD": str(writing),
    }
    with (house.stderr.parent / "second-worker").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "sakk.cli", "serve", "--role", "worker"],
            env=environment,
            pass_fds=(writing,),
            stderr=log,
        )
    os.close(writing)
    try:
        assert select.select([reading], [], [], START_SECONDS_MAX)[0]
        assert os.read(reading, 16) == b"ready\n"
        yield process.pid
    finally:
        os.close(reading)
        process.terminate()
        process.wait(STOP_SECONDS_MAX)


@contextmanager
def _asleep(house: House, pid: int) -> Iterator[None]:
    """Stop a process where it holds no transaction open, so that the others decide alone."""
    while True:
        os.kill(pid, signal.SIGSTOP)
        if _is_quiet(house):
            break
        os.kill(pid, signal.SIGCONT)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def _is_quiet(house: House) -> bool:
    """Has no connection been in the middle of a transaction for longer than anyone works on one?"""
    statement = (
        "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%%'"
        " AND state_change < now() - interval '200 milliseconds'"
    )
    return all(query(house, statement) == [(0,)] for _ in range(QUIET_CHECKS))


def _pay(merchant: Merchant, wallet: Wallet) -> Job:
    job = merchant.begin(cents=500)
    job.paid_hash = wallet.transfer(merchant.house.token(), job.deposit, job.paid_units)
    return job


def _await_status(house: House, job: Job, status: str) -> None:
    def stands() -> bool:
        rows = query(house, "SELECT status FROM payins WHERE tx_hash = %s", job.paid_hash)
        assert [row[0] for row in rows] in ([], ["seen"], ["confirmed"], ["screened"], [status])
        return rows == [(status,)]

    await_true(stands, f"the pay-in to be {status}")


def test_an_import_decides_the_next_payin_in_every_worker(
    house: House,
    merchant: Merchant,
    suspect: Wallet,
    second_worker: int,
    tmp_path: Path,
) -> None:
    before = _pay(merchant, suspect)
    _await_status(house, before, "posted")
    merchant.balance_units += before.paid_units
    listed = tmp_path / "sanctioned_addresses_ETH.txt"
    listed.write_text(f"{suspect.address}\n")
    imported = house.run("lists", "import", str(listed))
    assert imported.returncode == 0, imported.stderr
    first_worker = house.await_role("worker")
    jobs = []
    for other in (first_worker, second_worker):
        with _asleep(house, other):
            jobs.append(_pay(merchant, suspect))
            _await_status(house, jobs[-1], "held")
    assert house.await_role("worker") == first_worker
    operator = house.client(house.description["operator_key"])
    for job in jobs:
        # Its coins are set aside in the ledger a moment after it is held.
        await_true(partial(_is_quarantined, house, job), "the pay-in to be quarantined")
        operator.post(f"/v1/payins/{_payin(house, job)}/release", {})
        merchant.await_event("payment_intent.succeeded", job.intent["id"])
        merchant.balance_units += job.paid_units
    merchant.compare_balance()


def _is_quarantined(house: House, job: Job) -> bool:
    return query(house, "SELECT quarantined FROM payins WHERE tx_hash = %s", job.paid_hash) == [
        (True,)
    ]


def _payin(house: House, job: Job) -> str:
    [(payin,)] = query(house, "SELECT id FROM payins WHERE tx_hash = %s", job.paid_hash)
    return str(payin)
