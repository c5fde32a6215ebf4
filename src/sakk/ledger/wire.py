"""What passes between HTTP bodies and the ledger's records, in compiled code where it is built.

A caller writes UUIDs, and numbers of its own ledgers; the records that the writer is given hold ids
and units in their mode's place (``sakk.core.ledger``). Results go out as JSON by a table of what
stands around each timestamp.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol

from sakk.core.errors import ParameterInvalid
from sakk.core.ledger import LEDGER_MAX, is_uuid, operator_unit, shown_id, stored_id
from sakk.ledger.record import ID_SIZE, RECORD_SIZE, decode_id, decode_results, encode_id, split
from sakk.ledger.types import CreateAccountStatus, CreateTransferStatus

UNIT_OFFSET = 96
_FIELDS = {0: "id", 16: "debit_account_id", 32: "credit_account_id", 64: "pending_id"}
_OPTIONAL = {"transfers": (16, 32, 64), "accounts": ()}
_REMEDY = {
    "id": "must be a UUID (RFC 9562): in the record its 9th byte is 80 to bf",
    "ledger": f"must be a whole number from 1 to {LEDGER_MAX}",
}

Places = Callable[[bytes, bool], tuple[bytes | None, int, int]]


class Write(Protocol):
    """Results in JSON."""

    def __call__(self, results: bytes) -> bytes:
        """A list of them."""
        ...

    def one(self, record: bytes, results: bytes, middle: bytes) -> bytes:
        """One as an answer: the record's id as its caller knows it, ``middle``, its own fields."""
        ...


class Noun(NamedTuple):
    """Accounts or transfers: the name of a batch's list, and what reads and writes them."""

    name: str
    status: type[CreateAccountStatus] | type[CreateTransferStatus]
    # A body's records and whether it held one event alone; None: read it the long way.
    read_json: Callable[[bytes, bool], tuple[bytes, bool] | None]
    place: Places
    write: Write
    # A caller's ids in their mode's place, and the other way round what was found under them.
    place_ids: Callable[[bytes, bool], bytes]
    show: Callable[[bytes], bytes]


def placed(noun: Noun, records: bytes, *, livemode: bool) -> bytes:
    """Records as a caller writes them, with ids and units in their mode's place.

    ParameterInvalid names the first field that is not the caller's to name: an id that is no UUID,
    or a ledger beyond ``LEDGER_MAX``. Everything else is for the ledger to judge.
    """
    if len(records) % RECORD_SIZE:
        raise ParameterInvalid(
            f"The body has {len(records)} bytes, which is no whole number of {RECORD_SIZE}-byte"
            f" records. Send {RECORD_SIZE} bytes for each of the {noun.name}."
        )
    done, index, offset = noun.place(records, not livemode)
    if done is None:
        field = _FIELDS.get(offset, "ledger")
        param = f"{noun.name}[{index}][{field}]"
        remedy = _REMEDY["ledger" if field == "ledger" else "id"]
        optional = ", or zeros where it does not apply" if offset in (16, 32, 64) else ""
        raise ParameterInvalid(f"Invalid {param}: {remedy}{optional}.", param=param)
    return done


def place_in_python(noun: str, records: bytes, test: bool) -> tuple[bytes | None, int, int]:
    """The same as ``place_…`` of the compiled module."""
    out = []
    for index, record in enumerate(split(records)):
        parts = bytearray(record)
        for offset in (0, *_OPTIONAL[noun]):
            identifier = decode_id(record[offset : offset + 16])
            if not (is_uuid(identifier) or (offset and not identifier)):
                return None, index, offset
            parts[offset : offset + 16] = encode_id(stored_id(identifier, livemode=not test))
        ledger = int.from_bytes(record[UNIT_OFFSET : UNIT_OFFSET + 8], "little")
        if ledger > LEDGER_MAX:
            return None, index, UNIT_OFFSET
        unit = operator_unit(ledger, livemode=not test)
        parts[UNIT_OFFSET : UNIT_OFFSET + 8] = unit.to_bytes(8, "little")
        out.append(bytes(parts))
    return b"".join(out), 0, 0


def place_ids_in_python(ids: bytes, test: bool) -> bytes:
    """The same as ``place_ids`` of the compiled module."""
    return b"".join(
        encode_id(stored_id(identifier, livemode=not test) if is_uuid(identifier) else 0)
        for identifier in (decode_id(each) for each in split(ids, ID_SIZE))
    )


def show_in_python(noun: str, records: bytes) -> bytes:
    """The same as ``show_…`` of the compiled module."""
    out = []
    for record in split(records):
        parts = bytearray(record)
        for offset in (0, *_OPTIONAL[noun]):
            identifier = decode_id(record[offset : offset + ID_SIZE])
            parts[offset : offset + ID_SIZE] = encode_id(shown_id(identifier))
        unit = int.from_bytes(record[UNIT_OFFSET : UNIT_OFFSET + 8], "little") & LEDGER_MAX
        parts[UNIT_OFFSET : UNIT_OFFSET + 8] = unit.to_bytes(8, "little")
        out.append(bytes(parts))
    return b"".join(out)


class PythonResultWriter:
    """The same as the compiled ``ResultWriter``."""

    def __init__(self, befores: list[bytes], afters: list[bytes]) -> None:
        self._befores = befores
        self._afters = afters

    def one(self, record: bytes, results: bytes, middle: bytes) -> bytes:
        shown = f"{shown_id(decode_id(record[:ID_SIZE])):032x}"
        text = "-".join((shown[:8], shown[8:12], shown[12:16], shown[16:20], shown[20:]))
        # The list's brackets and the result's own opening brace are left out.
        return b'{"id":"%b%b%b' % (text.encode(), middle, self(results)[2:-1])

    def __call__(self, results: bytes) -> bytes:
        timestamps, statuses = decode_results(results)
        befores, afters = self._befores, self._afters
        return b"[%b]" % b",".join(
            [
                b"%b%d%b" % (befores[status], timestamp, afters[status])
                for status, timestamp in zip(statuses, timestamps, strict=True)
            ]
        )


def around_timestamps(
    status: type[CreateAccountStatus] | type[CreateTransferStatus],
) -> tuple[list[bytes], list[bytes]]:
    """What stands before and after the timestamp of a result in JSON, by the status's number."""
    befores = [b'{"status":"%b","timestamp":' % each.name.encode() for each in status]
    afters = [
        b',"transient":true}' if each.transient else b',"transient":false}' for each in status
    ]
    return befores, afters


def in_python(name: str) -> Noun:
    """A noun without compiled code: JSON goes the long way."""
    status = CreateAccountStatus if name == "accounts" else CreateTransferStatus
    return Noun(
        name,
        status,
        lambda body, test: None,
        lambda records, test: place_in_python(name, records, test),
        PythonResultWriter(*around_timestamps(status)),
        place_ids_in_python,
        lambda records: show_in_python(name, records),
    )


def compiled(name: str) -> Noun:
    """A noun in compiled code; ImportError where it is not built."""
    from sakk.ledger.compiled import answer, wire

    status = CreateAccountStatus if name == "accounts" else CreateTransferStatus
    write = answer.ResultWriter(*around_timestamps(status))
    if name == "accounts":
        read, place, show = wire.accounts_from_json, wire.place_accounts, answer.show_accounts
    else:
        read, place, show = wire.transfers_from_json, wire.place_transfers, answer.show_transfers
    return Noun(name, status, read, place, write, wire.place_ids, show)


def _built(name: str) -> Noun:
    try:
        return compiled(name)
    except ImportError:  # pragma: no cover - the tests run where it is built
        return in_python(name)


ACCOUNTS = _built("accounts")
TRANSFERS = _built("transfers")
