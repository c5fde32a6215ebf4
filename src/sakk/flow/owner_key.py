"""Owner keys: registered by who holds them; revoked together with all that they signed."""

from datetime import datetime

from sqlalchemy import Connection

from sakk.core import event
from sakk.core import owner_key as rules
from sakk.core.eip712 import signature_bytes
from sakk.core.errors import ParameterInvalid, ResourceMissing
from sakk.core.event import NewEvent
from sakk.core.evm import parse_address
from sakk.core.owner_key import OwnerKey
from sakk.flow.context import Parts
from sakk.flow.mandate_life import finish_revoking
from sakk.store import event as events
from sakk.store import mandate as mandates
from sakk.store import owner_key as store


def read_address(text: str) -> str:
    """The key's address in lower case; ParameterInvalid."""
    try:
        return parse_address(text)
    except ValueError as error:
        raise ParameterInvalid(f"{error}.", param="address") from None


def register(
    connection: Connection,
    address: str,
    signature: str,
    *,
    name: str | None,
    identifier: str,
    account_id: str,
    livemode: bool,
    now: datetime,
    request_id: str | None = None,
) -> OwnerKey:
    """Add a key whose holder signed for it; ParameterInvalid where the account has it already."""
    plain = read_address(address)
    rules.check_possession(account_id, plain, signature)
    key = OwnerKey(
        id=identifier,
        account_id=account_id,
        livemode=livemode,
        address=plain,
        name=name,
        signature=signature_bytes(signature),
        revoked_at=None,
        created=now,
    )
    if not store.insert(connection, key):
        raise ParameterInvalid(
            "This account has registered this key already. GET /v1/owner_keys lists them.",
            param="address",
        )
    _tell(connection, key, event.OWNER_KEY_CREATED, now=now, request_id=request_id)
    return key


def find(connection: Connection, identifier: str, *, account_id: str, livemode: bool) -> OwnerKey:
    """A key of the account; ResourceMissing."""
    found = store.find(connection, identifier, account_id=account_id, livemode=livemode)
    if found is None:
        raise ResourceMissing(f"No such owner key: {identifier!r}", param="owner_key")
    return found


def revoke(parts: Parts, identifier: str, *, by: str, account_id: str, livemode: bool) -> OwnerKey:
    """End a key, and every mandate that it signed: who has a stolen one has nothing by it."""
    now = parts.clock()
    with parts.database.begin() as connection:
        key = find(connection, identifier, account_id=account_id, livemode=livemode)
        store.revoke(connection, key.id, now=now)
        signed = mandates.of_owner_key(connection, key.id)
        for each in signed:
            mandates.begin_revoke(connection, each.id, by=by, now=now)
        after = find(connection, identifier, account_id=account_id, livemode=livemode)
        if key.revoked_at is None:
            _tell(connection, after, event.OWNER_KEY_REVOKED, now=now)
    for each in signed:
        finish_revoking(parts, each.id)
    return after


def _tell(
    connection: Connection,
    key: OwnerKey,
    name: str,
    *,
    now: datetime,
    request_id: str | None = None,
) -> None:
    told = NewEvent(
        account_id=key.account_id,
        livemode=key.livemode,
        type=name,
        object_id=key.id,
        object=rules.public_owner_key(key),
        request_id=request_id,
    )
    events.append(connection, [told], now=now)
