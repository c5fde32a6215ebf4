"""The door before a facilitator that fails as real ones do, by PyPI ``hostile-facilitator``.

It settles, and then says at the worst moment that it did not, and counts how often it was paid.
"""

import asyncio

import pytest

from sakk.paywall import Facilitator, Paywall, Route

from .conftest import Counter, Reply, ask, exact, paid, run

adapter = pytest.importorskip(
    "hostile_facilitator.adapter", reason="hostile-facilitator is not installed"
)
TIMEOUT_SECONDS = 0.4


@pytest.mark.parametrize("mode", adapter.ALL_MODES)
def test_whatever_it_says_one_payment_is_settled_and_served_once(mode: str) -> None:
    app = Counter()

    async def scenario(port: int) -> list[Reply]:
        facilitator = Facilitator(
            f"http://127.0.0.1:{port}", timeout_seconds=TIMEOUT_SECONDS, settle_seconds=5
        )
        shop = Paywall(app, routes=[Route("/paid", "$0.001")], offers=[exact(facilitator)])
        headers = paid((await ask(shop)).challenge, 11)
        replies = [await ask(shop, headers=headers)]
        # A client that was told that it is not known sends the same again.
        while replies[-1].status == 503 and len(replies) < 10:
            replies.append(await ask(shop, headers=headers))
        copies = await asyncio.gather(*(ask(shop, headers=headers) for _ in range(3)))
        await shop.close()
        return [*replies, *copies]

    with adapter.HostileServer(mode=mode, client_timeout_s=TIMEOUT_SECONDS) as hostile:
        replies = run(scenario(hostile.port))
        assert hostile.distinct_payments == 1
        assert hostile.unidentified_calls == 0
    # It leaves its socket open.
    hostile._httpd.server_close()
    statuses = [reply.status for reply in replies]
    assert statuses[-4:] == [200, 402, 402, 402]
    assert set(statuses[:-4]) <= {503}
    assert app.calls == 1
