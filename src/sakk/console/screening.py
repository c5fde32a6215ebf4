"""Verdicts in words, and where an address's money came from: what officers read of screening."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

from pydantic import Field

from sakk.console.route import ROOT, Screen
from sakk.console.visit import Page, Visit
from sakk.core.errors import ResourceMissing, UnexpectedState
from sakk.core.evm import parse_address
from sakk.core.exposure import Exposure, Way
from sakk.core.network import Asset
from sakk.core.screening import facts_from_document
from sakk.pages.form import Form
from sakk.pages.language import mark
from sakk.store import network as networks

PATH: Final = f"{ROOT}/exposures"
ASSET_LENGTH_MAX: Final = 200
VERDICTS: Mapping[str, tuple[str, str]] = {
    "clear": (mark("Clear"), "good"),
    "review": (mark("To be reviewed"), "warn"),
    "block": (mark("Blocked"), "bad"),
}
CATEGORIES: Mapping[str, str] = {
    "sanctions": mark("Sanctions"),
    "terrorism": mark("Terrorism"),
    "child_abuse": mark("Child abuse"),
    "ransomware": mark("Ransomware"),
    "theft": mark("Theft"),
    "scam": mark("Scam"),
    "mixer": mark("Mixer"),
    "darknet_market": mark("Darknet market"),
    "extortion": mark("Extortion"),
    "frozen_by_issuer": mark("Frozen by the issuer"),
    "gambling": mark("Gambling"),
    "exchange": mark("Exchange"),
    "defi": mark("Decentralised finance"),
    "bridge": mark("Bridge"),
    "miner": mark("Miner"),
    "service": mark("Service"),
    "wallet": mark("Wallet"),
    "other": mark("Other"),
    "known_good": mark("Known to be good"),
    "issuance": mark("Made by the token's contract"),
    "unknown": mark("Not known"),
}
SIDES: Mapping[str, str] = {"sender": mark("Sender"), "receiver": mark("Receiver")}


class ExposureQuery(Form):
    """Whose money, in which token, and whether it is asked where it came from or went."""

    network: Annotated[str, Field(max_length=ASSET_LENGTH_MAX)]
    asset: Annotated[str, Field(max_length=ASSET_LENGTH_MAX)]
    address: Annotated[str, Field(max_length=ASSET_LENGTH_MAX)]
    direction: Way = Way.source


def exposure(visit: Visit, query: ExposureQuery) -> Page:
    """Where an address's money came from or went, by all transfers that are known now."""
    with visit.database.read() as connection:
        network = networks.find_network(connection, query.network)
        assets = {each.asset: each for each in networks.list_assets(connection)}
    asset = assets.get(query.asset)
    if network is None or network.livemode != visit.livemode or asset is None:
        raise ResourceMissing("There is no such token.")
    try:
        address = parse_address(query.address)
    except ValueError as error:
        raise ResourceMissing("{error}.", error=error) from None
    if visit.parts.exposure is None:
        raise UnexpectedState(
            visit.words.gettext("This process does not trace transfers: ask at the API's address.")
        )
    found = visit.parts.exposures().exposure(query.network, query.asset, address, query.direction)
    values = {
        "found": found,
        "query": query,
        "network": network,
        "asset": asset,
        "parts": parts_of(found, assets),
        "paths": found.paths,
        "categories": CATEGORIES,
    }
    return Page("console/exposure.html", values)


def reasons_of(screening: Mapping[str, Any], assets: Mapping[str, Asset]) -> list[dict[str, Any]]:
    """The reasons of a verdict, as a table shows them."""
    asset = assets.get(screening["asset"])
    return [
        {
            **each,
            "word": CATEGORIES.get(each["category"], each["category"]),
            "party": SIDES.get(each["side"], each["side"]),
            "share": percent(each["share_ppm"]),
            "symbol": None if asset is None else asset.symbol,
            "decimals": 0 if asset is None else asset.decimals,
        }
        for each in screening["reasons"]
    ]


def categories_of(
    screening: Mapping[str, Any], assets: Mapping[str, Asset]
) -> list[dict[str, Any]]:
    """What the exposure that a verdict rests on was made of; nothing where no rule asked."""
    found = None if not screening["inputs"] else facts_from_document(screening["inputs"]).exposure
    return [] if found is None else parts_of(found, assets)


def parts_of(found: Exposure, assets: Mapping[str, Asset]) -> list[dict[str, Any]]:
    """An exposure by category, the greatest part first, and what is not known at the end."""
    asset = assets.get(found.asset)
    named = sorted(found.parts, key=lambda part: -part.units)
    lines: list[tuple[str, int, int | None]] = [
        (part.category, part.units, part.direct_units) for part in named
    ]
    lines.append(("unknown", found.unknown_units, None))
    return [
        {
            "word": CATEGORIES.get(category, category),
            "units": units,
            "direct": direct,
            "share": percent(found.share_ppm([category]))
            if category != "unknown"
            else percent(found.unknown_ppm),
            "symbol": found.asset.rpartition("/")[2] if asset is None else asset.symbol,
            "decimals": 0 if asset is None else asset.decimals,
        }
        for category, units, direct in lines
        if units
    ]


def percent(ppm: int | None) -> str | None:
    """Millionths as a percentage with all its digits: ``12.5``."""
    if ppm is None:
        return None
    whole, rest = divmod(ppm, 10_000)
    return f"{whole}.{rest:04d}".rstrip("0").rstrip(".")


def worded(visit: Visit, words: Mapping[str, str], values: Sequence[str]) -> list[str]:
    """Codes as they are called, in the person's language."""
    return [visit.words.gettext(words[each]) if each in words else each for each in values]


SCREENS = (Screen("GET", PATH, exposure, "exposures", operator_only=True),)
