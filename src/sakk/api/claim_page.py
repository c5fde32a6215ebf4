"""The claim page: what the payer sees of a claim at each step, without a script."""

from dataclasses import dataclass
from typing import Final

from sakk.core.claim import Claim, ClaimStatus
from sakk.core.evm import checksum_address
from sakk.pages import page
from sakk.pages.language import mark, words

FAULTS: Final = {
    "bad_network": mark("Choose one of the networks."),
    "bad_address": mark(
        "This is not an address of that network: a character is missing or wrong. Copy it again."
    ),
    "not_yours": mark(
        "This address belongs to a token or to the payment service. Give an address of your own."
    ),
}


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
    """The page for where a claim stands; ``fault`` names one of ``FAULTS``."""
    symbol = "" if claim is None else claim.currency.upper()
    entered = entered or Entered()
    network = entered.network
    address = "" if claim is None or claim.address is None else checksum_address(claim.address)
    if claim is not None and claim.network is not None:
        network = claim.network
    names = {} if claim is None else {each.network: each for each in claim.networks}
    chosen, given = names.get(network), None if claim is None else claim.network_name
    return page.render(
        "api/claim.html",
        language=language,
        claim=claim,
        symbol=symbol if chosen is None else chosen.symbol,
        until=""
        if claim is None or claim.expires_at is None
        else f"{claim.expires_at:%Y-%m-%d %H:%M}",
        fault=None if fault is None else words(language).gettext(FAULTS[fault]),
        path=path,
        step=step or _step(claim),
        network=network,
        network_name=(given or network) if chosen is None else chosen.name,
        address=address or entered.address,
    )


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
