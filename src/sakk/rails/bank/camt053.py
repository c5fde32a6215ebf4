"""camt.053 as it is written: statements of merchants' accounts, and of the sandbox's bank.

Version 08 of the bank-to-customer statement (ISO 20022, ``camt.053.001.08``), elements in the order
of its schema. A statement opens with ``OPBD``, closes with ``CLBD``, and its entries are booked.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final
from xml.etree import ElementTree

from sakk.core import money

NAMESPACE: Final = "urn:iso:std:iso:20022:tech:xsd:camt.053.001.08"
ISSUER: Final = "SAKK"
TEXT_LENGTH_MAX: Final = 140
LONG_LENGTH_MAX: Final = 500
_NAME: Final = TEXT_LENGTH_MAX


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One booked movement; ``units`` below zero is a debit. Ids have 35 characters at most."""

    units: int
    booked: date
    reference: str
    code: str
    valued: date | None = None
    number: str | None = None
    end_to_end_id: str | None = None
    name: str | None = None
    account: str | None = None
    remittance: str | None = None
    creditor_reference: str | None = None
    return_code: str | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """A statement. ``account``: an IBAN, or a number of the bank's own ``scheme``.

    ``number``: the account's statements counted without a gap; ``opening`` and the entries lead to
    ``closing``.
    """

    id: str
    number: int
    created: datetime
    account: str
    is_iban: bool
    holder: str | None
    currency: str
    decimals: int
    opening: int
    closing: int
    opened: date
    closed: date
    start: datetime | None = None
    end: datetime | None = None


def write_camt053(statement: Statement, entries: Iterable[Entry]) -> bytes:
    """The bytes of a statement: the same of the same, always."""
    root = ElementTree.Element("Document", {"xmlns": NAMESPACE})
    whole = _add(root, "BkToCstmrStmt")
    header = _add(whole, "GrpHdr")
    _add(header, "MsgId", statement.id)
    _add(header, "CreDtTm", _moment(statement.created))
    body = _add(whole, "Stmt")
    _add(body, "Id", statement.id)
    _add(body, "ElctrncSeqNb", str(statement.number))
    _add(body, "LglSeqNb", str(statement.number))
    _add(body, "CreDtTm", _moment(statement.created))
    if statement.start is not None and statement.end is not None:
        period = _add(body, "FrToDt")
        _add(period, "FrDtTm", _moment(statement.start))
        _add(period, "ToDtTm", _moment(statement.end))
    holder = _add(body, "Acct")
    _account(holder, statement.account, is_iban=statement.is_iban)
    _add(holder, "Ccy", statement.currency.upper())
    if statement.holder is not None:
        _add(_add(holder, "Ownr"), "Nm", _text(statement.holder, _NAME))
    for code, units, day in (
        ("OPBD", statement.opening, statement.opened),
        ("CLBD", statement.closing, statement.closed),
    ):
        balance = _add(body, "Bal")
        _add(_add(_add(balance, "Tp"), "CdOrPrtry"), "Cd", code)
        _amount(balance, units, statement)
        _add(_add(balance, "Dt"), "Dt", day.isoformat())
    for entry in entries:
        _entry(_add(body, "Ntry"), entry, statement)
    content: bytes = ElementTree.tostring(root, encoding="UTF-8", xml_declaration=True)
    return content


def _entry(element: ElementTree.Element, entry: Entry, statement: Statement) -> None:
    if entry.number is not None:
        _add(element, "NtryRef", entry.number)
    _amount(element, entry.units, statement)
    _add(_add(element, "Sts"), "Cd", "BOOK")
    _add(_add(element, "BookgDt"), "Dt", entry.booked.isoformat())
    _add(_add(element, "ValDt"), "Dt", (entry.valued or entry.booked).isoformat())
    _add(element, "AcctSvcrRef", entry.reference)
    _code(element, entry)
    detail = _add(_add(element, "NtryDtls"), "TxDtls")
    references = _add(detail, "Refs")
    _add(references, "AcctSvcrRef", entry.reference)
    _add(references, "EndToEndId", entry.end_to_end_id or "NOTPROVIDED")
    _amount(detail, entry.units, statement)
    _code(detail, entry)
    _party(detail, entry)
    if entry.remittance or entry.creditor_reference:
        told = _add(detail, "RmtInf")
        if entry.remittance:
            _add(told, "Ustrd", _text(entry.remittance, TEXT_LENGTH_MAX))
        if entry.creditor_reference:
            _add(_add(_add(told, "Strd"), "CdtrRefInf"), "Ref", entry.creditor_reference)
    if entry.return_code:
        _add(_add(_add(detail, "RtrInf"), "Rsn"), "Cd", entry.return_code)
    if entry.note:
        _add(element, "AddtlNtryInf", _text(entry.note, LONG_LENGTH_MAX))


def _party(detail: ElementTree.Element, entry: Entry) -> None:
    """Who is on the other side."""
    if not entry.name and not entry.account:
        return
    side = "Dbtr" if entry.units > 0 else "Cdtr"
    parties = _add(detail, "RltdPties")
    if entry.name:
        _add(_add(_add(parties, side), "Pty"), "Nm", _text(entry.name, _NAME))
    if entry.account:
        _account(_add(parties, f"{side}Acct"), entry.account, is_iban=entry.account[:2].isalpha())


def _account(element: ElementTree.Element, account: str, *, is_iban: bool) -> None:
    place = _add(element, "Id")
    if is_iban:
        _add(place, "IBAN", account)
    else:
        _add(_add(place, "Othr"), "Id", account)


def _code(element: ElementTree.Element, entry: Entry) -> None:
    own = _add(_add(element, "BkTxCd"), "Prtry")
    _add(own, "Cd", entry.code[:35])
    _add(own, "Issr", ISSUER)


def _amount(element: ElementTree.Element, units: int, statement: Statement) -> None:
    amount = _add(element, "Amt", money.format_decimal(abs(units), statement.decimals))
    amount.set("Ccy", statement.currency.upper())
    _add(element, "CdtDbtInd", "CRDT" if units >= 0 else "DBIT")


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S}Z"


def _text(text: str, length_max: int) -> str:
    """A text that XML can hold, folded and not longer than its field."""
    kept = "".join(each if each.isprintable() else " " for each in text)
    return " ".join(kept.split())[:length_max]


def _add(parent: ElementTree.Element, name: str, text: str | None = None) -> ElementTree.Element:
    child = ElementTree.SubElement(parent, name)
    child.text = text
    return child
