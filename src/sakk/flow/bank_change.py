"""The operator's accounts at banks: one person opens, connects or closes, another approves."""

from dataclasses import replace
from datetime import datetime
from typing import Final

from sqlalchemy import Connection

from sakk.core import bank_account as account_rules
from sakk.core import bank_change as rules
from sakk.core.bank_account import Adapter, BankAccount, read_terms
from sakk.core.bank_change import BankChange, ChangeKind, ChangeStatus
from sakk.core.errors import (
    ParameterInvalid,
    ParameterMissing,
    PermissionDenied,
    ResourceMissing,
    UnexpectedState,
)
from sakk.core.person import Actor
from sakk.core.role import Role
from sakk.flow.bank_account import AccountRequest, create
from sakk.flow.context import Parts
from sakk.flow.officer import Officer, find_officer
from sakk.flow.stage import wake
from sakk.flow.word import Word, weighing
from sakk.store import bank_account as accounts
from sakk.store import bank_change as store
from sakk.store import provider_order as provider_orders
from sakk.store.vault import Vault

ROLES: Final = (Role.owner, Role.admin, Role.finance)


def open_account(
    connection: Connection,
    request: AccountRequest,
    *,
    identifier: str,
    actor: Actor,
    livemode: bool,
    now: datetime,
) -> tuple[BankAccount, BankChange]:
    """Write one of the operator's own accounts down; it is used when another person approved it.

    Raises PermissionDenied, and ParameterInvalid that names what is wrong.
    """
    by = _officer(connection, actor, livemode=livemode)
    made = create(
        connection, request, identifier=identifier, account_id=None, livemode=livemode, now=now
    )
    assert made.terms is not None
    change = BankChange(
        bank_account=made.id,
        livemode=livemode,
        kind=ChangeKind.open.value,
        terms=made.terms,
        status=ChangeStatus.awaiting.value,
        proposed_by=by.name,
        created=now,
    )
    store.put(connection, change)
    return made, change


def connect(
    connection: Connection,
    identifier: str,
    *,
    address: str | None = None,
    trust: str | None = None,
    secret: str | None = None,
    new_key: bool = False,
    fee_ppm_max: int | None = None,
    fee_floor: int | None = None,
    actor: Actor,
    livemode: bool,
    vault: Vault,
    now: datetime,
) -> tuple[BankAccount, BankChange]:
    """Propose how an account's bank is gone to; what is left out stays as it is.

    ``fee_ppm_max``, ``fee_floor``: what a provider may take for a payout; see `BankTerms`.
    ``new_key``: the next of our keys, which the bank must know when it is approved. Raises
    ResourceMissing, PermissionDenied, ParameterInvalid, ParameterMissing, and UnexpectedState for
    an account that is not approved itself, or of which somebody has proposed something else.
    """
    found = _locked(connection, identifier, livemode=livemode)
    by = _officer(connection, actor, livemode=livemode)
    rules.check_approved(found)
    given = (address, trust, secret, fee_ppm_max, fee_floor)
    if all(each is None for each in given) and not new_key:
        raise ParameterMissing(
            "Say what is to change: address, trust, secret, new_key, fee_ppm_max or fee_floor."
        )
    _check_nothing_awaits(connection, found)
    before = read_terms(found.terms or {})
    terms = replace(
        before,
        address=before.address if address is None else address,
        trust=before.trust if trust is None else trust.strip(),
        key_number=before.key_number + new_key,
        fee_ppm_max=before.fee_ppm_max if fee_ppm_max is None else fee_ppm_max,
        fee_floor=before.fee_floor if fee_floor is None else fee_floor,
    )
    account_rules.check_server(terms, livemode=livemode)
    sealed = None
    if secret is not None:
        if terms.adapter not in (Adapter.http, Adapter.provider):
            raise ParameterInvalid(
                "Only the adapters http and provider have a secret: by SFTP our key is the one that"
                " is shown.",
                param="secret",
            )
        sealed = vault.seal(secret.strip(), f"bank secret {found.id}")
    change = BankChange(
        bank_account=found.id,
        livemode=livemode,
        kind=ChangeKind.connect.value,
        terms=terms.document(),
        secret=sealed,
        status=ChangeStatus.awaiting.value,
        proposed_by=by.name,
        created=now,
    )
    store.put(connection, change)
    return found, change


def close(
    connection: Connection, identifier: str, *, actor: Actor, livemode: bool, now: datetime
) -> tuple[BankAccount, BankChange]:
    """Propose that an account is used no more: nothing is on it, or on its way to or from it.

    Its books stay. Raises ResourceMissing, PermissionDenied, and UnexpectedState for one that is
    not approved, not empty, or of which somebody has proposed something else.
    """
    found = _locked(connection, identifier, livemode=livemode)
    by = _officer(connection, actor, livemode=livemode)
    rules.check_approved(found)
    _check_nothing_awaits(connection, found)
    rules.check_finished(store.unfinished(connection, found))
    change = BankChange(
        bank_account=found.id,
        livemode=livemode,
        kind=ChangeKind.close.value,
        terms=found.terms or {},
        status=ChangeStatus.awaiting.value,
        proposed_by=by.name,
        created=now,
    )
    store.put(connection, change)
    return found, change


def confirm(parts: Parts, identifier: str, word: Word, *, livemode: bool) -> BankAccount:
    """Another person approves what was proposed, and it is so from now on.

    Raises ResourceMissing, UnexpectedState, SamePerson, ApprovalStale, PermissionDenied,
    StepUpRequired, StepUpFailed, RateLimited.
    """
    with weighing(parts, word, livemode=livemode) as (connection, now):
        found = _locked(connection, identifier, livemode=livemode)
        by = _officer(connection, word.actor, livemode=livemode)
        change = _awaiting(connection, found)
        done = rules.confirmed(change, found, by.second(word.digest), now=now)
        by.prove(parts, connection, word, now=now)
        store.put(connection, done)
        after = _changed(connection, found, done, now=now)
        wake(connection, "bank.fetch", "bank.order")
    return after


def _changed(
    connection: Connection, found: BankAccount, done: BankChange, *, now: datetime
) -> BankAccount:
    """The account as a change that was approved leaves it."""
    match ChangeKind(done.kind):
        case ChangeKind.open:
            accounts.approve(connection, found.id, now=now)
            return replace(found, approved_at=now)
        case ChangeKind.connect:
            _check_not_away(connection, found, done)
            secret = found.secret if done.secret is None else done.secret
            accounts.connect(connection, found.id, terms=done.terms, secret=secret)
            return replace(found, terms=done.terms, secret=secret)
        case ChangeKind.close:
            rules.check_finished(store.unfinished(connection, found))
            accounts.delete(connection, found.id)
            return replace(found, deleted=True)


def decline(parts: Parts, identifier: str, *, actor: Actor, livemode: bool) -> BankAccount:
    """Refuse what was proposed, or take it back; an account that was never approved is gone.

    ResourceMissing, UnexpectedState, PermissionDenied.
    """
    with parts.database.begin() as connection:
        found = _locked(connection, identifier, livemode=livemode)
        by = _officer(connection, actor, livemode=livemode)
        gone = replace(
            _awaiting(connection, found),
            status=ChangeStatus.declined.value,
            decided_by=by.name,
            decided_at=parts.clock(),
        )
        store.put(connection, gone)
        if gone.kind == ChangeKind.open:
            accounts.delete(connection, found.id)
    return found


def _officer(connection: Connection, actor: Actor, *, livemode: bool) -> Officer:
    found = find_officer(connection, actor, livemode=livemode)
    if not found.has(ROLES):
        raise PermissionDenied("Only a person with the role finance opens accounts at banks.")
    return found


def _locked(connection: Connection, identifier: str, *, livemode: bool) -> BankAccount:
    """One of the operator's own, locked."""
    found = accounts.lock_one(connection, identifier)
    if found is None or found.terms is None or found.deleted or found.livemode is not livemode:
        raise ResourceMissing(
            "No such bank account: {identifier}", param="id", identifier=repr(identifier)
        )
    return found


def _check_nothing_awaits(connection: Connection, account: BankAccount) -> None:
    last = store.of_accounts(connection, [account.id]).get(account.id)
    if last is not None and last.status == ChangeStatus.awaiting:
        raise UnexpectedState("Somebody proposed another change: decline that first.")


def _check_not_away(connection: Connection, account: BankAccount, change: BankChange) -> None:
    """UnexpectedState where a provider elsewhere would be asked after orders that this one has."""
    moves = read_terms(change.terms).address != read_terms(account.terms or {}).address
    if moves and provider_orders.is_any_at(connection, account.id):
        raise UnexpectedState(
            "The provider has orders of this account that have not ended, and another one does not"
            " know them. Approve this when they have."
        )


def _awaiting(connection: Connection, account: BankAccount) -> BankChange:
    found = store.of_accounts(connection, [account.id]).get(account.id)
    if found is None or found.status != ChangeStatus.awaiting:
        raise UnexpectedState("Nobody has proposed a change of this account.")
    return found
