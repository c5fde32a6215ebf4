"""Files of payouts: every way to write one, every way to be wrong, and what is written."""

import csv
import hashlib
import io
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from tests.core.test_payout import DESTINATION, MOMENT, payout

from sakk.core import payout_batch, payout_file
from sakk.core.beneficiary import Wanted
from sakk.core.payout import PayoutRequest
from sakk.core.payout_batch import Line, SkippedLine
from sakk.core.payout_file import COLUMNS, PayoutFile, column_of, write

DECIMALS = {"usdc": 6, "cny": 2, "jpy": 0}
NETWORK = "eip155:84532"
HEADER = "network,address,currency,amount"
LINE = f"{NETWORK},{DESTINATION},usdc,1.50"


def read(text: str | bytes) -> PayoutFile:
    raw = text.encode() if isinstance(text, str) else text
    found = payout_file.read(raw, DECIMALS)
    assert found.digest == hashlib.sha256(raw).hexdigest()
    return found


def line(number: int = 2, units: int = 1_500_000, **changes: object) -> Line:
    wanted = Wanted(network=NETWORK, address=DESTINATION)
    return Line(number, PayoutRequest(units, "usdc", wanted, **changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text",
    [
        f"{HEADER}\n{LINE}\n",
        f"{HEADER}\r\n{LINE}\r\n",
        f"{HEADER}\n{LINE}",
        f"\ufeff{HEADER}\n{LINE}\n",
        f"{HEADER}\n{LINE}\n".replace(",", ";"),
        f"{HEADER}\n{LINE}\n".replace(",", "\t"),
        f"Network, Address ,CURRENCY,Amount\n {NETWORK} , {DESTINATION},USDC, 1.50\n",
        f'{HEADER}\n"{NETWORK}","{DESTINATION}","usdc","1.5"\n',
        f"{HEADER}\n{LINE}\n\n , , , \n",
    ],
)
def test_every_way_to_write_one(text: str) -> None:
    found = read(text)
    assert (found.lines, found.faults) == ([line()], [])


def test_every_column() -> None:
    text = (
        ",".join(COLUMNS)
        + f'\n{NETWORK},,ben_1,usdc,7,receiver,INV-1,"rent,\nMay",2026-12-01T09:00:00+01:00,yes,'
        + "qt_1,natural,Lee,Ann,HK,hosted,Bob,506700GE1G29325QX363,ta1\n"
        + f"{NETWORK},{DESTINATION},,cny,7.25,,,,1767225600,,,,,,,,,,\n"
    )
    first, second = read(text).lines
    assert first == Line(
        2,
        PayoutRequest(
            7_000_000,
            "usdc",
            Wanted(network=NETWORK, beneficiary="ben_1"),
            fee_mode="receiver",
            reference="INV-1",
            description="rent,\nMay",
            scheduled_at=datetime(2026, 12, 1, 8, tzinfo=UTC),
            travel_rule={
                "type": "natural",
                "name": "Lee",
                "given_name": "Ann",
                "country": "HK",
                "wallet": "hosted",
                "vasp": {
                    "name": "Bob",
                    "lei": "506700GE1G29325QX363",
                    "travel_address": "ta1",
                },
            },
            quote="qt_1",
        ),
        allow_duplicate=True,
    )
    # The cell before it has two lines.
    assert (second.number, second.request.amount) == (4, 725)
    assert second.request.scheduled_at == datetime(2026, 1, 1, tzinfo=UTC)
    assert second.request.travel_rule is None


def test_amounts_are_exact() -> None:
    text = f"{HEADER}\n{NETWORK},{DESTINATION},usdc,123456789012345678901234.567891\n"
    assert read(text).lines[0].request.amount == 123_456_789_012_345_678_901_234_567_891


def faulty(text: str | bytes, line: int, column: str | None, says: str) -> None:
    faults = read(text).faults
    assert [(each.line, each.param) for each in faults] == [(line, column)], faults
    assert says in faults[0].message


@pytest.mark.parametrize(
    ("column", "cell", "named", "says"),
    [
        ("beneficiary_wallet", "mine", "beneficiary_wallet", "neither hosted nor self_hosted"),
        ("beneficiary_type", "person", "beneficiary_type", "neither natural nor legal"),
        ("beneficiary_type", "legal", "beneficiary_name", "there is a beneficiary_name"),
        ("beneficiary_name", "Acme", "beneficiary_type", "there is a beneficiary_type"),
        ("beneficiary_name", "x" * 101, "beneficiary_name", "too long"),
        ("vasp_lei", "506700GE1G29325QX364", "vasp_lei", "check digits"),
    ],
)
def test_beneficiaries_that_can_not_be(column: str, cell: str, named: str, says: str) -> None:
    faulty(f"{HEADER},{column}\n{LINE},{cell}\n", 2, named, says)


def test_a_line_may_name_the_wallet_alone() -> None:
    found = read(f"{HEADER},beneficiary_wallet\n{LINE},self_hosted\n")
    assert found.lines[0].request.travel_rule == {"wallet": "self_hosted"}


@pytest.mark.parametrize(
    ("param", "column"),
    [
        ("travel_rule[vasp][travel_address]", "vasp_travel_address"),
        ("travel_rule[naturalPerson][countryOfResidence]", "beneficiary_country"),
        ("travel_rule[naturalPerson][name]", "beneficiary_name"),
    ],
)
def test_columns_of_what_is_told(param: str, column: str) -> None:
    assert column_of(param) == column


@pytest.mark.parametrize(
    ("amount", "says"),
    [
        ("1,50", "1.50"),
        ("1,500", "Write 1500 or 1.500"),
        ("1,234.50", "groups"),
        ("1.234,50", "groups"),
        ("1 234", "groups"),
        ("1'234.50", "groups"),
        ("1.5E+3", "exponent"),
        ("-5", "is not an amount"),
        ("+5", "is not an amount"),
        ("=1+1", "is not an amount"),
        ("\u0661", "is not an amount"),
        ("1.", "is not an amount"),
        ("USD 5", "is not an amount"),
        ("", "missing"),
        ("0", "no amount"),
        ("0.000000", "no amount"),
        (str(10**40), "no amount"),
        ("1.0000001", "more decimal places"),
    ],
)
def test_amounts_that_are_not_guessed(amount: str, says: str) -> None:
    text = f"{HEADER}\n{NETWORK},{DESTINATION},usdc,X\n".replace(",", "\t").replace("X", amount)
    faulty(text, 2, "amount", says)


@pytest.mark.parametrize(
    ("text", "line", "column", "says"),
    [
        ("", 1, None, "empty"),
        ("\n\n", 1, None, "empty"),
        (f"{HEADER}\n", 1, None, "no payout"),
        (f"{HEADER},colour\n{LINE},red\n", 1, "colour", "There is no column 'colour'"),
        (f"{HEADER},\n{LINE},\n", 1, None, "There is no column ''"),
        (f"{HEADER},amount\n{LINE},2\n", 1, "amount", "twice"),
        (f"network,address,amount\n{NETWORK},{DESTINATION},1\n", 1, "currency", "missing"),
        (f"address,currency,amount\n{DESTINATION},usdc,1\n", 1, "network", "missing"),
        (f"{HEADER}\n{LINE},extra\n", 2, None, "5 cells, and the header has 4"),
        (f'{HEADER}\n{LINE}\n{NETWORK},"open\n', 3, None, "quotes"),
        (f'"{HEADER}\n', 1, None, "quotes"),
        (f"{HEADER}\n{LINE.replace('usdc', 'doge')}\n", 2, "currency", "There are: cny, jpy"),
        (f"{HEADER},fee_mode\n{LINE},both\n", 2, "fee_mode", "neither"),
        (f"{HEADER},scheduled_at\n{LINE},tomorrow\n", 2, "scheduled_at", "zone"),
        (f"{HEADER},scheduled_at\n{LINE},2026-12-01T09:00:00\n", 2, "scheduled_at", "zone"),
        (f"{HEADER},scheduled_at\n{LINE},{10**30}\n", 2, "scheduled_at", "zone"),
        (f"{HEADER},allow_duplicate\n{LINE},maybe\n", 2, "allow_duplicate", "neither"),
        (f"{HEADER},reference\n{LINE},{'x' * 256}\n", 2, "reference", "too long"),
        (f'{HEADER},reference\n{LINE},"a\nb"\n', 2, "reference", "several lines"),
        (f"{HEADER}\n{LINE}\n".encode("utf-16"), 1, None, "UTF-16"),
        (b"PK\x03\x04 a workbook", 1, None, "workbook"),
        (f"{HEADER}\n{LINE}\n".encode() + b"caf\xe9", 3, None, "not UTF-8"),
        (f"{HEADER}\n{LINE}\0\n", 2, None, "NUL"),
    ],
)
def test_every_way_to_be_wrong(text: str | bytes, line: int, column: str | None, says: str) -> None:
    faulty(text, line, column, says)


def test_every_fault_is_told_and_the_rest_is_read() -> None:
    text = f"{HEADER}\n{LINE}\n{LINE.replace('1.50', 'x')}\n{LINE}\n{LINE.replace('usdc', 'y')}\n"
    found = read(text)
    assert [each.number for each in found.lines] == [2, 4]
    assert [(each.line, each.param) for each in found.faults] == [(3, "amount"), (5, "currency")]


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        (f"{HEADER}\n{LINE}\n{NETWORK},{DESTINATION},usdc,x\n", False),
        (f"{HEADER}\n{LINE}\n{NETWORK},{DESTINATION}\n", False),
        # A quote that was not closed took the next line into its cell.
        (f'{HEADER}\n"{LINE}\n{NETWORK}",{DESTINATION},usdc,1,5\n', True),
        (f'{HEADER}\n{LINE}\n"{LINE}\n', True),
        (f'{HEADER},reference\n{LINE},"INV-1\n{LINE}"\n', True),
        (f"{HEADER},colour\n{LINE},red\n", True),
        (f"{HEADER},amount\n{LINE},1\n", True),
        (f"network,address,currency\n{LINE}\n", True),
        (f"{HEADER}\n", True),
        ("", True),
        ("\0", True),
    ],
)
def test_which_fault_is_a_line_s_and_which_the_file_s(text: str, whole: bool) -> None:
    assert {each.whole for each in read(text).faults} == {whole}


def test_what_a_record_says_is_kept_but_not_who_stands_behind() -> None:
    text = (
        f"{HEADER},description,beneficiary_type,beneficiary_name\n"
        f'{NETWORK},0x1,usdc,"1,5",{"x" * 2_001},natural,Lee\n'
        f"{NETWORK},0x1\n"
    )
    found = read(text)
    assert found.said == {
        2: {
            "network": NETWORK,
            "address": "0x1",
            "currency": "usdc",
            "amount": "1,5",
            "description": "x" * 2_000,
        }
    }
    assert [(each.line, each.param) for each in found.faults] == [(2, "description"), (3, None)]


def test_more_lines_than_a_batch_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payout_file, "LINES_MAX", 2)
    text = f"{HEADER}\n" + f"{LINE}\n" * 3
    faulty(text, 4, None, "at most 2")
    assert read(text).faults[0].whole
    assert payout_batch.LINES_MAX == 10_000


@pytest.mark.parametrize(
    ("param", "column"),
    [
        (None, None),
        ("amount", "amount"),
        ("destination", "address"),
        ("destination[address]", "address"),
        ("destination[network]", "network"),
        ("destination[beneficiary]", "beneficiary"),
    ],
)
def test_a_field_stands_in_a_column(param: str | None, column: str | None) -> None:
    assert column_of(param) == column


def test_what_is_written_is_whole_and_no_formula() -> None:
    row = payout(batch="pob_1", line=7, reference="=HYPERLINK(1)", description="+1", fee=20_000)
    later = payout(line=8, reference="@x", description="-1", scheduled_at=MOMENT)
    harmless = payout(line=9, reference="a=b", description='say "x", y')
    left_out = SkippedLine(
        id="pbs_1",
        batch="pob_1",
        account_id="acct_1",
        livemode=False,
        line=2,
        faults=[
            {"param": "amount", "code": "parameter_invalid", "message": "A comma."},
            {"param": None, "code": "payout_duplicate", "message": "It repeats line 1."},
        ],
        said={"amount": "1,50", "currency": "usdc", "reference": "=1"},
        created=MOMENT,
    )
    in_json = replace(left_out, line=10, said={"amount": "1500000", "currency": "usdc"})
    unknown = replace(left_out, line=11, said={"amount": "5", "currency": "eur"})
    unread = replace(left_out, line=12, said={})
    skipped = list(csv.DictReader(io.StringIO(write([row], [left_out]))))
    assert [(each["line"], each["status"]) for each in skipped] == [
        ("2", "skipped"),
        ("7", "requested"),
    ]
    assert (skipped[0]["amount"], skipped[0]["reference"]) == ("1,50", "'=1")
    assert skipped[0]["failure_code"] == "parameter_invalid"
    assert skipped[0]["failure_message"] == "amount: A comma. It repeats line 1."
    amounts = csv.DictReader(io.StringIO(write([], [in_json, unknown, unread], DECIMALS)))
    assert [each["amount"] for each in amounts] == ["1.500000", "5 units", ""]
    found = list(csv.DictReader(io.StringIO(write([row, later, harmless]))))
    assert [each["line"] for each in found] == ["7", "8", "9"]
    assert [each["reference"] for each in found] == ["'=HYPERLINK(1)", "'@x", "a=b"]
    assert [each["description"] for each in found] == ["'+1", "'-1", 'say "x", y']
    assert (found[0]["amount"], found[0]["fee"]) == ("5.000000", "0.020000")
    assert found[0]["address"] == "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
    assert (found[0]["scheduled_at"], found[1]["scheduled_at"]) == ("", MOMENT.isoformat())
    assert found[0]["tx_hash"] == ""
