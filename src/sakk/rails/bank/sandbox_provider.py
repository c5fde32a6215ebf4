"""The provider called ``sandbox``: simulated, with test money alone.

It takes a tenth of a percent, and at least one unit, beside what it pays out, and holds a price for
a minute. What its payees are called says what becomes of their orders:

- ``RFI …``: it asks for the purpose, and for a document of it, before it goes on;
- ``REJECT AC04 …``: it fails with that code;
- ``LOST …``: the order is there, and the first answer of it is lost;
- ``STALE …``: the first quote is over when the order arrives;
- ``RETURN AC06 …``: paid, and given back on the next statement;
- all others: paid when it is asked again.

It tells of its orders by signed notices, which say nothing of how they stand.

Its statements are camt.053, as those of the sandbox's bank, whose books it has.
"""

import hashlib
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from sakk.core.provider_order import Question, Quote, Standing, Word
from sakk.rails.bank.provider import ProviderRefused, ProviderUnknown, Wanted
from sakk.rails.bank.rail import BankUnreachable
from sakk.rails.bank.sandbox import MAGIC, SandboxBank

NAME: Final = "sandbox"
LOCK: Final = timedelta(minutes=1)
_QUESTIONS: Final = (
    Question(id="purpose", text="What is the purpose of this payment?"),
    Question(id="document", text="Send the invoice that it pays.", wants_file=True),
)


def _clock() -> datetime:
    return datetime.now(UTC)


class SandboxProvider(SandboxBank):
    """One account with it; a `ProviderRail`, and a `BankRail` of its statements."""

    def __init__(
        self,
        directory: Path,
        *,
        account: str,
        currency: str,
        opening_units: int,
        opened: date,
        clock: Callable[[], datetime] = _clock,
        tell: Callable[[dict[str, Any]], None] | None = None,
    ) -> None:
        super().__init__(
            directory,
            account=account,
            currency=currency,
            opening_units=opening_units,
            opened=opened,
        )
        self._clock = clock
        self._tell = tell

    def put(self, name: str, content: bytes) -> None:
        raise BankUnreachable("a provider takes no files")

    def quote(self, wanted: Wanted) -> Quote:
        with self._alone():
            books, own = self._provided()
            fee = max(wanted.units // 1_000, 1)
            made = f"Q{len(own['quotes']) + 1}"
            expires = self._clock() + LOCK
            own["quotes"][made] = {
                "units": wanted.units,
                "fee": fee,
                "expires_at": expires.timestamp(),
            }
            self._keep(books)
        return Quote(id=made, units=wanted.units, fee_units=fee, expires_at=expires)

    def place(self, key: str, quote: str, wanted: Wanted) -> Standing:
        with self._alone():
            books, own = self._provided()
            known = own["orders"].get(key)
            if known is not None:
                return _standing(known)
            name = wanted.payee.name.upper()
            held = own["quotes"].get(quote)
            is_stale = name.startswith("STALE") and not own["orders"] and quote == "Q1"
            if held is None or self._clock().timestamp() >= held["expires_at"] or is_stale:
                raise ProviderRefused("quote_expired", "The quote is over.", is_quote=True)
            magic = MAGIC.search(name)
            order: dict[str, Any] = {
                "reference": f"SBX-{len(own['orders']) + 1}",
                "word": Word.processing.value,
                "units": held["units"],
                "fee": held["fee"],
                "name": wanted.payee.name,
                "account": wanted.payee.iban or wanted.payee.number or "",
                "remittance": wanted.remittance or "",
                "end_to_end_id": wanted.end_to_end_id,
                "answers": {},
                "reason_code": None,
            }
            if name.startswith("RFI"):
                order["word"] = Word.information_required.value
            elif magic is not None and magic.group(1) == "REJECT":
                order.update(word=Word.failed.value, reason_code=magic.group(2))
            own["orders"][key] = order
            self._keep(books)
        self._news(key, order)
        if name.startswith("LOST"):
            raise ProviderUnknown("the answer was lost")
        return _standing(order)

    def find(self, key: str, reference: str | None = None) -> Standing | None:
        with self._alone():
            books, own = self._provided()
            order = own["orders"].get(key)
            if order is None:
                return None
            is_paid_now = order["word"] == Word.processing.value
            if is_paid_now:
                self._pay(books, order)
                self._keep(books)
        if is_paid_now:
            self._news(key, order)
        return _standing(order)

    def answer(self, key: str, question: str, text: str, file: tuple[str, bytes] | None) -> None:
        with self._alone():
            books, own = self._provided()
            order = own["orders"].get(key)
            if order is None or question not in {each.id for each in _QUESTIONS}:
                raise ProviderRefused("no_such_question", "Nobody asked.")
            given = {"text": text, "file": None if file is None else file[0]}
            if file is not None:
                given["sha256"] = hashlib.sha256(file[1]).hexdigest()
            order["answers"].setdefault(question, given)
            if len(order["answers"]) == len(_QUESTIONS):
                order["word"] = Word.processing.value
            self._keep(books)
        self._news(key, order)

    def _news(self, key: str, order: dict[str, Any]) -> None:
        """Say that there is news of an order; where it stands is for who asks."""
        if self._tell is not None:
            self._tell({"type": "order.updated", "key": key, "reference": order["reference"]})

    def _pay(self, books: dict[str, Any], order: dict[str, Any]) -> None:
        """It is paid out, and on the next statement with its fee in one debit."""
        order["word"] = Word.paid.value
        line = {
            "units": -order["units"] - order["fee"],
            "name": order["name"],
            "iban": order["account"],
            "remittance": order["remittance"],
            "end_to_end_id": order["end_to_end_id"],
        }
        books["pending"].append(line)
        magic = MAGIC.search(order["name"].upper())
        if magic is not None and magic.group(1) == "RETURN":
            books["later"].append({**line, "units": order["units"], "return_code": magic.group(2)})

    def _provided(self) -> tuple[dict[str, Any], dict[str, Any]]:
        books = self._books()
        return books, books.setdefault("provider", {"quotes": {}, "orders": {}})


def _standing(order: dict[str, Any]) -> Standing:
    word = Word(order["word"])
    asked = [each for each in _QUESTIONS if each.id not in order["answers"]]
    return Standing(
        reference=order["reference"],
        word=word,
        questions=asked if word is Word.information_required else (),
        reason_code=order["reason_code"],
        fee_units=order["fee"],
    )
