"""What arrives at the console, before anybody knows who it is from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import Final
from urllib.parse import urlsplit

from starlette.types import Scope

from sakk.core.peer import client_address

COOKIE_BYTES_MAX: Final = 8_192


@dataclass(frozen=True, slots=True)
class Arrived:
    """A request. Header names are in lower case; ``address`` is the browser's."""

    request_id: str
    method: str
    path: str
    query: bytes
    headers: Mapping[str, str]
    cookies: Mapping[str, str]
    body: bytes
    address: str | None

    @property
    def is_htmx(self) -> bool:
        """Does a script of ours put the answer into the page that is there?"""
        return self.headers.get("hx-request") == "true"

    @property
    def query_string(self) -> str:
        return self.query.decode("latin-1")


def arrived(
    scope: Scope, body: bytes, *, request_id: str, trusted_proxies: Sequence[str]
) -> Arrived:
    """The request of an ASGI scope."""
    headers = {
        name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]
    }
    client = scope.get("client")
    return Arrived(
        request_id=request_id,
        method="GET" if scope["method"] == "HEAD" else scope["method"],
        path=scope["path"],
        query=scope["query_string"],
        headers=headers,
        cookies=_cookies(headers.get("cookie", "")),
        body=body,
        address=client_address(
            client[0] if client else None, headers.get("x-forwarded-for"), trusted_proxies
        ),
    )


def is_ours(headers: Mapping[str, str], *, is_secure: bool) -> bool:
    """Does a page of this very origin send this?

    Browsers say so in ``Sec-Fetch-Site`` where the origin is trustworthy to them, and in ``Origin``
    of every POST (Fetch, section 3.2): one of the two has to be there, and neither may deny it.
    ``is_secure``: served by TLS, so that a page of the same name without it is somebody else's.
    """
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is None and origin is None:
        return False
    if site is not None and site != "same-origin":
        return False
    if origin is None:
        return True
    asked = urlsplit(origin)
    return asked.netloc == headers.get("host") and (asked.scheme == "https" or not is_secure)


def _cookies(header: str) -> dict[str, str]:
    if len(header) > COOKIE_BYTES_MAX:
        return {}
    try:
        return {name: each.value for name, each in SimpleCookie(header).items()}
    except CookieError:
        return {}
