"""Aliases: an account asks for a name, proves an e-mail address, and gives a name up.

Sakk sends no mail: the operator's own mailer takes the code (`issue_code`) to the address, and who
reads it there gives it back. That an address is another account's is told to nobody but to who has
proved that it is theirs.
"""

import hashlib
import hmac
import secrets
from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection

from sakk.core import alias as rules
from sakk.core import closed_loop_event as event
from sakk.core.alias import Alias, AliasKind, AliasStatus, Recipient
from sakk.core.errors import ParameterInvalid, ResourceMissing, UnexpectedState
from sakk.core.event import NewEvent
from sakk.flow.stage import wake
from sakk.store import account
from sakk.store import alias as store
from sakk.store import event as events
from sakk.store import transfer as transfers

CODE_BYTES = 24
CLAIM_STAGE = "transfer.claim"
TAKEN = "This {kind} belongs to another account, or did. Ask whoever runs this Sakk."


def create(
    connection: Connection,
    *,
    identifier: str,
    account_id: str,
    livemode: bool,
    kind: AliasKind,
    value: str,
    metadata: dict[str, str],
    now: datetime,
) -> Alias:
    """Ask for a name: a handle counts at once, an e-mail address when it is proved.

    What the account has, had or asked for already is answered as it stands, or active again.
    """
    value = rules.read_alias(kind, value)
    store.lock_account(connection, account_id)
    found = store.find_own(
        connection, account_id=account_id, livemode=livemode, kind=kind, value=value
    )
    if found is not None and found.status == AliasStatus.released:
        # Until it is locked the operator may free it, and somebody else take it.
        _lock_value(connection, found)
        found = _found(connection, found.id, account_id=account_id, livemode=livemode)
    if found is not None and found.status != AliasStatus.freed:
        return _again(connection, found, now=now)
    if store.count(connection, account_id=account_id, livemode=livemode) >= rules.ALIASES_MAX:
        raise ParameterInvalid(
            "An account has at most {most} names, those given up among them.",
            param="value",
            most=rules.ALIASES_MAX,
        )
    made = Alias(
        id=identifier,
        account_id=account_id,
        livemode=livemode,
        kind=kind.value,
        value=value,
        status=AliasStatus.pending.value,
        code_hash=None,
        code_expires_at=None,
        activated_at=None,
        metadata=metadata,
        created=now,
    )
    if kind is AliasKind.handle:
        made = replace(made, status=AliasStatus.active.value, activated_at=now)
        _lock_value(connection, made)
        _check_free(connection, made)
    store.insert(connection, made)
    _tell(connection, made, event.ALIAS_CREATED, now=now)
    if made.status == AliasStatus.active:
        _tell(connection, made, event.ALIAS_ACTIVATED, now=now)
    return made


def issue_code(
    connection: Connection, identifier: str, *, livemode: bool, now: datetime
) -> tuple[Alias, str]:
    """A fresh code for an e-mail address, which the operator sends there; the last one is void."""
    alias = _found(connection, identifier, account_id=None, livemode=livemode)
    if alias.kind != AliasKind.email or alias.status != AliasStatus.pending:
        raise UnexpectedState(f"This alias is {alias.status}: there is nothing to prove.")
    code = secrets.token_urlsafe(CODE_BYTES)
    values = {"code_hash": _hash(code), "code_expires_at": now + rules.CODE_LIFE}
    store.change(connection, alias.id, values)
    return alias, code


def verify(
    connection: Connection,
    identifier: str,
    code: str,
    *,
    account_id: str,
    livemode: bool,
    now: datetime,
) -> Alias:
    """Give back the code that came to the address; what waits for it is claimed at once."""
    alias = _found(connection, identifier, account_id=account_id, livemode=livemode)
    if alias.status == AliasStatus.active:
        return alias
    is_right = (
        alias.status == AliasStatus.pending
        and alias.code_hash is not None
        and alias.code_expires_at is not None
        and alias.code_expires_at > now
        and hmac.compare_digest(alias.code_hash, _hash(code))
    )
    if not is_right:
        raise ParameterInvalid("This code is wrong or too old. Ask for another.", param="code")
    _lock_value(connection, alias)
    _check_free(connection, alias)
    return _activate(connection, alias, now=now)


def release(
    connection: Connection, identifier: str, *, account_id: str, livemode: bool, now: datetime
) -> Alias:
    """Give a name up: nobody is paid by it any more, and nobody else gets it."""
    alias = _found(connection, identifier, account_id=account_id, livemode=livemode)
    match AliasStatus(alias.status):
        case AliasStatus.released | AliasStatus.freed:
            return alias
        case AliasStatus.pending:
            after = replace(alias, status=AliasStatus.freed.value)
        case AliasStatus.active:
            after = replace(alias, status=AliasStatus.released.value)
    store.change(connection, alias.id, {"status": after.status, "code_hash": None})
    _tell(connection, after, event.ALIAS_RELEASED, now=now)
    return after


def free(connection: Connection, identifier: str, *, livemode: bool, now: datetime) -> Alias:
    """The operator's act: another account may ask for a name that was given up."""
    alias = _found(connection, identifier, account_id=None, livemode=livemode)
    if alias.status == AliasStatus.freed:
        return alias
    if alias.status != AliasStatus.released:
        raise UnexpectedState(
            "This alias is {status}: only one that was given up is freed.", status=alias.status
        )
    after = replace(alias, status=AliasStatus.freed.value)
    store.change(connection, alias.id, {"status": after.status})
    _tell(connection, after, event.ALIAS_FREED, now=now)
    return after


def resolve(connection: Connection, to: Recipient, *, livemode: bool, param: str) -> str | None:
    """The account that is paid; None for an e-mail address that nobody has. ResourceMissing."""
    if to.kind == "account":
        if account.find_account(connection, to.value) is None:
            raise ResourceMissing(
                "No such account: {account}.", param=param, account=repr(to.value)
            )
        return to.value
    found = store.account_of(connection, livemode=livemode, kind=to.kind, value=to.value)
    if found is None and to.kind == "handle":
        raise ResourceMissing("Nobody is called @{handle} here.", param=param, handle=to.value)
    return found


def known_name(
    connection: Connection, to: Recipient, *, payer: str, livemode: bool, param: str
) -> str | None:
    """The name to show before anything is sent.

    Of an e-mail address nothing is told, not even whether anybody has it; between accounts of which
    one has paid the other, the whole name.
    """
    found = resolve(connection, to, livemode=livemode, param=param)
    if found is None:
        return None
    if found == payer or transfers.was_paid_before(connection, payer, found, livemode=livemode):
        return _name(connection, found)
    return None if to.kind == "email" else rules.masked(_name(connection, found))


def _name(connection: Connection, account_id: str) -> str | None:
    found = account.find_account(connection, account_id)
    return None if found is None else found.name


def _again(connection: Connection, alias: Alias, *, now: datetime) -> Alias:
    """What was given up by a person of the account is theirs again when they ask."""
    if alias.status != AliasStatus.released:
        return alias
    return _activate(connection, alias, now=now)


def _activate(connection: Connection, alias: Alias, *, now: datetime) -> Alias:
    after = replace(alias, status=AliasStatus.active.value, activated_at=now)
    values = {"status": after.status, "activated_at": now, "code_hash": None}
    store.change(connection, alias.id, values)
    _tell(connection, after, event.ALIAS_ACTIVATED, now=now)
    wake(connection, CLAIM_STAGE)
    return after


def _lock_value(connection: Connection, alias: Alias) -> None:
    """Of two accounts that ask for one name at once the second sees the first."""
    store.lock_account(connection, f"{alias.livemode}:{alias.kind}:{alias.value}")


def _check_free(connection: Connection, alias: Alias) -> None:
    held = store.holder(connection, livemode=alias.livemode, kind=alias.kind, value=alias.value)
    if held is not None:
        raise ParameterInvalid(TAKEN, param="value", kind=alias.kind)


def _found(
    connection: Connection, identifier: str, *, account_id: str | None, livemode: bool
) -> Alias:
    found = store.find(connection, identifier, account_id=account_id, livemode=livemode, lock=True)
    if found is None:
        raise ResourceMissing(
            "No such alias: {identifier}", param="id", identifier=repr(identifier)
        )
    return found


def _hash(code: str) -> str:
    return hashlib.sha256(code.encode()).hexdigest()


def _tell(connection: Connection, alias: Alias, name: str, *, now: datetime) -> None:
    told = NewEvent(
        account_id=alias.account_id,
        livemode=alias.livemode,
        type=name,
        object_id=alias.id,
        object=rules.public(alias),
    )
    events.append(connection, [told], now=now)
