"""Institutions that keep wallets for their customers: the operator's directory of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from sakk.core.errors import ParameterInvalid
from sakk.core.evm import checksum_address, parse_address
from sakk.core.ivms101 import Person, read
from sakk.core.lei import is_lei

PREFIX: Final = "vasp"
ADDRESSES_MAX: Final = 10_000


class VaspStatus(StrEnum):
    active = "active"
    blocked = "blocked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Vasp:
    """One institution. ``addresses`` that are known to be its, in lower case.

    ``travel_address``: where inquiries go when the beneficiary gave none of their own.
    """

    id: str
    livemode: bool
    name: str
    lei: str | None
    country: str | None
    travel_address: str | None
    addresses: list[str]
    status: str
    created: datetime


def check_lei(lei: str | None, *, param: str) -> None:
    """ParameterInvalid for what is no LEI."""
    if lei is not None and not is_lei(lei):
        raise ParameterInvalid(
            "{lei} is no LEI: its check digits do not hold (ISO 17442). Copy it from"
            " search.gleif.org.",
            param=param,
            lei=lei,
        )


def read_addresses(given: Sequence[str], *, param: str) -> list[str]:
    """Addresses in lower case, each once; ParameterInvalid names the one that is none."""
    found: dict[str, None] = {}
    for place, text in enumerate(given):
        try:
            found[parse_address(text)] = None
        except ValueError:
            raise ParameterInvalid(
                "{address} is no address, or a character of it is mistyped.",
                param=f"{param}[{place}]",
                address=repr(text),
            ) from None
    return list(found)


def vasp_person(name: str, *, lei: str | None, country: str | None) -> Person:
    """An institution as IVMS101 knows it."""
    legal = {"legalPersonName": name, "legalPersonNameIdentifierType": "LEGL"}
    document: dict[str, Any] = {"name": {"nameIdentifier": [legal]}}
    if lei is not None:
        document["nationalIdentification"] = {
            "nationalIdentifier": lei,
            "nationalIdentifierType": "LEIX",
        }
    if country is not None:
        document["countryOfRegistration"] = country
    return read(Person, {"legalPerson": document}, param="vasp")


def public_vasp(vasp: Vasp) -> dict[str, Any]:
    """The API's object ``vasp``."""
    return {
        "id": vasp.id,
        "object": "vasp",
        "addresses": [checksum_address(each) for each in vasp.addresses],
        "country": vasp.country,
        "created": int(vasp.created.timestamp()),
        "lei": vasp.lei,
        "livemode": vasp.livemode,
        "name": vasp.name,
        "status": vasp.status,
        "travel_address": vasp.travel_address,
    }
