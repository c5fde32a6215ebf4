"""Reports of the books: the general ledger and the trial balance, by an accountant's chart."""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from sakk.core import chart_mapping as mapping
from sakk.core.chart import TransferCode
from sakk.core.chart_mapping import MappingRule
from sakk.core.money import format_decimal
from sakk.core.report import ReportParameters
from sakk.core.sheet import Exact, Lines, Sheet
from sakk.store import report_books as store
from sakk.store.balance import source_of
from sakk.store.report_books import BookUnit

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NANOSECONDS = 1_000_000_000
# By mapped account and unit: credits less debits.
Totals = dict[tuple[MappingRule, str], int]


class BooksBroken(RuntimeError):
    """Debits and credits of a unit differ: the projection is to be rebuilt first."""


class Chart:
    """Places ledger accounts in the chart; remembers what it placed, a rule a path."""

    REMEMBERED_MAX = 100_000

    def __init__(self, rules: Sequence[MappingRule]) -> None:
        self._rules = rules
        self._placed: dict[str, MappingRule] = {}

    def place(self, name: str) -> tuple[str, MappingRule]:
        """The path of an account's name, and its place; UnexpectedState where it has none."""
        path = name.rpartition("#")[0]
        found = self._placed.get(path)
        if found is None:
            if len(self._placed) >= self.REMEMBERED_MAX:
                self._placed.clear()
            found = self._placed[path] = mapping.place(self._rules, path)
        return path, found


def general_ledger(
    connection: Connection,
    parameters: ReportParameters,
    rules: Sequence[MappingRule],
    *,
    live: bool,
) -> Sheet:
    """Two lines a movement, one a side, in the ledger's order."""
    units = store.book_units(connection, livemode=live)
    start, end = ns(parameters.start), ns(parameters.end)
    total = store.count_transfers(connection, list(units), start_ns=start, end_ns=end)
    found = store.transfers(connection, list(units), start_ns=start, end_ns=end)
    columns = (
        "time", "entry", "code", "account", "ledger_account", "debit", "credit", "currency",
        "asset", "reason", "source",
    )  # fmt: skip
    return Sheet(columns, 2 * total, _ledger_rows(found, units, Chart(rules)))


def _ledger_rows(
    found: Iterator[Any], units: dict[str, BookUnit], chart: Chart
) -> Iterator[Sequence[object]]:
    for number, row in enumerate(found, 1):
        unit = units[row.unit]
        amount = Exact(format_decimal(int(row.amount), unit.decimals))
        reason = TransferCode(row.code).name
        about = (unit.symbol, _asset(unit), reason, source_of(row.code, row.user_data))
        at = moment(row.timestamp_ns)
        for name, sides in ((row.debit, (amount, None)), (row.credit, (None, amount))):
            path, account = chart.place(name)
            yield (at, number, account.code, account.name, path, *sides, *about)


def trial_balance(
    connection: Connection,
    parameters: ReportParameters,
    rules: Sequence[MappingRule],
    *,
    live: bool,
) -> Sheet:
    """What every account of the chart has before the end of the period; per unit it adds up.

    BooksBroken where it does not. ``detail``: a line for each account of the ledger.
    """
    units = store.book_units(connection, livemode=live)
    chart = Chart(rules)
    before = ns(parameters.end)
    totals: Totals = {}
    lines = 0
    for row in store.balances(connection, list(units), before_ns=before):
        _, account = chart.place(row.name)
        key = (account, row.unit)
        totals[key] = totals.get(key, 0) + int(row.balance)
        lines += 1
    sums = _checked(totals)
    columns = (
        "code", "account", "type", "ledger_account", "debit", "credit", "currency", "asset",
    )  # fmt: skip
    if parameters.detail:
        found = store.balances(connection, list(units), before_ns=before)
        rows = _detailed(found, units, chart)
        return Sheet(columns, lines + len(sums), _with_sums(rows, sums, units))
    rows = (
        _balance_row(account, None, balance, units[unit])
        for (account, unit), balance in sorted(
            totals.items(), key=lambda each: (each[0][0].code, each[0][1])
        )
        if balance
    )
    return Sheet(columns, len(totals) + len(sums), _with_sums(rows, sums, units))


def _checked(totals: Totals) -> dict[str, int]:
    """The sum of either side by unit."""
    balance: dict[str, int] = {}
    debits: dict[str, int] = {}
    for (_, unit), units in totals.items():
        balance[unit] = balance.get(unit, 0) + units
        debits[unit] = debits.get(unit, 0) + max(0, -units)
    broken = {unit: units for unit, units in balance.items() if units}
    if broken:
        raise BooksBroken(f"credits less debits are not 0: {broken}; see `sakk ledger verify`")
    return debits


def _detailed(
    found: Iterator[Any], units: dict[str, BookUnit], chart: Chart
) -> Iterator[Sequence[object]]:
    for row in found:
        path, account = chart.place(row.name)
        yield _balance_row(account, path, int(row.balance), units[row.unit])


def _balance_row(
    account: MappingRule, path: str | None, balance: int, unit: BookUnit
) -> Sequence[object]:
    amount = Exact(format_decimal(abs(balance), unit.decimals))
    sides = (amount, None) if balance < 0 else (None, amount)
    place = (account.code, account.name, account.type.value, path)
    return (*place, *sides, unit.symbol, _asset(unit))


def _with_sums(
    rows: Iterator[Sequence[object]], sums: dict[str, int], units: dict[str, BookUnit]
) -> Iterator[Sequence[object]]:
    yield from rows
    for name, total in sorted(sums.items()):
        unit = units[name]
        amount = Exact(format_decimal(total, unit.decimals))
        yield ("", "total", None, None, amount, amount, unit.symbol, _asset(unit))


def _asset(unit: BookUnit) -> str | None:
    """The CAIP-19 name of a unit that is no currency."""
    return unit.unit if "/" in unit.unit and not unit.unit.startswith("test/") else None


def beancount(
    connection: Connection,
    parameters: ReportParameters,
    rules: Sequence[MappingRule],
    *,
    live: bool,
) -> Lines:
    """The general ledger as Beancount reads it: opening balances, every movement, and assertions.

    What is asserted at the end is read from the accounts' own lines, and not added up from the
    movements: a checker that agrees has compared the two.
    """
    units = store.book_units(connection, livemode=live)
    start, end = ns(parameters.start), ns(parameters.end)
    total = store.count_transfers(connection, list(units), start_ns=start, end_ns=end)
    chart = Chart(rules)
    opening = _totals(connection, units, chart, before_ns=start)
    closing = _totals(connection, units, chart, before_ns=end)
    found = store.transfers(connection, list(units), start_ns=start, end_ns=end)
    lines = _beancount(
        parameters, rules, units, opening=opening, closing=closing, found=found, chart=chart
    )
    return Lines(total, lines)


def _totals(
    connection: Connection, units: dict[str, BookUnit], chart: Chart, *, before_ns: int
) -> Totals:
    totals: Totals = {}
    for row in store.balances(connection, list(units), before_ns=before_ns):
        key = (chart.place(row.name)[1], row.unit)
        totals[key] = totals.get(key, 0) + int(row.balance)
    _checked(totals)
    return totals


def _beancount(
    parameters: ReportParameters,
    rules: Sequence[MappingRule],
    units: dict[str, BookUnit],
    *,
    opening: Totals,
    closing: Totals,
    found: Iterator[Any],
    chart: Chart,
) -> Iterator[str]:
    begin = parameters.start.astimezone(UTC).date()
    names = {unit.unit: mapping.commodity(unit.unit, unit.symbol) for unit in units.values()}
    yield 'option "title" "Sakk general ledger"\n\n'
    for name, commodity in sorted(names.items(), key=lambda each: each[1]):
        yield f'{begin} commodity {commodity}\n  unit: "{name}"\n'
    for account in sorted({rule.beancount for rule in rules}):
        yield f"{begin} open {account}\n"
    if any(opening.values()):
        yield f'\n{begin} * "Opening balances"\n'
        for place, balance in _ordered(opening):
            yield f"  {_posting(place, balance, units, names)}\n"
    for row in found:
        yield _transaction(row, units, names, chart)
    yield "\n"
    after = _assertion_day(parameters.end)
    for place, balance in _ordered(closing, opening):
        yield f"{after} balance {_posting(place, balance, units, names)}\n"


def _ordered(*totals: Totals) -> list[tuple[tuple[MappingRule, str], int]]:
    """The first of the totals, in order; what only others have is 0."""
    places = {place for each in totals for place in each}
    return [
        (place, totals[0].get(place, 0))
        for place in sorted(places, key=lambda place: (place[0].code, place[1]))
    ]


def _posting(
    place: tuple[MappingRule, str],
    balance: int,
    units: dict[str, BookUnit],
    names: dict[str, str],
) -> str:
    account, unit = place
    amount = format_decimal(-balance, units[unit].decimals)
    return f"{account.beancount} {amount} {names[unit]}"


def _transaction(row: Any, units: dict[str, BookUnit], names: dict[str, str], chart: Chart) -> str:
    at = moment(row.timestamp_ns)
    amount, unit = int(row.amount), row.unit
    debit, debited = chart.place(row.debit)
    credit, credited = chart.place(row.credit)
    reason = TransferCode(row.code).name
    source = source_of(row.code, row.user_data) or ""
    return (
        f'\n{at:%Y-%m-%d} * "{reason}" "{source}"\n'
        f'  time: "{at.isoformat(timespec="microseconds")}"\n'
        f'  debit: "{debit}"\n  credit: "{credit}"\n'
        f"  {_posting((debited, unit), -amount, units, names)}\n"
        f"  {_posting((credited, unit), amount, units, names)}\n"
    )


def _assertion_day(end: datetime) -> date:
    """The first day at whose beginning everything before the end is in the books."""
    end = end.astimezone(UTC)
    midnight = end.replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight.date() if end == midnight else midnight.date() + timedelta(days=1)


def ns(at: datetime) -> int:
    """A time as the ledger counts it."""
    return (at - EPOCH) // timedelta(microseconds=1) * 1_000


def moment(timestamp_ns: int) -> datetime:
    """The ledger's time, to the microsecond."""
    return EPOCH + timedelta(microseconds=timestamp_ns // 1_000)
