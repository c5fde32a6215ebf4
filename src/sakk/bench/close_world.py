"""The month of `sakk bench close`: merchants, a chain, a bank's pen, and errors put in by hand.

Pay-ins, payouts, files of orders and statements go through the stages that a worker runs. The bank
reads the files of pain.001 that lie in its folder and leaves a statement a day in camt.053; every
error that it makes is written down beside the rest of the office's notes.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, Final, cast
from xml.etree import ElementTree

from sqlalchemy import select, text

from sakk.bench.figures import WrongResult
from sakk.bench.settle import NETWORK, TOKEN, configure_network, in_groups, merchant
from sakk.core import caip, chart, policy
from sakk.core.account import AccountKind
from sakk.core.bank_account import BankAccount, BankTerms, read_terms
from sakk.core.beneficiary import Wanted
from sakk.core.chart import TransferCode
from sakk.core.payin import PayIn, PayInStatus
from sakk.core.payout import PayoutRequest
from sakk.core.policy import Action, PolicyVersion, Rule, VersionState
from sakk.core.posting import Posting
from sakk.flow import account, bank_account
from sakk.flow import payout as payouts
from sakk.flow.bank_account import AccountRequest
from sakk.flow.bank_file import bank_stages
from sakk.flow.book import Books, PostingSet
from sakk.flow.context import Parts
from sakk.flow.decide import decide_stage
from sakk.flow.post import post_stage
from sakk.flow.stage import Stage
from sakk.rails.bank.camt053 import Entry, Statement, write_camt053
from sakk.rails.bank.folder import Folder
from sakk.rails.evm.rail import EvmRail
from sakk.rails.evm.rpc import Call
from sakk.store import account as accounts
from sakk.store import address, network
from sakk.store import bank_account as bank_accounts
from sakk.store import policy as policies
from sakk.store.bank_statement import bank_lines
from sakk.store.database import Database, insert_records
from sakk.store.identity import new_id
from sakk.store.network import Block
from sakk.store.payin import payins
from sakk.store.vault import KEY_BYTES, Vault

MERCHANTS: Final = 1_000
DAYS: Final = 30
# An order, and a pay-in at the bank, of so many has an error.
ERROR_EVERY: Final = 41
AT_BANK: Final = ("missing", "doubled", "wrong", "swapped", "unordered")
UNIT: Final = "test/eur"
IBAN: Final = "DE89370400440532013000"
ANOTHER_IBAN: Final = "NL91ABNA0417164300"
OPENING: Final = 10_000_000
COINS: Final = 25_000_000
BANKED: Final = 5_000
SENT: Final = 1_000
CONFIRMATIONS: Final = 2
HEIGHT: Final = 1_000
TOO_MANY_COINS: Final = 7_000_000
STRAY: Final = 330
ROWS_ALTERED: Final = 3
# Orders without a line are looked into after five days.
PATIENCE: Final = timedelta(days=7)


Say = Callable[[str], None]


@dataclass(slots=True)
class Chain:
    """A node that knows what each address holds of one coin; `balances` asks nothing else."""

    held: dict[str, int] = field(default_factory=dict)

    @property
    def rpc(self) -> "Chain":
        return self

    def call(self, method: str, params: Sequence[Any], result: type[Any]) -> Any:
        # No contract stands here: balances are asked one by one.
        assert method == "eth_getCode", method
        return result("0x")

    def batch_each(self, calls: Sequence[Call], result: type[Any]) -> list[Any]:
        return [result(self._held(each)) for each in calls]

    def _held(self, call: Call) -> str:
        if call.method == "eth_getBalance":
            return "0x0"
        units = self.held.get("0x" + call.params[0]["data"][-40:], 0)
        return f"0x{units:064x}"


@dataclass
class Office:
    """A Sakk without processes, on a clock of its own, and what was put into it."""

    database: Database
    books: Books
    directory: Path
    chain: Chain
    now: datetime
    own: BankAccount | None = None
    merchants: list[str] = field(default_factory=list)
    references: dict[str, str] = field(default_factory=dict)
    payees: dict[str, str] = field(default_factory=dict)
    # The bank's own books: how many statements there are, and what is in the account.
    statements: int = 0
    balance: int = OPENING
    suspended: int = 0
    strays: list[str] = field(default_factory=list)
    altered: list[str] = field(default_factory=list)
    errors: dict[str, str] = field(default_factory=dict)
    unordered: int = 0

    @property
    def parts(self) -> Parts:
        return Parts(
            self.database,
            ledger_books=self.books,
            vault=Vault(bytes(KEY_BYTES)),
            rail=lambda _: cast(EvmRail, self.chain),
            banks=lambda account: Folder(self._place(account), quiet_seconds=0.0),
            clock=lambda: self.now,
        )

    def _place(self, account: BankAccount) -> Path:
        assert account.terms is not None
        return self.directory / read_terms(account.terms).folder

    @property
    def place(self) -> Path:
        """Where the bank takes files, and leaves its own."""
        assert self.own is not None
        return self._place(self.own)

    @cached_property
    def stages(self) -> list[Stage]:
        """What a worker runs of it, as one: names are read once."""
        return [decide_stage(self.parts), *bank_stages(self.parts)]


def open_office(office: Office, merchants: int) -> None:
    """The operator with an account at a bank, and merchants with addresses, references, payees."""
    configure_network(office.database)
    moment = office.now
    with office.database.begin() as connection:
        account.create(
            connection,
            account_id=new_id("acct"),
            livemode=False,
            now=moment,
            kind=AccountKind.operator,
        )
        policies.insert(connection, _policy(moment))
        office.own = bank_account.create(
            connection,
            AccountRequest(
                holder="Sakk Operator",
                currency="eur",
                iban=IBAN,
                terms=BankTerms(folder="bank", calendar=None),
                opening_units=OPENING,
            ),
            identifier=new_id("ba"),
            account_id=None,
            livemode=False,
            now=moment,
        )
        # As a second person leaves it.
        bank_accounts.approve(connection, office.own.id, now=moment)
    office.merchants = [new_id("acct") for _ in range(merchants)]
    for group in in_groups(office.merchants):
        with office.database.begin() as connection:
            insert_records(
                connection, accounts.accounts, [merchant(each, moment) for each in group]
            )
            for each in group:
                made, _ = bank_account.create_reference(
                    connection,
                    identifier=new_id("bref"),
                    bank_account=None,
                    currency="eur",
                    account_id=each,
                    livemode=False,
                    metadata=None,
                    now=moment,
                )
                office.references[each] = made.reference
                payee = bank_account.create(
                    connection,
                    AccountRequest(holder="Anna Payee", currency="eur", iban=_iban(each)),
                    identifier=new_id("ba"),
                    account_id=each,
                    livemode=False,
                    now=moment,
                )
                office.payees[each] = payee.id


def _policy(moment: datetime) -> PolicyVersion:
    """What is asked for goes: nobody waits for people here."""
    rules = [Rule(name="all", action=Action.allow)]
    return PolicyVersion(
        id=new_id(policy.PREFIX),
        livemode=False,
        number=1,
        state=VersionState.active.value,
        rules=policy.rules_document(rules),
        digest=policy.rules_digest(rules),
        note=None,
        base=None,
        proposed_by=None,
        decided_by=None,
        created=moment,
        activated_at=moment,
        closed_at=None,
    )


def _iban(of: str) -> str:
    """An account of its own for each, with the check digits of ISO 13616."""
    number = int.from_bytes(of.encode()[-8:], "big") % 10**10
    bban = f"37040044{number:010d}"
    return f"DE{98 - int(bban + '131400') % 97:02d}{bban}"


def post_payins(office: Office) -> None:
    """A pay-in of each merchant at an address of its own, posted by its stage."""
    moment = office.now
    tip = _block(HEIGHT)
    asset = caip.erc20_asset(NETWORK, TOKEN)
    rows = [_payin(each, asset, moment) for each in office.merchants]
    with office.database.begin() as connection:
        network.insert_blocks(connection, [_block(HEIGHT - CONFIRMATIONS), tip])
        place = {"block_number": tip.number, "block_hash": tip.hash, "network": NETWORK}
        connection.execute(network.cursors.delete())
        connection.execute(
            network.cursors.insert(),
            {**place, "block_timestamp": tip.timestamp, "head_number": tip.number},
        )
    for group in in_groups(rows):
        with office.database.begin() as connection:
            connection.execute(address.addresses.insert(), [_address(row, moment) for row in group])
            insert_records(connection, payins, group)
    stage = post_stage(office.parts)
    while stage.run():
        pass
    office.chain.held = {row.address: row.token_amount for row in rows}


def _payin(merchant: str, asset: str, moment: datetime) -> PayIn:
    return PayIn(
        id=new_id("pin"),
        account_id=merchant,
        livemode=False,
        network=NETWORK,
        asset=asset,
        contract=TOKEN,
        currency="usdc",
        decimals=6,
        token_amount=COINS,
        amount=COINS,
        address="0x" + merchant.encode()[-20:].hex(),
        sender="0x" + "11" * 20,
        tx_hash="0x" + merchant.encode()[-16:].hex().rjust(64, "0"),
        log_index=0,
        block_number=HEIGHT - 2 * CONFIRMATIONS,
        block_hash="0x" + "22" * 32,
        block_timestamp=int(moment.timestamp()),
        status=PayInStatus.screened.value,
        role="receiving",
        credit_units=COINS,
        suspense_units=0,
        screened_at=moment,
        created=moment,
    )


def _address(row: PayIn, moment: datetime) -> dict[str, Any]:
    return {
        "id": new_id("addr"),
        "family": "eip155",
        "address": row.address,
        "purpose": "receiving",
        "key_index": int(row.address[2:18], 16) % 2**31,
        "account_id": row.account_id,
        "livemode": False,
        "created": moment,
    }


def _block(number: int) -> Block:
    return Block(NETWORK, f"0x{number:064x}", number, f"0x{number - 1:064x}", number, True)


def live(office: Office, month_days: int, error_every: int, say: Say) -> None:
    """Day by day: money comes in at the bank, and a while later goes out again."""
    chance = random.Random(7)
    per_day = [office.merchants[first::month_days] for first in range(month_days)]
    number = 0
    for day, paid in enumerate(per_day):
        entries = [
            _entry(office, BANKED + chance.randrange(100), told=office.references[each])
            for each in paid
        ]
        if day % 7 == 3:
            # Of nobody that is known: it waits in suspense.
            entries.append(_entry(office, 777, told="no reference"))
            office.suspended += 777
        _statement(office, entries)
        _work(office)
        for each in paid:
            _pay_out(office, each)
        _work(office)
        entries = []
        for order in _orders(office):
            error = AT_BANK[number // error_every % len(AT_BANK)]
            entries += _answered(office, order, error if number % error_every == 0 else "")
            number += 1
        _statement(office, entries)
        _work(office)
        office.now += timedelta(days=1)
        if day % 10 == 9:
            say(f"{day + 1} days, {number:,} payouts")
    # Booked twice under a line that is there once.
    with office.database.begin() as connection:
        first = select(bank_lines.c.id).order_by(bank_lines.c.id).limit(1)
        line = connection.execute(first).scalar_one()
    stray = PostingSet(line, "again", 0, [stray_posting(office)])
    if not office.books.post([stray])[0].booked:
        raise WrongResult("the ledger refused the posting that no line is of")
    office.strays.append(f"{stray.transfer_id(0):032x}")


def stray_posting(office: Office) -> Posting:
    assert office.own is not None
    own = chart.equity_operator(UNIT)
    return Posting(chart.bank(office.own.id, UNIT), own, STRAY, TransferCode.bank_opened)


def _pay_out(office: Office, merchant: str) -> None:
    request = PayoutRequest(
        amount=SENT, currency="eur", destination=Wanted(bank_account=office.payees[merchant])
    )
    payouts.create(
        office.parts, request, identifier=new_id("po"), account_id=merchant, livemode=False
    ).run(office.database)


def _work(office: Office) -> None:
    """Every stage in turn, until nothing moves."""
    moved = 1
    stages = office.stages
    while moved:
        office.now += timedelta(seconds=3)
        moved = sum(each.run() for each in stages if each.name != "bank.order")
        moved += next(each for each in stages if each.name == "bank.order").run()


@dataclass(frozen=True, slots=True)
class _Order:
    name: str
    units: int
    account: str


def _orders(office: Office) -> Iterator[_Order]:
    """What the files say that the bank was put out; it takes them."""
    for path in sorted((office.place / "out").glob("*.xml")):
        for each in ElementTree.parse(path).iter():
            if each.tag.endswith("}CdtTrfTxInf"):
                words = {part.tag.rpartition("}")[2]: part.text or "" for part in each.iter()}
                units = round(float(words["InstdAmt"]) * 100)
                yield _Order(words["EndToEndId"], units, words["IBAN"])
        path.unlink()


def _answered(office: Office, order: _Order, error: str) -> list[Entry]:
    """The lines of an order, with an error or none; what should be found is written down."""
    right = _entry(office, -order.units, name=order.name, account=order.account)
    if error and error != "unordered":
        office.errors[order.name] = error
    match error:
        case "missing":
            return []
        case "doubled":
            office.suspended -= order.units
            return [right, replace(right, reference=f"{right.reference}-2")]
        case "wrong":
            office.suspended -= order.units - 1
            return [replace(right, units=right.units + 1)]
        case "swapped":
            return [replace(right, account=ANOTHER_IBAN)]
        case "unordered":
            office.unordered += 1
            office.suspended -= 55
            stranger = f"STRANGER{office.unordered}"
            return [right, _entry(office, -55, name=stranger, account=ANOTHER_IBAN)]
        case _:
            return [right]


def _entry(
    office: Office, units: int, *, name: str | None = None, account: str = "", told: str = ""
) -> Entry:
    return Entry(
        units=units,
        booked=office.now.date(),
        reference=new_id("bl"),
        code="PMNT",
        end_to_end_id=name,
        name="Anna Payee" if units < 0 else "Payer",
        account=account or "FR7630006000011234567890189",
        remittance=told or None,
    )


def _statement(office: Office, entries: Sequence[Entry]) -> None:
    """The bank leaves the statement of a day."""
    office.statements += 1
    closing = office.balance + sum(each.units for each in entries)
    today: date = office.now.date()
    statement = Statement(
        id=f"S{office.statements}",
        number=office.statements,
        created=office.now,
        account=IBAN,
        is_iban=True,
        holder="Sakk Operator",
        currency="eur",
        decimals=2,
        opening=office.balance,
        closing=closing,
        opened=today,
        closed=today,
    )
    office.balance = closing
    place = office.place / "in"
    place.mkdir(parents=True, exist_ok=True)
    (place / f"{office.statements:05d}.xml").write_bytes(write_camt053(statement, entries))


def tamper(office: Office) -> None:
    """Rows that say something else than their transfers, and coins that nobody booked."""
    with office.database.begin() as connection:
        for table, column in (("payins", "amount"), ("payouts", "amount")):
            found = connection.execute(
                text(
                    f"UPDATE {table} SET {column} = {column} + 1 WHERE id IN (SELECT id FROM"
                    f" {table} WHERE status = 'posted' ORDER BY id LIMIT :count) RETURNING id"
                ),
                {"count": ROWS_ALTERED},
            )
            office.altered += list(found.scalars())
    first = next(iter(office.chain.held))
    office.chain.held[first] += TOO_MANY_COINS
