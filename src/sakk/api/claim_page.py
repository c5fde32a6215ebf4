"""The claim page: plain HTML made here, which needs no script and asks nobody else for anything."""

import base64
import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

from sakk.api.claim_messages import MESSAGES, RIGHT_TO_LEFT
from sakk.core.claim import Claim, ClaimStatus
from sakk.core.evm import checksum_address

FOLDER = Path(__file__).with_name("templates")
ADDRESS_PART = 4
DECIMALS_MIN = 2
# First strong isolate, and its end (UAX #9): what is filled in keeps its own direction.
ISOLATE, END = "\u2068", "\u2069"


@dataclass(frozen=True, slots=True)
class Entered:
    """What the payer typed so far, shown again beside what is wrong with it."""

    network: str = ""
    address: str = ""


def render(
    claim: Claim | None,
    *,
    language: str,
    path: str,
    entered: Entered | None = None,
    fault: str | None = None,
    step: str | None = None,
) -> bytes:
    """The page for where a claim stands; ``fault`` and ``step`` name messages."""
    words = MESSAGES[language]

    def say(key: str, **values: str) -> str:
        isolated = {name: f"{ISOLATE}{value}{END}" for name, value in values.items()}
        return words[key].format(**isolated)

    symbol = "" if claim is None else claim.currency.upper()
    entered = entered or Entered()
    network = entered.network
    address = "" if claim is None or claim.address is None else checksum_address(claim.address)
    if claim is not None and claim.network is not None:
        network = claim.network
    names = {} if claim is None else {each.network: each for each in claim.networks}
    document = _template().render(
        language=language,
        direction="rtl" if language in RIGHT_TO_LEFT else "ltr",
        style=Markup(_style()),  # noqa: S704 - a file of ours
        say=say,
        claim=claim,
        amount="" if claim is None else _short(claim.amount_decimal),
        symbol=names[network].symbol if network in names else symbol,
        until=""
        if claim is None or claim.expires_at is None
        else f"{claim.expires_at:%Y-%m-%d %H:%M}",
        fault=fault,
        path=path,
        step=step or _step(claim),
        network=network,
        network_name=names[network].name if network in names else network,
        address=address or entered.address,
        parts=[address[at : at + ADDRESS_PART] for at in range(0, len(address), ADDRESS_PART)],
    )
    return document.encode()


def headers(language: str) -> dict[str, str]:
    """What goes with the page: it may load nothing, send its form here alone, and stay unlisted."""
    digest = base64.b64encode(hashlib.sha256(_style().encode()).digest()).decode()
    return {
        "content-security-policy": f"default-src 'none'; style-src 'sha256-{digest}'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
        "content-language": language,
        "vary": "accept, accept-language",
        "x-robots-tag": "noindex, nofollow",
    }


def _step(claim: Claim | None) -> str:
    if claim is None:
        return "unknown"
    match claim.status:
        case ClaimStatus.open:
            return "form"
        case ClaimStatus.unconfirmed:
            return "confirm"
        case ClaimStatus.given | ClaimStatus.sent | ClaimStatus.over:
            return claim.status.value


def _moment(claim: Claim | None) -> str:
    if claim is None or claim.expires_at is None:
        return ""
    # A time has no letters: the mark says that it runs from left to right.
    return f"\u200e{claim.expires_at:%Y-%m-%d %H:%M}"


def _short(amount: str) -> str:
    """An amount without the zeros that say nothing, with two decimals at least: ``25.00``."""
    whole, point, fraction = amount.partition(".")
    return f"{whole}{point}{fraction.rstrip('0').ljust(min(DECIMALS_MIN, len(fraction)), '0')}"


@cache
def _template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(FOLDER), autoescape=True, undefined=StrictUndefined
    )
    return environment.get_template("claim.html")


@cache
def _style() -> str:
    return FOLDER.joinpath("claim.css").read_text("utf-8")
