"""Explanations: what is known of a payout, gathered for the words that an approver reads."""

from typing import Any

from sqlalchemy import Connection, func, select

from sakk.core.errors import ResourceMissing
from sakk.core.explanation import Built, Circumstances, explain
from sakk.core.payout import Payout, PayoutStatus
from sakk.core.transaction import Purpose
from sakk.store import address, network
from sakk.store import approval as approvals
from sakk.store import beneficiary as beneficiaries
from sakk.store import payout as payouts
from sakk.store import person as persons
from sakk.store import policy as policies
from sakk.store import transaction as transactions

_MADE = (PayoutStatus.confirmed.value, PayoutStatus.posted.value)


def explanation(connection: Connection, identifier: str, *, livemode: bool) -> dict[str, Any]:
    """What will be signed for a payout, in words; ResourceMissing for none of this mode."""
    payout = payouts.find(connection, identifier, account_id=None, livemode=livemode)
    if payout is None:
        raise ResourceMissing(f"No such payout: {identifier!r}", param="id")
    return explain(payout, _circumstances(connection, payout))


def _circumstances(connection: Connection, payout: Payout) -> Circumstances:
    asset = network.find_asset(connection, payout.asset)
    found = network.find_network(connection, payout.network)
    assert asset is not None, "an asset stays listed while payouts name it"
    assert found is not None, "a network stays listed while payouts name it"
    treasury = address.list_payers(connection)
    given = approvals.of_payouts(connection, [payout.id])
    known = persons.list_persons(
        connection, livemode=payout.livemode, ids=[each.actor for each in given]
    )
    version = (
        None
        if payout.policy_version is None
        else policies.find(connection, payout.policy_version, livemode=payout.livemode)
    )
    return Circumstances(
        asset=asset,
        network=found,
        native=network.find_asset(connection, found.native_asset),
        treasury=treasury[0].address if treasury else None,
        beneficiary=_beneficiary(connection, payout),
        paid_before=_paid_before(connection, payout),
        version=None if version is None else version.number,
        approvals=given,
        names={each.id: each.name for each in known},
        built=_built(connection, payout),
    )


def _beneficiary(connection: Connection, payout: Payout) -> tuple[str, Any] | None:
    if payout.beneficiary is None:
        return None
    entry = beneficiaries.find(
        connection,
        payout.beneficiary,
        account_id=payout.account_id,
        livemode=payout.livemode,
    )
    return None if entry is None else (entry.name, entry.created)


def _paid_before(connection: Connection, payout: Payout) -> int:
    table = payouts.payouts
    found = connection.execute(
        select(func.count())
        .select_from(table)
        .where(
            table.c.account_id == payout.account_id,
            table.c.destination == payout.destination,
            table.c.livemode == payout.livemode,
            table.c.network == payout.network,
            table.c.status.in_(_MADE),
            table.c.id != payout.id,
        )
    ).scalar_one()
    return int(found)


def _built(connection: Connection, payout: Payout) -> Built | None:
    """The transaction that carries the payout: its bytes if it carries this one alone.

    Of one that carries many payments the signer's own words are told.
    """
    if payout.transaction is None:
        return None
    row = transactions.find(connection, payout.transaction)
    if row is None:
        return None
    alone = row.purpose in (Purpose.payout, Purpose.refund)
    return Built(
        unsigned=row.unsigned if alone else b"", sender=row.sender, explanation=row.explanation
    )
