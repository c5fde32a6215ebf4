"""A Sakk, asked for the ways in which an account of it can be paid.

One key is all the set-up: the coins on chain are those that the account's receiving addresses are
credited in, settled by that Sakk's facilitator, and the sessions are of balances at it.
"""

import logging
from collections.abc import Container, Sequence
from pathlib import Path
from typing import Any, Final, Literal

import aiohttp
import msgspec

from sakk.paywall.charge import Charges
from sakk.paywall.errors import PaywallError
from sakk.paywall.exact import Exact
from sakk.paywall.facilitator import Facilitator
from sakk.paywall.payment import Offer
from sakk.paywall.session import Session
from sakk.paywall.used import Used

log = logging.getLogger("sakk.paywall")

SCHEMES: Final = ("session", "exact")
TIMEOUT_SECONDS: Final = 15.0
_ANSWER_BYTES_MAX: Final = 4 << 20


class Sakk:
    """The source of a paywall's offers. ``api_key`` is of the account that is paid.

    ``networks``, ``currencies`` and ``schemes`` choose among what there is; without them all coins
    are offered, and no balance in fiat money. ``settle`` and ``used_file`` are of `Exact` and
    `Used`; ``step`` is what payers are advised to put up at once for a session, in the smallest
    unit. ``charges_url`` is where sessions are charged, where that is not ``url``: the ledger's own
    port answers soonest. ``public_url`` is the address of that Sakk as payers know it.
    """

    def __init__(
        self,
        url: str,
        api_key: str,
        *,
        networks: Container[str] | None = None,
        currencies: Container[str] | None = None,
        schemes: Sequence[str] = SCHEMES,
        settle: Literal["before", "after"] = "before",
        used_file: str | Path | None = None,
        step: int | None = None,
        charges_url: str | None = None,
        public_url: str | None = None,
    ) -> None:
        unknown = [each for each in schemes if each not in SCHEMES]
        if unknown or not schemes:
            raise PaywallError(f"schemes: must be of {', '.join(SCHEMES)}, not {unknown}.")
        if not url.startswith(("http://", "https://")):
            raise PaywallError(f"url: must be the address of a Sakk, not {url!r}.")
        self._url = url.rstrip("/")
        self._public_url = (public_url or url).rstrip("/")
        self._charges_url = charges_url or url
        self._api_key = api_key
        self._networks = networks
        self._currencies = currencies
        self._schemes = schemes
        self._settle: Literal["before", "after"] = settle
        self._used_file = used_file
        self._step = step

    async def offers(self) -> list[Offer]:
        """Ask for all that is configured; PaywallError where it can not be had."""
        try:
            async with aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=TIMEOUT_SECONDS),
                headers={"authorization": f"Bearer {self._api_key}"},
                cookie_jar=aiohttp.DummyCookieJar(),
            ) as http:
                exact = await self._exact(http)
                sessions = await self._sessions(http) if "session" in self._schemes else []
        except (aiohttp.ClientError, TimeoutError, OSError, KeyError, TypeError) as error:
            raise PaywallError(
                f"The Sakk at {self._url} can not be asked how to be paid:"
                f" {type(error).__name__}: {error}"
            ) from error
        # A session costs the payer no gas and no wait: it comes first, as clients choose.
        offers = [*sessions, *(exact if "exact" in self._schemes else [])]
        if not offers:
            raise PaywallError(f"The Sakk at {self._url} has no way to be paid that was asked for.")
        return offers

    async def _exact(self, http: aiohttp.ClientSession) -> list[Offer]:
        facilitator = Facilitator(
            f"{self._url}/x402", headers={"authorization": f"Bearer {self._api_key}"}
        )
        used = Used(self._used_file)
        offers: list[Offer] = []
        supported = await self._ask(http, "GET", "/x402/supported", may_fail=True)
        if supported is None:
            log.warning("the Sakk at %s has no facilitator: nothing is paid on chain", self._url)
            return []
        for network in dict.fromkeys(
            kind["network"] for kind in supported["kinds"] if kind["scheme"] == "exact"
        ):
            if self._networks is not None and network not in self._networks:
                continue
            address = await self._ask(
                http, "POST", "/v1/receiving_addresses", {"network": network}, may_fail=True
            )
            if address is None:
                # Of the other mode than the key's, or not enabled for it.
                continue
            for token in address["supported_tokens"]:
                currency = token["token_currency"]
                if self._currencies is not None and currency not in self._currencies:
                    continue
                domain = token["eip712"]
                offers.append(
                    Exact(
                        facilitator,
                        network=network,
                        asset=token["token_contract_address"],
                        pay_to=address["address"],
                        currency=currency,
                        decimals=token["decimals"],
                        name=domain["name"] if domain else None,
                        version=domain["version"] if domain else None,
                        permit2=domain is None,
                        settle=self._settle,
                        used=used,
                    )
                )
        return offers

    async def _sessions(self, http: aiohttp.ClientSession) -> list[Offer]:
        authority = await self._ask(http, "GET", "/x402/sessions", may_fail=True)
        if authority is None:
            log.warning("the Sakk at %s knows no sessions: calls are paid on chain", self._url)
            return []
        account = await self._ask(http, "GET", "/v1/account")
        currencies = await self._ask(http, "GET", "/v1/currencies?limit=100")
        assert account is not None
        assert currencies is not None
        charges = Charges(self._charges_url, self._api_key)
        return [
            Session(
                charges,
                network=authority["network"],
                account=account["id"],
                currency=each["id"],
                decimals=each["decimals"],
                authority=self._public_url,
                step=self._step,
            )
            for each in currencies["data"]
            if self._is_wanted(each)
        ]

    def _is_wanted(self, currency: dict[str, Any]) -> bool:
        if self._currencies is None:
            return bool(currency["kind"] == "coin")
        return currency["id"] in self._currencies

    async def _ask(
        self,
        http: aiohttp.ClientSession,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        *,
        may_fail: bool = False,
    ) -> Any:
        async with http.request(
            method, self._url + path, json=body, allow_redirects=False
        ) as response:
            content = await response.content.read(_ANSWER_BYTES_MAX)
            if response.status in (400, 404) and may_fail:
                return None
            if response.status != 200:
                raise PaywallError(
                    f"The Sakk at {self._url} answered {response.status} to {method} {path}:"
                    f" {content[:300].decode('utf-8', 'replace')}"
                )
            return msgspec.json.decode(content)
