"""The facilitator's door: x402's ``verify``, ``settle``, ``supported`` and discovery.

Strict to the wire, so that others' servers use it as it is. Who has an API key sends it; without
one payments to receiving addresses of this server are served, within a limit of each IP address. A
payment that is not good is answered 200 with its reason; what is no request is an error.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol
from urllib.parse import parse_qsl

import msgspec

from sakk.api.answer import encode, refusal
from sakk.api.authentication import Authenticator
from sakk.api.dependencies import Dependencies
from sakk.api.limit import Limits
from sakk.api.pipeline import Request
from sakk.core.api_key import allows
from sakk.core.connected_account import check_acts
from sakk.core.errors import InvalidRequest, ParameterInvalid, PermissionDenied, Unavailable
from sakk.core.escrow_call import EscrowCall
from sakk.core.escrow_channel import SCHEME as BATCH_SETTLEMENT
from sakk.core.evm import checksum_address
from sakk.core.idempotency import check_key
from sakk.core.peer import client_address
from sakk.core.x402 import (
    EXACT,
    VERSION,
    Reason,
    Settled,
    Verified,
    place_of,
    read_request,
)
from sakk.core.x402 import Request as X402Request
from sakk.core.x402_resource import LIMIT_DEFAULT, LIMIT_MAX, OFFSET_MAX, page, read_number
from sakk.flow.escrow import EscrowFacilitator, Ordered
from sakk.flow.escrow import kinds as escrow_kinds
from sakk.flow.facilitator import Asked, Facilitator, Waiting
from sakk.flow.idempotency import Answer
from sakk.store import network, x402_resource
from sakk.store.address import list_captors
from sakk.store.identity import now as wall_clock

PREFIX = "/x402"
VERIFY, SETTLE, SUPPORTED = (f"{PREFIX}/{each}" for each in ("verify", "settle", "supported"))
DISCOVERY = f"{PREFIX}/discovery/resources"
QUERY_MAX = 20
SCOPE = "x402_payments:write"
KEY_HEADER = "idempotency-key"
FAMILY = "eip155:*"


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks: the key's mode, None without a key; and what it calls its request by."""

    livemode: bool | None
    account_id: str | None
    idempotency_key: str | None

    def asks(self, request: X402Request) -> Asked:
        return Asked(request, self.livemode, self.account_id, self.idempotency_key)


Begun = msgspec.Struct | Waiting | Ordered
Told = Begun | Answer
Act = Callable[[Sequence[Asked]], Sequence[Begun]]


class Scheme(Protocol):
    """A way to pay that this server verifies and settles; safe to call from many threads.

    ``is_gathered``: what is asked of it at one time is asked together.
    """

    name: str
    is_gathered: bool

    def verify(self, asked: Sequence[Asked]) -> Sequence[msgspec.Struct]: ...

    def begin(self, asked: Sequence[Asked]) -> "Sequence[Begun]": ...

    def kinds(self) -> list[dict[str, Any]]: ...


class ExactScheme:
    """``exact``: one signed transfer, carried out once."""

    name = EXACT
    is_gathered = True

    def __init__(self, dependencies: Dependencies) -> None:
        self._dependencies = dependencies
        self.facilitator = Facilitator(
            dependencies.parts, any_recipient=dependencies.settings.x402_any_recipient
        )

    def verify(self, asked: Sequence[Asked]) -> Sequence[Verified]:
        return self.facilitator.verify(asked)

    def begin(self, asked: Sequence[Asked]) -> Sequence[Settled | Waiting]:
        return self.facilitator.begin(asked)

    def kinds(self) -> list[dict[str, Any]]:
        """Each network on which a token is listed that is paid in."""
        with self._dependencies.database.read() as connection:
            paid_in = {
                each.network
                for each in network.list_assets(connection)
                if each.payin_enabled and each.contract is not None
            }
            return [
                {"x402Version": VERSION, "scheme": EXACT, "network": each.network}
                for each in network.list_networks(connection)
                if each.enabled and each.network in paid_in
            ]


class EscrowScheme:
    """``batch-settlement``: channels in the escrow, and what servers ask of them."""

    name = BATCH_SETTLEMENT
    is_gathered = False

    def __init__(self, dependencies: Dependencies) -> None:
        self._parts = dependencies.parts
        self.facilitator = EscrowFacilitator(dependencies.parts)

    def verify(self, asked: Sequence[Asked]) -> Sequence[Verified]:
        return [
            self.facilitator.verify(each.request, livemode=each.livemode, account=each.account_id)
            for each in asked
        ]

    def begin(self, asked: Sequence[Asked]) -> Sequence[Settled | Ordered]:
        return [
            self.facilitator.begin(each.request, livemode=each.livemode, account=each.account_id)
            for each in asked
        ]

    def kinds(self) -> list[dict[str, Any]]:
        try:
            return escrow_kinds(self._parts)
        except Unavailable:
            return []


class X402Door:
    """Answers for payments; safe to call from many threads."""

    def __init__(
        self,
        dependencies: Dependencies,
        limits: Limits,
        authenticator: Authenticator,
        clock: Callable[[], datetime] = wall_clock,
    ) -> None:
        self._dependencies = dependencies
        self._limits = limits
        self._authenticator = authenticator
        self._clock = clock
        self.exact, self.escrow = ExactScheme(dependencies), EscrowScheme(dependencies)
        schemes: list[Scheme] = [self.exact, self.escrow]
        self.schemes = {each.name: each for each in schemes}

    def place(self, body: bytes) -> str | None:
        """What a request is asked together with: its network; None where it is asked alone."""
        name, network = place_of(body)
        scheme = self.schemes.get(name)
        return network if scheme is not None and scheme.is_gathered else None

    def verify(self, requests: Sequence[Request]) -> list[Answer]:
        """The answers to ``POST /x402/verify``, in order."""
        unknown = Verified(is_valid=False, invalid_reason=Reason.unsupported_scheme.value)
        told = self._told(requests, lambda scheme: scheme.verify, unknown)
        return [_answer(each) for each in told]

    def begin(self, requests: Sequence[Request]) -> list[Answer | Waiting | Ordered]:
        """The answers to ``POST /x402/settle``, or what is to be waited for, in order."""
        unknown = Settled(
            success=False,
            transaction="",
            network="",
            error_reason=Reason.unsupported_scheme.value,
        )
        told = self._told(requests, lambda scheme: scheme.begin, unknown)
        return [each if isinstance(each, Waiting | Ordered) else _answer(each) for each in told]

    def _told(
        self, requests: Sequence[Request], act: Callable[[Scheme], Act], unknown: Told
    ) -> list[Told]:
        """What the schemes say, each asked once for all that is its own."""
        told: dict[int, Told] = {}
        groups: dict[str, dict[int, Asked]] = {}
        for place, request in enumerate(requests):
            try:
                asker = self._asker(request)
                name, _ = place_of(request.body)
                if name in self.schemes:
                    groups.setdefault(name, {})[place] = asker.asks(_read(request.body))
                else:
                    told[place] = unknown
            except Exception as error:
                told[place] = self._refusal(request, error)
        for name, group in groups.items():
            try:
                told |= zip(group, act(self.schemes[name])(list(group.values())), strict=True)
            except Exception as error:
                told |= {place: self._refusal(requests[place], error) for place in group}
        return [told[place] for place in range(len(requests))]

    def too_many(self, request: Request) -> Answer:
        """The answer where as many wait as may."""
        error = Unavailable("Too many settlements wait. Send the request again in a second.")
        return self._refusal(request, error)

    def given_up(self, request: Request, waiting: Waiting, *, is_there: bool) -> Answer:
        """The answer to who has waited as long as one waits."""
        try:
            return _ok(self.exact.facilitator.give_up(waiting.payment, is_there=is_there))
        except Exception as error:
            return self._refusal(request, error)

    def finished(self, request: Request, ordered: Ordered) -> Answer:
        """The answer when a call has ended, or was waited for as long as one waits."""
        try:
            return _ok(ordered.finish())
        except Exception as error:
            return self._refusal(request, error)

    def ended_calls(self, once: Sequence[str], keyed: Sequence[str]) -> dict[str, EscrowCall]:
        """Those calls of the escrow that are over; each is told to all who wait for it."""
        return self.escrow.facilitator.ended([*once, *keyed])

    def supported(self, request: Request) -> Answer:
        """The answer to ``GET /x402/supported``: what may be paid by, and who carries it out."""
        try:
            self._limits.count_x402(self._address(request))
            kinds = [kind for scheme in self.schemes.values() for kind in scheme.kinds()]
            with self._dependencies.database.read() as connection:
                keys = [checksum_address(each.address) for each in list_captors(connection)]
            return _ok({"kinds": kinds, "extensions": [], "signers": {FAMILY: keys}})
        except Exception as error:
            return self._refusal(request, error)

    def resources(self, request: Request) -> Answer:
        """The answer to ``GET /x402/discovery/resources``: what is sold and wants to be found."""
        try:
            self._limits.count_x402(self._address(request))
            query = dict(parse_qsl(request.query.decode("latin-1"), max_num_fields=QUERY_MAX))
            try:
                limit = read_number(query.get("limit"), LIMIT_DEFAULT, LIMIT_MAX)
                offset = read_number(query.get("offset"), 0, OFFSET_MAX)
            except ValueError as error:
                raise ParameterInvalid(f"{error}.", param="limit") from None
            with self._dependencies.database.read() as connection:
                rows, total = x402_resource.find(
                    connection, type=query.get("type"), limit=limit, offset=offset
                )
            return _ok(page(rows, limit=limit, offset=offset, total=total))
        except Exception as error:
            return self._refusal(request, error)

    def _asker(self, request: Request) -> Asker:
        """Who asks, within the limits: of its key, or of its IP address where it has none."""
        headers = request.headers
        sent = headers.get(KEY_HEADER)
        key = None if sent is None else check_key(sent)
        address = self._address(request)
        if "authorization" not in headers:
            self._limits.count_x402(address)
            return Asker(livemode=None, account_id=None, idempotency_key=key)
        caller = self._authenticator.caller(
            authorization=headers["authorization"],
            stripe_account=headers.get("stripe-account"),
            address=address,
            now=self._clock(),
        )
        self._limits.count_request(caller.key.id)
        if not allows(caller.key, SCOPE):
            raise PermissionDenied(f"This API key needs the scope {SCOPE!r} for payments.")
        if caller.connected is not None:
            check_acts(caller.connected, SCOPE)
        return Asker(caller.key.livemode, caller.account_id, key)

    def _address(self, request: Request) -> str | None:
        return client_address(
            request.peer,
            request.headers.get("x-forwarded-for"),
            self._dependencies.settings.trusted_proxies,
        )

    def _refusal(self, request: Request, error: Exception) -> Answer:
        public_url = self._dependencies.settings.public_url
        return refusal(error, request_id=request.request_id, public_url=public_url)


def told(answer: Settled) -> Answer:
    """The answer to who waited."""
    return _ok(answer)


def _read(body: bytes) -> X402Request:
    try:
        return read_request(body)
    except ValueError as error:
        raise InvalidRequest(f"This is no x402 request: {error}.") from None


def _answer(told: Told) -> Answer:
    return told if isinstance(told, Answer) else _ok(told)


def _ok(document: Any) -> Answer:
    return Answer(status=200, body=encode(document))
