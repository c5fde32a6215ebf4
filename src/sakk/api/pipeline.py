"""From the bytes of a request to the bytes of its answer, in one thread and one call."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, assert_never

from sakk.api.answer import encode, refusal
from sakk.api.authentication import Authenticator, agent_credential
from sakk.api.body import OCTETS, Tree, canonical, read_body, read_form, read_upload
from sakk.api.catalogue import CatalogueCache
from sakk.api.context import (
    Caller,
    Context,
    Document,
    Download,
    Listing,
    ShownOnce,
    Streamed,
)
from sakk.api.dependencies import Dependencies
from sakk.api.expand import LIST_PREFIX, check, expand
from sakk.api.ledger_body import IDS
from sakk.api.limit import Limits
from sakk.api.parameters import NoParameters, Parameters, validate
from sakk.api.request_log import Noted, RequestLog
from sakk.api.route import Kind, Route
from sakk.core.api_key import KeyKind, allows
from sakk.core.audit import UNKEPT
from sakk.core.connected_account import check_acts
from sakk.core.errors import (
    ParameterInvalid,
    ParameterUnknown,
    PermissionDenied,
    ResourceMissing,
)
from sakk.core.idempotency import Key, check_key, fingerprint
from sakk.core.peer import client_address
from sakk.core.person import Actor
from sakk.core.role import may
from sakk.flow.audit import note_act
from sakk.flow.idempotency import (
    Answer,
    Attempt,
    Keyed,
    Steps,
    new_seed,
    run_in_one_transaction,
    run_in_steps,
    run_in_two_steps,
)
from sakk.store.actor import acting
from sakk.store.identity import now as wall_clock

PATH_PARAMETER_LENGTH_MAX = 255


@dataclass(frozen=True, slots=True)
class Request:
    """What arrived. Header names are in lower case."""

    request_id: str
    method: str
    path: str
    path_parameters: Mapping[str, str]
    query: bytes
    headers: Mapping[str, str]
    body: bytes
    peer: str | None


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request that may be executed: allowed, and its parameters valid."""

    caller: Caller
    parameters: Parameters
    tree: Tree
    now: datetime


@dataclass(slots=True)
class Pipeline:
    """Answers requests of any route; safe to call from many threads."""

    dependencies: Dependencies
    limits: Limits
    scopes: Sequence[str]
    catalogues: CatalogueCache = field(default_factory=CatalogueCache)
    authenticator: Authenticator = field(init=False)
    log: RequestLog = field(init=False)

    def __post_init__(self) -> None:
        self.log = RequestLog(self.dependencies.database)
        self.authenticator = Authenticator(self.dependencies.database, self.limits)

    def answer(self, route: Route, request: Request) -> Answer:
        """Answer a request; every error becomes an answer too, and what has an owner is logged."""
        now, began = wall_clock(), time.perf_counter()
        caller: Caller | None = None
        try:
            caller = self._caller(request, now)
            answer = self._answer(route, request, self._prepare(route, request, caller, now))
        except Exception as error:
            answer = self._refusal(request, error)
        if caller is not None:
            took = time.perf_counter() - began
            self.log.note(
                Noted(
                    request.request_id,
                    caller,
                    route.method,
                    request.path,
                    answer.status,
                    answer.body if answer.status >= 400 else b"",
                    took,
                    now,
                )
            )
        return answer

    def _answer(self, route: Route, request: Request, prepared: Prepared) -> Answer:
        match route.kind:
            case Kind.query:
                return self._query(route, request, prepared)
            case Kind.inquiry:
                context = self._context(request, prepared, Attempt(new_seed()))
                if route.in_binary is not None and _is_binary(request):
                    found = route.in_binary.answer(context, request.body)
                    return Answer(200, found, media_type=route.in_binary.media_type)
                return self._handled(route, request, prepared, context)
            case Kind.command | Kind.two_steps | Kind.steps:
                return self._command(route, request, prepared)
            case Kind.posting | Kind.charge:
                raise AssertionError("what is hot is answered by sakk.api.posting")
            case _ as never:
                assert_never(never)

    def _refusal(self, request: Request, error: Exception) -> Answer:
        public_url = self.dependencies.settings.public_url
        return refusal(error, request_id=request.request_id, public_url=public_url)

    def _prepare(self, route: Route, request: Request, caller: Caller, now: datetime) -> Prepared:
        self.limits.count_request(caller.key.id)
        check_permitted(route, caller)
        _check_path(request.path_parameters)
        _check_bound(request, caller)
        if route.in_binary is not None and _is_binary(request):
            return Prepared(caller=caller, parameters=NoParameters(), tree={}, now=now)
        tree, typed = _tree(route, request)
        parameters = validate(route.parameters, tree, strict=typed)
        if parameters.expand:
            check(route, parameters.expand)
            check_expanded(parameters.expand, caller)
        return Prepared(caller=caller, parameters=parameters, tree=tree, now=now)

    def _caller(self, request: Request, now: datetime) -> Caller:
        """Who asks: by an API key, or by an agent's own signature over the request."""
        headers = request.headers
        address = client_address(
            request.peer,
            headers.get("x-forwarded-for"),
            self.dependencies.settings.trusted_proxies,
        )
        authorization = headers.get("authorization")
        credential = agent_credential(authorization)
        if credential is None:
            return self.authenticator.caller(
                authorization=authorization,
                stripe_account=headers.get("stripe-account"),
                address=address,
                now=now,
            )
        query = f"?{request.query.decode('latin-1')}" if request.query else ""
        return self.authenticator.agent(
            credential,
            method=request.method,
            path=request.path + query,
            body=request.body,
            address=address,
            now=now,
        )

    def _query(self, route: Route, request: Request, prepared: Prepared) -> Answer:
        with self.dependencies.database.read() as connection:
            context = self._context(request, prepared, Attempt(new_seed(), connection=connection))
            return self._handled(route, request, prepared, context)

    def _command(self, route: Route, request: Request, prepared: Prepared) -> Answer:
        def work(attempt: Attempt) -> Answer:
            context = self._context(request, prepared, attempt)
            return self._handled(route, request, prepared, context)

        def plan(attempt: Attempt) -> Steps[Any, Any, Answer]:
            return self._planned(route, request, prepared, attempt)

        def failed(error: Exception) -> Answer:
            return self._refusal(request, error)

        sent = request.headers.get("idempotency-key")
        keyed = Keyed(
            key=None if sent is None else _key(prepared.caller, check_key(sent)),
            fingerprint=fingerprint(request.method, request.path, canonical(prepared.tree)),
            request_id=request.request_id,
            now=prepared.now,
        )
        database = self.dependencies.database

        def run() -> Answer:
            match route.kind:
                case Kind.steps:
                    return run_in_steps(database, keyed, plan, failed)
                case Kind.two_steps:
                    return run_in_two_steps(database, keyed, work, failed)
                case _:
                    return run_in_one_transaction(database, keyed, work, failed)

        caller = prepared.caller
        # To tell the database who acts costs each transaction a round trip, which requests that
        # come by the thousand need not pay: what they change is no part of the log.
        if not caller.is_operator and route.resource in UNKEPT:
            return run()
        with acting(Actor(caller.key.id, caller.key.person).signature, request.request_id):
            if route.resource in UNKEPT and (route.operator_only or caller.key.person is not None):
                note_act(
                    database,
                    act=route.operation,
                    path=request.path,
                    subject=next(iter(request.path_parameters.values()), None),
                    asked=canonical(prepared.tree),
                )
            return run()

    def _planned(
        self, route: Route, request: Request, prepared: Prepared, attempt: Attempt
    ) -> Steps[Any, Any, Answer]:
        """A handler's steps, with its document as the answer."""
        context = self._context(request, prepared, attempt)
        steps: Any = route.handler(context, **_arguments(route, request, prepared))
        assert isinstance(steps, Steps)

        def answer(document: Document) -> Answer:
            if prepared.parameters.expand:
                self._expand(route, context, document, prepared.parameters.expand)
            return Answer(status=200, body=encode(document))

        return steps.showing(answer)

    def _context(self, request: Request, prepared: Prepared, attempt: Attempt) -> Context:
        return Context(
            dependencies=self.dependencies,
            caller=prepared.caller,
            now=prepared.now,
            request_id=request.request_id,
            seed=attempt.seed,
            scopes=self.scopes,
            catalogues=self.catalogues,
            resumed=attempt.resumed,
            transaction=attempt.connection,
        )

    def _handled(
        self, route: Route, request: Request, prepared: Prepared, context: Context
    ) -> Answer:
        result = route.handler(context, **_arguments(route, request, prepared))
        assert not isinstance(result, Steps)
        if isinstance(result, Download):
            return Answer(200, result.content, media_type=OCTETS, disposition=result.disposition)
        if isinstance(result, Streamed):
            return Answer(
                200,
                b"",
                media_type=OCTETS,
                disposition=result.disposition,
                stream=result.pieces,
                size=result.size,
            )
        stored: bytes | None = None
        document: Document
        if isinstance(result, Listing):
            document = {
                "object": "list",
                "url": request.path,
                "has_more": result.has_more,
                "data": result.data,
            }
        elif isinstance(result, ShownOnce):
            document, stored = result.document, encode(result.stored)
        else:
            document = result
        if prepared.parameters.expand:
            self._expand(route, context, document, prepared.parameters.expand)
        return Answer(status=200, body=encode(document), stored_body=stored)

    def _expand(
        self, route: Route, context: Context, document: Document, paths: Sequence[str]
    ) -> None:
        if context.transaction is not None:
            expand(route, context, document, paths)
            return
        with self.dependencies.database.begin() as connection:
            expand(route, replace(context, transaction=connection), document, paths)


def check_permitted(route: Route, caller: Caller) -> None:
    """Raise PermissionDenied where the key lacks the scope, or is not the operator's."""
    if not allows(caller.key, route.scope):
        raise PermissionDenied(
            f"This restricted API key does not have the scope {route.scope!r}. Add it to the key's"
            " scopes, or use another key."
        )
    if caller.roles is not None and not may(caller.roles, route.resource, route.access):
        raise PermissionDenied(
            f"Your roles ({', '.join(caller.roles)}) do not include {route.scope}. Ask an admin for"
            " another role."
        )
    if caller.connected is not None:
        check_acts(caller.connected, route.scope)
    if route.secret_key_only and caller.key.kind == KeyKind.restricted:
        raise PermissionDenied("A restricted key may not do this. Use a secret key.")
    if route.operator_only and not caller.is_operator:
        raise PermissionDenied(
            "Only a key of the operator's account may do this. Use that key, or ask the operator."
        )


def check_expanded(paths: Sequence[str], caller: Caller) -> None:
    """PermissionDenied where the caller may not read what is to stand in the place of its id."""
    for path in paths:
        resource = f"{path.removeprefix(LIST_PREFIX)}s"
        scope = f"{resource}:read"
        if not allows(caller.key, scope) or (
            caller.roles is not None and not may(caller.roles, resource, "read")
        ):
            raise PermissionDenied(
                f"This API key does not have the scope {scope!r}, which expanding {path} needs."
                " Leave expand out, or use another key."
            )
        if caller.connected is not None:
            check_acts(caller.connected, scope)


def _key(caller: Caller, sent: str) -> Key:
    """Where the answer under an Idempotency-Key is kept: an agent's and a
    platform's apart from the account's."""
    bound = caller.key.mandate
    if bound is None and caller.connected is not None:
        bound = caller.connected.id
    name = sent if bound is None else f"{bound}:{sent}"
    return Key(caller.account_id, caller.key.livemode, name)


def _arguments(route: Route, request: Request, prepared: Prepared) -> dict[str, Any]:
    arguments: dict[str, Any] = dict(request.path_parameters)
    if route.takes_parameters:
        arguments["body" if route.method == "POST" else "query"] = prepared.parameters
    return arguments


def _check_path(parameters: Mapping[str, str]) -> None:
    for name, value in parameters.items():
        if len(value) > PATH_PARAMETER_LENGTH_MAX or not value.isprintable():
            raise ParameterInvalid("That is not an id.", param=name)


def _check_bound(request: Request, caller: Caller) -> None:
    """Who is bound to a mandate meets no other: as if there were none."""
    bound = caller.key.mandate
    if bound is not None and request.path_parameters.get("mandate") != bound:
        raise ResourceMissing("There is nothing here for this mandate's agent.", param="mandate")


def _is_binary(request: Request) -> bool:
    # A query is refused on the way of all bodies.
    return not request.query and request.headers.get("content-type") == IDS


def _tree(route: Route, request: Request) -> tuple[Tree, bool]:
    """The parameters from where they belong: the body of a POST, else the query string."""
    if route.method != "POST":
        return (read_form(request.query), False) if request.query else ({}, True)
    if request.query:
        name = next(iter(read_form(request.query)), "")
        raise ParameterUnknown(
            f"Received unknown parameter: {name}. Send the parameters of a POST in its body.",
            param=name,
        )
    read = read_upload if route.takes_file else read_body
    return read(request.body, request.headers.get("content-type"))
