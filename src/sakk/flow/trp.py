"""The Travel Rule Protocol over HTTPS, as we speak it to other institutions.

The other side names the addresses that this machine connects to, as merchants do with webhooks:
so the same guards stand before every connection (`flow/delivery.py`), redirects are not followed,
and of an answer only a little is read. Certificates are checked, by an operator's own authorities
too, and ours is shown where one is set (the protocol's mutual TLS).
"""

import asyncio
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit, urlunsplit

import aiohttp

from sakk.core.errors import InvalidRequest, Misconfigured, ParameterInvalid
from sakk.core.ivms101 import write
from sakk.core.trp import (
    API_VERSION,
    BODY_BYTES_MAX,
    REQUEST_HEADER,
    VERSION_HEADER,
    Confirmation,
    Resolution,
    confirmation_body,
    inquiry_body,
    read_resolution,
    resolution_body,
)
from sakk.core.webhook import USER_AGENT, check_url
from sakk.flow.delivery import AddressRefused, PublicResolver, open_checked_socket
from sakk.flow.travel_exchange import Asked, Told

SEND_SECONDS_MAX: Final = 20.0
# Whoever answers so will not answer otherwise to the same message.
REFUSED: Final = frozenset({400, 401, 403, 404, 405, 410, 411, 413, 414, 415, 422, 501})
LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class Credentials:
    """Whom we trust besides the public authorities, and what we show of ourselves."""

    authorities: Path | None = None
    certificate: Path | None = None
    key: Path | None = None

    def context(self) -> ssl.SSLContext:
        """The TLS of every connection; Misconfigured for files that can not be read."""
        try:
            context = ssl.create_default_context()
            if self.authorities is not None:
                context.load_verify_locations(cafile=self.authorities)
            if self.certificate is not None:
                context.load_cert_chain(self.certificate, self.key)
        except (OSError, ssl.SSLError) as error:
            raise Misconfigured(
                f"The certificates for the Travel Rule can not be read: {error}.",
                param="SAKK_TRAVEL_RULE_CERTIFICATE_FILE",
            ) from None
        return context


@dataclass(frozen=True, slots=True)
class TrpRail:
    """Sends messages; safe to call from many threads, a connection for each."""

    credentials: Credentials
    allow_loopback: bool = False
    send_seconds_max: float = SEND_SECONDS_MAX

    def inquire(self, url: str, identifier: str, asked: Asked) -> Told:
        """Ask whether a transfer may come; an answer at once is the resolution."""
        body = inquiry_body(asked.asset, asked.amount, asked.callback, write(asked.payload))
        told, answer = self._post(url, identifier, body)
        if not told.taken or not answer.strip():
            return told
        try:
            return Told(taken=True, resolution=read_resolution(answer))
        except InvalidRequest as error:
            # It took the inquiry; what it says of it will come to our callback, or never.
            return Told(taken=True, error=f"its answer is no resolution ({error.param})")

    def resolve(self, url: str, identifier: str, resolution: Resolution) -> Told:
        """Answer an inquiry."""
        return self._post(url, identifier, resolution_body(resolution))[0]

    def confirm(self, url: str, identifier: str, confirmation: Confirmation) -> Told:
        """Tell the transaction, or that there is none."""
        return self._post(url, identifier, confirmation_body(confirmation))[0]

    def _post(self, url: str, identifier: str, body: bytes) -> tuple[Told, bytes]:
        try:
            target = check_url(self._target(url), allow_loopback=self.allow_loopback)
            status, answer = asyncio.run(self._send(target, identifier, body))
        except ParameterInvalid as refused:
            return Told(taken=False, refused=True, error=refused.message), b""
        except TimeoutError:
            return Told(taken=False, error=f"no answer within {self.send_seconds_max:g} s"), b""
        except (aiohttp.ClientError, OSError) as error:
            return Told(taken=False, error=_describe(error)), b""
        if 200 <= status < 300:
            return Told(taken=True), answer
        return Told(taken=False, refused=status in REFUSED, error=f"it answered {status}"), b""

    async def _send(self, url: str, identifier: str, body: bytes) -> tuple[int, bytes]:
        connector = aiohttp.TCPConnector(
            resolver=PublicResolver(allow_loopback=self.allow_loopback),
            socket_factory=lambda info: open_checked_socket(
                info, allow_loopback=self.allow_loopback
            ),
            ssl=self.credentials.context(),
        )
        headers = {
            "User-Agent": USER_AGENT,
            "Content-Type": "application/json; charset=utf-8",
            VERSION_HEADER: API_VERSION,
            REQUEST_HEADER: identifier,
        }
        async with (
            aiohttp.ClientSession(
                connector=connector,
                timeout=aiohttp.ClientTimeout(total=self.send_seconds_max),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                skip_auto_headers=("Accept-Encoding",),
            ) as session,
            session.post(url, data=body, headers=headers, allow_redirects=False) as response,
        ):
            answer = b""
            while len(answer) <= BODY_BYTES_MAX:
                chunk = await response.content.read(BODY_BYTES_MAX + 1 - len(answer))
                if not chunk:
                    return response.status, answer
                answer += chunk
            response.close()
            return response.status, b""

    def _target(self, url: str) -> str:
        """The sandbox's institutions have no certificates: on loopback it is plain HTTP there."""
        parts = urlsplit(url)
        if self.allow_loopback and parts.hostname in LOOPBACK and not self.credentials.authorities:
            return urlunsplit(parts._replace(scheme="http"))
        return url


def _describe(error: Exception) -> str:
    """Why there was no answer, in words that give away nothing of the network inside."""
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(cause, AddressRefused):
        return str(cause)
    if isinstance(error, aiohttp.ClientSSLError):
        return "the TLS connection failed; check its certificate, and ours"
    return f"the connection failed ({type(error).__name__})"
