"""What banks' files say: the standards' shapes, odd charsets, and what must not hurt."""

import io
import os
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
import sepaxml
import xmlschema

from sakk.core.bank_account import BankTerms, OrderFormat, Profile
from sakk.core.bank_file import FileKind
from sakk.core.bank_statement import ReadStatement, fault_of
from sakk.rails.bank.folder import Folder
from sakk.rails.bank.pain001 import Initiation, Order, Party, latin, write_pain001
from sakk.rails.bank.rail import BankUnreachable, FileTooLarge
from sakk.rails.bank.read import read_file
from sakk.rails.bank.reader import Unreadable, kind_of

SCHEMAS = Path(sepaxml.__file__).parent / "schemas"
IBAN = "DE89370400440532013000"
DAY = date(2026, 11, 26)
NS = "urn:iso:std:iso:20022:tech:xsd:"


def initiation(*payees: Party) -> Initiation:
    return Initiation(
        message_id="BF01KB0000000000000000000000",
        batch_id="BF01KB0000000000000000000000-1",
        created=datetime(2026, 11, 26, 12, tzinfo=UTC),
        debtor=Party(name="Sakk Betreiber GmbH & Co. KG", iban=IBAN, bic="COBADEFFXXX"),
        currency="eur",
        decimals=2,
        execution_date=DAY,
        orders=[
            Order(
                end_to_end_id=f"PO01KB000000000000000000000{place}",
                units=12_345 + place,
                payee=payee,
                remittance="Rechnung № 7 // <danke>",
            )
            for place, payee in enumerate(payees)
        ],
    )


ANNA = Party(name="Анна Müller-Łukasz 王", iban="FR7630006000011234567890189")
LOCAL = Party(name="Bob", country="US", number="0123456789", bank_code="026009593")
CRYPTO = Party(name="Alice", number="ben_01kb0000000000000000000000", scheme="SAKK")


@pytest.mark.parametrize("version", list(OrderFormat))
@pytest.mark.parametrize(
    ("profile", "payees"),
    [(Profile.sepa, [ANNA]), (Profile.generic, [ANNA, LOCAL, CRYPTO])],
)
def test_orders_are_of_the_published_structure(
    version: OrderFormat, profile: Profile, payees: list[Party]
) -> None:
    terms = BankTerms("acme", profile=profile, format=version)
    content = write_pain001(initiation(*payees), terms)
    schema = xmlschema.XMLSchema(SCHEMAS / f"{version}.xsd")
    schema.validate(io.BytesIO(content))
    assert write_pain001(initiation(*payees), terms) == content
    text = content.decode()
    assert "Anna Mueller-Lukasz" in text
    assert "Rechnung No 7 / danke" in text
    assert (CRYPTO.number or "") in text or CRYPTO not in payees
    assert kind_of(content) is FileKind.orders


@pytest.mark.parametrize(
    ("text", "written"),
    [("Ä&B", "Ae B"), ("/x//y/", "x/y"), ("", "-"), ("\x00\n", "-"), ("a" * 200, "a" * 70)],
)
def test_texts_are_in_characters_that_all_banks_take(text: str, written: str) -> None:
    assert latin(text, 70) == written


def camt(
    body: str = "",
    *,
    opening: str = "10.00",
    closing: str = "10.00",
    kind: str = "camt.053.001.08",
    root: str = "BkToCstmrStmt",
    part: str = "Stmt",
    head: str = '<?xml version="1.0" encoding="UTF-8"?>',
    account: str = f"<IBAN>{IBAN}</IBAN>",
    number: str = "<ElctrncSeqNb>7</ElctrncSeqNb>",
) -> str:
    def balance(code: str, amount: str) -> str:
        return (
            f"<Bal><Tp><CdOrPrtry><Cd>{code}</Cd></CdOrPrtry></Tp><Amt Ccy='EUR'>{amount}</Amt>"
            "<CdtDbtInd>CRDT</CdtDbtInd><Dt><Dt>2026-11-26</Dt></Dt></Bal>"
        )

    return (
        f"{head}<Document xmlns='{NS}{kind}'><{root}><GrpHdr><MsgId>M</MsgId></GrpHdr><{part}>"
        f"<Id>S-7</Id>{number}<Acct><Id>{account}</Id><Ccy>EUR</Ccy></Acct>"
        f"{balance('OPBD', opening)}{balance('CLBD', closing)}{body}</{part}></{root}></Document>"
    )


def entry(amount: str, way: str, details: str = "", status: str = "<Cd>BOOK</Cd>") -> str:
    return (
        f"<Ntry><Amt Ccy='EUR'>{amount}</Amt><CdtDbtInd>{way}</CdtDbtInd><Sts>{status}</Sts>"
        "<BookgDt><Dt>2026-11-26</Dt></BookgDt><ValDt><DtTm>2026-11-27T01:00:00Z</DtTm></ValDt>"
        f"<AcctSvcrRef>B1</AcctSvcrRef>{details}</Ntry>"
    )


IN = """<NtryDtls><TxDtls><Refs><EndToEndId>E1</EndToEndId></Refs><RltdPties><Dbtr><Pty>
<Nm>Анна</Nm></Pty></Dbtr><DbtrAcct><Id><IBAN>FR7630006000011234567890189</IBAN></Id></DbtrAcct>
</RltdPties><RltdAgts><DbtrAgt><FinInstnId><BICFI>BNPAFRPP</BICFI></FinInstnId></DbtrAgt></RltdAgts>
<RmtInf><Ustrd>Invoice</Ustrd><Ustrd>7</Ustrd><Strd><CdtrRefInf><Ref>RF18539007547034</Ref>
</CdtrRefInf></Strd></RmtInf></TxDtls></NtryDtls>"""


def statement(text: str, **changes: Any) -> ReadStatement:
    [found] = read_file(text.encode()).statements
    return replace(found, **changes)


def test_a_statement_is_read() -> None:
    body = entry("5.00", "CRDT", IN) + entry("2.50", "DBIT") + entry("9.00", "CRDT", "", "PDNG")
    found = statement(camt(body, closing="12.50"))
    assert fault_of(found) is None
    assert (found.account, found.number, found.currency) == (IBAN, 7, "eur")
    assert (found.opening_units, found.closing_units, found.to_date) == (1_000, 1_250, DAY)
    first, second = found.lines
    assert (first.units, first.end_to_end_id, first.counterparty_name) == (500, "E1", "Анна")
    assert (first.remittance, first.creditor_reference) == ("Invoice 7", "RF18539007547034")
    assert (first.value_date, first.counterparty_bic) == (date(2026, 11, 27), "BNPAFRPP")
    assert (second.units, second.end_to_end_id, second.bank_reference) == (-250, None, "B1")


def test_a_batch_booking_is_a_line_for_each_of_its_transactions() -> None:
    part = "<TxDtls><Refs><EndToEndId>{}</EndToEndId></Refs><Amt Ccy='EUR'>{}</Amt></TxDtls>"
    whole = f"<NtryDtls>{part.format('A', '1.00')}{part.format('B', '2.00')}</NtryDtls>"
    found = statement(camt(entry("3.00", "DBIT", whole), closing="7.00"))
    assert [(each.end_to_end_id, each.units) for each in found.lines] == [("A", -100), ("B", -200)]
    other = statement(camt(entry("4.00", "DBIT", whole), closing="6.00"))
    assert [(each.end_to_end_id, each.units) for each in other.lines] == [(None, -400)]


def test_a_return_has_its_reason() -> None:
    told = "<NtryDtls><TxDtls><Refs><EndToEndId>E</EndToEndId></Refs><RtrInf><Rsn><Cd>AC04</Cd>"
    told += "</Rsn></RtrInf></TxDtls></NtryDtls>"
    body = entry("1.00", "CRDT", told).replace("<Sts>", "<RvslInd>true</RvslInd><Sts>")
    [line] = statement(camt(body, closing="11.00")).lines
    assert (line.return_code, line.is_reversal, line.units) == ("AC04", True, 100)


@pytest.mark.parametrize("encoding", ["iso-8859-1", "utf-16", "windows-1252"])
def test_statements_in_odd_characters(encoding: str) -> None:
    head = f'<?xml version="1.0" encoding="{encoding}"?>'
    text = camt(entry("5.00", "CRDT", IN.replace("Анна", "Müller")), closing="15.00", head=head)
    [found] = read_file(text.encode(encoding)).statements
    assert found.lines[0].counterparty_name == "Müller"


def test_what_is_told_within_the_day_needs_no_balance() -> None:
    text = camt(entry("5.00", "CRDT"), kind="camt.052.001.08", root="BkToCstmrAcctRpt", part="Rpt")
    found = read_file(text.replace("CLBD", "XXXX").encode())
    assert found.kind is FileKind.intraday
    assert found.statements[0].is_intraday


@pytest.mark.parametrize(
    "text",
    [
        camt().replace("CLBD", "XXXX"),
        camt(account=""),
        camt(number="<ElctrncSeqNb>x</ElctrncSeqNb>"),
        camt(number="<ElctrncSeqNb>99999999999</ElctrncSeqNb>"),
        camt(number=f"<ElctrncSeqNb>{'0' * 20}99999999999</ElctrncSeqNb>"),
        camt(number=f"<ElctrncSeqNb>{'1' * 5_000}</ElctrncSeqNb>"),
        camt(head='<?xml version="1.0" encoding="none-such"?>'),
        camt(opening="ten"),
        camt(opening="-1.00"),
        camt(opening="1" * 25),
        camt(opening="1" * 20),
        camt(opening="1.001"),
        camt(entry("1.00", "UP")),
        camt(entry("1.00", "CRDT").replace("EUR", "USD")),
        camt(entry("1.00", "CRDT").replace("EUR", "euro")),
        camt(entry("1.00", "CRDT").replace("2026-11-26", "yesterday")),
        camt(entry("1.00", "CRDT").replace("<Amt Ccy='EUR'>1.00</Amt>", "")),
        camt()[:-30],
        camt().replace("<Document", "<!DOCTYPE Document [<!ENTITY a 'b'>]><Document"),
        camt().replace("Stmt>", "Other>"),
        camt().replace("Document", "Html"),
        "",
        "hello",
        write_pain001(initiation(ANNA), BankTerms("a")).decode(),
    ],
)
def test_what_can_not_be_believed_is_not_read(text: str) -> None:
    with pytest.raises(Unreadable):
        read_file(text.encode())


def test_what_moved_nothing_is_left_out() -> None:
    part = "<TxDtls><Refs><EndToEndId>{}</EndToEndId></Refs><Amt Ccy='EUR'>{}</Amt></TxDtls>"
    whole = f"<NtryDtls>{part.format('A', '1.00')}{part.format('B', '0.00')}</NtryDtls>"
    body = entry("0.00", "DBIT") + entry("1.00", "CRDT", whole)
    found = statement(camt(body, closing="11.00"))
    assert fault_of(found) is None
    assert [(each.end_to_end_id, each.units) for each in found.lines] == [("A", 100)]


BOMB = """<!DOCTYPE Document [<!ENTITY a "aaaaaaaaaa">
<!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;">]>"""


def test_entities_do_not_expand() -> None:
    text = camt().replace("<Document", f"{BOMB}<Document").replace("S-7", "&c;")
    with pytest.raises(Unreadable, match="document type"):
        read_file(text.encode())


def test_a_status_report_is_read() -> None:
    text = f"""<Document xmlns='{NS}pain.002.001.03'><CstmrPmtStsRpt>
    <GrpHdr><MsgId>S</MsgId></GrpHdr><OrgnlGrpInfAndSts><OrgnlMsgId>M1</OrgnlMsgId><GrpSts>PART</GrpSts></OrgnlGrpInfAndSts>
    <OrgnlPmtInfAndSts><TxInfAndSts><OrgnlEndToEndId>E1</OrgnlEndToEndId><TxSts>RJCT</TxSts>
    <StsRsnInf><Rsn><Cd>AC04</Cd></Rsn><AddtlInf>closed</AddtlInf></StsRsnInf></TxInfAndSts>
    <TxInfAndSts><OrgnlEndToEndId>E2</OrgnlEndToEndId></TxInfAndSts></OrgnlPmtInfAndSts>
    </CstmrPmtStsRpt></Document>"""
    [found] = read_file(text.encode()).reports
    assert (found.message_id, found.code) == ("M1", "PART")
    one, other = found.payments
    assert (one.code, one.reason_code, one.reason) == ("RJCT", "AC04", "closed")
    assert (other.end_to_end_id, other.code) == ("E2", "PART")
    with pytest.raises(Unreadable, match="no original message"):
        read_file(text.replace("OrgnlMsgId", "Other").encode())


MT940 = """:20:STARTUMS
:25:37040044/0532013000EUR
:28C:5/1
:60F:C261125EUR1000,00
:61:2611261126C500,00NTRFNONREF//ABC123
:86:166?00GUTSCHRIFT?20EREF+E2E-1?21SVWZ+Rechnung RF18 5390?220754 7034?30COBADEFFXXX
?31DE02100100100006820101?32Anna?33 Müller
:61:2611261126RD20,00NRTIPO01ABC//XYZ
:86:159?00RETURN?20EREF+PO01ABC?21SVWZ+AC04 closed
:62F:C261126EUR1520,00
-
"""


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252"])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_mt940_is_read(encoding: str, ending: str) -> None:
    found = read_file(MT940.replace("\n", ending).encode(encoding))
    assert found.kind is FileKind.mt940
    [read] = found.statements
    assert (read.account, read.number, read.currency) == ("0532013000", 5, "eur")
    assert (read.opening_units, read.to_date, len(read.lines)) == (100_000, DAY, 2)
    first, second = read.lines
    assert (first.units, first.end_to_end_id, first.bank_reference) == (50_000, "E2E-1", "ABC123")
    assert first.creditor_reference == "RF18539007547034"
    assert (first.counterparty_name, first.counterparty_iban) == (
        "Anna Müller",
        "DE02100100100006820101",
    )
    assert (second.is_reversal, second.return_code) == (True, "AC04")


@pytest.mark.parametrize(
    ("told", "account"),
    [
        # The letters at its end are the account's own, or the currency behind it.
        ("SC18SSCB11010000000000001497USD", "SC18SSCB11010000000000001497USD"),
        ("SC18SSCB11010000000000001497USDEUR", "SC18SSCB11010000000000001497USD"),
        ("MT94MALT01100000000000000000EUR", "MT94MALT01100000000000000000EUR"),
        ("DE89370400440532013000EUR", "DE89370400440532013000"),
        ("37040044/HOUSE", "HOUSE"),
    ],
)
def test_mt940_of_an_account_that_ends_in_letters(told: str, account: str) -> None:
    [read] = read_file(MT940.replace("37040044/0532013000EUR", told).encode()).statements
    assert read.account == account


def test_mt940_with_a_payer_who_writes_as_banks_do() -> None:
    text = MT940.replace("SVWZ+Rechnung", "SVWZ+:61:Rechnung").replace("RD20,00", "RD0,00")
    [read] = read_file(text.replace(":25:3704", ":25:\x003704").encode()).statements
    assert (read.account, [each.units for each in read.lines]) == ("0532013000", [50_000])


@pytest.mark.parametrize(
    "text",
    [
        MT940.replace(":62F:", ":99:"),
        MT940.replace(":25:37040044/0532013000EUR\n", ""),
        MT940.replace(":60F:C261125EUR", ":60F:C261125USD"),
        MT940.replace("C500,00NTRF", "500 NTRF"),
        MT940.replace("500,00NTRF", "5x0,00NTRF"),
        MT940.replace("261126", "269926"),
        MT940.replace("Rechnung", "x" * 2_000),
        ":20:\n",
    ],
)
def test_mt940_that_can_not_be_believed(text: str) -> None:
    with pytest.raises(Unreadable):
        read_file(text.encode())


class TestFolder:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Folder:
        return Folder(tmp_path, quiet_seconds=0.0)

    def test_what_goes_out_is_there_whole_or_not_at_all(
        self, folder: Folder, tmp_path: Path
    ) -> None:
        for _ in range(2):
            folder.put("a.xml", b"content")
        assert [each.name for each in (tmp_path / "out").iterdir()] == ["a.xml"]
        assert (tmp_path / "out" / "a.xml").read_bytes() == b"content"
        (tmp_path / "out" / "b").mkdir()
        with pytest.raises(BankUnreachable):
            folder.put("b", b"")

    def test_what_is_not_finished_is_left_alone(self, folder: Folder, tmp_path: Path) -> None:
        assert folder.list() == []
        place = tmp_path / "in"
        for name in ("b.xml", ".c.xml", "d.xml.part", "e.TMP"):
            (place / name).write_bytes(b"<a/>")
        (place / "empty.xml").touch()
        (place / "link.xml").symlink_to("/etc/passwd")
        os.mkfifo(place / "pipe.xml")
        assert folder.list() == ["b.xml"]
        assert Folder(tmp_path).list() == []
        assert folder.take("b.xml", bytes_max=4) == b"<a/>"
        for name in ("link.xml", "gone.xml"):
            with pytest.raises(BankUnreachable):
                folder.take(name, bytes_max=4)
        with pytest.raises(FileTooLarge, match="regular"):
            folder.take("pipe.xml", bytes_max=4)
        folder.done("b.xml")
        folder.done("b.xml")
        (place / "b.xml").write_bytes(b"<b/>")
        folder.done("b.xml")
        assert sorted(each.name for each in (place / "done").iterdir()) == ["2-b.xml", "b.xml"]

    def test_a_gigabyte_is_cut_off(self, folder: Folder, tmp_path: Path) -> None:
        folder.list()
        # A file with a hole takes no disk: what is read of it is what counts.
        with (tmp_path / "in" / "huge.xml").open("wb") as file:
            file.truncate(1 << 30)
        with pytest.raises(FileTooLarge, match="more than 4096 bytes"):
            folder.take("huge.xml", bytes_max=4_096)
