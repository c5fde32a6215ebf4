"""Checkout sessions: begin one, show it, call it off, and what its page needs to know."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from sakk.core import checkout_session as rules
from sakk.core import claim
from sakk.core.account import PaymentPolicy
from sakk.core.branding import Branding
from sakk.core.checkout_session import Arrival, CheckoutSession, Line, Progress
from sakk.core.errors import ResourceMissing, UnexpectedState
from sakk.core.network import Currency, Network
from sakk.core.payin import PayIn, PayInStatus
from sakk.core.payment import PaymentIntent, enough
from sakk.core.refund import RefundStatus
from sakk.flow import payment
from sakk.flow import refund as refund_flow
from sakk.flow.context import Parts
from sakk.flow.gift_card_payment import Applied, applied
from sakk.flow.payment import Catalogue, PaymentRequest
from sakk.flow.refund_draft import RefundRequest
from sakk.store import account as accounts
from sakk.store import branding as brandings
from sakk.store import checkout_session as store
from sakk.store import network
from sakk.store import payin as payins
from sakk.store import payment as payments
from sakk.store import payment_link as payment_links
from sakk.store import refund as refunds
from sakk.store.vault import Vault


@dataclass(frozen=True, slots=True)
class SessionRequest:
    """What a page is to ask for. ``payment`` has the amount; ``lines`` come to it."""

    payment: PaymentRequest
    lines: Sequence[Line]
    success_url: str | None = None
    cancel_url: str | None = None
    client_reference_id: str | None = None
    locale: str | None = None
    metadata: dict[str, str] | None = None
    payment_link: str | None = None
    pos_device: str | None = None


def token_of(vault: Vault, identifier: str) -> str:
    """The token in the address of a page: only this installation's vault can make it again."""
    return claim.make_token(vault.derive(f"page {identifier}"))


def create(
    connection: Connection,
    catalogue: Catalogue,
    vault: Vault,
    request: SessionRequest,
    *,
    identifier: str,
    intent_id: str,
    account_id: str,
    livemode: bool,
    now: datetime,
    request_id: str | None = None,
) -> tuple[CheckoutSession, PaymentIntent]:
    """Begin a session: a payment intent, and the page on which it is paid."""
    intent = payment.create(
        connection,
        catalogue,
        request.payment,
        identifier=intent_id,
        account_id=account_id,
        livemode=livemode,
        now=now,
        request_id=request_id,
    )
    session = CheckoutSession(
        id=identifier,
        account_id=account_id,
        livemode=livemode,
        payment_intent=intent.id,
        token_hash=claim.token_hash(token_of(vault, identifier)),
        lines=[line.document() for line in request.lines],
        success_url=request.success_url,
        cancel_url=request.cancel_url,
        client_reference_id=request.client_reference_id,
        locale=request.locale,
        metadata=request.metadata or {},
        created=now,
        payment_link=request.payment_link,
        pos_device=request.pos_device,
    )
    store.insert(connection, session)
    return session, intent


def find(
    connection: Connection, identifier: str, *, account_id: str | None, livemode: bool
) -> tuple[CheckoutSession, PaymentIntent]:
    """A session of an account, or of any (None), with its payment; ResourceMissing."""
    session = store.find(connection, identifier, account_id=account_id, livemode=livemode)
    if session is None:
        raise ResourceMissing(
            "No such checkout.session: {identifier}", param="id", identifier=repr(identifier)
        )
    return session, _intent(connection, session)


def expire(
    connection: Connection,
    identifier: str,
    *,
    account_id: str,
    livemode: bool,
    now: datetime,
    request_id: str | None = None,
) -> tuple[CheckoutSession, PaymentIntent]:
    """Call a session off that nobody has begun to pay; UnexpectedState for any other."""
    session, intent = find(connection, identifier, account_id=account_id, livemode=livemode)
    if not rules.is_open(intent):
        raise UnexpectedState(
            "This session is {intent}: only an open one can be called off.",
            intent=rules.status_of(intent),
        )
    canceled = payment.cancel(
        connection,
        intent.id,
        account_id=account_id,
        livemode=livemode,
        reason="abandoned",
        now=now,
        request_id=request_id,
    )
    return session, canceled


def annotate(
    connection: Connection,
    identifier: str,
    metadata: dict[str, str],
    *,
    account_id: str,
    livemode: bool,
) -> tuple[CheckoutSession, PaymentIntent]:
    """Change what is only the merchant's note."""
    session, intent = find(connection, identifier, account_id=account_id, livemode=livemode)
    changed = replace(session, metadata=metadata)
    store.write_metadata(connection, changed)
    return changed, intent


def show(
    connection: Connection, vault: Vault, sessions: Sequence[CheckoutSession], *, public_url: str
) -> list[dict[str, Any]]:
    """The API's objects, with the addresses of their pages."""
    intents = payments.find_many(connection, [each.payment_intent for each in sessions])
    return [
        rules.public(
            each,
            intents[each.payment_intent],
            url=public_url + rules.page_path(token_of(vault, each.id)),
        )
        for each in sessions
    ]


@dataclass(frozen=True, slots=True)
class Look:
    """All that a page says of a session. ``message``: what its link says when it is paid."""

    session: CheckoutSession
    intent: PaymentIntent
    progress: Progress
    merchant: str | None
    branding: Branding | None
    networks: Mapping[str, Network]
    currencies: Mapping[str, Currency]
    claim_hash: str | None
    difference: PayIn | None
    message: str | None
    gift_cards: Sequence[Applied]


def look(connection: Connection, token_hash: str) -> Look:
    """What the holder of a page's address may know; ResourceMissing when it is nobody's."""
    session = store.find_by_token(connection, token_hash)
    if session is None:
        raise ResourceMissing(
            "There is no such payment. Check the link, or ask the merchant for a new one.",
            param="token",
        )
    return look_at(connection, session)


def look_at(connection: Connection, session: CheckoutSession) -> Look:
    """The same of a session that is known."""
    intent = _intent(connection, session)
    account = accounts.find_account(connection, session.account_id)
    arrived = store.arrivals(connection, [intent.id]).get(intent.id, [])
    claim_hash, difference = _owed(connection, session)
    return Look(
        session=session,
        intent=intent,
        progress=_progress(connection, intent, arrived),
        merchant=None if account is None else account.name,
        branding=brandings.find(connection, session.account_id),
        networks={each.network: each for each in network.list_networks(connection)},
        currencies={each.currency: each for each in network.list_currencies(connection)},
        claim_hash=claim_hash,
        difference=difference,
        gift_cards=applied(connection, intent)
        if intent.amount_held or intent.amount_credited
        else [],
        message=None
        if session.payment_link is None
        else payment_links.find_message(connection, session.payment_link),
    )


def progress(
    connection: Connection, sessions: Sequence[CheckoutSession]
) -> dict[str, tuple[PaymentIntent, Progress]]:
    """Where many sessions stand, by their ids, in a few questions."""
    intents = payments.find_many(connection, [each.payment_intent for each in sessions])
    arrived = store.arrivals(connection, intents)
    return {
        each.id: (
            intents[each.payment_intent],
            _progress(
                connection, intents[each.payment_intent], arrived.get(each.payment_intent, [])
            ),
        )
        for each in sessions
    }


def claim_difference(parts: Parts, token_hash: str) -> None:
    """Let the payer say where what was paid too much goes back to.

    Only where the account's policy has set it apart for them (``over: refund_due``): then it stands
    in suspense, and is nobody's income. Its refund has the pay-in's own id with another prefix, so
    that asked for twice it is the same.
    """
    with parts.database.begin() as connection:
        found = look(connection, token_hash)
    if found.difference is None or found.claim_hash is not None:
        return
    refund_flow.create(
        parts,
        RefundRequest(
            payin=found.difference.id,
            claim_hash=claim.token_hash(secrets.token_urlsafe(claim.TOKEN_RANDOM_BYTES)),
            description="Paid above the amount; asked back on the checkout page.",
        ),
        identifier=_difference_id(found.difference),
        account_id=found.session.account_id,
        livemode=found.session.livemode,
    )


def _intent(connection: Connection, session: CheckoutSession) -> PaymentIntent:
    intent = payments.find(
        connection,
        session.payment_intent,
        account_id=session.account_id,
        livemode=session.livemode,
    )
    assert intent is not None, "a session is written with its payment intent"
    return intent


def _progress(
    connection: Connection, intent: PaymentIntent, arrived: Sequence[Arrival]
) -> Progress:
    policy = accounts.policy(connection, {intent.account_id}).get(
        intent.account_id, PaymentPolicy()
    )
    return rules.progress_of(intent, arrived, least=enough(intent.amount, policy))


def _owed(connection: Connection, session: CheckoutSession) -> tuple[str | None, PayIn | None]:
    """What the holder of the page may have sent back: the claim of what was asked back here, and a
    pay-in of which a part stands in suspense for its payer and nobody has asked for it.

    Refunds that a merchant made have links of their own, which the merchant gave to somebody. The
    page of a till's sale is shown to whoever stands before it, so nothing is given back there.
    """
    if session.pos_device is not None:
        return None, None
    claim_hash = difference = None
    for payin in payins.list_over(connection, session.payment_intent):
        asked = refunds.list_live(connection, payin=payin.id)
        for refund in asked:
            is_open = refund.status == RefundStatus.requires_action
            if is_open and refund.id == _difference_id(payin):
                claim_hash = refund.claim_hash
        if not asked and payin.status in (PayInStatus.posted, PayInStatus.released):
            difference = difference or payin
    return claim_hash, difference


def _difference_id(payin: PayIn) -> str:
    return f"re_{payin.id.partition('_')[2]}"
