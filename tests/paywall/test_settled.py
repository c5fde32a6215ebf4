"""What was settled, or may have been, and was not served: it is good again, and for one answer."""

import asyncio
from typing import Any

import pytest

from sakk.paywall.facilitator import Declined, Unknown

from .conftest import NOW, Counter, FakeFacilitator, Reply, ask, paid, run
from .test_exact import challenge, door


def test_a_settled_payment_that_was_not_served_does_not_expire(
    facilitator: FakeFacilitator,
) -> None:
    app = Counter(status=503)
    now = NOW

    async def scenario() -> list[Reply]:
        nonlocal now
        shop = door(app, facilitator, clock=lambda: now)
        headers = paid(await challenge(shop))
        replies = [await ask(shop, headers=headers)]
        app.status = 200
        now += 24 * 3_600
        # Looked up by another's claim, when old ones are forgotten.
        await ask(shop, headers=paid(await challenge(shop), 2, validBefore=str(now + 60)))
        return [*replies, await ask(shop, headers=headers), await ask(shop, headers=headers)]

    replies = run(scenario())
    assert [reply.status for reply in replies] == [503, 200, 402]
    assert replies[1].receipt == replies[0].receipt


def test_a_refusal_after_an_outcome_that_is_not_known_is_none(
    facilitator: FakeFacilitator,
) -> None:
    app = Counter()
    facilitator.outcomes = [Unknown("Silence."), Declined("nonce_already_used", "Used."), None]

    async def scenario() -> list[Reply]:
        shop = door(app, facilitator)
        headers = paid(await challenge(shop))
        return [await ask(shop, headers=headers) for _ in range(3)]

    assert [reply.status for reply in run(scenario())] == [503, 503, 200]


def test_who_is_cancelled_while_it_settles_may_come_back(facilitator: FakeFacilitator) -> None:
    app = Counter()
    has_settled = asyncio.Event()
    settle = facilitator.settle

    async def slowly(*given: Any, **more: Any) -> Any:
        outcome = await settle(*given, **more)
        if not has_settled.is_set():
            has_settled.set()
            await asyncio.Event().wait()
        return outcome

    facilitator.settle = slowly  # type: ignore[method-assign]

    async def scenario() -> Reply:
        shop = door(app, facilitator, settle="after")
        headers = paid(await challenge(shop))
        asking = asyncio.create_task(ask(shop, headers=headers))
        await has_settled.wait()
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        return await ask(shop, headers=headers)

    reply = run(scenario())
    assert (reply.status, reply.receipt["success"]) == (200, True)


def test_a_settled_payment_that_was_not_served_is_good_for_one_answer(
    facilitator: FakeFacilitator,
) -> None:
    app = Counter(status=503)

    async def scenario() -> list[Reply]:
        shop = door(app, facilitator)
        headers = paid(await challenge(shop))
        replies = [await ask(shop, headers=headers)]
        app.fault = RuntimeError("a fault of the shop's")
        with pytest.raises(RuntimeError):
            await ask(shop, headers=headers)
        app.status, app.fault = 200, None
        return [*replies, await ask(shop, headers=headers), await ask(shop, headers=headers)]

    replies = run(scenario())
    assert [reply.status for reply in replies] == [503, 200, 402]
    assert replies[0].receipt == replies[1].receipt
    # It was settled once.
    assert len(facilitator.asked) == 1


def test_who_left_before_the_answer_may_come_back(facilitator: FakeFacilitator) -> None:
    app = Counter()

    async def scenario() -> list[Reply]:
        shop = door(app, facilitator)
        headers = paid(await challenge(shop))
        await ask(shop, headers=headers, gone=True)
        return [await ask(shop, headers=headers) for _ in range(2)]

    assert [reply.status for reply in run(scenario())] == [200, 402]
    assert len(facilitator.asked) == 1


def test_an_outcome_that_is_not_known_is_neither_served_nor_paid_anew(
    facilitator: FakeFacilitator,
) -> None:
    app = Counter()
    facilitator.outcomes = [Unknown("Silence."), None]

    async def scenario() -> list[Reply]:
        shop = door(app, facilitator)
        headers = paid(await challenge(shop))
        return [await ask(shop, headers=headers) for _ in range(3)]

    unclear, served, again = run(scenario())
    assert unclear.status == 503
    assert b"do not pay anew" in unclear.body
    assert unclear.headers["retry-after"]
    # The same key again: the facilitator knows it for the same settlement.
    assert (served.status, again.status) == (200, 402)
    assert app.calls == 1
