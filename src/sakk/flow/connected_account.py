"""Connected accounts: a platform asks, a merchant agrees, either ends it; and a platform's rules.

The rules by which a platform takes its fee are versions under the connection's own id, as those of
a fee schedule are: they never change, and what was taken by one stays.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection

from sakk.core import connected_account as rules
from sakk.core import connected_account_event as news
from sakk.core.account import AccountKind
from sakk.core.connected_account import ConnectedAccount, ConnectionStatus
from sakk.core.errors import (
    ParameterInvalid,
    PermissionDenied,
    ResourceMissing,
    UnexpectedState,
)
from sakk.core.event import NewEvent
from sakk.core.fee import VERSIONS_MAX, FeeRule, FeeVersion, check_rules, in_force
from sakk.store import account, network
from sakk.store import connected_account as store
from sakk.store import event as events
from sakk.store import fee as fees


def create(
    connection: Connection,
    *,
    identifier: str,
    platform: str,
    account_id: str,
    livemode: bool,
    permissions: Sequence[str],
    fee_ppm_max: int,
    written: Sequence[FeeRule],
    metadata: dict[str, str],
    by: str | None,
    now: datetime,
) -> ConnectedAccount:
    """A platform asks a merchant. ParameterInvalid, ResourceMissing, UnexpectedState."""
    words = rules.check_terms(
        platform=platform, account_id=account_id, permissions=permissions, fee_ppm_max=fee_ppm_max
    )
    store.lock_platform(connection, platform)
    asked = account.find_account(connection, account_id)
    if asked is None or asked.kind == AccountKind.operator:
        raise ResourceMissing(
            "No such account: {account}.", param="account", account=repr(account_id)
        )
    standing = store.find_standing(
        connection, platform=platform, account_id=account_id, livemode=livemode
    )
    if standing is not None:
        raise ParameterInvalid(
            "{connection} connects this account already, or asks to. Revoke it first.",
            param="account",
            connection=standing.id,
        )
    if store.count_pending(connection, platform, livemode=livemode) >= rules.PENDING_MAX:
        raise UnexpectedState(
            "{most} connections wait for their merchants' word. Withdraw some first.",
            most=rules.PENDING_MAX,
        )
    made = ConnectedAccount(
        id=identifier,
        account_id=account_id,
        platform=platform,
        livemode=livemode,
        status=ConnectionStatus.pending.value,
        permissions=words,
        fee_ppm_max=fee_ppm_max,
        metadata=metadata,
        created=now,
    )
    store.insert(connection, made)
    if written:
        _add_version(connection, made, written, by=by, now=now)
    _tell(connection, made, news.CONNECTED_ACCOUNT_REQUESTED, now=now)
    return made


def set_rules(
    connection: Connection,
    identifier: str,
    written: Sequence[FeeRule],
    *,
    platform: str,
    livemode: bool,
    by: str | None,
    now: datetime,
) -> ConnectedAccount:
    """The next version of a platform's rules, in force at once; never beyond what the merchant
    agreed to."""
    found = _locked(connection, identifier, account_id=platform, livemode=livemode)
    _require_side(found.platform == platform, "platform")
    rules.require(found, ConnectionStatus.pending, ConnectionStatus.active)
    _add_version(connection, found, written, by=by, now=now)
    return found


def accept(
    connection: Connection, identifier: str, *, account_id: str, livemode: bool, now: datetime
) -> ConnectedAccount:
    """The merchant agrees: from now on the platform acts for it."""
    found = _locked(connection, identifier, account_id=account_id, livemode=livemode)
    _require_side(found.account_id == account_id, "account")
    rules.require(found, ConnectionStatus.pending)
    after = replace(found, status=ConnectionStatus.active.value, accepted_at=now)
    store.change(connection, found.id, {"status": after.status, "accepted_at": now})
    _tell(connection, after, news.CONNECTED_ACCOUNT_ACTIVE, now=now)
    return after


def revoke(
    connection: Connection, identifier: str, *, account_id: str, livemode: bool, now: datetime
) -> ConnectedAccount:
    """Either side ends it: refuses, withdraws or revokes; at once, and for good."""
    found = _locked(connection, identifier, account_id=account_id, livemode=livemode)
    rules.require(found, ConnectionStatus.pending, ConnectionStatus.active)
    ended = {"status": ConnectionStatus.ended.value, "ended_at": now, "ended_by": account_id}
    store.change(connection, found.id, ended)
    after = replace(found, status=ConnectionStatus.ended.value, ended_at=now, ended_by=account_id)
    _tell(connection, after, news.CONNECTED_ACCOUNT_ENDED, now=now)
    return after


def acting(
    connection: Connection, *, platform: str, account_id: str, livemode: bool
) -> ConnectedAccount | None:
    """The connection by which a platform acts for an account now; None where there is none."""
    found = store.find_standing(
        connection, platform=platform, account_id=account_id, livemode=livemode
    )
    return found if found is not None and found.status == ConnectionStatus.active else None


def rules_in_force(
    connection: Connection, identifiers: Sequence[str], *, now: datetime
) -> dict[str, FeeVersion]:
    """By which version each connection's platform takes its fee now."""
    found = fees.list_versions(connection, identifiers) if identifiers else {}
    current = {name: in_force(versions, now) for name, versions in found.items()}
    return {name: version for name, version in current.items() if version is not None}


def _add_version(
    connection: Connection,
    connected: ConnectedAccount,
    written: Sequence[FeeRule],
    *,
    by: str | None,
    now: datetime,
) -> None:
    decimals = {each.currency: each.decimals for each in network.list_currencies(connection)}
    check_rules(written, decimals)
    number = fees.next_version(connection, connected.id)
    if number > VERSIONS_MAX:
        raise UnexpectedState("A connection has at most {most} versions.", most=VERSIONS_MAX)
    documents = [each.document() for each in written]
    fees.insert_version(connection, FeeVersion(connected.id, number, documents, now, now, by))


def _locked(
    connection: Connection, identifier: str, *, account_id: str, livemode: bool
) -> ConnectedAccount:
    found = store.find(connection, identifier, account_id=account_id, livemode=livemode, lock=True)
    if found is None:
        raise ResourceMissing(
            "No such connected_account: {identifier}.", param="id", identifier=repr(identifier)
        )
    return found


def _require_side(is_side: bool, side: str) -> None:
    if not is_side:
        raise PermissionDenied("Only the {side} of a connection may do this.", side=side)


def _tell(connection: Connection, connected: ConnectedAccount, name: str, *, now: datetime) -> None:
    """Both sides are told."""
    version = rules_in_force(connection, [connected.id], now=now).get(connected.id)
    current = [] if version is None else version.rules
    events.append(
        connection,
        [
            NewEvent(
                account_id=whose,
                livemode=connected.livemode,
                type=name,
                object_id=connected.id,
                object=rules.public(connected, current),
            )
            for whose in (connected.account_id, connected.platform)
        ],
        now=now,
    )
