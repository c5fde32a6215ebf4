"""``sakk paywall`` as it is run: a real server with two workers before a real service."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from sakk.runtime.exit import EXIT_MISCONFIGURED

from .conftest import NETWORK, PAY_TO, PAYER, USDC, authorisation, decoded, encoded, run

STARTED_SECONDS_MAX = 60.0
CONFIG = """
upstream = "{service}"
listen = "127.0.0.1:{port}"
metrics_listen = "127.0.0.1:{metrics}"
workers = 2
used_file = "{used}"

[[routes]]
pattern = "GET /free"
price = "free"

[[routes]]
pattern = "/*"
price = "$0.001"

[[exact]]
facilitator = "{service}/x402"
network = "{network}"
asset = "{asset}"
pay_to = "{pay_to}"
currency = "usdc"
decimals = 6
name = "USDC"
version = "2"
"""


@asynccontextmanager
async def service(seen: list[web.Request]) -> AsyncIterator[str]:
    """A service to sell, and a facilitator."""

    async def settle(request: web.Request) -> web.Response:
        """Yes to whatever is of the one nonce that a test pays with."""
        asked = await request.json()
        payload = asked["paymentPayload"]["payload"]
        if payload["authorization"]["nonce"] != f"0x{1:064x}":
            refusal = {"success": False, "errorReason": "invalid_payload", "transaction": ""}
            return web.json_response({**refusal, "network": NETWORK})
        return web.json_response(
            {"success": True, "transaction": "0x" + "ab" * 32, "network": NETWORK, "payer": PAYER}
        )

    async def handle(request: web.Request) -> web.Response:
        seen.append(request)
        return web.Response(text="served")

    application = web.Application()
    application.router.add_post("/x402/settle", settle)
    application.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def free_ports() -> tuple[int, int]:
    import socket

    with socket.socket() as one, socket.socket() as two:
        one.bind(("127.0.0.1", 0))
        two.bind(("127.0.0.1", 0))
        return one.getsockname()[1], two.getsockname()[1]


@asynccontextmanager
async def shop(seen: list[web.Request], folder: Path) -> AsyncIterator[tuple[str, str]]:
    """The command before a service: its address, and that of its metrics."""
    async with service(seen) as address:
        port, metrics = free_ports()
        path = folder / "paywall.toml"
        path.write_text(
            CONFIG.format(
                service=address,
                port=port,
                metrics=metrics,
                used=folder / "used.sqlite",
                network=NETWORK,
                asset=USDC,
                pay_to=PAY_TO,
            )
        )
        process = subprocess.Popen(
            [sys.executable, "-m", "sakk.cli", "paywall", "--config", str(path)],
            env={**os.environ, "PYTHONWARNINGS": "default"},
        )
        try:
            url = f"http://127.0.0.1:{port}"
            await _started(url)
            yield url, f"http://127.0.0.1:{metrics}"
            process.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(process.wait, 30) == 0
        finally:
            process.kill()
            process.wait()


async def _started(url: str) -> None:
    deadline = time.monotonic() + STARTED_SECONDS_MAX
    async with aiohttp.ClientSession() as http:
        while True:
            try:
                async with http.get(f"{url}/-/healthz") as health:
                    assert health.status == 200
                    return
            except aiohttp.ClientConnectionError:
                assert time.monotonic() < deadline
                await asyncio.sleep(0.05)


def test_a_service_is_sold_by_the_command(tmp_path: Path) -> None:
    seen: list[web.Request] = []

    async def scenario() -> None:
        async with shop(seen, tmp_path) as (url, metrics), aiohttp.ClientSession() as http:
            await _drive(http, url, metrics)

    run(scenario(), seconds=120)
    assert [request.path for request in seen] == ["/free", "/sold"]
    assert seen[1].headers["sakk-payer"] == PAYER


def test_others_attacks_do_not_get_past_it(tmp_path: Path) -> None:
    """PyPI ``agent-security-harness``: what it misses is not of x402 version 2."""
    pytest.importorskip(
        "protocol_tests.x402_harness", reason="agent-security-harness is not installed"
    )
    seen: list[web.Request] = []
    report = tmp_path / "report.json"

    async def scenario() -> None:
        async with shop(seen, tmp_path) as (url, _):
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "protocol_tests.x402_harness", "--url", url),
                *("--paid-path", "/sold", "--report", str(report)),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            try:
                await process.wait()
            finally:
                if process.returncode is None:
                    process.kill()

    run(scenario(), seconds=200)
    assert seen == []
    results = json.loads(report.read_text())["results"]
    assert len(results) > 50
    missed = {
        each["test_id"]
        for each in results
        if not each["passed"] and "INCONCLUSIVE" not in each["details"]
    }
    # Headers of its own making in the challenge, operators' attestations, and two that it reports
    # as passed in words.
    assert missed <= {
        *("X4-001", "X4-004", "X4-021", "X4-022", "X4-023", "X4-042", "X4-054"),
    }


async def _drive(http: aiohttp.ClientSession, url: str, metrics: str) -> None:
    async with http.get(f"{url}/free") as free:
        assert (free.status, await free.text()) == (200, "served")
    async with http.get(f"{url}/sold") as unpaid:
        assert unpaid.status == 402
        challenge = decoded(unpaid.headers["payment-required"])
    now = int(time.time())
    payload = authorisation(1, validAfter=str(now - 60), validBefore=str(now + 60))
    accepted = challenge["accepts"][0]
    header = encoded({"x402Version": 2, "payload": payload, "accepted": accepted})

    async def pay() -> int:
        # A connection each, so that both workers are asked.
        async with aiohttp.ClientSession() as alone:
            headers = {"payment-signature": header, "sakk-payer": "0xforged"}
            async with alone.get(f"{url}/sold", headers=headers) as answer:
                await answer.read()
                return answer.status

    # Of many copies to two processes one is served, though the facilitator says yes to all.
    statuses = await asyncio.gather(*(pay() for _ in range(12)))
    assert sorted(statuses) == [200, *[402] * 11]
    async with http.get(f"{metrics}/metrics") as told:
        text = await told.text()
    assert _number(text, 'sakk_paywall_requests_total{outcome="served"}') == 1
    assert _number(text, 'sakk_paywall_requests_total{outcome="refused"}') == 11
    assert _number(text, 'sakk_paywall_amount_total{currency="usdc"}') == 1000


def _number(text: str, name: str) -> float:
    found = re.search(rf"^{re.escape(name)} (.*)$", text, re.MULTILINE)
    assert found is not None, text
    return float(found[1])


def test_it_serves_what_is_free_while_its_sakk_is_away(tmp_path: Path) -> None:
    port, nobody = free_ports()
    log = tmp_path / "log"

    async def scenario() -> None:
        async with service([]) as upstream:
            with log.open("wb") as file:
                process = subprocess.Popen(
                    [
                        *(sys.executable, "-m", "sakk.cli", "paywall", "--upstream", upstream),
                        *("--route", "GET /free=free", "--price", "$0.001"),
                        *("--sakk", f"http://127.0.0.1:{nobody}"),
                        *("--listen", f"127.0.0.1:{port}"),
                    ],
                    env={**os.environ, "SAKK_API_KEY": "sk_test_x"},
                    stderr=file,
                )
            try:
                url = f"http://127.0.0.1:{port}"
                await _started(url)
                async with aiohttp.ClientSession() as http:
                    assert (await http.get(f"{url}/free")).status == 200
                    assert (await http.get(f"{url}/sold")).status == 503
                process.send_signal(signal.SIGTERM)
                assert await asyncio.to_thread(process.wait, 30) == 0
            finally:
                process.kill()
                process.wait()

    run(scenario(), seconds=120)
    said = log.read_text()
    assert f"The Sakk at http://127.0.0.1:{nobody} can not be asked how to be paid" in said
    assert "Traceback" not in said
    assert "Unexpected exit" not in said


def test_who_kills_it_leaves_no_worker_at_its_address(tmp_path: Path) -> None:
    """A worker that went on would serve by a file of used payments that nobody else has."""
    port, nobody = free_ports()

    async def scenario() -> None:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "sakk.cli", "paywall"),
                *("--upstream", f"http://127.0.0.1:{nobody}", "--price", "$0.001"),
                *("--sakk", f"http://127.0.0.1:{nobody}", "--listen", f"127.0.0.1:{port}"),
            ],
            env={**os.environ, "SAKK_API_KEY": "sk_test_x"},
            stderr=subprocess.DEVNULL,
        )
        try:
            await _started(f"http://127.0.0.1:{port}")
        finally:
            process.kill()
            process.wait()
        await _gone(port)

    run(scenario(), seconds=120)


async def _gone(port: int) -> None:
    deadline = time.monotonic() + STARTED_SECONDS_MAX
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except ConnectionRefusedError:
            return
        writer.close()
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


def test_a_key_that_is_refused_ends_it_with_one_line() -> None:
    async def refuse(_: web.Request) -> web.Response:
        return web.json_response({"error": {"message": "Invalid API key."}}, status=401)

    async def scenario() -> None:
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", refuse)
        runner = web.AppRunner(application, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            sakk = f"http://127.0.0.1:{runner.addresses[0][1]}"
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "sakk.cli", "paywall", "--upstream", sakk),
                *("--price", "$0.001", "--sakk", sakk),
                env={**os.environ, "SAKK_API_KEY": "sk_test_x"},
                stderr=subprocess.PIPE,
            )
            try:
                _, said = await process.communicate()
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()
        finally:
            await runner.cleanup()
        assert process.returncode == EXIT_MISCONFIGURED
        [line] = said.decode().splitlines()
        assert line.startswith(f"sakk: The Sakk at {sakk} answered 401")

    run(scenario(), seconds=120)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "--upstream"),
        (["--upstream", "http://127.0.0.1:3000"], "--price"),
        (["--upstream", "http://127.0.0.1:3000", "--price", "$0.001"], "sakk"),
        (["--upstream", "3000", "--price", "$0.001", "--sakk", "http://x"], "upstream"),
        (["--upstream", "http://x", "--route", "GET /x", "--sakk", "http://x"], "--route"),
        (["--config", "/nowhere/paywall.toml"], "--config"),
    ],
)
def test_a_command_that_can_not_be_run_says_why(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from typer.testing import CliRunner

    from sakk.cli.app import make_app
    from sakk.core.errors import Misconfigured

    result: Any = CliRunner().invoke(make_app("paywall"), ["paywall", *arguments])
    assert isinstance(result.exception, Misconfigured)
    assert said in str(result.exception)
