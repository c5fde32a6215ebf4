"""The sandbox's bank: answers files of orders with real files, for test money alone.

It stands behind a folder like any bank. Whenever it is looked at, it carries out the orders that
lie in ``out/`` and leaves in ``in/`` a status report (pain.002) and the statement of one more day
(camt.053, or MT940 where the account's terms say so). What its payees are called says what becomes
of their orders:

- ``REJECT AC04 …``: rejected in the status report, with that code;
- ``RETURN AC06 …``: carried out, and given back on the next statement, with that code;
- ``SILENT …``: nothing is heard of it;
- all others: accepted and carried out.

Money comes in by `pay_in`: the transfer of a payer that stands nowhere else. Its own books are one
JSON file in the folder, replaced whole, so that a bank that died between two files goes on.
"""

import fcntl
import json
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree

from sakk.core.bank_account import StatementFormat, minor_units
from sakk.core.bank_file import FILE_BYTES_MAX
from sakk.core.xml import Node
from sakk.rails.bank.camt053 import Entry, Statement, write_camt053
from sakk.rails.bank.folder import Folder
from sakk.rails.bank.mt940 import write_mt940
from sakk.rails.bank.reader import amount_of, records

_NAMESPACE: Final = "urn:iso:std:iso:20022:tech:xsd:"
MAGIC: Final = re.compile(r"(REJECT|RETURN) ([A-Z]{2}[0-9]{2})\b")
_ORDERS: Final = frozenset({"GrpHdr", "PmtInfId", "DbtrAcct", "CdtTrfTxInf"})


@dataclass(frozen=True, slots=True)
class _Order:
    end_to_end_id: str
    units: int
    name: str
    account: str
    remittance: str


class SandboxBank:
    """One account at the bank, with its folder; an adapter like `Folder`, which does the work."""

    def __init__(
        self,
        directory: Path,
        *,
        account: str,
        currency: str,
        opening_units: int,
        opened: date,
        statements: StatementFormat = StatementFormat.camt053,
    ) -> None:
        self._statements = statements
        self._directory = directory
        self._folder = Folder(directory, quiet_seconds=0.0)
        self._account = account
        self._currency = currency.upper()
        self._decimals = minor_units(currency)
        self._opening_units = opening_units
        self._opened = opened

    def put(self, name: str, content: bytes) -> None:
        self._folder.put(name, content)

    def take(self, name: str, *, bytes_max: int) -> bytes:
        return self._folder.take(name, bytes_max=bytes_max)

    def done(self, name: str) -> None:
        self._folder.done(name)

    def close(self) -> None:
        self._folder.close()

    def list(self) -> list[str]:
        """What it left, after it has done what lies there to be done."""
        with self._alone():
            self._work()
        return self._folder.list()

    def pay_in(
        self, *, units: int, name: str, iban: str, remittance: str, reference: str | None = None
    ) -> None:
        """Somebody pays into the account: it is on the next statement."""
        line = {
            "units": units,
            "name": name,
            "iban": iban,
            "remittance": remittance,
            "reference": reference,
        }
        with self._alone():
            books = self._books()
            books["pending"].append(line)
            self._keep(books)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Whoever pays in and whoever works have the books one after the other."""
        with (_made(self._directory) / "books.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _work(self) -> None:
        books = self._books()
        inbox = self._directory / "out"
        waiting = sorted(inbox.glob("*.xml")) if inbox.is_dir() else []
        reports: list[tuple[str, bytes]] = []
        for path in waiting:
            if path.name not in books["taken"]:
                content = path.read_bytes()
                if len(content) <= FILE_BYTES_MAX:
                    reports.append(self._carry_out(books, path.name, content))
                books["taken"].append(path.name)
        if books["pending"]:
            reports.append(self._statement(books))
        # What was carried out is written down before anybody hears of it.
        books["left"] += [[name, content.decode()] for name, content in reports]
        if books["left"]:
            self._keep(books)
            for name, text in books["left"]:
                self._leave(name, text.encode())
            books["left"] = []
            self._keep(books)
        for path in waiting:
            path.rename(_made(self._directory / "carried-out") / path.name)

    def _carry_out(self, books: dict[str, Any], name: str, content: bytes) -> tuple[str, bytes]:
        """Take the orders of a file, and say what became of each."""
        message, batch, orders = self._read(content)
        told: list[tuple[_Order, str, str | None]] = []
        for order in orders:
            magic = MAGIC.search(order.name.upper())
            if order.name.upper().startswith("SILENT"):
                continue
            if magic is not None and magic.group(1) == "REJECT":
                told.append((order, "RJCT", magic.group(2)))
                continue
            told.append((order, "ACSC", None))
            line = {
                "units": -order.units,
                "name": order.name,
                "iban": order.account,
                "remittance": order.remittance,
                "end_to_end_id": order.end_to_end_id,
            }
            books["pending"].append(line)
            if magic is not None:
                back = {**line, "units": order.units, "return_code": magic.group(2)}
                books["later"].append(back)
        return f"pain002-{name}", _status_report(message, batch, told)

    def _read(self, content: bytes) -> tuple[str, str, Sequence[_Order]]:
        message, batch = "", ""
        orders: list[_Order] = []
        for node in records(content, _ORDERS):
            match node.name:
                case "GrpHdr":
                    message = node.word("MsgId")
                case "PmtInfId":
                    batch = node.text.strip()
                case "CdtTrfTxInf":
                    orders.append(self._order(node))
                case _:
                    pass
        return message, batch, orders

    def _order(self, node: Node) -> _Order:
        [amount] = node.all("Amt", "InstdAmt")
        return _Order(
            end_to_end_id=node.word("PmtId", "EndToEndId"),
            units=amount_of(amount.text.strip(), amount.attributes.get("Ccy", ""), node.line),
            name=node.word("Cdtr", "Nm"),
            account=node.word("CdtrAcct", "Id", "IBAN")
            or node.word("CdtrAcct", "Id", "Othr", "Id"),
            remittance=node.word("RmtInf", "Ustrd"),
        )

    def _statement(self, books: dict[str, Any]) -> tuple[str, bytes]:
        """The statement of one more day, with all that is pending."""
        number = books["number"] + 1
        lines, opening = books["pending"], books["balance"]
        closing = opening + sum(each["units"] for each in lines)
        # Its days follow one another, whatever the clock says: a bank's statements have an order.
        day = self._opened + timedelta(days=number)
        statement = Statement(
            id=f"SANDBOX-{number}",
            number=number,
            created=datetime.combine(day, time(23), UTC),
            account=self._account,
            is_iban=self._account[:2].isalpha(),
            holder=None,
            currency=self._currency,
            decimals=self._decimals,
            opening=opening,
            closing=closing,
            opened=day,
            closed=day,
        )
        entries = [
            _entry(line, day, f"SB{number:06d}{place:06d}")
            for place, line in enumerate(lines, start=1)
        ]
        books.update(number=number, balance=closing, pending=books["later"], later=[])
        if self._statements is StatementFormat.mt940:
            return f"mt940-{number:06d}.sta", write_mt940(statement, entries)
        return f"camt053-{number:06d}.xml", write_camt053(statement, entries)

    def _leave(self, name: str, content: bytes) -> None:
        place = _made(self._directory / "in")
        if (place / name).exists() or (place / "done" / name).exists():
            return
        beside = place / f".{name}.part"
        beside.write_bytes(content)
        beside.rename(place / name)

    def _books(self) -> dict[str, Any]:
        path = self._directory / "books.json"
        if path.exists():
            found: dict[str, Any] = json.loads(path.read_text())
            return found
        return {
            "balance": self._opening_units,
            "number": 0,
            "pending": [],
            "later": [],
            "taken": [],
            "left": [],
        }

    def _keep(self, books: dict[str, Any]) -> None:
        path = _made(self._directory) / "books.json"
        beside = path.with_suffix(".part")
        with beside.open("w") as file:
            json.dump(books, file)
            file.flush()
            os.fsync(file.fileno())
        beside.rename(path)


def _made(directory: Path) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def _status_report(
    message: str, batch: str, told: Sequence[tuple[_Order, str, str | None]]
) -> bytes:
    root = ElementTree.Element("Document", {"xmlns": f"{_NAMESPACE}pain.002.001.10"})
    whole = _add(root, "CstmrPmtStsRpt")
    header = _add(whole, "GrpHdr")
    _add(header, "MsgId", f"STATUS-{message}"[:35])
    original = _add(whole, "OrgnlGrpInfAndSts")
    _add(original, "OrgnlMsgId", message)
    _add(original, "OrgnlMsgNmId", "pain.001")
    payments = _add(whole, "OrgnlPmtInfAndSts")
    _add(payments, "OrgnlPmtInfId", batch)
    for order, status, reason in told:
        one = _add(payments, "TxInfAndSts")
        _add(one, "OrgnlEndToEndId", order.end_to_end_id)
        _add(one, "TxSts", status)
        if reason is not None:
            _add(_add(_add(one, "StsRsnInf"), "Rsn"), "Cd", reason)
    content: bytes = ElementTree.tostring(root, encoding="UTF-8", xml_declaration=True)
    return content


def _entry(line: dict[str, Any], day: date, reference: str) -> Entry:
    return Entry(
        units=line["units"],
        booked=day,
        reference=reference,
        code="RETURN" if line.get("return_code") else "TRANSFER",
        end_to_end_id=line.get("end_to_end_id"),
        name=line["name"],
        account=line["iban"],
        remittance=line["remittance"],
        creditor_reference=line.get("reference"),
        return_code=line.get("return_code"),
    )


def _add(parent: ElementTree.Element, name: str, text: str | None = None) -> ElementTree.Element:
    child = ElementTree.SubElement(parent, name)
    child.text = text
    return child
