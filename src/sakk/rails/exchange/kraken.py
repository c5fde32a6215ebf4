"""Kraken's spot exchange, by its REST interface (https://docs.kraken.com/api).

Private requests are signed: HMAC-SHA512, keyed with the decoded secret, of the path and the SHA-256
of nonce and body. Orders carry our id (``cl_ord_id``, a UUID) and a deadline, after which they are
not taken. Fees are asked for in the quote currency (``fciq``).
"""

import base64
import hashlib
import hmac
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any, Final
from urllib.parse import urlencode
from uuid import UUID

from sakk.core import ids
from sakk.core.order import ChildOrder, Report
from sakk.core.router import Side
from sakk.core.venue import PairRules, read_decimal
from sakk.rails.exchange.adapter import VALID_SECONDS, Adapter, report_of
from sakk.rails.venue import VenueRefused, VenueUnavailable

DEPTH: Final = 50
# What it did nothing after, and does nothing after when it is asked again.
_REFUSED: Final = ("EOrder:", "EGeneral:Invalid arguments", "EGeneral:Permission denied", "EQuery:")
_TOO_OFTEN: Final = ("EAPI:Rate limit exceeded", "EOrder:Rate limit exceeded")
_ENDED: Final = ("closed", "canceled", "expired")


def signature(secret: str, path: str, nonce: int, body: str) -> str:
    """What ``API-Sign`` says."""
    inner = hashlib.sha256(f"{nonce}{body}".encode()).digest()
    made = hmac.digest(base64.b64decode(secret), path.encode() + inner, "sha512")
    return base64.b64encode(made).decode()


def client_id(child: str) -> str:
    """Our id as Kraken takes one."""
    return str(UUID(int=ids.decode(child)[1]))


@dataclass(slots=True)
class Kraken(Adapter):
    """An account at Kraken."""

    _nonce: int = 0
    _nonces: threading.Lock = field(default_factory=threading.Lock)

    def levels(self, symbol: str, side: Side) -> Sequence[tuple[Fraction, Fraction]]:
        query = urlencode({"pair": symbol, "count": DEPTH})
        found = self._one(self._public(f"/0/public/Depth?{query}"))
        offered = found["asks" if side is Side.buy else "bids"]
        return [(read_decimal(each[0]), read_decimal(each[1])) for each in offered]

    def read_rules(self, symbol: str) -> PairRules | None:
        query = urlencode({"pair": symbol})
        found = self._one(self._public(f"/0/public/AssetPairs?{query}"))
        if found.get("status", "online") != "online":
            return None
        return PairRules(
            lot=Fraction(1, 10 ** int(found["lot_decimals"])),
            tick=read_decimal(found["tick_size"]),
            least=read_decimal(found["ordermin"]),
            least_worth=read_decimal(found.get("costmin", "0")),
        )

    def send(self, child: ChildOrder, symbol: str, amount: str, price: str) -> Report:
        until = datetime.fromtimestamp(self.clock(), UTC) + timedelta(seconds=VALID_SECONDS)
        self._private(
            "AddOrder",
            {
                "pair": symbol,
                "type": child.side,
                "ordertype": "limit",
                "volume": amount,
                "price": price,
                "timeinforce": "IOC",
                "oflags": "fciq",
                "cl_ord_id": client_id(child.id),
                "deadline": until.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            },
        )
        report = self.looked(child, symbol)
        if report is None:
            raise VenueUnavailable(f"{self.name} took the order, and does not say how it ended")
        return report

    def look(self, child: ChildOrder, symbol: str) -> Report | None:
        wanted = client_id(child.id)
        for method, place in (("ClosedOrders", "closed"), ("OpenOrders", "open")):
            found = self._private(method, {"cl_ord_id": wanted})[place]
            for order in found.values():
                if order.get("cl_ord_id") == wanted:
                    return self._report(child, order)
        return None

    def _report(self, child: ChildOrder, order: Mapping[str, Any]) -> Report:
        if order["status"] not in _ENDED:
            raise VenueUnavailable(f"{self.name} has not ended the order yet")
        return report_of(
            child,
            amount=read_decimal(order["vol_exec"]),
            worth=read_decimal(order["cost"]),
            fee=read_decimal(order["fee"]),
        )

    def _one(self, result: Mapping[str, Any]) -> Mapping[str, Any]:
        """The only entry of an answer that is by the exchange's own name of the pair."""
        [found] = result.values()
        if not isinstance(found, Mapping):
            raise ValueError("no entry of a pair")
        return found

    def _public(self, path: str) -> Mapping[str, Any]:
        return self._read(self.caller.ask("GET", path).body)

    def _private(self, method: str, fields: Mapping[str, str]) -> Mapping[str, Any]:
        path = f"/0/private/{method}"
        # One after another: a nonce that is below the last is refused.
        with self._nonces:
            self._nonce = max(self._nonce + 1, int(self.clock() * 1_000_000))
            body = urlencode({"nonce": self._nonce, **fields})
            headers = {
                "API-Key": self.key,
                "API-Sign": signature(self.secret, path, self._nonce, body),
            }
            answer = self.caller.ask("POST", path, headers=headers, body=body)
        return self._read(answer.body)

    def _read(self, body: Any) -> Mapping[str, Any]:
        errors = [str(each) for each in body["error"] if not str(each).startswith("W")]
        if not errors:
            result: Mapping[str, Any] = body["result"]
            return result
        said = ", ".join(errors)[:200]
        if any(each.startswith(_TOO_OFTEN) for each in errors):
            self.caller.pause()
        elif all(each.startswith(_REFUSED) for each in errors) and "cl_ord" not in said:
            raise VenueRefused(f"{self.name}: {said}")
        raise VenueUnavailable(f"{self.name}: {said}")
