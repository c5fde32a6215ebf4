"""Aliases: by which names people pay an account, and the code that they scan.

An alias is an e-mail address, which is proved before it counts, or a handle, which is nobody's
proof but unique. What one account has had stays its own when it is released, until the operator
frees it by an act of its own: money never goes to whoever came later without anybody's knowledge.
Of a stranger's e-mail address nothing is told, and of a handle a name with most of it hidden.
"""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final
from urllib.parse import parse_qsl, quote, urlencode

from sakk.core import ids, money
from sakk.core.account import PREFIX as ACCOUNT_PREFIX
from sakk.core.errors import ParameterInvalid

PREFIX: Final = "als"
SCHEME: Final = "sakk:pay?"
ALIASES_MAX: Final = 10
CODE_LIFE: Final = timedelta(hours=24)
EMAIL_LENGTH_MAX: Final = 254
NOTE_LENGTH_MAX: Final = 140
MASKED_WORDS_MAX: Final = 3
HIDDEN: Final = "•••"
# Printable ASCII alone, so that no two addresses look the same.
_EMAIL = re.compile(r"[a-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[a-z0-9-]{1,63}(\.[a-z0-9-]{1,63})+")
_HANDLE = re.compile(r"[a-z][a-z0-9]*([._][a-z0-9]+)*")
HANDLE_LENGTH_MIN, HANDLE_LENGTH_MAX = 3, 30
# By which somebody could pass for the house.
_RESERVED: Final = frozenset(
    {"admin", "bank", "billing", "help", "official", "operator", "root", "sakk", "support"}
)


class AliasKind(StrEnum):
    email = "email"
    handle = "handle"


class AliasStatus(StrEnum):
    """``pending``: not proved. ``released``: given up, and nobody else's. ``freed``: anybody's."""

    pending = "pending"
    active = "active"
    released = "released"
    freed = "freed"


# While it is one of these no other account may have the same.
HELD: Final = (AliasStatus.active.value, AliasStatus.released.value)


@dataclass(frozen=True, slots=True)
class Alias:
    """One name of an account. ``code_hash``: SHA-256 of what proves the e-mail address."""

    id: str
    account_id: str
    livemode: bool
    kind: str
    value: str
    status: str
    code_hash: str | None
    code_expires_at: datetime | None
    activated_at: datetime | None
    metadata: dict[str, str]
    created: datetime


@dataclass(frozen=True, slots=True)
class Recipient:
    """Who is to be paid, as a payer wrote it. ``kind``: account, email or handle.

    ``amount`` (smallest unit), ``currency`` and ``note`` are what a scanned code asked for.
    """

    kind: str
    value: str
    amount: int | None = None
    currency: str | None = None
    note: str | None = None


def read_alias(kind: AliasKind, text: str, *, param: str = "value") -> str:
    """An alias as it is stored and compared; ParameterInvalid for one that can be none."""
    value = text.strip().lower()
    match kind:
        case AliasKind.email:
            return _email(value, param)
        case AliasKind.handle:
            return _handle(value.removeprefix("@"), param)


def _email(value: str, param: str) -> str:
    if len(value) > EMAIL_LENGTH_MAX or _EMAIL.fullmatch(value) is None:
        raise ParameterInvalid("This is not an e-mail address.", param=param)
    return value


def _handle(value: str, param: str) -> str:
    fits = HANDLE_LENGTH_MIN <= len(value) <= HANDLE_LENGTH_MAX
    if not fits or _HANDLE.fullmatch(value) is None:
        raise ParameterInvalid(
            "A handle has {least} to {most} letters and digits of ASCII, single dots or"
            " underscores between them, and begins with a letter.",
            param=param,
            least=HANDLE_LENGTH_MIN,
            most=HANDLE_LENGTH_MAX,
        )
    if not _RESERVED.isdisjoint(re.split(r"[._]", value)):
        raise ParameterInvalid(
            "This handle could pass for the house. Choose another one.", param=param
        )
    return value


def read_recipient(text: str, *, param: str = "destination") -> Recipient:
    """An account's id, an e-mail address, ``@handle`` or a scanned code; ParameterInvalid."""
    written = text.strip()
    if written.lower().startswith(SCHEME):
        return _scanned(written[len(SCHEME) :], param)
    if written.startswith("@"):
        return Recipient("handle", read_alias(AliasKind.handle, written, param=param))
    if "@" in written:
        return Recipient("email", read_alias(AliasKind.email, written, param=param))
    try:
        if ids.decode(written)[0] != ACCOUNT_PREFIX:
            raise ValueError(written)
    except ValueError:
        raise ParameterInvalid(
            "Name who is paid: an account's id, an e-mail address, or a handle such as @ann.",
            param=param,
        ) from None
    return Recipient("account", written)


def pay_code(
    to: str, *, amount: int | None = None, currency: str | None = None, note: str | None = None
) -> str:
    """The text of a QR code by which one is paid: ``sakk:pay?to=@ann&amount=5000&currency=usdc``.

    ``amount`` in the currency's smallest unit, so that no reader has to know its decimals.
    """
    fields = {"to": to, "amount": amount, "currency": currency, "note": note}
    given = {name: value for name, value in fields.items() if value is not None}
    return SCHEME + urlencode(given, quote_via=quote, safe="@")


def _scanned(query: str, param: str) -> Recipient:
    """What a code says: each field once, and none that a reader would pass over."""
    try:
        pairs = parse_qsl(query, strict_parsing=True, max_num_fields=4)
    except ValueError:
        raise _unreadable(param) from None
    fields = dict(pairs)
    amount, note = fields.get("amount"), fields.get("note")
    if (
        len(fields) != len(pairs)
        or not fields.keys() <= {"to", "amount", "currency", "note"}
        or fields.get("to", "").strip().lower().startswith(SCHEME)
        or (amount is None) != ("currency" not in fields)
        or (amount is not None and not _is_amount(amount))
    ):
        raise _unreadable(param)
    to = read_recipient(fields.get("to", ""), param=param)
    currency = fields.get("currency")
    if currency is not None and not (currency.isascii() and currency.isalnum()):
        raise _unreadable(param)
    return Recipient(
        to.kind,
        to.value,
        None if amount is None else int(amount),
        None if currency is None else currency.lower(),
        None if note is None else check_note(note, param=param),
    )


def _is_amount(text: str) -> bool:
    digits = text.isascii() and text.isdigit() and len(text) <= len(str(money.UNITS_MAX))
    return digits and 0 < int(text) <= money.UNITS_MAX


def _unreadable(param: str) -> ParameterInvalid:
    return ParameterInvalid("This is not a code by which somebody is paid.", param=param)


def check_note(text: str, *, param: str = "note") -> str:
    """A line that people read: nothing in it that hides or turns what stands beside it."""
    if not text.isprintable() or len(text) > NOTE_LENGTH_MAX:
        raise ParameterInvalid(
            "A note is one line of at most {most} characters that can be printed.",
            param=param,
            most=NOTE_LENGTH_MAX,
        )
    return text


def masked(name: str | None) -> str | None:
    """A name of which a payer who knows it recognises the rest: ``H••• C•••``.

    Of each word the first letter or digit, and nothing of its length; None where there is none.
    """
    initials = [
        next((letter for letter in word if letter.isalnum()), None) for word in (name or "").split()
    ]
    shown = [f"{initial}{HIDDEN}" for initial in initials if initial is not None]
    return " ".join(shown[:MASKED_WORDS_MAX]) or None


def public(alias: Alias) -> dict[str, Any]:
    """The API's object ``alias``."""
    return {
        "id": alias.id,
        "object": "alias",
        "account": alias.account_id,
        "activated_at": None if alias.activated_at is None else int(alias.activated_at.timestamp()),
        "created": int(alias.created.timestamp()),
        "kind": alias.kind,
        "livemode": alias.livemode,
        "metadata": alias.metadata,
        "status": alias.status,
        "value": alias.value,
    }


def public_recipient(to: Recipient, name: str | None, *, livemode: bool) -> dict[str, Any]:
    """The API's object ``recipient``. ``name`` as it is shown before anything is sent."""
    return {
        "object": "recipient",
        "amount": to.amount,
        "currency": to.currency,
        "kind": to.kind,
        "livemode": livemode,
        "name": name,
        "note": to.note,
        "to": f"@{to.value}" if to.kind == "handle" else to.value,
    }
