"""A machine at a bench: it speaks in accounts and transfers, and its state is compared whole."""

from typing import Any

from sakk.ledger.frozen import ENTRIES_A_PART, ENTRY, HEADER
from sakk.ledger.group import Kind, Request
from sakk.ledger.machine import Machine, Make, new_machine
from sakk.ledger.record import (
    account_results,
    decode_account,
    decode_id,
    decode_transfer,
    encode_accounts,
    encode_id,
    encode_transfers,
    transfer_results,
)
from sakk.ledger.rules import PENDING as PENDING_FLAG
from sakk.ledger.rules import Hold
from sakk.ledger.types import (
    AMOUNT_MAX,
    Account,
    AccountFlags,
    CreateAccountStatus,
    CreateTransferStatus,
    Transfer,
    TransferFlags,
)

SECOND = 1_000_000_000
S = CreateTransferStatus
A = CreateAccountStatus
LINKED, PENDING = TransferFlags.linked, TransferFlags.pending
POST, VOID = TransferFlags.post_pending, TransferFlags.void_pending
BALANCING_DEBIT, BALANCING_CREDIT = TransferFlags.balancing_debit, TransferFlags.balancing_credit
CLOSING_DEBIT, CLOSING_CREDIT = TransferFlags.closing_debit, TransferFlags.closing_credit


class Bench:
    """A machine with accounts: 1, 2 free; 3 may not overdraw (holds 100); 4 may not be overpaid
    (holds 100 of debits); 5 in another unit; 6 frozen; 7 nearly full; 8 refuses to overdraw and
    holds nothing. Transfer 500 is a hold of 40 from 3 to 2; 501 was posted, 502 voided, 503 ran
    out, 504 was moved at once, 505 runs out at the next event; 600 was refused."""

    make: Make | None = None  # which machine; a test that runs on each sets it

    def __init__(self) -> None:
        self.machine: Machine = new_machine(self.make)
        self.now = 1_000 * SECOND
        debit_limit = AccountFlags.debits_must_not_exceed_credits
        self.accounts(
            Account(1, unit=7, code=1),
            Account(2, unit=7, code=1),
            Account(3, unit=7, code=1, flags=debit_limit),
            Account(4, unit=7, code=1, flags=AccountFlags.credits_must_not_exceed_debits),
            Account(5, unit=8, code=1),
            Account(6, unit=7, code=1, flags=AccountFlags.frozen),
            Account(7, unit=7, code=1),
            Account(8, unit=7, code=1, flags=debit_limit),
            Account(9, unit=7, code=1),
        )
        setup = [
            move(400, 1, 3, 100),
            move(401, 4, 1, 100),
            move(402, 1, 7, AMOUNT_MAX - 300),
            move(500, 3, 2, 40, flags=PENDING, user_data=77),
            move(501, 1, 2, 10, flags=PENDING),
            move(502, 1, 2, 10, flags=PENDING),
            move(503, 1, 2, 10, flags=PENDING, timeout_seconds=1),
            move(504, 1, 2, 10),
            settle(511, POST, 501, 10),
            settle(512, VOID, 502, 0),
        ]
        assert set(self.transfers(*setup)) == {S.created}
        self.now += 2 * SECOND
        assert self.transfers(move(505, 1, 2, 10, flags=PENDING, timeout_seconds=1)) == [S.created]
        assert self.transfers(move(600, 8, 2, 1)) == [S.exceeds_credits]

    def accounts(self, *accounts: Account) -> list[CreateAccountStatus]:
        self.now += len(accounts) + 1
        request = Request(Kind.create_accounts, encode_accounts(accounts))
        outcome = self.machine.apply([request], self.now)
        return [result.status for result in account_results(outcome.outcomes[0].results)]

    def transfers(self, *transfers: Transfer) -> list[CreateTransferStatus]:
        self.now += len(transfers) + 1
        request = Request(Kind.create_transfers, encode_transfers(transfers))
        outcome = self.machine.apply([request], self.now)
        return [result.status for result in transfer_results(outcome.outcomes[0].results)]

    def totals(self, identifier: int) -> tuple[int, int, int, int]:
        """Debits pending, debits posted, credits pending, credits posted."""
        a = decode_account(self.machine.lookup_account(encode_id(identifier)))
        return a.debits_pending, a.debits_posted, a.credits_pending, a.credits_posted

    def flags(self, identifier: int) -> AccountFlags:
        return decode_account(self.machine.lookup_account(encode_id(identifier))).flags

    def transfer(self, identifier: int) -> Transfer:
        return decode_transfer(self.machine.lookup_transfer(encode_id(identifier)))


def move(
    identifier: int, debit: int, credit: int, amount: int, *, flags: int = 0, **more: int
) -> Transfer:
    fields = {"unit": 7, "code": 1} | more
    return Transfer(identifier, debit, credit, amount, flags=TransferFlags(flags), **fields)


def settle(
    identifier: int, flags: TransferFlags, pending_id: int, amount: int, **more: int
) -> Transfer:
    fields = {"debit_account_id": 0, "credit_account_id": 0, "unit": 0, "code": 0} | more
    return Transfer(identifier, amount=amount, flags=flags, pending_id=pending_id, **fields)


def holds(machine: Machine) -> dict[int, Hold]:
    """What became of every pending transfer, by its id, read from the state's bytes."""
    pending = [entry[0] for entry in _entries(machine) if not entry[8] and entry[7] & PENDING_FLAG]
    states = b"".join(machine.dump())[-len(pending) :] if pending else b""
    return {
        decode_id(identifier): Hold(state)
        for identifier, state in zip(pending, states, strict=True)
    }


def refusals(machine: Machine) -> dict[int, CreateTransferStatus]:
    """Every refused id's status, read from the state's bytes."""
    return {decode_id(entry[0]): S(entry[8]) for entry in _entries(machine) if entry[8]}


def _entries(machine: Machine) -> list[tuple[Any, ...]]:
    head, *parts = machine.dump()
    accounts, entries = HEADER.unpack(head)[2:4]
    assert entries < ENTRIES_A_PART
    return list(ENTRY.iter_unpack(parts[1 if accounts else 0])) if entries else []
