"""A fake of two exchanges that speaks their published wires over real HTTP; no exchange is asked.

It checks what they check: signatures (worked out here again, from the documents), nonces and
windows of time, steps and minima; fills from a book, and loses answers, hides orders or turns who
asks away where a test says so.
"""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.serving import Handler, served

SYMBOL = "USDTZUSD"
KEY = "the-key"
# The secrets of the exchanges' own documents.
KRAKEN_SECRET = (
    "kQH5HW/8p1uGOVjbgWA7FunAmGO8lsSUXNsu3eow76sz84Q18fWxnyRzBHCd3pd5nE9qa99HAZtuZuj6F1huXg=="
)
BINANCE_SECRET = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"
TICK, LOT = Decimal("0.0001"), Decimal("0.01")
LEAST, LEAST_WORTH = Decimal(1), Decimal(5)
FEE = Decimal("0.001")

Levels = list[tuple[Decimal, Decimal]]


@dataclass
class Order:
    """What was taken of the book for one order."""

    side: str
    status: str
    trades: Levels

    @property
    def amount(self) -> Decimal:
        return sum((units for _, units in self.trades), Decimal(0))

    @property
    def worth(self) -> Decimal:
        return sum((price * units for price, units in self.trades), Decimal(0))


@dataclass
class FakeExchange:
    """Both exchanges' books and orders. ``asked`` is every request that came."""

    asks: Levels
    bids: Levels
    orders: dict[str, Order] = field(default_factory=dict)
    # The ids that were placed, each as often as it was.
    placed: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    nonce: int = 0
    url: str = ""
    # What goes wrong.
    loses_answers: bool = False
    hides: bool = False
    is_late: bool = False
    is_too_much: bool = False
    answers_garbage: bool = False

    def take(self, identifier: str, side: str, price: Decimal, units: Decimal) -> Order:
        """Fill at once what the book gives within the limit."""
        self.placed.append(identifier)
        book = self.asks if side == "buy" else self.bids
        left, trades = units, []
        for place, (at, there) in enumerate(book):
            within = at <= price if side == "buy" else at >= price
            if within and left:
                taken = min(left, there)
                trades.append((at, taken))
                book[place] = (at, there - taken)
                left -= taken
        made = Order(side, "closed" if not left else "expired", trades)
        self.orders[identifier] = made
        return made

    def wrong(self, price: Decimal, units: Decimal) -> str | None:
        """What it would not take."""
        if price % TICK or units % LOT:
            return "step"
        if units < LEAST or units * price < LEAST_WORTH:
            return "minimum"
        return None


class _Lost(Exception):
    pass


def _kraken(fake: FakeExchange, path: str, query: dict[str, str], headers: Any, body: str) -> Any:
    if query.get("pair", SYMBOL) != SYMBOL:
        return {"error": ["EQuery:Unknown asset pair"]}
    if path == "/0/public/Depth":
        shown = {
            side: [[str(price), str(units), 1] for price, units in levels]
            for side, levels in (("asks", fake.asks), ("bids", fake.bids))
        }
        return {"error": [], "result": {"USDTZUSD": shown}}
    if path == "/0/public/AssetPairs":
        rules = {
            "status": "online",
            "lot_decimals": 2,
            "tick_size": str(TICK),
            "ordermin": str(LEAST),
            "costmin": str(LEAST_WORTH),
        }
        return {"error": [], "result": {"USDTZUSD": rules}}
    sent = {name: each[0] for name, each in parse_qs(body, strict_parsing=True).items()}
    secret, digest = base64.b64decode(KRAKEN_SECRET), hashlib.sha256()
    digest.update((sent["nonce"] + body).encode())
    signed = hmac.new(secret, path.encode() + digest.digest(), hashlib.sha512).digest()
    if headers["API-Key"] != KEY or base64.b64decode(headers["API-Sign"]) != signed:
        return {"error": ["EAPI:Invalid signature"]}
    if int(sent["nonce"]) <= fake.nonce:
        return {"error": ["EAPI:Invalid nonce"]}
    fake.nonce = int(sent["nonce"])
    if path == "/0/private/AddOrder":
        until = datetime.strptime(sent["deadline"], "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
        if not 0 < (until - datetime.now(UTC)).total_seconds() <= 60:
            return {"error": ["EService:Deadline elapsed"]}
        assert (sent["ordertype"], sent["timeinforce"], sent["oflags"]) == ("limit", "IOC", "fciq")
        price, units = Decimal(sent["price"]), Decimal(sent["volume"])
        if fake.wrong(price, units):
            return {"error": ["EGeneral:Invalid arguments:volume minimum not met"]}
        if units > 100_000:
            return {"error": ["EOrder:Insufficient funds"]}
        fake.take(sent["cl_ord_id"], sent["type"], price, units)
        if fake.loses_answers:
            raise _Lost
        return {"error": [], "result": {"txid": ["OX-1"], "descr": {"order": "…"}}}
    order = None if fake.hides else fake.orders.get(sent["cl_ord_id"])
    place = {"/0/private/ClosedOrders": "closed", "/0/private/OpenOrders": "open"}[path]
    found: dict[str, Any] = {}
    if order is not None and (place == "open") == fake.is_late:
        found["OX-1"] = {
            "status": "open" if fake.is_late else order.status,
            "cl_ord_id": sent["cl_ord_id"],
            "vol_exec": str(order.amount),
            "cost": str(order.worth),
            "fee": str(order.worth * FEE),
        }
    return {"error": [], "result": {place: found}}


def _binance(
    fake: FakeExchange, path: str, query: dict[str, str], headers: Any, raw: str
) -> tuple[int, Any]:
    if query.get("symbol", SYMBOL) != SYMBOL:
        return 400, {"code": -1121, "msg": "Invalid symbol."}
    if path == "/api/v3/depth":
        shown = {
            side: [[str(price), str(units)] for price, units in levels]
            for side, levels in (("asks", fake.asks), ("bids", fake.bids))
        }
        return 200, {"lastUpdateId": 1, **shown}
    if path == "/api/v3/exchangeInfo":
        filters = [
            {"filterType": "PRICE_FILTER", "tickSize": f"{TICK}0000"},
            {"filterType": "LOT_SIZE", "stepSize": str(LOT), "minQty": str(LEAST)},
            {"filterType": "NOTIONAL", "minNotional": str(LEAST_WORTH)},
        ]
        return 200, {"symbols": [{"status": "TRADING", "filters": filters}]}
    signed, _, sent_signature = raw.partition("&signature=")
    made = hmac.new(BINANCE_SECRET.encode(), signed.encode(), hashlib.sha256).hexdigest()
    if headers["X-MBX-APIKEY"] != KEY or made != sent_signature:
        return 400, {"code": -1022, "msg": "Signature for this request is not valid."}
    age = time.time() * 1000 - int(query["timestamp"])
    if not -1000 < age <= int(query["recvWindow"]):
        return 400, {"code": -1021, "msg": "Timestamp is outside of the recvWindow."}
    if path == "/api/v3/myTrades":
        trades = fake.orders[query["orderId"]].trades
        return 200, [_trade(fake.orders[query["orderId"]], *each) for each in trades]
    if "newClientOrderId" in query:
        assert (query["type"], query["timeInForce"]) == ("LIMIT", "IOC")
        price, units = Decimal(query["price"]), Decimal(query["quantity"])
        if fake.wrong(price, units):
            return 400, {"code": -1013, "msg": "Filter failure: NOTIONAL"}
        if units > 100_000:
            return 400, {"code": -2010, "msg": "Account has insufficient balance"}
        identifier = query["newClientOrderId"]
        order = fake.take(identifier, query["side"].lower(), price, units)
        if fake.loses_answers:
            raise _Lost
    else:
        identifier = query["origClientOrderId"]
        if fake.hides or identifier not in fake.orders:
            return 400, {"code": -2013, "msg": "Order does not exist."}
        order = fake.orders[identifier]
    status = "FILLED" if order.status == "closed" else "EXPIRED"
    return 200, {
        "orderId": identifier,
        "status": "NEW" if fake.is_late else status,
        "executedQty": str(order.amount),
        "cummulativeQuoteQty": str(order.worth),
        "fills": [_trade(order, *each) for each in order.trades],
    }


def _trade(order: Order, price: Decimal, units: Decimal) -> dict[str, str]:
    """Fees are taken of what is received."""
    buys = order.side == "buy"
    return {
        "price": str(price),
        "qty": str(units),
        "commission": str(units * FEE if buys else units * price * FEE),
        "commissionAsset": "USDT" if buys else "USD",
    }


@contextmanager
def fake_exchange(asks: Levels, bids: Levels) -> Iterator[FakeExchange]:
    """Both wires at one address of this machine."""
    fake = FakeExchange(asks, bids)

    class Answers(Handler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0))).decode()
            parts = urlsplit(self.path)
            fake.asked.append(parts.path)
            if fake.is_too_much:
                return self.tell(429, {}, {"Retry-After": "30"})
            if fake.answers_garbage:
                return self.tell(502, None)
            raw = body or parts.query
            query = {name: each[0] for name, each in parse_qs(raw).items()}
            try:
                if parts.path.startswith("/0/"):
                    return self.tell(200, _kraken(fake, parts.path, query, self.headers, body))
                return self.tell(*_binance(fake, parts.path, query, self.headers, raw))
            except _Lost:
                self.close_connection = True
                self.connection.shutdown(2)

        do_GET = do_POST = answer

        def tell(self, status: int, document: Any, headers: dict[str, str] | None = None) -> None:
            self.say(
                status, b"<html>" if document is None else json.dumps(document).encode(), headers
            )

    with served(Answers) as fake.url:
        yield fake
