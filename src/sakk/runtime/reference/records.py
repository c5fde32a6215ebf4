"""The page of the ledger's binary bodies, byte by byte, from the structures that pack them."""

import re
import struct
from collections.abc import Sequence
from enum import IntEnum, IntFlag

from sakk.api.ledger_body import BODY_BYTES_MAX, IDS, RECORDS, RESULTS
from sakk.core.ledger import LEDGER_MAX
from sakk.ledger.record import ACCOUNT, NEVER_SEEN, RECORD_SIZE, TRANSFER
from sakk.ledger.types import (
    BATCH_MAX,
    AccountFlags,
    CreateAccountStatus,
    CreateTransferStatus,
    TransferFlags,
)
from sakk.runtime.reference.markdown import code, page, sentence, table

UUID_KIND = "UUID"
OPTIONAL_UUID = "UUID or zeros"
TRANSFER_FIELDS: Sequence[tuple[str, str, str]] = (
    ("id", UUID_KIND, "yours; the same id with the same fields is the same transfer"),
    ("debit_account_id", OPTIONAL_UUID, "zeros in a post or void: the hold's"),
    ("credit_account_id", OPTIONAL_UUID, "zeros in a post or void: the hold's"),
    ("amount", "u128", "smallest units; of a post all ones: the whole hold"),
    ("pending_id", OPTIONAL_UUID, "the hold that a post or void is for"),
    ("user_data", "16 bytes", "yours, to search by"),
    ("ledger", "u64", f"which of your ledgers, 1 to {LEDGER_MAX}; 0 in a post or void: the hold's"),
    ("effective_at", "u64", "your time, nanoseconds since 1970; 0: the ledger's"),
    ("timestamp", "u64", "zero"),
    ("timeout_seconds", "u32", "of a pending transfer; 0: never"),
    ("code", "u16", "yours, above 0; 0 in a post or void: the hold's"),
    ("flags", "u16", "bits, below"),
)
ACCOUNT_FIELDS: Sequence[tuple[str, str, str]] = (
    ("id", UUID_KIND, "yours"),
    ("debits_pending", "u128", "zero"),
    ("debits_posted", "u128", "zero"),
    ("credits_pending", "u128", "zero"),
    ("credits_posted", "u128", "zero"),
    ("user_data", "16 bytes", "yours, to search by"),
    ("ledger", "u64", f"which of your ledgers, 1 to {LEDGER_MAX}"),
    ("timestamp", "u64", "zero"),
    ("code", "u16", "yours, above 0"),
    ("flags", "u16", "bits, below"),
    ("reserved", "12 bytes", "zero"),
)


def records_page() -> str:
    """The two records, the results, the flags and the statuses by number."""
    return page(
        "Ledger records",
        f"`POST /v1/ledger/accounts` and `POST /v1/ledger/transfers` take `{RECORDS}`: records of "
        f"{RECORD_SIZE} bytes, one after the other, 1 to {BATCH_MAX:,} of them, with nothing "
        f"before, between or after. They answer `{RESULTS}`. Errors are JSON, as everywhere. "
        f"JSON bodies may have up to {BODY_BYTES_MAX:,} bytes. How to use both: "
        "[using the ledger](../start/using-the-ledger.md).",
        "Numbers are unsigned and little-endian. Ids and user data are 16 bytes in network order, "
        "as every UUID library gives them (`uuid.bytes`); an id has the variant of RFC 9562, so "
        "its ninth byte is `80` to `bf`. Test and live keys have ids and ledgers of their own.",
        "## A transfer",
        _layout(TRANSFER, TRANSFER_FIELDS),
        "## An account",
        _layout(ACCOUNT, ACCOUNT_FIELDS),
        "## Results",
        "For n records 9n bytes, in the order of the request.",
        table(
            ["offset", "size", "what"],
            [
                ["0", "8n", "u64 of each: the ledger's timestamp, nanoseconds since 1970"],
                ["8n", "n", "u8 of each: its status, below"],
            ],
        ),
        "## Look-ups",
        f"`POST /v1/ledger/accounts/lookup`, `/v1/ledger/transfers/lookup` and "
        f"`/v1/ledger/transfers/results` take `{IDS}`: 16 bytes for each id, 1 to {BATCH_MAX:,} of "
        f"them, with nothing before, between or after. The first two answer `{RECORDS}`, a record "
        "for each id in the order of the request: zeros where nothing is found; of an account with "
        "its four totals now, of a transfer as it took effect, both with their `timestamp`. "
        f"Results answer `{RESULTS}` with status {NEVER_SEEN} and timestamp 0 for an id that was "
        "never seen. Ids are those of your own in the key's mode; accounts and transfers of the "
        "chart are looked up in JSON.",
        "## Flags of transfers",
        _flags(TransferFlags),
        "## Flags of accounts",
        _flags(AccountFlags),
        "## Statuses of transfers",
        "The first rule that is broken, in this order. **Transient**: the same may succeed later, "
        "under a new id. What was refused stays refused under its id.",
        _statuses(CreateTransferStatus),
        "## Statuses of accounts",
        _statuses(CreateAccountStatus),
    )


def layout(packed: struct.Struct) -> list[tuple[int, int]]:
    """Offset and size of each field of a structure."""
    parts = re.findall(r"\d*s|[A-Za-z]", packed.format)
    sizes = [struct.calcsize(f"<{part}") for part in parts]
    return [(sum(sizes[:index]), size) for index, size in enumerate(sizes)]


def _layout(packed: struct.Struct, fields: Sequence[tuple[str, str, str]]) -> str:
    return table(
        ["offset", "size", "field", "kind", "what"],
        [
            [str(offset), str(size), code(name), kind, sentence(meaning)]
            for (offset, size), (name, kind, meaning) in zip(layout(packed), fields, strict=True)
        ],
    )


def _flags(flags: type[IntFlag]) -> str:
    return table(
        ["bit", "value", "name"],
        [[str(each.bit_length() - 1), str(int(each)), code(each.name or "")] for each in flags],
    )


def _statuses(statuses: type[CreateAccountStatus] | type[CreateTransferStatus]) -> str:
    members: list[IntEnum] = list(statuses)
    return table(
        ["number", "status", "transient"],
        [
            [str(int(each)), code(each.name), "yes" if getattr(each, "transient", False) else ""]
            for each in members
        ],
    )
