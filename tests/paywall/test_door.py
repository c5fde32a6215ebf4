"""Which requests are paid for, what passes by, and that nothing is held back."""

import asyncio
from typing import Any
from urllib.parse import unquote

import pytest

from sakk.paywall import Asked, Metered, Paywall, PaywallError, Price, Route
from sakk.paywall.errors import PaywallAway
from sakk.paywall.price import parse_price
from sakk.paywall.route import AmbiguousPath, Routes, canonical
from sakk.paywall.terms import terms_of

from .authority import session
from .conftest import NOW, Counter, FakeFacilitator, Reply, ask, exact, paid, run


def door(app: Any, facilitator: FakeFacilitator, routes: list[Route], **more: Any) -> Paywall:
    return Paywall(app, routes=routes, offers=[exact(facilitator)], **more)


@pytest.mark.parametrize(
    ("pattern", "method", "path", "is_priced"),
    [
        ("GET /paid", "GET", "/paid", True),
        ("GET /paid", "HEAD", "/paid", True),
        ("GET /paid", "get", "/paid", True),
        ("GET /paid", "Head", "/paid", True),
        ("GET /paid", "POST", "/paid", False),
        ("GET|POST /paid", "POST", "/paid", True),
        ("/paid", "DELETE", "/paid", True),
        ("* /paid", "PATCH", "/paid", True),
        ("GET /paid", "GET", "/paid/", True),
        ("GET /paid", "GET", "//paid", True),
        ("GET /paid", "GET", "/./paid", True),
        ("GET /paid", "GET", "/free/../paid", True),
        ("GET /paid", "GET", "/paid;v=1", True),
        ("GET /paid", "GET", "/../paid", True),
        ("GET /paid", "GET", "\\paid", True),
        ("GET /paid", "GET", "/paid/more", False),
        ("GET /paid", "GET", "/PAID", True),
        ("GET /Weather/{city}", "GET", "/weather/oslo", True),
        ("GET /", "GET", "/", True),
        ("GET /", "GET", "/x", False),
        ("GET /weather/{city}", "GET", "/weather/oslo", True),
        ("GET /weather/{city}", "GET", "/weather/", False),
        ("GET /weather/{city}", "GET", "/weather/oslo/now", False),
        ("GET /weather/{city}/now", "GET", "/weather/oslo/now/", True),
        ("GET /files/{name:path}", "GET", "/files/a/b/c", True),
        ("/files/*", "GET", "/files/a/b", True),
        ("/files/*", "GET", "/files", True),
        ("/files/*", "GET", "/filesystem", False),
        ("/*", "GET", "/anything", True),
        ("/a.b", "GET", "/axb", False),
    ],
)
def test_a_pattern_is_for(pattern: str, method: str, path: str, is_priced: bool) -> None:
    routes = Routes([Route(pattern, "$1")])
    for _ in range(2):
        assert (routes.find(method, path) is not None) == is_priced


def test_the_first_pattern_decides() -> None:
    routes = Routes([Route("GET /v1/health", None), Route("/v1/*", "$1"), Route("/*", "$2")])
    found = [routes.find("GET", path) for path in ("/v1/health", "/v1/x", "/x")]
    assert [each.index if each else None for each in found] == [0, 1, 2]
    assert routes.parameters(Routes([Route("/{a}/{b:path}", "$1")]).compiled[0], "/x/y/z") == {
        "a": "x",
        "b": "y/z",
    }


def test_a_host_limits_a_pattern() -> None:
    routes = Routes([Route("/*", "$1", host="api.shop.test")])
    assert routes.find("GET", "/", "API.shop.test:8000") is not None
    assert routes.find("GET", "/", "shop.test") is None
    assert routes.find("GET", "/", None) is None


@pytest.mark.parametrize(
    ("raw", "price"),
    [
        # An application that looks for slashes first finds one segment here.
        (b"/weather/oslo%2Fnow", "$1"),
        (b"/weather/oslo%2f..%2F..%2Fx%2Fy", "$1"),
        (b"/weather/x%3B/../../y", None),
        # One that resolves nothing finds what is dear here, one that does what is free.
        (b"/dear/7/../../free", "$10"),
        (b"/FREE", "$0.1"),
        (b"/free", None),
        (b"/Free/", "$0.1"),
        # At two prices, as it is read.
        (b"/dear/7/../../weather/oslo", AmbiguousPath),
        (b"/DEAR/7", AmbiguousPath),
        (b"/dear/7%2F..%2F..%2Fany", AmbiguousPath),
        (b"/dear%2Fany", AmbiguousPath),
        (b"/weather/..%5Cx", AmbiguousPath),
    ],
)
def test_nobody_chooses_by_its_spelling_what_a_path_costs(raw: bytes, price: Any) -> None:
    routes = Routes(
        [
            Route("/weather/{city}", "$1"),
            Route("/free", None),
            Route("/y", None),
            Route("/dear/*", "$10"),
            Route("/{any}", "$0.1"),
            Route("/{any}/7", "$0.1"),
        ]
    )
    path = unquote(raw.decode())
    for _ in range(2):
        try:
            found: Any = routes.find("GET", path, None, raw)
        except AmbiguousPath:
            found = AmbiguousPath
        assert (found if found in (None, AmbiguousPath) else found.route.price) == price


def test_a_path_at_two_prices_is_not_served(facilitator: FakeFacilitator) -> None:
    app = Counter()
    routes = [Route("/dear/*", "$10"), Route("/*", "$1")]
    shop = Paywall(app, routes=routes, offers=[exact(facilitator)])
    reply = run(ask(shop, "/dear/7/../../x"))
    assert (reply.status, app.calls) == (400, 0)


def test_a_price_function_sees_what_an_escaped_slash_stands_for() -> None:
    routes = Routes([Route("/files/{name}", "$1")])
    found = routes.find("GET", "/files/a/b", None, b"/files/a%2Fb")
    assert found is not None
    assert routes.parameters(found, "/files/a/b", b"/files/a%2Fb") == {"name": "a/b"}


def test_paths_are_read_leniently() -> None:
    assert canonical("/a//b/./c/../d/") == "/a/b/d"
    assert canonical("/a;x=1/b;y") == "/a/b"
    assert canonical("/a/b") == "/a/b"


@pytest.mark.parametrize(
    "pattern", ["paid", "get /paid", "GET paid", "/{a}/{a}", "/{a", "/a*b", "HEAD /x", ""]
)
def test_a_pattern_that_is_none_is_named(pattern: str) -> None:
    with pytest.raises(PaywallError, match="routes\\[0\\]"):
        Routes([Route(pattern, "$1")])


@pytest.mark.parametrize(
    ("written", "currency", "decimals", "units"),
    [
        ("$0.001", "usdc", 6, 1_000),
        ("$0.001", "usdt", 18, 10**15),
        ("$0.000001", "usdc", 6, 1),
        ("$1", "eurc", 6, None),
        ("0.001 usdc", "usdc", 6, 1_000),
        ("0.001 usdc", "usdt", 6, None),
        ("€2", "eurc", 6, 2_000_000),
        (("$1", "0.9 usdc"), "usdc", 6, 900_000),
        (("$1", "0.9 usdc"), "usdt", 6, 1_000_000),
    ],
)
def test_a_price_is_so_many_units(
    written: Any, currency: str, decimals: int, units: int | None
) -> None:
    assert parse_price(written).units(currency, decimals) == units


@pytest.mark.parametrize(
    "written",
    ["", "0.001", "$", "free", "$0", "$-1", "$1 usdc", "1e3 usdc", [], ["$1", "$2"], "$1,5"],
)
def test_a_price_that_is_none_is_refused(written: Any) -> None:
    with pytest.raises(PaywallError, match="price"):
        parse_price(written)


def test_a_price_is_never_rounded(facilitator: FakeFacilitator) -> None:
    with pytest.raises(PaywallError, match="can not be paid"):
        door(Counter(), facilitator, [Route("/paid", "$0.0000001")])
    with pytest.raises(PaywallError, match="6 decimals"):
        door(Counter(), facilitator, [Route("/paid", "0.0000001 usdc")])


def test_a_balance_too_coarse_for_a_price_in_dollars_is_left_out() -> None:
    fine, coarse = session("http://sakk.test"), session("http://sakk.test")
    coarse.currency = coarse.asset = "usd"
    coarse.decimals = 2
    found = [terms.offer for terms in terms_of("$0.001", [coarse, fine])]
    assert found == [fine]
    assert len(list(terms_of("$0.01", [coarse, fine]))) == 2


def test_what_nobody_could_pay_is_told_at_once(facilitator: FakeFacilitator) -> None:
    for price in ("€1", Metered("$0.001", units_max=10)):
        with pytest.raises(PaywallError, match="can not be paid"):
            door(Counter(), facilitator, [Route("/paid", price)])
    with pytest.raises(PaywallError, match="currency"):
        door(Counter(), facilitator, [Route("/paid", "$1", currencies=["usdt"])])


def test_what_is_free_passes_by(facilitator: FakeFacilitator) -> None:
    app = Counter()
    shop = door(app, facilitator, [Route("/paid/free", None), Route("/paid/*", "$1")])
    preflight = {"access-control-request-method": "GET"}

    async def scenario() -> list[Reply]:
        return [
            await ask(shop, "/free"),
            await ask(shop, "/paid/free"),
            await ask(shop, "/paid/x", method="OPTIONS", headers=preflight),
            await ask(shop, "/paid/x", method="OPTIONS"),
        ]

    assert [reply.status for reply in run(scenario())] == [200, 200, 200, 402]


def test_websockets_and_what_else_there_is_pass_by(facilitator: FakeFacilitator) -> None:
    seen: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["type"])

    shop = door(app, facilitator, [Route("/*", "$1")])

    async def nothing(*_: Any) -> Any:
        return None

    async def scenario() -> None:
        for kind in ("websocket", "whatever"):
            await shop({"type": kind, "path": "/paid"}, nothing, nothing)

    run(scenario())
    assert seen == ["websocket", "whatever"]


def test_a_chunk_reaches_the_client_before_the_next_is_made(facilitator: FakeFacilitator) -> None:
    seen: list[bytes] = []
    heard: list[bytes] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        more = True
        while more:
            message = await receive()
            heard.append(message["body"])
            more = message["more_body"]
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for number in range(3):
            await send({"type": "http.response.body", "body": b"%d" % number, "more_body": True})
            # It is with the client before this goes on.
            assert seen[-1] == b"%d" % number
        await send({"type": "http.response.body", "body": b""})

    async def scenario() -> Reply:
        shop = door(app, facilitator, [Route("/paid", "$1")])
        asked = (await ask(shop)).challenge
        headers = paid(asked)
        return await ask(shop, headers=headers, body=[b"a", b"b"], on_chunk=seen.append)

    reply = run(scenario())
    assert reply.chunks == [b"0", b"1", b"2", b""]
    assert heard == [b"a", b"b"]


def moving(prices: list[Any]) -> list[Route]:
    def price(asked: Asked) -> Any:
        assert asked.parameters["city"] == "oslo"
        assert asked.header("Host") == "shop.test"
        return prices[0]

    return [Route("/weather/{city}", price)]


def test_a_price_that_moves_stands_as_long_as_it_was_promised(facilitator: FakeFacilitator) -> None:
    app = Counter()
    prices = ["$0.001"]
    now = [NOW]

    async def scenario() -> list[Reply]:
        shop = door(app, facilitator, moving(prices), clock=lambda: now[0])
        other = door(app, facilitator, moving(prices), clock=lambda: now[0])
        path = "/weather/oslo"
        asked = (await ask(shop, path)).challenge
        prices[0] = "$0.002"
        replies = [await ask(shop, path, headers=paid(asked, 1))]
        now[0] = NOW + 61
        replies.append(await ask(shop, path, headers=paid(asked, 2)))
        # Somebody else's mark, another query, and none at all.
        now[0] = NOW
        foreign = (await ask(other, path)).challenge
        prices[0] = "$0.003"
        replies.append(await ask(shop, path, headers=paid(foreign, 3)))
        replies.append(await ask(shop, path, headers=paid(asked, 4), query=b"days=7"))
        del asked["accepts"][0]["extra"]["quote"]
        replies.append(await ask(shop, path, headers=paid(asked, 5)))
        return replies

    replies = run(scenario())
    assert [reply.status for reply in replies] == [200, 402, 402, 402, 402]
    assert app.scopes[0]["sakk.payment"].amount == 1_000
    assert replies[1].challenge["accepts"][0]["amount"] == "2000"


def test_a_price_can_be_asked_for_elsewhere_and_be_nothing(facilitator: FakeFacilitator) -> None:
    async def price(asked: Asked) -> Any:
        await asyncio.sleep(0)
        return None if asked.query == b"free" else Price(parse_price("$0.5").amounts)

    async def scenario() -> list[Reply]:
        shop = door(Counter(), facilitator, [Route("/paid", price)])
        return [await ask(shop, query=b"free"), await ask(shop)]

    free, priced = run(scenario())
    assert (free.status, priced.status) == (200, 402)
    assert priced.challenge["accepts"][0]["amount"] == "500000"


def test_caches_of_many_do_not_sell_it_again(facilitator: FakeFacilitator) -> None:
    app = Counter()
    app.headers = [(b"Cache-Control", b"public, max-age=60, s-maxage=600")]

    async def scenario(nonce: int) -> Reply:
        shop = door(app, facilitator, [Route("/paid", "$1")])
        return await ask(shop, headers=paid((await ask(shop)).challenge, nonce))

    assert run(scenario(1)).headers["cache-control"] == "private, max-age=60"
    app.headers = [
        (b"cache-control", b'public, private="set-cookie"'),
        (b"CDN-Cache-Control", b"max-age=600"),
        (b"vercel-cdn-cache-control", b"max-age=600"),
        (b"surrogate-control", b"max-age=600"),
        (b"x-accel-expires", b"600"),
    ]
    told = run(scenario(2)).headers
    assert told.pop("cache-control") == 'private, private="set-cookie"'
    assert set(told) == {"payment-response"}


@pytest.mark.parametrize("has_lifespan", [True, False])
def test_the_door_starts_and_ends_with_the_application(
    facilitator: FakeFacilitator, has_lifespan: bool
) -> None:
    order: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan" and not has_lifespan:
            raise ValueError("this application knows HTTP alone")
        for step in ("startup", "shutdown"):
            assert (await receive())["type"] == f"lifespan.{step}"
            order.append(step)
            await send({"type": f"lifespan.{step}.complete"})

    class Shop:
        async def offers(self) -> Any:
            order.append("offers")
            return [exact(facilitator)]

    async def close() -> None:
        order.append("close")

    facilitator.close = close  # type: ignore[method-assign]
    incoming = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    told: list[str] = []

    async def receive() -> Any:
        return incoming.pop(0)

    async def send(message: Any) -> None:
        told.append(message["type"])

    run(
        Paywall(app, routes=[Route("/*", "$1")], offers=Shop())({"type": "lifespan"}, receive, send)
    )
    assert told == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    inner = ["offers", "startup", "shutdown", "close"]
    assert order == (inner if has_lifespan else ["offers", "close"])


def test_it_starts_without_who_is_away_and_sells_when_he_is_back(
    facilitator: FakeFacilitator, caplog: pytest.LogCaptureFixture
) -> None:
    answers: list[Any] = [PaywallAway("Nobody answers."), PaywallAway("Nobody answers.")]

    class Shop:
        async def offers(self) -> Any:
            if answers:
                raise answers.pop()
            return [exact(facilitator)]

    incoming = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    told: list[str] = []

    async def receive() -> Any:
        return incoming.pop(0)

    async def send(message: Any) -> None:
        told.append(message["type"])

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            raise ValueError("this application knows HTTP alone")
        await Counter()(scope, receive, send)

    async def scenario() -> list[int]:
        shop = Paywall(app, routes=[Route("/*", "$1")], offers=Shop())
        await shop({"type": "lifespan"}, receive, send)
        return [(await ask(shop)).status for _ in range(2)]

    assert run(scenario()) == [503, 402]
    assert told == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert "Nobody answers. Priced requests are answered 503" in caplog.text


def test_without_lifespan_it_starts_with_the_first_request(facilitator: FakeFacilitator) -> None:
    asked = []

    class Shop:
        async def offers(self) -> Any:
            asked.append(1)
            await asyncio.sleep(0)
            return [exact(facilitator)]

    async def scenario() -> None:
        shop = Paywall(Counter(), routes=[Route("/*", "$1")], offers=Shop())
        await asyncio.gather(ask(shop), ask(shop))

    run(scenario())
    assert asked == [1]
