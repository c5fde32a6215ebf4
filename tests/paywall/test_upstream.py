"""The proxy's way to a service: what streams, what is taken off, what is told, what fails."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from sakk.paywall import Metered, Paywall, PaywallError, Route
from sakk.paywall.payment import Payment
from sakk.paywall.upstream import Upstream, base_of

from .authority import Authority, call, serving, session, settled
from .conftest import FakeFacilitator, Reply, ask, exact, paid, run

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def service(handler: Handler, **more: Any) -> AsyncIterator[Upstream]:
    """A service behind a proxy."""
    application = web.Application(client_max_size=1 << 26)
    application.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(application, shutdown_timeout=0.1, auto_decompress=False)
    await runner.setup()
    upstream = None
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        upstream = Upstream(f"http://127.0.0.1:{runner.addresses[0][1]}/", **more)
        yield upstream
    finally:
        if upstream is not None:
            await upstream.close()
        await runner.cleanup()


def seen_by(headers: dict[str, str], *, payment: Payment | None = None, **more: Any) -> Any:
    """What the service is told of a request with these headers."""
    seen: list[web.Request] = []

    async def handler(request: web.Request) -> web.Response:
        seen.append(request)
        return web.Response(text="fine")

    async def scenario() -> None:
        async with service(handler, **more) as upstream:

            async def front(scope: Any, receive: Any, send: Any) -> None:
                scope["client"] = ("203.0.113.7", 5000)
                if payment is not None:
                    scope["sakk.payment"] = payment
                await upstream(scope, receive, send)

            reply = await ask(front, "/a%2Fb/./c", query=b"x=%20&y", headers=headers)
            assert (reply.status, reply.body) == (200, b"fine")

    run(scenario())
    return seen[0]


def test_a_request_is_passed_on_as_it_is() -> None:
    headers = {"x-own": "1", "accept-encoding": "br", "authorization": "Bearer t", "cookie": "a=b"}
    seen = seen_by(headers)
    assert seen.raw_path == "/a%2Fb/./c?x=%20&y"
    assert {name: seen.headers[name] for name in headers} == headers
    assert seen.headers["x-forwarded-for"] == "203.0.113.7"
    assert seen.headers["x-forwarded-host"] == "shop.test"
    assert seen.headers["x-forwarded-proto"] == "http"
    assert seen.headers["host"].startswith("127.0.0.1:")
    # Nothing that the client did not say.
    assert not {"user-agent", "accept", "content-type"} & {name.lower() for name in seen.headers}


@pytest.mark.parametrize(
    "name",
    [
        "keep-alive",
        "proxy-authorization",
        "te",
        "trailer",
        "upgrade",
        "x-mine",
        "payment-signature",
        "x-payment",
        "sakk-payer",
        "Sakk_Payer",
        "SAKK-AMOUNT",
        "sakk_units-max",
    ],
)
def test_what_is_of_one_hop_pays_or_says_who_paid_is_taken_off(name: str) -> None:
    seen = seen_by({name: "forged", "connection": "keep-alive, X-Mine"})
    assert name.lower() not in {each.lower() for each in seen.headers}
    assert "forged" not in seen.headers.values()


def test_who_paid_is_told_by_the_door_alone() -> None:
    payment = Payment("session", "sakk:1", "usdc", 1500, "0xabc", "ses_1:7", 1000)
    seen = seen_by({"sakk-payer": "0xforged", "Sakk_Payer": "0xforged"}, payment=payment)
    told = {k: v for k, v in seen.headers.items() if k.lower().startswith("sakk")}
    assert told == {
        "Sakk-Payer": "0xabc",
        "Sakk-Amount": "1500",
        "Sakk-Currency": "usdc",
        "Sakk-Network": "sakk:1",
        "Sakk-Scheme": "session",
        "Sakk-Transaction": "ses_1:7",
        "Sakk-Units-Max": "1000",
    }


def test_the_name_that_was_called_can_be_kept_and_https_in_front_is_believed() -> None:
    seen = seen_by({"x-forwarded-proto": "https", "x-forwarded-for": "1.1.1.1"}, keep_host=True)
    assert seen.headers["host"] == "shop.test"
    assert seen.headers["x-forwarded-proto"] == "https"
    assert seen.headers["x-forwarded-for"] == "1.1.1.1, 203.0.113.7"


def test_bodies_stream_both_ways() -> None:
    seen: list[bytes] = []
    arrived = asyncio.Event()

    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-encoding": "x-odd", "connection": "x-hop"})
        response.headers["x-hop"] = "1"
        response.headers["sakk-payer"] = "0xforged"
        response.headers["payment-response"] = "forged"
        await response.prepare(request)
        async for part in request.content.iter_any():
            # Answered while the request's next part is not yet there.
            await response.write(part.upper())
            arrived.set()
        return response

    async def scenario() -> Reply:
        async with service(handler) as upstream:
            parts = [b"one", b"two"]

            async def front(scope: Any, receive: Any, send: Any) -> None:
                async def slowly() -> Any:
                    if not parts:
                        await asyncio.Event().wait()
                    if len(parts) == 1:
                        await arrived.wait()
                    part = parts.pop(0)
                    return {"type": "http.request", "body": part, "more_body": bool(parts)}

                await upstream(scope, slowly, send)

            headers = {"transfer-encoding": "chunked"}
            return await ask(front, method="POST", headers=headers, on_chunk=seen.append)

    reply = run(scenario())
    assert [part for part in seen if part] == [b"ONE", b"TWO"]
    assert reply.headers["content-encoding"] == "x-odd"
    assert not {"x-hop", "connection", "transfer-encoding", "sakk-payer", "payment-response"} & set(
        reply.headers
    )


def test_a_body_with_a_length_keeps_it() -> None:
    async def handler(request: web.Request) -> web.Response:
        assert "transfer-encoding" not in request.headers
        return web.Response(body=b"%d" % len(await request.read()))

    async def scenario() -> Reply:
        async with service(handler) as upstream:
            body = [b"x" * 1_000] * 10
            headers = {"content-length": "10000"}
            return await ask(upstream, method="PUT", headers=headers, body=body)

    reply = run(scenario())
    assert (reply.status, reply.body, reply.headers["content-length"]) == (200, b"10000", "5")


def test_redirects_errors_and_heads_are_passed_on() -> None:
    async def handler(request: web.Request) -> web.Response:
        if request.method == "HEAD":
            return web.Response(headers={"content-length": "77"})
        return web.Response(status=302, headers={"location": "http://elsewhere.test/"})

    async def scenario() -> list[Reply]:
        async with service(handler) as upstream:
            return [await ask(upstream), await ask(upstream, method="HEAD")]

    moved, head = run(scenario())
    assert (moved.status, moved.headers["location"]) == (302, "http://elsewhere.test/")
    assert (head.status, head.headers["content-length"], head.body) == (200, "77", b"")


def test_a_service_that_is_away_or_silent_is_told_and_not_charged() -> None:
    silent = asyncio.Event()

    async def handler(request: web.Request) -> web.Response:
        await silent.wait()
        return web.Response()

    async def scenario() -> list[int]:
        authority = Authority()
        async with serving(authority) as url, service(handler, silence_seconds=0.1) as upstream:
            away = Upstream("http://127.0.0.1:9")
            statuses = []
            for nonce, each in enumerate((upstream, away)):
                door = Paywall(each, routes=[Route("/*", "$0.001")], offers=[session(url)])
                statuses.append((await ask(door, headers=call(nonce))).status)
                await settled(authority, nonce + 1)
                await door.close()
            await away.close()
            silent.set()
            assert [how for how, _, _ in authority.ended.values()] == ["release", "release"]
            return statuses

    assert run(scenario()) == [504, 502]


def test_a_service_says_what_was_used() -> None:
    async def handler(request: web.Request) -> web.Response:
        assert request.headers["sakk-units-max"] == "1000"
        return web.Response(text="done", headers={"Sakk-Usage": "40"})

    async def scenario() -> Reply:
        authority = Authority()
        async with serving(authority) as url, service(handler) as upstream:
            route = Route("/*", Metered("$0.000002", units_max=1_000))
            door = Paywall(upstream, routes=[route], offers=[session(url)])
            reply = await ask(door, headers=call(1, 2_000))
            await settled(authority, 1)
            await door.close()
            assert authority.ended == {1: ("commit", 80, 40)}
            return reply

    assert "sakk-usage" not in run(scenario()).headers


def test_each_route_has_an_upstream_of_its_own(facilitator: FakeFacilitator) -> None:
    async def scenario() -> list[bytes]:
        async def first(request: web.Request) -> web.Response:
            return web.Response(text="first")

        async def second(request: web.Request) -> web.Response:
            return web.Response(text="second")

        async with service(first) as one, service(second) as two:
            upstream = Upstream(one._address, addresses={1: two._address})
            routes = [Route("/paid", "$0.001"), Route("/other", None)]
            door = Paywall(upstream, routes=routes, offers=[exact(facilitator)])
            headers = paid((await ask(door)).challenge)
            bodies = [
                (await ask(door, headers=headers)).body,
                (await ask(door, "/other")).body,
                (await ask(door, "/nowhere")).body,
            ]
            await upstream.close()
            return bodies

    assert run(scenario()) == [b"first", b"second", b"first"]


def test_a_client_that_goes_is_not_served_on() -> None:
    ended = asyncio.Event()

    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b"x" * 65_536)
                await asyncio.sleep(0)
        except (ConnectionError, asyncio.CancelledError):
            ended.set()
            raise

    async def scenario() -> None:
        async with service(handler) as upstream:
            gone = asyncio.Event()

            async def front(scope: Any, receive: Any, send: Any) -> None:
                first = [{"type": "http.request", "body": b"", "more_body": False}]

                async def until_gone() -> Any:
                    if first:
                        return first.pop()
                    await gone.wait()
                    return {"type": "http.disconnect"}

                await upstream(scope, until_gone, send)

            await ask(front, on_chunk=lambda _: gone.set())
            await ended.wait()

    run(scenario())


@pytest.mark.parametrize("can_answer", [True, False])
def test_a_websocket_is_refused_clearly(can_answer: bool) -> None:
    told: list[Any] = []

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        told.append(message)

    extensions: dict[str, Any] = {"websocket.http.response": {}} if can_answer else {}
    scope = {"type": "websocket", "path": "/", "extensions": extensions}
    run(Upstream("http://127.0.0.1:9")(scope, receive, send))
    if can_answer:
        assert [each["type"] for each in told] == [
            "websocket.http.response.start",
            "websocket.http.response.body",
        ]
        assert told[0]["status"] == 501
    else:
        assert told[0]["type"] == "websocket.close"


def test_a_target_that_names_another_host_goes_nowhere() -> None:
    async def front(scope: Any, receive: Any, send: Any) -> None:
        scope["raw_path"] = b"@evil.test/"
        await Upstream("http://127.0.0.1:9")(scope, receive, send)

    assert run(ask(front)).status == 400


@pytest.mark.parametrize(
    "address",
    ["", "127.0.0.1:3000", "ftp://x", "http://", "http://x/?a", "http://x/#a", "http://["],
)
def test_an_upstream_must_be_an_address(address: str) -> None:
    with pytest.raises(PaywallError, match="upstream"):
        base_of(address)


@pytest.mark.parametrize("name", ["x-original-url", "X_Rewrite_Url"])
def test_what_a_service_would_take_for_another_path_is_taken_off(name: str) -> None:
    assert name.lower() not in {each.lower() for each in seen_by({name: "/premium"}).headers}


def test_a_body_that_was_not_bound_never_reaches_the_service_whole() -> None:
    bodies: list[bytes] = []

    async def handler(request: web.Request) -> web.Response:
        bodies.append(await request.read())
        return web.Response(text="done")

    async def scenario() -> Reply:
        authority = Authority()
        async with serving(authority) as url, service(handler) as upstream:
            shop = Paywall(upstream, routes=[Route("/paid", "$0.001")], offers=[session(url)])
            bound = hashlib.sha256(b"one").digest()
            headers = call(1, method="POST", body_hash=bound) | {"content-length": "3"}
            # As servers tell it that learn of the end only after the last byte.
            reply = await ask(shop, method="POST", headers=headers, body=[b"two", b""])
            await settled(authority, 1)
            assert authority.ended[1][0] == "release"
            await shop.close()
            return reply

    refused = run(scenario())
    assert (refused.status, bodies) == (402, [])
