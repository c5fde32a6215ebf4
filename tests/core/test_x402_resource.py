from typing import Any

import pytest
from tests.core.x402ing import NOW, body, requirement

from sakk.core.x402 import read_request
from sakk.core.x402_resource import X402Resource, listed, page, read_number

URL = "https://shop.example/weather"
HTTP = {"info": {"input": {"type": "http", "method": "GET"}}}


def declared(resource: Any = None, extensions: Any = None) -> X402Resource | None:
    more = {"extensions": extensions} if extensions is not None else {}
    message = body(resource=resource, **more)
    return listed(read_request(message), account_id="acct_1", livemode=False, now=NOW)


def test_what_a_seller_declares_is_found() -> None:
    found = declared({"url": URL, "description": "Now", "mimeType": "text/plain"}, {"bazaar": HTTP})
    assert found is not None
    plain = declared({"url": URL}, {"bazaar": {"info": {"input": {"type": "mcp"}}}})
    assert plain is not None
    shown = page([found, plain], limit=10, offset=0, total=2)
    assert shown["pagination"] == {"limit": 10, "offset": 0, "total": 2}
    first, second = shown["items"]
    assert (first["resource"], first["type"], first["description"]) == (URL, "http", "Now")
    assert first["accepts"] == [requirement()]
    assert first["lastUpdated"] == "2026-11-26T12:00:00Z"
    assert (second["type"], "description" in second) == ("mcp", False)


@pytest.mark.parametrize(
    ("resource", "extensions"),
    [
        ({"url": URL}, None),
        ({"url": URL}, {}),
        ({"url": URL}, {"bazaar": "yes"}),
        ({"url": URL}, {"bazaar": {str(place): place for place in range(201)}}),
        (None, {"bazaar": HTTP}),
        ({"url": "javascript:alert(1)"}, {"bazaar": HTTP}),
        ({"url": "http://["}, {"bazaar": HTTP}),
        ({"url": "/weather"}, {"bazaar": HTTP}),
    ],
)
def test_what_is_not_declared_is_not_listed(resource: Any, extensions: Any) -> None:
    assert declared(resource, extensions) is None


def test_the_type_is_http_where_nothing_is_said() -> None:
    for bazaar in ({}, {"info": 1}, {"info": {"input": 1}}):
        found = declared({"url": URL}, {"bazaar": bazaar})
        assert found is not None
        assert found.type == "http"


def test_pages_are_bounded() -> None:
    assert [read_number(text, 100, 1000) for text in (None, "7", "5000")] == [100, 7, 1000]
    for text in ("-1", "1.5", "", "٣", "1" * 10):
        with pytest.raises(ValueError):
            read_number(text, 100, 1000)
