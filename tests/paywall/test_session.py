"""Calls of a session at the door: reserved before, charged for what was served, and once."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest
import uvloop
from aiohttp import web

from sakk.client.session import receipt_mac, request_hash
from sakk.paywall import Charges, Metered, Paywall, PaywallError, Route, record
from sakk.paywall.compiled import call as quick_call

from .authority import (
    ACCOUNT,
    AUTHORITY_NETWORK,
    KEY,
    SESSION,
    TIME,
    Authority,
    call,
    serving,
    session,
    settled,
)
from .conftest import Counter, FakeFacilitator, Reply, ask, decoded, encoded, exact, run

Work = Callable[[Paywall, Authority], Awaitable[Any]]


@pytest.fixture(params=["compiled", "read"], autouse=True)
def _either_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of this holds for compiled code, and for the code that it was written from."""
    if request.param == "read":
        monkeypatch.setattr("sakk.paywall.session.quick_call", None)
        monkeypatch.setattr("sakk.paywall.session.quick", record)
    else:
        assert quick_call is not None


def with_door(
    work: Work,
    app: Any,
    *,
    routes: list[Route] | None = None,
    authority: Authority | None = None,
    offers: tuple[Any, ...] = (),
    **more: Any,
) -> Any:
    """Do something at a door of sessions; the door is closed before this returns."""
    given = authority or Authority()

    async def scenario() -> Any:
        async with serving(given) as url:
            shop = Paywall(
                app,
                routes=routes or [Route("/paid", "$0.001")],
                offers=[*offers, session(url, **more)],
            )
            try:
                return await work(shop, given)
            finally:
                await shop.close()

    return run(scenario())


def test_a_call_is_reserved_served_and_committed() -> None:
    app, authority = Counter(), Authority()

    async def work(shop: Paywall, _: Authority) -> Reply:
        reply = await ask(shop, headers=call(7), query=b"")
        await settled(authority, 1)
        return reply

    reply = with_door(work, app, authority=authority)
    assert (reply.status, reply.body) == (200, b"served")
    assert authority.ended == {7: ("commit", 1_000, 0)}
    assert authority.keys == {"Bearer sk_test_1"}
    receipt = reply.receipt["receipt"]
    assert (
        receipt.pop("mac")
        == receipt_mac(
            KEY,
            SESSION,
            step=1,
            nonce=7,
            amount=1_000,
            units=0,
            payee=ACCOUNT,
            request=request_hash("GET", "/paid"),
            timestamp=TIME,
        ).hex()
    )
    assert receipt == {
        "session": SESSION,
        "nonce": "7",
        "amount": "1000",
        "units": "0",
        "payee": ACCOUNT,
        "request_hash": request_hash("GET", "/paid").hex(),
        "timestamp": str(TIME),
    }
    assert reply.receipt["transaction"] == f"{SESSION}:7"
    payment = app.scopes[0]["sakk.payment"]
    assert (payment.scheme, payment.payer, payment.amount) == ("session", "0x" + "cd" * 20, 1_000)


def test_it_is_offered_beside_coins_on_chain(facilitator: FakeFacilitator) -> None:
    async def work(shop: Paywall, authority: Authority) -> Any:
        asked = (await ask(shop)).challenge
        assert asked["accepts"][1] == {
            "scheme": "session",
            "network": AUTHORITY_NETWORK,
            "asset": "usdc",
            "amount": "1000",
            "payTo": ACCOUNT,
            "maxTimeoutSeconds": 60,
            "extra": {"authority": authority.url, "currency": "usdc"},
        }
        # With x402's whole envelope, and with the short one.
        short = call(1)
        document = {
            "x402Version": 2,
            "accepted": asked["accepts"][1],
            "payload": _payload(call(2)),
        }
        whole = {"payment-signature": encoded(document)}
        other = {"payment-signature": encoded({**document, "network": "sakk:other"})}
        foreign = call(3)
        replies = [await ask(shop, headers=each) for each in (short, whole, other, foreign)]
        await settled(authority, 3)
        return replies

    replies = with_door(work, Counter(), offers=(exact(facilitator),))
    assert [reply.status for reply in replies] == [200, 200, 402, 200]


def _payload(headers: dict[str, str]) -> Any:
    return decoded(headers["payment-signature"])["payload"]


def test_many_calls_of_one_turn_are_one_request_and_all_succeed() -> None:
    app = Counter()

    async def work(shop: Paywall, authority: Authority) -> list[Reply]:
        replies = await asyncio.gather(*(ask(shop, headers=call(n)) for n in range(64)))
        await settled(authority, 64)
        assert authority.batches[0] == 64
        return list(replies)

    replies = with_door(work, app)
    assert {reply.status for reply in replies} == {200}
    assert app.calls == 64


def test_it_runs_on_the_loop_of_servers() -> None:
    async def scenario() -> int:
        authority = Authority()
        async with serving(authority) as url:
            shop = Paywall(Counter(), routes=[Route("/paid", "$0.001")], offers=[session(url)])
            reply = await ask(shop, headers=call(1))
            await settled(authority, 1)
            await shop.close()
            return reply.status

    assert run(scenario(), loop=uvloop.new_event_loop) == 200


def test_who_waits_for_a_connection_does_not_wait_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def never(*_: Any) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(Charges, "connect", never)
    monkeypatch.setattr("sakk.paywall.charge._SWEEP_SECONDS", 0.01)

    async def work(shop: Paywall, authority: Authority) -> list[Reply]:
        return list(await asyncio.gather(*(ask(shop, headers=call(n)) for n in range(3))))

    replies = with_door(work, Counter(), answer_seconds=0.05)
    assert [reply.status for reply in replies] == [503] * 3


def test_of_six_copies_one_reaches_the_handler() -> None:
    app = Counter()

    async def work(shop: Paywall, authority: Authority) -> list[Reply]:
        together = await asyncio.gather(*(ask(shop, headers=call(1)) for _ in range(6)))
        await settled(authority, 1)
        return [*together, await ask(shop, headers=call(1))]

    replies = with_door(work, app)
    assert sorted(reply.status for reply in replies) == [200, *[402] * 6]
    assert {r.challenge["error"] for r in replies if r.status == 402} == {"nonce_used"}
    assert app.calls == 1


@pytest.mark.parametrize(
    ("headers", "error"),
    [
        (call(1, mac="00" * 32), "mac_invalid"),
        (call(1, target="/other"), "mac_invalid"),
        (call(1, method="POST"), "mac_invalid"),
        (call(1, 999), "amount_too_low"),
        (call(1, 10**9), "ceiling_exceeded"),
        (call(1, mac="00"), "invalid_payload"),
        (call(1, mac="zz" * 32), "invalid_payload"),
        (call(1, session="ses_1"), "invalid_payload"),
        (call(1, session="acct_01jabcdefghjkmnpqrstvwxyz1"), "invalid_payload"),
        (call(1, nonce="-1"), "invalid_payload"),
        (call(1, nonce=str(1 << 63)), "invalid_payload"),
        (call(1, amount="1e9"), "invalid_payload"),
        (call(1, amount=str(1 << 128)), "invalid_payload"),
        (call(1, amount="9" * 5_000), "invalid_payload"),
        (call(1, bodyHash="00"), "invalid_payload"),
    ],
)
def test_what_is_no_call_is_refused(headers: dict[str, str], error: str) -> None:
    app = Counter()

    async def work(shop: Paywall, authority: Authority) -> Reply:
        authority.ceiling = 1_000_000
        return await ask(shop, headers=headers)

    reply = with_door(work, app)
    assert (reply.status, reply.challenge["error"], app.calls) == (402, error, 0)


@pytest.mark.parametrize("how", ["error", "fault", "gone", "silent"])
def test_what_is_not_served_is_released(how: str) -> None:
    app = Counter(500 if how == "error" else 200)
    app.fault = RuntimeError("a fault of the shop's") if how == "fault" else None

    async def silent(scope: Any, receive: Any, send: Any) -> None:
        return

    async def work(shop: Paywall, authority: Authority) -> Reply | None:
        reply = None
        try:
            reply = await ask(shop, headers=call(1), gone=how == "gone")
        except RuntimeError:
            assert how == "fault"
        await settled(authority, 1)
        assert authority.ended[1][0] == "release"
        return reply

    reply = with_door(work, silent if how == "silent" else app)
    # Nothing was paid: no receipt says that it was.
    if how == "error":
        assert "payment-response" not in reply.headers


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("no-store", "no-store"),
        ("public, s-maxage=9, max-age=60", "private, max-age=60"),
        (None, "private"),
    ],
)
def test_no_shared_cache_sells_it_again(said: str | None, told: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"Sakk-Usage", b"3"), (b"X-More", b"1")]
        if said is not None:
            headers.append((b"Cache-Control", said.encode()))
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"a", "more_body": True})
        await send({"type": "http.response.body", "body": b"b"})

    async def work(shop: Paywall, authority: Authority) -> Reply:
        reply = await ask(shop, headers=call(1))
        await settled(authority, 1)
        assert authority.ended[1][0] == "commit"
        return reply

    reply = with_door(work, app)
    assert reply.body == b"ab"
    headers = {name.lower(): value for name, value in reply.headers.items()}
    assert headers.keys() == {"x-more", "cache-control", "payment-response"}
    assert headers["cache-control"] == told


def test_who_hangs_up_while_it_is_reserved_is_charged_nothing() -> None:
    authority, held = Authority(), asyncio.Event()

    async def wait(number: int) -> None:
        if number == 1:
            await held.wait()

    authority.fault = wait

    async def work(shop: Paywall, _: Authority) -> None:
        asking = asyncio.create_task(ask(shop, headers=call(1)))
        while not authority.reserved:
            await asyncio.sleep(0)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        held.set()
        await settled(authority, 1)

    with_door(work, Counter(), authority=authority)
    assert authority.ended[1][0] == "release"


def test_a_price_that_fell_is_charged_as_it_is_now() -> None:
    async def work(shop: Paywall, authority: Authority) -> None:
        assert (await ask(shop, headers=call(1, 5_000))).status == 200
        await settled(authority, 1)
        assert authority.ended == {1: ("commit", 1_000, 0)}

    with_door(work, Counter())


def test_a_moved_price_stands_for_who_sends_back_what_was_offered() -> None:
    prices = ["$0.001"]

    async def work(shop: Paywall, authority: Authority) -> list[Reply]:
        accepted = (await ask(shop)).challenge["accepts"][0]
        prices[0] = "$0.002"
        plain = decoded(call(1)["payment-signature"])
        kept = {**decoded(call(2)["payment-signature"]), "accepted": accepted}
        forged = {**decoded(call(3)["payment-signature"]), "accepted": {**accepted, "extra": {}}}
        replies = [
            await ask(shop, headers={"payment-signature": encoded(each)})
            for each in (plain, kept, forged)
        ]
        await settled(authority, 1)
        assert authority.ended == {2: ("commit", 1_000, 0)}
        return replies

    replies = with_door(work, Counter(), routes=[Route("/paid", lambda _: prices[0])])
    assert [reply.status for reply in replies] == [402, 200, 402]


METERED = [Route("/paid", Metered("$0.0000015", units_max=1_000, unit="token"))]


@pytest.mark.parametrize(
    ("used", "charged", "units"),
    [(0, None, 0), (1, 2, 1), (2, 3, 2), (10, 15, 10), (5_000, 1_500, 1_000), (None, 1_500, 1_000)],
)
@pytest.mark.parametrize("by", ["state", "header"])
def test_a_metered_call_is_charged_what_it_used(
    used: int | None, charged: int | None, units: int, by: str
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-type", b"text/plain")]
        if by == "header" and used is not None:
            headers.append((b"Sakk-Usage", b"%d" % used))
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"a", "more_body": True})
        if by == "state" and used is not None:
            payment = scope["state"]["payment"]
            # As it goes, and known in full only at the end.
            assert payment.use(0) == 1_000
            assert payment.use(used) == max(0, 1_000 - used)
        await send({"type": "http.response.body", "body": b"b"})

    async def work(shop: Paywall, authority: Authority) -> Reply:
        asked = (await ask(shop)).challenge["accepts"][0]["amount"]
        assert asked == "1500"
        reply = await ask(shop, headers=call(1, 1_500))
        await settled(authority, 1)
        assert authority.ended == {
            1: ("release", 0, 0) if charged is None else ("commit", charged, units)
        }
        return reply

    reply = with_door(work, app, routes=METERED)
    assert reply.chunks == [b"a", b"b"]
    assert "sakk-usage" not in {name.lower() for name in reply.headers}


def test_a_metered_answer_that_breaks_is_charged_what_it_used() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        scope["sakk.payment"].use(100)
        raise RuntimeError("the model is away")

    async def work(shop: Paywall, authority: Authority) -> None:
        with pytest.raises(RuntimeError):
            await ask(shop, headers=call(1, 1_500))
        await settled(authority, 1)
        assert authority.ended == {1: ("commit", 150, 100)}

    with_door(work, app, routes=METERED)


def test_a_metered_answer_ends_before_its_reservation(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[int] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while True:
            scope["sakk.payment"].use(1)
            await send({"type": "http.response.body", "body": b"a", "more_body": True})
            sent.append(1)
            if len(sent) == 3:
                late = SimpleNamespace(monotonic=lambda: float("inf"))
                monkeypatch.setattr("sakk.paywall.answer.time", late)

    async def work(shop: Paywall, authority: Authority) -> None:
        with pytest.raises(Exception, match="reserved"):
            await ask(shop, headers=call(1, 1_500))
        monkeypatch.undo()
        await settled(authority, 1)
        assert authority.ended == {1: ("commit", 6, 4)}

    with_door(work, app, routes=METERED)


def test_use_is_for_metered_calls_and_counts_up() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        with pytest.raises(ValueError, match="not metered"):
            scope["sakk.payment"].use(1)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def work(shop: Paywall, authority: Authority) -> None:
        await ask(shop, headers=call(1))
        await settled(authority, 1)

    with_door(work, app)


def test_a_body_that_was_bound_is_the_one_that_is_served() -> None:
    bodies: list[bytes] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] != "http.request":
                raise ConnectionError("the client has gone")
            body, more = body + message["body"], message["more_body"]
        bodies.append(body)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"done"})

    bound = hashlib.sha256(b"onetwo").digest()

    async def work(shop: Paywall, authority: Authority) -> list[Reply]:
        replies = []
        for nonce, parts in enumerate([[b"one", b"two"], [b"one", b"three"]]):
            headers = call(nonce, method="POST", body_hash=bound)
            replies.append(await ask(shop, method="POST", headers=headers, body=parts))
        await settled(authority, 2)
        assert [authority.ended[n][0] for n in range(2)] == ["commit", "release"]
        return replies

    served, refused = with_door(work, app)
    assert (served.status, bodies) == (200, [b"onetwo"])
    assert (refused.status, refused.challenge["error"]) == (402, "body_mismatch")


async def _reset(number: int) -> web.StreamResponse | None:
    return web.Response(status=503, text="away") if number == 1 else None


def test_a_reserve_without_an_answer_is_not_served() -> None:
    app, authority = Counter(), Authority(fault=_reset)

    async def work(shop: Paywall, _: Authority) -> list[Reply]:
        replies = [await ask(shop, headers=call(n)) for n in (1, 2)]
        await settled(authority, 1)
        return replies

    away, served = with_door(work, app, authority=authority)
    assert (away.status, served.status, app.calls) == (503, 200, 1)
    assert b"new nonce" in away.body


def test_a_commit_without_an_answer_is_asked_again() -> None:
    authority = Authority()

    async def fault(number: int) -> web.StreamResponse | None:
        # The second request is the commit: it was done, and nobody heard.
        if number in (2, 3):
            return web.Response(status=502)
        return None

    authority.fault = fault

    async def work(shop: Paywall, _: Authority) -> None:
        assert (await ask(shop, headers=call(1))).status == 200
        # Closing waits for it.
        await shop.close()

    with_door(work, Counter(), authority=authority)
    assert authority.ended == {1: ("commit", 1_000, 0)}
    assert len(authority.batches) == 4


def test_a_connection_that_was_closed_meanwhile_is_opened_again() -> None:
    authority = Authority()

    async def fault(number: int) -> web.StreamResponse | None:
        if number == 3:
            # It was closed before this was seen.
            del authority.reserved[2]
            raise ConnectionResetError
        return None

    authority.fault = fault

    async def work(shop: Paywall, _: Authority) -> list[int]:
        statuses = []
        for nonce in (1, 2):
            statuses.append((await ask(shop, headers=call(nonce))).status)
            await settled(authority, nonce)
        return statuses

    assert with_door(work, Counter(), authority=authority, connections=1) == [200, 200]
    assert authority.batches == [1] * 5


def test_a_reserve_that_was_done_and_not_heard_is_not_served() -> None:
    """The second try meets its own nonce, or a copy's: it can not be told which."""
    app, authority = Counter(), Authority()

    async def fault(number: int) -> web.StreamResponse | None:
        if number == 3:
            raise ConnectionResetError
        return None

    authority.fault = fault

    async def work(shop: Paywall, _: Authority) -> list[int]:
        statuses = [(await ask(shop, headers=call(1))).status]
        await settled(authority, 1)
        statuses.append((await ask(shop, headers=call(2))).status)
        return statuses

    assert with_door(work, app, authority=authority, connections=1) == [200, 503]
    assert app.calls == 1


def test_an_authority_that_is_away_serves_nobody() -> None:
    async def scenario() -> Reply:
        offer = session("http://127.0.0.1:9")
        shop = Paywall(Counter(), routes=[Route("/paid", "$0.001")], offers=[offer])
        try:
            return await ask(shop, headers=call(1))
        finally:
            await shop.close()

    assert run(scenario()).status == 503


@pytest.mark.parametrize(
    "changes",
    [{"url": "sakk.test"}, {"api_key": ""}, {"api_key": "sk test"}, {"api_key": "sk_\n"}],
    ids=str,
)
def test_settings_that_are_none_are_named(changes: dict[str, str]) -> None:
    given = {"url": "http://sakk.test", "api_key": "sk_1", **changes}
    with pytest.raises(PaywallError, match=next(iter(changes))):
        Charges(given["url"], given["api_key"])
