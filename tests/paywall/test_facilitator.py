"""A facilitator over HTTP: what it says is weighed, and silence is no answer."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from sakk.client.x402 import Settlement
from sakk.paywall import Facilitator, PaywallError
from sakk.paywall.facilitator import Away, Declined, Unknown, Verdict

from .conftest import NETWORK, PAYER, FakeFacilitator, exact, run

TRANSACTION = "0x" + "ab" * 32
GOOD = {"success": True, "transaction": TRANSACTION, "network": NETWORK, "payer": PAYER}
REFUSED = {"success": False, "errorReason": "used", "transaction": "", "network": NETWORK}
PENDING = {**REFUSED, "errorReason": "settlement_pending"}
RESET = object()
HANG = object()
Step = Any


async def settle(
    steps: list[Step], *, echo: bool = False, seconds: float = 5.0, was_asked: bool = False
) -> Any:
    """Settle at a facilitator that answers by a script; the outcome, and the keys it was sent."""
    keys: list[str] = []

    async def handle(request: web.Request) -> web.StreamResponse:
        keys.append(request.headers["idempotency-key"])
        step = steps.pop(0) if len(steps) > 1 else steps[0]
        if step is RESET:
            assert request.transport is not None
            request.transport.close()
            return web.Response()
        if step is HANG:
            await asyncio.sleep(30)
        status, body = step if isinstance(step, tuple) else (200, step)
        told = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"idempotency-key": keys[-1]} if echo else {}
        return web.Response(status=status, body=told, headers=headers)

    return await _serving(handle, keys, seconds, was_asked)


async def _serving(
    handle: Callable[[web.Request], Awaitable[web.StreamResponse]],
    keys: list[str],
    seconds: float,
    was_asked: bool,
) -> Any:
    application = web.Application()
    application.router.add_post("/x402/settle", handle)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    facilitator = Facilitator(
        f"http://127.0.0.1:{port}/x402/", timeout_seconds=0.5, settle_seconds=seconds
    )
    requirement = exact(FakeFacilitator()).requirement(1_000)
    try:
        outcome = await facilitator.settle(
            b"{}", "key", requirement=requirement, payer=PAYER, was_asked=was_asked
        )
        return outcome, keys
    finally:
        await facilitator.close()
        await runner.cleanup()


@pytest.mark.parametrize(
    ("steps", "echo", "kind", "times"),
    [
        ([GOOD], False, Settlement, 1),
        ([REFUSED], False, Declined, 1),
        ([(400, REFUSED)], False, Declined, 1),
        ([(422, b"what is this?")], False, Declined, 1),
        ([(401, b"who are you?")], False, Away, 1),
        ([(502, b""), (401, b""), GOOD], False, Settlement, 3),
        ([(402, b'{"error":"pay again"}'), GOOD], False, Settlement, 2),
        ([PENDING, PENDING, GOOD], False, Settlement, 3),
        ([(502, b"bad gateway"), GOOD], False, Settlement, 2),
        ([RESET, GOOD], False, Settlement, 2),
        ([HANG, GOOD], False, Settlement, 2),
        ([(500, GOOD), GOOD], False, Settlement, 2),
        ([(503, {}), REFUSED], True, Declined, 2),
        # It is refused because it was settled: nobody knows which, so nobody pays anew.
        ([(503, {}), REFUSED], False, Unknown, 2),
    ],
)
def test_it_is_asked_until_the_outcome_is_known(
    steps: list[Step], echo: bool, kind: type, times: int
) -> None:
    outcome, keys = run(settle(list(steps), echo=echo))
    assert isinstance(outcome, kind)
    assert keys == ["key"] * times


@pytest.mark.parametrize(("echo", "kind"), [(False, Unknown), (True, Declined)])
def test_a_refusal_of_what_was_asked_before_counts_from_who_knows_the_key(
    echo: bool, kind: type
) -> None:
    outcome, _ = run(settle([REFUSED], echo=echo, was_asked=True))
    assert isinstance(outcome, kind)


@pytest.mark.parametrize(
    "nonsense",
    [
        {**GOOD, "transaction": ""},
        {**GOOD, "transaction": "0x12"},
        {**GOOD, "network": "eip155:8453"},
        {**GOOD, "payer": "0x" + "99" * 20},
        {**GOOD, "amount": "1"},
        {**GOOD, "success": "yes"},
        {"transaction": TRANSACTION},
        b"",
        b"[1]",
        b'{"success":true',
        b"<html>success</html>",
        b"[" * 100_000,
        b'{"success":true,"transaction":"' + b"x" * (2 << 20) + b'"}',
        (408, b""),
    ],
    ids=lambda step: repr(step)[:40],
)
def test_a_success_that_makes_no_sense_is_none(nonsense: Step) -> None:
    outcome, _ = run(settle([nonsense], seconds=0.2))
    assert isinstance(outcome, Unknown)


def test_one_that_is_not_there_took_nothing() -> None:
    async def scenario() -> Any:
        facilitator = Facilitator("http://127.0.0.1:9")
        requirement = exact(FakeFacilitator()).requirement(1)
        try:
            return (
                await facilitator.settle(b"", "key", requirement=requirement, payer=None),
                await facilitator.verify(b""),
            )
        finally:
            await facilitator.close()

    settled, verified = run(scenario())
    assert isinstance(settled, Away)
    assert isinstance(verified, Away)


def test_its_verdict_is_read() -> None:
    async def scenario() -> Any:
        answers = [
            b'{"isValid":true,"payer":"0x1"}',
            b'{"isValid":false,"invalidReason":"no"}',
            b"<html>",
        ]
        application = web.Application()

        async def handle(request: web.Request) -> web.Response:
            return web.Response(body=answers.pop(0))

        application.router.add_post("/verify", handle)
        runner = web.AppRunner(application)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        facilitator = Facilitator(f"http://127.0.0.1:{runner.addresses[0][1]}")
        try:
            return [await facilitator.verify(b"{}") for _ in range(3)]
        finally:
            await facilitator.close()
            await runner.cleanup()

    valid, invalid, broken = run(scenario())
    assert valid == Verdict(is_valid=True, payer="0x1")
    assert (invalid.is_valid, invalid.invalid_reason) == (False, "no")
    assert isinstance(broken, Away)


def test_its_address_must_be_one() -> None:
    with pytest.raises(PaywallError, match="facilitator"):
        Facilitator("facilitator.test")
