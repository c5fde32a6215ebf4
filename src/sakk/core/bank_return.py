"""Bank returns: money in suspense that goes back to its sender, by two people and one order.

``awaiting`` a second person, then ``confirmed`` (or ``declined``): from then on the line is nobody
else's to assign. Its sender's name is held against the lists, and an order is written for it, in a
file of its own: ``ordered → sent → accepted → booked``. The money stands in suspense until a
statement shows its debit, and is moved by that line alone: up to what was agreed to, and what is
beyond it stays in suspense as a difference. A debit ends a return that the bank had refused, too: a
statement says what moved. What the bank refuses (``rejected``),
what screening finds (``stopped``), and what comes back after it was booked (``returned``) is in
suspense again, and may be sent back anew, by a return of its own.

It goes to the account that the line names and to no other. Where the bank named none that can be
paid, the two people say it, and confirm it with everything else.
"""

from dataclasses import dataclass, replace
from datetime import date, datetime
from enum import StrEnum
from typing import Any, Final

from sakk.core import chart, money
from sakk.core.bank_account import BankTerms, Place, Profile, is_iban, is_sepa
from sakk.core.bank_payment import StatusWord
from sakk.core.bank_statement import BankLine, Outcome, waits_for_person
from sakk.core.chart import TransferCode
from sakk.core.errors import ApprovalStale, ParameterInvalid, UnexpectedState
from sakk.core.posting import Posting
from sakk.core.proposal import SecondPerson, digest_words

PREFIX: Final = "bret"
NOTE_LENGTH_MAX: Final = 500


class BankReturnStatus(StrEnum):
    awaiting = "awaiting"
    declined = "declined"
    confirmed = "confirmed"
    stopped = "stopped"
    ordered = "ordered"
    sent = "sent"
    accepted = "accepted"
    booked = "booked"
    rejected = "rejected"
    returned = "returned"


# Of these no statement has shown the money going yet, and the bank may have the order.
UNDER_WAY: Final = (
    BankReturnStatus.ordered,
    BankReturnStatus.sent,
    BankReturnStatus.accepted,
)
# A line has one of these at most.
STANDING: Final = (BankReturnStatus.awaiting, BankReturnStatus.confirmed, *UNDER_WAY)


@dataclass(frozen=True, slots=True, kw_only=True)
class BankReturn:
    """One return of a line's money. ``units``: the whole of it; ``fee_max``: what the bank may take
    besides, of the operator's; ``fee_units``: what it took. ``difference_units``: what
    it took beyond both, or (below zero) sent too little; that stays in suspense for people.

    ``holder`` and the account: who is paid; ``by_hand``: the account was said by people, since the
    line names none. ``line_outcome``: what the line was before. ``debit_line``: the line of a
    statement that shows it going, ``return_line`` the one by which it came back.
    """

    id: str
    livemode: bool
    line: str
    bank_account: str
    units: int
    currency: str
    decimals: int
    holder: str
    country: str | None = None
    iban: str | None = None
    bic: str | None = None
    number: str | None = None
    bank_code: str | None = None
    by_hand: bool
    fee_max: int
    note: str | None
    line_outcome: str
    status: str
    end_to_end_id: str
    proposed_by: str
    decided_by: str | None = None
    decided_at: datetime | None = None
    file: str | None = None
    number_in_file: int | None = None
    execution_date: date | None = None
    fee_units: int = 0
    difference_units: int = 0
    screening: str | None = None
    reason_code: str | None = None
    reason: str | None = None
    debit_line: str | None = None
    return_line: str | None = None
    created: datetime
    ended_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Payee:
    """Who is paid, and where: see `BankReturn`."""

    holder: str
    place: Place
    by_hand: bool


def check_line(line: BankLine, *, is_case_open: bool) -> None:
    """UnexpectedState for a line whose money is not there to be sent back.

    ``is_case_open``: of a line that screening held.
    """
    if not waits_for_person(line):
        raise UnexpectedState("Only money that came in and stands in suspense is sent back.")
    if line.outcome == Outcome.held and is_case_open:
        raise UnexpectedState("Its case is open: two people close it first.")


def account_of(line: BankLine) -> str | None:
    """The IBAN of the sender's account, where the bank named one."""
    told = line.counterparty_iban
    return told if told is not None and is_iban(told) else None


def sender_of(line: BankLine) -> str | None:
    """The sender's name, where the bank gave one that can be written."""
    name = line.counterparty_name
    return name if name is not None and name.isprintable() else None


def payee_of(line: BankLine, *, holder: str | None, said: Place | None) -> Payee:
    """Who is paid: whom the line names, and what people ``said`` only where it does not.

    ParameterInvalid names the field.
    """
    name = sender_of(line)
    if holder is not None and name is not None:
        raise ParameterInvalid(
            "The bank names the sender of this line: leave holder out.", param="holder"
        )
    told = (name if holder is None else " ".join(holder.split())) or ""
    if not told or not told.isprintable():
        raise ParameterInvalid(
            "The bank names no sender: give holder, as the bank tells it when asked.",
            param="holder",
        )
    iban = account_of(line)
    if iban is not None:
        if said is not None:
            raise ParameterInvalid(
                "The line names the sender's account: money goes back there alone. Leave it out.",
                param="iban",
            )
        # A bank's identifier that the line has may be any bank's on the way: the IBAN says it.
        return Payee(told, Place(iban[:2], "".join(iban.split()).upper(), None, None, None), False)
    if said is None:
        raise ParameterInvalid(
            "The line names no account with an IBAN: give iban, or number, country and bank_code,"
            " as the bank tells them when asked.",
            param="iban",
        )
    return Payee(told, said, True)


def check_place(place: Place, terms: BankTerms) -> None:
    """ParameterInvalid for an account that orders from this one can not go to."""
    if terms.profile is Profile.sepa and (place.iban is None or not is_sepa(place.iban)):
        raise ParameterInvalid(
            "The operator's account pays IBANs of SEPA alone (profile sepa): ask its bank to send"
            " the money back.",
            param="iban",
        )


def digest_of(row: BankReturn) -> str:
    """SHA-256 of what is confirmed: which money goes where, who says so, and what it may cost."""
    words = [
        "sakk bank return v1",
        row.id,
        row.line,
        f"{row.units} {row.currency}",
        row.bank_account,
        row.holder,
        *(str(each) for each in (row.country, row.iban, row.bic, row.number, row.bank_code)),
        str(row.by_hand),
        str(row.fee_max),
        row.proposed_by,
        row.created.isoformat(),
        str(row.note),
    ]
    return digest_words(words)


def confirmed(row: BankReturn, second: SecondPerson, *, now: datetime) -> BankReturn:
    """The return as a second person leaves it; SamePerson, ApprovalStale."""
    second.check(
        proposed_by=row.proposed_by,
        shown=digest_of(row),
        stale=ApprovalStale(
            "This is not what you were shown: look at the line again.", param="digest"
        ),
    )
    return replace(
        row, status=BankReturnStatus.confirmed.value, decided_by=second.name, decided_at=now
    )


def remittance_of(line: BankLine) -> str:
    """What its sender reads with it: what they wrote, and that it is sent back."""
    words = line.remittance or line.bank_reference or line.id
    return f"Return: {words}"


def carries_out(row: BankReturn, line: BankLine) -> bool:
    """Is a line, which has this return's name, its debit? Of whatever amount: see `split`."""
    may_be = (*UNDER_WAY, BankReturnStatus.rejected)
    return row.status in may_be and row.bank_account == line.bank_account and line.units < 0


def split(row: BankReturn, line: BankLine) -> tuple[int, int, int]:
    """A debit as what goes out of suspense, the bank's fee, and the difference to what was agreed
    to: above zero what is beyond both, below zero what is missing of the first."""
    gone = min(-line.units, row.units)
    fee = min(-line.units - gone, row.fee_max)
    return gone, fee, -line.units - row.units if gone < row.units else -line.units - gone - fee


def comes_back(row: BankReturn, line: BankLine) -> bool:
    """Is a line this return's money, given back after it was booked?"""
    is_back = line.return_code is not None or line.is_reversal
    return (
        row.status == BankReturnStatus.booked
        and row.bank_account == line.bank_account
        and line.units == row.units
        and is_back
    )


def told(row: BankReturn, word: StatusWord, *, now: datetime) -> BankReturn:
    """A return after a status report; what is not under way, no report changes."""
    if row.status not in UNDER_WAY or word is StatusWord.nothing:
        return row
    if word is StatusWord.accepted:
        return replace(row, status=BankReturnStatus.accepted.value)
    return replace(row, status=BankReturnStatus.rejected.value, ended_at=now)


def postings(row: BankReturn, line: BankLine) -> list[Posting]:
    """What the debit ``line`` of a return moves: what was to go and what the bank may take, and the
    rest of it as a debit that nobody ordered."""
    unit = chart.currency_unit(line.currency, livemode=line.livemode)
    bank = chart.bank(line.bank_account, unit)
    waiting = chart.bank_suspense(line.bank_account, unit)
    gone, fee, difference = split(row, line)
    moved = [Posting(waiting, bank, gone, TransferCode.bank_sent_back)]
    if fee:
        moved.append(Posting(chart.fee_network(unit), bank, fee, TransferCode.bank_return_fee))
    if difference > 0:
        moved.append(Posting(waiting, bank, difference, TransferCode.bank_suspended))
    return moved


def public(row: BankReturn) -> dict[str, Any]:
    """The API's object ``bank_return``; the operator's alone."""
    waits = row.status == BankReturnStatus.awaiting
    decided, ended = row.decided_at, row.ended_at
    return {
        "id": row.id,
        "object": "bank_return",
        "amount": row.units,
        "amount_decimal": money.format_decimal(row.units, row.decimals),
        "bank_account": row.bank_account,
        "bank_code": row.bank_code,
        "bic": row.bic,
        "by": row.proposed_by,
        "by_hand": row.by_hand,
        "country": row.country,
        "created": int(row.created.timestamp()),
        "currency": row.currency,
        "debit_line": row.debit_line,
        "decided_at": None if decided is None else int(decided.timestamp()),
        "decided_by": row.decided_by,
        "difference": row.difference_units,
        "digest": digest_of(row) if waits else None,
        "end_to_end_id": row.end_to_end_id,
        "ended_at": None if ended is None else int(ended.timestamp()),
        "execution_date": None if row.execution_date is None else row.execution_date.isoformat(),
        "fee": row.fee_units,
        "fee_max": row.fee_max,
        "file": row.file,
        "holder": row.holder,
        "iban": row.iban,
        "line": row.line,
        "livemode": row.livemode,
        "metadata": {},
        "note": row.note,
        "number": row.number,
        "reason": row.reason,
        "reason_code": row.reason_code,
        "return_line": row.return_line,
        "status": row.status,
    }
