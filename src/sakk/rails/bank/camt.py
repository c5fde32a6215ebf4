"""camt.053 and camt.052: statements and reports of an account (ISO 20022 bank to customer).

Versions 02 to 13 are read: what is looked for has the same name in all of them, or one of two. A
batch booking becomes a line for each of its transactions where these sum to it. Entries that are
not booked are left out. A page of a statement is a statement: it opens with an interim balance.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sakk.core.bank_file import FileKind
from sakk.core.bank_reference import is_reference
from sakk.core.bank_statement import LINES_MAX, ReadLine, ReadStatement
from sakk.core.xml import Node
from sakk.rails.bank.reader import Unreadable, amount_of, date_of, kept, records

NUMBER_MAX: Final = 10**9
NUMBER_LENGTH_MAX: Final = 20
_STARTS: Final = frozenset({"Stmt", "Rpt"})
_RECORDS: Final = frozenset(
    {"GrpHdr", "Id", "ElctrncSeqNb", "LglSeqNb", "StmtPgntn", "RptPgntn", "CreDtTm", "FrToDt"}
    | {"Acct", "RltdAcct", "Intrst", "Bal", "TxsSummry", "Ntry", "AddtlStmtInf", "AddtlRptInf"}
)
_OPENING: Final = ("OPBD", "PRCD", "ITBD")
_CLOSING: Final = ("CLBD", "ITBD")


@dataclass(frozen=True, slots=True)
class _Balance:
    code: str
    units: int
    currency: str
    day: str
    line: int


def read_camt(content: bytes, kind: FileKind) -> list[ReadStatement]:
    """The statements of a file; Unreadable."""
    found: list[ReadStatement] = []
    draft: _Draft | None = None
    count = 0
    for node in records(content, _RECORDS, marks=_STARTS):
        if node.name in _STARTS:
            if draft is not None:
                found.append(draft.finished())
            draft = _Draft(is_intraday=kind is FileKind.intraday)
        elif draft is not None:
            count += draft.take(node)
            if count > LINES_MAX:
                raise Unreadable(f"line {node.line}: more than {LINES_MAX} lines")
    if draft is None:
        raise Unreadable("it has no statement")
    return [*found, draft.finished()]


class _Draft:
    """A statement as its parts come by."""

    def __init__(self, *, is_intraday: bool) -> None:
        self._is_intraday = is_intraday
        self._reference = ""
        self._number: int | None = None
        self._account = ""
        self._currency = ""
        self._days: list[str] = []
        self._balances: list[_Balance] = []
        self._lines: list[ReadLine] = []
        self._line = 0

    def take(self, node: Node) -> int:
        """One part of it; how many lines it added."""
        self._line = node.line
        match node.name:
            case "Id":
                self._reference = kept(node.text) or ""
            case "ElctrncSeqNb":
                self._number = _number(node)
            case "LglSeqNb" if self._number is None:
                self._number = _number(node)
            case "FrToDt":
                self._days = node.words("FrDtTm") + node.words("ToDtTm")
            case "Acct":
                self._account = node.word("Id", "IBAN") or node.word("Id", "Othr", "Id")
                self._currency = node.word("Ccy")
            case "Bal":
                self._balances.append(self._balance(node))
            case "Ntry":
                lines = self._entry(node)
                self._lines += lines
                return len(lines)
            case _:
                pass
        return 0

    def finished(self) -> ReadStatement:
        """The whole of it; Unreadable where a part is missing."""
        if not self._account:
            raise Unreadable("a statement names no account")
        opening = self._chosen(_OPENING, place=0)
        closing = self._chosen(_CLOSING, place=-1)
        if (opening is None or closing is None) and not self._is_intraday:
            raise Unreadable("a statement has no opening or no closing balance")
        booked = [each.booking_date for each in self._lines]
        told = [date_of(each, self._line) for each in self._days]
        closed = [] if closing is None else [date_of(closing.day, closing.line)]
        if not (booked or told or closed):
            raise Unreadable("a statement says nothing of its day")
        # The closing balance's day is the statement's, whatever else it covers.
        end = max(closed or told or booked)
        return ReadStatement(
            account=self._account,
            reference=self._reference,
            number=self._number,
            from_date=min([*told, *booked, end]),
            to_date=end,
            currency=self._currency.lower(),
            opening_units=0 if opening is None else opening.units,
            closing_units=0 if closing is None else closing.units,
            is_intraday=self._is_intraday,
            lines=tuple(self._lines),
        )

    def _chosen(self, codes: Sequence[str], *, place: int) -> _Balance | None:
        for code in codes:
            found = [each for each in self._balances if each.code == code]
            if found:
                return found[place]
        return None

    def _balance(self, node: Node) -> _Balance:
        units = self._units(node)
        day = node.word("Dt", "Dt") or node.word("Dt", "DtTm")
        code = node.word("Tp", "CdOrPrtry", "Cd")
        return _Balance(code, _signed(units, node, node), self._currency, day, node.line)

    def _units(self, node: Node) -> int:
        """An amount in the account's currency; in another it would be another account's."""
        amounts = node.all("Amt")
        if not amounts:
            raise Unreadable(f"line {node.line}: <{node.name}> has no amount")
        currency = amounts[0].attributes.get("Ccy", "")
        self._currency = self._currency or currency
        if currency != self._currency:
            raise Unreadable(
                f"line {node.line}: an amount in {currency[:10]!r} on an account in"
                f" {self._currency[:10]!r}"
            )
        return amount_of(amounts[0].text.strip(), currency, node.line)

    def _entry(self, node: Node) -> list[ReadLine]:
        """The lines of an entry: none where it is not booked."""
        if (node.word("Sts", "Cd") or node.word("Sts")) not in ("BOOK", ""):
            return []
        units = _signed(self._units(node), node, node)
        details = node.all("NtryDtls", "TxDtls")
        if len(details) > 1:
            parts = [self._part(each, node) for each in details]
            if None not in parts and sum(each or 0 for each in parts) == units:
                pairs = zip(parts, details, strict=True)
                return [_line(node, each, part) for part, each in pairs if part]
            details = []
        if not units:
            # Some banks tell of what moved nothing; it is nobody's money.
            return []
        return [_line(node, details[0] if details else None, units)]

    def _part(self, detail: Node, entry: Node) -> int | None:
        """What one transaction of a batch moves; None where it is not told in this currency."""
        for path in (("Amt",), ("AmtDtls", "TxAmt", "Amt"), ("AmtDtls", "InstdAmt", "Amt")):
            amounts = detail.all(*path)
            if amounts and amounts[0].attributes.get("Ccy") == self._currency:
                units = amount_of(amounts[0].text.strip(), self._currency, detail.line)
                return _signed(units, detail, entry)
        return None


def _signed(units: int, node: Node, otherwise: Node) -> int:
    """With the sign of its indicator, or of the entry's that it is a part of."""
    indicator = node.word("CdtDbtInd") or otherwise.word("CdtDbtInd")
    if indicator not in ("CRDT", "DBIT"):
        raise Unreadable(f"line {node.line}: {indicator[:10]!r} is neither CRDT nor DBIT")
    return units if indicator == "CRDT" else -units


def _number(node: Node) -> int:
    text = node.text.strip()
    is_number = text.isascii() and text.isdigit() and len(text) <= NUMBER_LENGTH_MAX
    if not is_number or int(text) > NUMBER_MAX:
        raise Unreadable(f"line {node.line}: {text[:20]!r} is no statement's number")
    return int(text)


def _line(entry: Node, detail: Node | None, units: int) -> ReadLine:
    booked = entry.word("BookgDt", "Dt") or entry.word("BookgDt", "DtTm")
    valued = entry.word("ValDt", "Dt") or entry.word("ValDt", "DtTm")
    tell = detail or Node("TxDtls", entry.line)
    side = "Dbtr" if units > 0 else "Cdtr"
    parties = ("RltdPties",)
    agent = (*("RltdAgts", f"{side}Agt"), "FinInstnId")
    reference = tell.word("RmtInf", "Strd", "CdtrRefInf", "Ref").replace(" ", "").upper()
    remittance = " ".join(tell.words("RmtInf", "Ustrd")) or entry.word("AddtlNtryInf")
    end_to_end = kept(tell.word("Refs", "EndToEndId"))
    reasons = (tell.word("RtrInf", "Rsn", "Cd"), tell.word("RtrInf", "Rsn", "Prtry"))
    codes = entry.words("BkTxCd", "Domn", "Cd") + entry.words("BkTxCd", "Domn", "Fmly", "Cd")
    codes += entry.words("BkTxCd", "Domn", "Fmly", "SubFmlyCd")
    return ReadLine(
        booking_date=date_of(booked or valued, entry.line),
        value_date=date_of(valued or booked, entry.line),
        units=units,
        end_to_end_id=None if end_to_end == "NOTPROVIDED" else end_to_end,
        bank_reference=kept(tell.word("Refs", "AcctSvcrRef") or entry.word("AcctSvcrRef")),
        remittance=kept(remittance),
        creditor_reference=reference if is_reference(reference) else None,
        counterparty_name=kept(
            tell.word(*parties, side, "Nm") or tell.word(*parties, side, "Pty", "Nm")
        ),
        counterparty_iban=kept(
            tell.word(*parties, f"{side}Acct", "Id", "IBAN")
            or tell.word(*parties, f"{side}Acct", "Id", "Othr", "Id")
        ),
        counterparty_bic=kept(tell.word(*agent, "BICFI") or tell.word(*agent, "BIC")),
        code=kept("/".join(codes) or entry.word("BkTxCd", "Prtry", "Cd")),
        return_code=kept(next(filter(None, reasons), "")),
        is_reversal=entry.word("RvslInd") in ("true", "1"),
    )
