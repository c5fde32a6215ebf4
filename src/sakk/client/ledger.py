"""The operator's own ledger: accounts and transfers under ids that the caller chooses.

Every create may be sent again as it was: the ids in it make it happen once. Amounts are whole
numbers of the smallest unit, up to 128 bits; ``timestamp`` and ``effective_at`` are nanoseconds
since 1970.
"""

import json
import struct
from collections.abc import Sequence
from typing import Any, Literal, TypeVar, Unpack, get_args
from uuid import UUID

import msgspec

from sakk.client.endpoint import Endpoint, ListOptions, decode, join
from sakk.client.errors import ApiError
from sakk.client.objects import Resource
from sakk.client.page import Page

BATCH_MAX = 8_192
RECORDS = "application/vnd.sakk.ledger-records"
IDS = "application/vnd.sakk.ledger-ids"
JSON = "application/json"
AMOUNT_MAX = (1 << 128) - 1

V = TypeVar("V")
Id = UUID | str
AccountFlag = Literal[
    "linked",
    "debits_must_not_exceed_credits",
    "credits_must_not_exceed_debits",
    "history",
    "frozen",
]
TransferFlag = Literal[
    "linked",
    "pending",
    "post_pending",
    "void_pending",
    "balancing_debit",
    "balancing_credit",
    "closing_debit",
    "closing_credit",
]

# The layouts, bits and numbers of the reference's page on ledger records.
_TRANSFER = struct.Struct("<16s16s16s16s16s16sQQQIHH")
_ACCOUNT = struct.Struct("<16s64x16sQ8xHH12x")
_ACCOUNT_FOUND = struct.Struct("<16s16s16s16s16s16sQQHH12x")
_NEVER_SEEN = 255
_FLAG_BITS = {
    "linked": 1,
    "debits_must_not_exceed_credits": 2,
    "credits_must_not_exceed_debits": 4,
    "history": 8,
    "frozen": 32,
    "pending": 2,
    "post_pending": 4,
    "void_pending": 8,
    "balancing_debit": 16,
    "balancing_credit": 32,
    "closing_debit": 64,
    "closing_credit": 128,
}
ACCOUNT_STATUSES = (
    "created",
    "exists",
    "linked_event_failed",
    "linked_event_chain_open",
    "timestamp_must_be_zero",
    "reserved_field",
    "reserved_flag",
    "id_must_not_be_zero",
    "id_must_not_be_int_max",
    "exists_with_different_flags",
    "exists_with_different_user_data",
    "exists_with_different_unit",
    "exists_with_different_code",
    "id_repeated_in_chain",
    "flags_are_mutually_exclusive",
    "debits_pending_must_be_zero",
    "debits_posted_must_be_zero",
    "credits_pending_must_be_zero",
    "credits_posted_must_be_zero",
    "unit_must_not_be_zero",
    "code_must_not_be_zero",
)
TRANSFER_STATUSES = (
    "created",
    "exists",
    "linked_event_failed",
    "linked_event_chain_open",
    "timestamp_must_be_zero",
    "reserved_flag",
    "id_must_not_be_zero",
    "id_must_not_be_int_max",
    "exists_with_different_flags",
    "exists_with_different_pending_id",
    "exists_with_different_timeout_seconds",
    "exists_with_different_debit_account_id",
    "exists_with_different_credit_account_id",
    "exists_with_different_amount",
    "exists_with_different_user_data",
    "exists_with_different_unit",
    "exists_with_different_code",
    "exists_with_different_effective_at",
    "id_already_failed",
    "id_repeated_in_chain",
    "flags_are_mutually_exclusive",
    "debit_account_id_must_not_be_zero",
    "debit_account_id_must_not_be_int_max",
    "credit_account_id_must_not_be_zero",
    "credit_account_id_must_not_be_int_max",
    "accounts_must_be_different",
    "pending_id_must_be_zero",
    "pending_id_must_not_be_zero",
    "pending_id_must_not_be_int_max",
    "pending_id_must_be_different",
    "timeout_reserved_for_pending_transfer",
    "closing_transfer_must_be_pending",
    "amount_must_not_be_zero",
    "unit_must_not_be_zero",
    "code_must_not_be_zero",
    "effective_at_out_of_range",
    "debit_account_not_found",
    "credit_account_not_found",
    "accounts_must_have_the_same_unit",
    "transfer_must_have_the_same_unit_as_accounts",
    "pending_transfer_not_found",
    "pending_transfer_not_pending",
    "pending_transfer_has_different_debit_account_id",
    "pending_transfer_has_different_credit_account_id",
    "pending_transfer_has_different_unit",
    "pending_transfer_has_different_code",
    "exceeds_pending_transfer_amount",
    "pending_transfer_has_different_amount",
    "pending_transfer_already_posted",
    "pending_transfer_already_voided",
    "pending_transfer_expired",
    "debit_account_frozen",
    "credit_account_frozen",
    "overflows_debits_pending",
    "overflows_credits_pending",
    "overflows_debits_posted",
    "overflows_credits_posted",
    "overflows_debits",
    "overflows_credits",
    "overflows_timeout",
    "exceeds_credits",
    "exceeds_debits",
)
TRANSIENT_STATUSES = frozenset(
    {
        "debit_account_not_found",
        "credit_account_not_found",
        "pending_transfer_not_found",
        "debit_account_frozen",
        "credit_account_frozen",
        "exceeds_credits",
        "exceeds_debits",
    }
)


class LedgerAccountCreate(msgspec.Struct, frozen=True, kw_only=True):
    """An account to open. ``ledger`` numbers the unit of account, ``code`` the kind."""

    id: Id
    ledger: int
    code: int
    flags: Sequence[AccountFlag] = ()
    user_data: Id | None = None


class LedgerTransferCreate(msgspec.Struct, frozen=True, kw_only=True):
    """A transfer to make. A post or void names its hold and may leave out what it inherits.

    ``amount`` None: of a post the whole hold, else 0.
    """

    id: Id
    debit_account_id: Id | None = None
    credit_account_id: Id | None = None
    amount: int | None = None
    ledger: int | None = None
    code: int | None = None
    flags: Sequence[TransferFlag] = ()
    pending_id: Id | None = None
    user_data: Id | None = None
    timeout_seconds: int = 0
    effective_at: int = 0


class LedgerResult(msgspec.Struct, frozen=True, kw_only=True):
    """What became of an account or a transfer: ``status`` is the first rule that is broken.

    ``timestamp``: the ledger's, of the first time. ``transient``: the same may succeed later,
    under a new id.
    """

    status: str
    timestamp: int
    transient: bool = False

    @property
    def accepted(self) -> bool:
        """It stands as asked for, now or before."""
        return self.status in ("created", "exists")


class LedgerAccount(Resource, frozen=True, kw_only=True):
    """An account as it is now; ``name`` is the chart's, if it is one of the chart."""

    code: int
    credits_pending: int
    credits_posted: int
    debits_pending: int
    debits_posted: int
    timestamp: int
    flags: list[str]
    ledger: int | None = None
    name: str | None = None
    user_data: str | None = None


class LedgerTransfer(Resource, frozen=True, kw_only=True):
    """A transfer as it took effect."""

    amount: int
    code: int
    credit_account_id: str
    debit_account_id: str
    effective_at: int
    timestamp: int
    flags: list[str]
    ledger: int | None = None
    pending_id: str | None = None
    timeout_seconds: int = 0
    user_data: str | None = None


class LedgerEntry(Resource, frozen=True, kw_only=True):
    """One side of a posted transfer, under the transfer's id."""

    account: str
    amount: int
    balance_after: int
    code: int
    direction: str
    effective_at: int
    timestamp: int
    user_data: str | None = None


class LedgerBalance(msgspec.Struct, frozen=True, kw_only=True):
    """Credits less debits posted at a time; complete up to the ledger's time ``as_of``."""

    object: str
    account: str
    as_of: int
    balance: int
    credits_pending: int | None = None
    credits_posted: int | None = None
    debits_pending: int | None = None
    debits_posted: int | None = None
    livemode: bool = False


class _Results(msgspec.Struct, frozen=True):
    results: list[LedgerResult | None]


class _Accounts(msgspec.Struct, frozen=True):
    data: list[LedgerAccount | None]


class _Transfers(msgspec.Struct, frozen=True):
    data: list[LedgerTransfer | None]


class Ledger(Endpoint[LedgerTransfer]):
    """Accounts, transfers and what they came to; the operator's alone."""

    root = "/v1/ledger"
    kind = LedgerTransfer

    def create_accounts(
        self, accounts: Sequence[LedgerAccountCreate], *, as_records: bool = False
    ) -> list[LedgerResult]:
        """Open up to 8,192 accounts; a result for each, in order. Safe to send again."""
        if as_records:
            body = b"".join([_account_record(each) for each in accounts])
            return _read_results(self._send("accounts", RECORDS, body), ACCOUNT_STATUSES)
        return self._create("accounts", [_document(each) for each in accounts])

    def create_transfers(
        self, transfers: Sequence[LedgerTransferCreate], *, as_records: bool = False
    ) -> list[LedgerResult]:
        """Make up to 8,192 transfers; a result for each, in order. Safe to send again."""
        if as_records:
            body = b"".join([_transfer_record(each) for each in transfers])
            return _read_results(self._send("transfers", RECORDS, body), TRANSFER_STATUSES)
        return self._create("transfers", [_document(each) for each in transfers])

    def retrieve_account(self, id: Id) -> LedgerAccount:
        """One account; raises `ResourceMissingError`."""
        return self._get(LedgerAccount, self._path("accounts", str(id)))

    def retrieve_transfer(self, id: Id) -> LedgerTransfer:
        """One transfer; raises `ResourceMissingError`, also where it was refused."""
        return self._get(LedgerTransfer, self._path("transfers", str(id)))

    def retrieve_result(self, id: Id) -> LedgerResult:
        """What became of a transfer's id; raises `ResourceMissingError` if it was never seen."""
        return self._get(LedgerResult, self._path("transfers", str(id), "result"))

    def look_up_accounts(
        self, ids: Sequence[Id], *, as_records: bool = False
    ) -> list[LedgerAccount | None]:
        """Up to 8,192 accounts, in the order of the ids; None where there is none.

        ``as_records`` finds those of your own alone.
        """
        if as_records:
            found = _split(self._ask("accounts/lookup", ids), _ACCOUNT_FOUND.size)
            livemode = self._transport.livemode
            return [_read_account(each, livemode) if any(each) else None for each in found]
        return self._look_up(_Accounts, ids, "accounts", "lookup").data

    def look_up_transfers(
        self, ids: Sequence[Id], *, as_records: bool = False
    ) -> list[LedgerTransfer | None]:
        """Up to 8,192 transfers, in the order of the ids; None where there is none.

        ``as_records`` finds those of your own alone.
        """
        if as_records:
            found = _split(self._ask("transfers/lookup", ids), _TRANSFER.size)
            livemode = self._transport.livemode
            return [_read_transfer(each, livemode) if any(each) else None for each in found]
        return self._look_up(_Transfers, ids, "transfers", "lookup").data

    def look_up_results(
        self, ids: Sequence[Id], *, as_records: bool = False
    ) -> list[LedgerResult | None]:
        """What became of up to 8,192 transfers' ids; None for one that was never seen."""
        if as_records:
            answer = self._ask("transfers/results", ids)
            results = _read_results(answer, TRANSFER_STATUSES)
            seen = answer[8 * len(results) :]
            return [
                None if number == _NEVER_SEEN else result
                for number, result in zip(seen, results, strict=True)
            ]
        return self._look_up(_Results, ids, "transfers", "results").results

    def list_accounts(
        self,
        *,
        code: int | None = None,
        ledger: int | None = None,
        user_data: Id | None = None,
        **options: Unpack[ListOptions],
    ) -> Page[LedgerAccount]:
        """Your ledgers' accounts, newest first, with totals that trail by a moment."""
        query = {"code": code, "ledger": ledger, "user_data": _text(user_data), **options}
        return self._list(self._path("accounts"), LedgerAccount, query)

    def list_transfers(
        self,
        *,
        account: Id | None = None,
        code: int | None = None,
        ledger: int | None = None,
        status: Literal["posted", "pending", "voided", "expired"] | None = None,
        user_data: Id | None = None,
        **options: Unpack[ListOptions],
    ) -> Page[LedgerTransfer]:
        """Search transfers, newest first."""
        query = {
            "account": _text(account),
            "code": code,
            "ledger": ledger,
            "status": status,
            "user_data": _text(user_data),
            **options,
        }
        return self._list(self._path("transfers"), LedgerTransfer, query)

    def list_entries(
        self,
        account: Id,
        *,
        order_by: Literal["timestamp", "effective_at"] | None = None,
        **options: Unpack[ListOptions],
    ) -> Page[LedgerEntry]:
        """An account's posted movements, newest first."""
        path = self._path("accounts", str(account), "entries")
        return self._list(path, LedgerEntry, {"order_by": order_by, **options})

    def retrieve_balance(
        self, account: Id, *, timestamp: int | None = None, effective_at: int | None = None
    ) -> LedgerBalance:
        """An account's balance as the ledger knew it, or of all that is dated up to a time."""
        return self._get(
            LedgerBalance,
            self._path("accounts", str(account), "balance"),
            timestamp=timestamp,
            effective_at=effective_at,
        )

    def _create(self, noun: str, documents: list[dict[str, Any]]) -> list[LedgerResult]:
        body = json.dumps({noun: documents}, separators=(",", ":")).encode()
        found = decode(self._send(noun, JSON, body), _Results).results
        return [each for each in found if each is not None]

    def _send(self, noun: str, media_type: str, body: bytes) -> bytes:
        return self._transport.request(
            "POST", join(self.root, noun), content=body, media_type=media_type
        )

    def _ask(self, path: str, ids: Sequence[Id]) -> bytes:
        return self._send(path, IDS, b"".join([_bytes(each) for each in ids]))

    def _look_up(self, kind: type[V], ids: Sequence[Id], *parts: str) -> V:
        return self._post(kind, self._path(*parts), {"ids": [str(each) for each in ids]}, None)


def _document(event: LedgerAccountCreate | LedgerTransferCreate) -> dict[str, Any]:
    """What is set, with ids as text."""
    fields = ((name, getattr(event, name)) for name in event.__struct_fields__)
    return {
        name: str(value) if isinstance(value, UUID) else list(value) if name == "flags" else value
        for name, value in fields
        if (value is not None and value != () and value != 0) or (name == "amount" and value == 0)
    }


def _account_record(event: LedgerAccountCreate) -> bytes:
    return _ACCOUNT.pack(
        _bytes(event.id), _bytes(event.user_data), event.ledger, event.code, _bits(event.flags)
    )


def _transfer_record(event: LedgerTransferCreate) -> bytes:
    amount = event.amount
    if amount is None:
        amount = AMOUNT_MAX if "post_pending" in event.flags else 0
    return _TRANSFER.pack(
        _bytes(event.id),
        _bytes(event.debit_account_id),
        _bytes(event.credit_account_id),
        amount.to_bytes(16, "little"),
        _bytes(event.pending_id),
        _bytes(event.user_data),
        event.ledger or 0,
        event.effective_at,
        0,
        event.timeout_seconds,
        event.code or 0,
        _bits(event.flags),
    )


def _read_results(body: bytes, statuses: Sequence[str]) -> list[LedgerResult]:
    count, rest = divmod(len(body), 9)
    if rest:
        raise ApiError("The server's answer cannot be read: it is no whole number of results.")
    timestamps = struct.unpack_from(f"<{count}Q", body)
    names = [
        statuses[number] if number < len(statuses) else f"status_{number}"
        for number in body[8 * count :]
    ]
    return [
        LedgerResult(status=name, timestamp=timestamp, transient=name in TRANSIENT_STATUSES)
        for name, timestamp in zip(names, timestamps, strict=True)
    ]


def _split(body: bytes, size: int) -> list[bytes]:
    if len(body) % size:
        raise ApiError("The server's answer cannot be read: it is no whole number of records.")
    return [body[start : start + size] for start in range(0, len(body), size)]


def _read_account(record: bytes, livemode: bool) -> LedgerAccount:
    identifier, *totals, user_data, ledger, timestamp, code, flags = _ACCOUNT_FOUND.unpack(record)
    names: Sequence[str] = get_args(AccountFlag)
    pending, posted, credits_pending, credits_posted = (
        int.from_bytes(total, "little") for total in totals
    )
    return LedgerAccount(
        id=str(UUID(bytes=identifier)),
        object="ledger.account",
        created=timestamp // 1_000_000_000,
        livemode=livemode,
        code=code,
        credits_pending=credits_pending,
        credits_posted=credits_posted,
        debits_pending=pending,
        debits_posted=posted,
        timestamp=timestamp,
        flags=[name for name in names if _FLAG_BITS[name] & flags],
        ledger=ledger,
        user_data=_shown(user_data),
    )


def _read_transfer(record: bytes, livemode: bool) -> LedgerTransfer:
    (
        identifier, debit, credit, amount, pending_id, user_data, ledger, effective_at, timestamp,
        timeout_seconds, code, flags,
    ) = _TRANSFER.unpack(record)  # fmt: skip
    names: Sequence[str] = get_args(TransferFlag)
    return LedgerTransfer(
        id=str(UUID(bytes=identifier)),
        object="ledger.transfer",
        created=timestamp // 1_000_000_000,
        livemode=livemode,
        amount=int.from_bytes(amount, "little"),
        code=code,
        credit_account_id=str(UUID(bytes=credit)),
        debit_account_id=str(UUID(bytes=debit)),
        effective_at=effective_at or timestamp,
        timestamp=timestamp,
        flags=[name for name in names if _FLAG_BITS[name] & flags],
        ledger=ledger,
        pending_id=_shown(pending_id),
        timeout_seconds=timeout_seconds,
        user_data=_shown(user_data),
    )


def _shown(identifier: bytes) -> str | None:
    return str(UUID(bytes=identifier)) if any(identifier) else None


def _bits(flags: Sequence[str]) -> int:
    bits = 0
    for flag in flags:
        bits |= _FLAG_BITS[flag]
    return bits


def _bytes(identifier: Id | None) -> bytes:
    if identifier is None:
        return bytes(16)
    return identifier.bytes if isinstance(identifier, UUID) else UUID(identifier).bytes


def _text(identifier: Id | None) -> str | None:
    return None if identifier is None else str(identifier)
