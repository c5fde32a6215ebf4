"""Reading the ledger for the operator: its own accounts and transfers, and those of the chart.

What a caller may name is a UUID of its own in its key's mode, or an id of the chart, which is
visible in the mode of its unit. What belongs to the other mode is not there.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from sakk.core.chart import currency_of_unit
from sakk.core.ledger import (
    LEDGER_MAX,
    OPERATOR_BIT,
    TEST_BIT,
    is_charts,
    is_uuid,
    ledger_of_unit,
    shown_id,
    stored_id,
)
from sakk.flow.context import Parts
from sakk.ledger.types import Account, AccountFlags, Transfer, TransferFlags, TransferResult
from sakk.store.ledger import (
    AccountName,
    Entry,
    LedgerAccount,
    LedgerTransfer,
    account_names,
)
from sakk.store.network import list_networks

Document = dict[str, Any]
NANOSECONDS = 1_000_000_000


def known_id(identifier: int, *, livemode: bool) -> int:
    """The ledger's id behind one that a caller names; 0, which nothing has, if it is neither's."""
    if is_charts(identifier) or is_uuid(identifier):
        return stored_id(identifier, livemode=livemode)
    return 0


def unit_bounds(*, livemode: bool) -> tuple[int, int]:
    """The first and the last unit of the operator's own ledgers in a mode."""
    first = OPERATOR_BIT | (0 if livemode else TEST_BIT)
    return first, first | LEDGER_MAX


def find_accounts(parts: Parts, ids: Sequence[int], *, livemode: bool) -> list[Document | None]:
    """Accounts as they are now, in the order of the ids; None where there is none in this mode."""
    stored = [known_id(identifier, livemode=livemode) for identifier in ids]
    found = parts.books.ledger.lookup_accounts(stored)
    names = _visible_names(parts, [each for each in found if each is not None], livemode=livemode)
    return [
        public_account(each, names.get(each.id), livemode=livemode)
        if each is not None and _is_visible(each.id, each.id, names)
        else None
        for each in found
    ]


def find_transfers(parts: Parts, ids: Sequence[int], *, livemode: bool) -> list[Document | None]:
    """Transfers as they took effect, in the order of the ids; None where there is none here."""
    found = stored_transfers(parts, ids, livemode=livemode)
    return [None if each is None else public_transfer(each, livemode=livemode) for each in found]


def stored_transfers(parts: Parts, ids: Sequence[int], *, livemode: bool) -> list[Transfer | None]:
    """The ledger's transfers behind a caller's ids; None where there is none in this mode."""
    stored = [known_id(identifier, livemode=livemode) for identifier in ids]
    found = parts.books.ledger.lookup_transfers(stored)
    # A transfer of the chart is of the mode of its accounts.
    accounts = [
        Account(each.debit_account_id, each.unit, each.code) for each in found if each is not None
    ]
    names = _visible_names(parts, accounts, livemode=livemode)
    return [
        each if each is not None and _is_visible(each.id, each.debit_account_id, names) else None
        for each in found
    ]


def find_results(
    parts: Parts, ids: Sequence[int], *, livemode: bool
) -> list[TransferResult | None]:
    """What became of transfer ids of the caller's own; None for one that was never seen."""
    own = [
        stored_id(identifier, livemode=livemode) if is_uuid(identifier) else 0 for identifier in ids
    ]
    return parts.books.ledger.lookup_results(own)


def _is_visible(identifier: int, account_id: int, names: Mapping[int, AccountName]) -> bool:
    return not is_charts(identifier) or account_id in names


def _visible_names(
    parts: Parts, accounts: Iterable[Account], *, livemode: bool
) -> dict[int, AccountName]:
    """The chart's names behind account ids, as far as they are of this mode."""
    ids = sorted({each.id for each in accounts if is_charts(each.id)})
    if not ids:
        return {}
    with parts.database.begin() as connection:
        names = account_names(connection, ids)
        networks = _networks(connection, livemode=livemode)
    return {
        identifier: name
        for identifier, name in names.items()
        if _is_of_mode(name.unit, networks, livemode=livemode)
    }


def _networks(connection: Connection, *, livemode: bool) -> set[str]:
    return {each.network for each in list_networks(connection, livemode=livemode)}


def _is_of_mode(unit: str, networks: set[str], *, livemode: bool) -> bool:
    """A currency's unit names its mode; an asset's is that of its network."""
    if ":" in unit:
        return unit.partition("/")[0] in networks
    return currency_of_unit(unit)[1] == livemode


def public_account(account: Account, name: AccountName | None, *, livemode: bool) -> Document:
    """The API's object ``ledger.account``."""
    return {
        "id": _id(account.id),
        "object": "ledger.account",
        "code": account.code,
        "created": account.timestamp // NANOSECONDS,
        "credits_pending": account.credits_pending,
        "credits_posted": account.credits_posted,
        "debits_pending": account.debits_pending,
        "debits_posted": account.debits_posted,
        "flags": [each.name for each in AccountFlags if each & account.flags],
        "ledger": ledger_of_unit(account.unit),
        "livemode": livemode,
        "metadata": {},
        "name": None if name is None else name.name,
        "timestamp": account.timestamp,
        "user_data": _optional(account.user_data),
    }


def public_transfer(transfer: Transfer, *, livemode: bool) -> Document:
    """The API's object ``ledger.transfer``."""
    return {
        "id": _id(transfer.id),
        "object": "ledger.transfer",
        "amount": transfer.amount,
        "code": transfer.code,
        "created": transfer.timestamp // NANOSECONDS,
        "credit_account_id": _id(transfer.credit_account_id),
        "debit_account_id": _id(transfer.debit_account_id),
        "effective_at": transfer.effective_at or transfer.timestamp,
        "flags": [each.name for each in TransferFlags if each & transfer.flags],
        "ledger": ledger_of_unit(transfer.unit),
        "livemode": livemode,
        "metadata": {},
        "pending_id": _id(transfer.pending_id) if transfer.pending_id else None,
        "timeout_seconds": transfer.timeout_seconds,
        "timestamp": transfer.timestamp,
        "user_data": _optional(transfer.user_data),
    }


def public_projected(row: LedgerTransfer, *, livemode: bool) -> Document:
    """The same object from the projection's row, which may trail the ledger by a moment."""
    transfer = Transfer(
        id=row.id.int,
        debit_account_id=row.debit_account_id.int,
        credit_account_id=row.credit_account_id.int,
        amount=row.amount,
        unit=row.unit,
        code=row.code,
        flags=TransferFlags(row.flags),
        pending_id=0 if row.pending_id is None else row.pending_id.int,
        timeout_seconds=row.timeout_seconds,
        user_data=row.user_data.int,
        effective_at=row.effective_at_ns,
        timestamp=row.timestamp_ns,
    )
    return public_transfer(transfer, livemode=livemode)


def public_projected_account(row: LedgerAccount, *, livemode: bool) -> Document:
    """The object ``ledger.account`` of the caller's own from the projection's row."""
    account = Account(
        id=row.id.int,
        unit=row.unit,
        code=row.code,
        flags=AccountFlags(row.flags),
        user_data=row.user_data.int,
        debits_pending=row.debits_pending,
        debits_posted=row.debits_posted,
        credits_pending=row.credits_pending,
        credits_posted=row.credits_posted,
        timestamp=row.timestamp_ns,
    )
    return public_account(account, None, livemode=livemode)


def public_entry(entry: Entry, *, livemode: bool) -> Document:
    """The API's object ``ledger.entry``: one side of a posted transfer, under the transfer's id."""
    return {
        "id": _id(entry.transfer_id.int),
        "object": "ledger.entry",
        "account": _id(entry.account_id.int),
        "amount": abs(entry.amount),
        "balance_after": entry.balance_after,
        "code": entry.code,
        "created": entry.timestamp_ns // NANOSECONDS,
        "direction": "debit" if entry.amount < 0 else "credit",
        "effective_at": entry.effective_at_ns,
        "livemode": livemode,
        "metadata": {},
        "timestamp": entry.timestamp_ns,
        "user_data": _optional(entry.user_data.int),
    }


def _id(identifier: int) -> str:
    return str(UUID(int=shown_id(identifier)))


def _optional(user_data: int) -> str | None:
    return str(UUID(int=user_data)) if user_data else None
