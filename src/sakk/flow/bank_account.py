"""Bank accounts: the operator's own and those of payees, references, and what is paid to them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from sakk.core import bank_account as rules
from sakk.core import bank_payment, bank_reference
from sakk.core.account import Payer
from sakk.core.bank_account import BankAccount, BankRole, BankTerms
from sakk.core.bank_reference import BankReference
from sakk.core.calendar import business_days
from sakk.core.entity import NAME_LENGTH_MAX
from sakk.core.errors import (
    ParameterInvalid,
    PermissionDenied,
    ResourceMissing,
)
from sakk.core.fee import FeeKind
from sakk.core.metadata import merge
from sakk.core.network import CurrencyKind
from sakk.core.payout import BANK, Payout, PayoutRequest
from sakk.flow import fee
from sakk.flow.context import Parts
from sakk.rails.bank.rail import BankRail
from sakk.store import account, network, party
from sakk.store import bank_account as store

DESTINATION = "destination[bank_account]"


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountRequest:
    """A bank account as it is asked for; see `sakk.core.bank_account.BankAccount`."""

    holder: str
    currency: str
    iban: str | None = None
    bic: str | None = None
    country: str | None = None
    number: str | None = None
    bank_code: str | None = None
    description: str | None = None
    metadata: Mapping[str, Any] | None = None
    terms: BankTerms | None = None
    opening_units: int = 0


def create(
    connection: Connection,
    request: AccountRequest,
    *,
    identifier: str,
    account_id: str | None,
    livemode: bool,
    now: datetime,
) -> BankAccount:
    """Write an account down: a payee's of a merchant's, or the operator's own (None), with terms,
    which nobody has approved yet (`sakk.flow.bank_change`).

    ParameterInvalid names what is wrong.
    """
    place = rules.read_place(
        iban=request.iban,
        bic=request.bic,
        country=request.country,
        number=request.number,
        bank_code=request.bank_code,
    )
    holder = " ".join(request.holder.split())
    if not holder or not holder.isprintable() or len(holder) > rules.HOLDER_LENGTH_MAX:
        raise ParameterInvalid(
            "A holder's name has 1 to {most} printable characters.",
            param="holder",
            most=min(rules.HOLDER_LENGTH_MAX, NAME_LENGTH_MAX),
        )
    listed = {each.currency: each for each in network.list_currencies(connection)}
    currency = listed.get(request.currency)
    if currency is None or currency.kind != CurrencyKind.fiat.value:
        raise ParameterInvalid(
            "{currency} is no currency that banks have. GET /v1/currencies lists them.",
            param="currency",
            currency=repr(request.currency),
        )
    rules.check_currency(currency.currency, currency.decimals)
    usable_at = now
    if account_id is None:
        assert request.terms is not None, "the operator's own account has terms"
        rules.check_terms(request.terms, place, currency.currency, livemode=livemode)
        business_days(request.terms.calendar)
        _require_unknown(connection, place, currency.currency, livemode=livemode)
        _require_free(connection, request.terms.folder)
    else:
        settings = account.payout_settings(connection, account_id)
        usable_at = now + timedelta(seconds=settings.delay_seconds(livemode=livemode))
    made = BankAccount(
        id=identifier,
        account_id=account_id,
        livemode=livemode,
        role=(BankRole.own if account_id is None else BankRole.payee).value,
        holder=holder,
        country=place.country,
        currency=currency.currency,
        decimals=currency.decimals,
        iban=place.iban,
        bic=place.bic,
        number=place.number,
        bank_code=place.bank_code,
        usable_at=usable_at,
        terms=None if request.terms is None else request.terms.document(),
        opening_units=request.opening_units,
        description=request.description,
        metadata=merge({}, request.metadata or {}),
        created=now,
    )
    store.insert(connection, made)
    return made


def _require_unknown(
    connection: Connection, place: rules.Place, currency: str, *, livemode: bool
) -> None:
    name = place.iban or place.number or ""
    for each in store.find_named(connection, name, currency):
        if each.livemode is livemode:
            raise ParameterInvalid("{id} is this account already.", param="iban", id=each.id)


def _require_free(connection: Connection, folder: str) -> None:
    """ParameterInvalid for the folder of another account, of either mode.

    Two would take each other's files, and the sandbox's bank answers whatever lies in its own.
    """
    for each in store.list_own(connection):
        if each.terms is not None and each.terms["folder"] == folder:
            raise ParameterInvalid(
                "{id} has this folder: give each account its own.", param="folder", id=each.id
            )


def delete(
    connection: Connection, identifier: str, *, account_id: str | None, livemode: bool
) -> dict[str, Any]:
    """Take a payee's account out of the book; payouts to it keep naming it. ResourceMissing."""
    found = find(connection, identifier, account_id=account_id, livemode=livemode)
    if found.role == BankRole.own:
        raise PermissionDenied(
            "The operator's own account is not deleted: two people close it, and its books stay."
        )
    store.delete(connection, identifier)
    return {"id": identifier, "object": "bank_account", "deleted": True}


def find(
    connection: Connection, identifier: str, *, account_id: str | None, livemode: bool
) -> BankAccount:
    """A living account, of an account's or any (None); ResourceMissing."""
    found = store.find(connection, identifier, account_id=account_id, livemode=livemode)
    if found is None or found.deleted:
        raise ResourceMissing(
            "No such bank account: {identifier}", param="id", identifier=repr(identifier)
        )
    return found


def create_reference(
    connection: Connection,
    *,
    identifier: str,
    bank_account: str | None,
    currency: str,
    account_id: str,
    livemode: bool,
    metadata: Mapping[str, Any] | None,
    now: datetime,
) -> tuple[BankReference, BankAccount]:
    """Give a merchant a reference at one of the operator's accounts, or at the first in a currency.

    ParameterInvalid where there is none.
    """
    own = [
        each
        for each in store.list_approved(connection)
        if each.livemode is livemode
        and each.currency == currency
        and bank_account in (None, each.id)
    ]
    if not own:
        raise ParameterInvalid(
            "The operator has no such bank account in {currency}.",
            param="bank_account" if bank_account else "currency",
            currency=currency,
        )
    made = BankReference(
        id=identifier,
        account_id=account_id,
        livemode=livemode,
        bank_account=own[0].id,
        reference=bank_reference.make(identifier),
        metadata=merge({}, metadata or {}),
        created=now,
    )
    store.insert_reference(connection, made)
    return made, own[0]


def draft_payout(
    connection: Connection,
    request: PayoutRequest,
    payer: Payer,
    *,
    identifier: str,
    account_id: str,
    livemode: bool,
    now: datetime,
) -> Payout:
    """The payout that a request to a bank account asks for; ParameterInvalid with the field."""
    wanted = request.destination
    if wanted.address is not None or wanted.beneficiary is not None:
        raise ParameterInvalid(
            "Give destination[bank_account] alone.", param="destination[bank_account]"
        )
    if wanted.network not in (None, BANK):
        raise ParameterInvalid(
            "A bank account is on the network bank: leave it out.", param="destination[network]"
        )
    if payer.settings.verification == "required" and not party.is_verified(
        connection, account_id, livemode=livemode
    ):
        raise PermissionDenied(
            "This account is not verified, or is under review: submit its party (/v1/parties), or"
            " ask the operator."
        )
    place = store.find(
        connection, wanted.bank_account or "", account_id=account_id, livemode=livemode
    )
    if place is None:
        raise ParameterInvalid(
            "No such bank account: {id}. GET /v1/bank_accounts lists them.",
            param=DESTINATION,
            id=repr(wanted.bank_account),
        )
    rules.check_usable(place, request.currency, now=now, param=DESTINATION)
    if not _payers(connection, place):
        raise ParameterInvalid(
            "The operator has no bank account that pays {currency} there.",
            param="currency",
            currency=request.currency,
        )
    priced = None
    if not request.is_settlement:
        pricing = fee.pricing(
            connection,
            payer.fee_schedule,
            account_id=account_id,
            livemode=livemode,
            kind=FeeKind.payout,
            currencies=[place.currency],
            now=now,
        )
        if pricing is not None:
            priced = pricing.price(request.amount, currency=place.currency, network=BANK)
    return bank_payment.draft(
        request,
        place,
        price=priced,
        identifier=identifier,
        account_id=account_id,
        livemode=livemode,
        now=now,
    )


def settled_to(
    connection: Connection, identifier: str, *, account_id: str, livemode: bool
) -> dict[str, str]:
    """Where settlements go, with its currency: what is in another is kept as balance."""
    found = store.find(connection, identifier, account_id=account_id, livemode=livemode)
    if found is None:
        raise ParameterInvalid(
            "No such bank account: {id}. GET /v1/bank_accounts lists them.",
            param=DESTINATION,
            id=repr(identifier),
        )
    rules.check_usable(found, found.currency, now=found.usable_at, param=DESTINATION)
    return {"bank_account": found.id, "currency": found.currency}


def _payers(connection: Connection, place: BankAccount) -> list[BankAccount]:
    return [each for each in store.list_approved(connection) if pays(each, place)]


def currencies_paid(connection: Connection, *, livemode: bool) -> list[str]:
    """The currencies in which one of the operator's accounts pays."""
    own = store.list_approved(connection)
    return sorted({each.currency for each in own if each.livemode is livemode})


def pays(own: BankAccount, place: BankAccount) -> bool:
    """Can orders from one of the operator's accounts go to a payee's?"""
    assert own.terms is not None
    terms = rules.read_terms(own.terms)
    return (
        own.livemode is place.livemode
        and own.currency == place.currency
        and (terms.profile is rules.Profile.generic or _is_sepa(place))
    )


def _is_sepa(place: BankAccount) -> bool:
    return place.iban is not None and rules.is_sepa(place.iban)


def rail_of(parts: Parts, account: BankAccount) -> BankRail | None:
    """The way to an account's bank, where this process has one."""
    return None if parts.banks is None else parts.banks(account)
