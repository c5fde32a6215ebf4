"""Explanations: what is known of what is sent, gathered for the words that an approver reads."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection

from sakk.core import recovery as recovery_rules
from sakk.core import withdrawal as withdrawal_rules
from sakk.core.approval import Approvable
from sakk.core.errors import ResourceMissing, UnexpectedState
from sakk.core.explanation import (
    BatchLine,
    Built,
    Circumstances,
    Judgement,
    explain,
    explain_sending,
    order_words,
    recovery_words,
    withdrawal_words,
)
from sakk.core.network import Asset, Network
from sakk.core.payout import BANK, Payout, approvable, is_awaiting_approvals
from sakk.core.transaction import Purpose
from sakk.core.withdrawal import WithdrawalStatus
from sakk.store import address, network, treasury
from sakk.store import approval as approvals
from sakk.store import bank_account as bank_accounts
from sakk.store import beneficiary as beneficiaries
from sakk.store import payout as payouts
from sakk.store import person as persons
from sakk.store import policy as policies
from sakk.store import recovery as recoveries
from sakk.store import sweep as sweeps
from sakk.store import transaction as transactions
from sakk.store import withdrawal as withdrawals


def explanation(connection: Connection, identifier: str, *, livemode: bool) -> dict[str, Any]:
    """What will be signed for a payout, in words; ResourceMissing for none of this mode."""
    payout = payouts.find(connection, identifier, account_id=None, livemode=livemode)
    if payout is None:
        raise ResourceMissing(
            "No such payout: {identifier}", param="id", identifier=repr(identifier)
        )
    if payout.network == BANK:
        return _explain_order(connection, payout)
    return explain(payout, _circumstances(connection, payout))


def _explain_order(connection: Connection, payout: Payout) -> dict[str, Any]:
    """What is ordered of a bank, in words; the signer has no part in it."""
    place = bank_accounts.list_by_ids(connection, [payout.destination])[payout.destination]
    judgement = _judgement(
        connection,
        approvable(payout),
        version=payout.policy_version,
        under_review=payout.under_review,
        is_judged=payout.decided_at is not None,
        awaiting=is_awaiting_approvals(payout),
    )
    paid = payouts.paid_before(connection, [payout])[payout.id]
    words = order_words(payout, place, paid)
    return explain_sending(approvable(payout), words, judgement, signed=None)


def explain_withdrawal(
    connection: Connection, identifier: str, *, livemode: bool
) -> dict[str, Any]:
    """What will be signed for a withdrawal, in words; ResourceMissing for none of this mode."""
    row = withdrawals.find(connection, identifier)
    if row is None or row.livemode is not livemode:
        raise ResourceMissing(
            "No such withdrawal: {identifier}", param="id", identifier=repr(identifier)
        )
    asset, found = _asset(connection, row.asset), _network(connection, row.network)
    payers = address.list_payers(connection)
    words = withdrawal_words(
        row,
        treasury.find_vault(connection, row.network, row.destination),
        asset,
        found,
        payers[0].address if payers else None,
    )
    judgement = _judgement(
        connection,
        withdrawal_rules.approvable(row),
        version=row.policy_version,
        under_review=False,
        is_judged=row.decided_at is not None,
        awaiting=row.status == WithdrawalStatus.screened,
    )
    signed = _signed_words(connection, row.transaction)
    return explain_sending(withdrawal_rules.approvable(row), words, judgement, signed=signed)


def explain_recovery(connection: Connection, identifier: str, *, livemode: bool) -> dict[str, Any]:
    """What will be signed for a recovery, in words; its payer has said where to.

    ResourceMissing, UnexpectedState.
    """
    row = recoveries.find(connection, identifier)
    if row is None or row.livemode is not livemode:
        raise ResourceMissing(f"No such recovery: {identifier!r}", param="id")
    if row.destination is None:
        raise UnexpectedState("This recovery waits for its payer to say where to.")
    judgement = _judgement(
        connection,
        recovery_rules.approvable(row),
        version=row.policy_version,
        under_review=row.under_review,
        is_judged=row.decided_at is not None,
        awaiting=recovery_rules.is_awaiting_approvals(row),
    )
    sweep = None if row.sweep is None else sweeps.find(connection, row.sweep)
    signed = None if sweep is None else _signed_words(connection, sweep.transaction)
    words = recovery_words(row, _network(connection, row.network))
    return explain_sending(recovery_rules.approvable(row), words, judgement, signed=signed)


def batch_lines(connection: Connection, rows: Sequence[Payout]) -> list[BatchLine]:
    """Payouts of one batch, each with what is known of whom it pays."""
    if not rows:
        return []
    assets = {each.asset: each for each in network.list_assets(connection)}
    networks = {each.network: each for each in network.list_networks(connection)}
    entries = beneficiaries.find_all(
        connection,
        identifiers={row.beneficiary for row in rows if row.beneficiary is not None},
        addresses=(),
        account_id=rows[0].account_id,
        livemode=rows[0].livemode,
    )
    known = {each.id: (each.name, each.created) for each in entries}
    before = payouts.paid_before(connection, rows)
    return [
        BatchLine(
            payout=row,
            asset=assets[row.asset],
            network=networks[row.network],
            beneficiary=None if row.beneficiary is None else known.get(row.beneficiary),
            paid_before=before[row.id],
        )
        for row in rows
    ]


def _judgement(
    connection: Connection,
    subject: Approvable,
    *,
    version: str | None,
    under_review: bool,
    is_judged: bool,
    awaiting: bool,
) -> Judgement:
    # What was said of another content, of a refund that went elsewhere, is not of this one.
    given = [
        each
        for each in approvals.of_subjects(connection, [subject.id])
        if each.digest == subject.digest
    ]
    known = persons.list_persons(
        connection, livemode=subject.livemode, ids=[each.actor for each in given]
    )
    found = (
        None if version is None else policies.find(connection, version, livemode=subject.livemode)
    )
    return Judgement(
        under_review=under_review,
        is_judged=is_judged,
        awaiting=awaiting,
        version=None if found is None else found.number,
        approvals=given,
        names={each.id: each.name for each in known},
    )


def _signed_words(connection: Connection, transaction: str | None) -> str | None:
    row = None if transaction is None else transactions.find(connection, transaction)
    return None if row is None else row.explanation


def _asset(connection: Connection, name: str) -> Asset:
    asset = network.find_asset(connection, name)
    assert asset is not None, "an asset stays listed while something names it"
    return asset


def _network(connection: Connection, name: str) -> Network:
    found = network.find_network(connection, name)
    assert found is not None, "a network stays listed while something names it"
    return found


def _circumstances(connection: Connection, payout: Payout) -> Circumstances:
    asset, found = _asset(connection, payout.asset), _network(connection, payout.network)
    payers = address.list_payers(connection)
    return Circumstances(
        asset=asset,
        network=found,
        native=network.find_asset(connection, found.native_asset),
        treasury=payers[0].address if payers else None,
        beneficiary=_beneficiary(connection, payout),
        paid_before=payouts.paid_before(connection, [payout])[payout.id],
        judgement=_judgement(
            connection,
            approvable(payout),
            version=payout.policy_version,
            under_review=payout.under_review,
            is_judged=payout.decided_at is not None,
            awaiting=is_awaiting_approvals(payout),
        ),
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
