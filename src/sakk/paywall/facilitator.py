"""A facilitator: it verifies and settles payments for a seller (x402 specification v2, section 7).

What it says is believed only as far as it makes sense, and silence is no answer: a settlement whose
answer did not come is asked for again, the same bytes under the same ``Idempotency-Key``, until it
is known or the time is over. Sakk's own facilitator answers the key with the first outcome and
echoes it in the answer; another one may say after a lost answer that the nonce is used, which may
have been our own doing and is therefore not a refusal but an outcome that is not known.
"""

import asyncio
import re
import time
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
import msgspec

from sakk.client.x402 import Requirement, Settlement
from sakk.paywall.errors import PaywallError

ANSWER_BYTES_MAX: Final = 1 << 20
TIMEOUT_SECONDS: Final = 15.0
SETTLE_SECONDS: Final = 60.0
CONNECTIONS_MAX: Final = 256
_PAUSE_SECONDS = (0.05, 0.2, 0.5, 1.0, 2.0)
# Answers without an outcome: the request was none, or never got to where settlements are made.
# Any other may come after the coins have moved.
_REFUSED: Final = frozenset({400, 413, 415, 422})
_TURNED_AWAY: Final = frozenset({401, 403, 404, 405})
_PENDING: Final = "settlement_pending"
_EVM_TRANSACTION = re.compile(r"0x[0-9a-f]{64}", re.IGNORECASE)


class Verdict(msgspec.Struct, frozen=True, rename="camel"):
    """What it says of a payment (``VerifyResponse``)."""

    is_valid: bool
    invalid_reason: str | None = None
    invalid_message: str | None = None
    payer: str | None = None


@dataclass(frozen=True, slots=True)
class Declined:
    """It will not be settled, and nothing was taken."""

    reason: str
    message: str
    extra: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Away:
    """It could not be asked at all: nothing was taken."""

    message: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """Whether it was settled is not known."""

    message: str


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    body: bytes
    echoes: bool


class Facilitator:
    """One facilitator, in the event loop that is running when it is first asked.

    ``url`` is what ``/verify`` and ``/settle`` are added to; ``headers`` go with every request,
    such as a key of the facilitator's.
    """

    def __init__(
        self,
        url: str,
        *,
        headers: dict[str, str] | None = None,
        timeout_seconds: float = TIMEOUT_SECONDS,
        settle_seconds: float = SETTLE_SECONDS,
    ) -> None:
        if not url.startswith(("http://", "https://")):
            raise PaywallError(f"facilitator: must be an http(s) address, not {url!r}.")
        self.url = url.rstrip("/")
        self._headers = {"content-type": "application/json", **(headers or {})}
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        self._settle_seconds = settle_seconds
        self._http: aiohttp.ClientSession | None = None

    async def verify(self, body: bytes) -> Verdict | Away:
        """Would it be settled?"""
        try:
            answer = await self._post("/verify", body, {})
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return Away(f"The facilitator did not answer: {_said(error)}.")
        try:
            return msgspec.json.decode(answer.body, type=Verdict)
        except msgspec.MsgspecError:
            return Away(f"The facilitator answered {answer.status} and no verdict.")

    async def settle(
        self,
        body: bytes,
        key: str,
        *,
        requirement: Requirement,
        payer: str | None,
        is_exact: bool = True,
        was_asked: bool = False,
    ) -> Settlement | Declined | Away | Unknown:
        """Settle, and stay with it until the outcome is known or the time is over.

        ``is_exact``: it moves what the requirement says, and not what the payload says.
        ``was_asked``: it was asked for before, and what became of that is not known.
        """
        deadline = time.monotonic() + self._settle_seconds
        was_unclear = False
        told = "It did not answer."
        for attempt in range(10_000):
            try:
                answer = await self._post("/settle", body, {"idempotency-key": key})
            except aiohttp.ClientConnectorError as error:
                # Nothing was sent.
                told = _said(error)
                if not was_unclear:
                    return Away(f"The facilitator can not be reached: {told}.")
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                was_unclear, told = True, _said(error)
            else:
                outcome = _outcome(answer, requirement, payer, is_exact=is_exact)
                if isinstance(outcome, Settlement):
                    return outcome
                was_lost = was_unclear or was_asked
                if isinstance(outcome, Declined) and (answer.echoes or not was_lost):
                    return outcome
                if isinstance(outcome, Declined):
                    return Unknown(
                        f"No answer came at first, and then that it is refused ({outcome.reason})."
                    )
                if isinstance(outcome, Away) and not was_unclear:
                    return outcome
                was_unclear, told = True, outcome.message
            pause = _PAUSE_SECONDS[min(attempt, len(_PAUSE_SECONDS) - 1)]
            if time.monotonic() + pause >= deadline:
                break
            await asyncio.sleep(pause)
        return Unknown(told)

    async def supported(self) -> dict[str, Any]:
        """Which kinds of payments it takes (``GET /supported``); aiohttp's errors."""
        async with self._session().get(f"{self.url}/supported") as response:
            response.raise_for_status()
            body = await response.content.read(ANSWER_BYTES_MAX)
        document = msgspec.json.decode(body)
        return document if isinstance(document, dict) else {}

    async def close(self) -> None:
        """Close the connections."""
        if self._http is not None:
            http, self._http = self._http, None
            await http.close()

    async def _post(self, path: str, body: bytes, headers: dict[str, str]) -> _Answer:
        async with self._session().post(
            self.url + path, data=body, headers=headers, allow_redirects=False
        ) as response:
            chunks, size = [], 0
            async for chunk in response.content.iter_any():
                size += len(chunk)
                if size > ANSWER_BYTES_MAX:
                    raise aiohttp.ClientPayloadError("the answer is too large")
                chunks.append(chunk)
            key = headers.get("idempotency-key")
            echoes = key is not None and response.headers.get("idempotency-key") == key
            return _Answer(response.status, b"".join(chunks), echoes)

    def _session(self) -> aiohttp.ClientSession:
        if self._http is None:
            self._http = aiohttp.ClientSession(
                headers=self._headers,
                timeout=self._timeout,
                connector=aiohttp.TCPConnector(limit=CONNECTIONS_MAX),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._http


def _outcome(
    answer: _Answer, requirement: Requirement, payer: str | None, *, is_exact: bool
) -> Settlement | Declined | Away | Unknown:
    try:
        settlement = msgspec.json.decode(answer.body, type=Settlement)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        if answer.status in _REFUSED:
            return Declined("facilitator_refused", f"The facilitator answered {answer.status}.")
        if answer.status in _TURNED_AWAY:
            return Away(f"The facilitator answered {answer.status}: ask whoever sells this.")
        return Unknown(f"The facilitator answered {answer.status} and no outcome.")
    if not settlement.success:
        if settlement.error_reason == _PENDING or answer.status >= 500:
            return Unknown("It is being settled.")
        reason = settlement.error_reason or "unexpected_settle_error"
        message = settlement.error_message or "The facilitator did not settle it."
        return Declined(reason, message, settlement.extra)
    wrong = _nonsense(settlement, requirement, payer, is_exact=is_exact)
    if wrong is not None or answer.status >= 400:
        return Unknown(f"The facilitator's success makes no sense: {wrong or answer.status}.")
    return settlement


def _nonsense(
    settlement: Settlement, requirement: Requirement, payer: str | None, *, is_exact: bool
) -> str | None:
    """What contradicts the payment in an answer that claims success."""
    if settlement.network != requirement.network:
        return f"it is of network {settlement.network[:64]!r}"
    if requirement.network.startswith("eip155:"):
        if _EVM_TRANSACTION.fullmatch(settlement.transaction) is None:
            return "it names no transaction"
    elif not settlement.transaction:
        return "it names no transaction"
    if payer is not None and settlement.payer and settlement.payer.lower() != payer.lower():
        return "it names another payer"
    if is_exact and settlement.amount is not None and settlement.amount != requirement.amount:
        return f"it is of amount {settlement.amount[:80]!r}"
    return None


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
