"""Statements as they are written: in the order of their schema, and read again as they were."""

from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

import pytest

from sakk.core.bank_account import StatementFormat
from sakk.core.bank_file import FileKind
from sakk.core.bank_statement import fault_of
from sakk.rails.bank.camt053 import NAMESPACE, Entry, Statement, write_camt053
from sakk.rails.bank.mt940 import write_mt940
from sakk.rails.bank.read import read_file
from sakk.rails.bank.sandbox import SandboxBank
from tests.rails.test_bank_files import MT940

DAY = date(2026, 11, 26)
STATEMENT = Statement(
    id="SET01JD8KAAAAAAAAAAAAAAAAAAA",
    number=7,
    created=datetime(2026, 11, 26, 23, tzinfo=UTC),
    account="DE89370400440532013000",
    is_iban=True,
    holder="Bäckerei & Söhne <GmbH>",
    currency="eur",
    decimals=2,
    opening=-1_000,
    closing=4_005,
    opened=date(2026, 11, 25),
    closed=DAY,
    start=datetime(2026, 11, 25, 23, tzinfo=UTC),
    end=datetime(2026, 11, 26, 23, tzinfo=UTC),
)
ENTRIES = [
    Entry(
        units=5_010,
        booked=DAY,
        reference="txn_1",
        code="payin",
        number="1",
        end_to_end_id="PO01ABC",
        name="Anna Müller",
        account="FR7630006000011234567890189",
        remittance="Invoice \x00 7\n:61:",
        creditor_reference="RF18539007547034",
        return_code="AC04",
    ),
    Entry(units=-5, booked=DAY, reference="txn_2", code="fee", account="12-34"),
]
# The order of the elements that are written, after the schema of camt.053.001.08.
ORDER: Final = {
    "BkToCstmrStmt": ("GrpHdr", "Stmt"),
    "GrpHdr": ("MsgId", "CreDtTm"),
    "Stmt": (
        *("Id", "ElctrncSeqNb", "LglSeqNb", "CreDtTm", "FrToDt", "Acct", "Bal", "Bal"),
        *("Ntry", "Ntry"),
    ),
    "FrToDt": ("FrDtTm", "ToDtTm"),
    "Acct": ("Id", "Ccy", "Ownr"),
    "Bal": ("Tp", "Amt", "CdtDbtInd", "Dt"),
    "Ntry": (
        *("NtryRef", "Amt", "CdtDbtInd", "Sts", "BookgDt", "ValDt", "AcctSvcrRef", "BkTxCd"),
        "NtryDtls",
    ),
    "TxDtls": ("Refs", "Amt", "CdtDbtInd", "BkTxCd", "RltdPties", "RmtInf", "RtrInf"),
    "Refs": ("AcctSvcrRef", "EndToEndId"),
    "RltdPties": ("Dbtr", "DbtrAcct"),
    "RmtInf": ("Ustrd", "Strd"),
    "Prtry": ("Cd", "Issr"),
}


def test_camt053_is_written_in_the_order_of_its_schema() -> None:
    root = ElementTree.fromstring(write_camt053(STATEMENT, ENTRIES))
    assert root.tag == f"{{{NAMESPACE}}}Document"
    seen: set[str] = set()
    for element in root.iter():
        name = element.tag.removeprefix(f"{{{NAMESPACE}}}")
        wanted = ORDER.get(name)
        if wanted is not None and name not in seen:
            assert tuple(child.tag.partition("}")[2] for child in element) == wanted
            seen.add(name)
    assert seen == set(ORDER)
    assert write_camt053(STATEMENT, ENTRIES) == write_camt053(STATEMENT, iter(ENTRIES))


def test_camt053_is_read_again_as_it_was() -> None:
    [read] = read_file(write_camt053(STATEMENT, ENTRIES)).statements
    assert fault_of(read) is None
    assert (read.account, read.number, read.currency) == (STATEMENT.account, 7, "eur")
    assert (read.opening_units, read.closing_units) == (-1_000, 4_005)
    assert (read.from_date, read.to_date) == (date(2026, 11, 25), DAY)
    first, second = read.lines
    assert (first.units, first.end_to_end_id, first.bank_reference) == (5_010, "PO01ABC", "txn_1")
    assert (first.counterparty_name, first.counterparty_iban) == (
        "Anna Müller",
        "FR7630006000011234567890189",
    )
    assert (first.remittance, first.creditor_reference) == ("Invoice 7 :61:", "RF18539007547034")
    assert (first.return_code, first.code) == ("AC04", "payin")
    assert (second.units, second.end_to_end_id, second.counterparty_iban) == (-5, None, "12-34")
    other = replace(STATEMENT, account="acct_1", is_iban=False, currency="jpy", decimals=0)
    [read] = read_file(write_camt053(other, [])).statements
    assert (read.account, read.opening_units) == ("acct_1", -1_000)


@pytest.mark.parametrize("currency", ["eur", "jpy"])
def test_mt940_is_read_again_as_it_was(currency: str) -> None:
    decimals = 2 if currency == "eur" else 0
    statement = replace(STATEMENT, currency=currency, decimals=decimals)
    content = write_mt940(statement, ENTRIES)
    assert max(map(len, content.decode().splitlines())) <= 65
    found = read_file(content)
    assert found.kind is FileKind.mt940
    [read] = found.statements
    assert fault_of(read) is None
    assert (read.account, read.number, read.currency) == (STATEMENT.account, 7, currency)
    assert (read.opening_units, read.closing_units, read.to_date) == (-1_000, 4_005, DAY)
    first, second = read.lines
    assert (first.units, first.end_to_end_id, first.return_code) == (5_010, "PO01ABC", "AC04")
    assert (first.counterparty_name, first.counterparty_iban) == (
        "Anna Muller",
        "FR7630006000011234567890189",
    )
    assert first.creditor_reference == "RF18539007547034"
    assert (second.units, second.end_to_end_id, second.return_code) == (-5, None, None)


def test_the_sandboxs_bank_leaves_what_an_account_asks_for(tmp_path: Path) -> None:
    bank = SandboxBank(
        tmp_path,
        account="DE89370400440532013000",
        currency="eur",
        opening_units=100,
        opened=DAY,
        statements=StatementFormat.mt940,
    )
    bank.pay_in(
        units=50, name="Anna", iban="FR7630006000011234567890189", remittance="RF18539007547034"
    )
    [name] = bank.list()
    content = bank.take(name, bytes_max=10_000)
    assert content.startswith(b":20:") == MT940.startswith(":20:")
    [read] = read_file(content).statements
    assert (read.opening_units, read.closing_units, read.number) == (100, 150, 1)
    assert read.lines[0].creditor_reference == "RF18539007547034"
