"""x402's own clients pay by voucher at our door, unmodified; and what is left after a kill."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from x402.mechanisms.evm.batch_settlement.client.refund import RefundOptions, _RefundResponse

from sakk.paywall import Metered, Paywall, Route
from sakk.paywall.sakk import Sakk
from sakk.paywall.voucher import MISMATCH
from tests.api.world import free_port
from tests.crash.house import House, await_true, descendants
from tests.crash.job import Merchant
from tests.crash.voucher_payer import Payer, await_redeemed, receipt_of
from tests.serving import Handler, served

SCRIPT = Path(__file__).parent / "voucher_client.mjs"
PRICE = 1_000


def at_door(
    house: House,
    payer: Payer,
    routes: list[Route],
    app: Any,
    work: Callable[[Any], Awaitable[None]],
) -> str:
    """Do something at a door of the merchant's; its commits are known when this names a channel."""

    async def run() -> str:
        source = Sakk(
            house.description["api"],
            house.description["secret_key"],
            charges_url=house.description["ledger"],
            schemes=["batch-settlement"],
        )
        door = Paywall(app, routes=routes, offers=source)
        try:
            await work(door)
            transport = httpx.ASGITransport(door)
            async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
                return payer.channel(await payer.offered(client, "/fixed"))
        finally:
            await door.close()

    return asyncio.run(run())


def test_their_python_client_pays_by_voucher_and_has_the_rest_back(
    house: House, merchant: Merchant
) -> None:
    """A deposit and then vouchers at the sandbox's own shop; copies are refused."""
    payer = Payer(house)
    url = str(house.description["x402"]["paid_url"])

    async def run() -> str:
        async with httpx.AsyncClient(transport=payer.transport(), timeout=90) as http:
            replies = [await http.get(url) for _ in range(4)]
        assert [each.status_code for each in replies] == [200] * 4, replies[0].text
        assert {each.json()["scheme"] for each in replies} == {"batch-settlement"}
        receipts = [receipt_of(each) for each in replies]
        assert [each.extra["chargedAmount"] for each in receipts] == [str(PRICE)] * 4
        totals = [each.extra["channelState"]["chargedCumulativeAmount"] for each in receipts]
        assert totals == [str(PRICE * place) for place in range(1, 5)]
        assert receipts[0].transaction.startswith("0x")
        assert [each.transaction for each in receipts[1:]] == [""] * 3
        async with httpx.AsyncClient(timeout=90) as http:
            # The last first, the deposit too: each was used.
            for header in reversed(payer.sent):
                copy = await http.get(url, headers={"payment-signature": header})
                assert copy.status_code == 402, copy.text
            return payer.channel(await payer.offered(http, url))

    channel = asyncio.run(run())
    payer.await_standing(channel, signed=4 * PRICE, charged=4 * PRICE, reserved=0)

    def fetch(url: str, headers: dict[str, str]) -> _RefundResponse:
        reply = httpx.get(url, headers=headers, timeout=90)
        return _RefundResponse(reply.status_code, dict(reply.headers))

    done = payer.scheme.refund(url, RefundOptions(fetch=fetch))
    assert done.success
    assert done.amount == str(6 * PRICE)
    merchant.balance_units += 4 * PRICE
    await_redeemed(house, channel, 4 * PRICE)
    merchant.compare_balance()


@pytest.mark.skipif(shutil.which("node") is None, reason="Node.js is not installed")
def test_their_typescript_client_pays_by_voucher(house: House, merchant: Merchant) -> None:
    network = house.network()
    wanted = {
        "url": house.description["x402"]["paid_url"],
        "network": network["network"],
        "privateKey": network["payer_private_key"],
        "rpc": network["rpc"],
        "salt": "0x" + os.urandom(32).hex(),
        "calls": 3,
    }
    done = subprocess.run(
        ["node", str(SCRIPT), json.dumps(wanted)],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert [each["status"] for each in said["answers"]] == [200] * 3, said
    assert [each["receipt"]["extra"]["chargedAmount"] for each in said["answers"]] == ["1000"] * 3
    assert said["refund"]["success"]
    merchant.balance_units += 3 * PRICE
    await_redeemed(house, said["refund"]["extra"]["channelState"]["channelId"], 3 * PRICE)
    merchant.compare_balance()


def test_a_metered_call_costs_what_it_used_and_eight_at_once_are_served(
    house: House, merchant: Merchant
) -> None:
    """At a door of its own: the official client by the unit, and a payer that signs ahead.

    A price that moves between the 402 and the payment, up and then down, is what was promised.
    """
    payer = Payer(house)
    # At each request to /moving: asked, paid, asked, paid.
    prices = iter(["$0.001", "$0.002", "$0.002", "$0.001"])

    async def app(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"sakk-usage", b"40")] if scope["path"] == "/metered" else []
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"{}"})

    routes = [
        Route("/fixed", "$0.001"),
        Route("/metered", Metered("$0.000025", units_max=100, unit="token")),
        Route("/moving", lambda _: next(prices)),
    ]

    async def work(door: Any) -> None:
        transport = payer.transport(door)
        async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
            paths = ("/metered", "/fixed", "/metered", "/moving", "/moving")
            replies = [await client.get(path) for path in paths]
        assert [each.status_code for each in replies] == [200] * 5, replies[0].text
        receipts = [receipt_of(each).extra for each in replies]
        assert [each["chargedAmount"] for each in receipts] == [*["1000"] * 4, "2000"]
        assert receipts[4]["channelState"]["chargedCumulativeAmount"] == "6000"
        plain = httpx.ASGITransport(door)
        async with httpx.AsyncClient(transport=plain, base_url="http://shop") as client:
            offer = await payer.offered(client, "/fixed")
            headers = [payer.header(offer, 6_000 + 1_000 * place) for place in range(1, 9)]
            together = await asyncio.gather(*(client.get("/fixed", headers=h) for h in headers))
            assert [each.status_code for each in together] == [200] * 8
            copies = await asyncio.gather(
                *(client.get("/fixed", headers=each) for each in reversed(headers))
            )
            assert {each.json()["error"] for each in copies} == {MISMATCH}

    channel = at_door(house, payer, routes, app, work)
    # The door has waited for its commits.
    payer.await_standing(channel, signed=14_000, charged=14_000, reserved=0)
    merchant.balance_units += 14_000
    await_redeemed(house, channel, 14_000)
    merchant.compare_balance()


def test_a_door_that_is_killed_between_reserve_and_commit(
    house: House, merchant: Merchant, tmp_path: Path
) -> None:
    """Nothing is lost and nothing doubled: the call that was never answered is not charged."""
    payer = Payer(house)
    with upstream() as (address, held):
        with door_process(house, tmp_path, address) as (url, process):
            first = httpx.Client(timeout=90)

            # One call is served; the next one is killed while its handler works.
            async def pay() -> httpx.Response:
                async with httpx.AsyncClient(transport=payer.transport(), timeout=90) as client:
                    return await client.get(f"{url}/quick")

            served = asyncio.run(pay())
            assert served.status_code == 200, served.text
            offer = asyncio.run(offered_at(payer, url))
            channel = payer.channel(offer)
            payer.await_standing(channel, signed=PRICE, charged=PRICE, reserved=0)
            header = payer.header(offer, 2 * PRICE)
            with ThreadPoolExecutor(1) as threads:
                asked = threads.submit(lost, first, f"{url}/slow", header)
                assert held.wait(60)
                payer.await_standing(channel, signed=2 * PRICE, charged=PRICE, reserved=PRICE)
                for pid in descendants(process.pid) | {process.pid}:
                    os.kill(pid, signal.SIGKILL)
                assert asked.result(60)
            first.close()
        with door_process(house, tmp_path, address) as (url, _), httpx.Client(timeout=90) as http:
            # The same voucher again: it is held by the call that was lost, and the payer is told
            # where the channel stands, behind that one.
            again = http.get(f"{url}/quick", headers=header)
            assert again.status_code == 402
            [told] = [each for each in again.json()["accepts"] if "channelState" in each["extra"]]
            assert told["extra"]["channelState"]["chargedCumulativeAmount"] == str(2 * PRICE)
            reply = http.get(f"{url}/quick", headers=payer.header(offer, 3 * PRICE))
            assert reply.status_code == 200, reply.text
            payer.await_standing(channel, signed=3 * PRICE, charged=2 * PRICE, reserved=PRICE)
            # What is not reserved goes back at once, whatever the call that was lost holds.
            given = http.get(f"{url}/quick", headers=payer.refund(offer, 2 * PRICE))
            assert given.status_code == 200, given.text
            assert receipt_of(given).amount == str(7 * PRICE)
    merchant.balance_units += 2 * PRICE
    await_redeemed(house, channel, 2 * PRICE)
    merchant.compare_balance()


async def offered_at(payer: Payer, url: str) -> dict[str, Any]:
    async with httpx.AsyncClient(timeout=30) as client:
        return await payer.offered(client, f"{url}/quick")


def lost(client: httpx.Client, url: str, headers: dict[str, str]) -> bool:
    """Ask, and get no answer."""
    try:
        client.get(url, headers=headers)
    except httpx.TransportError:
        return True
    return False


@contextmanager
def upstream() -> Iterator[tuple[str, threading.Event]]:
    """A service that answers at once, but for what never ends; and whether that was asked."""
    held, over = threading.Event(), threading.Event()

    class Service(Handler):
        def do_GET(self) -> None:
            if self.path == "/slow":
                held.set()
                over.wait(120)
            self.say(200, b"{}")

    with served(Service) as url:
        try:
            yield url, held
        finally:
            over.set()


@contextmanager
def door_process(
    house: House, folder: Path, service: str
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """`sakk paywall` in front of a service, as an operator runs it."""
    key = folder / "key"
    key.write_text(house.description["secret_key"])
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "sakk.cli",
        "paywall",
        "--upstream",
        service,
        "--price",
        "$0.001",
    ]
    command += ["--price", "$0.001", "--sakk", house.description["api"], "--api-key-file", str(key)]
    command += ["--listen", f"127.0.0.1:{port}"]
    url = f"http://127.0.0.1:{port}"
    process = subprocess.Popen(command)
    try:

        def is_ready() -> bool:
            try:
                return httpx.get(f"{url}/quick", timeout=10).status_code == 402
            except httpx.TransportError:
                return False

        await_true(is_ready, "the door")
        yield url, process
    finally:
        for pid in descendants(process.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.kill()
        process.wait()
