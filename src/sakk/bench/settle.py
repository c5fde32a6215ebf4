"""``sakk bench settle``: periods of ten thousand merchants closed, booked and paid; books matched.

A million balance transactions go through the real ledger: its writer, its journal, its projection.
Filled directly are the rows beside it that a year of use would have left: accounts, schedules,
address books. Timed is what the stages do, to the last settlement that has its payout, with every
amount reserved in the ledger; screening, signing and sending are `sakk bench payout`'s. Then two
books of a million lines are matched, with some lines missing and some wrong, and an account's
statement of 100,000 lines is written to a signed file; its memory is the process's growth.
"""

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from sqlalchemy import text

from sakk.bench.figures import WrongResult, cost, rate
from sakk.bench.machine import describe_machine
from sakk.bench.month import month, unexpected
from sakk.core import caip, chart
from sakk.core.account import Account, AccountKind
from sakk.core.beneficiary import Beneficiary, lookalike_key
from sakk.core.chart import TransferCode
from sakk.core.matching import Entry, Fault, MatchingRules, Mismatch, Side, match, merged
from sakk.core.network import Asset, Network
from sakk.core.posting import Posting
from sakk.core.quote import TransferCost
from sakk.core.report import ReportForm, ReportKind, ReportParameters
from sakk.core.settlement import Interval, SettlementSchedule, SettlementTerms
from sakk.flow import report as reports
from sakk.flow import settlement as settlements
from sakk.flow.book import Books, PostingSet
from sakk.flow.context import Parts
from sakk.ledger.projection import Projector, wait_projected
from sakk.ledger.verify import verify
from sakk.ledger.writer import open_ledger
from sakk.runtime.postgres import start_postgres
from sakk.store import account as accounts
from sakk.store import beneficiary as beneficiaries
from sakk.store import network
from sakk.store.database import Database, insert_records, open_database, row_of
from sakk.store.identity import new_id, now
from sakk.store.migrate import upgrade
from sakk.store.quote import put_cost
from sakk.store.seed import seed_currencies
from sakk.store.settlement import settlement_schedules
from sakk.store.vault import KEY_BYTES, Vault

PARTS: Final = ("settle", "match", "statement")
MERCHANTS: Final = 10_000
LINES: Final = 100
MATCHED: Final = 1_000_000
MONTH_MERCHANTS: Final = 1_000
STATEMENT: Final = 100_000
GROUP: Final = 8_000
AMOUNT: Final = 1_000_000
FEE: Final = 10_000
UNIT: Final = "test/usdc"
NETWORK: Final = "eip155:84532"
TOKEN: Final = "0x036cbd53842c5426634e7929541ec2318f3dcf7e"
SECONDS_MAX: Final = 1_800.0
STAGES: Final = ("settlement.close", "settlement.book", "settlement.pay")
DAY: Final = 86_400
# Of the matched books one line in so many is missing, and one in so many is off by a unit.
MISSING_EVERY: Final = 9_973
WRONG_EVERY: Final = 9_967
_STATUS = Path("/proc/self/status")
_PEAK = Path("/proc/self/clear_refs")

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class World:
    """A Sakk without processes: the database, the ledger, and who is settled."""

    database: Database
    books: Books
    merchants: list[str]

    @property
    def parts(self) -> Parts:
        return Parts(self.database, ledger_books=self.books, vault=Vault(bytes(KEY_BYTES)))


def run(
    *,
    merchants: int = MERCHANTS,
    lines: int = LINES,
    matched: int = MATCHED,
    statement: int = STATEMENT,
    only: Sequence[str] = PARTS,
    say: Say = lambda _: None,
) -> dict[str, Any]:
    """Measure; the result is an object of ``sakk bench``'s shape.

    WrongResult unless every unit is settled once, `sakk ledger verify` holds, every injected fault
    is found and none is invented, and the statement's file has every line.
    """
    machine = describe_machine()
    results: list[dict[str, Any]] = []
    if "match" in only:
        results += _match(matched, say=say)
    if "settle" in only or "statement" in only:
        with start_postgres(ephemeral=True) as postgres:
            upgrade(postgres.url())
            results += _in_database(postgres.url(), merchants, lines, statement, only, say)
    return {"machine": machine, "results": results}


def _in_database(
    url: str, merchants: int, lines: int, statement: int, only: Sequence[str], say: Say
) -> list[dict[str, Any]]:
    database = open_database(url)
    projector = Projector(url)
    ledger = open_ledger(url, on_append=projector.wake, lag_events=projector.lag_events)
    results: list[dict[str, Any]] = []
    try:
        books = Books(database, ledger)
        configure_network(database)
        if "settle" in only:
            world = World(database, books, _people(database, merchants, say))
            results += _settle(world, lines, say=say)
        if "statement" in only:
            world = World(database, books, _people(database, 1, say))
            results += _statement(world, statement, say=say)
    finally:
        ledger.close()
        wait_projected(url, seconds_max=SECONDS_MAX)
        projector.close()
        database.close()
    say("verifying the ledger")
    report = verify(url)
    if not report.ok:
        raise WrongResult(f"the ledger does not hold: {report.breaks}")
    return results


def configure_network(database: Database) -> None:
    """A network with a coin, as a sandbox has it; nothing is asked of its node."""
    asset = caip.erc20_asset(NETWORK, TOKEN)
    moment = now()
    with database.begin() as connection:
        seed_currencies(connection)
        network.put_network(
            connection,
            Network(
                network=NETWORK,
                name="Bench",
                family="eip155",
                livemode=False,
                enabled=True,
                rpc_urls=[],
                confirmations=2,
                block_seconds=1,
                poll_milliseconds=1_000,
                start_block=0,
                native_asset=caip.native_asset(NETWORK),
                bloom="exact",
                created=moment,
            ),
        )
        coin = Asset(
            asset=asset,
            network=NETWORK,
            contract=TOKEN,
            currency="usdc",
            symbol="USDC",
            decimals=6,
            quirks=[],
            payin_enabled=True,
            payout_enabled=True,
            sweep_minimum=0,
            eip712_name=None,
            eip712_version=None,
            created=moment,
        )
        network.put_asset(connection, coin)
        native = replace(
            coin,
            asset=caip.native_asset(NETWORK),
            contract=None,
            currency="eth",
            symbol="ETH",
            decimals=18,
            payout_enabled=False,
        )
        network.put_asset(connection, native)
        put_cost(connection, TransferCost(asset, NETWORK, 60_000, 1_000, moment))


def _people(database: Database, count: int, say: Say) -> list[str]:
    """Accounts, each with a wallet in its address book; filled directly."""
    say(f"{count:,} merchants")
    moment = now() - timedelta(days=30)
    made = [new_id("acct") for _ in range(count)]
    for group in in_groups(made):
        wallets = [_wallet(each, moment) for each in group]
        with database.begin() as connection:
            insert_records(
                connection, accounts.accounts, [merchant(each, moment) for each in group]
            )
            connection.execute(
                beneficiaries.beneficiaries.insert(),
                [{**row_of(each), "lookalike": lookalike_key(each.address)} for each in wallets],
            )
    return made


def merchant(identifier: str, moment: datetime) -> Account:
    """The row of a merchant that has nothing set."""
    return Account(
        id=identifier,
        kind=AccountKind.merchant.value,
        name=None,
        email=None,
        country="DE",
        policy={},
        payouts={},
        metadata={},
        created=moment,
    )


def _wallet(account: str, moment: datetime) -> Beneficiary:
    return Beneficiary(
        id=_wallet_id(account),
        account_id=account,
        livemode=False,
        name="Wallet",
        address="0x" + sha256(account.encode()).hexdigest()[:40],
        networks=[NETWORK],
        usable_at=moment,
        ownership=None,
        travel_rule=None,
        confirmed_unlike=None,
        description=None,
        metadata={},
        deleted=False,
        created=moment,
    )


def _wallet_id(account: str) -> str:
    return f"ben_{account.partition('_')[2]}"


def _settle(world: World, lines: int, *, say: Say) -> list[dict[str, Any]]:
    total = lines * len(world.merchants)
    _post(world, lines, say=say)
    due = now()
    with world.database.begin() as connection:
        for group in in_groups(world.merchants):
            insert_records(
                connection, settlement_schedules, [_schedule(each, due) for each in group]
            )
        connection.execute(text("ANALYZE"))
    # A statement is closed a moment after its cut-off.
    time.sleep(3)
    began = time.perf_counter()
    spent = _run_stages(world, say)
    seconds = time.perf_counter() - began
    _check_settled(world, lines)
    return [
        cost(f"settled_{len(world.merchants)}_merchants_{total}_lines", "s", [seconds]),
        rate("settled_lines", "lines/s", [total / seconds]),
        *(cost(f"{name}_{len(world.merchants)}", "s", [spent[name]]) for name in STAGES),
    ]


def _schedule(account: str, due: datetime) -> SettlementSchedule:
    terms = replace(
        SettlementTerms(),
        interval=Interval.daily,
        reserve_ppm=100_000,
        reserve_days=7,
        destination={"beneficiary": _wallet_id(account), "network": NETWORK},
    )
    return SettlementSchedule(
        id=new_id("ssch"),
        account_id=account,
        livemode=False,
        terms=terms.document(),
        held=False,
        next_number=1,
        next_at=due,
        created=due - timedelta(days=30),
    )


def _post(world: World, lines: int, *, say: Say) -> None:
    """Nine pay-ins and a fee in turn, each a transfer of the real ledger."""
    say(f"{lines * len(world.merchants):,} balance transactions through the ledger")
    bridge = chart.conversion_currency(caip.erc20_asset(NETWORK, TOKEN), UNIT)
    earned = chart.fee_revenue(UNIT)
    done = 0
    for group in in_groups(list(itertools.product(range(lines), world.merchants))):
        sets = []
        for number, account in group:
            available = chart.merchant(account, "available", UNIT)
            posting = Posting(bridge, available, AMOUNT, TransferCode.payin)
            if number % 10 == 9:
                posting = Posting(available, earned, FEE, TransferCode.payin_fee)
            sets.append(PostingSet(new_id("pin"), "bench", 0, [posting]))
        if not all(outcome.booked for outcome in world.books.post(sets)):
            raise WrongResult("the ledger refused a line")
        done += len(group)
        if done % (GROUP * 25) == 0:
            say(f"{done:,} booked")
    wait_projected(world.database.url, seconds_max=SECONDS_MAX)


def _run_stages(world: World, say: Say) -> dict[str, float]:
    """Close, book and pay, in turn as a worker does, until nothing moves."""
    stages = {each.name: each for each in settlements.settlement_stages(world.parts)}
    spent = dict.fromkeys(STAGES, 0.0)
    moved, paid, told = 1, 0, 0
    deadline = time.monotonic() + SECONDS_MAX
    while moved:
        moved = 0
        for name in STAGES:
            began = time.perf_counter()
            done = stages[name].run()
            spent[name] += time.perf_counter() - began
            moved += done
            paid += done if name == STAGES[-1] else 0
        if paid >= told + 1_000:
            told = paid
            say(f"{paid:,} settled")
        if time.monotonic() > deadline:
            raise WrongResult(f"not settled within {SECONDS_MAX} s")
    return spent


def _check_settled(world: World, lines: int) -> None:
    """Each merchant has one settlement, with all lines, and a payout that has its money."""
    payins = lines - lines // 10
    closing = payins * AMOUNT - lines // 10 * FEE
    reserved = payins * AMOUNT // 10
    statement = text(
        "SELECT count(*) AS settlements, count(DISTINCT s.account_id) AS accounts,"
        " bool_and(s.lines = :lines AND s.closing = :closing AND s.reserved = :reserved"
        " AND s.amount = :payable AND s.status = 'paying' AND p.hold = 'held'"
        " AND p.amount + p.fee = :payable) AS right"
        " FROM settlements s JOIN payouts p ON p.id = s.payout"
    )
    given = {
        "lines": lines,
        "closing": closing,
        "reserved": reserved,
        "payable": closing - reserved,
    }
    with world.database.begin() as connection:
        row: Any = connection.execute(statement, given).one()
    if (row.settlements, row.accounts, row.right) != (
        len(world.merchants),
        len(world.merchants),
        True,
    ):
        raise WrongResult(f"settled: {row}, wanted of each: {given}")
    left = world.books.balances(
        [chart.merchant(each, "available", UNIT) for each in world.merchants]
    )
    if any(left):
        raise WrongResult("a balance is not what the settlement left of it")


def _match(lines: int, *, say: Say) -> list[dict[str, Any]]:
    """Two books by reference and by amount; one line in so many is missing, or off by a unit."""
    say(f"matching two books of {lines:,} lines")
    rules = MatchingRules(window_seconds=2 * DAY, reference_seconds=5 * DAY)
    missing = wrong = 0
    began = time.perf_counter()
    for outcome in match(merged(_book(lines, Side.left), _book(lines, Side.right)), rules):
        if isinstance(outcome, Mismatch):
            if outcome.fault is Fault.amount_differs:
                wrong += 1
            else:
                missing += 1
    seconds = time.perf_counter() - began
    wanted = (
        sum(1 for number in range(lines) if _is_missing(number)),
        sum(1 for number in range(lines) if _is_wrong(number)),
    )
    if (missing, wrong) != wanted:
        raise WrongResult(f"{(missing, wrong)} faults were found, and there are {wanted}")
    say(f"a month of {MONTH_MERCHANTS:,} merchants with known errors")
    made = month(merchants=MONTH_MERCHANTS, payments=max(lines // 10, 1), seed=7)
    missed, invented = unexpected(made)
    if missed or invented:
        raise WrongResult(f"{len(missed)} errors were not found, and {len(invented)} are not there")
    return [
        cost(f"matched_{lines}", "s", [seconds]),
        rate("matched_lines", "lines/s", [lines / seconds]),
        cost("month_errors_found", "errors", [len(made.expected)]),
    ]


def _is_missing(number: int) -> bool:
    return number % MISSING_EVERY == 1


def _is_wrong(number: int) -> bool:
    return number % WRONG_EVERY == 2 and not _is_missing(number)


def _book(lines: int, side: Side) -> Iterator[Entry]:
    """A line a second; every third is found by its amount and counterparty alone."""
    for number in range(lines):
        if side is Side.right and _is_missing(number):
            continue
        units = 1_000_000 + number
        if side is Side.right and _is_wrong(number):
            units += 1
        named = number % 3 != 0 or _is_wrong(number) or _is_missing(number)
        yield Entry(
            at=number,
            side=side,
            id=f"{side.name}-{number}",
            units=units,
            currency="usdc",
            references=(f"ref-{number}",) if named else (),
            counterparty=f"party-{number % 5_000}",
        )


def _statement(world: World, lines: int, *, say: Say) -> list[dict[str, Any]]:
    """A merchant's statement as a job: from the request to the signed file."""
    _post(world, lines, say=say)
    [account] = world.merchants
    say("writing the statement")
    time.sleep(3)
    with world.database.begin() as connection:
        report = reports.create(
            connection,
            ReportKind.merchant_statement,
            ReportForm.csv,
            ReportParameters(
                start=datetime.fromtimestamp(0, UTC),
                end=now() - timedelta(seconds=2),
                currency="usdc",
            ),
            identifier=new_id("rpt"),
            account_id=account,
            livemode=False,
            is_operator=False,
            requested_by=None,
            metadata={},
            now=now(),
        )
    before = _reset_peak()
    began = time.perf_counter()
    reports.report_stage(world.parts).run()
    seconds = time.perf_counter() - began
    peak = _peak()
    with world.database.begin() as connection:
        row: Any = connection.execute(
            text("SELECT r.status, f.rows FROM reports r JOIN files f ON f.id = r.file")
        ).one()
    if (row.status, row.rows) != ("succeeded", lines + 2):
        raise WrongResult(f"{report.id} is {row}")
    found = [cost(f"statement_{lines}", "s", [seconds])]
    if before is not None and peak is not None:
        found += [
            cost("statement_memory", "MiB", [(peak - before) / 1_024]),
            cost("statement_peak_rss", "MiB", [peak / 1_024]),
        ]
    return found


def in_groups(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """As many at once as one statement inserts."""
    for first in range(0, len(items), GROUP):
        yield items[first : first + GROUP]


def _reset_peak() -> int | None:
    """Forget the process's peak; what it has now in KiB (proc(5))."""
    try:
        _PEAK.write_text("5")
    except OSError:
        return None
    return _peak()


def _peak() -> int | None:
    """The process's largest resident set since then, in KiB."""
    try:
        lines = _STATUS.read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), None)
