"""The HTTP door: an ASGI application, its routes in one table, and what stands on every answer."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import structlog
from fastapi import FastAPI
from fastapi import Request as HttpRequest
from fastapi import Response as HttpResponse
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sakk.api import (
    account,
    alias,
    api_key,
    application_fee,
    approval,
    balance,
    bank_account,
    bank_file,
    bank_return,
    bank_statement,
    beneficiary,
    bill,
    branding,
    case,
    channel,
    charge,
    charge_refund,
    chart_mapping,
    checkout_session,
    connected_account,
    conversion,
    currency,
    customer,
    day,
    dispute,
    escrow_channel,
    escrow_dispute,
    event,
    exposure,
    fee,
    file,
    freeze,
    gift_card,
    gift_card_batch,
    hedge_policy,
    information_request,
    ledger_break,
    ledger_history,
    liability,
    mandate,
    mandate_spend,
    money_request,
    name,
    network,
    order,
    owner_key,
    party,
    payin,
    payment,
    payment_link,
    payout,
    payout_batch,
    person,
    policy,
    pool,
    pos_device,
    product,
    provider_order,
    purchase,
    quote,
    rate,
    receiving_address,
    reconciliation,
    recovery,
    refill,
    refund,
    report,
    rule,
    screening,
    settlement,
    shop,
    transaction,
    transfer,
    travel_rule,
    treasury,
    vasp,
    wallet_proof,
    webhook,
    withdrawal,
    x402_payment,
)
from sakk.api.answer import SECURITY_HEADERS, refusal
from sakk.api.charge import Charges, Sessions
from sakk.api.claim import BODY_BYTES_MAX as CLAIM_BYTES_MAX
from sakk.api.claim import PATH as CLAIM_PATH
from sakk.api.claim import ClaimDoor
from sakk.api.dependencies import Dependencies
from sakk.api.escrow_payer import PATHS as ESCROW_PAYER_PATHS
from sakk.api.escrow_payer import EscrowPayerDoor
from sakk.api.exchange import read_whole, request_id, request_of, response_of
from sakk.api.gate import Gate
from sakk.api.health import health_routes
from sakk.api.limit import Limits
from sakk.api.observation import observer
from sakk.api.openapi import openapi_document
from sakk.api.pipeline import Pipeline, Request
from sakk.api.posting import Admission, HotDoor, Postings
from sakk.api.provider_notice import ProviderDoor
from sakk.api.route import HOT, Kind, Resource, Route, scopes
from sakk.api.session import BODY_BYTES_MAX as SESSION_BYTES_MAX
from sakk.api.session import PATHS as SESSION_PATHS
from sakk.api.session import SessionDoor
from sakk.api.trp import PATH as TRP_PATH
from sakk.api.trp import TrpDoor
from sakk.api.voucher import VoucherDesk
from sakk.api.x402 import SCOPE as X402_SCOPE
from sakk.api.x402 import X402Door
from sakk.api.x402_endpoint import waiters_of, x402_endpoints
from sakk.core.errors import (
    InvalidRequest,
    MethodNotAllowed,
    RouteUnknown,
    SakkError,
)
from sakk.core.provider_notice import BODY_BYTES_MAX as NOTICE_BYTES_MAX
from sakk.core.provider_notice import PATH as NOTICE_PATH
from sakk.core.trp import BODY_BYTES_MAX as TRP_BYTES_MAX
from sakk.flow.idempotency import Answer
from sakk.pages import static_files
from sakk.store.identity import new_id

log = structlog.get_logger("sakk.api")

T = TypeVar("T")
Endpoint = Callable[[HttpRequest], Awaitable[HttpResponse]]
Answering = Callable[[HttpRequest, Request], Awaitable[Answer]]

RESOURCES: tuple[Resource, ...] = (
    account.resource,
    connected_account.resource,
    application_fee.resource,
    alias.resource,
    bill.resource,
    gift_card.resource,
    gift_card_batch.resource,
    information_request.resource,
    money_request.resource,
    api_key.resource,
    customer.resource,
    currency.resource,
    network.resource,
    payment.resource,
    checkout_session.resource,
    payment_link.resource,
    pos_device.resource,
    shop.resource,
    product.resource,
    purchase.resource,
    branding.resource,
    payin.resource,
    receiving_address.resource,
    bank_account.resource,
    bank_account.references,
    bank_file.resource,
    bank_file.payment_resource,
    bank_return.resource,
    bank_statement.resource,
    bank_statement.lines,
    provider_order.resource,
    beneficiary.resource,
    travel_rule.resource,
    vasp.resource,
    wallet_proof.resource,
    payout.resource,
    payout_batch.resource,
    quote.resource,
    refund.resource,
    approval.resource,
    party.resource,
    person.resource,
    person.own,
    policy.resource,
    recovery.resource,
    transfer.resource,
    owner_key.resource,
    mandate.resource,
    mandate.words,
    mandate_spend.resource,
    pool.resource,
    refill.resource,
    treasury.resource,
    withdrawal.resource,
    balance.resource,
    balance.transactions,
    liability.epochs,
    liability.proofs,
    event.resource,
    exposure.resource,
    freeze.resource,
    transaction.resource,
    webhook.resource,
    # Before the screenings of transfers, one of which could be called "names".
    name.resource,
    screening.resource,
    case.resource,
    rule.resource,
    fee.resource,
    fee.schedules,
    rate.resource,
    conversion.resource,
    conversion.quotes,
    conversion.positions,
    hedge_policy.resource,
    order.resource,
    settlement.resource,
    settlement.schedules,
    report.resource,
    file.resource,
    chart_mapping.resource,
    reconciliation.resource,
    ledger_break.resource,
    day.resource,
    ledger_history.resource,
    channel.resource,
    charge_refund.resource,
    dispute.resource,
    escrow_channel.resource,
    escrow_dispute.resource,
    charge.resource,
    x402_payment.resource,
)
ROUTES: tuple[Route, ...] = tuple(route for resource in RESOURCES for route in resource.routes)


def create_app(dependencies: Dependencies, routes: Sequence[Route] = ROUTES) -> ASGIApp:
    """The application for one process. It owns its threads and ends them at shutdown."""
    settings = dependencies.settings
    gate = Gate(settings)
    limits = Limits(
        requests_per_second=settings.rate_limit_per_second,
        failures_per_minute=settings.authentication_failures_per_minute,
        processes=settings.processes,
    )
    pipeline = Pipeline(dependencies, limits, sorted({*scopes(routes), X402_SCOPE}))
    x402 = X402Door(dependencies, limits, pipeline.authenticator)
    waiters = waiters_of(dependencies.database.url, x402)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        waiters.close()
        gate.close()
        pipeline.log.close()

    app = FastAPI(
        title="Sakk",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
    )
    fixed: dict[tuple[str, str], Endpoint] = {}
    doors: dict[tuple[str, str], ASGIApp] = {}
    for route in routes:
        if route.kind in HOT:
            doors[route.method, route.path] = _hot_door(gate, pipeline, route)
            continue
        endpoint = _endpoint(gate, pipeline, route)
        if not route.path_parameters:
            fixed[route.method, route.path] = endpoint
        app.add_api_route(
            route.path,
            endpoint,
            methods=[route.method],
            operation_id=route.operation,
            response_model=None,
        )
    for path, respond in health_routes(dependencies, lambda: openapi_document(routes)).items():
        fixed["GET", path] = _plain(gate, respond)
        app.add_api_route(path, fixed["GET", path], methods=["GET"], response_model=None)
    _add_doors(app, gate, dependencies, limits)
    sessions, payers = SessionDoor(dependencies, limits), EscrowPayerDoor(dependencies, limits)
    for path in (*SESSION_PATHS, *ESCROW_PAYER_PATHS):
        signed = _signed_endpoint(gate, sessions if path in SESSION_PATHS else payers)
        fixed["POST", path] = signed
        app.add_api_route(path, signed, methods=["GET", "POST"], response_model=None)
    for (method, path), each in x402_endpoints(gate, x402, waiters).items():
        fixed[method, path] = each
        app.add_api_route(path, each, methods=[method], response_model=None)
    app.add_exception_handler(HTTPException, _unrouted(settings.public_url))
    return Envelope(Shortcut(app, fixed), dependencies, doors)


def _add_doors(app: FastAPI, gate: Gate, dependencies: Dependencies, limits: Limits) -> None:
    """The doors of those who have no key, and what pages load."""
    claims, providers = ClaimDoor(dependencies, limits), ProviderDoor(dependencies, limits)
    institutions = _trp_endpoint(gate, TrpDoor(dependencies, limits))
    for path, endpoint, methods in (
        (CLAIM_PATH, _claim_endpoint(gate, claims), ["GET", "POST"]),
        (TRP_PATH, institutions, ["GET", "POST", "PUT", "DELETE"]),
        (NOTICE_PATH, _notice_endpoint(gate, providers), ["GET", "POST"]),
    ):
        app.add_api_route(path, endpoint, methods=methods, response_model=None)
    app.add_api_route(static_files.PATH, _static, methods=["GET", "HEAD"], response_model=None)


class Shortcut:
    """Finds a path without parameters at once, past the framework's routing and its layers."""

    def __init__(
        self,
        app: ASGIApp,
        fixed: Mapping[tuple[str, str], Endpoint],
    ) -> None:
        self._app = app
        self._fixed = fixed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        endpoint = None
        if scope["type"] == "http":
            endpoint = self._fixed.get((scope["method"], scope["path"]))
        if endpoint is None:
            await self._app(scope, receive, send)
            return
        response = await endpoint(HttpRequest(scope, receive, send))
        await response(scope, receive, send)


async def _static(request: HttpRequest, digest: str, name: str) -> HttpResponse:
    """What pages load besides themselves; it is in memory, so it needs no thread."""
    given = static_files.answer(
        digest,
        name,
        encodings=request.headers.get("accept-encoding", ""),
        etag=request.headers.get("if-none-match"),
    )
    return HttpResponse(given.body, status_code=given.status, headers=given.headers)


def _claim_endpoint(gate: Gate, door: ClaimDoor) -> Endpoint:
    """For payers, who have no key."""

    async def endpoint(request: HttpRequest) -> HttpResponse:
        try:
            body = await read_whole(request, CLAIM_BYTES_MAX)
        except SakkError as error:
            return response_of(refusal(error, request_id=request_id(request)))
        arrived = request_of(request, request.method, body)
        answer, extra = await gate.beside(lambda: door.answer(arrived))
        response = response_of(answer)
        response.headers.update(extra)
        return response

    return endpoint


def _trp_endpoint(gate: Gate, door: TrpDoor) -> Endpoint:
    """For other institutions, who have no key."""

    async def endpoint(request: HttpRequest) -> HttpResponse:
        try:
            body = await read_whole(request, TRP_BYTES_MAX)
        except SakkError as error:
            return response_of(refusal(error, request_id=request_id(request)))
        arrived = request_of(request, request.method, body)
        answer, extra = await gate.beside(lambda: door.answer(arrived))
        response = response_of(answer)
        response.headers.update(extra)
        return response

    return endpoint


def _notice_endpoint(gate: Gate, door: ProviderDoor) -> Endpoint:
    """For providers, who have no key."""

    async def endpoint(request: HttpRequest) -> HttpResponse:
        try:
            body = await read_whole(request, NOTICE_BYTES_MAX)
        except SakkError as error:
            return response_of(refusal(error, request_id=request_id(request)))
        arrived = request_of(request, request.method, body)
        return response_of(await gate.beside(lambda: door.answer(arrived)))

    return endpoint


def _signed_endpoint(gate: Gate, door: SessionDoor | EscrowPayerDoor) -> Endpoint:
    """For agents and payers, who have no key."""

    async def endpoint(request: HttpRequest) -> HttpResponse:
        try:
            body = await read_whole(request, SESSION_BYTES_MAX)
        except SakkError as error:
            return response_of(refusal(error, request_id=request_id(request)))
        arrived = request_of(request, request.method, body)
        return response_of(await gate.run(request, lambda: door.answer(arrived), outside=True))

    return endpoint


def _endpoint(gate: Gate, pipeline: Pipeline, route: Route) -> Endpoint:
    settings = pipeline.dependencies.settings
    observe = observer(route.method, route.path)
    outside = route.kind in (Kind.two_steps, Kind.steps, Kind.inquiry)

    async def endpoint(request: HttpRequest) -> HttpResponse:
        began = time.perf_counter()
        try:
            body = await read_whole(request, route.body_bytes_max or settings.body_bytes_max)
        except SakkError as error:
            answer = refusal(error, request_id=request_id(request), public_url=settings.public_url)
        else:
            arrived = request_of(request, route.method, body)
            answer = await gate.run(
                request, lambda: pipeline.answer(route, arrived), outside=outside
            )
        observe(time.perf_counter() - began, answer.status)
        return response_of(answer)

    return endpoint


def _hot_door(gate: Gate, pipeline: Pipeline, route: Route) -> ASGIApp:
    dependencies = pipeline.dependencies
    assert dependencies.line is not None, "this process was wired without a line to the ledger"
    wired = (route, pipeline.authenticator, dependencies.settings, gate.beside)
    admission: Admission
    if route.kind is Kind.posting:
        admission = Postings(*wired)
    else:
        parts = dependencies.parts
        sessions = Sessions(dependencies.database, parts.vault)
        desk = VoucherDesk(parts, dependencies.line, gate.beside, time.time)
        admission = Charges(*wired, sessions, desk)
    return HotDoor(admission, dependencies.line, observer(route.method, route.path))


def _plain(gate: Gate, respond: Callable[[], HttpResponse]) -> Endpoint:
    async def endpoint(request: HttpRequest) -> HttpResponse:
        return await gate.beside(respond)

    return endpoint


class Envelope:
    """What stands on every answer, errors included: the request's id and the security headers.

    ``doors`` are applications that put them there themselves.
    """

    def __init__(
        self,
        app: ASGIApp,
        dependencies: Dependencies,
        doors: Mapping[tuple[str, str], ASGIApp] | None = None,
    ) -> None:
        self._app = app
        self._doors = doors or {}
        self._public_url = dependencies.settings.public_url

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        door = self._doors.get((scope["method"], scope["path"]))
        if door is not None:
            await door(scope, receive, send)
            return
        identifier = new_id("req")
        scope["sakk.request_id"] = identifier
        started = False

        async def dressed(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message["headers"] = _dressed(message.get("headers", ()), identifier)
            await send(message)

        try:
            await self._app(scope, receive, dressed)
        except Exception as error:
            if started:
                raise
            answer = refusal(error, request_id=identifier, public_url=self._public_url)
            await response_of(answer)(scope, receive, dressed)


def _dressed(given: Sequence[tuple[bytes, bytes]], identifier: str) -> list[tuple[bytes, bytes]]:
    names = {name.lower() for name, _ in given}
    return [
        *given,
        (b"request-id", identifier.encode()),
        *(pair for pair in SECURITY_HEADERS if pair[0] not in names),
    ]


def _unrouted(public_url: str) -> Callable[[HttpRequest, Any], Awaitable[HttpResponse]]:
    async def handle(request: HttpRequest, error: Any) -> HttpResponse:
        where = f"{request.method} {request.url.path}"
        told: SakkError
        match error.status_code:
            case 404:
                told = RouteUnknown(f"Unrecognized request URL ({where}). See /openapi.json.")
            case 405:
                told = MethodNotAllowed(f"There is no {where}. See /openapi.json.")
            case _:
                told = InvalidRequest(str(error.detail))
        answer = refusal(told, request_id=request_id(request), public_url=public_url)
        response = response_of(answer)
        if error.headers:
            response.headers.update(error.headers)
        return response

    return handle
