"""The life of a mandate: put in force by what its owner signed, and ended by a word, at once.

The end is committed in the row first, which every new spend reads. Then the ledger freezes the
mandate's total, which stands in every spend's set: from there on nothing is spent under it by any
process, whatever it has read before. Then its channels give back what nobody has reserved.
"""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from sqlalchemy import Connection

from sakk.core import chart, eip712, event, evm
from sakk.core import mandate as rules
from sakk.core.chart import TransferCode
from sakk.core.errors import ParameterInvalid
from sakk.core.event import NewEvent
from sakk.core.mandate import Mandate, MandateStatus, Terms
from sakk.core.owner_key import OwnerKey
from sakk.flow import channel
from sakk.flow.context import Parts
from sakk.flow.mandate import draft, find
from sakk.flow.stage import Stage
from sakk.store import channel as channels
from sakk.store import event as events
from sakk.store import mandate as store
from sakk.store import owner_key as owner_keys
from sakk.store.database import fetch
from sakk.store.failpoint import failpoint

REVOKING_MAX: Final = 100
CHANNELS_MAX: Final = 100
IDLE_SECONDS: Final = 2.0
# Who revoked a mandate that another took the place of.
REPLACED: Final = "replaced"


def create(
    parts: Parts,
    terms: Terms,
    signature: str,
    *,
    identifier: str,
    description: str | None = None,
    metadata: dict[str, str] | None = None,
    request_id: str | None = None,
) -> Mandate:
    """Record what an owner signed; what was signed once is one mandate, whoever sends it again.

    One that it replaces is revoked first, so that the two are never in force together. Raises
    ParameterInvalid where the signature is not that of a registered owner key over these terms.
    """
    now = parts.clock()
    with parts.database.begin() as connection:
        terms = draft(connection, terms, now=now)
        typed = rules.typed_data(terms)
        key = _owner_key(connection, terms, typed, signature)
        digest = eip712.digest(typed)
        known = store.find_digest(connection, digest)
        if known is None and terms.replaces is not None:
            _begin_replacing(connection, terms, identifier, now=now)
    if known is not None:
        return known
    if terms.replaces is not None:
        finish_revoking(parts, terms.replaces)
    mandate = Mandate(
        id=identifier,
        account_id=terms.account_id,
        livemode=terms.livemode,
        owner_key=key.id,
        agent=terms.agent,
        currency=terms.currency,
        terms=rules.document(terms),
        signed=msgspec.json.encode(typed),
        digest=digest,
        signature=eip712.signature_bytes(signature),
        status=MandateStatus.active.value,
        replaces=terms.replaces,
        replaced_by=None,
        revoked_at=None,
        revoked_by=None,
        description=description,
        metadata=metadata or {},
        starts_at=datetime.fromtimestamp(terms.starts_at, UTC),
        expires_at=datetime.fromtimestamp(terms.expires_at, UTC),
        created=now,
    )
    with parts.database.begin() as connection:
        # Held until the row is there: who revokes the key waits, and finds the mandate.
        _owner_key(connection, terms, typed, signature, lock=True)
        if store.insert(connection, mandate):
            _tell(connection, mandate, event.MANDATE_CREATED, now=now, request_id=request_id)
        known = store.find_digest(connection, digest)
    assert known is not None
    return known


def revoke(parts: Parts, identifier: str, *, by: str, account_id: str, livemode: bool) -> Mandate:
    """End a mandate for ever, at once; it repeats safely. Raises ResourceMissing.

    From the moment when the ledger has frozen its total nothing is spent under it by anybody, and
    what its channels hold and nobody has reserved goes back.
    """
    now = parts.clock()
    with parts.database.begin() as connection:
        find(connection, identifier, account_id=account_id, livemode=livemode)
        store.begin_revoke(connection, identifier, by=by, now=now)
    finish_revoking(parts, identifier)
    with parts.database.begin() as connection:
        return find(connection, identifier, account_id=account_id, livemode=livemode)


def finish_revoking(parts: Parts, identifier: str) -> None:
    """Carry out what was begun: the ledger first, then the channels, then the row."""
    with parts.database.begin() as connection:
        mandate = store.find_any(connection, identifier)
    if mandate is None or mandate.status != MandateStatus.revoking:
        return
    terms = rules.read_document(mandate.terms)
    unit = chart.currency_unit(terms.currency, livemode=terms.livemode)
    total = chart.mandate_budget(mandate.id, "total", unit)
    spent = chart.mandate_spent(mandate.id, unit)
    parts.books.open([total, spent])
    failpoint("mandate.freeze.before")
    parts.books.freeze(
        total, spent, row_id=mandate.id, step="freeze", code=TransferCode.mandate_reserved
    )
    failpoint("mandate.freeze.after")
    _close_channels(parts, mandate.id)
    with parts.database.begin() as connection:
        if store.finish_revoke(connection, mandate.id):
            ended = replace(mandate, status=MandateStatus.revoked.value)
            _tell(connection, ended, event.MANDATE_REVOKED, now=parts.clock())


def revoke_stage(parts: Parts) -> Stage:
    """The stage that ends mandates whose revocation was begun and did not live to be finished."""

    def run() -> int:
        with parts.database.begin() as connection:
            rows = fetch(connection, store.revoking, limit=REVOKING_MAX)
        for row in rows:
            finish_revoking(parts, row.id)
        return len(rows)

    return Stage("mandate.revoke", run, idle_seconds=IDLE_SECONDS, due=(store.revoking,))


def _close_channels(parts: Parts, mandate_id: str) -> None:
    """Nothing is put into a channel of the mandate any more; what is free in each goes back."""
    while True:
        with parts.database.begin() as connection:
            found = channels.list_of_mandate(connection, mandate_id, limit=CHANNELS_MAX)
        for each in found:
            channel.close(parts, each.id)
        if not found:
            return


def _begin_replacing(
    connection: Connection, terms: Terms, identifier: str, *, now: datetime
) -> None:
    """Begin to revoke what the terms replace; ParameterInvalid where something else ended it."""
    assert terms.replaces is not None
    if store.begin_revoke(connection, terms.replaces, by=REPLACED, now=now, replaced_by=identifier):
        return
    replaced = store.find_any(connection, terms.replaces)
    if replaced is None or replaced.replaced_by != identifier:
        raise ParameterInvalid(
            f"{terms.replaces} is revoked already. Sign the terms without replaces.",
            param="replaces",
        )


def _owner_key(
    connection: Connection,
    terms: Terms,
    typed: dict[str, Any],
    signature: str,
    *,
    lock: bool = False,
) -> OwnerKey:
    """The account's key that signed; ParameterInvalid where none of them did."""
    try:
        signed_by = eip712.signer(typed, signature)
    except ValueError as error:
        raise ParameterInvalid(
            f"This is no signature ({error}). Sign typed_data with eth_signTypedData_v4.",
            param="signature",
        ) from None
    if signed_by != terms.owner:
        raise ParameterInvalid(
            f"This is the signature of {evm.checksum_address(signed_by)} over these terms, or of"
            " nobody over others. Sign the typed_data of the draft, unchanged, with the key of"
            f" {evm.checksum_address(terms.owner)}.",
            param="signature",
        )
    key = owner_keys.find_address(
        connection,
        terms.owner,
        account_id=terms.account_id,
        livemode=terms.livemode,
        lock=lock,
    )
    if key is None:
        raise ParameterInvalid(
            f"{evm.checksum_address(terms.owner)} is no owner key of this account: register it"
            " first, at POST /v1/owner_keys.",
            param="owner",
        )
    return key


def _tell(
    connection: Connection,
    mandate: Mandate,
    name: str,
    *,
    now: datetime,
    request_id: str | None = None,
) -> None:
    told = NewEvent(
        account_id=mandate.account_id,
        livemode=mandate.livemode,
        type=name,
        object_id=mandate.id,
        object=rules.public_mandate(mandate, now=now),
        request_id=request_id,
    )
    events.append(connection, [told], now=now)
