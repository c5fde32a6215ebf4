"""Invoices: an agent asks others to pay its account, where its mandate says that it may."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection

from sakk.core.errors import ParameterInvalid, ResourceMissing, UnexpectedState
from sakk.core.mandate import HERE, Mandate, Terms
from sakk.core.payment import PaymentIntent, PaymentStatus
from sakk.core.spend import Limit, refused
from sakk.flow import payment
from sakk.flow.mandate import require_standing
from sakk.flow.payment import EXPIRY_DEFAULT, Catalogue, PaymentRequest
from sakk.store import mandate as mandates
from sakk.store import mandate_invoice as store
from sakk.store import payment as payments

# Each has addresses of its own, which are watched until it expires and after.
OPEN_MAX: Final = 100


@dataclass(frozen=True, slots=True)
class InvoiceRequest:
    """What is asked for, in the mandate's currency. ``reference``: the agent's own name of it."""

    reference: str
    amount: int
    currency: str
    networks: Sequence[str] | None
    description: str | None
    metadata: dict[str, str]


def create(
    connection: Connection,
    catalogue: Catalogue,
    request: InvoiceRequest,
    *,
    under: Mandate,
    identifier: str,
    now: datetime,
    request_id: str | None = None,
) -> PaymentIntent:
    """A payment intent of the mandate's account; under one reference it is one.

    MandateRefused where the mandate does not hold, or does not let its agent ask; UnexpectedState
    while `OPEN_MAX` of them wait to be paid; ParameterInvalid as `payment.create`, and where the
    reference is that of another invoice.
    """
    # Of several at once each counts those before it.
    terms = _require_allowed(connection, under, request.currency, now=now)
    networks = _networks(terms, request.networks, catalogue)
    named = store.name(
        connection, identifier, mandate=under.id, reference=request.reference, now=now
    )
    if named != identifier:
        return _again(connection, request, under, named)
    # What is older has expired, whether that was written down yet or not: it is asked for no time
    # of its own, and all that a mandate ever asked for is not read again for each.
    since = now - EXPIRY_DEFAULT
    if store.count_open(connection, mandate=under.id, since=since, limit=OPEN_MAX) == OPEN_MAX:
        raise UnexpectedState(
            f"{OPEN_MAX} invoices of this mandate wait to be paid. Cancel some, or wait until they"
            " expire.",
            param="reference",
        )
    return payment.create(
        connection,
        catalogue,
        PaymentRequest(
            amount=request.amount,
            currency=request.currency,
            networks=networks,
            description=request.description,
            metadata=request.metadata,
        ),
        identifier=identifier,
        account_id=under.account_id,
        livemode=under.livemode,
        now=now,
        request_id=request_id,
    )


def cancel(
    connection: Connection,
    identifier: str,
    *,
    under: Mandate,
    now: datetime,
    request_id: str | None = None,
) -> PaymentIntent:
    """Call off an invoice that nobody has begun to pay; again it is the same.

    MandateRefused as `create`; ResourceMissing for what is no invoice of this mandate;
    UnexpectedState as `payment.cancel`.
    """
    _require_allowed(connection, under, under.currency, now=now)
    known = find(connection, identifier, under=under)
    if known.status == PaymentStatus.canceled:
        return known
    return payment.cancel(
        connection,
        identifier,
        account_id=under.account_id,
        livemode=under.livemode,
        reason=None,
        now=now,
        request_id=request_id,
    )


def find(connection: Connection, identifier: str, *, under: Mandate) -> PaymentIntent:
    """An invoice of a mandate; ResourceMissing for any other payment intent."""
    found = None
    if store.is_of(connection, identifier, mandate=under.id):
        found = payments.find(
            connection, identifier, account_id=under.account_id, livemode=under.livemode
        )
    if found is None:
        raise ResourceMissing(f"No such invoice: {identifier!r}.", param="invoice")
    return found


def _require_allowed(
    connection: Connection, under: Mandate, currency: str, *, now: datetime
) -> Terms:
    """The terms as they stand now: the mandate is locked, until the transaction ends."""
    locked = mandates.lock(connection, under.id)
    assert locked is not None
    terms = require_standing(locked, currency, now=now)
    if not terms.may_invoice:
        raise refused(Limit.invoice, "The mandate does not let its agent ask for payments.")
    return terms


def _networks(terms: Terms, asked: Sequence[str] | None, catalogue: Catalogue) -> list[str] | None:
    """On which networks it may be paid: of those that the mandate names, where it names any.

    It may name others than there are here, for what its agent pays.
    """
    here = {
        name
        for name, each in catalogue.networks.items()
        if each.enabled and each.livemode == terms.livemode
    }
    for place, each in enumerate(asked or ()):
        if each not in here:
            raise ParameterInvalid(
                f"There is no network {each!r} here. GET /v1/networks lists them.",
                param=f"networks[{place}]",
            )
    if not terms.networks:
        return None if asked is None else list(asked)
    allowed = [each for each in terms.networks if each != HERE]
    wanted = [each for each in allowed if each in here] if asked is None else list(asked)
    if not wanted or not set(wanted) <= set(allowed):
        raise refused(Limit.network, f"The mandate allows {', '.join(allowed) or 'no chain'}.")
    return wanted


def _again(
    connection: Connection, request: InvoiceRequest, under: Mandate, identifier: str
) -> PaymentIntent:
    known = find(connection, identifier, under=under)
    if known.amount != request.amount:
        raise ParameterInvalid(
            f"The reference {request.reference!r} is that of another invoice. Use a new one.",
            param="reference",
        )
    return known
