"""Transfers out of a file: CSV or Parquet, in columns that are known or that a mapping names.

A file says of each transfer its transaction, log, block, time, sender, receiver and value. Known
are the columns of the large exports (BigQuery's ``token_transfers``, Dune's
``erc20.evt_Transfer``, Etherscan's CSV); a TOML file names any others::

    [columns]                            # ours = theirs
    tx_hash = "Hash"
    block_number = "Blockno"
    timestamp = "UnixTimestamp"          # seconds since 1970, or ISO 8601
    sender = "From"
    receiver = "To"
    value = "Amount"

    [options]
    decimal = true                       # the value is in whole tokens, such as 1,250.50
    contract = "Contract"                # a column; rows of other contracts are passed over

Values are whole atomic units in text, integers or exact decimals; a floating-point column is
refused, for it has lost units. Without ``log_index`` the transfers of one transaction are counted
in the order of the file, from 2**31 on, where no real log is.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Final

import msgspec

from sakk.core.errors import Misconfigured, ParameterInvalid
from sakk.core.exposure_batch import UNCOUNTED, UNITS_MAX, Transfer
from sakk.core.label import EVM, normalise_address
from sakk.screening.formats import CsvShape, csv_rows
from sakk.screening.source import Source

MAPPING_BYTES_MAX: Final = 64 * 1024
ROWS_MAX: Final = 20_000_000
# Each transaction is held in memory where the file does not number its logs.
TRANSACTIONS_MAX: Final = 5_000_000
PAGE_ROWS: Final = 10_000
PARQUET_MEMORY: Final = "512MB"
PARQUET_MAGIC: Final = b"PAR1"
BLOCK_MAX: Final = (1 << 63) - 1
# 2100-01-01: what is later is milliseconds, or nonsense.
TIMESTAMP_MAX: Final = 4_102_444_800
TEXT_LENGTH_MAX: Final = 100

FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    "tx_hash": ("tx_hash", "transaction_hash", "evt_tx_hash", "transaction hash", "hash"),
    "log_index": ("log_index", "evt_index"),
    "block_number": ("block_number", "evt_block_number", "blockno"),
    "timestamp": ("timestamp", "block_timestamp", "evt_block_time", "unixtimestamp"),
    "sender": ("sender", "from_address", "from"),
    "receiver": ("receiver", "to_address", "to"),
    "value": ("value", "units", "tokenvalue"),
}
OPTIONAL: Final = frozenset({"log_index"})
CONTRACTS: Final = ("token_address", "contract_address", "contractaddress", "contract")

# The row's number: a line of a text file, a row of a Parquet file from 1. Its values by our names.
Row = tuple[int, dict[str, Any]]


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How values are written, and which column names the contract."""

    decimal: bool = False
    contract: str | None = None


class TransferMapping(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an operator says of a file's columns; see the head of this file."""

    columns: dict[str, str] = {}
    options: Options = Options()


@dataclass(frozen=True, slots=True)
class Token:
    """Whose transfers are read: its contract in lower-case hex, and its decimals."""

    contract: str
    decimals: int


def load_transfer_mapping(path: Path) -> TransferMapping:
    """Read a mapping file; ParameterInvalid (``mapping``) names what is wrong with it."""
    try:
        with path.open("rb") as file:
            content = file.read(MAPPING_BYTES_MAX + 1)
    except OSError as error:
        raise _mapping_refusal(path, f"cannot be opened: {error.strerror}") from error
    if len(content) > MAPPING_BYTES_MAX:
        raise _mapping_refusal(path, f"is larger than {MAPPING_BYTES_MAX} bytes")
    try:
        mapping = msgspec.toml.decode(content, type=TransferMapping)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise _mapping_refusal(path, str(error)) from error
    unknown = sorted(set(mapping.columns) - set(FIELDS))
    if unknown:
        known = ", ".join(FIELDS)
        raise _mapping_refusal(path, f"there is no field {unknown[0]!r}; known are {known}")
    return mapping


def is_parquet(source: Source) -> bool:
    return source.starts_with(PARQUET_MAGIC)


def read_transfers(
    source: Source, token: Token, mapping: TransferMapping, skipped: Counter[str]
) -> Iterator[Transfer]:
    """Every transfer of the token that a file tells, in the file's order.

    Left out and counted in ``skipped``: those of ``other_contract``, of ``nothing``, and of units
    ``beyond_128_bits``. Whatever cannot be read is ParameterInvalid, with file and line.
    """
    rows = _parquet(source, mapping) if is_parquet(source) else _csv(source, mapping)
    logs: dict[bytes, int] | None = None
    for number, (place, row) in enumerate(rows):
        if number >= ROWS_MAX:
            raise source.refusal(f"more than {ROWS_MAX} rows; cut the file", line=place)
        reader = _Reader(source, place, row)
        if "contract" in row and reader.address("contract") != token.contract:
            skipped["other_contract"] += 1
            continue
        units = reader.units(token.decimals if mapping.options.decimal else None)
        if not 0 < units <= UNITS_MAX:
            skipped["nothing" if not units else "beyond_128_bits"] += 1
            continue
        tx_hash = reader.tx_hash()
        if "log_index" in row:
            log_index = reader.whole("log_index", UNCOUNTED - 1)
        else:
            logs = {} if logs is None else logs
            log_index = UNCOUNTED + logs.get(tx_hash, 0)
            logs[tx_hash] = log_index - UNCOUNTED + 1
            if len(logs) > TRANSACTIONS_MAX:
                raise source.refusal(
                    f"more than {TRANSACTIONS_MAX} transactions without log_index; cut the file",
                    line=place,
                )
        yield Transfer(
            block_number=reader.whole("block_number", BLOCK_MAX),
            timestamp=reader.time(),
            log_index=log_index,
            sender=bytes.fromhex(reader.address("sender")[2:]),
            receiver=bytes.fromhex(reader.address("receiver")[2:]),
            units=units,
            tx_hash=tx_hash,
        )


class _Reader:
    """One row's values, each refused with its line where it is none."""

    def __init__(self, source: Source, place: int, row: dict[str, Any]) -> None:
        self._source = source
        self._place = place
        self._row = row

    def refusal(self, name: str, problem: str) -> ParameterInvalid:
        shown = str(self._row[name])[:TEXT_LENGTH_MAX]
        return self._source.refusal(f"{name} {problem}: {shown!r}", line=self._place)

    def address(self, name: str) -> str:
        try:
            return normalise_address(EVM, _hex(self._row[name]))
        except ValueError:
            raise self.refusal(name, "is no EVM address") from None

    def tx_hash(self) -> bytes:
        text = _hex(self._row["tx_hash"])
        try:
            raw = bytes.fromhex(text.removeprefix("0x"))
        except ValueError:
            raw = b""
        if len(raw) != 32 or len(text) != 66:
            raise self.refusal("tx_hash", "is no hash of 32 bytes in hex")
        return raw

    def whole(self, name: str, maximum: int) -> int:
        value = self._row[name]
        text = value.strip() if isinstance(value, str) else str(value)
        if isinstance(value, bool | float) or not (text.isascii() and text.isdigit()):
            raise self.refusal(name, "is no whole number")
        if len(text) > TEXT_LENGTH_MAX or int(text) > maximum:
            raise self.refusal(name, f"is above {maximum}")
        return int(text)

    def time(self) -> int:
        """Seconds since 1970, from a number, a date in ISO 8601 (in UTC if it says no zone)."""
        value = self._row["timestamp"]
        if isinstance(value, str) and not value.strip().isdigit():
            try:
                value = datetime.fromisoformat(value.strip().replace(" UTC", "+00:00"))
            except ValueError:
                raise self.refusal(
                    "timestamp", "is neither seconds since 1970 nor ISO 8601"
                ) from None
        if isinstance(value, datetime):
            zoned = value if value.tzinfo else value.replace(tzinfo=UTC)
            seconds = int(zoned.timestamp())
            if not 0 <= seconds <= TIMESTAMP_MAX:
                raise self.refusal("timestamp", "is not of 1970 to 2099")
            return seconds
        return self.whole("timestamp", TIMESTAMP_MAX)

    def units(self, decimals: int | None) -> int:
        """Atomic units; with ``decimals`` the value is in whole tokens."""
        value = self._row["value"]
        if isinstance(value, float):
            raise self.refusal(
                "value", "is a floating-point number, which has lost units; export it as text"
            )
        text = str(value).strip().replace(",", "" if decimals is not None else ",")
        if len(text) > TEXT_LENGTH_MAX or isinstance(value, bool | bytes):
            raise self.refusal("value", "is no amount")
        if decimals is None and text.startswith("0x"):
            return self._base16(text)
        try:
            amount = Decimal(text)
        except InvalidOperation:
            amount = Decimal("NaN")
        if not amount.is_finite() or amount < 0 or abs(amount.adjusted()) > TEXT_LENGTH_MAX:
            raise self.refusal("value", "is no amount")
        # By the digits themselves: arithmetic on decimals would round what is longer than 28.
        _, digits, shift = amount.as_tuple()
        assert isinstance(shift, int)
        shift += decimals or 0
        whole = int("".join(map(str, digits)))
        units: int = whole * 10**shift if shift >= 0 else whole // 10**-shift
        if shift < 0 and whole % 10**-shift:
            raise self.refusal("value", "is no whole number of atomic units; say decimal = true?")
        return units

    def _base16(self, text: str) -> int:
        try:
            return int(text, 16)
        except ValueError:
            raise self.refusal("value", "is no amount") from None


def _hex(value: Any) -> str:
    """Bytes or text as text in lower-case hex."""
    return "0x" + value.hex() if isinstance(value, bytes) else str(value).strip().lower()


def _csv(source: Source, mapping: TransferMapping) -> Iterator[Row]:
    rows = csv_rows(source, CsvShape(header=True))
    first = next(rows, None)
    if first is None:
        raise source.refusal("is empty")
    places = _places(source, first[1], mapping)
    width = len(first[1])
    for line, values in rows:
        if len(values) != width:
            raise source.refusal(
                f"has {len(values)} columns where the header has {width}", line=line
            )
        yield line, {ours: values[place] for ours, place in places.items()}


def _parquet(source: Source, mapping: TransferMapping) -> Iterator[Row]:
    """A page of rows at a time, by a reader that is given so much memory and nothing else."""
    try:
        import duckdb
    except ImportError as error:
        raise Misconfigured(
            "Reading Parquet needs DuckDB: pip install 'sakk[parquet]'; or export CSV."
        ) from error
    settings: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": PARQUET_MEMORY,
        "threads": 1,
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
    }
    # By its descriptor: the file that was checked, and no pattern of names.
    name = f"/dev/fd/{source.descriptor()}"
    try:
        with duckdb.connect(":memory:", config=settings) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            rows = connection.execute("SELECT * FROM read_parquet(?)", [name])
            names = [str(column[0]).lower() for column in rows.description]
            places = _places(source, names, mapping)
            number = 0
            while page := rows.fetchmany(PAGE_ROWS):
                for values in page:
                    number += 1
                    yield number, {ours: values[place] for ours, place in places.items()}
    except duckdb.Error as error:
        problem = str(error).splitlines()[0][:200].replace(name, "the file")
        raise source.refusal(f"is no Parquet file that can be read: {problem}") from error


def _places(source: Source, names: list[str], mapping: TransferMapping) -> dict[str, int]:
    """Where each field stands; names are in lower case."""
    places = {}
    for ours, usual in FIELDS.items():
        theirs = mapping.columns.get(ours)
        found = [name for name in ((theirs.lower(),) if theirs else usual) if name in names]
        if found:
            if names.count(found[0]) != 1:
                raise source.refusal(f"has more than one column {found[0]!r}", line=1)
            places[ours] = names.index(found[0])
        elif theirs or ours not in OPTIONAL:
            wanted = theirs or " or ".join(usual)
            shown = ", ".join(names[:20])
            raise source.refusal(
                f"has no column for {ours} ({wanted}); it has {shown}. A mapping can name it",
                line=1,
            )
    contract = mapping.options.contract
    known = [name for name in ((contract.lower(),) if contract else CONTRACTS) if name in names]
    if contract and not known:
        raise source.refusal(f"has no column {contract!r}", line=1)
    if known:
        places["contract"] = names.index(known[0])
    return places


def _mapping_refusal(path: Path, problem: str) -> ParameterInvalid:
    return ParameterInvalid(f"{path}: {problem}", param="mapping")
