"""Inquiries of other institutions: who sends money to an address of ours, and may it come.

Whoever has the travel address of one of our deposit addresses may ask; the address itself, the
account and whether anything was ever paid there are not said. What is agreed to is what the regime
in force wants, of a beneficiary whose name is the account's own; anything else waits for a person.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection

from sakk.core import event
from sakk.core import travel_rule as rules
from sakk.core.claim import token_hash
from sakk.core.errors import ParameterInvalid, RateLimited, ResourceMissing
from sakk.core.event import NewEvent
from sakk.core.evm import checksum_address
from sakk.core.ivms101 import violations
from sakk.core.money import UNITS_MAX
from sakk.core.network import Asset
from sakk.core.regime import Counterparty, CounterpartyKind, Moved, Regime, Requirement, needed
from sakk.core.travel_rule import (
    Exchange,
    TransferDirection,
    TravelRule,
    TravelRuleStatus,
    known_of,
    same_name,
)
from sakk.core.trp import Confirmation, Inquiry, Resolution, encode_travel_address
from sakk.core.vasp import Vasp, VaspStatus
from sakk.flow.context import Parts
from sakk.flow.regime import in_force
from sakk.flow.travel_need import party, sealed
from sakk.flow.travel_rule import DECLINED
from sakk.store import address as addresses
from sakk.store import event as events
from sakk.store import network
from sakk.store import travel_rule as store
from sakk.store import vasp as vasps
from sakk.store.identity import new_id
from sakk.store.travel_rule import TravelAddress
from sakk.store.vault import Vault

# Of one address; who holds a travel address can not fill the database with what never comes.
ANNOUNCED_MAX: Final = 100
ADDRESS_TIME: Final = timedelta(days=90)
_HASH = re.compile(r"0x[0-9a-f]{64}")


def hand_out(
    connection: Connection,
    parts: Parts,
    *,
    network_name: str,
    address: str,
    account_id: str,
    livemode: bool,
    now: datetime,
) -> tuple[str, datetime]:
    """The travel address of one of an account's deposit addresses, and until when it is good.

    Raises ParameterInvalid for an address that is not the account's, and where no regime is in
    force.
    """
    if in_force(connection, livemode=livemode) is None:
        raise ParameterInvalid(
            "The operator has no Travel Rule regime in force: no inquiries are answered.",
            param="address",
        )
    found = addresses.find_address(connection, address)
    if found is None or (found.account_id, found.livemode) != (account_id, livemode):
        raise ParameterInvalid(
            "This is none of the account's deposit addresses. Give one of a payment intent or of a"
            " customer.",
            param="address",
        )
    vault = parts.secrets_vault()
    secret = vault.token(f"{account_id}:{network_name}:{address}")
    expires_at = now + ADDRESS_TIME
    store.put_address(
        connection,
        TravelAddress(
            token_hash(secret), account_id, livemode, network_name, address, expires_at, now
        ),
    )
    public = (parts.public_url or "").replace("http://", "https://", 1)
    return encode_travel_address(f"{public}/trp/inquiries/{secret}"), expires_at


def receive(
    connection: Connection,
    parts: Parts,
    token: str,
    identifier: str,
    inquiry: Inquiry,
    *,
    now: datetime,
) -> Resolution:
    """Answer an inquiry; asked again under its identifier, it is answered as it was.

    Raises ResourceMissing for a travel address that nobody handed out, or whose time is over.
    """
    place = require_address(connection, token, now=now)
    found = in_force(connection, livemode=place.livemode)
    if found is None:
        raise unknown()
    regime, _ = found
    columns = store.travel_rules.c
    before = store.find(
        connection,
        columns.direction == TransferDirection.incoming.value,
        columns.request_identifier == identifier,
        columns.address == place.address,
    )
    if before is not None:
        return _said(parts.secrets_vault(), before, parts.public_url)
    if store.count_announced(connection, place.address) >= ANNOUNCED_MAX:
        raise RateLimited("Too many inquiries about this address are open.")
    record, refusal = _looked_at(connection, parts, place, regime, identifier, inquiry, now=now)
    if refusal is not None:
        return Resolution(rejected=refusal)
    if not store.insert_inquiry(connection, record):
        raise unknown()
    told = NewEvent(
        account_id=None,
        livemode=place.livemode,
        type=event.TRAVEL_RULE_RECEIVED,
        object_id=record.id,
        object=rules.public_travel_rule(record, operator=True),
    )
    events.append(connection, [told], now=now)
    return _said(parts.secrets_vault(), record, parts.public_url)


def confirmed(
    connection: Connection, token: str, confirmation: Confirmation, *, now: datetime
) -> None:
    """The sender tells the transaction, or that there is none; ResourceMissing."""
    record = expected(connection, token)
    if record.ended_at is not None:
        return
    txid = (confirmation.txid or "").lower()
    store.change(
        connection,
        record.id,
        {
            "exchange": Exchange.concluded.value,
            "tx_hash": txid if _HASH.fullmatch(txid) else None,
            "reason": confirmation.canceled,
            # What is to come has not come: the pay-in ends the record.
            "ended_at": None if confirmation.canceled is None else now,
        },
    )


def resolved(connection: Connection, token: str) -> TravelRule:
    """The record of ours that a resolution is of; ResourceMissing."""
    return _by_token(connection, token, TransferDirection.outgoing)


def expected(connection: Connection, token: str) -> TravelRule:
    """The record of an inquiry that a confirmation is of; ResourceMissing."""
    return _by_token(connection, token, TransferDirection.incoming)


def require_address(connection: Connection, token: str, *, now: datetime) -> TravelAddress:
    """Where a travel address leads; ResourceMissing."""
    place = store.find_address(connection, token_hash(token))
    if place is None or place.expires_at < now:
        raise unknown()
    return place


def unknown() -> ResourceMissing:
    """What a stranger learns."""
    return ResourceMissing("There is nothing here.")


def _by_token(connection: Connection, token: str, direction: TransferDirection) -> TravelRule:
    columns = store.travel_rules.c
    found = store.find(
        connection,
        columns.token_hash == token_hash(token),
        columns.direction == direction.value,
    )
    if found is None:
        raise unknown()
    return found


def _said(vault: Vault, record: TravelRule, public_url: str | None) -> Resolution:
    """What an inquiry was answered, by how its record stands."""
    if record.status == TravelRuleStatus.refused:
        return Resolution(rejected=DECLINED)
    if record.status != TravelRuleStatus.complete:
        return Resolution()
    return agreement(vault, record, public_url)


def agreement(vault: Vault, record: TravelRule, public_url: str | None) -> Resolution:
    """That a transfer may come, to which address, and where its transaction is told."""
    callback = f"{public_url}/trp/confirmations/{vault.token(record.id)}"
    return Resolution(address=checksum_address(record.address), callback=callback)


def _looked_at(
    connection: Connection,
    parts: Parts,
    place: TravelAddress,
    regime: Regime,
    identifier: str,
    inquiry: Inquiry,
    *,
    now: datetime,
) -> tuple[TravelRule, str | None]:
    """The record of an inquiry, and why it is not taken, in words without anybody's data."""
    asset = _asset(connection, place, regime, inquiry.asset)
    units = _units(connection, asset, inquiry)
    vasp = _sender(connection, inquiry, place)
    counterparty = Counterparty(CounterpartyKind.vasp, None if vasp is None else vasp.id, True)
    requirement = _incoming(regime, asset, units or 0, counterparty)
    known = known_of(inquiry.payload, ownership=None)
    refusal = _refusal(inquiry, requirement, known, vasp, now=now)
    account = party(connection, parts.secrets_vault(), place.account_id, livemode=place.livemode)
    agreed = (
        account is not None
        and known.beneficiary is not None
        and units is not None
        and same_name(account, known.beneficiary)
    )
    status = TravelRuleStatus.complete if agreed else TravelRuleStatus.pending
    record_id = new_id(rules.PREFIX)
    vault = parts.secrets_vault()
    record = TravelRule(
        id=record_id,
        account_id=place.account_id,
        livemode=place.livemode,
        direction=TransferDirection.incoming.value,
        subject=None,
        status=status.value,
        regime=regime.name,
        network=place.network,
        address=place.address,
        currency=None if asset is None else asset.currency,
        amount=units or 0,
        counterparty=CounterpartyKind.vasp.value,
        vasp=None if vasp is None else vasp.id,
        requirement=requirement.document()
        | {"asset": inquiry.asset, "amount": str(inquiry.amount)},
        missing=[],
        ownership=None,
        exchange=(Exchange.approved if agreed else Exchange.asked).value,
        request_identifier=identifier,
        token_hash=token_hash(vault.token(record_id)),
        peer_callback=inquiry.callback,
        tx_hash=None,
        payload=sealed(vault, record_id, inquiry.payload, {}),
        deadline_at=None,
        completed_at=now if agreed else None,
        ended_at=None,
        decided_by=None,
        reason=None,
        legal_hold=False,
        created=now,
    )
    return record, refusal


def _incoming(
    regime: Regime, asset: Asset | None, units: int, counterparty: Counterparty
) -> Requirement:
    """What the regime wants of money that comes; all that it knows where the token is not known."""
    if asset is None:
        return replace(needed(Moved("", 0), regime, counterparty), exchange=False)
    found = needed(Moved(asset.currency, units), regime, counterparty)
    return replace(found, exchange=False)


def _refusal(
    inquiry: Inquiry,
    requirement: Requirement,
    known: rules.Known,
    vasp: Vasp | None,
    *,
    now: datetime,
) -> str | None:
    if vasp is not None and vasp.status == VaspStatus.blocked:
        return DECLINED
    broken = violations(inquiry.payload, today=now.date(), param="IVMS101")
    if broken:
        return f"{broken[0].path}: {broken[0].remedy} (IVMS101 {broken[0].constraint})."
    # Where the money goes is ours to know: its account is not asked for.
    reachable = replace(known, beneficiary_accounts=("here",))
    lacks = rules.missing(requirement, reachable) if requirement.needed else []
    return f"It does not say: {lacks[0].field}." if lacks else None


def _asset(
    connection: Connection, place: TravelAddress, regime: Regime, named: Mapping[str, Any]
) -> Asset | None:
    """The token that an inquiry names, of those that are taken at the address."""
    listed = {
        each.asset: each
        for each in network.list_assets(connection, network=place.network)
        if each.contract is not None
    }
    by_dti = {dti: asset for asset, dti in regime.dti.items()}
    wanted = named.get("caip19") or by_dti.get(str(named.get("dti")))
    return listed.get(str(wanted))


def _units(connection: Connection, asset: Asset | None, inquiry: Inquiry) -> int | None:
    """The amount in the currency's smallest unit; None where the token or its unit is not known."""
    found = {each.currency: each.decimals for each in network.list_currencies(connection)}
    if asset is None or asset.currency not in found:
        return None
    units = inquiry.amount.scaleb(found[asset.currency])
    exact = units == units.to_integral_value() and units <= UNITS_MAX
    return int(units) if exact else None


def _sender(connection: Connection, inquiry: Inquiry, place: TravelAddress) -> Vasp | None:
    """The institution that asks, by the LEI that it gives."""
    said = inquiry.payload.originating_vasp
    person = None if said is None else said.originating_vasp
    number = None if person is None else person.either.national_identification
    if number is None or number.national_identifier_type != "LEIX":
        return None
    found = vasps.find_all(connection, leis={number.national_identifier}, livemode=place.livemode)
    return found[0] if found else None
