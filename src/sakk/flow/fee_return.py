"""What goes back of the fees of pay-ins: with refunds, and where the chain undoes a pay-in.

Of a payment's fees so much is back as its refunds are of what it received, never more, whatever the
chain undoes and makes again. What the merchant had of a fee by refunds that have ended is written
on a pay-in that is undone (``fee_given_back``); mined again it is charged its fee, and has that at
once (``fee_returned`` of the pay-in). Refunds under way are priced again. All of it under the lock
of the payment.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from sakk.core import fee as rules
from sakk.core.payin import PayIn, PayInStatus, credited_amount
from sakk.core.payout import Payout, PayoutStatus
from sakk.core.refund import Refund
from sakk.store import network
from sakk.store import payin as payins
from sakk.store import payout as payouts
from sakk.store import refund as refunds
from sakk.store.database import update_records

# Final on the chain: its fee is back, or is about to be.
_ENDED = (PayoutStatus.confirmed, PayoutStatus.posted)


def price(connection: Connection, refund: Refund) -> int:
    """What of its payment's fees goes back with a refund; what bounds it is locked."""
    standing = payins.list_credited(
        connection, payment_intent=refund.payment_intent, payin=refund.payin
    )
    in_coin = [row for row in standing if row.currency == refund.coin]
    charged = _returnable(in_coin)
    if not charged:
        return 0
    live = refunds.list_live(connection, payment_intent=refund.payment_intent, payin=refund.payin)
    before = [each for each in live if each.coin == refund.coin and each.id != refund.id]
    taken_back = 0
    if refund.payment_intent is not None and refund.payin is None:
        key = (refund.payment_intent, refund.coin)
        taken_back = payins.taken_back(connection, [refund.payment_intent]).get(key, 0)
    return rules.returned(
        charged=charged,
        received=_received(connection, in_coin),
        given=sum(each.coin_amount for each in before),
        giving=refund.coin_amount,
        returned_before=sum(each.fee_returned for each in before) - taken_back,
    )


def charged_of(connection: Connection, refund: Refund) -> list[PayIn]:
    """The pay-ins whose fees go back with a refund; where none stands, those that the chain undid
    while it was under way."""
    known = [
        row
        for row in payins.list_charged(
            connection, payment_intent=refund.payment_intent, payin=refund.payin
        )
        if row.currency == refund.coin and _is_returnable(row)
    ]
    standing = [row for row in known if row.status in _CREDITED and not row.orphaned]
    return standing or known


def weigh_undone(connection: Connection, rows: Sequence[PayIn]) -> list[PayIn]:
    """Pay-ins that the chain undid, with what their merchant has of their fees by refunds and has
    nothing any more that it is of; decided once. The payments are locked."""
    weighed: list[PayIn] = []
    above: dict[tuple[str | None, str | None, str], int] = {}
    for row in rows:
        if row.fee_given_back is not None or not (
            row.fee and _is_returnable(row) and row.status in _CREDITED and row.currency
        ):
            weighed.append(row)
            continue
        of_payment = row.payment_intent is not None and row.counts
        key = (
            row.payment_intent if of_payment else None,
            None if of_payment else row.id,
            row.currency,
        )
        if key not in above:
            above[key] = _above(connection, *key)
        share = min(row.fee, above[key])
        above[key] -= share
        weighed.append(replace(row, fee_given_back=share))
    return weighed


def give_at_once(connection: Connection, rows: Sequence[PayIn]) -> list[PayIn]:
    """Pay-ins with their fees, and with what of those refunds have due that were made before the
    chain undid their payment. No query where no fee may go back."""
    touched = {
        row.payment_intent
        for row in rows
        if row.payment_intent is not None and row.counts and row.fee and _is_returnable(row)
    }
    if not touched:
        return list(rows)
    taken_back = payins.taken_back(connection, touched)
    result = {row.id: row for row in rows}
    for row in sorted(rows, key=lambda row: row.id):
        key = (row.payment_intent or "", row.currency or "")
        if key not in taken_back or not (row.counts and row.fee and _is_returnable(row)):
            continue
        standing = _standing(connection, *key)
        # Of this batch, what is decided and not yet written.
        standing += [
            each
            for each in result.values()
            if (each.payment_intent, each.currency) == key and each.counts
        ]
        made = _made(connection, key[0], None, key[1])
        due = _due(connection, standing, made.given)
        back = min(row.fee, max(0, due - (made.returned - taken_back[key])))
        taken_back[key] -= back
        result[row.id] = replace(row, fee_returned=back)
        _price_again(connection, made, standing, taken_back=taken_back[key])
    return [result[row.id] for row in rows]


_CREDITED = (PayInStatus.posted, PayInStatus.released)


@dataclass(frozen=True, slots=True)
class _Made:
    """A payment's refunds of one coin: what has ended, and what is under way, oldest first."""

    given: int
    returned: int
    under_way: list[tuple[Refund, Payout | None]]


def _made(
    connection: Connection, payment_intent: str | None, payin: str | None, currency: str
) -> _Made:
    live = refunds.list_live(connection, payment_intent=payment_intent, payin=payin)
    given = returned = 0
    under_way: list[tuple[Refund, Payout | None]] = []
    for each in sorted(live, key=lambda each: each.id):
        if each.coin != currency:
            continue
        payout = None if each.payout is None else payouts.lock_one(connection, each.payout)
        if payout is not None and payout.status in _ENDED:
            given += each.coin_amount
            returned += each.fee_returned
        else:
            under_way.append((each, payout))
    return _Made(given, returned, under_way)


def _above(
    connection: Connection, payment_intent: str | None, payin: str | None, currency: str
) -> int:
    """What refunds that have ended gave back of fees beyond what stands now asks for; those under
    way give back no more than that."""
    made = _made(connection, payment_intent, payin, currency)
    standing: list[PayIn] = []
    before = 0
    if payment_intent is not None:
        standing = _standing(connection, payment_intent, currency)
        key = (payment_intent, currency)
        before = payins.taken_back(connection, [payment_intent]).get(key, 0)
    above = max(0, made.returned - before - _due(connection, standing, made.given))
    _price_again(connection, made, standing, taken_back=before + above)
    return above


def _price_again(
    connection: Connection, made: _Made, standing: Sequence[PayIn], *, taken_back: int
) -> None:
    """Refunds under way give back what they do by what stands now."""
    given, returned = made.given, made.returned - taken_back
    charged, received = _returnable(standing), _received(connection, standing)
    for refund, payout in made.under_way:
        back = rules.returned(
            charged=charged,
            received=received,
            given=given,
            giving=refund.coin_amount,
            returned_before=returned,
        )
        given, returned = given + refund.coin_amount, returned + back
        if back == refund.fee_returned:
            continue
        update_records(connection, refunds.refunds, [{"id": refund.id, "fee_returned": back}])
        if payout is not None:
            update_records(connection, payouts.payouts, [{"id": payout.id, "fee_returned": back}])


def _standing(connection: Connection, payment_intent: str, currency: str) -> list[PayIn]:
    """What was credited of a payment and stands, and what will be: its fee is decided."""
    return [
        row
        for row in payins.list_charged(connection, payment_intent=payment_intent, payin=None)
        if row.currency == currency
        and row.status in (*_CREDITED, PayInStatus.screened)
        and not row.orphaned
    ]


def _is_returnable(row: PayIn) -> bool:
    terms = row.fee_terms
    return terms is not None and terms["on_refund"] == rules.OnRefund.returned


def _returnable(rows: Sequence[PayIn]) -> int:
    return sum(row.fee for row in rows if _is_returnable(row))


def _due(connection: Connection, standing: Sequence[PayIn], given: int) -> int:
    return rules.due_back(
        charged=_returnable(standing), received=_received(connection, standing), given=given
    )


def _received(connection: Connection, rows: Sequence[PayIn]) -> int:
    """What was credited of pay-ins, in their coin's unit."""
    decimals = {each.asset: each.decimals for each in network.list_assets(connection)}
    return sum(
        credited_amount(
            row.credit_units or 0,
            asset_decimals=decimals[row.asset],
            currency_decimals=row.decimals or 0,
        )[0]
        for row in rows
    )
