"""A Sakk, asked for the ways in which an account of it can be paid.

One key is all the set-up: the coins on chain are those that the account's receiving addresses are
credited in, settled by that Sakk's facilitator, and the sessions are of balances at it.
"""

import logging
from collections.abc import Container, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import aiohttp
import msgspec

from sakk.paywall import escrow
from sakk.paywall.charge import Charges
from sakk.paywall.errors import PaywallAway, PaywallError
from sakk.paywall.escrow import Escrow
from sakk.paywall.exact import Exact
from sakk.paywall.facilitator import SETTLE_SECONDS, Facilitator
from sakk.paywall.payment import Offer
from sakk.paywall.session import Session
from sakk.paywall.used import Used

log = logging.getLogger("sakk.paywall")

SCHEMES: Final = ("session", "exact", escrow.NAME)
TIMEOUT_SECONDS: Final = 15.0
_ANSWER_BYTES_MAX: Final = 4 << 20


@dataclass(frozen=True, slots=True)
class _Coin:
    """A token that the account is paid in. ``authorizer`` None: it has no channels.

    ``name`` and ``version`` are its EIP-712 domain; without one it is paid by Permit2.
    """

    network: str
    asset: str
    pay_to: str
    currency: str
    decimals: int
    name: str | None
    version: str | None
    is_exact: bool
    authorizer: str | None


class Sakk:
    """The source of a paywall's offers. ``api_key`` is of the account that is paid.

    ``networks``, ``currencies`` and ``schemes`` choose among what there is; without them all coins
    are offered, and no balance in fiat money. ``settle`` and ``used_file`` are of `Exact` and
    `Used`; ``step`` is what payers are advised to put up at once for a session, in the smallest
    unit, and ``deposit_min`` what they put up at least for a channel on a chain, where a deposit
    costs that Sakk a transaction. ``charges_url`` is where calls are charged, where that is not
    ``url``: the ledger's own port answers soonest. ``public_url`` is the address of that Sakk as
    payers know it.
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
        deposit_min: int | None = None,
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
        self._deposit_min = deposit_min

    async def offers(self) -> list[Offer]:
        """Ask for all that is configured; PaywallError, and PaywallAway while nobody answers."""
        try:
            async with aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=TIMEOUT_SECONDS),
                headers={"authorization": f"Bearer {self._api_key}"},
                cookie_jar=aiohttp.DummyCookieJar(),
            ) as http:
                sessions = await self._sessions(http) if "session" in self._schemes else []
                on_chain = [each for each in self._schemes if each != "session"]
                coins = await self._coins(http) if on_chain else []
        except (aiohttp.ClientError, TimeoutError, OSError, KeyError, TypeError) as error:
            is_wrong = isinstance(error, KeyError | TypeError)
            raise (PaywallError if is_wrong else PaywallAway)(
                f"The Sakk at {self._url} can not be asked how to be paid:"
                f" {type(error).__name__}: {error}."
            ) from error
        # A session costs the payer no gas and no wait: it comes first, as clients choose. A deposit
        # locks coins up: whoever has met neither pays once.
        offers = [
            *sessions,
            *(self._exact(coins) if "exact" in self._schemes else []),
            *(self._escrows(coins) if escrow.NAME in self._schemes else []),
        ]
        if not offers:
            raise PaywallError(f"The Sakk at {self._url} has no way to be paid that was asked for.")
        return offers

    async def _coins(self, http: aiohttp.ClientSession) -> list["_Coin"]:
        """The tokens that the account is paid in on chains, and where."""
        supported = await self._ask(http, "GET", "/x402/supported", may_fail=True)
        if supported is None:
            log.warning("the Sakk at %s has no facilitator: nothing is paid on chain", self._url)
            return []
        kinds = {(each["network"], each["scheme"]): each for each in supported["kinds"]}
        currencies = await self._ask(http, "GET", "/v1/currencies?limit=100")
        decimals = {each["id"]: each["decimals"] for each in currencies["data"]}
        coins: list[_Coin] = []
        for network in dict.fromkeys(network for network, _ in kinds):
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
                channels = kinds.get((network, escrow.NAME), {}).get("extra") or {}
                domain = token["eip712"] or {}
                coins.append(
                    _Coin(
                        network,
                        token["token_contract_address"],
                        address["address"],
                        currency,
                        token["decimals"],
                        domain.get("name"),
                        domain.get("version"),
                        is_exact=(network, "exact") in kinds,
                        # Finer than its currency it has no channels.
                        authorizer=channels.get("receiverAuthorizer")
                        if token["decimals"] == decimals.get(currency)
                        else None,
                    )
                )
        return coins

    def _exact(self, coins: Sequence["_Coin"]) -> list[Offer]:
        facilitator, used = self._facilitator(), Used(self._used_file)
        return [
            Exact(
                facilitator,
                network=each.network,
                asset=each.asset,
                pay_to=each.pay_to,
                currency=each.currency,
                decimals=each.decimals,
                name=each.name,
                version=each.version,
                permit2=each.name is None,
                settle=self._settle,
                used=used,
            )
            for each in coins
            if each.is_exact
        ]

    def _escrows(self, coins: Sequence["_Coin"]) -> list[Offer]:
        # Connections of their own: a session's call does not wait behind vouchers.
        charges = Charges(self._charges_url, self._api_key, connections=escrow.CONNECTIONS)
        facilitator = self._facilitator(timeout_seconds=escrow.SETTLE_SECONDS)
        return [
            Escrow(
                charges,
                facilitator,
                network=each.network,
                asset=each.asset,
                pay_to=each.pay_to,
                currency=each.currency,
                decimals=each.decimals,
                authorizer=each.authorizer,
                name=each.name,
                version=each.version,
                permit2=each.name is None,
                min_deposit=self._deposit_min,
            )
            for each in coins
            if each.authorizer is not None
        ]

    def _facilitator(self, *, timeout_seconds: float = TIMEOUT_SECONDS) -> Facilitator:
        return Facilitator(
            f"{self._url}/x402",
            headers={"authorization": f"Bearer {self._api_key}"},
            timeout_seconds=timeout_seconds,
            settle_seconds=max(SETTLE_SECONDS, timeout_seconds),
        )

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
                is_away = response.status >= 500 or response.status == 429
                raise (PaywallAway if is_away else PaywallError)(
                    f"The Sakk at {self._url} answered {response.status} to {method} {path}:"
                    f" {content[:300].decode('utf-8', 'replace')}"
                )
            return msgspec.json.decode(content)
