"""Accounts: opening one and changing its details and policy."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from sakk.core import event as events
from sakk.core.account import (
    Account,
    AccountKind,
    PayoutSettings,
    change_payout_settings,
    change_policy,
    public_account,
    read_policy,
)
from sakk.core.errors import ResourceMissing
from sakk.core.event import NewEvent
from sakk.core.metadata import merge
from sakk.flow import fee
from sakk.flow.mode import check_account
from sakk.store import account as store
from sakk.store import event as event_store

DETAILS = ("name", "email", "country")


def create(
    connection: Connection,
    *,
    account_id: str,
    livemode: bool,
    now: datetime,
    request_id: str | None = None,
    kind: AccountKind = AccountKind.merchant,
    details: Mapping[str, str | None] | None = None,
    policy: Mapping[str, Any] | None = None,
    payouts: Mapping[str, Any] | None = None,
    fee_schedule: str | None = None,
    metadata: Mapping[str, str | None] | None = None,
) -> Account:
    """Open an account; ParameterInvalid for a policy, settings or metadata that cannot be."""
    given = details or {}
    account = Account(
        id=account_id,
        kind=kind.value,
        name=given.get("name"),
        email=given.get("email"),
        country=given.get("country"),
        policy=read_policy(policy or {}).document(),
        payouts=change_payout_settings(
            PayoutSettings(), payouts or {}, by_operator=True
        ).document(),
        metadata=merge({}, metadata),
        created=now,
        fee_schedule=None
        if fee_schedule is None
        else fee.assigned(connection, fee_schedule, by_operator=True),
    )
    store.insert_account(connection, account)
    _tell(connection, events.ACCOUNT_CREATED, account, None, livemode, now, request_id)
    return account


def update(
    connection: Connection,
    account_id: str,
    changes: Mapping[str, Any],
    *,
    livemode: bool,
    by_operator: bool,
    now: datetime,
    request_id: str | None = None,
) -> Account:
    """Change what is named: details, ``policy``, ``metadata``; ``payouts`` and ``fee_schedule``
    (the operator).

    Raises ResourceMissing; PermissionDenied for a merchant's word on those, and for test mode's
    where there is live money; ParameterInvalid for a policy, settings or metadata that cannot be.
    """
    account = store.lock_account(connection, account_id)
    if account is None:
        raise ResourceMissing(
            "No such account: {account}", param="account", account=repr(account_id)
        )
    values: dict[str, Any] = {name: changes[name] for name in DETAILS if name in changes}
    if "policy" in changes:
        changed = change_policy(read_policy(account.policy), changes["policy"])
        values["policy"] = changed.document()
    if "payouts" in changes:
        settings = PayoutSettings(**account.payouts)
        values["payouts"] = change_payout_settings(
            settings, changes["payouts"], by_operator=by_operator
        ).document()
    if "fee_schedule" in changes:
        wanted = changes["fee_schedule"]
        values["fee_schedule"] = fee.assigned(connection, wanted, by_operator=by_operator)
    if "metadata" in changes:
        values["metadata"] = merge(account.metadata, changes["metadata"])
    values = {name: value for name, value in values.items() if getattr(account, name) != value}
    if not values:
        return account
    check_account(connection, account_id, livemode=livemode)
    store.update_account(connection, account_id, values)
    after = store.find_account(connection, account_id)
    assert after is not None
    _tell(connection, events.ACCOUNT_UPDATED, after, account, livemode, now, request_id)
    return after


def _tell(
    connection: Connection,
    type: str,
    account: Account,
    before: Account | None,
    livemode: bool,
    now: datetime,
    request_id: str | None,
) -> None:
    shown = public_account(account, livemode=livemode)
    shown_before = None if before is None else public_account(before, livemode=livemode)
    event = NewEvent(
        account_id=account.id,
        livemode=livemode,
        type=type,
        object_id=account.id,
        object=shown,
        previous_attributes=None
        if shown_before is None
        else {name: value for name, value in shown_before.items() if shown[name] != value},
        request_id=request_id,
    )
    event_store.append(connection, [event], now=now)
