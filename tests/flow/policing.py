"""Payouts that stand before the policy, without the chain and the ledger around them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from sqlalchemy import select

from sakk.core import ids
from sakk.core.payout import HoldStatus, Payout, PayoutStatus
from sakk.core.policy import (
    PREFIX,
    PolicyVersion,
    Rule,
    VersionState,
    rules_digest,
    rules_document,
)
from sakk.flow.context import Parts
from sakk.flow.decide import decide_stage
from sakk.store import event as events
from sakk.store import payout as payouts
from sakk.store import policy as policies
from sakk.store.database import Database, fetch_all, insert_records
from sakk.store.identity import new_id
from sakk.store.policy import policies as versions

NETWORK = "eip155:84532"
ASSET = f"{NETWORK}/erc20:0x036cbd53842c5426634e7929541ec2318f3dcf7e"
ACME = "0x8ba1f109551bd432803012645ac136ddd64dba72"
WHOLE = 10**6
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class Desk:
    """A database, the stage that decides, and a clock that a test moves."""

    database: Database
    account: str
    now: datetime = BEGIN
    # Ids follow one another, though two are made in one millisecond.
    order: Iterator[int] = field(default_factory=lambda: count(1))

    @property
    def parts(self) -> Parts:
        return Parts(self.database, clock=lambda: self.now)

    def advance(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    def enact(self, *rules: Rule, livemode: bool = False) -> PolicyVersion:
        """Put rules in force, as two people would."""
        with self.database.begin() as connection:
            before = policies.find_active(connection, livemode=livemode)
            if before is not None:
                policies.close(
                    connection, before.id, VersionState.superseded, by=None, now=self.now
                )
            version = PolicyVersion(
                id=new_id(PREFIX),
                livemode=livemode,
                number=policies.next_number(connection, livemode=livemode),
                state=VersionState.active.value,
                rules=rules_document(rules),
                digest=rules_digest(rules),
                note=None,
                base=None,
                proposed_by=None,
                decided_by=None,
                created=self.now,
                activated_at=self.now,
                closed_at=None,
            )
            policies.insert(connection, version)
        return version

    def payout(self, whole: int, **changes: Any) -> Payout:
        """A payout that was screened and waits for the policy."""
        return self.payouts([whole], **changes)[0]

    def payouts(self, wholes: Sequence[int], **changes: Any) -> list[Payout]:
        known: dict[str, Any] = {
            "account_id": self.account,
            "livemode": False,
            "fee": 0,
            "currency": "usdc",
            "decimals": 6,
            "network": NETWORK,
            "asset": ASSET,
            "destination": ACME,
            "fee_mode": "sender",
            "status": PayoutStatus.screened.value,
            "hold": HoldStatus.held.value,
            "metadata": {},
            "created": self.now,
        }
        rows = [
            Payout(
                **(known | changes),
                id=ids.encode("po", ids.uuid7(now_ms=next(self.order), random=bytes(10))),
                amount=whole * WHOLE,
                token_amount=whole * WHOLE,
            )
            for whole in wholes
        ]
        with self.database.begin() as connection:
            insert_records(connection, payouts.payouts, rows)
        return rows

    def decide(self) -> int:
        """Run the stage once."""
        return decide_stage(self.parts).run()

    def read(self, row: Payout) -> Payout:
        """A payout's row as it stands."""
        with self.database.begin() as connection:
            found = payouts.find(connection, row.id, account_id=None, livemode=row.livemode)
        assert found is not None
        return found

    def statuses(self) -> list[str]:
        """Every payout's status, in their order."""
        statement = select(payouts.payouts).order_by(payouts.payouts.c.id)
        with self.database.begin() as connection:
            return [row.status for row in fetch_all(connection, statement, Payout)]

    def told(self, row: Payout) -> list[str]:
        """The events about a payout, in their order."""
        with self.database.begin() as connection:
            found = connection.execute(
                select(events.events.c.type)
                .where(events.events.c.object_id == row.id)
                .order_by(events.events.c.id)
            )
            return [str(name) for (name,) in found]

    def versions(self) -> list[tuple[int, str]]:
        """Number and state of every version of test money, oldest first."""
        with self.database.begin() as connection:
            found = connection.execute(
                select(versions.c.number, versions.c.state)
                .where(~versions.c.livemode)
                .order_by(versions.c.number)
            )
            return [(row.number, row.state) for row in found]
