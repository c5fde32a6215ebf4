"""Travel Rule records: who stands behind a transfer, what of it is missing, and how far it is.

A record belongs to one transfer, a payout or a pay-in. It is `required` while something is
missing, `pending` while the other institution is asked, then `complete`, or `refused`. Persons are
IVMS101 and are kept sealed; what is shown of a record names fields, never what they hold.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from sakk.core.errors import ParameterInvalid
from sakk.core.evm import checksum_address
from sakk.core.ivms101 import (
    ADDRESS_LINES_MAX,
    IdentityPayload,
    LegalPerson,
    NaturalPerson,
    Person,
    read,
    require,
    write,
)
from sakk.core.payin import SCREENED
from sakk.core.regime import Counterparty, CounterpartyKind, Party, Requirement
from sakk.core.vasp import Vasp

PREFIX: Final = "trv"
RETENTION: Final = timedelta(days=3_653)
ADDRESS_LINE_LENGTH_MAX: Final = 70
# Somebody showed that a wallet is theirs: by a signature, or by a transfer from it.
PROOFS: Final = frozenset({"eip191", "eip712", "transfer"})
DECLARATION: Final = "declaration"
# Why a pay-in is held of whose sender nothing was told; its merchant reads no more than of others.
UNTOLD: Final = f"{SCREENED}travel_rule"


class TravelRuleStatus(StrEnum):
    """How far a transfer's record is; a payout waits in the second and the third."""

    not_required = "not_required"
    required = "required"
    pending = "pending"
    complete = "complete"
    refused = "refused"


class Exchange(StrEnum):
    """How far the talk with the other institution is."""

    none = "none"
    queued = "queued"
    asked = "asked"
    approved = "approved"
    rejected = "rejected"
    unanswered = "unanswered"
    concluded = "concluded"


class TransferDirection(StrEnum):
    outgoing = "outgoing"
    incoming = "incoming"


# Those with which a payout may be judged by the policy, and so be signed.
SETTLED: Final = (TravelRuleStatus.not_required.value, TravelRuleStatus.complete.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class TravelRule:
    """One record. ``payload`` is the sealed IVMS101 document; None when it was forgotten.

    ``subject`` is the payout or pay-in; an announcement of money to come has none yet. ``address``
    receives, in lower case; ``amount`` in the currency's smallest unit. ``request_identifier``
    names the exchange to the other institution, ``token_hash`` is of the secret in the address by
    which it answers us, ``peer_callback`` the address by which we answer it.
    """

    id: str
    account_id: str | None
    livemode: bool
    direction: str
    subject: str | None
    status: str
    regime: str
    network: str | None
    address: str
    currency: str | None
    amount: int
    counterparty: str
    vasp: str | None
    requirement: dict[str, Any]
    missing: list[dict[str, str]]
    ownership: str | None
    exchange: str
    request_identifier: str
    token_hash: str | None
    peer_callback: str | None
    tx_hash: str | None
    payload: bytes | None
    deadline_at: datetime | None
    completed_at: datetime | None
    ended_at: datetime | None
    decided_by: str | None
    reason: str | None
    legal_hold: bool
    created: datetime


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a transfer's parties. ``ownership`` is how a wallet's owner was shown."""

    originator: Person | None
    originator_accounts: tuple[str, ...]
    beneficiary: Person | None
    beneficiary_accounts: tuple[str, ...]
    ownership: str | None = None


@dataclass(frozen=True, slots=True)
class Missing:
    """One thing that is missing, and what to do about it."""

    field: str
    message: str

    def document(self) -> dict[str, str]:
        return {"field": self.field, "message": self.message}


_WORDS: Final = {
    "name": "name",
    "account": "account number",
    "address": "postal address",
    "country": "country",
    "national_identification": "national identification number",
    "customer_identification": "customer number",
    "birth": "date and place of birth",
    "lei": "LEI",
}


def person_of(given: Mapping[str, Any], *, today: date, param: str) -> Person:
    """The person that a caller described: IVMS101 under ``person``, or a few fields in short.

    Raises ParameterInvalid, naming the field, for what is no IVMS101 or breaks a constraint of it.
    """
    if given.get("person") is not None:
        inner = f"{param}[person]"
        return require(read(Person, given["person"], param=inner), today=today, param=inner)
    person = read(Person, _described(given, param), param=param)
    return require(person, today=today, param=param)


def _described(given: Mapping[str, Any], param: str) -> dict[str, Any]:
    if given.get("type") is None or given.get("name") is None:
        name = "name" if given.get("type") else "type"
        raise ParameterInvalid(
            "A person has a type, natural or legal, and a name: give {field}[{name}].",
            param=f"{param}[{name}]",
            field=param,
            name=name,
        )
    lines = _lines(given.get("address"), param)
    country, town = given.get("country"), given.get("town")
    if lines and not (country and town):
        name = "town" if country else "country"
        raise ParameterInvalid(
            "A postal address has a town and a country: give {field}[{name}] too.",
            param=f"{param}[{name}]",
            field=param,
            name=name,
        )
    places = [
        {
            "addressType": "HOME" if given["type"] == "natural" else "BIZZ",
            "addressLine": lines,
            "townName": town,
            "country": country,
        }
    ]
    address = {"geographicAddress": places} if lines else {}
    if given["type"] == "natural":
        name_id = {"primaryIdentifier": given["name"], "nameIdentifierType": "LEGL"}
        if given.get("given_name"):
            name_id["secondaryIdentifier"] = given["given_name"]
        residence = {"countryOfResidence": country} if country else {}
        return {"naturalPerson": {"name": {"nameIdentifier": [name_id]}, **address, **residence}}
    registered = {"countryOfRegistration": country} if country else {}
    legal = {"legalPersonName": given["name"], "legalPersonNameIdentifierType": "LEGL"}
    lei = given.get("lei")
    number = {"nationalIdentifier": lei, "nationalIdentifierType": "LEIX"}
    identified = {"nationalIdentification": number} if lei else {}
    return {
        "legalPerson": {
            "name": {"nameIdentifier": [legal]},
            **address,
            **registered,
            **identified,
        }
    }


def _lines(text: str | None, param: str) -> list[str]:
    """A postal address as the standard's lines: as it was written, else cut between words."""
    if not text:
        return []
    lines: list[str] = []
    for written in text.splitlines():
        line = ""
        for word in written.split():
            if line and len(line) + 1 + len(word) > ADDRESS_LINE_LENGTH_MAX:
                lines.append(line)
                line = word
            else:
                line = f"{line} {word}".strip()
        lines += [line] if line else []
    if len(lines) > ADDRESS_LINES_MAX:
        raise ParameterInvalid(
            "A postal address has at most {address_lines_max} lines of "
            "{address_line_length_max} characters. Shorten {field}[address].",
            param=f"{param}[address]",
            address_lines_max=ADDRESS_LINES_MAX,
            address_line_length_max=ADDRESS_LINE_LENGTH_MAX,
            field=param,
        )
    return lines


def counterparty_of(told: Mapping[str, Any], known: Vasp | None) -> Counterparty:
    """Who keeps the keys: what the directory knows, before what a caller said."""
    vasp = told.get("vasp") or {}
    reachable = bool(vasp.get("travel_address") or (known and known.travel_address))
    if known is not None:
        return Counterparty(CounterpartyKind.vasp, known.id, reachable)
    match told.get("wallet"):
        case "hosted":
            return Counterparty(CounterpartyKind.vasp, None, reachable)
        case "self_hosted":
            return Counterparty(CounterpartyKind.self_hosted)
        case _:
            return Counterparty(CounterpartyKind.unknown)


def numbered(person: Person, customer: str) -> Person:
    """An originator with the number by which we know them, where they have none."""
    either = person.either
    if isinstance(either, NaturalPerson):
        if either.customer_identification is not None:
            return person
        changed = either.model_copy(update={"customer_identification": customer})
        return person.model_copy(update={"natural_person": changed})
    if either.customer_number is not None:
        return person
    company = either.model_copy(update={"customer_number": customer})
    return person.model_copy(update={"legal_person": company})


def missing(requirement: Requirement, known: Known) -> list[Missing]:
    """What of a requirement is not known yet, with what to do, in a fixed order."""
    found: list[Missing] = []
    if requirement.counterparty:
        found.append(
            Missing(
                "beneficiary.wallet",
                "Say with travel_rule[wallet] whether the address is hosted by an institution or "
                "self_hosted.",
            )
        )
    parties: Sequence[tuple[Party, Any, Any, Any]] = (
        ("originator", requirement.originator, known.originator, known.originator_accounts),
        ("beneficiary", requirement.beneficiary, known.beneficiary, known.beneficiary_accounts),
    )
    for party, wants, person, accounts in parties:
        for want in wants:
            sets = [each.split("+") for each in want]
            if not any(all(_has(person, accounts, name) for name in one) for one in sets):
                found.append(_missing(party, sets))
    if requirement.ownership and not _is_proved(requirement, known.ownership):
        found.append(
            Missing(
                "beneficiary.ownership",
                "Show that the beneficiary owns the wallet: add the address to /v1/beneficiaries "
                "with a signature (eip191 or eip712), or have a test transfer sent from it.",
            )
        )
    return found


def _is_proved(requirement: Requirement, ownership: str | None) -> bool:
    return ownership in PROOFS or (requirement.declaration and ownership == DECLARATION)


def _missing(party: Party, sets: Sequence[Sequence[str]]) -> Missing:
    words = " or ".join(" with ".join(_WORDS[name] for name in each) for each in sets)
    where = "/v1/travel_rule/originator" if party == "originator" else "travel_rule"
    return Missing(f"{party}.{sets[0][0]}", f"Give the {party}'s {words}, with {where}.")


def _has(person: Person | None, accounts: Sequence[str], name: str) -> bool:
    if name == "account":
        return bool(accounts)
    if person is None:
        return False
    either = person.either
    match name:
        case "address":
            return bool(either.geographic_address)
        case "country":
            return bool(either.geographic_address) or _home(either) is not None
        case "national_identification":
            return either.national_identification is not None
        case "lei":
            number = either.national_identification
            return number is not None and number.national_identifier_type == "LEIX"
        case "customer_identification":
            return _number(either) is not None
        case "birth":
            return isinstance(either, NaturalPerson) and either.date_and_place_of_birth is not None
        case _:
            # Whoever is there at all has a name.
            return True


def _home(either: NaturalPerson | LegalPerson) -> str | None:
    if isinstance(either, NaturalPerson):
        return either.country_of_residence
    return either.country_of_registration


def _number(either: NaturalPerson | LegalPerson) -> str | None:
    if isinstance(either, NaturalPerson):
        return either.customer_identification
    return either.customer_number


def standing(
    requirement: Requirement, lacks: Sequence[Missing], exchange: Exchange
) -> TravelRuleStatus:
    """How far a record is, by what is missing and what the other institution said."""
    if not requirement.needed:
        return TravelRuleStatus.not_required
    if exchange is Exchange.rejected:
        return TravelRuleStatus.refused
    if lacks:
        return TravelRuleStatus.required
    if requirement.exchange and exchange not in (Exchange.approved, Exchange.concluded):
        return TravelRuleStatus.pending
    return TravelRuleStatus.complete


def payload_of(known: Known, *, ours: Person | None, theirs: Person | None) -> IdentityPayload:
    """The IVMS101 document of what is known, with both institutions."""
    document: dict[str, Any] = {}
    if known.originator is not None:
        document["originator"] = {
            "originatorPersons": [write(known.originator)],
            "accountNumber": list(known.originator_accounts),
        }
    if known.beneficiary is not None:
        document["beneficiary"] = {
            "beneficiaryPersons": [write(known.beneficiary)],
            "accountNumber": list(known.beneficiary_accounts),
        }
    if ours is not None:
        document["originatingVASP"] = {"originatingVASP": write(ours)}
    if theirs is not None:
        document["beneficiaryVASP"] = {"beneficiaryVASP": write(theirs)}
    return read(IdentityPayload, document, param="payload")


def known_of(payload: IdentityPayload, *, ownership: str | None) -> Known:
    """What a document tells of a transfer's parties, the first person of each."""
    sender, receiver = payload.originator, payload.beneficiary
    return Known(
        None if sender is None else sender.originator_persons[0],
        () if sender is None else sender.account_number,
        None if receiver is None else receiver.beneficiary_persons[0],
        () if receiver is None else receiver.account_number,
        ownership,
    )


def same_name(one: Person, other: Person) -> bool:
    """Are two persons called the same, but for capitals, spaces and marks between words?"""
    return _plain(one.legal_name()) == _plain(other.legal_name())


def _plain(name: str) -> str:
    return "".join(each for each in name.casefold() if each.isalnum())


def public_travel_rule(record: TravelRule, *, operator: bool) -> dict[str, Any]:
    """The API's object ``travel_rule``; of the parties it names fields, never what they hold."""
    return {
        "id": record.id,
        "object": "travel_rule",
        "account": record.account_id,
        "address": checksum_address(record.address),
        "amount": record.amount,
        "completed_at": _seconds(record.completed_at),
        "counterparty": record.counterparty,
        "created": int(record.created.timestamp()),
        "currency": record.currency,
        "deadline_at": _seconds(record.deadline_at),
        "decided_by": record.decided_by if operator else None,
        "direction": record.direction,
        "exchange": record.exchange if operator else None,
        "legal_hold": record.legal_hold if operator else None,
        "livemode": record.livemode,
        "missing": record.missing,
        "network": record.network,
        "ownership": record.ownership,
        "reason": record.reason if operator else None,
        "reasons": list(record.requirement.get("reasons", ())),
        "regime": record.regime,
        "status": record.status,
        "subject": record.subject,
        "tx_hash": record.tx_hash,
        "vasp": record.vasp,
    }


def _seconds(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp())
