"""MT940 as it is written: what the sandbox's bank leaves where an account asks for it."""

import re
from collections.abc import Iterable
from typing import Final

from anyascii import anyascii

from sakk.core import money
from sakk.rails.bank.camt053 import Entry, Statement

LINE_LENGTH_MAX: Final = 65
# Structured text as German banks write it, 27 characters a field.
_FIELD: Final = 27
_TAKEN: Final = re.compile(r"[^A-Za-z0-9/\-?:().,'+ ]")


def write_mt940(statement: Statement, entries: Iterable[Entry]) -> bytes:
    """The bytes of a statement, after SWIFT's and the German banks' (DK) description."""
    currency = statement.currency.upper()
    lines = [
        f":20:{statement.id[:16]}",
        f":25:{statement.account}{currency}",
        f":28C:{statement.number}/1",
        f":60F:{_side(statement.opening)}{statement.opened:%y%m%d}{currency}"
        f"{_amount(statement.opening, statement)}",
    ]
    for entry in entries:
        valued = entry.valued or entry.booked
        lines.append(
            f":61:{valued:%y%m%d}{entry.booked:%m%d}{_side(entry.units)}"
            f"{_amount(entry.units, statement)}N{'RTI' if entry.return_code else 'TRF'}NONREF"
            f"//{entry.reference[:16]}"
        )
        lines += _details(entry)
    lines.append(
        f":62F:{_side(statement.closing)}{statement.closed:%y%m%d}{currency}"
        f"{_amount(statement.closing, statement)}"
    )
    return ("\r\n".join([*lines, "-"]) + "\r\n").encode("ascii")


def _details(entry: Entry) -> list[str]:
    """``:86:`` with its fields: what it was, its references and text, and who."""
    told = [f"EREF+{entry.end_to_end_id}"] if entry.end_to_end_id else []
    told += [f"SVWZ+{' '.join(filter(None, (entry.return_code, _remittance(entry))))}"]
    pieces = [
        piece[place : place + _FIELD]
        for piece in map(_text, told)
        for place in range(0, len(piece), _FIELD)
    ]
    # A debit that is returned, a credit transfer in, one out.
    code = "159" if entry.return_code else "166" if entry.units > 0 else "116"
    text = f"{code}?00{_text(entry.code)[:_FIELD]}"
    text += "".join(f"?{20 + number}{piece}" for number, piece in enumerate(pieces[:10]))
    if entry.account:
        text += f"?31{_text(entry.account)[:34]}"
    if entry.name:
        name = _text(entry.name)
        text += f"?32{name[:_FIELD]}" + (f"?33{name[_FIELD : 2 * _FIELD]}" if name[_FIELD:] else "")
    whole = f":86:{text}"
    return [
        whole[place : place + LINE_LENGTH_MAX] for place in range(0, len(whole), LINE_LENGTH_MAX)
    ]


def _remittance(entry: Entry) -> str:
    return " ".join(filter(None, (entry.creditor_reference, entry.remittance)))


def _side(units: int) -> str:
    return "C" if units >= 0 else "D"


def _amount(units: int, statement: Statement) -> str:
    text = money.format_decimal(abs(units), statement.decimals).replace(".", ",")
    return text if "," in text else f"{text},"


def _text(text: str) -> str:
    return " ".join(_TAKEN.sub(" ", anyascii(text)).replace("?", " ").split())
