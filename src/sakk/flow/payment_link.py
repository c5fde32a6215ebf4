"""Payment links: make one, change it, and begin a session under it."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from sakk.core import checkout_event, claim
from sakk.core import payment_link as rules
from sakk.core.application_fee import Application, read_application
from sakk.core.checkout_session import CheckoutSession, Line
from sakk.core.connected_account import ConnectionStatus
from sakk.core.errors import ParameterInvalid, ResourceMissing
from sakk.core.event import NewEvent
from sakk.core.payment import PaymentIntent
from sakk.core.payment_link import PaymentLink
from sakk.flow import checkout_session
from sakk.flow.checkout_session import SessionRequest, token_of
from sakk.flow.payment import Catalogue, PaymentRequest, require_offered
from sakk.store import checkout_session as sessions
from sakk.store import connected_account as connections
from sakk.store import event as events
from sakk.store import payment_link as store
from sakk.store.vault import Vault


def create(
    connection: Connection,
    catalogue: Catalogue,
    vault: Vault,
    link: PaymentLink,
    *,
    public_url: str,
    now: datetime,
    request_id: str | None = None,
) -> PaymentLink:
    """Write a link; ``token_hash`` and ``decimals`` are filled in here. ParameterInvalid."""
    priced_in = catalogue.currencies.get(link.currency)
    if priced_in is None:
        raise ParameterInvalid(
            "There is no currency {currency}. GET /v1/currencies lists them.",
            param="line_items[0][price_data][currency]",
            currency=repr(link.currency),
        )
    require_offered(catalogue, _payment(link, 1), livemode=link.livemode)
    token_hash = claim.token_hash(token_of(vault, link.id))
    made = replace(link, decimals=priced_in.decimals, token_hash=token_hash)
    store.insert(connection, made)
    told = _event(
        made, checkout_event.PAYMENT_LINK_CREATED, url_of(vault, made, public_url), request_id
    )
    events.append(connection, [told], now=now)
    return made


def change(
    connection: Connection,
    vault: Vault,
    identifier: str,
    changed: Callable[[PaymentLink], PaymentLink],
    *,
    account_id: str,
    livemode: bool,
    public_url: str,
    now: datetime,
    request_id: str | None = None,
) -> PaymentLink:
    """Change what is active, how often it may be used, what it says and where it leads."""
    link = store.find(connection, identifier, account_id=account_id, livemode=livemode, lock=True)
    if link is None:
        raise missing(identifier)
    after = changed(link)
    store.write(connection, after)
    told = _event(
        after, checkout_event.PAYMENT_LINK_UPDATED, url_of(vault, after, public_url), request_id
    )
    events.append(connection, [told], now=now)
    return after


def begin(
    connection: Connection,
    catalogue: Catalogue,
    vault: Vault,
    token_hash: str,
    amount: int | None,
    *,
    identifier: str,
    intent_id: str,
    locale: str | None,
    now: datetime,
) -> tuple[CheckoutSession, PaymentIntent]:
    """Begin a session as a payer; ResourceMissing, UnexpectedState, ParameterInvalid for amount.

    Who begins under a link with one use left may pay even if another did first: a payment that
    was asked for is never lost.
    """
    link = store.find_by_token(connection, token_hash, lock=True)
    if link is None:
        raise missing("")
    open_now = sessions.count_open(connection, link.id, limit=rules.OPEN_MAX)
    rules.require_usable(link, sessions_open=open_now)
    asked = rules.chosen_amount(link, amount)
    lines = [Line(**line) for line in link.lines]
    if link.amount is None:
        lines = [replace(lines[0], amount=asked, quantity=1)]
    return checkout_session.create(
        connection,
        catalogue,
        vault,
        SessionRequest(
            payment=replace(_payment(link, asked), application=_application(connection, link)),
            lines=lines,
            success_url=link.success_url,
            locale=locale,
            metadata=link.metadata,
            payment_link=link.id,
        ),
        identifier=identifier,
        intent_id=intent_id,
        account_id=link.account_id,
        livemode=link.livemode,
        now=now,
    )


def show(vault: Vault, link: PaymentLink, *, public_url: str) -> dict[str, Any]:
    """The API's object."""
    return rules.public(link, url=url_of(vault, link, public_url))


def url_of(vault: Vault, link: PaymentLink, public_url: str) -> str:
    """Where it is paid."""
    return public_url + rules.page_path(token_of(vault, link.id))


def missing(identifier: str) -> ResourceMissing:
    """The error for a link that is not there."""
    return ResourceMissing(
        "No such payment_link: {identifier}", param="id", identifier=repr(identifier)
    )


def _payment(link: PaymentLink, amount: int) -> PaymentRequest:
    return PaymentRequest(
        amount=amount,
        currency=link.currency,
        networks=link.networks,
        currencies=link.currencies,
        description=link.lines[0]["name"],
        metadata=link.metadata,
    )


def _application(connection: Connection, link: PaymentLink) -> Application | None:
    """Who takes a part of what is paid now: nobody any more where the connection has ended."""
    application = read_application(link.application)
    if application is None:
        return None
    connected = connections.find(
        connection, application.connected_account, account_id=None, livemode=link.livemode
    )
    if connected is None or connected.status != ConnectionStatus.active:
        return None
    return application


def _event(link: PaymentLink, name: str, url: str, request_id: str | None) -> NewEvent:
    return NewEvent(
        account_id=link.account_id,
        livemode=link.livemode,
        type=name,
        object_id=link.id,
        object=rules.public(link, url=url),
        previous_attributes=None,
        request_id=request_id,
    )
