"""Tills: set one up, pair a phone, and ask to be paid at it."""

import secrets
from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection

from sakk.core import checkout_event, claim
from sakk.core import pos_device as rules
from sakk.core.checkout_session import CheckoutSession, Line
from sakk.core.errors import ParameterInvalid, ResourceMissing, UnexpectedState
from sakk.core.event import NewEvent
from sakk.core.payment import PaymentIntent
from sakk.core.pos_device import PosDevice
from sakk.flow import checkout_session
from sakk.flow.checkout_session import SessionRequest
from sakk.flow.payment import Catalogue, PaymentRequest, require_offered
from sakk.store import event as events
from sakk.store import pos_device as store
from sakk.store.vault import Vault


def create(
    connection: Connection, catalogue: Catalogue, device: PosDevice, *, now: datetime
) -> tuple[PosDevice, str]:
    """Write a till, and the token of its pairing link, which is told once; ParameterInvalid."""
    priced_in = catalogue.currencies.get(device.currency)
    if priced_in is None:
        raise ParameterInvalid(
            "There is no currency {currency}. GET /v1/currencies lists them.",
            param="currency",
            currency=repr(device.currency),
        )
    require_offered(catalogue, _payment(device, 1), livemode=device.livemode)
    made, token = _with_pairing(replace(device, decimals=priced_in.decimals), now)
    store.insert(connection, made)
    return made, token


def change(
    connection: Connection,
    device: PosDevice,
    *,
    active: bool | None,
    name: str | None,
    metadata: dict[str, str] | None,
    pair: bool,
    now: datetime,
) -> tuple[PosDevice, str | None]:
    """Switch a till off or on, name it, or pair it anew: the phone that was it is none any more."""
    after = replace(
        device,
        active=device.active if active is None else active,
        name=device.name if name is None else name,
        metadata=device.metadata if metadata is None else metadata,
    )
    token = None
    if pair:
        after, token = _with_pairing(replace(after, token_hash=None, paired_at=None), now)
    store.write(connection, after)
    return after, token


def pair(connection: Connection, pairing_hash: str, *, now: datetime) -> tuple[PosDevice, str]:
    """Make a phone the till; the token that it keeps. ResourceMissing when the link is used up."""
    device = store.lock_pairing(connection, pairing_hash)
    if device is None or not rules.may_pair(device, now):
        raise ResourceMissing(
            "This link was used, or its time is over. Ask for a new one.", param="token"
        )
    token = secrets.token_urlsafe(claim.TOKEN_RANDOM_BYTES)
    paired = replace(
        device,
        pairing_hash=None,
        pairing_until=None,
        token_hash=claim.token_hash(token),
        paired_at=now,
    )
    store.write(connection, paired)
    events.append(connection, [_paired(paired)], now=now)
    return paired, token


def find_paired(connection: Connection, token: str) -> PosDevice:
    """The till that a phone is; ResourceMissing when it is none, or is switched off."""
    device = store.find_by_token(connection, claim.token_hash(token))
    if device is None or not device.active:
        raise ResourceMissing("This phone is no till. Open its pairing link.", param="token")
    return device


def sell(
    connection: Connection,
    catalogue: Catalogue,
    vault: Vault,
    device: PosDevice,
    amount: int,
    *,
    identifier: str,
    intent_id: str,
    now: datetime,
) -> tuple[CheckoutSession, PaymentIntent]:
    """Ask for an amount at a till."""
    return checkout_session.create(
        connection,
        catalogue,
        vault,
        SessionRequest(
            payment=_payment(device, amount),
            lines=[Line(device.name, amount, 1)],
            pos_device=device.id,
        ),
        identifier=identifier,
        intent_id=intent_id,
        account_id=device.account_id,
        livemode=device.livemode,
        now=now,
    )


def require(
    connection: Connection,
    identifier: str,
    *,
    account_id: str | None,
    livemode: bool,
    lock: bool = False,
) -> PosDevice:
    """A till of an account, or of any (None); ResourceMissing."""
    device = store.find(connection, identifier, account_id=account_id, livemode=livemode, lock=lock)
    if device is None:
        raise ResourceMissing(
            "No such pos_device: {identifier}", param="id", identifier=repr(identifier)
        )
    return device


def require_own(session: CheckoutSession | None, device: PosDevice) -> CheckoutSession:
    """A sale of this till; UnexpectedState for any other."""
    if session is None or session.pos_device != device.id:
        raise UnexpectedState("There is no such sale at this till.")
    return session


def _payment(device: PosDevice, amount: int) -> PaymentRequest:
    return PaymentRequest(
        amount=amount,
        currency=device.currency,
        networks=device.networks,
        currencies=device.currencies,
        description=device.name,
    )


def _with_pairing(device: PosDevice, now: datetime) -> tuple[PosDevice, str]:
    token = secrets.token_urlsafe(claim.TOKEN_RANDOM_BYTES)
    pairing = claim.token_hash(token)
    return replace(device, pairing_hash=pairing, pairing_until=now + rules.PAIRING_TIME), token


def _paired(device: PosDevice) -> NewEvent:
    return NewEvent(
        account_id=device.account_id,
        livemode=device.livemode,
        type=checkout_event.POS_DEVICE_PAIRED,
        object_id=device.id,
        object=rules.public(device),
        previous_attributes=None,
        request_id=None,
    )
