"""Gift cards: money of an issuer's that whoever knows a code may redeem, in parts or whole.

Each card has a ledger account of its own, into which its issuer pays what it is worth; nothing else
is its balance. What nobody redeems stays owed: no act books it as revenue. A code has 130 bits that
only the installation's vault can make, of which the SHA-256 alone is kept.

A card never expires unless its issuer says when, and then not before the law of its country allows.
``requested → inactive → active``, or ``rejected``; ``frozen`` and back, or ``replaced``.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final, NamedTuple

from sakk.core import chart, ids, money
from sakk.core.chart import TransferCode
from sakk.core.errors import ParameterInvalid, UnexpectedState
from sakk.core.policy import TRANSFER, Facts
from sakk.core.posting import Posting

PREFIX: Final = "gc"
MOVEMENT_PREFIX: Final = "gcm"
CODE_CHARACTERS: Final = 26
GROUP: Final = 5
HINT_CHARACTERS: Final = 4
# Wrong codes that one account may try; it is the guesser who waits, and never a card.
WRONG_MAX: Final = 20
WRONG_WINDOW_SECONDS: Final = 600
# Central European time in winter, of the country whose minimum counts from the end of a year.
YEAR_BEGINS_EARLIER: Final = timedelta(hours=1)
# What people type for what is not in the alphabet (Crockford).
_TYPED = str.maketrans({"o": "0", "i": "1", "l": "1", "-": "", " ": ""})


class GiftCardStatus(StrEnum):
    requested = "requested"
    inactive = "inactive"
    active = "active"
    frozen = "frozen"
    replaced = "replaced"
    rejected = "rejected"


class MovementKind(StrEnum):
    issue = "issue"
    redeem = "redeem"
    refund = "refund"
    replacement = "replacement"
    lapse = "lapse"


class Redeemable(StrEnum):
    """By whom: at the ``issuer``, who is shown the code, or by any ``holder`` for their balance."""

    issuer = "issuer"
    holder = "holder"


class Minimum(NamedTuple):
    """The law's least life of a card. ``years`` None: it may not expire at all."""

    years: int | None
    from_end_of_year: bool
    source: str


# A country that is not here is refused an expiry: what its law asks is not written down.
MINIMUMS: Final[Mapping[str, Minimum]] = {
    # A shorter life by general terms is void without a good reason: 2 and 3 years were.
    "AT": Minimum(30, False, "ABGB §§ 1478, 879(3); OGH 28.6.2012, 7 Ob 22/12d"),
    # Since 1 November 2019: Competition and Consumer Amendment (Gift Cards) Act 2018.
    "AU": Minimum(3, False, "Australian Consumer Law, s 99B"),
    "CA": Minimum(None, False, "Ontario: O. Reg. 17/05, s 25.3; Québec: CPA, s 187.3"),
    "DE": Minimum(3, True, "BGB §§ 195, 199(1), 307(1); OLG München 17.1.2008, 29 U 3193/07"),
    # Since 2 December 2019, in the Consumer Protection Act 2007.
    "IE": Minimum(5, False, "Consumer Protection (Gift Vouchers) Act 2019"),
    # Since 16 March 2026, in the Fair Trading Act 1986.
    "NZ": Minimum(3, False, "Fair Trading (Gift Card Expiry) Amendment Act 2024"),
    # The federal minimum; states ask for more, and some allow no expiry (15 U.S.C. § 1693q).
    "US": Minimum(5, False, "15 U.S.C. § 1693l-1(c); 12 CFR 1005.20(e)"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class GiftCard:
    """One card; amounts in the currency's smallest unit.

    ``balance``: what movements that have ended left of it, the same as its ledger account when none
    is on its way. ``hint``: the code's last characters.
    """

    id: str
    account_id: str
    livemode: bool
    amount: int
    balance: int
    currency: str
    decimals: int
    status: str
    redeemable: str
    country: str | None
    expires_at: datetime | None
    code_hash: str
    hint: str
    replaces: str | None
    metadata: dict[str, str]
    created: datetime
    batch: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GiftCardMovement:
    """Money onto a card, or off it. Statuses: requested, posted, rejected.

    What pays at a checkout (``payment_intent``) is ``held`` until the rest of the payment is there,
    or ``released``.

    ``account_id``: whose balance is on the other side. ``other``: the card that replaces this one,
    or the redemption that a refund gives back. ``destination``: the other account that is paid, if
    one is: who redeems, or to whose card is given back. ``initiator``: the API key or person.
    """

    id: str
    card: str
    account_id: str
    livemode: bool
    kind: str
    amount: int
    currency: str
    decimals: int
    other: str | None
    status: str
    failure_code: str | None
    description: str | None
    metadata: dict[str, str]
    created: datetime
    destination: str | None = None
    payment_intent: str | None = None
    batch: str | None = None
    initiator: str | None = None
    initiator_person: str | None = None
    # What whoever is paid by it is charged, by which price, and how much of that a refund returns.
    fee: int = 0
    fee_terms: dict[str, Any] | None = None
    fee_returned: int = 0


def write_code(random: int) -> str:
    """A code as people read it, of at least 130 random bits: ``7k3m9-…``."""
    characters = "".join(
        ids.ALPHABET[(random >> (5 * place)) & 31] for place in range(CODE_CHARACTERS)
    )
    return "-".join(characters[at : at + GROUP] for at in range(0, CODE_CHARACTERS, GROUP))


def hash_code(code: str) -> str:
    """What is kept of a code, however it was typed; ParameterInvalid for what can be none."""
    typed = code.strip().lower().translate(_TYPED)
    if len(typed) != CODE_CHARACTERS or not set(typed) <= set(ids.ALPHABET):
        raise ParameterInvalid("This is not the code of a gift card.", param="code")
    return hashlib.sha256(typed.encode()).hexdigest()


def hint_of(code: str) -> str:
    """By which people tell their cards apart."""
    return code.replace("-", "")[-HINT_CHARACTERS:]


def check_expiry(expires_at: datetime | None, country: str | None, *, now: datetime) -> None:
    """ParameterInvalid for an expiry before the law of the card's country allows one."""
    if expires_at is None:
        return
    minimum = MINIMUMS.get(country or "")
    if minimum is None:
        raise ParameterInvalid(
            "A card that expires names its country, one of {known}: of others the law's minimum is"
            " not written down here. Leave expires_at out, and it never expires.",
            param="country",
            known=", ".join(sorted(MINIMUMS)),
        )
    least = earliest_expiry(minimum, now=now)
    if least is None or expires_at < least:
        raise ParameterInvalid(
            "By the law of {country} ({source}) a card may not expire {when}.",
            param="expires_at",
            country=country,
            source=minimum.source,
            when="at all" if least is None else f"before {least.date().isoformat()}",
        )


def earliest_expiry(minimum: Minimum, *, now: datetime) -> datetime | None:
    """When a card that is issued now may expire; None: never."""
    if minimum.years is None:
        return None
    if minimum.from_end_of_year:
        # In the last hours of a year it is the next one there already.
        there = now + YEAR_BEGINS_EARLIER
        return datetime(there.year + minimum.years + 1, 1, 1, tzinfo=UTC)
    # The first of the month after the anniversary: no leap day and no time zone comes short of it.
    month = now.year * 12 + now.month + minimum.years * 12
    return datetime(month // 12, month % 12 + 1, 1, tzinfo=UTC)


def check_redeemable(card: GiftCard, by: str, *, now: datetime) -> None:
    """UnexpectedState for a card that can not be redeemed by this account, with a reason."""
    if card.status != GiftCardStatus.active:
        raise UnexpectedState(
            "This card is {status}: nothing is redeemed of it.", status=card.status
        )
    if card.expires_at is not None and card.expires_at <= now:
        raise UnexpectedState("This card has expired. Ask who issued it.")
    if card.redeemable == Redeemable.issuer and by != card.account_id:
        raise UnexpectedState("This card is redeemed at its issuer: show the code there.")


def amount_to_redeem(card: GiftCard, wanted: int | None, *, left: int) -> int:
    """What is taken off a card: all that is left, or less; ParameterInvalid for more."""
    if wanted is not None and wanted > left:
        raise ParameterInvalid(
            "{amount} {currency} is left on this card.",
            param="amount",
            amount=money.format_decimal(left, card.decimals),
            currency=card.currency,
        )
    return left if wanted is None else wanted


def postings(movement: GiftCardMovement) -> list[Posting]:
    unit = chart.currency_unit(movement.currency, livemode=movement.livemode)
    balance = chart.merchant(movement.account_id, "available", unit)
    card = chart.gift_card(movement.card, unit)
    match MovementKind(movement.kind):
        case MovementKind.issue:
            legs = (balance, card, TransferCode.gift_card_issued)
        case MovementKind.redeem:
            legs = (card, balance, TransferCode.gift_card_redeemed)
        case MovementKind.refund:
            legs = (balance, card, TransferCode.gift_card_refunded)
        case MovementKind.replacement:
            assert movement.other is not None, "a replacement names the new card"
            legs = (card, chart.gift_card(movement.other, unit), TransferCode.gift_card_replaced)
        case MovementKind.lapse:
            legs = (card, balance, TransferCode.gift_card_lapsed)
    moved = [Posting(legs[0], legs[1], movement.amount, legs[2])]
    earned = chart.fee_revenue(unit)
    if movement.fee:
        moved.append(Posting(balance, earned, movement.fee, TransferCode.gift_card_fee))
    if movement.fee_returned:
        # First, so that a balance that has what was left of it covers all of it again.
        code = TransferCode.gift_card_fee_returned
        moved.insert(0, Posting(earned, balance, movement.fee_returned, code))
    return moved


def change_of(movement: GiftCardMovement) -> int:
    """What a posted movement does to its card's balance."""
    match MovementKind(movement.kind):
        case MovementKind.issue | MovementKind.refund:
            return movement.amount
        case MovementKind.redeem | MovementKind.replacement | MovementKind.lapse:
            return -movement.amount


def facts_of(card: GiftCard, movement: GiftCardMovement) -> Facts:
    """As what transfer a policy judges a movement: of the card's issuer, or of who gives back.

    Who redeems another's card asks for it as nobody of the payer's.
    """
    is_taken = movement.kind == MovementKind.redeem
    return Facts(
        account=card.account_id if is_taken else movement.account_id,
        currency=movement.currency,
        decimals=movement.decimals,
        network="",
        asset="",
        destination=movement.destination or "",
        amount=movement.amount,
        purpose=TRANSFER,
        key=None if is_taken else movement.initiator,
        person=None if is_taken else movement.initiator_person,
    )


def public(card: GiftCard) -> dict[str, Any]:
    """The API's object ``gift_card``, for its issuer."""
    return {
        "id": card.id,
        "object": "gift_card",
        "account": card.account_id,
        "amount": card.amount,
        "balance": card.balance,
        "balance_decimal": money.format_decimal(card.balance, card.decimals),
        "batch": card.batch,
        "code": None,
        "country": card.country,
        "created": int(card.created.timestamp()),
        "currency": card.currency,
        "expires_at": None if card.expires_at is None else int(card.expires_at.timestamp()),
        "hint": card.hint,
        "livemode": card.livemode,
        "metadata": card.metadata,
        "redeemable": card.redeemable,
        "replaces": card.replaces,
        "status": card.status,
    }


def public_for_holder(card: GiftCard, issuer: str | None) -> dict[str, Any]:
    """The API's object ``gift_card_standing``: what who knows the code may know."""
    return {
        "object": "gift_card_standing",
        "balance": card.balance,
        "balance_decimal": money.format_decimal(card.balance, card.decimals),
        "currency": card.currency,
        "expires_at": None if card.expires_at is None else int(card.expires_at.timestamp()),
        "issuer": issuer,
        "livemode": card.livemode,
        "redeemable": card.redeemable,
        "status": card.status,
    }


def public_movement(movement: GiftCardMovement, *, for_issuer: bool = False) -> dict[str, Any]:
    """The API's object ``gift_card_movement``.

    A card's issuer does not see the notes of whoever redeemed it elsewhere, or of their programs.
    """
    return {
        "id": movement.id,
        "object": "gift_card_movement",
        "account": movement.account_id,
        "amount": movement.amount,
        "amount_decimal": money.format_decimal(movement.amount, movement.decimals),
        "created": int(movement.created.timestamp()),
        "currency": movement.currency,
        "description": None if for_issuer else movement.description,
        "failure_code": movement.failure_code,
        "gift_card": movement.card,
        "kind": movement.kind,
        "livemode": movement.livemode,
        "metadata": {} if for_issuer else movement.metadata,
        "other": movement.other,
        "payment_intent": movement.payment_intent,
        "status": movement.status,
    }
