"""Files of payouts: CSV as people's spreadsheets write it, read strictly, and written for them.

RFC 4180, with a comma, a semicolon or a tab between cells, a byte order mark or none, in UTF-8.
Amounts are decimal numbers that are read exactly into smallest units; what a spreadsheet may have
made of a number (a decimal comma, groups of thousands, an exponent) is refused with a remedy, never
guessed. Everything that is wrong is told, by the file's line and the column.
"""

import csv
import hashlib
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sakk.core import money
from sakk.core.beneficiary import Wanted
from sakk.core.errors import ParameterInvalid
from sakk.core.evm import checksum_address
from sakk.core.lei import is_lei
from sakk.core.payout import Initiator, Payout, PayoutRequest
from sakk.core.payout_batch import LINES_MAX, Fault, Line, SkippedLine

SEPARATORS = (",", ";", "\t")
COLUMNS = (
    "network",
    "address",
    "beneficiary",
    "currency",
    "amount",
    "fee_mode",
    "reference",
    "description",
    "scheduled_at",
    "allow_duplicate",
    "quote",
    "beneficiary_type",
    "beneficiary_name",
    "beneficiary_given_name",
    "beneficiary_country",
    "beneficiary_wallet",
    "vasp_name",
    "vasp_lei",
    "vasp_travel_address",
)
# What is kept of a line that is left out: the payment, and not who stands behind its address.
SAID = (
    "network",
    "address",
    "beneficiary",
    "currency",
    "amount",
    "fee_mode",
    "reference",
    "description",
    "scheduled_at",
    "allow_duplicate",
    "quote",
)
# Who stands behind an address, by the field of `travel_rule` that a column is.
_TOLD = {
    "beneficiary_type": "type",
    "beneficiary_name": "name",
    "beneficiary_given_name": "given_name",
    "beneficiary_country": "country",
    "beneficiary_wallet": "wallet",
}
_TOLD_VASP = {"vasp_name": "name", "vasp_lei": "lei", "vasp_travel_address": "travel_address"}
_TOLD_CHOICES = {
    "beneficiary_type": ("natural", "legal"),
    "beneficiary_wallet": ("hosted", "self_hosted"),
}
_NEEDED_BY_TOLD = {"beneficiary_type": "beneficiary_name", "beneficiary_name": "beneficiary_type"}
NEEDED = ("currency", "amount")
TEXT_LENGTHS_MAX = {
    "reference": 255,
    "description": 1_000,
    "beneficiary_name": 100,
    "beneficiary_given_name": 100,
    "vasp_name": 100,
}
CELL_LENGTH_MAX = 2_000
WRITTEN = (
    "line",
    "id",
    "status",
    "network",
    "address",
    "beneficiary",
    "currency",
    "amount",
    "fee",
    "fee_mode",
    "reference",
    "description",
    "scheduled_at",
    "tx_hash",
    "failure_code",
    "failure_message",
)
# What a spreadsheet takes for a formula (OWASP, "CSV Injection").
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_LINE_BREAK = re.compile(r"[\r\n]")
_DECIMAL = re.compile(r"[0-9]+(\.[0-9]+)?")
_YES = {"yes", "true", "1"}
_NO = {"", "no", "false", "0"}
_PARAM_COLUMNS = {"destination[network]": "network", "destination[beneficiary]": "beneficiary"}
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
# Of ZIP, in which workbooks are packed.
_WORKBOOK = b"PK\x03\x04"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class PayoutFile:
    """What was read of a file. ``digest``: the SHA-256 of its bytes, in hexadecimal.

    Lines are numbered as an editor numbers them, the header's is 1. ``said``: the cells of each
    record as they were written, as far as they are kept of one that is left out.
    """

    digest: str
    lines: list[Line]
    faults: list[Fault]
    said: dict[int, dict[str, str]] = field(default_factory=dict)


def read(
    raw: bytes, decimals: Mapping[str, int], *, initiator: Initiator = Initiator()
) -> PayoutFile:
    """Read a file. ``decimals``: of each currency that there is."""
    digest = hashlib.sha256(raw).hexdigest()
    try:
        text = decode(raw)
    except ParameterInvalid as wrong:
        return PayoutFile(digest, [], [_whole(_line_of_fault(raw), wrong)])
    separator = separator_of(text)
    records = iter(_records(text, separator))
    header = next(records, None)
    if isinstance(header, Fault):
        return PayoutFile(digest, [], [header])
    if header is None:
        return PayoutFile(digest, [], [_whole(1, _empty())])
    names = [cell.strip().lower().replace(" ", "_") for cell in header[1]]
    faults = _header_faults(header[0], names)
    if faults:
        return PayoutFile(digest, [], faults)
    lines: list[Line] = []
    said: dict[int, dict[str, str]] = {}
    for record in records:
        if isinstance(record, Fault):
            faults.append(record)
            continue
        if len(lines) + len(faults) >= LINES_MAX:
            too_many = ParameterInvalid(
                "A file has at most {most} payouts. Divide it.", most=LINES_MAX
            )
            faults.append(_whole(record[0], too_many))
            break
        try:
            cells = _cells(names, record[1])
            said[record[0]] = {
                name: cells[name][:CELL_LENGTH_MAX] for name in SAID if cells.get(name)
            }
            _check_texts(cells)
            lines.append(_line(record[0], cells, decimals, initiator))
        except ParameterInvalid as wrong:
            # A quote that is closed nowhere takes lines that follow into its cell.
            torn = any(_LINE_BREAK.search(cell) for cell in record[1])
            faults.append(Fault.of(record[0], wrong, whole=torn))
    if not lines and not faults:
        nothing = ParameterInvalid("The file has a header and no payout.")
        faults.append(_whole(header[0], nothing))
    return PayoutFile(digest, lines, faults, said)


def _whole(line: int, error: ParameterInvalid) -> Fault:
    return Fault.of(line, error, whole=True)


def _empty() -> ParameterInvalid:
    return ParameterInvalid(
        "The file is empty. The first line names the columns: {columns}.",
        columns=", ".join(COLUMNS),
    )


def column_of(param: str | None) -> str | None:
    """The column that a payout's field stands in."""
    if param is None:
        return None
    if param.startswith("travel_rule"):
        return _told_column(param)
    return _PARAM_COLUMNS.get(param, "address" if param.startswith("destination") else param)


def _told_column(param: str) -> str:
    """The column of what a line says of its beneficiary, by the words that the field ends with."""
    if "[vasp]" in param:
        return "vasp_travel_address"
    if "country" in param.lower():
        return "beneficiary_country"
    return "beneficiary_name"


def write(
    payouts: Iterable[Payout],
    skipped: Iterable[SkippedLine] = (),
    decimals: Mapping[str, int] | None = None,
) -> str:
    """Payouts and the lines that were left out, in the order of lines, as a CSV file.

    With CRLF as RFC 4180 has it; no cell begins as a formula. ``decimals`` of each currency, where
    the lines left out came in JSON and say their amounts in smallest units.
    """
    rows = [(payout.line or 0, _paid(payout)) for payout in payouts]
    rows += [(each.line, _left_out(each, decimals)) for each in skipped]
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(WRITTEN)
    for _, row in sorted(rows, key=lambda numbered: numbered[0]):
        writer.writerow([_harmless(cell) for cell in row])
    return out.getvalue()


def _paid(payout: Payout) -> tuple[str | int | None, ...]:
    return (
        payout.line,
        payout.id,
        payout.status,
        payout.network,
        checksum_address(payout.destination),
        payout.beneficiary,
        payout.currency,
        money.format_decimal(payout.amount, payout.decimals),
        money.format_decimal(payout.fee, payout.decimals),
        payout.fee_mode,
        payout.reference,
        payout.description,
        None if payout.scheduled_at is None else payout.scheduled_at.isoformat(),
        payout.tx_hash,
        payout.failure_code,
        payout.failure_message,
    )


def _left_out(
    line: SkippedLine, decimals: Mapping[str, int] | None
) -> tuple[str | int | None, ...]:
    """Its faults in one cell, each behind the column that it is of."""
    said = line.said
    amount = said.get("amount")
    if decimals is not None and amount is not None:
        known = decimals.get(said["currency"])
        # Of a currency that there is not nobody knows how many units are a whole.
        amount = f"{amount} units" if known is None else money.format_decimal(int(amount), known)
    told = [
        f"{each['param']}: {each['message']}" if each["param"] else each["message"]
        for each in line.faults
    ]
    return (
        line.line,
        line.id,
        "skipped",
        said.get("network"),
        said.get("address"),
        said.get("beneficiary"),
        said.get("currency"),
        amount,
        None,
        said.get("fee_mode"),
        said.get("reference"),
        said.get("description"),
        said.get("scheduled_at"),
        None,
        line.faults[0]["code"],
        " ".join(told),
    )


def _harmless(cell: str | int | None) -> str:
    text = "" if cell is None else str(cell)
    return f"'{text}" if text.startswith(_FORMULA) else text


def decode(raw: bytes) -> str:
    """The text of a file; ParameterInvalid says how it is saved as one."""
    if raw.startswith(_WORKBOOK):
        raise ParameterInvalid("The file is a workbook (XLSX). Save it as CSV in UTF-8.")
    if raw.startswith(_UTF16):
        raise ParameterInvalid("The file is UTF-16. Save it as CSV in UTF-8.")
    try:
        text = raw.removeprefix(_BYTE_ORDER_MARK).decode("utf-8")
    except UnicodeDecodeError:
        raise ParameterInvalid(
            "This line is not UTF-8. Save the file as CSV in UTF-8, not in a code page."
        ) from None
    if "\0" in text:
        raise ParameterInvalid("The file holds a NUL character: it is not a CSV file.")
    return text


def _line_of_fault(raw: bytes) -> int:
    """The line of the first byte that is not UTF-8, or of the first NUL; else the first."""
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError as error:
        place = error.start
    else:
        place = max(raw.find(b"\0"), 0)
    return raw.count(b"\n", 0, place) + 1


def separator_of(text: str) -> str:
    """What stands most often in the first line."""
    first = text.partition("\n")[0]
    return max(SEPARATORS, key=first.count)


def _records(text: str, separator: str) -> list[tuple[int, list[str]] | Fault]:
    """Each record with the line that it begins in; empty ones are left out.

    What can not be read is the last: nobody knows where the next record would begin.
    """
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    found: list[tuple[int, list[str]] | Fault] = []
    begins = 1
    try:
        for record in reader:
            if any(cell.strip() for cell in record):
                found.append((begins, record))
            begins = reader.line_num + 1
    except csv.Error as error:
        unread = ParameterInvalid(
            "This can not be read as CSV: {why}. Are the quotes closed?", why=str(error)
        )
        found.append(_whole(begins, unread))
    return found


def _header_faults(line: int, names: Sequence[str]) -> list[Fault]:
    faults = [
        Fault.of(
            line,
            ParameterInvalid(
                "There is no column {name}. The first line names the columns: {columns}.",
                param=name or None,
                name=repr(name),
                columns=", ".join(COLUMNS),
            ),
            whole=True,
        )
        for name in names
        if name not in COLUMNS
    ]
    faults += [
        Fault.of(
            line,
            ParameterInvalid(
                "The column {name} stands twice. Remove one.", param=name, name=repr(name)
            ),
            whole=True,
        )
        for name in sorted({each for each in names if names.count(each) > 1} & set(COLUMNS))
    ]
    missing = [name for name in NEEDED if name not in names]
    if "beneficiary" not in names:
        missing += [name for name in ("network", "address") if name not in names]
    faults += [
        Fault.of(
            line,
            ParameterInvalid("The column {name} is missing.", param=name, name=repr(name)),
            whole=True,
        )
        for name in missing
    ]
    return faults


def _cells(names: Sequence[str], record: Sequence[str]) -> dict[str, str]:
    if len(record) != len(names):
        raise ParameterInvalid(
            "This line has {cells} cells, and the header has {columns}. A cell that holds the"
            " separator stands in double quotes.",
            cells=len(record),
            columns=len(names),
        )
    return {name: cell.strip() for name, cell in zip(names, record, strict=True)}


def _check_texts(cells: Mapping[str, str]) -> None:
    for name, cell in cells.items():
        if len(cell) > TEXT_LENGTHS_MAX.get(name, CELL_LENGTH_MAX):
            raise ParameterInvalid("This is too long.", param=name)
        # A quote that is closed lines later makes one cell of them, and their payments vanish.
        if name != "description" and _LINE_BREAK.search(cell):
            raise ParameterInvalid(
                "This cell goes over several lines. Is a quote not closed?", param=name
            )


def _line(
    number: int, cells: Mapping[str, str], decimals: Mapping[str, int], initiator: Initiator
) -> Line:
    currency = cells["currency"].lower()
    if currency not in decimals:
        raise ParameterInvalid(
            "There is no currency {currency}. There are: {known}.",
            param="currency",
            currency=repr(cells["currency"]),
            known=", ".join(sorted(decimals)),
        )
    fee_mode = cells.get("fee_mode") or "sender"
    if fee_mode not in ("sender", "receiver"):
        raise ParameterInvalid(
            "{text} is neither {choices}.",
            param="fee_mode",
            text=repr(fee_mode),
            choices="sender nor receiver",
        )
    request = PayoutRequest(
        amount=_amount(cells["amount"], currency, decimals[currency]),
        currency=currency,
        destination=Wanted(
            network=cells.get("network") or None,
            address=cells.get("address") or None,
            beneficiary=cells.get("beneficiary") or None,
        ),
        fee_mode=fee_mode,
        description=cells.get("description") or None,
        reference=cells.get("reference") or None,
        scheduled_at=_moment(cells.get("scheduled_at", "")),
        travel_rule=_told(cells),
        quote=cells.get("quote") or None,
        initiator=initiator,
    )
    return Line(number, request, _is_yes(cells.get("allow_duplicate", "")))


def _told(cells: Mapping[str, str]) -> dict[str, Any] | None:
    """What a line says of whoever stands behind its address; None when it says nothing."""
    for column, choices in _TOLD_CHOICES.items():
        if cells.get(column) and cells[column] not in choices:
            raise ParameterInvalid(
                "{text} is neither {choices}.",
                param=column,
                text=repr(cells[column]),
                choices=" nor ".join(choices),
            )
    for column, other in _NEEDED_BY_TOLD.items():
        if cells.get(column) and not cells.get(other):
            raise ParameterInvalid(
                "Where there is a {column}, there is a {other}.",
                param=other,
                column=column,
                other=other,
            )
    if cells.get("vasp_lei") and not is_lei(cells["vasp_lei"]):
        raise ParameterInvalid(
            "{text} is no LEI: its check digits do not hold.",
            param="vasp_lei",
            text=repr(cells["vasp_lei"]),
        )
    told: dict[str, Any] = {name: cells[each] for each, name in _TOLD.items() if cells.get(each)}
    vasp = {name: cells[each] for each, name in _TOLD_VASP.items() if cells.get(each)}
    return (told | ({"vasp": vasp} if vasp else {})) or None


def _amount(text: str, currency: str, decimals: int) -> int:
    """Smallest units, exactly."""
    if not _DECIMAL.fullmatch(text):
        raise _no_amount(text)
    try:
        units = money.parse_decimal(text, decimals)
    except ValueError:
        raise ParameterInvalid(
            "{text} has more decimal places than {currency} has, which is {decimals}.",
            param="amount",
            text=text,
            currency=currency,
            decimals=decimals,
        ) from None
    if not 0 < units <= money.UNITS_MAX:
        raise ParameterInvalid("{text} is no amount that can be paid.", param="amount", text=text)
    return units


def _no_amount(text: str) -> ParameterInvalid:
    """What a spreadsheet made of a number, and how it is written; nothing is guessed."""
    if not text:
        return ParameterInvalid("The amount is missing.", param="amount")
    said = repr(text)
    if re.fullmatch(r"[1-9][0-9]{0,2},[0-9]{3}", text):
        # A thousand where some write, and a bit more than one where others do.
        return ParameterInvalid(
            "{text} has a comma, which is read in two ways. Write {one} or {other}.",
            param="amount",
            text=said,
            one=text.replace(",", ""),
            other=text.replace(",", "."),
        )
    if re.fullmatch(r"[0-9]+,[0-9]+", text):
        return ParameterInvalid(
            "{text} has a comma. Write a decimal point, {point}, and no groups of thousands.",
            param="amount",
            text=said,
            point=text.replace(",", "."),
        )
    if re.fullmatch(r"[0-9]{1,3}([,. '\u2019\u00a0\u202f][0-9]{3})+([.,][0-9]+)?", text):
        return ParameterInvalid(
            "{text} has groups of thousands. Write the digits together, like 1234.50.",
            param="amount",
            text=said,
        )
    if re.fullmatch(r"[0-9.,]+[eE][+-]?[0-9]+", text):
        return ParameterInvalid(
            "{text} has an exponent. Format the column as text, and write all digits.",
            param="amount",
            text=said,
        )
    return ParameterInvalid(
        "{text} is not an amount. Write digits and a decimal point, like 1234.50.",
        param="amount",
        text=said,
    )


def _moment(text: str) -> datetime | None:
    """A time with its zone (ISO 8601), or seconds since 1970."""
    if not text:
        return None
    try:
        if text.isascii() and text.isdigit():
            return datetime.fromtimestamp(int(text), UTC)
        moment = datetime.fromisoformat(text)
    except (ValueError, OverflowError, OSError):
        moment = None
    if moment is None or moment.tzinfo is None:
        raise ParameterInvalid(
            "{text} is not a time with its zone, like 2026-12-01T09:00:00Z.",
            param="scheduled_at",
            text=repr(text),
        )
    return moment.astimezone(UTC)


def _is_yes(text: str) -> bool:
    word = text.lower()
    if word not in _YES | _NO:
        raise ParameterInvalid(
            "{text} is neither {choices}.",
            param="allow_duplicate",
            text=repr(text),
            choices="yes nor no",
        )
    return word in _YES
