"""Files of transfers: the large exports as they are, others by a mapping, hostile ones refused."""

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from sakk.core.errors import ParameterInvalid
from sakk.core.exposure_batch import UNCOUNTED, Transfer
from sakk.screening import exposure_file
from sakk.screening.exposure_file import (
    Options,
    Token,
    TransferMapping,
    load_transfer_mapping,
    read_transfers,
)
from sakk.screening.source import Source

from .conftest import ListFile

TOKEN = Token("0x" + "c0" * 20, 6)
HASH, FROM, TO = "0x" + "1a" * 32, "0x" + "Aa" * 20, "0x" + "bb" * 20
HEADER = "tx_hash,log_index,block_number,timestamp,sender,receiver,value\n"
TIME = datetime(2024, 5, 1, 12, 0, 30, tzinfo=UTC)
EXPECTED = Transfer(
    19_000_000, 1_714_564_830, 7, b"\xaa" * 20, b"\xbb" * 20, 1_250_500_000, b"\x1a" * 32
)


def line(**changes: object) -> str:
    row: dict[str, object] = {
        "tx_hash": HASH,
        "log_index": 7,
        "block_number": 19_000_000,
        "timestamp": 1_714_564_830,
        "sender": FROM,
        "receiver": TO,
        "value": 1_250_500_000,
    }
    return ",".join(str(value) for value in (row | changes).values()) + "\n"


def read(path: Path, mapping: TransferMapping = TransferMapping()) -> list[Transfer]:
    with Source(path) as source:
        return list(read_transfers(source, TOKEN, mapping, Counter()))


@pytest.mark.parametrize(
    ("content", "mapping"),
    [
        (HEADER + line(), TransferMapping()),
        (HEADER + line(timestamp="2024-05-01 12:00:30 UTC"), TransferMapping()),
        (HEADER + line(timestamp="2024-05-01T14:00:30+02:00"), TransferMapping()),
        (HEADER + line(value=hex(1_250_500_000)), TransferMapping()),
        (HEADER + line(value="1250.5"), TransferMapping(options=Options(decimal=True))),
        (
            "contract_address,evt_tx_hash,evt_index,evt_block_time,evt_block_number,from,to,value\n"
            f"{TOKEN.contract},{HASH},7,2024-05-01 12:00:30.000 UTC,19000000,{FROM},{TO},"
            "1250500000\n",
            TransferMapping(),
        ),
        (
            "Hash,Log,Blockno,UnixTimestamp,From,To,Amount\n"
            f'{HASH},7,19000000,1714564830,{FROM},{TO},"1,250.50"\n',
            TransferMapping({"value": "Amount", "log_index": "Log"}, Options(decimal=True)),
        ),
    ],
)
def test_exports_are_read_as_they_are(
    list_file: ListFile, content: str, mapping: TransferMapping
) -> None:
    assert read(list_file(content), mapping) == [EXPECTED]


def test_what_moves_nothing_of_this_token_is_left_out_and_counted(list_file: ListFile) -> None:
    content = (
        HEADER.strip()
        + ",token_address\n"
        + "".join(
            line(value=value).strip() + f",{contract}\n"
            for value, contract in [
                (1, TOKEN.contract),
                (0, TOKEN.contract),
                (2**128, TOKEN.contract),
                (2**128 - 1, TOKEN.contract.upper().replace("0X", "0x")),
                (5, TO),
            ]
        )
    )
    skipped: Counter[str] = Counter()
    with Source(list_file(content)) as source:
        rows = list(read_transfers(source, TOKEN, TransferMapping(), skipped))
    assert [row.units for row in rows] == [1, 2**128 - 1]
    assert skipped == {"nothing": 1, "beyond_128_bits": 1, "other_contract": 1}


def test_logs_without_numbers_are_counted_within_their_transaction(list_file: ListFile) -> None:
    columns = [0, 2, 3, 4, 5, 6]
    lines = [HEADER, line(), line(tx_hash="0x" + "2b" * 32), line(value=9)]
    content = "\n".join(
        ",".join(each.strip().split(",")[place] for place in columns) for each in lines
    )
    rows = read(list_file(content))
    assert [row.log_index - UNCOUNTED for row in rows] == [0, 0, 1]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"value": "1.5"}, "whole number of atomic units"),
        ({"value": "-1"}, "value is no amount"),
        ({"value": "NaN"}, "value is no amount"),
        ({"value": "1e999999999"}, "value is no amount"),
        ({"value": "9" * 200}, "value is no amount"),
        ({"value": "0xzz"}, "value is no amount"),
        ({"sender": "TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t"}, "sender is no EVM address"),
        ({"receiver": ""}, "receiver is no EVM address"),
        ({"tx_hash": "0x12"}, "tx_hash is no hash"),
        ({"tx_hash": "0x" + "zz" * 32}, "tx_hash is no hash"),
        ({"block_number": -4}, "block_number is no whole number"),
        ({"block_number": 2**63}, "block_number is above"),
        ({"block_number": "9" * 5000}, "block_number is above"),
        ({"log_index": 2**31}, "log_index is above"),
        ({"timestamp": "yesterday"}, "neither seconds"),
        ({"timestamp": "1714564830000"}, "timestamp is above"),
        ({"timestamp": "1600-01-01"}, "not of 1970"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_line(
    list_file: ListFile, changes: dict[str, object], problem: str
) -> None:
    path = list_file(HEADER + line() + line(**changes))
    with pytest.raises(ParameterInvalid, match=problem) as refused:
        read(path)
    assert f"{path}:3: " in str(refused.value)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "is empty"),
        ("a,b\n1,2\n", "no column for tx_hash"),
        (HEADER.replace("sender", "from,from") + line(), "more than one column 'from'"),
        (HEADER + "1,2,3\n", ":2: has 3 columns where the header has 7"),
        (HEADER.encode() + b"\xff\xfe\n", ":2: is not UTF-8"),
        (HEADER + "x" * 70_000, ":2: line is longer"),
        (HEADER + "\0", "NUL"),
        (b"PAR1" + b"\0" * 100, "no Parquet file"),
        (b"PAR1" + b"\xff" * 100 + b"PAR1", "no Parquet file"),
    ],
)
def test_hostile_files_are_refused(list_file: ListFile, content: str | bytes, problem: str) -> None:
    with pytest.raises(ParameterInvalid, match=problem):
        read(list_file(content))


@pytest.mark.parametrize("limit", ["ROWS_MAX", "TRANSACTIONS_MAX"])
def test_a_file_has_a_limit(
    list_file: ListFile, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    monkeypatch.setattr(exposure_file, limit, 1)
    header, rows = HEADER, [line(), line(tx_hash="0x" + "2b" * 32)]
    if limit == "TRANSACTIONS_MAX":
        header = header.replace("log_index", "nothing_known")
    with pytest.raises(ParameterInvalid, match="cut the file"):
        read(list_file(header + "".join(rows)))


def parquet(path: Path, **values: str) -> Path:
    columns: dict[str, str] = {
        "tx_hash": f"'{HASH}'",
        "log_index": "7",
        "block_number": "19000000::BIGINT",
        "timestamp": "TIMESTAMPTZ '2024-05-01 12:00:30+00'",
        "sender": f"'{FROM}'",
        "receiver": f"'{TO}'",
        "value": "'1250500000'",
    }
    chosen = ", ".join(f'{value} AS "{name}"' for name, value in (columns | values).items())
    duckdb.execute(f"COPY (SELECT {chosen}) TO '{path}' (FORMAT parquet)")
    return path


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"value": "1250500000::DECIMAL(38, 0)"},
        {"value": "1250500000::UBIGINT", "timestamp": "TIMESTAMP '2024-05-01 12:00:30'"},
        {"timestamp": "1714564830::BIGINT", "tx_hash": f"unhex('{HASH[2:]}')"},
        {"sender": f"unhex('{FROM[2:]}')", "receiver": f"unhex('{TO[2:]}')"},
    ],
)
def test_parquet_is_read_in_the_types_that_exports_have(
    tmp_path: Path, values: dict[str, str]
) -> None:
    assert read(parquet(tmp_path / "transfers.parquet", **values)) == [EXPECTED]


def test_a_name_full_of_wildcards_is_a_name(tmp_path: Path) -> None:
    parquet(tmp_path / "other.parquet", value="'5'")
    assert read(parquet(tmp_path / "o*.parquet")) == [EXPECTED]


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"value": "1250500000::DOUBLE"}, "has lost units"),
        ({"value": "NULL"}, "no amount"),
        ({"value": "true"}, "no amount"),
        ({"block_number": "1.0::DOUBLE"}, "no whole number"),
        ({"sender": "NULL"}, "no EVM address"),
    ],
)
def test_values_that_parquet_has_lost_are_refused_with_their_row(
    tmp_path: Path, values: dict[str, str], problem: str
) -> None:
    path = parquet(tmp_path / "transfers.parquet", **values)
    with pytest.raises(ParameterInvalid, match=problem) as refused:
        read(path)
    assert f"{path}:1: " in str(refused.value)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("[columns]\nvlaue = 'x'\n", "no field 'vlaue'"),
        ("[options]\nround = true\n", "round"),
        ("not toml", "mapping.toml"),
        ("#" * 70_000, "larger than"),
    ],
)
def test_a_mapping_says_what_is_wrong_with_it(tmp_path: Path, content: str, problem: str) -> None:
    path = tmp_path / "mapping.toml"
    path.write_text(content)
    with pytest.raises(ParameterInvalid, match=problem):
        load_transfer_mapping(path)
    with pytest.raises(ParameterInvalid, match="cannot be opened"):
        load_transfer_mapping(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("mapping", "problem"),
    [
        (TransferMapping({"value": "Betrag"}), "no column for value"),
        (TransferMapping({"log_index": "Nr"}), "no column for log_index"),
        (TransferMapping(options=Options(contract="Token")), "no column 'Token'"),
    ],
)
def test_a_mapping_names_columns_that_are_there(
    list_file: ListFile, mapping: TransferMapping, problem: str
) -> None:
    with pytest.raises(ParameterInvalid, match=problem):
        read(list_file(HEADER + line()), mapping)


def test_a_mapping_is_read(tmp_path: Path) -> None:
    path = tmp_path / "mapping.toml"
    path.write_text("[columns]\nvalue = 'Betrag'\n[options]\ndecimal = true\ncontract = 'Token'\n")
    expected: Any = TransferMapping({"value": "Betrag"}, Options(True, "Token"))
    assert load_transfer_mapping(path) == expected
