"""An account pays a checkout from its balance: a transfer whose reason is the payment.

It moves in the ledger alone, at once, under what stops and limits transfers; whoever is paid bears
the fee of their schedule.
"""

from sakk.core import payment_credit as rules
from sakk.core.errors import ParameterInvalid, UnexpectedState
from sakk.core.payment import PaymentIntent, quote_of
from sakk.core.payment_credit import CreditKind, CreditStatus
from sakk.core.person import Actor
from sakk.core.transfer import BookTransfer
from sakk.flow import credit_fee
from sakk.flow import payment_credit as credits
from sakk.flow.context import Parts
from sakk.flow.money_request import decimals_of
from sakk.flow.transfer import TransferRequest, carry_out, intend
from sakk.store import checkout_session as sessions
from sakk.store import transfer as transfers


def pay(
    parts: Parts,
    token_hash: str,
    currency: str | None,
    *,
    transfer_id: str,
    account_id: str,
    livemode: bool,
    actor: Actor | None = None,
    request_id: str | None = None,
) -> BookTransfer:
    """Pay all that is due on a page, in one of the coins that it asks for; repeat under its id.

    Raises BalanceInsufficient, PermissionDenied, and UnexpectedState for a page that has ended.
    """
    with parts.database.begin() as connection:
        transfer = transfers.find(connection, transfer_id, account_id=account_id, livemode=livemode)
        if transfer is None:
            session = sessions.find_by_token(connection, token_hash)
            if session is None or session.livemode != livemode:
                raise ParameterInvalid("There is no such payment. Check the link.", param="session")
            now = parts.clock()
            intent = credits.lock_payable(connection, session.payment_intent, now=now)
            if intent.account_id == account_id:
                raise UnexpectedState("An account does not pay itself.")
            coin = currency or _coin(intent)
            rate = rules.coin_rate(intent, coin, coin_decimals=decimals_of(connection, coin))
            due = credits.due_of(connection, intent)
            transfer = intend(
                parts,
                connection,
                TransferRequest(
                    amount=rules.units_for(due, rate),
                    currency=coin,
                    destination=intent.account_id,
                    description=intent.description,
                ),
                identifier=transfer_id,
                account_id=account_id,
                livemode=livemode,
                actor=actor,
                reason=intent.id,
            )
            transfer = credit_fee.price_transfer(connection, transfer, now=now)
            credits.put(
                connection,
                intent,
                transfer.id,
                CreditKind.transfer,
                CreditStatus.requested,
                due,
                now=now,
            )
    return carry_out(parts, transfer, request_id=request_id)


def _coin(intent: PaymentIntent) -> str:
    """What is paid in when nobody says: the payment's own currency where it is a coin."""
    coins = [quote_of(each).currency for each in intent.quotes]
    return intent.currency if intent.currency in coins else coins[0]
