"""Bank references: by which an incoming line is known to be for a merchant.

A reference is a creditor reference (ISO 11649): ``RF``, two check digits (ISO 7064, mod 97-10, as
in an IBAN) and up to 21 letters and digits. It stands in the payer's transfer, or in the code that
the payer's bank reads (EPC069-12, "Quick Response Code: Guidelines to Enable Data Capture for the
Initiation of a SEPA Credit Transfer", version 002).
"""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sakk.core import ids, money
from sakk.core.errors import ParameterInvalid

PREFIX: Final = "bref"
BODY_LENGTH: Final = 16
# Digits and capital letters that nobody takes for one another, read aloud or off paper.
ALPHABET: Final = "0123456789ACDEFGHJKLMNPQRTUVWXYZ"
EPC_BYTES_MAX: Final = 331
EPC_NAME_LENGTH_MAX: Final = 70
EPC_CENTS_MAX: Final = 99_999_999_999
_REFERENCE: Final = re.compile(r"RF[0-9]{2}[0-9A-Z]{1,21}")
_SPACES: Final = re.compile(r"\s+")
_STARTS: Final = re.compile(r"RF[0-9]{2}")
LENGTH_MAX: Final = 25


@dataclass(frozen=True, slots=True, kw_only=True)
class BankReference:
    """One account's reference at one of the operator's own bank accounts."""

    id: str
    account_id: str
    livemode: bool
    bank_account: str
    reference: str
    metadata: dict[str, str]
    created: datetime


def make(identifier: str) -> str:
    """The creditor reference of a row, which follows from its id."""
    number = ids.digest128("bank_reference", identifier)
    body = ""
    for _ in range(BODY_LENGTH):
        number, place = divmod(number, len(ALPHABET))
        body += ALPHABET[place]
    return f"RF{98 - _remainder(body + 'RF00'):02d}{body}"


def is_reference(text: str) -> bool:
    """Is it a creditor reference, check digits and all?"""
    if _REFERENCE.fullmatch(text) is None:
        return False
    return _remainder(text[4:] + text[:4]) == 1


def found_in(text: str) -> list[str]:
    """The creditor references in what a payer wrote, however it was spaced or broken by banks."""
    squeezed = _SPACES.sub("", text).upper()
    found: list[str] = []
    for start in _STARTS.finditer(squeezed):
        rest = re.match(r"[0-9A-Z]*", squeezed[start.start() :])
        assert rest is not None
        whole = rest.group()[:LENGTH_MAX]
        # Words may follow without a space: our own length is looked at first, then any.
        lengths = dict.fromkeys([4 + BODY_LENGTH, *range(len(whole), 4, -1)])
        found += [whole[:each] for each in lengths if is_reference(whole[:each])]
    return list(dict.fromkeys(found))


def _remainder(text: str) -> int:
    return int("".join(str(int(each, 36)) for each in text)) % 97


def epc_text(*, holder: str, iban: str, bic: str | None, reference: str, cents: int | None) -> str:
    """What the code for a SEPA credit transfer says; ``cents`` None leaves the amount open."""
    if cents is not None and not 1 <= cents <= EPC_CENTS_MAX:
        raise ParameterInvalid(
            "A code asks for 0.01 to {most} euro.",
            param="amount",
            most=money.format_decimal(EPC_CENTS_MAX, 2),
        )
    amount = "" if cents is None else f"EUR{money.format_decimal(cents, 2)}"

    def told(name: str) -> str:
        return "\n".join(["BCD", "002", "1", "SCT", bic or "", name, iban, amount, "", reference])

    # A name of 70 characters can be longer in bytes than the code has room for.
    room = EPC_BYTES_MAX - len(told("").encode())
    name = " ".join(holder.split())[:EPC_NAME_LENGTH_MAX]
    return told(name.encode()[:room].decode(errors="ignore").rstrip())


def printed(reference: str) -> str:
    """In groups of four, as ISO 11649 prints it."""
    return " ".join(reference[place : place + 4] for place in range(0, len(reference), 4))


def public(row: BankReference, *, holder: str, iban: str | None, bic: str | None) -> dict[str, Any]:
    """The API's object ``bank_reference``: what a payer is told."""
    return {
        "id": row.id,
        "object": "bank_reference",
        "account": row.account_id,
        "bank_account": row.bank_account,
        "bic": bic,
        "created": int(row.created.timestamp()),
        "holder": holder,
        "iban": iban,
        "livemode": row.livemode,
        "metadata": row.metadata,
        "reference": row.reference,
        "reference_printed": printed(row.reference),
    }
