"""Which way of paying a wallet takes: what it trusts, what it may spend, and what each way costs.

Of all that a seller offers, only what the policy knows is looked at; of that, what costs least,
where time has a price too. Every way that was offered stands in the receipt with its reason, taken
or not.
"""

import threading
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

from sakk.client.wallet_log import Limits
from sakk.client.x402 import Requirement, X402Error

MICRO: Final = 1_000_000
# How long an authorisation may live, however long the seller would like it.
AUTHORIZATION_SECONDS_MAX: Final = 600
# What a way of paying takes before anything is known of a seller, in milliseconds.
LATENCY_MS: Final[Mapping[str, int]] = {"session": 5, "batch-settlement": 20, "exact": 2_500}
# A new measurement weighs one part in this many.
_SMOOTHING: Final = 4


@dataclass(frozen=True, slots=True)
class Asset:
    """A coin that the wallet pays with: where it is, its decimals, and what one is worth.

    ``micro_usd`` is the value of a whole coin in millionths of a US dollar.
    """

    network: str
    asset: str
    currency: str
    decimals: int
    micro_usd: int = MICRO

    def value_of(self, units: int) -> int:
        """Millionths of a dollar, rounded up: a budget is never passed by rounding."""
        scale: int = 10**self.decimals
        return -(-units * self.micro_usd // scale)


def _usdc(network: str, address: str) -> Asset:
    return Asset(network, address, "usdc", 6)


# Circle's own list of USDC contracts (developers.circle.com/stablecoins/usdc-contract-addresses).
USDC: Final = (
    _usdc("eip155:1", "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48"),
    _usdc("eip155:8453", "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913"),
    _usdc("eip155:42161", "0xaf88d065e77c8cC2239327C5EDb3A432268e5831"),
    _usdc("eip155:10", "0x0b2C639c533813f4Aa9D7837CAf62653d097Ff85"),
    _usdc("eip155:137", "0x3c499c542cEF5E3811e1192ce70d8cC03d5c3359"),
    _usdc("eip155:43114", "0xB97EF9Ef8734C71904D8002F8b6Bc66Dd9c48a6E"),
    _usdc("eip155:84532", "0x036CbD53842c5426634e7929541eC2318f3dCF7e"),
)


@dataclass(frozen=True, slots=True)
class Policy:
    """What a wallet pays, to whom, and how it chooses.

    ``hosts``: sellers that may be paid (None: any); ``assets``: coins that it trusts;
    ``authorities``: the Sakks that it keeps sessions with, by their base URL, and the mandate that
    it acts under there (``mnd_…``, or nothing where the payer's own key opens the channels);
    ``schemes`` and ``networks``: None is every one that
    the wallet can do; ``waiting_micro_usd``: what a second of waiting is worth;
    ``step``: how much of a session is signed ahead, in millionths of a dollar, the most that may be
    lost to it; ``nodes``: JSON-RPC URLs to believe, by network. With one the wallet looks on chain
    itself, where a seller does not say what became of a payment, and pays by Permit2.
    """

    limits: Limits = field(default_factory=Limits)
    hosts: Collection[str] | None = None
    assets: Sequence[Asset] = USDC
    authorities: Mapping[str, str] = field(default_factory=dict)
    schemes: Collection[str] | None = None
    networks: Collection[str] | None = None
    waiting_micro_usd: int = 100
    step: int = 50_000
    authorization_seconds_max: int = AUTHORIZATION_SECONDS_MAX
    nodes: Mapping[str, str] = field(default_factory=dict)


class Scheme(Protocol):
    """What the router asks of a way to pay."""

    name: str

    def refuses(self, offer: Requirement) -> str | None:
        """Why this wallet can not pay that way, or None."""
        ...

    def asset_of(self, offer: Requirement) -> Asset | None:
        """The coin of an offer, if the wallet trusts it."""
        ...

    def takes(self, offer: Requirement) -> int:
        """Units that it takes from the budget: none where they were signed for already, and more
        than its price where the least that may be put up is more."""
        ...


@dataclass(frozen=True, slots=True)
class Choice:
    """One way that was offered, and what the router thought of it.

    ``value`` and ``waiting`` are millionths of a dollar, ``latency_ms`` is the expectation;
    ``left`` is what the tightest limit left before it, None where it takes nothing from any;
    ``refused`` says why it is out of the question.
    """

    scheme: str
    network: str
    asset: str
    amount: str
    value: int | None = None
    latency_ms: int | None = None
    waiting: int | None = None
    left: int | None = None
    refused: str | None = None
    taken: bool = False

    @property
    def cost(self) -> int:
        return (self.value or 0) + (self.waiting or 0)

    def to_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


class Latencies:
    """How long each seller's ways of paying took, as a moving mean."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[tuple[str, str, str], int] = {}

    def expected(self, host: str, scheme: str, network: str) -> int:
        """Milliseconds."""
        known = self._known.get((host, scheme, network))
        return LATENCY_MS.get(scheme, LATENCY_MS["exact"]) if known is None else known

    def saw(self, host: str, scheme: str, network: str, ms: int) -> None:
        with self._lock:
            known = self._known.get((host, scheme, network))
            mean = ms if known is None else known + (ms - known) // _SMOOTHING
            self._known[host, scheme, network] = mean


def host_of(url: str) -> str:
    """The seller, as budgets and latencies know it: host and port in lower case."""
    return urlsplit(url).netloc.rpartition("@")[2].lower()


def choose(
    offers: Sequence[Requirement],
    *,
    host: str,
    policy: Policy,
    schemes: Mapping[str, Scheme],
    left: Mapping[str, int],
    latencies: Latencies,
    value_max: int | None = None,
) -> tuple[int | None, list[Choice]]:
    """Which offer to take, by its place among them, and what was thought of each.

    The cheapest: its value, and what the waiting is worth. Of equals the first stands, as the
    seller prefers it. None where every one is refused.
    """
    limits = [one for one in (policy.limits.per_call, value_max) if one is not None]
    choices = [
        _judge(
            offer,
            host=host,
            policy=policy,
            schemes=schemes,
            left=left,
            latencies=latencies,
            limit=min(limits, default=None),
        )
        for offer in offers
    ]
    open_ones = [place for place, choice in enumerate(choices) if choice.refused is None]
    return min(open_ones, key=lambda place: choices[place].cost, default=None), choices


def _judge(
    offer: Requirement,
    *,
    host: str,
    policy: Policy,
    schemes: Mapping[str, Scheme],
    left: Mapping[str, int],
    latencies: Latencies,
    limit: int | None,
) -> Choice:
    found = (offer.scheme, offer.network, offer.asset, offer.amount[:80])
    scheme = schemes.get(offer.scheme)
    if scheme is None or (policy.schemes is not None and offer.scheme not in policy.schemes):
        return Choice(*found, refused="the scheme is not one that this wallet pays by")
    if policy.networks is not None and offer.network not in policy.networks:
        return Choice(*found, refused="the network is not in the policy")
    asset = scheme.asset_of(offer)
    if asset is None:
        return Choice(*found, refused="the coin is not one that the policy trusts")
    try:
        value = asset.value_of(offer.units)
    except X402Error as error:
        return Choice(*found, refused=str(error))
    latency_ms = latencies.expected(host, offer.scheme, offer.network)
    waiting = latency_ms * policy.waiting_micro_usd // 1_000
    taken = asset.value_of(scheme.takes(offer))
    rests = left if taken else {}
    refused = _over(value, taken, host, policy, rests, limit) or scheme.refuses(offer)
    return Choice(
        *found,
        value=value,
        latency_ms=latency_ms,
        waiting=waiting,
        left=min(rests.values(), default=None),
        refused=refused,
    )


def _over(
    value: int, taken: int, host: str, policy: Policy, left: Mapping[str, int], limit: int | None
) -> str | None:
    if policy.hosts is not None and host not in policy.hosts:
        return "the seller is not in the policy"
    if limit is not None and value > limit:
        return f"{value} millionths of a dollar are more than a call may cost ({limit})"
    for name, rest in left.items():
        if taken > rest:
            return f"{taken} millionths of a dollar are more than {name} leaves ({max(rest, 0)})"
    return None
