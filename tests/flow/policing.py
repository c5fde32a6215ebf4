"""Payouts that stand before the policy, without the chain and the ledger around them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pyotp
from sqlalchemy import select

from sakk.core import ids
from sakk.core.account import AccountKind
from sakk.core.api_key import token_hash
from sakk.core.approval import content_digest
from sakk.core.payout import HoldStatus, Payout, PayoutStatus, approved_content
from sakk.core.person import STEP_SECONDS, Actor, proposal_digest
from sakk.core.policy import (
    PREFIX,
    PolicyVersion,
    Rule,
    VersionState,
    rules_digest,
    rules_document,
)
from sakk.flow import approval, person
from sakk.flow.account import create as create_account
from sakk.flow.context import Parts
from sakk.flow.decide import decide_stage
from sakk.flow.step_up import StepUp
from sakk.flow.word import Word
from sakk.store import account as accounts
from sakk.store import api_key as api_keys
from sakk.store import event as events
from sakk.store import payout as payouts
from sakk.store import policy as policies
from sakk.store.database import Database, fetch_all, insert_records
from sakk.store.identity import new_id
from sakk.store.policy import policies as versions
from sakk.store.vault import KEY_BYTES, Vault

NETWORK = "eip155:84532"
ASSET = f"{NETWORK}/erc20:0x036cbd53842c5426634e7929541ec2318f3dcf7e"
ACME = "0x8ba1f109551bd432803012645ac136ddd64dba72"
WHOLE = 10**6
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
VAULT = Vault(bytes(KEY_BYTES))
OPERATOR_KEY = Actor("key_operator")


@dataclass
class Desk:
    """A database, the stage that decides, and a clock that a test moves."""

    database: Database
    account: str
    now: datetime = BEGIN
    # Ids follow one another, though two are made in one millisecond.
    order: Iterator[int] = field(default_factory=lambda: count(1))
    _admins: "tuple[Member, Member] | None" = None

    @property
    def parts(self) -> Parts:
        return Parts(self.database, vault=VAULT, clock=lambda: self.now)

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

    def admins(self, *, livemode: bool = False) -> tuple["Member", "Member"]:
        """The first two admins, with their second factors in force."""
        with self.database.begin() as connection:
            if accounts.find_operator(connection) is None:
                create_account(
                    connection,
                    account_id=new_id("acct"),
                    livemode=livemode,
                    now=self.now,
                    kind=AccountKind.operator,
                )
        return self.admin("ann", livemode=livemode), self.admin("ben", livemode=livemode)

    def admin(self, name: str, *, livemode: bool = False) -> "Member":
        made, token = person.bootstrap(
            self.parts, name=name, email=f"{name}@example.com", livemode=livemode
        )
        member = Member(self, made.person.id, made.secret, self.actor_of(token), token)
        member.confirm()
        return member

    def member(self, name: str, *roles: str) -> "Member":
        """One more person, proposed by one admin and approved by the other."""
        first, second = self._admins or self.admins()
        self._admins = (first, second)
        token, hashed = person.new_token(livemode=False)
        proposed = person.propose(
            self.parts,
            person.Introduction(name, f"{name}@example.com", list(roles), hashed, token[-4:]),
            identifier=new_id("per"),
            actor=first.actor,
            livemode=False,
        )
        word = Word(second.actor, StepUp(code=second.code()), proposal_digest(proposed))
        person.approve(self.parts, proposed.id, word, livemode=False)
        member = Member(self, proposed.id, "", self.actor_of(token), token)
        member.enrol()
        member.confirm()
        return member

    def actor_of(self, token: str) -> Actor:
        """Who a key stands for, as the door finds it."""
        with self.database.begin() as connection:
            principal = api_keys.find_principal(connection, token_hash(token))
        assert principal is not None
        return Actor(principal.key.id, principal.key.person)

    def approve(self, row: Payout, by: "Member | Actor", **word: Any) -> Payout:
        """One yes; a person gives a fresh code and the digest of what stands there."""
        return self._say(approval.approve, row, by, word)

    def reject(self, row: Payout, by: "Member | Actor", **word: Any) -> Payout:
        return self._say(approval.reject, row, by, word)

    def _say(self, decide: Any, row: Payout, by: "Member | Actor", word: dict[str, Any]) -> Payout:
        if isinstance(by, Member):
            if decide is approval.approve and "step_up" not in word:
                word["step_up"] = StepUp(code=by.code())
            word.setdefault("digest", content_digest(approved_content(row)))
        actor = by.actor if isinstance(by, Member) else by
        said: Payout = decide(
            self.parts,
            row.id,
            Word(actor, **word),
            approval_id=new_id("apr"),
            livemode=row.livemode,
        )
        return said

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


@dataclass
class Member:
    """A person, their device and their key."""

    desk: Desk
    id: str
    secret: str
    actor: Actor
    token: str

    def yes(self, digest: str, step_up: StepUp | None = None) -> Word:
        """A yes to what has this digest, with a fresh code."""
        return Word(self.actor, step_up or StepUp(code=self.code()), digest)

    def code(self) -> str:
        """The code of a step that was never used: time passes between two of them."""
        self.desk.advance(STEP_SECONDS)
        step = int(self.desk.now.timestamp()) // STEP_SECONDS
        return pyotp.TOTP(self.secret).generate_otp(step)

    def enrol(self, step_up: StepUp | None = None) -> None:
        made = person.enrol(
            self.desk.parts,
            self.id,
            actor=self.actor,
            livemode=False,
            step_up=step_up or StepUp(),
        )
        self.secret = made.secret

    def confirm(self) -> None:
        livemode = self.token.startswith("sk_live_")
        person.confirm(
            self.desk.parts, self.id, actor=self.actor, livemode=livemode, code=self.code()
        )
