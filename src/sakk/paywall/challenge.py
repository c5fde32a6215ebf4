"""The answer 402: what is asked, in x402's header and body, and as a page where a browser asks."""

import html
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from sakk.client.x402 import VERSION, Challenge, Requirement, Resource, encode_header
from sakk.paywall.errors import Refusal

Headers = list[tuple[bytes, bytes]]
UNPAID: Final = "PAYMENT-SIGNATURE header is required"
_PAGE: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Payment required</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>body{{font:16px/1.5 system-ui,sans-serif;max-width:38rem;margin:12vh auto;padding:0 1rem}}
code{{overflow-wrap:anywhere}}</style></head>
<body><h1>Payment required</h1>
<p>{what} costs {price} a call. It is sold to programs over HTTP 402
(<a href="https://www.x402.org">x402</a>, version 2): a client that has a wallet pays by itself and
gets the answer at once. A browser alone can not.</p>
<p>How to pay is in the header <code>PAYMENT-REQUIRED</code> of this answer, and in its body when it
is asked for without <code>text/html</code>:</p>
<ul>{ways}</ul></body></html>
"""


def is_browser(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Does somebody look at it? As x402's own servers decide."""
    accepts = agent = False
    for name, value in headers:
        if name == b"accept":
            accepts = b"text/html" in value
        elif name == b"user-agent":
            agent = b"Mozilla" in value
    return accepts and agent


def challenge_of(
    requirements: Sequence[Requirement], resource: Resource, refusal: Refusal | None
) -> Challenge:
    """Every way to pay, and why what was sent was not enough."""
    return Challenge(
        x402_version=VERSION,
        accepts=list(requirements),
        error=UNPAID if refusal is None else refusal.code,
        resource=resource,
    )


def answer_of(challenge: Challenge, *, price: str, is_page: bool) -> tuple[Headers, bytes]:
    """The head's fields and the body of an answer 402."""
    header = encode_header(challenge).encode()
    if is_page:
        body = _page(challenge, price)
        media_type = b"text/html; charset=utf-8"
    else:
        body, media_type = msgspec.json.encode(challenge), b"application/json"
    headers = [
        (b"content-type", media_type),
        (b"content-length", b"%d" % len(body)),
        (b"payment-required", header),
        (b"cache-control", b"no-store"),
        (b"vary", b"accept, payment-signature"),
    ]
    return headers, body


def _page(challenge: Challenge, price: str) -> bytes:
    ways = "".join(
        f"<li>{html.escape(each.scheme)}: <code>{html.escape(each.amount)}</code> of"
        f" <code>{html.escape(each.asset)}</code> on {html.escape(each.network)}</li>"
        for each in challenge.accepts
    )
    resource = challenge.resource or Resource()
    what = html.escape(resource.description or resource.url)
    return _PAGE.format(what=what, price=html.escape(price), ways=ways).encode()
