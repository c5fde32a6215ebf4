"""Wise, by its published interface (https://docs.wise.com): payouts from a balance of one currency.

Quote (``POST /v3/profiles/{id}/quotes``), recipient (``POST /v1/accounts``), transfer
(``POST /v1/transfers``, of which a ``customerTransactionId`` is one, however often it is asked for)
and funding (``POST /v3/profiles/{id}/transfers/{id}/payments``). A transfer that is not funded has
moved nothing: to us it is none, and is placed again under its key, which funds it. Its key at Wise
is the payout's id as a UUID, so that whatever Wise tells of a transfer names our payout.

Statements are in `sakk.rails.bank.wise_statement`. Questions are answered at Wise itself.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from sakk.core import ids, money
from sakk.core.bank_account import minor_units
from sakk.core.provider_order import Question, Quote, Standing, Word
from sakk.rails.bank.provider import ProviderRefused, ProviderUnknown, Wanted
from sakk.rails.bank.provider_call import Answered, ProviderCaller
from sakk.rails.bank.rail import BankUnreachable
from sakk.rails.bank.wise_statement import (
    AUTHENTICATION,
    Transfer,
    WiseStatements,
    WiseStruct,
    fault_of,
    required,
    units_of,
)

PAGE: Final = 100
PAGES_MAX: Final = 50
# Clocks differ, and a transfer is never older than its payout by more than that.
CLOCKS_DIFFER: Final = timedelta(hours=1)
REFERENCE_LENGTH_MAX: Final = {"gbp": 18}
REFERENCE_LENGTH: Final = 35

_WAITING: Final = "incoming_payment_waiting"
_PAID: Final = "outgoing_payment_sent"
# It came back, or was never sent: the payee has nothing of it.
_FAILED: Final = ("cancelled", "funds_refunded", "charged_back")
# Words that end the name of a company, by which Wise tells its recipients apart.
_COMPANIES: Final = frozenset(
    {
        *("ab", "ag", "as", "asa", "bv", "co", "corp", "corporation", "gmbh", "inc", "kft", "kg"),
        *("lda", "limited", "llc", "llp", "ltd", "nv", "oy", "oyj", "plc", "sa", "sarl", "sas"),
        *("se", "sl", "sp", "spa", "srl", "sro", "ug", "uab"),
    }
)
Transfers = list[Transfer]
_ISSUES: Final = Question(
    id="active_issues",
    text="Wise asks for something before it goes on: see the transfer in your account there.",
)


class _Option(WiseStruct):
    pay_in: str
    source_amount: Decimal
    target_amount: Decimal
    disabled: bool = False


class _Quote(WiseStruct):
    id: str
    payment_options: list[_Option]
    expiration_time: datetime | None = None
    rate_expiration_time: datetime | None = None


class _Recipient(WiseStruct):
    id: int


class _Funding(WiseStruct):
    status: str
    error_code: str | None = None


@dataclass(frozen=True, slots=True)
class Wise:
    """A balance at Wise; a `ProviderRail`, and a `BankRail` of its statements."""

    caller: ProviderCaller
    profile: str
    statements: WiseStatements

    def put(self, name: str, content: bytes) -> None:
        raise BankUnreachable("a provider takes no files")

    def list(self) -> list[str]:
        return self.statements.list()

    def take(self, name: str, *, bytes_max: int) -> bytes:
        return self.statements.take(name, bytes_max=bytes_max)

    def done(self, name: str) -> None:
        self.statements.taken.remember(name, "")

    def close(self) -> None:
        """Nothing stays open between calls."""

    def quote(self, wanted: Wanted) -> Quote:
        _details(wanted)
        currency = wanted.currency.upper()
        answer = self.caller.ask(
            "POST",
            f"/v3/profiles/{self.profile}/quotes",
            document={
                "sourceCurrency": currency,
                "targetCurrency": currency,
                "sourceAmount": None,
                "targetAmount": _decimal(wanted.units, wanted.currency),
                "payOut": "BANK_TRANSFER",
                "preferredPayIn": "BALANCE",
            },
        )
        found = _done(answer, is_quote=False).read(_Quote)
        option = next(
            (one for one in found.payment_options if one.pay_in == "BALANCE" and not one.disabled),
            None,
        )
        if option is None:
            raise ProviderRefused("not_offered", "Wise does not pay this from the balance.")
        until = [
            each for each in (found.expiration_time, found.rate_expiration_time) if each is not None
        ]
        if not until:
            raise ProviderUnknown("the quote does not say until when it holds")
        return Quote(
            id=found.id,
            units=units_of(option.target_amount, wanted.currency),
            fee_units=units_of(option.source_amount - option.target_amount, wanted.currency),
            expires_at=min(each.astimezone(UTC) for each in until),
        )

    def place(self, key: str, quote: str, wanted: Wanted) -> Standing:
        kind, details = _details(wanted)
        recipient = _done(
            self.caller.ask(
                "POST",
                "/v1/accounts",
                document={
                    "profile": int(self.profile),
                    "currency": wanted.currency.upper(),
                    "type": kind,
                    "ownedByCustomer": False,
                    "accountHolderName": wanted.payee.name,
                    "details": details,
                },
            ),
            is_quote=False,
        ).read(_Recipient)
        most = REFERENCE_LENGTH_MAX.get(wanted.currency, REFERENCE_LENGTH)
        transfer = _done(
            self.caller.ask(
                "POST",
                "/v1/transfers",
                document={
                    "targetAccount": recipient.id,
                    "quoteUuid": quote,
                    "customerTransactionId": transaction_id(key),
                    "details": {"reference": (wanted.remittance or wanted.end_to_end_id)[:most]},
                },
            ),
            is_quote=True,
        ).read(Transfer)
        self._check(transfer, key, wanted)
        if transfer.status == _WAITING:
            self._fund(transfer)
        return standing_of(self.statements.transfer(transfer.id) or transfer)

    def find(self, key: str, reference: str | None = None) -> Standing | None:
        found = None
        if reference is not None and reference.isdecimal():
            found = self.statements.transfer(int(reference))
        if found is None or found.customer_transaction_id != transaction_id(key):
            found = self._searched(key)
        if found is None or found.status == _WAITING:
            # Nothing of it is paid for: it is placed again under its key, by which it is funded.
            return None
        return standing_of(found)

    def answer(self, key: str, question: str, text: str, file: tuple[str, bytes] | None) -> None:
        raise ProviderRefused("answered_there", "Wise is answered in your account there.")

    def _check(self, transfer: Transfer, key: str, wanted: Wanted) -> None:
        """ProviderUnknown for a transfer of this key that is another payment: a person's work."""
        currency = wanted.currency.upper()
        is_ours = (
            transfer.customer_transaction_id == transaction_id(key)
            and (transfer.source_currency, transfer.target_currency) == (currency, currency)
            and units_of(transfer.target_value, wanted.currency) == wanted.units
        )
        if not is_ours:
            raise ProviderUnknown(f"its transfer {transfer.id} is not what was ordered")

    def _fund(self, transfer: Transfer) -> None:
        """Pay for it from the balance; what is not paid for is tried again, and is no refusal."""
        answer = self.caller.ask(
            "POST",
            f"/v3/profiles/{self.profile}/transfers/{transfer.id}/payments",
            document={"type": "BALANCE"},
        )
        if AUTHENTICATION in answer.headers:
            raise ProviderUnknown("it asks for strong customer authentication (see the guide)")
        if answer.status not in (200, 201):
            raise ProviderUnknown(f"transfer {transfer.id} is not funded: {fault_of(answer)[1]}")
        funding = answer.read(_Funding)
        if funding.status != "COMPLETED":
            raise ProviderUnknown(f"transfer {transfer.id} is not funded: {funding.error_code}")

    def _searched(self, key: str) -> Transfer | None:
        """The transfer of a key, among all since its payout; ProviderUnknown where not all are
        looked at."""
        wanted = transaction_id(key)
        since = _made_at(key) - CLOCKS_DIFFER
        for page in range(PAGES_MAX):
            answer = self.caller.ask(
                "GET",
                "/v1/transfers",
                query={
                    "profile": self.profile,
                    "createdDateStart": f"{since:%Y-%m-%dT%H:%M:%S.000Z}",
                    "limit": str(PAGE),
                    "offset": str(page * PAGE),
                },
            )
            listed = required(answer).read(Transfers)
            for each in listed:
                if each.customer_transaction_id == wanted:
                    return each
            if len(listed) < PAGE:
                return None
        raise ProviderUnknown("it has more transfers since then than are looked at")


def transaction_id(key: str) -> str:
    """Our key as Wise takes one: the payout's id is a UUID in other letters."""
    return str(UUID(int=ids.decode(key)[1]))


def standing_of(transfer: Transfer) -> Standing:
    """Where a transfer that was paid for stands. What it takes is its quote's to say: its
    ``sourceValue`` is without the fee."""
    reference = str(transfer.id)
    if transfer.status == _PAID:
        return Standing(reference=reference, word=Word.paid)
    if transfer.status in _FAILED:
        why = f"Wise says that the transfer is {transfer.status}."
        return Standing(
            reference=reference, word=Word.failed, reason_code=transfer.status, reason=why
        )
    if transfer.has_active_issues:
        return Standing(reference=reference, word=Word.information_required, questions=[_ISSUES])
    return Standing(reference=reference, word=Word.processing)


def _made_at(key: str) -> datetime:
    return datetime.fromtimestamp((ids.decode(key)[1] >> 80) / 1_000, UTC)


def _details(wanted: Wanted) -> tuple[str, dict[str, Any]]:
    """Which kind of recipient a payee is; ProviderRefused for one that is not paid by this way."""
    payee = wanted.payee
    about = {"legalType": legal_type(payee.name)}
    if payee.iban is not None:
        return "iban", {**about, "IBAN": payee.iban}
    if wanted.currency == "gbp" and payee.number is not None and payee.bank_code is not None:
        digits = "".join(each for each in payee.bank_code if each.isdigit())
        return "sort_code", {**about, "sortCode": digits, "accountNumber": payee.number}
    raise ProviderRefused(
        "account_not_supported", "Wise is given IBANs, and sort codes with account numbers."
    )


def legal_type(name: str) -> str:
    """Does a name end as companies' names do?"""
    last = name.casefold().replace(".", "").split()[-1:]
    return "BUSINESS" if last and last[0] in _COMPANIES else "PRIVATE"


def _done(answer: Answered, *, is_quote: bool) -> Answered:
    """An answer that something was done; ProviderRefused for a definite no.

    ``is_quote``: a fault of the quote is the quote's alone.
    """
    if answer.status in (200, 201):
        return answer
    if answer.status in (400, 422):
        code, said, path = fault_of(answer)
        of_quote = is_quote and "quote" in f"{path} {code}".lower()
        raise ProviderRefused(code, said, is_quote=of_quote)
    return required(answer)


def _decimal(units: int, currency: str) -> Decimal:
    return Decimal(money.format_decimal(units, minor_units(currency)))
