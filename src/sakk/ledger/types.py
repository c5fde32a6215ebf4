"""The ledger's words: accounts, transfers, statuses, and the interface of every ledger.

Names and rules follow TigerBeetle's public documentation (docs.tigerbeetle.com/reference); where
this ledger differs, the class that differs says so.

Errors raised (never returned): ``ParameterInvalid`` for a value that does not fit its field,
``RateLimited`` when the writer's queue is full, ``Unavailable`` when nothing was done, and
``OutcomeUnknown`` when something may have been done: repeat it under the same ids.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import Literal, Protocol

from sakk.core.errors import SakkError

ID_MAX = (1 << 128) - 1
AMOUNT_MAX = (1 << 128) - 1
UNIT_MAX = (1 << 64) - 1
TIMESTAMP_MAX = (1 << 63) - 1
BATCH_MAX = 8_192


class OutcomeUnknown(SakkError):
    """The call was cut off: it may or may not have happened. Repeat it under the same ids."""

    code = "outcome_unknown"
    status = 503
    transient = True


class AccountFlags(IntFlag):
    """What an account refuses, and how it was created."""

    none = 0
    linked = 1 << 0
    debits_must_not_exceed_credits = 1 << 1
    credits_must_not_exceed_debits = 1 << 2
    history = 1 << 3
    frozen = 1 << 5


class TransferFlags(IntFlag):
    """How a transfer moves money; bit positions are TigerBeetle's."""

    none = 0
    linked = 1 << 0
    pending = 1 << 1
    post_pending = 1 << 2
    void_pending = 1 << 3
    balancing_debit = 1 << 4
    balancing_credit = 1 << 5
    closing_debit = 1 << 6
    closing_credit = 1 << 7


@dataclass(frozen=True, slots=True)
class Account:
    """An account: an identity, a unit, limits, and four totals kept by the ledger.

    ``id`` and ``user_data``: 128 bits; ``unit``: 64 bits (``sakk.core.ledger.unit_id``);
    ``code``: 16 bits, above zero; totals: unsigned 128 bits, zero in a request;
    ``timestamp``: ns since 1970, given by the ledger, zero in a request.
    ``frozen``: every transfer is refused except the voiding of a hold. A pending transfer with a
    closing flag freezes; voiding it, or its time-out, thaws.
    """

    id: int
    unit: int
    code: int
    flags: AccountFlags = AccountFlags.none
    user_data: int = 0
    debits_pending: int = 0
    debits_posted: int = 0
    credits_pending: int = 0
    credits_posted: int = 0
    timestamp: int = 0


@dataclass(frozen=True, slots=True)
class Transfer:
    """One movement from a debit account to a credit account, under an id that the caller chose.

    ``amount``: above zero, except that a transfer with a closing flag may move nothing. Of a post:
    what to post, ``AMOUNT_MAX`` for the whole hold, the rest is released. Of a void: 0, or the
    hold's amount. Of a balancing transfer: the most that may move.
    Post and void name the hold in ``pending_id`` and inherit each of ``debit_account_id``,
    ``credit_account_id``, ``unit``, ``code`` and ``user_data`` that is 0.
    ``timeout_seconds``: of a pending transfer, 32 bits, 0 for none. ``effective_at``: the user's
    time in ns, 63 bits, 0 for the ledger's. ``timestamp``: the ledger's, zero in a request.
    """

    id: int
    debit_account_id: int
    credit_account_id: int
    amount: int
    unit: int
    code: int
    flags: TransferFlags = TransferFlags.none
    pending_id: int = 0
    timeout_seconds: int = 0
    user_data: int = 0
    effective_at: int = 0
    timestamp: int = 0


@dataclass(frozen=True, slots=True)
class LiabilityRoot:
    """What was owed in one unit after one row of the journal; see ``sakk.core.liability``.

    ``root``: 32 bytes; ``total``: unsigned 128 bits, in the unit's smallest units; ``epoch``,
    ``leaves``, ``unit`` and ``sequence`` (of the journal's row that it speaks of): 64 bits, above
    zero. ``timestamp``: the ledger's, zero in a request. Roots of one unit are ordered by the
    journal: each has a later epoch, and speaks of a later row, than the one before it.
    """

    id: int
    root: bytes
    total: int
    epoch: int
    leaves: int
    unit: int
    sequence: int
    timestamp: int = 0


class CreateAccountStatus(IntEnum):
    """What became of an account: created, there already, or the first rule that it breaks.

    Errors are ordered: of several that apply, the first listed is returned. The numbers are
    written in the journal and never change.
    """

    created = 0
    ok = 0
    exists = 1
    linked_event_failed = 2
    linked_event_chain_open = 3
    timestamp_must_be_zero = 4
    reserved_field = 5
    reserved_flag = 6
    id_must_not_be_zero = 7
    id_must_not_be_int_max = 8
    exists_with_different_flags = 9
    exists_with_different_user_data = 10
    exists_with_different_unit = 11
    exists_with_different_code = 12
    id_repeated_in_chain = 13
    flags_are_mutually_exclusive = 14
    debits_pending_must_be_zero = 15
    debits_posted_must_be_zero = 16
    credits_pending_must_be_zero = 17
    credits_posted_must_be_zero = 18
    unit_must_not_be_zero = 19
    code_must_not_be_zero = 20

    @property
    def accepted(self) -> bool:
        """The account stands as asked for, now or before."""
        return self <= CreateAccountStatus.exists

    @property
    def transient(self) -> bool:
        """May the same body succeed later? No rule for accounts depends on anything else."""
        return False


class CreateTransferStatus(IntEnum):
    """What became of a transfer: created, there already, or the first rule that it breaks.

    Errors are ordered: of several that apply, the first listed is returned. The numbers are
    written in the journal and never change.
    """

    created = 0
    ok = 0
    exists = 1
    linked_event_failed = 2
    linked_event_chain_open = 3
    timestamp_must_be_zero = 4
    reserved_flag = 5
    id_must_not_be_zero = 6
    id_must_not_be_int_max = 7
    exists_with_different_flags = 8
    exists_with_different_pending_id = 9
    exists_with_different_timeout_seconds = 10
    exists_with_different_debit_account_id = 11
    exists_with_different_credit_account_id = 12
    exists_with_different_amount = 13
    exists_with_different_user_data = 14
    exists_with_different_unit = 15
    exists_with_different_code = 16
    exists_with_different_effective_at = 17
    id_already_failed = 18
    id_repeated_in_chain = 19
    flags_are_mutually_exclusive = 20
    debit_account_id_must_not_be_zero = 21
    debit_account_id_must_not_be_int_max = 22
    credit_account_id_must_not_be_zero = 23
    credit_account_id_must_not_be_int_max = 24
    accounts_must_be_different = 25
    pending_id_must_be_zero = 26
    pending_id_must_not_be_zero = 27
    pending_id_must_not_be_int_max = 28
    pending_id_must_be_different = 29
    timeout_reserved_for_pending_transfer = 30
    closing_transfer_must_be_pending = 31
    amount_must_not_be_zero = 32
    unit_must_not_be_zero = 33
    code_must_not_be_zero = 34
    effective_at_out_of_range = 35
    debit_account_not_found = 36
    credit_account_not_found = 37
    accounts_must_have_the_same_unit = 38
    transfer_must_have_the_same_unit_as_accounts = 39
    pending_transfer_not_found = 40
    pending_transfer_not_pending = 41
    pending_transfer_has_different_debit_account_id = 42
    pending_transfer_has_different_credit_account_id = 43
    pending_transfer_has_different_unit = 44
    pending_transfer_has_different_code = 45
    exceeds_pending_transfer_amount = 46
    pending_transfer_has_different_amount = 47
    pending_transfer_already_posted = 48
    pending_transfer_already_voided = 49
    pending_transfer_expired = 50
    debit_account_frozen = 51
    credit_account_frozen = 52
    overflows_debits_pending = 53
    overflows_credits_pending = 54
    overflows_debits_posted = 55
    overflows_credits_posted = 56
    overflows_debits = 57
    overflows_credits = 58
    overflows_timeout = 59
    exceeds_credits = 60
    exceeds_debits = 61

    @property
    def accepted(self) -> bool:
        """The transfer stands as asked for, now or before."""
        return self <= CreateTransferStatus.exists

    @property
    def transient(self) -> bool:
        """May the same body, under a new id, succeed later because an account changes?"""
        return self in TRANSIENT


class CreateRootStatus(IntEnum):
    """What became of a root: created, there already, or the first rule that it breaks.

    Errors are ordered: of several that apply, the first listed is returned. The numbers are
    written in the journal and never change.
    """

    created = 0
    ok = 0
    exists = 1
    timestamp_must_be_zero = 2
    reserved_field = 3
    id_must_not_be_zero = 4
    id_must_not_be_int_max = 5
    exists_with_different_root = 6
    exists_with_different_total = 7
    exists_with_different_epoch = 8
    exists_with_different_leaves = 9
    exists_with_different_unit = 10
    exists_with_different_sequence = 11
    epoch_must_not_be_zero = 12
    leaves_must_not_be_zero = 13
    unit_must_not_be_zero = 14
    sequence_must_not_be_zero = 15
    epoch_must_advance = 16
    sequence_must_advance = 17

    @property
    def accepted(self) -> bool:
        """The root stands as asked for, now or before."""
        return self <= CreateRootStatus.exists

    @property
    def transient(self) -> bool:
        """May the same body succeed later? Epochs and rows only go on: never."""
        return False


TRANSIENT = frozenset(
    {
        CreateTransferStatus.debit_account_not_found,
        CreateTransferStatus.credit_account_not_found,
        CreateTransferStatus.pending_transfer_not_found,
        CreateTransferStatus.debit_account_frozen,
        CreateTransferStatus.credit_account_frozen,
        CreateTransferStatus.exceeds_credits,
        CreateTransferStatus.exceeds_debits,
    }
)


@dataclass(frozen=True, slots=True)
class AccountResult:
    """``timestamp``: when the account was created, or when this request was refused (ns)."""

    status: CreateAccountStatus
    timestamp: int


@dataclass(frozen=True, slots=True)
class TransferResult:
    """``timestamp``: when the transfer was created, or first refused under its id (ns)."""

    status: CreateTransferStatus
    timestamp: int


@dataclass(frozen=True, slots=True)
class RootResult:
    """``timestamp``: when the root was created, or when this request was refused (ns)."""

    status: CreateRootStatus
    timestamp: int


class Ledger(Protocol):
    """One shard of the ledger, in this process or in another. Safe to share between threads.

    Same id and same body → same outcome (``exists`` for what was created, with the original
    timestamp; the same refusal for what was refused). Same id and another body →
    ``exists_with_different_…``, or ``id_already_failed`` where the id was refused before.
    A chain of linked events is applied whole or not at all, and a repeated chain answers like the
    first time. At most ``BATCH_MAX`` events a call; a longer one raises ``ParameterInvalid``.
    """

    def create_accounts(self, accounts: Sequence[Account]) -> list[AccountResult]:
        """Create accounts, in order; durable in the journal before it returns."""
        ...

    def create_transfers(self, transfers: Sequence[Transfer]) -> list[TransferResult]:
        """Create transfers, in order; durable in the journal before it returns."""
        ...

    def create_roots(self, roots: Sequence[LiabilityRoot]) -> list[RootResult]:
        """Put roots of the proof of liabilities into the journal; durable before it returns."""
        ...

    def lookup_accounts(self, ids: Sequence[int]) -> list[Account | None]:
        """Accounts with their totals as of the last durable batch, in the order of ``ids``."""
        ...

    def lookup_transfers(self, ids: Sequence[int]) -> list[Transfer | None]:
        """Created transfers with what they really moved, in the order of ``ids``."""
        ...

    def lookup_results(self, ids: Sequence[int]) -> list[TransferResult | None]:
        """The first outcome of each transfer id, refusals too; None for an id never seen."""
        ...

    def lookup_encoded(
        self, what: Literal["accounts", "transfers", "results", "vouchers"], ids: bytes
    ) -> bytes:
        """The same by 16-byte ids, as records or results; see ``sakk.ledger.calls``."""
        ...

    def close(self) -> None:
        """Finish what was accepted, then release the writer or the connections."""
        ...
