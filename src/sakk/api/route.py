"""Routes: one table from which routing, scopes, documentation and sweeping tests are made.

A module of the door makes one ``Resource`` and puts its handlers on it::

    resource = Resource("customers")

    @resource.post("/v1/customers", returns=Customer, operation="create_customer")
    def create(context: Context, body: CustomerCreate) -> Document: ...

A handler takes the context, the path's parameters by name, and ``body`` (POST) or ``query``
(GET, DELETE) of a model of ``sakk.api.parameters``. It returns a document, a Listing, a ShownOnce
or (``in_steps``) `Steps` to a document, or raises from ``sakk.core.errors``. Its docstring is the
endpoint's description.
"""

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, NamedTuple, TypeVar, get_type_hints

from pydantic import BaseModel

from sakk.api.context import Context, Document, Download, Listing, ShownOnce, Streamed
from sakk.api.parameters import ListParameters, NoParameters, Parameters
from sakk.flow.idempotency import Steps

Result = Document | Listing | ShownOnce | Download | Streamed | Steps[Any, Any, Document]
Handler = Callable[..., Result]
# Ids to documents, for one field of an object: {"customer": find_customers}.
Expander = Callable[[Context, Sequence[str]], Mapping[str, Document]]
H = TypeVar("H", bound=Handler)
P = TypeVar("P", bound=Callable[..., Any])

Method = Literal["GET", "POST", "DELETE"]
Access = Literal["read", "write"]


class Kind(StrEnum):
    """How a handler meets the database (see ``sakk.flow.idempotency``)."""

    query = "query"
    inquiry = "inquiry"
    command = "command"
    two_steps = "two_steps"
    steps = "steps"
    # Does not meet it: the ledger's own door (see ``sakk.api.posting``).
    posting = "posting"
    # Neither, but for the sessions that it has not met: see ``sakk.api.charge``.
    charge = "charge"


# Answered beside the framework, by an event loop.
HOT = frozenset({Kind.posting, Kind.charge})
WRITING = HOT | {Kind.command, Kind.two_steps, Kind.steps}


class InBinary(NamedTuple):
    """How a look-up answers a body of 16-byte ids (``IDS`` of ``sakk.api.ledger_body``)."""

    answer: Callable[[Context, bytes], bytes]
    media_type: str


@dataclass(frozen=True, slots=True)
class Route:
    """One endpoint."""

    method: Method
    path: str
    handler: Handler
    resource: str
    access: Access
    kind: Kind
    operation: str
    parameters: type[Parameters]
    takes_parameters: bool
    path_parameters: tuple[str, ...]
    returns: type[BaseModel]
    is_list: bool
    operator_only: bool
    secret_key_only: bool
    expands: Mapping[str, Expander] = field(default_factory=dict)
    # What a posting takes besides: a model of many, and bodies of records.
    batch: type[Parameters] | None = None
    # A body may be larger than the door's own limit, where thousands of lines are sent at once.
    body_bytes_max: int | None = None
    # The body may be a file, plain or in a form of several parts: the parameter ``file``.
    takes_file: bool = False
    # Answers with the bytes of a file, always of the type ``application/octet-stream``.
    is_download: bool = False
    # A look-up that also takes ids as bytes, and answers in kind.
    in_binary: "InBinary | None" = None

    @property
    def scope(self) -> str:
        """What a restricted key needs: ``customers:write``."""
        return f"{self.resource}:{self.access}"


class Resource:
    """The routes of one noun. ``expands`` are fields of its objects that ``expand[]`` may name."""

    def __init__(self, name: str, *, expands: Mapping[str, Expander] | None = None) -> None:
        self.name = name
        self.routes: list[Route] = []
        self._expands = dict(expands or {})

    def get(
        self,
        path: str,
        *,
        returns: type[BaseModel],
        operation: str,
        operator_only: bool = False,
        asks_outside: bool = False,
        is_download: bool = False,
    ) -> Callable[[H], H]:
        """A query; one that also asks the ledger opens its own transactions before and after."""
        kind = Kind.inquiry if asks_outside else Kind.query
        return self._register(
            "GET", path, returns, operation, kind, operator_only, is_download=is_download
        )

    def post(
        self,
        path: str,
        *,
        returns: type[BaseModel],
        operation: str,
        operator_only: bool = False,
        secret_key_only: bool = False,
        two_steps: bool = False,
        in_steps: bool = False,
        body_bytes_max: int | None = None,
        takes_file: bool = False,
    ) -> Callable[[H], H]:
        """A command: one transaction with its idempotency key, or more around the outside."""
        kind = Kind.steps if in_steps else Kind.two_steps if two_steps else Kind.command
        return self._register(
            "POST",
            path,
            returns,
            operation,
            kind,
            operator_only,
            secret_key_only,
            body_bytes_max=body_bytes_max,
            takes_file=takes_file,
        )

    def lookup(
        self,
        path: str,
        *,
        returns: type[BaseModel],
        operation: str,
        operator_only: bool = False,
        body_bytes_max: int | None = None,
        takes_file: bool = False,
        in_binary: InBinary | None = None,
    ) -> Callable[[H], H]:
        """An inquiry whose parameters are too many for a query string: it changes nothing."""
        return self._register(
            "POST",
            path,
            returns,
            operation,
            Kind.inquiry,
            operator_only,
            body_bytes_max=body_bytes_max,
            takes_file=takes_file,
            in_binary=in_binary,
        )

    def posting(
        self,
        path: str,
        *,
        returns: type[BaseModel],
        operation: str,
        single: type[Parameters],
        batch: type[Parameters],
    ) -> Callable[[P], P]:
        """What the operator posts to the ledger; the handler says which noun it is."""

        def register(handler: P) -> P:
            self.routes.append(
                Route(
                    method="POST",
                    path=path,
                    handler=handler,
                    resource=self.name,
                    access="write",
                    kind=Kind.posting,
                    operation=operation,
                    parameters=single,
                    takes_parameters=True,
                    path_parameters=(),
                    returns=returns,
                    is_list=False,
                    operator_only=True,
                    secret_key_only=False,
                    batch=batch,
                )
            )
            return handler

        return register

    def charging(
        self, path: str, *, returns: type[BaseModel], operation: str, parameters: type[Parameters]
    ) -> Callable[[P], P]:
        """What a payee's door asks on the hot path; the handler is its description."""

        def register(handler: P) -> P:
            self.routes.append(
                Route(
                    method="POST",
                    path=path,
                    handler=handler,
                    resource=self.name,
                    access="write",
                    kind=Kind.charge,
                    operation=operation,
                    parameters=parameters,
                    takes_parameters=True,
                    path_parameters=(),
                    returns=returns,
                    is_list=False,
                    operator_only=False,
                    secret_key_only=False,
                )
            )
            return handler

        return register

    def delete(
        self, path: str, *, returns: type[BaseModel], operation: str, operator_only: bool = False
    ) -> Callable[[H], H]:
        """A command that removes; its parameters stand in the query string."""
        return self._register("DELETE", path, returns, operation, Kind.command, operator_only)

    def _register(
        self,
        method: Method,
        path: str,
        returns: type[BaseModel],
        operation: str,
        kind: Kind,
        operator_only: bool,
        secret_key_only: bool = False,
        *,
        body_bytes_max: int | None = None,
        takes_file: bool = False,
        is_download: bool = False,
        in_binary: InBinary | None = None,
    ) -> Callable[[H], H]:
        def register(handler: H) -> H:
            parameters, takes_parameters = _parameters(handler, method, path)
            self.routes.append(
                Route(
                    method=method,
                    path=path,
                    handler=handler,
                    resource=self.name,
                    access="write" if kind in WRITING else "read",
                    kind=kind,
                    operation=operation,
                    parameters=parameters,
                    takes_parameters=takes_parameters,
                    path_parameters=tuple(re.findall(r"{(\w+)}", path)),
                    returns=returns,
                    is_list=issubclass(parameters, ListParameters),
                    operator_only=operator_only,
                    secret_key_only=secret_key_only,
                    expands=self._expands,
                    body_bytes_max=body_bytes_max,
                    takes_file=takes_file,
                    is_download=is_download,
                    in_binary=in_binary,
                )
            )
            return handler

        return register


def scopes(routes: Sequence[Route]) -> list[str]:
    """Every scope that a restricted key may have, from the routes that there are."""
    return sorted({route.scope for route in routes})


def _parameters(handler: Handler, method: Method, path: str) -> tuple[type[Parameters], bool]:
    """The model of ``body`` or ``query``, and whether the handler asks for it."""
    signature = inspect.signature(handler)
    place = "body" if method == "POST" else "query"
    expected = {"context", *re.findall(r"{(\w+)}", path)}
    unexpected = set(signature.parameters) - expected - {place}
    if unexpected or not expected <= set(signature.parameters):
        raise TypeError(f"the handler of {method} {path} takes {sorted(expected)} and {place}")
    if place not in signature.parameters:
        return NoParameters, False
    model: Any = get_type_hints(handler)[place]
    if not (isinstance(model, type) and issubclass(model, Parameters)):
        raise TypeError(f"{place} of {method} {path} must be Parameters")
    return model, True
