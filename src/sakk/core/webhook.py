"""The rules of webhooks: where one may go, how it is signed, when it is tried again.

Signatures follow Standard Webhooks (``v1,`` and base64 of HMAC-SHA256 over ``id.timestamp.body``,
keyed by the secret's decoded bytes) and Stripe's ``Stripe-Signature`` (hex of HMAC-SHA256 over
``timestamp.body``, keyed by the whole secret string). Both travel with every delivery.
"""

import base64
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final
from urllib.parse import SplitResult, urlsplit

from sakk.core.errors import ParameterInvalid

SIGNING_PREFIX: Final = "whsec_"
SECRET_BYTES: Final = 32
URL_LENGTH_MAX: Final = 2048
URLS_MAX: Final = 4096
ROTATION_OVERLAP_SECONDS_MAX: Final = 7 * 86_400
USER_AGENT: Final = "Sakk"

# After the first try, which leaves at once. The design's table; ten tries in 75 h.
RETRY_DELAYS: Final = (
    timedelta(seconds=5),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=5),
    timedelta(hours=10),
    timedelta(hours=14),
    timedelta(hours=20),
    timedelta(hours=24),
)
ATTEMPTS_MAX: Final = len(RETRY_DELAYS) + 1
RETRY_AFTER_MAX: Final = timedelta(hours=24)
JITTER_PERMILLE_MAX: Final = 100
FAILING_MAX: Final = timedelta(days=5)

_STATUS_GONE: Final = 410


class EndpointStatus(StrEnum):
    enabled = "enabled"
    disabled = "disabled"


class DeliveryStatus(StrEnum):
    """``failed``: refused for good, or sent once; ``abandoned``: every try was used up."""

    pending = "pending"
    succeeded = "succeeded"
    failed = "failed"
    abandoned = "abandoned"


# IANA's special-purpose registries (RFC 6890 and successors), and what clouds answer on
# addresses that look public: 168.63.129.16 is Azure's.
_REFUSED_V4: Final = tuple(
    IPv4Network(block)
    for block in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "168.63.129.16/32",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)
_GLOBAL_V6: Final = IPv6Network("2000::/3")
_NAT64: Final = IPv6Network("64:ff9b::/96")
_REFUSED_V6: Final = tuple(
    IPv6Network(block) for block in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")
)


def address_allowed(address: str, *, allow_loopback: bool) -> bool:
    """Whether a webhook may be sent to this IP address.

    IPv4 inside IPv6 (mapped, NAT64) is judged as the IPv4 address that it reaches; every other
    form of IPv6 must be global unicast.
    """
    try:
        found = ip_address(address)
    except ValueError:
        return False
    if isinstance(found, IPv6Address):
        if found.scope_id is not None:
            return False
        if found.ipv4_mapped is not None:
            found = found.ipv4_mapped
        elif found in _NAT64:
            found = IPv4Address(int(found) & 0xFFFFFFFF)
    if found.is_loopback:
        return allow_loopback
    if isinstance(found, IPv4Address):
        return not any(found in network for network in _REFUSED_V4)
    return found in _GLOBAL_V6 and not any(found in network for network in _REFUSED_V6)


@lru_cache(maxsize=URLS_MAX)
def check_url(url: str, *, allow_loopback: bool) -> str:
    """Validate an endpoint's URL and return it; ParameterInvalid says what to change.

    Names are judged again at every connection by the address that they resolve to. What passed is
    remembered: every delivery asks.
    """
    if len(url) > URL_LENGTH_MAX:
        raise _refuse(f"is longer than {URL_LENGTH_MAX} characters")
    if not url.isascii() or any(character <= " " or character in '\x7f\\"<>' for character in url):
        raise _refuse("holds a character that a URL may not hold; percent-encode it")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise _refuse(f"is malformed ({error})") from error
    if not host:
        raise _refuse("has no host; write https://your-host/path")
    if parts.username is not None or parts.password is not None:
        raise _refuse("holds a user or password; verify the signature instead")
    if "#" in url:
        raise _refuse("holds a fragment, which is never sent; remove it")
    if port == 0:
        raise _refuse("has port 0; leave the port out or name a real one")
    local = _check_host(host, allow_loopback=allow_loopback)
    _check_scheme(parts, local=local, allow_loopback=allow_loopback)
    return url


def _check_scheme(parts: SplitResult, *, local: bool, allow_loopback: bool) -> None:
    if parts.scheme == "https" or (parts.scheme == "http" and local):
        return
    allowed = "https, or http to loopback" if allow_loopback else "https"
    raise _refuse(f"must use {allowed}")


def _check_host(host: str, *, allow_loopback: bool) -> bool:
    """Judge the host as written; True if it is loopback by its name or number."""
    name = host.removesuffix(".")
    if ":" in host:
        literal = True
    else:
        # A last label that is a number makes the host an IPv4 address (WHATWG URL, "ends in a
        # number"): 2130706433, 0x7f.1 and 0177.0.0.1 are all loopback to the resolver.
        last = name.rpartition(".")[2]
        literal = last.isdigit() or last.startswith("0x")
    if literal:
        try:
            address = ip_address(host)
        except ValueError as error:
            raise _refuse(
                "names its host by an unusual form of IP address; write a host name"
            ) from error
        if not address_allowed(host, allow_loopback=allow_loopback):
            raise _refuse(f"leads to {host}, which is not a public address")
        return _is_loopback(address)
    if name == "localhost" or name.endswith(".localhost"):
        if allow_loopback:
            return True
        raise _refuse("leads to this machine; use a public host name")
    if not all(
        label and len(label) <= 63 and label.replace("-", "").replace("_", "").isalnum()
        for label in name.split(".")
    ):
        raise _refuse("has a malformed host name; write internationalised names in punycode")
    return False


def _is_loopback(address: IPv4Address | IPv6Address) -> bool:
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped.is_loopback
    return address.is_loopback


def _refuse(reason: str) -> ParameterInvalid:
    return ParameterInvalid("the webhook's url {reason}", param="url", reason=reason)


def make_secret(random: bytes) -> str:
    """``whsec_`` and base64 of 32 random bytes, as Standard Webhooks writes secrets."""
    if len(random) != SECRET_BYTES:
        raise ValueError(f"random must be {SECRET_BYTES} bytes")
    return SIGNING_PREFIX + base64.b64encode(random).decode("ascii")


def redact(secret: str) -> str:
    """What may be shown of a secret after its creation."""
    return f"{SIGNING_PREFIX}…{secret[-4:]}"


def sign(body: bytes, *, event_id: str, timestamp: int, secrets: Sequence[str]) -> dict[str, str]:
    """The headers that let either kind of receiver verify ``body``.

    One signature per secret (current first), so that a receiver may hold either while rotating.
    """
    standard, stripe = [], [f"t={timestamp}"]
    standard_content = f"{event_id}.{timestamp}.".encode() + body
    stripe_content = f"{timestamp}.".encode() + body
    for secret in secrets:
        key = base64.b64decode(secret.removeprefix(SIGNING_PREFIX))
        digest = hmac.digest(key, standard_content, "sha256")
        standard.append(f"v1,{base64.b64encode(digest).decode('ascii')}")
        stripe.append(f"v1={hmac.digest(secret.encode(), stripe_content, 'sha256').hex()}")
    return {
        "webhook-id": event_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(standard),
        "Stripe-Signature": ",".join(stripe),
    }


@dataclass(frozen=True, slots=True)
class Verdict:
    """What follows from one try."""

    status: DeliveryStatus
    next_attempt_at: datetime | None
    gone: bool = False


def judge(
    *,
    response_status: int | None,
    retry_after: str | None,
    retry_step: int,
    now: datetime,
    jitter_permille: int,
    once: bool = False,
) -> Verdict:
    """Decide what follows from an answer (None: there was none).

    2xx is success; 410 refuses for good and disables the endpoint; everything else, redirects
    included, is a failure. ``retry_step`` counts the failures before this one. The jitter only
    ever adds, at most ``JITTER_PERMILLE_MAX`` of the delay; ``Retry-After`` can lengthen the
    delay, up to ``RETRY_AFTER_MAX``, and never shorten it. ``once``: it is not tried again.
    """
    if not 0 <= jitter_permille <= JITTER_PERMILLE_MAX:
        raise ValueError(f"jitter_permille must be 0 to {JITTER_PERMILLE_MAX}")
    if response_status is not None and 200 <= response_status < 300:
        return Verdict(DeliveryStatus.succeeded, None)
    if response_status == _STATUS_GONE:
        return Verdict(DeliveryStatus.failed, None, gone=True)
    if once:
        return Verdict(DeliveryStatus.failed, None)
    if retry_step >= len(RETRY_DELAYS):
        return Verdict(DeliveryStatus.abandoned, None)
    delay = RETRY_DELAYS[retry_step]
    delay += delay * jitter_permille // 1000
    asked = retry_after_delay(retry_after, now=now)
    return Verdict(DeliveryStatus.pending, now + max(delay, asked))


def retry_after_delay(value: str | None, *, now: datetime) -> timedelta:
    """Read ``Retry-After`` (RFC 9110 section 10.2.3), bounded; nothing or nonsense is zero."""
    if value is None:
        return timedelta()
    text = value.strip()
    if text.isascii() and text.isdigit():
        # More digits than this exceed the bound whatever they are, and int() refuses thousands.
        seconds = int(text) if len(text) <= 9 else RETRY_AFTER_MAX.total_seconds()
        return min(timedelta(seconds=seconds), RETRY_AFTER_MAX)
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return timedelta()
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return min(max(moment - now, timedelta()), RETRY_AFTER_MAX)


def failing_too_long(failing_since: datetime | None, *, now: datetime) -> bool:
    """Whether an endpoint that has not succeeded since then is to be disabled."""
    return failing_since is not None and now - failing_since >= FAILING_MAX
