"""Binance's spot exchange, by its REST interface (https://developers.binance.com/docs/binance-spot-api-docs).

Signed requests carry a timestamp, a window after which they are not taken (``recvWindow``), and the
HMAC-SHA256 of their query. Orders carry our id (``newClientOrderId``). Fees are taken of what is
received: of a purchase in the base currency.
"""

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final
from urllib.parse import urlencode

import structlog

from sakk.core.order import ChildOrder, Report
from sakk.core.router import Side
from sakk.core.venue import PairRules, read_decimal
from sakk.rails.exchange.adapter import VALID_SECONDS, Adapter, report_of
from sakk.rails.venue import VenueRefused, VenueUnavailable

DEPTH: Final = 50
TRADES_MAX: Final = 1_000
# It was not taken, and will not be: a new order was rejected, or is malformed.
_REFUSED: Final = range(-1199, -1099)
_REJECTED: Final = -2010
_NOT_ALLOWED: Final = (-1002, -2014, -2015)
# It did not pass a filter of the pair, and never came to the book.
_FILTERED: Final = -1013
_UNKNOWN: Final = -2013
_ENDED: Final = ("FILLED", "CANCELED", "REJECTED", "EXPIRED", "EXPIRED_IN_MATCH")

log = structlog.get_logger(__name__)


def signature(secret: str, query: str) -> str:
    """What ``signature`` says of a query."""
    return hmac.digest(secret.encode(), query.encode(), "sha256").hex()


@dataclass(slots=True)
class Binance(Adapter):
    """An account at Binance."""

    def levels(self, symbol: str, side: Side) -> Sequence[tuple[Fraction, Fraction]]:
        found = self._public("/api/v3/depth", {"symbol": symbol, "limit": str(DEPTH)})
        offered = found["asks" if side is Side.buy else "bids"]
        return [(read_decimal(each[0]), read_decimal(each[1])) for each in offered]

    def read_rules(self, symbol: str) -> PairRules | None:
        [found] = self._public("/api/v3/exchangeInfo", {"symbol": symbol})["symbols"]
        if found["status"] != "TRADING" or "IOC" not in found.get("timeInForce", ["IOC"]):
            return None
        filters = {each["filterType"]: each for each in found["filters"]}
        worth = filters.get("NOTIONAL") or filters.get("MIN_NOTIONAL") or {"minNotional": "0"}
        lot = filters["LOT_SIZE"]
        return PairRules(
            lot=read_decimal(lot["stepSize"]),
            tick=read_decimal(filters["PRICE_FILTER"]["tickSize"]),
            least=read_decimal(lot["minQty"]),
            least_worth=read_decimal(worth["minNotional"]),
        )

    def send(self, child: ChildOrder, symbol: str, amount: str, price: str) -> Report:
        order = self._signed_call(
            "POST",
            "/api/v3/order",
            {
                "symbol": symbol,
                "side": child.side.upper(),
                "type": "LIMIT",
                "timeInForce": "IOC",
                "quantity": amount,
                "price": price,
                "newClientOrderId": child.id,
                "newOrderRespType": "FULL",
            },
        )
        return self._report(child, order, order["fills"])

    def look(self, child: ChildOrder, symbol: str) -> Report | None:
        about = {"symbol": symbol, "origClientOrderId": child.id}
        order = self._signed_call("GET", "/api/v3/order", about, unknown=None)
        if order is None:
            return None
        trades: Any = ()
        if read_decimal(order["executedQty"]):
            which = {
                "symbol": symbol,
                "orderId": str(order["orderId"]),
                "limit": str(TRADES_MAX),
            }
            trades = self._signed_call("GET", "/api/v3/myTrades", which)
        return self._report(child, order, trades)

    def _report(
        self, child: ChildOrder, order: Mapping[str, Any], trades: Sequence[Mapping[str, Any]]
    ) -> Report:
        if order["status"] not in _ENDED:
            raise VenueUnavailable(f"{self.name} has not ended the order yet")
        amount = read_decimal(order["executedQty"])
        if sum((read_decimal(each["qty"]) for each in trades), Fraction(0)) != amount:
            raise VenueUnavailable(f"{self.name} does not tell of all that it filled yet")
        fees: dict[str, Fraction] = {}
        for each in trades:
            coin = str(each["commissionAsset"]).lower()
            fees[coin] = fees.get(coin, Fraction(0)) + read_decimal(each["commission"])
        for coin in fees.keys() - {child.base, child.quote}:
            # Of another coin that the account has there: it is not in these books.
            log.error("order.fee_in_another_coin", venue=self.name, child=child.id, coin=coin)
        return report_of(
            child,
            amount=amount,
            worth=read_decimal(order["cummulativeQuoteQty"]),
            fee=fees.get(child.quote, Fraction(0)),
            base_fee=fees.get(child.base, Fraction(0)),
        )

    def _public(self, path: str, fields: Mapping[str, str]) -> Any:
        answer = self.caller.ask("GET", f"{path}?{urlencode(fields)}")
        return self._read(answer.status, answer.body)

    def _signed_call(
        self, method: str, path: str, fields: Mapping[str, str], *, unknown: Any = ...
    ) -> Any:
        query = urlencode(
            {
                **fields,
                "recvWindow": VALID_SECONDS * 1_000,
                "timestamp": int(self.clock() * 1_000),
            }
        )
        sent = f"{query}&signature={signature(self.secret, query)}"
        headers = {"X-MBX-APIKEY": self.key}
        if method == "POST":
            answer = self.caller.ask(method, path, headers=headers, body=sent)
        else:
            answer = self.caller.ask(method, f"{path}?{sent}", headers=headers)
        said = answer.body.get("code") if isinstance(answer.body, Mapping) else None
        if unknown is not ... and said == _UNKNOWN:
            return unknown
        return self._read(answer.status, answer.body)

    def _read(self, status: int, body: Any) -> Any:
        if status == 200:
            return body
        code, said = int(body["code"]), str(body.get("msg", ""))[:200]
        is_duplicate = code == _REJECTED and "duplicate" in said.lower()
        is_refused = code in _REFUSED or code in (*_NOT_ALLOWED, _FILTERED, _REJECTED)
        if 400 <= status < 500 and is_refused and not is_duplicate:
            raise VenueRefused(f"{self.name}: {said} ({code})")
        raise VenueUnavailable(f"{self.name}: {said} ({code})")
