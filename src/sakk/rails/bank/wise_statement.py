"""Wise's statements of a balance, one of each day, as a bank's files.

They are taken as JSON (``GET /v1/profiles/{id}/balance-statements/{id}/statement.json``, which has
a transaction's ``referenceNumber``) and written down as camt.053, since what names our payout, the
transfer's ``customerTransactionId``, stands in no format of theirs: ``TRANSFER-123`` is looked up.
A transfer that comes back has the same reference in a credit; what is more than the payee was to
have is its fee, and a line of its own. A day is asked for when it is over in UTC and a while, and
every day is a statement, so that none can be missing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Final
from uuid import UUID

import msgspec

from sakk.core import bank_payment, ids
from sakk.core.bank_account import minor_units
from sakk.rails.bank.camt053 import Entry, Statement, write_camt053
from sakk.rails.bank.provider import ProviderUnknown
from sakk.rails.bank.provider_call import Answered, ProviderCaller
from sakk.rails.bank.rail import FILES_MAX, BankUnreachable, FileTooLarge, Taken

DAY_ENDS_AFTER: Final = timedelta(hours=2)
# A day that Wise does not tell of: by some tokens it tells of none, and there are ever more.
ASKED_AGAIN_AFTER: Final = timedelta(minutes=15)
TRANSFER: Final = "TRANSFER-"
# The header by which it asks for strong customer authentication.
AUTHENTICATION: Final = "x-2fa-approval"
# It came back; Wise gives no reason in a statement (ISO 20022: the reason is told in words).
RETURNED: Final = "NARR"


class WiseStruct(msgspec.Struct, rename="camel"):
    """Wise's names are written so."""


class Transfer(WiseStruct):
    """What is read of a transfer."""

    id: int
    status: str
    customer_transaction_id: str | None = None
    source_currency: str = ""
    target_currency: str = ""
    target_value: Decimal = Decimal(0)
    has_active_issues: bool = False


class _Money(WiseStruct):
    value: Decimal
    currency: str


class _Party(WiseStruct):
    name: str | None = None
    bank_account: str | None = None


class _Details(WiseStruct):
    type: str = ""
    description: str | None = None
    sender_name: str | None = None
    sender_account: str | None = None
    payment_reference: str | None = None
    recipient: _Party | None = None


class _Transaction(WiseStruct):
    type: str
    date: datetime
    amount: _Money
    reference_number: str
    details: _Details


class _Statement(WiseStruct):
    transactions: list[_Transaction]
    end_of_statement_balance: _Money


class _Balance(WiseStruct):
    id: int
    currency: str


@dataclass(frozen=True, slots=True)
class WiseStatements:
    """The statements of one balance. ``opened``: the first day; ``account``: as we call it;
    ``failed``: when a day was last asked for in vain, of a process."""

    caller: ProviderCaller
    profile: str
    currency: str
    account: str
    is_iban: bool
    opened: date
    taken: Taken
    failed: dict[str, datetime]
    clock: Callable[[], datetime]

    def list(self) -> list[str]:
        """Days that are over, were not taken and not just asked for, the oldest first."""
        now = self.clock()
        over = (now.astimezone(UTC) - DAY_ENDS_AFTER).date() - timedelta(days=1)
        days = [
            self.opened + timedelta(days=number) for number in range((over - self.opened).days + 1)
        ]
        fresh = self.taken.fresh([(name_of(day), "") for day in days[-FILES_MAX:]])
        since = now - ASKED_AGAIN_AFTER
        return [name for name in fresh if self.failed.get(name, since) <= since]

    def take(self, name: str, *, bytes_max: int) -> bytes:
        try:
            content = self._written(date.fromisoformat(name.removeprefix("wise-")[:10]))
        except ProviderUnknown as error:
            self.failed[name] = self.clock()
            raise BankUnreachable(f"Wise does not tell of {name}: {error}") from error
        if len(content) > bytes_max:
            raise FileTooLarge(f"{name} has more than {bytes_max} bytes")
        return content

    def transfer(self, identifier: int) -> Transfer | None:
        """A transfer by its number; None where there is none."""
        answer = self.caller.ask("GET", f"/v1/transfers/{identifier}")
        return None if answer.status == 404 else required(answer).read(Transfer)

    def _of(self, reference: str, *, is_credit: bool) -> Transfer | None:
        """The transfer that a movement is of, where it is one of the profile's.

        What somebody pays in has the number of a transfer of theirs, which may not be ours to see.
        """
        number = reference.removeprefix(TRANSFER)
        if not reference.startswith(TRANSFER) or not number.isdecimal():
            return None
        answer = self.caller.ask("GET", f"/v1/transfers/{number}")
        is_theirs = is_credit and answer.status == 403 and AUTHENTICATION not in answer.headers
        if is_theirs or answer.status == 404:
            return None
        return required(answer).read(Transfer)

    def _written(self, day: date) -> bytes:
        currency = self.currency.upper()
        begins = datetime.combine(day, time(), UTC)
        answer = self.caller.ask(
            "GET",
            f"/v1/profiles/{self.profile}/balance-statements/{self._balance()}/statement.json",
            query={
                "currency": currency,
                "intervalStart": f"{day}T00:00:00.000Z",
                "intervalEnd": f"{day}T23:59:59.999Z",
                "type": "COMPACT",
            },
        )
        found = required(answer).read(_Statement)
        entries = [
            entry
            for each in sorted(found.transactions, key=lambda one: one.date)
            for entry in self._entries(each)
        ]
        closing = units_of(found.end_of_statement_balance.value, self.currency)
        statement = Statement(
            id=f"WISE-{day}",
            number=(day - self.opened).days + 1,
            created=begins + timedelta(days=1),
            account=self.account,
            is_iban=self.is_iban,
            holder=None,
            currency=currency,
            decimals=minor_units(self.currency),
            opening=closing - sum(each.units for each in entries),
            closing=closing,
            opened=day,
            closed=day,
            start=begins,
            end=begins + timedelta(days=1),
        )
        return write_camt053(statement, entries)

    def _entries(self, told: _Transaction) -> Sequence[Entry]:
        """A movement as lines: one, or what came back of a transfer and its fee."""
        units = abs(units_of(told.amount.value, self.currency))
        if told.amount.currency.lower() != self.currency or not units:
            raise ProviderUnknown(f"{told.reference_number} is no movement of this balance")
        is_credit = told.type == "CREDIT"
        transfer = self._of(told.reference_number, is_credit=is_credit)
        name = end_to_end_id(transfer)
        party = told.details.recipient or _Party()
        entry = Entry(
            units=units if is_credit else -units,
            booked=told.date.astimezone(UTC).date(),
            reference=told.reference_number[:35],
            code=told.details.type[:35] or told.type,
            end_to_end_id=name,
            name=told.details.sender_name if is_credit else party.name,
            account=told.details.sender_account if is_credit else party.bank_account,
            remittance=told.details.payment_reference or told.details.description,
            return_code=RETURNED if is_credit and name is not None else None,
        )
        if transfer is None or entry.return_code is None:
            return [entry]
        back = units_of(transfer.target_value, self.currency)
        if units <= back:
            return [entry]
        fee = replace(entry, units=units - back, end_to_end_id=None, return_code=None)
        return [replace(entry, units=back), fee]

    def _balance(self) -> int:
        """Which of the profile's balances is of this currency."""
        answer = self.caller.ask(
            "GET", f"/v4/profiles/{self.profile}/balances", query={"types": "STANDARD"}
        )
        for each in required(answer).read(list[_Balance]):
            if each.currency.lower() == self.currency:
                return each.id
        raise ProviderUnknown(f"the profile has no balance in {self.currency}")


def name_of(day: date) -> str:
    """What a day's statement is called."""
    return f"wise-{day}.xml"


def end_to_end_id(transfer: Transfer | None) -> str | None:
    """What our payment is called in statements, whose transfer it is; None of no transfer of ours.

    One that somebody made at Wise has an id of its own, which names no payout here.
    """
    if transfer is None or transfer.customer_transaction_id is None:
        return None
    try:
        value = UUID(transfer.customer_transaction_id).int
    except ValueError:
        return None
    return bank_payment.compact(ids.encode("po", value))


def units_of(value: Decimal, currency: str) -> int:
    """Whole units; ProviderUnknown for what is none."""
    scaled = value.scaleb(minor_units(currency))
    if not scaled.is_finite() or scaled != scaled.to_integral_value():
        raise ProviderUnknown(f"{value} {currency} is no amount")
    return int(scaled)


def required(answer: Answered) -> Answered:
    """An answer that tells what was asked; ProviderUnknown."""
    if answer.status not in (200, 201):
        raise ProviderUnknown(f"it answers {answer.status}: {fault_of(answer)[1]}")
    return answer


class _Fault(WiseStruct):
    code: str = ""
    message: str = ""
    path: str | None = None


class _Faults(WiseStruct):
    errors: list[_Fault] = []


def fault_of(answer: Answered) -> tuple[str, str, str]:
    """Code, words and place of the first fault in an answer."""
    try:
        faults = msgspec.json.decode(answer.content, type=_Faults).errors
    except msgspec.MsgspecError:
        faults = []
    first = faults[0] if faults else _Fault()
    return first.code or str(answer.status), first.message or "no reason", first.path or ""
