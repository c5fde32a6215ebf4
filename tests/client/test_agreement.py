"""The SDK and the server agree: the same paths, parameters and fields."""

import inspect
import re
from typing import Any

import msgspec
import pytest
from pydantic import RootModel

from sakk.api.app import ROUTES
from sakk.api.route import Route
from sakk.client import SakkClient, objects
from sakk.client.endpoint import ListOptions

from .test_client import CALLS, LISTS

KINDS = {
    struct.__name__.lower(): struct
    for struct in [*vars(objects).values(), *objects.Resource.__subclasses__()]
    if isinstance(struct, type) and issubclass(struct, msgspec.Struct)
}


def route_of(method: str, path: str) -> Route:
    for route in ROUTES:
        pattern = re.sub(r"\{\w+\}", "[^/]+", route.path)
        if route.method == method and re.fullmatch(pattern, path):
            return route
    raise AssertionError(f"the server has no {method} {path}")


@pytest.mark.parametrize(("line", "body"), [(each[2], each[3]) for each in CALLS])
def test_the_server_has_every_path_and_parameter(line: str, body: dict[str, Any] | None) -> None:
    method, path = line.split(" ")
    fields = set(route_of(method, path).parameters.model_fields)
    assert set(body or ()) <= fields


@pytest.mark.parametrize("path", [each[2] for each in LISTS])
def test_the_server_has_every_list_and_filter(path: str) -> None:
    with SakkClient("sk_test_1") as client:
        if path.endswith("/deliveries"):
            method: Any = client.webhook_endpoints.deliveries
        elif path.endswith("/payouts") and "batches" in path:
            method = client.payout_batches.payouts
        elif path.endswith("/lines"):
            method = client.settlements.lines
        elif path.endswith("/skipped_lines"):
            method = client.payout_batches.skipped_lines
        elif path.endswith("/refunds") and "escrow" in path:
            method = client.escrow_channels.refunds
        else:
            method = getattr(client, path.removeprefix("/v1/")).list
    names = {
        name
        for name, parameter in inspect.signature(method).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    }
    fields = set(route_of("GET", path).parameters.model_fields)
    assert names | set(ListOptions.__annotations__) == fields


@pytest.mark.parametrize(
    ("path", "reply"), [(each[2].split(" ")[1], each[1]) for each in CALLS if "GET" in each[2]]
)
def test_every_field_of_the_server_has_its_place(path: str, reply: dict[str, Any]) -> None:
    shape: Any = route_of("GET", path).returns
    if issubclass(shape, RootModel):
        shape = shape.model_fields["root"].annotation.__args__[0]
    struct = KINDS[reply["object"].replace("_", "")]
    fields = {field.name for field in msgspec.structs.fields(struct)}
    assert set(shape.model_fields) - fields <= IGNORED.get(reply["object"], set())


# Stripe's fields that are always empty here.
IGNORED = {
    "balance_transaction": {"exchange_rate", "fee_details"},
    "refund": {"balance_transaction", "charge"},
    "webhook_endpoint": {"api_version", "application"},
}
