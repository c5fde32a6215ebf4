"""The description of the door, OpenAPI 3.1, made from the table of routes."""

from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from sakk import __version__
from sakk.api.body import CSV, FORM, JSON, OCTETS, PARTS
from sakk.api.claim import PATH as CLAIM_PATH
from sakk.api.ledger_body import IDS, RECORDS, RESULTS
from sakk.api.parameters import Parameters
from sakk.api.route import Route, scopes
from sakk.api.shapes import Error
from sakk.api.x402 import DISCOVERY, SETTLE, SUPPORTED, VERIFY
from sakk.core.idempotency import KEY_LENGTH_MAX
from sakk.ledger.record import ID_SIZE, RECORD_SIZE

REF = "#/components/schemas/{model}"
Schema = dict[str, Any]
Model = tuple[type[BaseModel], JsonSchemaMode]

STATUSES = {
    400: "The request is wrong; `param` names the parameter.",
    401: "No API key, or one that is not valid.",
    403: "The key may not do this, or not for that account.",
    404: "There is no such object in this account and mode.",
    405: "The path exists, but not with this method.",
    409: "A request with the same Idempotency-Key is being executed.",
    413: "The body is too large.",
    415: "The body is of a type that is not read here.",
    429: "Too many requests; wait as long as `Retry-After` says.",
    500: "A fault of the server's.",
    503: "A part is away; the same request may succeed later.",
}
ON_POST_ONLY = {409, 413, 415}
RETRIED = {409, 429, 500, 503}
REQUEST_ID = {
    "Request-Id": {
        "description": "The request's id, also in the logs.",
        "required": True,
        "schema": {"type": "string", "pattern": "^req_[0-9a-z]{26}$"},
    }
}
RETRY_HEADERS = {
    "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}},
    "Stripe-Should-Retry": {
        "description": "Whether the same request is worth sending again.",
        "schema": {"type": "string", "enum": ["true", "false"]},
    },
}
REPLAY_HEADERS = {
    "Idempotent-Replayed": {
        "description": "Set when this is the stored answer to an earlier request.",
        "schema": {"type": "string", "enum": ["true"]},
    },
    "Original-Request": {
        "description": "The id of the request that was executed.",
        "schema": {"type": "string"},
    },
}
IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Makes the request safe to send again: one key, one execution, one answer."
    " Kept for at least 24 hours.",
    "schema": {
        "type": "string",
        "minLength": 1,
        "maxLength": KEY_LENGTH_MAX,
        "pattern": "^[ -~]+$",
    },
}
STRIPE_ACCOUNT = {
    "name": "Stripe-Account",
    "in": "header",
    "required": False,
    "description": "Act for this account; keys of the operator only.",
    "schema": {"type": "string", "pattern": "^acct_[0-9a-z]{26}$"},
}


_SECURITY: list[dict[str, list[str]]] = [{"bearer": []}, {"basic": []}]


def openapi_document(routes: Sequence[Route]) -> dict[str, Any]:
    """Describe every route: parameters, both kinds of bodies, answers, errors, headers."""
    references, components = _schemas(routes)
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(
            route, references, components
        )
    for path, operation in _keyless().items():
        paths[path] = {"get": operation}
    paths[CLAIM_PATH] = _claims()
    paths |= _facilitator()
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Sakk",
            "version": __version__,
            "description": "Stablecoin payments in Stripe's conventions.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": _SECURITY,
        "tags": [{"name": name} for name in sorted({route.resource for route in routes})],
        "paths": paths,
        "components": {
            "schemas": components,
            "headers": REQUEST_ID | RETRY_HEADERS | REPLAY_HEADERS,
            "parameters": {
                "IdempotencyKey": IDEMPOTENCY_KEY,
                "StripeAccount": STRIPE_ACCOUNT,
            },
            "responses": _error_responses(references[Error, "serialization"]),
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An API key. Scopes of restricted keys: "
                    + ", ".join(scopes(routes))
                    + ".",
                },
                "basic": {
                    "type": "http",
                    "scheme": "basic",
                    "description": "The API key as the user name, no password.",
                },
            },
        },
    }


def _schemas(
    routes: Sequence[Route],
) -> tuple[dict[Model, Schema], dict[str, Schema]]:
    models: list[Model] = [(Error, "serialization")]
    for route in routes:
        models.append((route.parameters, "validation"))
        if route.batch is not None:
            models.append((route.batch, "validation"))
        models.append((route.returns, "serialization"))
    unique = list(dict.fromkeys(models))
    found, definitions = models_json_schema(unique, ref_template=REF)
    references: dict[Model, Schema] = {model: found[model] for model in unique}
    components: dict[str, Schema] = definitions["$defs"]
    return references, components


def _operation(
    route: Route,
    references: dict[Model, Schema],
    components: dict[str, Schema],
) -> dict[str, Any]:
    summary, _, description = (route.handler.__doc__ or route.operation).strip().partition("\n")
    parameters: list[dict[str, Any]] = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "string", "minLength": 1, "maxLength": 255},
        }
        for name in route.path_parameters
    ]
    parameters.append({"$ref": "#/components/parameters/StripeAccount"})
    operation: dict[str, Any] = {
        "operationId": route.operation,
        "summary": summary.rstrip("."),
        "tags": [route.resource],
        "x-scope": route.scope,
        "parameters": parameters,
        "responses": _responses(route, references),
    }
    if description.strip():
        operation["description"] = " ".join(description.split())
    if route.method != "GET":
        parameters.append({"$ref": "#/components/parameters/IdempotencyKey"})
    if route.method == "POST":
        operation["requestBody"] = _request_body(
            route.parameters, references[route.parameters, "validation"], components
        )
        if route.takes_file:
            _upload(operation["requestBody"]["content"], references[route.parameters, "validation"])
        if route.batch is not None:
            batch = references[route.batch, "validation"]
            _post_many(operation, references[route.parameters, "validation"], batch)
        if route.in_binary is not None:
            _look_up(operation, route.in_binary.media_type)
    else:
        parameters.extend(_query_parameters(route.parameters, components))
    return operation


def _request_body(
    model: type[Parameters], reference: Schema, components: dict[str, Schema]
) -> dict[str, Any]:
    schema = _resolved(reference, components)
    nested = {
        name: {"style": "deepObject", "explode": True}
        for name, field in schema.get("properties", {}).items()
        if _is_nested(field, components)
    }
    form: dict[str, Any] = {"schema": reference}
    if nested:
        form["encoding"] = nested
    return {
        "required": bool(schema.get("required")),
        "content": {JSON: {"schema": reference}, FORM: form},
    }


def _upload(content: dict[str, Any], reference: Schema) -> None:
    """The body may be the file itself, or a form of several parts with the file among them."""
    content[CSV] = {"schema": {"type": "string"}}
    content[PARTS] = {
        "schema": reference,
        "encoding": {"file": {"contentType": CSV}},
    }


def _post_many(operation: dict[str, Any], single: Schema, batch: Schema) -> None:
    """A posting also takes many, and takes and answers records."""
    body = operation["requestBody"]
    either = {"anyOf": [single, batch]}
    body["content"] = {
        JSON: {"schema": either},
        FORM: {"schema": either},
        RECORDS: {"schema": {"type": "string", "format": "binary", "minLength": RECORD_SIZE}},
    }
    content = operation["responses"]["200"]["content"]
    content[RESULTS] = {"schema": {"type": "string", "format": "binary"}}


def _look_up(operation: dict[str, Any], media_type: str) -> None:
    """A look-up also takes ids as bytes, and answers in kind."""
    binary = {"type": "string", "format": "binary"}
    operation["requestBody"]["content"][IDS] = {"schema": binary | {"minLength": ID_SIZE}}
    operation["responses"]["200"]["content"][media_type] = {"schema": binary}


def _query_parameters(
    model: type[Parameters], components: dict[str, Schema]
) -> list[dict[str, Any]]:
    schema = components[model.__name__]
    parameters = []
    for name, field in schema.get("properties", {}).items():
        field = _without_null(field)
        parameter: dict[str, Any] = {
            "name": name,
            "in": "query",
            "required": name in schema.get("required", ()),
            "schema": field,
        }
        if field.get("type") == "array":
            parameter |= {"name": f"{name}[]", "style": "form", "explode": True}
        elif _is_nested(field, components):
            parameter |= {"style": "deepObject", "explode": True}
        parameters.append(parameter)
    return parameters


def _responses(route: Route, references: dict[Model, Schema]) -> dict[str, Any]:
    answered = route.method != "GET"
    headers = ("Request-Id", *(REPLAY_HEADERS if answered else ()))
    return {
        "200": {
            "description": "Done.",
            "headers": _headers(headers),
            "content": {OCTETS: {"schema": {"type": "string", "format": "binary"}}}
            if route.is_download
            else {JSON: {"schema": references[route.returns, "serialization"]}},
        },
        **{
            str(status): {"$ref": f"#/components/responses/{_error_name(status, answered)}"}
            for status in STATUSES
            if answered or status not in ON_POST_ONLY
        },
    }


def _error_responses(reference: Schema) -> dict[str, Any]:
    """Every error once, as it is answered to reading and to writing requests."""
    responses = {}
    for answered in (False, True):
        for status, meaning in STATUSES.items():
            names = ["Request-Id"]
            names += RETRY_HEADERS if status in RETRIED else ()
            names += REPLAY_HEADERS if answered else ()
            responses[_error_name(status, answered)] = {
                "description": meaning,
                "headers": _headers(names),
                "content": {JSON: {"schema": reference}},
            }
    return responses


def _error_name(status: int, answered: bool) -> str:
    return f"{'Write' if answered else 'Read'}Error{status}"


def _headers(names: Iterable[str]) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _keyless() -> dict[str, dict[str, Any]]:
    def operation(name: str, summary: str, media_type: str, **others: str) -> dict[str, Any]:
        content = {media_type: {"schema": {"type": "object"} if media_type == JSON else {}}}
        return {
            "operationId": name,
            "summary": summary,
            "tags": ["health"],
            "security": [],
            "responses": {
                "200": {
                    "description": "Yes.",
                    "headers": _headers(["Request-Id"]),
                    "content": content,
                },
                **{
                    status: {
                        "description": meaning,
                        "headers": _headers(["Request-Id"]),
                        "content": content,
                    }
                    for status, meaning in others.items()
                },
            },
        }

    unready = {"503": "Not ready; `failing` says why."}
    return {
        "/healthz": operation("healthz", "Is the process alive", JSON),
        "/readyz": operation("readyz", "Can the process serve", JSON, **unready),
        "/metrics": operation("metrics", "Metrics in Prometheus' text format", "text/plain"),
        "/openapi.json": operation("openapi", "This description", JSON),
        "/docs/errors": operation("errors", "What the error codes mean", "text/html"),
    }


def _claims() -> dict[str, Any]:
    """A payer's own door: no key, JSON or a page by ``Accept``."""
    token = {
        "name": "token",
        "in": "path",
        "required": True,
        "schema": {"type": "string", "minLength": 1, "maxLength": 255},
    }
    document = {"type": "object", "description": "A refund_claim."}
    answers = {
        "200": {
            "description": "Where the claim stands.",
            "headers": _headers(["Request-Id"]),
            "content": {JSON: {"schema": document}, "text/html": {"schema": {"type": "string"}}},
        }
    }
    common = {"tags": ["refund_claims"], "security": [], "parameters": [token]}
    place = {
        "type": "object",
        "required": ["network", "address"],
        "additionalProperties": False,
        "properties": {
            "network": {"type": "string"},
            "address": {"type": "string"},
            "confirm": {"type": "boolean", "default": False},
        },
    }

    def refusals(*statuses: int, answered: bool) -> dict[str, Any]:
        return {
            str(each): {"$ref": f"#/components/responses/{_error_name(each, answered)}"}
            for each in statuses
        }

    return {
        "get": {
            "operationId": "retrieve_refund_claim",
            "summary": "Look at what a claim link is for",
            **common,
            "responses": answers | refusals(404, 429, 500, 503, answered=False),
        },
        "post": {
            "operationId": "give_refund_claim",
            "summary": "Say where a refund is to be sent",
            **common,
            "requestBody": {
                "required": True,
                "content": {JSON: {"schema": place}, FORM: {"schema": place}},
            },
            "responses": answers | refusals(400, 404, 413, 415, 429, 500, 503, answered=True),
        },
    }


def _facilitator() -> dict[str, Any]:
    """HTTP 402's facilitator: its messages are x402's own, and a key may be sent or not."""
    document = {"type": "object", "description": "As x402 version 2 describes it."}
    answered = {
        "200": {
            "description": "The answer, of a payment that is refused too.",
            "headers": _headers(["Request-Id"]),
            "content": {JSON: {"schema": document}},
        }
    }

    def operation(name: str, summary: str, *statuses: int, **more: Any) -> dict[str, Any]:
        refusals = {
            str(each): {"$ref": f"#/components/responses/{_error_name(each, bool(more))}"}
            for each in statuses
        }
        return {
            "operationId": name,
            "summary": summary,
            "tags": ["x402"],
            "security": [{}, *_SECURITY] if more else [],
            "responses": answered | refusals,
            **more,
        }

    body = {"requestBody": {"required": True, "content": {JSON: {"schema": document}}}}
    refused = (400, 401, 403, 413, 429, 500, 503)
    return {
        VERIFY: {"post": operation("x402_verify", "Is a payment good?", *refused, **body)},
        SETTLE: {"post": operation("x402_settle", "Carry a payment out", *refused, **body)},
        SUPPORTED: {
            "get": operation("x402_supported", "How one may pay", 429, 500, 503),
        },
        DISCOVERY: {
            "get": operation("x402_resources", "What is sold", 400, 429, 500, 503),
        },
    }


def _resolved(schema: Schema, components: dict[str, Schema]) -> Schema:
    reference: str | None = schema.get("$ref")
    return components[reference.rpartition("/")[2]] if reference else schema


def _without_null(schema: Schema) -> Schema:
    """A query string has no null: what is not given is left out."""
    options = [option for option in schema.get("anyOf", ()) if option.get("type") != "null"]
    if len(options) != 1:
        return schema
    rest: Schema = {
        name: value for name, value in schema.items() if name not in ("anyOf", "default")
    }
    rest.update(options[0])
    return rest


def _is_nested(schema: Schema, components: dict[str, Schema]) -> bool:
    options = schema.get("anyOf", [schema])
    return any(
        _resolved(option, components).get("type") in ("object", "array") for option in options
    )
