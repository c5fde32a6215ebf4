"""How a source of rates is asked: a file is read, an address is fetched.

An operator names the address, and it answers with a name server's help: so the guards of webhooks
stand before every connection (`flow/delivery.py`), redirects are not followed, and of an answer no
more is read than a source may say.
"""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp

from sakk.core.errors import ParameterInvalid
from sakk.core.rate_source import BODY_BYTES_MAX, RateSource
from sakk.core.webhook import USER_AGENT, check_url
from sakk.flow.delivery import AddressRefused, public_connector

FETCH_SECONDS_MAX: Final = 10.0


@dataclass(frozen=True, slots=True)
class Fetcher:
    """Asks sources; safe to call from many threads, a connection for each."""

    allow_loopback: bool = False
    fetch_seconds_max: float = FETCH_SECONDS_MAX

    def __call__(self, source: RateSource) -> bytes:
        """What a source answers, one byte more than it may at most; ValueError in words."""
        try:
            if not source.is_remote:
                with Path(source.location).open("rb") as file:
                    return file.read(BODY_BYTES_MAX + 1)
            url = check_url(source.location, allow_loopback=self.allow_loopback)
            return asyncio.run(self._fetch(url))
        except ParameterInvalid as refused:
            raise ValueError(f"its address {refused.values['reason']}") from None
        except TimeoutError:
            raise ValueError(f"no answer within {self.fetch_seconds_max:g} s") from None
        except (aiohttp.ClientError, OSError) as error:
            raise ValueError(_describe(error)) from None

    async def _fetch(self, url: str) -> bytes:
        connector = public_connector(allow_loopback=self.allow_loopback)
        async with (
            aiohttp.ClientSession(
                connector=connector,
                timeout=aiohttp.ClientTimeout(total=self.fetch_seconds_max),
                cookie_jar=aiohttp.DummyCookieJar(),
                # A compressed answer can not be made to swell: none is asked for.
                auto_decompress=False,
                skip_auto_headers=("Accept-Encoding",),
                headers={"User-Agent": USER_AGENT},
            ) as session,
            session.get(url, allow_redirects=False) as response,
        ):
            if response.status != 200:
                raise ValueError(f"it answered {response.status}")
            body = b""
            while len(body) <= BODY_BYTES_MAX:
                chunk = await response.content.read(BODY_BYTES_MAX + 1 - len(body))
                if not chunk:
                    return body
                body += chunk
            response.close()
            return body


def _describe(error: Exception) -> str:
    """Why there was no answer, in words that give away nothing of the network inside."""
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(cause, AddressRefused):
        return str(cause)
    if isinstance(cause, OSError) and cause.strerror and cause.filename is not None:
        return f"{cause.filename}: {cause.strerror}"
    return f"the connection failed ({type(error).__name__})"
