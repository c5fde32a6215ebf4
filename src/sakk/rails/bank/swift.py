"""MT940: statements as SWIFT's older format has them, read by the package ``mt-940``.

Banks write it in whatever characters they have: UTF-8 is tried first, then Windows-1252, which
takes any byte. A statement that comes in several messages (``:28C:5/2``) is one for each.
"""

import re
from datetime import date
from decimal import Decimal
from typing import Any, Final

import mt940

from sakk.core import money
from sakk.core.bank_account import is_iban, minor_units
from sakk.core.bank_reference import found_in
from sakk.core.bank_statement import LINES_MAX, UNITS_MAX, ReadLine, ReadStatement
from sakk.rails.bank.reader import Unreadable, kept

# A statement of so many bytes has some hundred thousand lines; the reader holds it whole.
BYTES_MAX: Final = 16 << 20
LINE_LENGTH_MAX: Final = 1_000
# As the package finds them: a payer may write the same within a text.
_LINES: Final = re.compile(r"^:\n?61:", re.MULTILINE)
# Reasons of returns as the German banks' business transaction codes have them.
_RETURN_CODES: Final = frozenset({"108", "109", "159", "160", "165", "181", "184"})
_REASON: Final = re.compile(
    r"\b(A[CGM][0-9]{2}|BE0[0-9]|CUST|FOCR|MD0[0-9]|MS0[0-9]|R[CR]0[0-9])\b"
)


def read_mt940(content: bytes) -> list[ReadStatement]:
    """The statements of a file; Unreadable."""
    if len(content) > BYTES_MAX:
        raise Unreadable(f"an MT940 file of more than {BYTES_MAX} bytes")
    text = _decoded(content)
    if any(len(line) > LINE_LENGTH_MAX for line in text.splitlines()):
        raise Unreadable(f"a line of more than {LINE_LENGTH_MAX} characters")
    if text.count("\n:61:") > LINES_MAX:
        raise Unreadable(f"more than {LINES_MAX} lines")
    try:
        found = mt940.parse_statements(text, options=mt940.Options.all())
        statements = [_statement(dict(each.data), list(each.transactions)) for each in found]
    except Unreadable:
        raise
    except Exception as error:
        # The package raises what its patterns and conversions do.
        raise Unreadable(f"not MT940: {type(error).__name__}: {error}"[:200]) from error
    if not statements:
        raise Unreadable("it has no statement")
    if sum(len(each.transactions) for each in found) != len(_LINES.findall(text)):
        # The package passes over what its patterns do not fit.
        raise Unreadable("a line (:61:) of it can not be read")
    return statements


def _decoded(content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace")


def _statement(data: dict[str, Any], transactions: list[Any]) -> ReadStatement:
    opening = data.get("final_opening_balance") or data.get("intermediate_opening_balance")
    closing = data.get("final_closing_balance") or data.get("intermediate_closing_balance")
    if opening is None or closing is None:
        raise Unreadable("a statement has no opening or no closing balance")
    account = (kept(str(data.get("account_identification") or "")) or "").replace(" ", "")
    if not account:
        raise Unreadable("a statement names no account")
    currency = str(closing.amount.currency)
    if str(opening.amount.currency) != currency:
        raise Unreadable("its balances are in two currencies")
    read = [_line(each.data, currency) for each in transactions]
    lines = tuple(each for each in read if each.units)
    day = _day(closing.date)
    number = str(data.get("statement_number") or "")
    return ReadStatement(
        account=_account(account, currency),
        reference=kept(str(data.get("transaction_reference") or "")) or "",
        number=int(number) if number.isdigit() and int(number) else None,
        from_date=min([each.booking_date for each in lines] + [day]),
        to_date=day,
        currency=currency.lower(),
        opening_units=_units(opening.amount.amount, currency),
        closing_units=_units(closing.amount.amount, currency),
        lines=lines,
    )


def _account(text: str, currency: str) -> str:
    """German banks write the currency behind it, and others the bank's code and a slash before.

    An IBAN may end in letters of its own.
    """
    account = text.rpartition("/")[2]
    return account if is_iban(account) else account.removesuffix(currency)


def _line(data: dict[str, Any], currency: str) -> ReadLine:
    amount = data["amount"]
    valued = _day(data["date"])
    remittance = kept(data.get("purpose")) or kept(data.get("transaction_details"))
    extra = kept(data.get("extra_details"))
    told = " ".join(filter(None, (remittance, extra)))
    end_to_end = kept(data.get("end_to_end_reference")) or kept(data.get("customer_reference"))
    is_reversal = str(data.get("status", "")).upper().startswith("R")
    is_return = is_reversal or str(data.get("transaction_code") or "") in _RETURN_CODES
    reason = _REASON.search(told) if is_return else None
    return ReadLine(
        booking_date=_day(data.get("guessed_entry_date") or data.get("entry_date") or valued),
        value_date=valued,
        units=_units(amount.amount, currency),
        end_to_end_id=None if end_to_end in ("NONREF", "NOTPROVIDED") else end_to_end,
        bank_reference=kept(data.get("bank_reference")),
        remittance=kept(told),
        creditor_reference=next(iter(found_in(told)), None),
        counterparty_name=kept(data.get("applicant_name")),
        counterparty_iban=kept(data.get("applicant_iban")),
        counterparty_bic=kept(data.get("applicant_bin")),
        code=kept(data.get("id")),
        return_code=("NARR" if reason is None else reason.group()) if is_return else None,
        is_reversal=is_reversal,
    )


def _day(value: Any) -> date:
    return date(value.year, value.month, value.day)


def _units(amount: Decimal, currency: str) -> int:
    decimals = minor_units(currency.lower())
    try:
        units = money.parse_decimal(f"{amount:f}", decimals)
    except ValueError:
        raise Unreadable(f"{amount} is no amount of {currency}") from None
    if abs(units) > UNITS_MAX:
        raise Unreadable(f"an amount of {amount} is out of range")
    return units
