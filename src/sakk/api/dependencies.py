"""What the HTTP door is given: the wired parts of its process, and its limits."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from sakk.flow.context import Parts
from sakk.ledger.line import Line
from sakk.store.database import Database

BODY_BYTES_MAX = 1 << 20
REQUESTS_WAITING_MAX = 512

Check = Callable[[], str | None]


@dataclass(frozen=True, slots=True)
class ApiSettings:
    """Limits of one process of the door.

    ``rate_limit_per_second``: requests a second and key over all processes, None for none.
    ``processes``: how many share that limit. ``threads``: how many requests are executed at once,
    and ``threads_outside`` how many that ask the ledger, so that one that is slow holds up no
    request that does not need it; each may hold two connections. ``trusted_proxies``: networks
    whose ``X-Forwarded-For`` is believed. ``public_url``: where ``doc_url`` points, without a slash
    at the end.
    ``webhook_allow_loopback``: the sandbox alone. ``x402_any_recipient``: HTTP 402 may pay whomever
    it names, and not accounts of this server alone.
    """

    rate_limit_per_second: int | None = 1_000
    authentication_failures_per_minute: int | None = 60
    processes: int = 1
    threads: int = 4
    threads_outside: int = 8
    body_bytes_max: int = BODY_BYTES_MAX
    trusted_proxies: Sequence[str] = ()
    public_url: str = ""
    webhook_allow_loopback: bool = False
    x402_any_recipient: bool = False


@dataclass(frozen=True, slots=True)
class Dependencies:
    """The parts below the door, already wired. ``checks`` name what ``/readyz`` asks besides.

    ``line``: where the event loop asks the ledger; without it nothing can be posted.

    A check returns None or what is wrong. ``metrics`` renders Prometheus text for ``/metrics``.
    """

    parts: Parts
    settings: ApiSettings = field(default_factory=ApiSettings)
    checks: Mapping[str, Check] = field(default_factory=dict)
    metrics: Callable[[], bytes] | None = None
    line: Line | None = None

    @property
    def database(self) -> Database:
        return self.parts.database
