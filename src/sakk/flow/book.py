"""The books: postings of the pure rules become linked ledger transfers with ids of their own.

A transfer's id is a hash of (row, step, leg, attempt): posting twice is posting once. ``attempt``
rises only after a journalled refusal, never after an outcome that is not known.
"""

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sakk.core import ids
from sakk.core.chart import LedgerAccount, TransferCode
from sakk.core.errors import Misconfigured
from sakk.core.ledger import account_id, transfer_id, unit_id
from sakk.core.posting import Posting
from sakk.ledger.types import (
    BATCH_MAX,
    Account,
    AccountFlags,
    CreateTransferStatus,
    Ledger,
    Transfer,
    TransferFlags,
)
from sakk.store.database import Database
from sakk.store.failpoint import failpoint
from sakk.store.ledger import AccountName, remember_accounts

AMOUNT_WHOLE = (1 << 128) - 1
# Holds are of one leg each: so many go to the ledger, and to its journal, at once.
HOLDS_MAX = BATCH_MAX


@dataclass(frozen=True, slots=True)
class PostingSet:
    """Movements that happen together or not at all, for one step of one row.

    ``instead_of``: a hold that is voided with them, so that nobody else takes what it held.
    """

    row_id: str
    step: str
    attempt: int
    postings: Sequence[Posting]
    flags: TransferFlags = TransferFlags.none
    instead_of: "PostingSet | None" = None

    def transfer_id(self, leg: int) -> int:
        return transfer_id(self.row_id, self.step, leg=leg, attempt=self.attempt)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the ledger said of a set. ``refusal`` is the first leg's own reason, None if booked;
    ``refused`` is that leg."""

    refusal: CreateTransferStatus | None
    refused: Posting | None = None

    @property
    def booked(self) -> bool:
        return self.refusal is None

    @property
    def transient(self) -> bool:
        return self.refusal is not None and self.refusal.transient


class Standing(NamedTuple):
    """An account's credits less its debits, holds already taken off; and what is held."""

    free: int
    held: int


class Books:
    """Posts to the ledger by the chart's names; opens an account the first time it is named."""

    def __init__(self, database: Database, ledger: Ledger) -> None:
        self._database = database
        self._ledger = ledger
        self._open: set[str] = set()
        self._lock = threading.Lock()

    @property
    def ledger(self) -> Ledger:
        return self._ledger

    def post(self, sets: Sequence[PostingSet]) -> list[Outcome]:
        """Book many sets, each all or none, durable when this returns; one outcome a set.

        Raises ``OutcomeUnknown`` or ``Unavailable`` when the ledger could not be asked: the same
        sets are then posted again, under the same ids.
        """
        self._ensure_open(
            account for each in sets for leg in each.postings for account in (leg.debit, leg.credit)
        )
        outcomes: list[Outcome] = []
        batch: list[Transfer] = []
        members: list[PostingSet] = []
        for each in sets:
            legs = _transfers(each)
            if batch and len(batch) + len(legs) > BATCH_MAX:
                outcomes += self._submit(members, batch)
                batch, members = [], []
            batch += legs
            members.append(each)
        return outcomes + self._submit(members, batch)

    def settle_hold(self, hold: PostingSet, *, step: str, attempt: int, void: bool) -> Outcome:
        """Post the whole of a pending set's first leg, or void it."""
        return self.settle_holds([(hold, attempt)], step=step, void=void)[0]

    def settle_holds(
        self, holds: Sequence[tuple[PostingSet, int]], *, step: str, void: bool
    ) -> list[Outcome]:
        """Settle many holds, each for itself, given with the attempt; one outcome a hold."""
        flag = TransferFlags.void_pending if void else TransferFlags.post_pending
        outcomes: list[Outcome] = []
        for first in range(0, len(holds), BATCH_MAX):
            results = self._ledger.create_transfers(
                [
                    _settling(hold, transfer_id(hold.row_id, step, leg=0, attempt=attempt), flag)
                    for hold, attempt in holds[first : first + BATCH_MAX]
                ]
            )
            outcomes += [Outcome(None if each.status.accepted else each.status) for each in results]
        return outcomes

    def open(self, accounts: Sequence[LedgerAccount]) -> None:
        """Have accounts there for who posts by their ids alone."""
        self._ensure_open(accounts)

    def freeze(
        self,
        account: LedgerAccount,
        beside: LedgerAccount,
        *,
        row_id: str,
        step: str,
        code: TransferCode = TransferCode.channel_closed,
    ) -> None:
        """Nothing is posted to an account any more: a hold of nothing closes it for good."""
        [result] = self._ledger.create_transfers(
            [
                Transfer(
                    id=transfer_id(row_id, step, leg=0, attempt=0),
                    debit_account_id=account_id(account.name),
                    credit_account_id=account_id(beside.name),
                    amount=0,
                    unit=unit_id(account.unit),
                    code=int(code),
                    flags=TransferFlags.pending | TransferFlags.closing_debit,
                    user_data=ids.decode(row_id)[1],
                )
            ]
        )
        assert result.status.accepted, f"{account.name} can not be frozen: {result.status.name}"

    def totals(self, accounts: Sequence[LedgerAccount]) -> list[tuple[int, int]]:
        """What each account was ever credited and debited, holds counted as debits."""
        found = self._found(accounts)
        return [
            (0, 0)
            if account is None
            else (account.credits_posted, account.debits_posted + account.debits_pending)
            for account in found
        ]

    def amount_moved(self, transfer_id: int) -> int:
        """What a balancing transfer really moved; 0 if it does not exist."""
        return self.amounts_moved([transfer_id])[0]

    def amounts_moved(self, transfer_ids: Sequence[int]) -> list[int]:
        """What transfers really moved; 0 for one that does not exist."""
        found: list[int] = []
        for first in range(0, len(transfer_ids), BATCH_MAX):
            looked_up = self._ledger.lookup_transfers(transfer_ids[first : first + BATCH_MAX])
            found += [0 if each is None else each.amount for each in looked_up]
        return found

    def standings(self, accounts: Sequence[LedgerAccount]) -> list[Standing]:
        """What of each account's credits is free, and what is reserved; nothing where it is not."""
        found = self._found(accounts)
        return [
            Standing(0, 0)
            if account is None
            else Standing(
                account.credits_posted - account.debits_posted - account.debits_pending,
                account.debits_pending,
            )
            for account in found
        ]

    def balances(self, accounts: Sequence[LedgerAccount]) -> list[int]:
        """Credits less debits of each account: what is owed, holds already taken off."""
        return [standing.free for standing in self.standings(accounts)]

    def _found(self, accounts: Sequence[LedgerAccount]) -> list[Account | None]:
        """Each account as it stands; of more than a batch not all at one moment."""
        wanted = [account_id(each.name) for each in accounts]
        found: list[Account | None] = []
        for first in range(0, len(wanted), BATCH_MAX):
            found += self._ledger.lookup_accounts(wanted[first : first + BATCH_MAX])
        return found

    def _submit(self, members: list[PostingSet], batch: list[Transfer]) -> list[Outcome]:
        if not batch:
            return [Outcome(None) for _ in members]
        results = self._ledger.create_transfers(batch)
        outcomes: list[Outcome] = []
        position = 0
        for each in members:
            legs = len(each.postings) + (each.instead_of is not None)
            statuses = [result.status for result in results[position : position + legs]]
            position += legs
            outcomes.append(_outcome(each, statuses))
        return outcomes

    def _ensure_open(self, accounts: Iterable[LedgerAccount]) -> None:
        missing = {account.name: account for account in accounts if account.name not in self._open}
        if not missing:
            return
        with self._lock, self._database.begin() as connection:
            remember_accounts(connection, [_account_name(account) for account in missing.values()])
        failpoint("account.open.before")
        results = self._ledger.create_accounts([_account(each) for each in missing.values()])
        failpoint("account.open.after")
        for account, result in zip(missing.values(), results, strict=True):
            if not result.status.accepted:
                raise Misconfigured(
                    f"The ledger refuses to open {account.name}: {result.status.name}. "
                    "Its flags or unit differ from what the chart says now."
                )
        self._open.update(missing)


def _transfers(each: PostingSet) -> list[Transfer]:
    row = ids.decode(each.row_id)[1]
    last = len(each.postings) - 1
    first = []
    if each.instead_of is not None:
        name = transfer_id(each.row_id, f"{each.step}.instead", leg=0, attempt=each.attempt)
        void = TransferFlags.void_pending | TransferFlags.linked
        first.append(_settling(each.instead_of, name, void))
    return first + [
        Transfer(
            id=each.transfer_id(leg),
            debit_account_id=account_id(posting.debit.name),
            credit_account_id=account_id(posting.credit.name),
            amount=posting.amount,
            unit=unit_id(posting.debit.unit),
            code=int(posting.code),
            flags=each.flags | (TransferFlags.linked if leg < last else TransferFlags.none),
            user_data=row,
        )
        for leg, posting in enumerate(each.postings)
    ]


def _settling(hold: PostingSet, name: int, flags: TransferFlags) -> Transfer:
    """A transfer that posts the whole of a hold's first leg, or voids it."""
    return Transfer(
        id=name,
        debit_account_id=0,
        credit_account_id=0,
        amount=0 if flags & TransferFlags.void_pending else AMOUNT_WHOLE,
        unit=0,
        code=0,
        flags=flags,
        pending_id=hold.transfer_id(0),
        user_data=ids.decode(hold.row_id)[1],
    )


def _outcome(each: PostingSet, statuses: list[CreateTransferStatus]) -> Outcome:
    """With the reason of the leg that broke the chain, not of the legs which fell with it."""
    refused = [leg for leg, status in enumerate(statuses) if not status.accepted]
    if not refused:
        return Outcome(None)
    fell = CreateTransferStatus.linked_event_failed
    leg = next((leg for leg in refused if statuses[leg] is not fell), refused[0])
    first = [] if each.instead_of is None else list(each.instead_of.postings)
    return Outcome(statuses[leg], [*first, *each.postings][leg])


def _account(account: LedgerAccount) -> Account:
    flags = AccountFlags.none
    if account.debits_must_not_exceed_credits:
        flags |= AccountFlags.debits_must_not_exceed_credits
    return Account(
        id=account_id(account.name),
        unit=unit_id(account.unit),
        code=int(account.code),
        flags=flags,
    )


def _account_name(account: LedgerAccount) -> AccountName:
    return AccountName(
        id=account_id(account.name),
        name=account.name,
        unit=account.unit,
        unit_id=unit_id(account.unit),
        code=int(account.code),
        account=account.owner,
    )
