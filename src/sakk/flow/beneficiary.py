"""Beneficiaries: writing the address book, and finding out who a payout's destination is."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from sakk.core import beneficiary as rules
from sakk.core import event as event_types
from sakk.core.account import PayoutSettings
from sakk.core.beneficiary import Beneficiary, Destination, Known, Wanted
from sakk.core.errors import (
    InvalidRequest,
    Misconfigured,
    ParameterInvalid,
    ParameterMissing,
    PermissionDenied,
    ResourceMissing,
)
from sakk.core.event import NewEvent
from sakk.core.evm import parse_address
from sakk.core.metadata import merge
from sakk.store import account, network, party
from sakk.store import beneficiary as store
from sakk.store import event as events
from sakk.store.vault import Vault

DETAILS = ("name", "description")
ADDRESS = "destination[address]"
BENEFICIARY = "destination[beneficiary]"


def create(
    connection: Connection,
    *,
    identifier: str,
    account_id: str,
    livemode: bool,
    now: datetime,
    details: Mapping[str, Any],
    vault: Vault | None = None,
    request_id: str | None = None,
) -> Beneficiary:
    """Write an entry: ``name``, ``address``, ``networks``, and what may be left out.

    Raises ParameterInvalid for an address that can not be paid, is in the book already, or looks
    like a known one without being confirmed, for networks that are not, and for a false proof.
    """
    address = _parsed(details["address"], param="address")
    networks = _checked_networks(connection, details["networks"], livemode=livemode)
    if store.lock_address(connection, address, account_id=account_id, livemode=livemode):
        raise ParameterInvalid(
            "This address is in the address book already. Use that entry; to change its networks, "
            "delete it and add the address again.",
            param="address",
        )
    confirmed = details.get("confirmed_unlike")
    unlike = None if confirmed is None else _parsed(confirmed, param="confirmed_unlike")
    key = rules.lookalike_key(address)
    known = store.find_known(connection, [key], account_id=account_id, livemode=livemode)
    rules.check_confirmation(address, rules.find_lookalike(address, known.get(key, [])), unlike)
    ownership = details.get("ownership")
    if ownership is not None:
        rules.check_ownership(ownership, account_id=account_id, address=address)
    settings = account.payout_settings(connection, account_id)
    entry = Beneficiary(
        id=identifier,
        account_id=account_id,
        livemode=livemode,
        name=details["name"],
        address=address,
        networks=networks,
        usable_at=rules.usable_at(now, settings.delay_seconds(livemode=livemode)),
        ownership=None if ownership is None else dict(ownership),
        travel_rule=_sealed(vault, identifier, details.get("travel_rule")),
        confirmed_unlike=unlike,
        description=details.get("description"),
        metadata=merge({}, details.get("metadata") or {}),
        deleted=False,
        created=now,
    )
    store.insert(connection, entry, lookalike=key)
    _tell(connection, event_types.BENEFICIARY_CREATED, entry, now=now, request_id=request_id)
    return entry


def update(
    connection: Connection,
    identifier: str,
    changes: Mapping[str, Any],
    *,
    account_id: str,
    livemode: bool,
    now: datetime,
    vault: Vault | None = None,
    request_id: str | None = None,
) -> Beneficiary:
    """Change what does not decide where money goes: name, proof, travel rule, description."""
    entry = _living(connection, identifier, account_id=account_id, livemode=livemode)
    values: dict[str, Any] = {
        name: changes[name] for name in (*DETAILS, "ownership", "travel_rule") if name in changes
    }
    if values.get("name", entry.name) is None:
        raise ParameterInvalid("A beneficiary has a name.", param="name")
    if values.get("ownership") is not None:
        rules.check_ownership(values["ownership"], account_id=account_id, address=entry.address)
    if "travel_rule" in values and values["travel_rule"] != opened(vault, entry):
        values["travel_rule"] = _sealed(vault, identifier, values["travel_rule"])
    elif "travel_rule" in values:
        del values["travel_rule"]
    if "metadata" in changes:
        values["metadata"] = merge(entry.metadata, changes["metadata"])
    values = {name: value for name, value in values.items() if getattr(entry, name) != value}
    if not values:
        return entry
    store.change(connection, identifier, values, account_id=account_id)
    after = _living(connection, identifier, account_id=account_id, livemode=livemode)
    before = {name: getattr(entry, name) for name in values}
    if "travel_rule" in before:
        before["travel_rule"] = rules.without_data(entry.travel_rule)
    _tell(
        connection,
        event_types.BENEFICIARY_UPDATED,
        after,
        now=now,
        request_id=request_id,
        before=before,
    )
    return after


def prove(
    connection: Connection,
    identifier: str,
    ownership: dict[str, Any],
    *,
    account_id: str,
    livemode: bool,
    now: datetime,
) -> None:
    """Record a proof of ownership that was seen, not told; of an entry that is gone, nothing."""
    entry = store.find(connection, identifier, account_id=account_id, livemode=livemode, lock=True)
    if entry is None or entry.deleted:
        return
    store.change(connection, identifier, {"ownership": ownership}, account_id=account_id)
    after = _living(connection, identifier, account_id=account_id, livemode=livemode)
    before = {"ownership": entry.ownership}
    _tell(
        connection,
        event_types.BENEFICIARY_UPDATED,
        after,
        now=now,
        request_id=None,
        before=before,
    )


def delete(
    connection: Connection,
    identifier: str,
    *,
    account_id: str,
    livemode: bool,
    now: datetime,
    request_id: str | None = None,
) -> dict[str, Any]:
    """Take an entry out of the book; payouts that were made to it keep naming it."""
    entry = _living(connection, identifier, account_id=account_id, livemode=livemode)
    store.change(connection, identifier, {"deleted": True}, account_id=account_id)
    _tell(connection, event_types.BENEFICIARY_DELETED, entry, now=now, request_id=request_id)
    return {"id": identifier, "object": "beneficiary", "deleted": True}


def resolve(
    connection: Connection,
    wanted: Sequence[Wanted],
    *,
    account_id: str,
    livemode: bool,
    now: datetime,
    settings: PayoutSettings | None = None,
) -> list[Destination | InvalidRequest]:
    """Who each destination is, or why it can not be paid, in the order given; three queries in all.

    An address that stands in the book is that entry, whichever way it was written. Raises
    PermissionDenied where the account has to be verified before it pays, and is not.
    ``settings``: the account's, where they were read a moment ago.
    """
    settings = settings or account.payout_settings(connection, account_id)
    if settings.verification == "required" and not party.is_verified(
        connection, account_id, livemode=livemode
    ):
        raise PermissionDenied(
            "This account is not verified, or is under review: submit its party (/v1/parties), or"
            " ask the operator."
        )
    parsed = [_address_or_error(each) for each in wanted]
    addresses = {each for each in parsed if isinstance(each, str)}
    entries = store.find_all(
        connection,
        identifiers={each.beneficiary for each in wanted if each.beneficiary is not None},
        addresses=addresses,
        account_id=account_id,
        livemode=livemode,
    )
    by_id = {entry.id: entry for entry in entries}
    by_address = {entry.address: entry for entry in entries if not entry.deleted}
    strangers = addresses - by_address.keys()
    known = store.find_known(
        connection,
        {rules.lookalike_key(address) for address in strangers},
        account_id=account_id,
        livemode=livemode,
    )
    book = _Book(settings, by_id, by_address, known, now)
    return [
        address if isinstance(address, InvalidRequest) else _resolved(each, address, book)
        for each, address in zip(wanted, parsed, strict=True)
    ]


def show(entry: Beneficiary, *, now: datetime, vault: Vault | None = None) -> dict[str, Any]:
    """The API's object; with the vault, of whoever stands behind it too."""
    return rules.public_beneficiary(entry, now=now, travel_rule=opened(vault, entry))


def opened(vault: Vault | None, entry: Beneficiary) -> dict[str, Any] | None:
    """Who stands behind an entry; without the vault, what is not sealed of it."""
    told = entry.travel_rule
    if told is None or "sealed" not in told:
        # Written before these were sealed.
        return told
    if vault is None:
        return rules.without_data(told)
    found: dict[str, Any] = json.loads(vault.open(bytes.fromhex(told["sealed"]), entry.id))
    return found


def _sealed(
    vault: Vault | None, identifier: str, told: Mapping[str, Any] | None
) -> dict[str, Any] | None:
    """Who stands behind an entry, as the database holds it."""
    if told is None:
        return None
    if vault is None:
        raise Misconfigured(
            "Who stands behind an address is sealed, and this machine has no vault key: set"
            " SAKK_VAULT_KEY_FILE to a copy of the file that the first server made.",
            param="SAKK_VAULT_KEY_FILE",
        )
    text = json.dumps(told, ensure_ascii=False)
    return {**(rules.without_data(told) or {}), "sealed": vault.seal(text, identifier).hex()}


def missing(identifier: str) -> ResourceMissing:
    return ResourceMissing(
        "No such beneficiary: {identifier}", param="id", identifier=repr(identifier)
    )


@dataclass(frozen=True, slots=True)
class _Book:
    """What an account's address book says about some destinations."""

    settings: PayoutSettings
    by_id: Mapping[str, Beneficiary]
    by_address: Mapping[str, Beneficiary]
    known: Mapping[str, Sequence[Known]]
    now: datetime


def _resolved(wanted: Wanted, address: str | None, book: _Book) -> Destination | InvalidRequest:
    try:
        if address is None:
            return _booked(wanted, book)
        assert wanted.network is not None
        entry = book.by_address.get(address)
        if entry is not None:
            if wanted.network in entry.networks or book.settings.destinations == "address_book":
                rules.check_usable(entry, wanted.network, now=book.now, param=ADDRESS)
            return Destination(wanted.network, address, entry.id)
        if book.settings.destinations == "address_book":
            raise ParameterInvalid(
                "This account pays only the beneficiaries of its address book. Add the address to "
                "/v1/beneficiaries first.",
                param=ADDRESS,
            )
        imitated = rules.find_lookalike(address, book.known.get(rules.lookalike_key(address), []))
        if imitated is not None:
            raise rules.lookalike_refusal(address, imitated, param=ADDRESS)
        return Destination(wanted.network, address, None)
    except InvalidRequest as error:
        return error


def _booked(wanted: Wanted, book: _Book) -> Destination:
    entry = book.by_id.get(wanted.beneficiary or "")
    if entry is None:
        raise ParameterInvalid(
            "No such beneficiary: {beneficiary}. GET /v1/beneficiaries lists them.",
            param=BENEFICIARY,
            beneficiary=repr(wanted.beneficiary),
        )
    network_name = wanted.network or rules.only_network(entry, param="destination[network]")
    rules.check_usable(entry, network_name, now=book.now, param=BENEFICIARY)
    return Destination(network_name, entry.address, entry.id)


def _address_or_error(wanted: Wanted) -> str | InvalidRequest | None:
    """The address in lower case; None where the book is to be asked for it."""
    try:
        if wanted.bank_account is not None:
            raise ParameterInvalid(
                "Payouts to bank accounts are asked for one by one: POST /v1/payouts.",
                param="destination[bank_account]",
            )
        if wanted.beneficiary is not None:
            if wanted.address is not None:
                raise ParameterInvalid(
                    "Give destination[address] or destination[beneficiary], not both.",
                    param=BENEFICIARY,
                )
            return None
        if wanted.address is None or wanted.network is None:
            name = "address" if wanted.address is None else "network"
            raise ParameterMissing(
                "Missing required parameter: destination[{name}]. A destination is a network and "
                "an address on it, or a beneficiary.",
                param=f"destination[{name}]",
                name=name,
            )
        return _parsed(wanted.address, param=ADDRESS)
    except InvalidRequest as error:
        return error


def _parsed(text: str, *, param: str) -> str:
    try:
        return parse_address(text)
    except ValueError as error:
        raise ParameterInvalid(
            "{error}. Give the address as its owner shows it.", param=param, error=error
        ) from error


def _checked_networks(connection: Connection, names: Sequence[str], *, livemode: bool) -> list[str]:
    enabled = {
        each.network
        for each in network.list_networks(connection, livemode=livemode)
        if each.enabled
    }
    for place, name in enumerate(names):
        if name not in enabled:
            raise ParameterInvalid(
                "{name} is not an enabled network. GET /v1/networks lists them.",
                param=f"networks[{place}]",
                name=repr(name),
            )
    return rules.unique(names)


def _living(
    connection: Connection, identifier: str, *, account_id: str, livemode: bool
) -> Beneficiary:
    entry = store.find(connection, identifier, account_id=account_id, livemode=livemode, lock=True)
    if entry is None or entry.deleted:
        raise missing(identifier)
    return entry


def _tell(
    connection: Connection,
    name: str,
    entry: Beneficiary,
    *,
    now: datetime,
    request_id: str | None,
    before: dict[str, Any] | None = None,
) -> None:
    told = NewEvent(
        account_id=entry.account_id,
        livemode=entry.livemode,
        type=name,
        object_id=entry.id,
        object=rules.public_beneficiary(entry, now=now),
        previous_attributes=before,
        request_id=request_id,
    )
    events.append(connection, [told], now=now)
