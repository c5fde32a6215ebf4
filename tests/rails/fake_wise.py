"""A fake of Wise that speaks its published wire over real HTTP; Wise is not asked.

It checks what Wise checks: the token, the profile, which of a recipient's fields there are, that a
quote is used once and in its time, that a ``customerTransactionId`` is one transfer; and loses
answers, asks for strong authentication or answers what is none where a test says so.
"""

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID, uuid4

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.serving import Handler, served

TOKEN = "the-token"
PROFILE = 222
BALANCE = 64
LOCK = timedelta(minutes=30)
FEE = Decimal("0.53")
_SIGNING = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PUBLIC_KEY = (
    _SIGNING.public_key()
    .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    .decode()
    .strip()
)


def signature(body: bytes) -> str:
    """What ``X-Signature-SHA256`` says."""
    return base64.b64encode(_SIGNING.sign(body, PKCS1v15(), SHA256())).decode()


def notice(transfer: int, at: datetime, *, profile: int = PROFILE) -> bytes:
    """What Wise sends when a transfer is somewhere else."""
    told = {
        "data": {
            "resource": {
                "type": "transfer",
                "id": transfer,
                "profile_id": profile,
                "account_id": 333,
            },
            "current_state": "outgoing_payment_sent",
            "previous_state": "funds_converted",
            "occurred_at": f"{at:%Y-%m-%dT%H:%M:%SZ}",
        },
        "subscription_id": "01234567-89ab-cdef-0123-456789abcdef",
        "event_type": "transfers#state-change",
        "schema_version": "4.0.0",
        "sent_at": f"{at:%Y-%m-%dT%H:%M:%S.000Z}",
    }
    return json.dumps(told).encode()


@dataclass
class FakeWise:
    """One profile's quotes, recipients and transfers. ``asked``: every request that came."""

    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    funds: Decimal = Decimal(10_000)
    quotes: dict[str, dict[str, Any]] = field(default_factory=dict)
    recipients: list[dict[str, Any]] = field(default_factory=list)
    transfers: dict[int, dict[str, Any]] = field(default_factory=dict)
    transactions: list[dict[str, Any]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    url: str = ""
    # What goes wrong: the answer to a path that ends so is lost, or is this one.
    loses: str | None = None
    instead: tuple[int, bytes, dict[str, str]] | None = None
    asks_for_authentication: bool = False
    # Numbers of transfers that are somebody else's.
    others: set[int] = field(default_factory=set)

    @property
    def funded(self) -> list[dict[str, Any]]:
        return [
            one for one in self.transfers.values() if one["status"] != "incoming_payment_waiting"
        ]

    def answer(self, method: str, path: str, query: dict[str, str], sent: Any) -> tuple[int, Any]:
        match method, path.strip("/").split("/"):
            case "POST", ["v3", "profiles", profile, "quotes"]:
                assert int(profile) == PROFILE
                return self._quote(sent)
            case "POST", ["v1", "accounts"]:
                return self._recipient(sent)
            case "POST", ["v1", "transfers"]:
                return self._transfer(sent)
            case "POST", ["v3", "profiles", _, "transfers", number, "payments"]:
                assert sent == {"type": "BALANCE"}
                return self._fund(self.transfers[int(number)])
            case "GET", ["v1", "transfers", number]:
                found = self.transfers.get(int(number))
                missing = 403 if int(number) in self.others else 404
                return (missing, {"errors": []}) if found is None else (200, found)
            case "GET", ["v1", "transfers"]:
                assert int(query["profile"]) == PROFILE
                since = datetime.fromisoformat(query["createdDateStart"])
                listed = [one for one in self.transfers.values() if one["at"] >= since.timestamp()]
                first = int(query["offset"])
                return 200, listed[first : first + int(query["limit"])]
            case "GET", ["v4", "profiles", _, "balances"]:
                assert query["types"] == "STANDARD"
                return 200, [{"id": 1, "currency": "USD"}, {"id": BALANCE, "currency": "EUR"}]
            case "GET", ["v1", "profiles", _, "balance-statements", number, "statement.json"]:
                assert (int(number), query["type"]) == (BALANCE, "COMPACT")
                return self._statement(query)
            case _:
                return 404, {"errors": []}

    def _quote(self, sent: Any) -> tuple[int, Any]:
        amount = Decimal(str(sent["targetAmount"]))
        if amount <= 0:
            return 422, _fault("error.greaterThanZero", "targetAmount")
        made = str(uuid4())
        self.quotes[made] = {"amount": amount, "until": self.now + LOCK, "transfer": None}
        option = {
            "payIn": "BALANCE",
            "payOut": sent["payOut"],
            "disabled": amount > 1_000_000,
            "sourceAmount": amount + FEE,
            "targetAmount": amount,
            "fee": {"total": FEE},
        }
        dear = {**option, "payIn": "CARD", "sourceAmount": amount * 2}
        until = f"{self.now + LOCK:%Y-%m-%dT%H:%M:%SZ}"
        return 200, {"id": made, "paymentOptions": [dear, option], "expirationTime": until}

    def _recipient(self, sent: Any) -> tuple[int, Any]:
        assert (sent["profile"], sent["currency"]) == (PROFILE, "EUR")
        if " " not in sent["accountHolderName"] and sent["details"]["legalType"] == "PRIVATE":
            return 422, _fault("NOT_VALID", "accountHolderName")
        assert set(sent["details"]) == {"legalType", "IBAN"}
        self.recipients.append(sent)
        return 200, {"id": len(self.recipients)}

    def _transfer(self, sent: Any) -> tuple[int, Any]:
        key = str(UUID(sent["customerTransactionId"]))
        for each in self.transfers.values():
            if each["customerTransactionId"] == key:
                return 200, each
        quote = self.quotes.get(sent["quoteUuid"])
        if quote is None or quote["transfer"] is not None or self.now >= quote["until"]:
            return 422, _fault("quote.expired", "quoteUuid")
        number = 1_000 + len(self.transfers)
        quote["transfer"] = number
        self.transfers[number] = {
            "id": number,
            "status": "incoming_payment_waiting",
            "customerTransactionId": key,
            "sourceCurrency": "EUR",
            # Without the fee, as Wise publishes it: what is taken is the quote's to say.
            "sourceValue": quote["amount"],
            "targetCurrency": "EUR",
            "targetValue": quote["amount"],
            "hasActiveIssues": False,
            "details": sent["details"],
            "at": self.now.timestamp(),
        }
        return 200, self.transfers[number]

    def _fund(self, transfer: dict[str, Any]) -> tuple[int, Any]:
        if self.asks_for_authentication:
            return 403, {}
        if transfer["status"] != "incoming_payment_waiting":
            return 200, {"type": "BALANCE", "status": "REJECTED", "errorCode": "transfer.funded"}
        if transfer["sourceValue"] + FEE > self.funds:
            code = "balance.payment-option-unavailable"
            return 200, {"type": "BALANCE", "status": "REJECTED", "errorCode": code}
        self.moved(-transfer["sourceValue"] - FEE, f"TRANSFER-{transfer['id']}", "TRANSFER")
        transfer["status"] = "processing"
        return 201, {"type": "BALANCE", "status": "COMPLETED", "errorCode": None}

    def moved(self, amount: Decimal, reference: str, kind: str, **details: str) -> None:
        """Something moves on the balance now."""
        self.funds += amount
        self.transactions.append(
            {
                "type": "CREDIT" if amount > 0 else "DEBIT",
                "date": f"{self.now:%Y-%m-%dT%H:%M:%S.123Z}",
                "amount": {"value": amount, "currency": "EUR"},
                "totalFees": {"value": FEE, "currency": "EUR"},
                "details": {"type": kind, "description": "moved", **details},
                "runningBalance": {"value": self.funds, "currency": "EUR"},
                "referenceNumber": reference,
                "after": self.funds,
            }
        )
        self.now += timedelta(seconds=1)

    def _statement(self, query: dict[str, str]) -> tuple[int, Any]:
        begins, ends = query["intervalStart"], query["intervalEnd"]
        within = [one for one in self.transactions if begins <= one["date"] <= ends]
        before = [one for one in self.transactions if one["date"] <= ends]
        balance = before[-1]["after"] if before else self.funds
        # The newest first, as Wise has them.
        closing = {"value": balance, "currency": query["currency"]}
        return 200, {"transactions": within[::-1], "endOfStatementBalance": closing}


def _fault(code: str, path: str) -> dict[str, Any]:
    return {"errors": [{"code": code, "message": "No.", "path": path, "arguments": []}]}


def _number(value: object) -> Any:
    assert isinstance(value, Decimal)
    return float(value)


@contextmanager
def fake_wise() -> Iterator[FakeWise]:
    """Its interface at an address of this machine."""
    fake = FakeWise()

    class Answers(Handler):
        protocol_version = "HTTP/1.1"

        def reply(self) -> None:
            parts = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            fake.asked.append(f"{self.command} {parts.path}")
            if fake.instead is not None:
                self.say(*fake.instead)
                return
            if self.headers["authorization"] != f"Bearer {TOKEN}":
                self.say(401, b'{"error": "invalid_token"}', {})
                return
            query = {name: each[0] for name, each in parse_qs(parts.query).items()}
            sent = json.loads(body) if body else None
            status, told = fake.answer(self.command, parts.path, query, sent)
            if fake.loses is not None and parts.path.endswith(fake.loses):
                fake.loses = None
                self.close_connection = True
                self.connection.shutdown(2)
                return
            asks = status == 403 and fake.asks_for_authentication
            headers = {"x-2fa-approval": "ott"} if asks else {}
            self.say(status, json.dumps(told, default=_number).encode(), headers)

        do_GET = do_POST = reply

    with served(Answers) as fake.url:
        yield fake
