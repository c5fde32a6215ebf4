"""A file of gift cards that are to be issued: so many of each worth, a line each.

CSV as spreadsheets save it (`sakk.core.payout_file` says how it is read). Everything that is wrong
is told, by the file's line and the column.
"""

import csv
import io
import re
from collections.abc import Sequence
from typing import Final

from sakk.core import money
from sakk.core.errors import ParameterInvalid
from sakk.core.gift_card_batch import CARDS_MAX, LINES_MAX, Kind
from sakk.core.payout_batch import Fault
from sakk.core.payout_file import decode, separator_of

COLUMNS: Final = ("amount", "count")
_COUNT: Final = re.compile(r"[0-9]{1,6}")


def read(raw: bytes, decimals: int) -> tuple[list[tuple[int, Kind]], list[Fault]]:
    """The kinds of a file by their line, and what is wrong with it.

    ``decimals``: of the currency that amounts are in.
    """
    try:
        text = decode(raw)
        records = _records(text)
        names = [cell.strip().lower() for cell in records[0][1]] if records else []
        if not set(COLUMNS) <= set(names):
            raise ParameterInvalid(
                "The first line names the columns: {columns}.", columns=", ".join(COLUMNS)
            )
        if not records[1:]:
            raise ParameterInvalid("The file has a header and no card.")
        if len(records) > LINES_MAX + 1:
            raise ParameterInvalid("At most {most} lines are issued at once.", most=LINES_MAX)
    except ParameterInvalid as wrong:
        return [], [Fault.of(1, wrong, whole=True)]
    kinds, faults = [], []
    for line, record in records[1:]:
        cells = dict(zip(names, record, strict=False))
        try:
            amount = _amount(cells.get("amount", "").strip(), decimals)
            kinds.append((line, Kind(amount, _count(cells.get("count", "").strip()))))
        except ParameterInvalid as wrong:
            faults.append(Fault.of(line, wrong))
    return kinds, faults


def write(kinds: Sequence[Kind], decimals: int) -> str:
    """A file that says the same, without what else stood in the one that was read."""
    lines = [f"{money.format_decimal(each.amount, decimals)},{each.count}" for each in kinds]
    return "\n".join([",".join(COLUMNS), *lines])


def _records(text: str) -> list[tuple[int, list[str]]]:
    """Each line that is not empty, with its number as an editor counts."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator_of(text), strict=True)
    found = []
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                found.append((reader.line_num, cells))
    except csv.Error:
        raise ParameterInvalid(
            "Line {line} can not be read: a quote is not closed, or text follows one.",
            line=reader.line_num,
        ) from None
    return found


def _amount(text: str, decimals: int) -> int:
    try:
        units = money.parse_decimal(text, decimals)
    except ValueError:
        units = 0
    if not 0 < units <= money.UNITS_MAX:
        raise ParameterInvalid(
            "Write what one card is worth, as 25.00, with at most {decimals} places.",
            param="amount",
            decimals=decimals,
        )
    return units


def _count(text: str) -> int:
    count = int(text) if _COUNT.fullmatch(text) else 0
    if not 0 < count <= CARDS_MAX:
        raise ParameterInvalid(
            "Write how many cards, from 1 to {most}.", param="count", most=CARDS_MAX
        )
    return count
