"""How a provider's interface is asked: JSON over https, with a limit on time, bytes and addresses.

What is no usable answer is ``ProviderUnreachable``: what was asked for may have been done.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import aiohttp
import msgspec

from sakk.core.errors import ParameterInvalid
from sakk.core.webhook import USER_AGENT, check_url
from sakk.rails.bank.provider import ProviderUnreachable

CALL_SECONDS_MAX: Final = 10.0
ANSWER_BYTES_MAX: Final = 8 << 20
_TOO_OFTEN: Final = 429

# Amounts are JSON numbers at providers, and are written exactly.
_write = msgspec.json.Encoder(decimal_format="number").encode

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer below 500 that is no redirect: its status, its bytes and its headers."""

    status: int
    content: bytes
    headers: Mapping[str, str]

    def read(self, kind: type[T]) -> T:
        """What it says; ProviderUnreachable where that is something else."""
        try:
            return msgspec.json.decode(self.content, type=kind)
        except msgspec.MsgspecError as error:
            raise ProviderUnreachable(f"its answer can not be read: {error}"[:300]) from error


@dataclass(frozen=True, slots=True)
class ProviderCaller:
    """Asks one provider for one account. ``connector`` judges every address connected to."""

    address: str
    token: str = field(repr=False)
    connector: Callable[[], aiohttp.TCPConnector]
    allow_loopback: bool = False

    def ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        document: Any = None,
    ) -> Answered:
        """One request; ProviderUnreachable."""
        try:
            return asyncio.run(self._ask(method, path, query or {}, document))
        except ParameterInvalid as refused:
            raise ProviderUnreachable(f"its address {refused.values['reason']}") from None
        except TimeoutError:
            raise ProviderUnreachable("it does not answer in time") from None
        # A token that no header can hold is a ValueError. The error's text may hold it.
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise ProviderUnreachable(f"it can not be reached ({type(error).__name__})") from None

    async def _ask(
        self, method: str, path: str, query: Mapping[str, str], document: Any
    ) -> Answered:
        check_url(self.address, allow_loopback=self.allow_loopback)
        headers = {
            "User-Agent": USER_AGENT,
            "Authorization": f"Bearer {self.token}",
            "Accept": "application/json",
        }
        if document is not None:
            headers["Content-Type"] = "application/json"
        async with (
            aiohttp.ClientSession(
                connector=self.connector(),
                timeout=aiohttp.ClientTimeout(total=CALL_SECONDS_MAX),
                cookie_jar=aiohttp.DummyCookieJar(),
                # What is compressed can be made to swell: nothing is asked for so.
                auto_decompress=False,
                skip_auto_headers=("Accept-Encoding",),
                headers=headers,
            ) as session,
            session.request(
                method,
                self.address.rstrip("/") + path,
                params=dict(query),
                data=None if document is None else _write(document),
                allow_redirects=False,
            ) as response,
        ):
            content = bytearray()
            async for chunk in response.content.iter_chunked(1 << 16):
                content += chunk
                if len(content) > ANSWER_BYTES_MAX:
                    raise ProviderUnreachable("its answer is more than can be read")
            status = response.status
            if status >= 500 or 300 <= status < 400 or status == _TOO_OFTEN:
                raise ProviderUnreachable(f"it answers {status}")
            told = {name.lower(): value for name, value in response.headers.items()}
            return Answered(status, bytes(content), told)
