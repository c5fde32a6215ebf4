"""A house without a chain, for what agents do with balances: the database, the ledger, two keys.

house.draft(total=5 * WHOLE)           # terms, as an owner means them
mandate = house.mandate(total=5 * WHOLE)   # signed, and in force
house.spend(mandate, WHOLE)            # a book transfer to the seller
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from eth_account import Account
from eth_account.signers.local import LocalAccount
from tests.core.test_mandate import numbers

from sakk.core import chart
from sakk.core import mandate as rules
from sakk.core import owner_key as owner_key_rules
from sakk.core.account import AccountKind
from sakk.core.chart import LedgerAccount, TransferCode
from sakk.core.mandate import Mandate, Terms
from sakk.core.mandate_spend import MandateSpend
from sakk.core.owner_key import OwnerKey
from sakk.core.posting import Posting
from sakk.core.spend import Payee
from sakk.flow import account as accounts
from sakk.flow import mandate, mandate_life, mandate_spend, owner_key
from sakk.flow.book import Books, PostingSet
from sakk.flow.context import Parts
from sakk.flow.mandate_spend import SpendRequest
from sakk.ledger.projection import Projector, wait_projected
from sakk.ledger.verify import verify
from sakk.ledger.writer import open_ledger
from sakk.store import event as events
from sakk.store.agreement import unnamed_transfers
from sakk.store.database import Database
from sakk.store.identity import new_id
from sakk.store.seed import seed_currencies

WHOLE = 1_000_000
UNIT = "test/usdc"
START = datetime(2026, 6, 1, tzinfo=UTC)
OWNER: LocalAccount = Account.from_key("0x" + "46" * 32)
AGENT: LocalAccount = Account.from_key("0x" + "47" * 32)
_salts = count(1)


class Clock:
    """Stands still until a test lets time pass."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    def pass_by(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@dataclass
class House:
    """``account`` pays, has 100 USDC and an owner's key; ``seller`` is paid, and has nothing."""

    parts: Parts
    clock: Clock
    account: str = field(init=False)
    seller: str = field(init=False)
    key: OwnerKey = field(init=False)

    def __post_init__(self) -> None:
        self.account, self.seller = self.open_account(), self.open_account()
        self.credit(self.account, 100 * WHOLE)
        self.key = self.register()

    def open_account(self, kind: AccountKind = AccountKind.merchant) -> str:
        with self.parts.database.begin() as connection:
            return accounts.create(
                connection,
                account_id=new_id("acct"),
                livemode=False,
                now=self.clock(),
                kind=kind,
            ).id

    def credit(self, account: str, units: int) -> None:
        """Money from the operator's own."""
        given = Posting(
            chart.equity_operator(UNIT),
            chart.merchant(account, "available", UNIT),
            units,
            TransferCode.book_transfer,
        )
        [outcome] = self.parts.books.post([PostingSet(new_id("tr"), "give", 0, [given])])
        assert outcome.booked

    def register(self, who: LocalAccount = OWNER, *, account: str | None = None) -> OwnerKey:
        of = account or self.account
        typed = owner_key_rules.typed_data(of, who.address.lower())
        with self.parts.database.begin() as connection:
            return owner_key.register(
                connection,
                who.address,
                who.sign_typed_data(full_message=typed).signature.hex(),
                name=None,
                identifier=new_id("ok"),
                account_id=of,
                livemode=False,
                now=self.clock(),
            )

    def terms(self, **values: Any) -> Terms:
        now = int(self.clock().timestamp())
        terms = Terms(
            account_id=self.account,
            livemode=False,
            owner=OWNER.address.lower(),
            agent=AGENT.address.lower(),
            currency="usdc",
            decimals=6,
            total=5 * WHOLE,
            starts_at=now,
            expires_at=now + 86_400,
            salt=f"0x{next(_salts):064x}",
        )
        return replace(terms, **values)

    def mandate(self, *, signer: LocalAccount = OWNER, **values: Any) -> Mandate:
        terms = rules.check_terms(self.terms(**values))
        return mandate_life.create(
            self.parts, terms, sign(signer, rules.typed_data(terms)), identifier=new_id("mnd")
        )

    def spend(
        self,
        of: Mandate,
        amount: int,
        *,
        reference: str | None = None,
        payee: Payee | None = None,
        **values: Any,
    ) -> MandateSpend:
        identifier = new_id("spn")
        return mandate_spend.create(
            self.parts,
            of.id,
            SpendRequest(
                reference=reference or identifier,
                amount=amount,
                payee=payee or Payee(account=self.seller),
                **values,
            ),
            identifier=identifier,
            account_id=self.account,
            livemode=False,
        )

    def revoke(self, of: Mandate) -> Mandate:
        return mandate_life.revoke(
            self.parts, of.id, by="key_1", account_id=self.account, livemode=False
        )

    def budgets(self, of: Mandate) -> dict[str, int]:
        """What is left of each standing budget, as the API shows it."""
        with self.parts.database.begin() as connection:
            found = mandate.find(connection, of.id, account_id=self.account, livemode=False)
        shown = mandate.public(self.parts, found)["budgets"]
        return {each["name"]: each["left"] for each in shown}

    def balance(self, account: str | None = None) -> int:
        return self.ledger(chart.merchant(account or self.account, "available", UNIT))

    def ledger(self, account: LedgerAccount) -> int:
        return self.parts.books.balances([account])[0]

    def told(self, about: str) -> list[str]:
        """The types of the events about an object, oldest first."""
        with self.parts.database.begin() as connection:
            found, _ = events.page(
                connection, account_id=self.account, livemode=False, limit=100, object_id=about
            )
        return [each.type for each in reversed(found)]

    def check(self, *, rows: bool = True) -> None:
        """The journal replays to what the ledger says, nothing is overdrawn, and what moved money
        has a row: all but what `give` made. Not where a test posts without rows (``rows``)."""
        wait_projected(self.parts.database.url)
        report = verify(self.parts.database.url)
        assert report.ok, report.breaks
        if not rows:
            return
        with self.parts.database.begin() as connection:
            unnamed = list(unnamed_transfers(connection, limit=1_000))
        given = f" on {chart.equity_operator(UNIT).name} "
        assert [each for each in unnamed if given not in each] == []


def sign(who: LocalAccount, typed: dict[str, Any]) -> str:
    return str(who.sign_typed_data(full_message=numbers(typed)).signature.hex())


@contextlib.contextmanager
def open_house(database: Database) -> Iterator[House]:
    """The first house of a database; ``House(house.parts, house.clock)`` is another."""
    with database.begin() as connection:
        seed_currencies(connection)
    projector = Projector(database.url, pace_seconds=0.0)
    ledger = open_ledger(database.url, on_append=projector.wake)
    clock = Clock()
    try:
        parts = Parts(database=database, ledger_books=Books(database, ledger), clock=clock)
        yield House(parts, clock)
    finally:
        ledger.close()
        projector.close()
