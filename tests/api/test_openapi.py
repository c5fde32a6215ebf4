"""The description is complete and true: every route, and answers as they are described."""

import os
import re
from typing import Any

import jsonschema_rs
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from sakk.api.app import ROUTES
from sakk.api.openapi import openapi_document
from sakk.api.route import Route
from tests.api.objects import Objects
from tests.api.world import Api

DOCUMENT = openapi_document(ROUTES)
EXAMPLES_MAX = 200 if "SAKK_SOAK" in os.environ else 3
# What a description promises of every answer; whether a request is acceptable is tested by tables.
PROMISES = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


def test_every_route_is_described() -> None:
    described = {
        (method.upper(), path)
        for path, operations in DOCUMENT["paths"].items()
        for method in operations
        if path.startswith("/v1/")
    }
    assert described == {(route.method, route.path) for route in ROUTES}


def test_names_are_unique_and_routes_do_not_hide_each_other() -> None:
    operations = [route.operation for route in ROUTES]
    assert len(set(operations)) == len(operations)
    patterns = [(route.method, re.sub(r"{\w+}", "{}", route.path)) for route in ROUTES]
    assert len(set(patterns)) == len(patterns)


def test_every_reference_leads_somewhere() -> None:
    def walk(node: Any) -> None:
        if isinstance(node, dict):
            reference = node.get("$ref")
            if isinstance(reference, str):
                target: Any = DOCUMENT
                for part in reference.removeprefix("#/").split("/"):
                    target = target[part]
            for child in node.values():
                walk(child)
        elif isinstance(node, list):
            for child in node:
                walk(child)

    walk(DOCUMENT)


def test_every_post_is_described_in_both_media_types() -> None:
    for route in ROUTES:
        operation = DOCUMENT["paths"][route.path][route.method.lower()]
        if route.method == "POST":
            both = {"application/json", "application/x-www-form-urlencoded"}
            records = {"application/vnd.sakk.ledger-records"} if route.batch else set()
            files = {"text/csv", "multipart/form-data"} if route.takes_file else set()
            ids = {"application/vnd.sakk.ledger-ids"} if route.in_binary else set()
            assert set(operation["requestBody"]["content"]) == both | records | files | ids
        assert operation["summary"], route
        assert operation["x-scope"] == route.scope


@pytest.mark.parametrize(
    "route",
    [route for route in ROUTES if route.method == "GET"],
    ids=lambda route: route.path,
)
def test_what_is_there_is_as_it_is_described(api: Api, objects: Objects, route: Route) -> None:
    path = re.sub(r"{(\w+)}", lambda match: objects[match[1]], route.path)
    for key in (api.world.alice.key, api.world.operator.key):
        answer = api.call("GET", path, key=key)
        if answer.status_code == 200:
            if route.is_download:
                assert answer.headers["content-type"] == "application/octet-stream"
            else:
                _check(route, answer.json())
            break
    else:
        pytest.fail(answer.text)


def _check(route: Route, document: Any) -> None:
    operation = DOCUMENT["paths"][route.path][route.method.lower()]
    schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
    whole = {**schema, "components": DOCUMENT["components"]}
    jsonschema_rs.validator_for(whole).validate(document)
    if route.is_list:
        assert document["data"], "nothing was made of this kind"


def test_answers_to_anything_keep_what_is_promised(api: Api) -> None:
    loaded = schemathesis.openapi.from_dict(DOCUMENT)
    found = list(loaded.get_all_operations())
    operations = [each.ok() for each in found if isinstance(each, Ok)]
    # Besides the routes: five without a key, the two of a claim link, the facilitator's four.
    assert len(operations) == len(ROUTES) + 11
    for operation in operations:
        _exercise(api, operation)


def _exercise(api: Api, operation: Any) -> None:
    strategy = operation.as_strategy()

    @settings(
        max_examples=EXAMPLES_MAX,
        deadline=None,
        database=None,
        derandomize="SAKK_SOAK" not in os.environ,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def one(case: Any) -> None:
        case.call_and_validate(
            base_url=api.url,
            headers={"Authorization": f"Bearer {api.world.operator.key}"},
            checks=PROMISES,
        )

    given(case=strategy)(one)()
