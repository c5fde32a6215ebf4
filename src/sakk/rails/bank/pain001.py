"""pain.001: orders to a bank (ISO 20022 customer credit transfer initiation).

One batch a file, versions 03 and 09, after the European Payments Council's implementation
guidelines for SEPA credit transfers or as the plain standard has it. Texts are in the characters
that all banks take (EPC217-08); what is not Latin is written in Latin letters. A payee is a name
and an account: an IBAN, a local number with its bank, or the id of a beneficiary here, since the
address of one on a chain has no place in the standard's fields.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final
from xml.etree import ElementTree

from anyascii import anyascii

from sakk.core import money
from sakk.core.bank_account import BankTerms, OrderFormat, Profile

NAME_LENGTH_MAX: Final = 70
REMITTANCE_LENGTH_MAX: Final = 140
_NAMESPACE: Final = "urn:iso:std:iso:20022:tech:xsd:"
_FORBIDDEN: Final = re.compile(r"[^a-zA-Z0-9/\-?:().,'+ ]+")
# As German and Nordic banks write them; the rest is the table's.
_LATIN: Final = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Party:
    """Whose account it is: by IBAN, or by ``number`` of a ``scheme`` where that has a name."""

    name: str
    country: str | None = None
    iban: str | None = None
    bic: str | None = None
    number: str | None = None
    bank_code: str | None = None
    scheme: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One payment; ``units`` in the file's currency."""

    end_to_end_id: str
    units: int
    payee: Party
    remittance: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Initiation:
    """What a file asks for. ``message_id`` and ``batch_id`` have 35 characters at most."""

    message_id: str
    batch_id: str
    created: datetime
    debtor: Party
    currency: str
    decimals: int
    execution_date: date
    orders: Sequence[Order]


def latin(text: str, length_max: int) -> str:
    """A text in the characters that all banks take; never empty."""
    written = _FORBIDDEN.sub(" ", anyascii(text.translate(_LATIN)))
    # No field may begin or end with a slash, or hold two (EPC217-08).
    folded = " ".join(re.sub("/{2,}", "/", written).split()).strip("/ ")
    return folded[:length_max].strip("/ ") or "-"


def write_pain001(initiation: Initiation, terms: BankTerms) -> bytes:
    """The bytes of a file of orders: the same of the same, always."""
    version = terms.format
    root = ElementTree.Element("Document", {"xmlns": f"{_NAMESPACE}{version}"})
    whole = _add(root, "CstmrCdtTrfInitn")
    total = sum(each.units for each in initiation.orders)
    count, amount = str(len(initiation.orders)), money.format_decimal(total, initiation.decimals)
    header = _add(whole, "GrpHdr")
    _add(header, "MsgId", initiation.message_id)
    _add(header, "CreDtTm", f"{initiation.created:%Y-%m-%dT%H:%M:%S}Z")
    _add(header, "NbOfTxs", count)
    _add(header, "CtrlSum", amount)
    _add(_add(header, "InitgPty"), "Nm", latin(initiation.debtor.name, NAME_LENGTH_MAX))
    batch = _add(whole, "PmtInf")
    _add(batch, "PmtInfId", initiation.batch_id)
    _add(batch, "PmtMtd", "TRF")
    # Each order has a line of its own on the statement.
    _add(batch, "BtchBookg", "false")
    _add(batch, "NbOfTxs", count)
    _add(batch, "CtrlSum", amount)
    if terms.profile is Profile.sepa:
        _add(_add(_add(batch, "PmtTpInf"), "SvcLvl"), "Cd", "SEPA")
    day = _add(batch, "ReqdExctnDt")
    if version is OrderFormat.v09:
        day = _add(day, "Dt")
    day.text = initiation.execution_date.isoformat()
    _add(_add(batch, "Dbtr"), "Nm", latin(initiation.debtor.name, NAME_LENGTH_MAX))
    _account(_add(batch, "DbtrAcct"), initiation.debtor)
    _agent(_add(batch, "DbtrAgt"), initiation.debtor, version)
    _add(batch, "ChrgBr", "SLEV" if terms.profile is Profile.sepa else "SHAR")
    for order in initiation.orders:
        _order(_add(batch, "CdtTrfTxInf"), order, initiation, version)
    content: bytes = ElementTree.tostring(root, encoding="UTF-8", xml_declaration=True)
    return content


def _order(
    element: ElementTree.Element, order: Order, initiation: Initiation, version: OrderFormat
) -> None:
    _add(_add(element, "PmtId"), "EndToEndId", order.end_to_end_id)
    amount = _add(_add(element, "Amt"), "InstdAmt")
    amount.set("Ccy", initiation.currency.upper())
    amount.text = money.format_decimal(order.units, initiation.decimals)
    payee = order.payee
    if payee.bic is not None or payee.bank_code is not None:
        _agent(_add(element, "CdtrAgt"), payee, version)
    party = _add(element, "Cdtr")
    _add(party, "Nm", latin(payee.name, NAME_LENGTH_MAX))
    if payee.country is not None and payee.iban is None:
        _add(_add(party, "PstlAdr"), "Ctry", payee.country)
    _account(_add(element, "CdtrAcct"), payee)
    if order.remittance is not None:
        remittance = latin(order.remittance, REMITTANCE_LENGTH_MAX)
        _add(_add(element, "RmtInf"), "Ustrd", remittance)


def _account(element: ElementTree.Element, party: Party) -> None:
    place = _add(element, "Id")
    if party.iban is not None:
        _add(place, "IBAN", party.iban)
        return
    other = _add(place, "Othr")
    _add(other, "Id", party.number or "NOTPROVIDED")
    if party.scheme is not None:
        _add(_add(other, "SchmeNm"), "Prtry", party.scheme)


def _agent(element: ElementTree.Element, party: Party, version: OrderFormat) -> None:
    place = _add(element, "FinInstnId")
    if party.bic is not None:
        _add(place, "BICFI" if version is OrderFormat.v09 else "BIC", party.bic)
    elif party.bank_code is not None:
        _add(_add(place, "ClrSysMmbId"), "MmbId", party.bank_code)
    else:
        _add(_add(place, "Othr"), "Id", "NOTPROVIDED")


def _add(parent: ElementTree.Element, name: str, text: str | None = None) -> ElementTree.Element:
    child = ElementTree.SubElement(parent, name)
    child.text = text
    return child
