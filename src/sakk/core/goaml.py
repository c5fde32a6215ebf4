"""goAML: a suspicious transaction report as the XML that the UNODC's goAML reads.

The structure follows the public "Standard XML Reporting Instructions and Specifications", schema
4.0 (UNODC, January 2013): the elements of ``report``, their order, which of them must be there, and
how long they may be. An authority's own XSD may ask for more. Lookup values (funds, transaction
modes, report and account codes) are each authority's too, so they are configuration.

A crypto address is an account here: ``account`` holds it, ``institution_name`` says which network.
An amount in coins is a foreign currency with its rate to the local one.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Final
from xml.sax.saxutils import escape

from sakk.core.errors import ParameterInvalid, ParameterMissing

SCHEMA: Final = "goAML 4.0"
INDICATORS_MAX: Final = 20
TEXT_MAX: Final = 4_000
_CODE: Final = re.compile(r"[A-Za-z0-9_-]{1,20}")
_COUNTRY: Final = re.compile(r"[A-Z]{2}")
_CURRENCY: Final = re.compile(r"[A-Z]{3,5}")
# What XML 1.0 can not hold, whatever is done to it (section 2.2), and marks that turn text around.
_FORBIDDEN: Final = re.compile(
    "[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]|[\u200e\u200f\u202a-\u202e\u2066-\u2069]"
)


@dataclass(frozen=True, slots=True)
class Person:
    """Who reports: a t_person_registration_in_report."""

    first_name: str
    last_name: str
    email: str
    occupation: str


@dataclass(frozen=True, slots=True)
class Address:
    """Where the reporting entity is: a t_address."""

    address: str
    city: str
    country_code: str


@dataclass(frozen=True, slots=True)
class Entity:
    """The reporting entity, as its authority registered it, with that authority's lookup values.

    ``rentity_id``: the number that the authority gave. ``currency``: the local one, ISO 4217.
    """

    rentity_id: int
    name: str
    swift: str
    person: Person
    location: Address
    currency: str
    branch: str = ""
    report_code: str = "STR"
    transmode_code: str = "CRYPTO"
    funds_code: str = "CRYPTO"
    address_type: str = "B"
    account_type: str = "C"
    account_status: str = "A"
    unknown_country: str = "ZZ"


@dataclass(frozen=True, slots=True)
class Client:
    """Our own side of a transfer: the merchant, as far as it is known here."""

    name: str
    number: str
    opened: datetime
    country_code: str


@dataclass(frozen=True, slots=True)
class Movement:
    """One transfer of a report. ``units`` of the coin; ``local_units`` in hundredths, or None.

    ``is_incoming``: to our client. ``network`` as CAIP-2; ``rate`` local currency for one coin.
    """

    number: str
    is_incoming: bool
    at: datetime
    network: str
    currency: str
    amount: Decimal
    rate: Decimal
    sender: str
    receiver: str
    tx_hash: str | None


@dataclass(frozen=True, slots=True)
class Report:
    """What is reported: why, what was done, by which of the authority's indicators."""

    reference: str
    submitted: datetime
    reason: str
    action: str
    indicators: Sequence[str]
    client: Client
    movement: Movement


def read_entity(document: Mapping[str, Any]) -> Entity:
    """The configuration of the reporting entity; ParameterMissing and ParameterInvalid name it."""
    known = {each.name: each for each in fields(Entity)}
    _only(document, known, "")
    entity = Entity(
        rentity_id=_number(document),
        name=_text(document, "name", 255),
        swift=_text(document, "swift", 11),
        person=_person(_part(document, "person")),
        location=_location(_part(document, "location")),
        currency=_matched(document, "currency", _CURRENCY, "an ISO 4217 code"),
        branch=_text(document, "branch", 255, default=""),
        **{
            name: _matched(document, name, _CODE, "a code of the authority's")
            for name in (
                "report_code",
                "transmode_code",
                "funds_code",
                "address_type",
                "account_type",
                "account_status",
            )
            if name in document
        },
    )
    if "unknown_country" in document:
        country = _matched(document, "unknown_country", _COUNTRY, "two capital letters")
        return Entity(**{**_values(entity), "unknown_country": country})
    return entity


def entity_document(entity: Entity) -> dict[str, Any]:
    """The configuration as it is stored and shown."""
    values = _values(entity)
    values["person"] = {each.name: getattr(entity.person, each.name) for each in fields(Person)}
    values["location"] = {
        each.name: getattr(entity.location, each.name) for each in fields(Address)
    }
    return values


def check_report(reason: str, action: str, indicators: Sequence[str]) -> None:
    """What a person writes of a report; ParameterMissing and ParameterInvalid name it."""
    for name, text in (("reason", reason), ("action", action)):
        if not text.strip() or len(text) > TEXT_MAX:
            raise ParameterInvalid(
                "{name} has 1 to {text_max} characters.", param=name, name=name, text_max=TEXT_MAX
            )
    if not 1 <= len(indicators) <= INDICATORS_MAX:
        raise ParameterInvalid(
            "A report has 1 to {indicators_max} indicators.",
            param="indicators",
            indicators_max=INDICATORS_MAX,
        )
    for index, each in enumerate(indicators):
        if _CODE.fullmatch(each) is None:
            raise ParameterInvalid(
                "{each} is no code of an indicator.", param=f"indicators[{index}]", each=repr(each)
            )


def render(report: Report, entity: Entity) -> bytes:
    """The report as XML in UTF-8: the same bytes for the same report."""
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', *_report(report, entity)]
    return ("\n".join(lines) + "\n").encode()


def clean(text: str, length_max: int) -> str:
    """Text that XML can hold, of a length that the schema takes."""
    return _FORBIDDEN.sub("", text).replace("\r", "").strip()[:length_max]


def decimal(amount: Decimal) -> str:
    """An amount in plain digits, without an exponent."""
    return f"{amount:f}"


def _report(report: Report, entity: Entity) -> Iterator[str]:
    yield "<report>"
    yield _leaf("rentity_id", str(entity.rentity_id), 20)
    if entity.branch:
        yield _leaf("rentity_branch", entity.branch, 255)
    yield _leaf("submission_code", "E", 1)
    yield _leaf("report_code", entity.report_code, 20)
    yield _leaf("entity_reference", report.reference, 255)
    yield _leaf("submission_date", _time(report.submitted), 19)
    yield _leaf("currency_code_local", entity.currency, 5)
    yield from _node(
        "reporting_person",
        _leaf("first_name", entity.person.first_name, 100),
        _leaf("last_name", entity.person.last_name, 100),
        _leaf("email", entity.person.email, 255),
        _leaf("occupation", entity.person.occupation, 255),
    )
    yield from _node(
        "location",
        _leaf("address_type", entity.address_type, 20),
        _leaf("address", entity.location.address, 100),
        _leaf("city", entity.location.city, 255),
        _leaf("country_code", entity.location.country_code, 2),
    )
    yield _leaf("reason", report.reason, TEXT_MAX)
    yield _leaf("action", report.action, TEXT_MAX)
    yield from _node("transaction", *_transaction(report, entity))
    yield from _node(
        "report_indicators", *(_leaf("indicator", each, 20) for each in report.indicators)
    )
    yield "</report>"


def _transaction(report: Report, entity: Entity) -> Iterator[str]:
    move = report.movement
    local = (move.amount * move.rate).quantize(Decimal("0.01"), rounding=ROUND_HALF_UP)
    yield _leaf("transactionnumber", move.number, 50)
    yield _leaf("internal_ref_number", report.reference, 50)
    what = f"{decimal(move.amount)} {move.currency.upper()} on {move.network}"
    hashed = "" if move.tx_hash is None else f", transaction {move.tx_hash}"
    yield _leaf("transaction_description", what + hashed, TEXT_MAX)
    yield _leaf("date_transaction", _time(move.at), 19)
    yield _leaf("transmode_code", entity.transmode_code, 20)
    yield _leaf("transmode_comment", f"transfer on {move.network}", 50)
    yield _leaf("amount_local", decimal(local), 30)
    if move.is_incoming:
        yield from _side("from", entity, move, list(_stranger(move, move.sender)), ours=False)
        yield from _side("to", entity, move, list(_ours(report, entity)), ours=True)
    else:
        yield from _side("from", entity, move, list(_ours(report, entity)), ours=True)
        yield from _side("to", entity, move, list(_stranger(move, move.receiver)), ours=False)


def _side(
    end: str, entity: Entity, move: Movement, account: Sequence[str], *, ours: bool
) -> Iterator[str]:
    """One side of the transfer: t_from, t_to, or either of our own client."""
    country = entity.location.country_code if ours else entity.unknown_country
    yield from _node(
        f"t_{end}_my_client" if ours else f"t_{end}",
        _leaf(f"{end}_funds_code", entity.funds_code, 20),
        *_node(
            f"{end}_foreign_currency",
            _leaf("foreign_currency_code", move.currency.upper(), 20),
            _leaf("foreign_amount", decimal(move.amount), 100),
            _leaf("foreign_exchange_rate", decimal(move.rate), 100),
        ),
        *_node(f"{end}_account", *account),
        _leaf(f"{end}_country", country, 2),
    )


def _stranger(move: Movement, address: str) -> Iterator[str]:
    """A wallet that nobody here knows: a t_account."""
    yield _leaf("institution_name", f"self-hosted or unknown, on {move.network}", 255)
    yield _leaf("institution_code", "UNKNOWN", 50)
    yield _leaf("non_bank_institution", "true", 5)
    yield _leaf("account", address, 50)


def _ours(report: Report, entity: Entity) -> Iterator[str]:
    """Our client's account, with the address that the coins came to or left for it."""
    move = report.movement
    yield _leaf("institution_name", entity.name, 255)
    yield _leaf("swift", entity.swift, 11)
    yield _leaf("non_bank_institution", "true", 5)
    yield _leaf("branch", entity.branch or entity.location.city, 255)
    yield _leaf("account", move.receiver if move.is_incoming else move.sender, 50)
    yield _leaf("currency_code", entity.currency, 5)
    yield _leaf("account_name", report.client.name, 255)
    yield _leaf("client_number", report.client.number, 30)
    yield _leaf("personal_account_type", entity.account_type, 20)
    yield from _node(
        "t_entity",
        _leaf("name", report.client.name, 255),
        _leaf("incorporation_country_code", report.client.country_code, 2),
    )
    yield _leaf("opened", _time(report.client.opened), 19)
    yield _leaf("status_code", entity.account_status, 20)


def _node(name: str, *inner: str) -> Iterator[str]:
    yield f"<{name}>"
    yield from inner
    yield f"</{name}>"


def _leaf(name: str, text: str, length_max: int) -> str:
    return f"<{name}>{escape(clean(text, length_max))}</{name}>"


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _values(entity: Entity) -> dict[str, Any]:
    return {each.name: getattr(entity, each.name) for each in fields(Entity)}


def _only(document: Mapping[str, Any], known: Mapping[str, Any], where: str) -> None:
    for name in document:
        if name not in known:
            raise ParameterInvalid(
                "There is no field {where}{name}.", param=f"{where}{name}", where=where, name=name
            )


def _part(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = document.get(name)
    if not isinstance(found, Mapping):
        raise ParameterMissing("Missing: {name}, an object.", param=name, name=name)
    return found


def _person(document: Mapping[str, Any]) -> Person:
    names = {each.name: each for each in fields(Person)}
    _only(document, names, "person.")
    lengths = {"first_name": 100, "last_name": 100, "email": 255, "occupation": 255}
    return Person(
        **{name: _text(document, name, most, "person.") for name, most in lengths.items()}
    )


def _location(document: Mapping[str, Any]) -> Address:
    names = {each.name: each for each in fields(Address)}
    _only(document, names, "location.")
    return Address(
        address=_text(document, "address", 100, "location."),
        city=_text(document, "city", 255, "location."),
        country_code=_matched(
            document, "country_code", _COUNTRY, "two capital letters", "location."
        ),
    )


def _number(document: Mapping[str, Any]) -> int:
    found = document.get("rentity_id")
    if type(found) is not int or not 1 <= found < 10**18:
        raise ParameterInvalid(
            "rentity_id is the whole number that the authority gave, from 1 on.",
            param="rentity_id",
        )
    return found


def _text(
    document: Mapping[str, Any],
    name: str,
    length_max: int,
    where: str = "",
    *,
    default: str | None = None,
) -> str:
    found = document.get(name, default)
    if found is None:
        raise ParameterMissing(
            "Missing: {where}{name}.", param=f"{where}{name}", where=where, name=name
        )
    if not isinstance(found, str) or clean(found, length_max) != found:
        raise ParameterInvalid(
            "{where}{name} is plain text of at most {length_max} characters.",
            param=f"{where}{name}",
            where=where,
            name=name,
            length_max=length_max,
        )
    if not found and default is None:
        raise ParameterMissing(
            "Missing: {where}{name}.", param=f"{where}{name}", where=where, name=name
        )
    return found


def _matched(
    document: Mapping[str, Any],
    name: str,
    pattern: re.Pattern[str],
    what: str,
    where: str = "",
) -> str:
    found = _text(document, name, 20, where)
    if pattern.fullmatch(found) is None:
        raise ParameterInvalid(
            "{where}{name} is {what}.", param=f"{where}{name}", where=where, name=name, what=what
        )
    return found
