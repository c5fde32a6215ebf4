"""Reports of cases: the goAML report that a case makes, and its filing, which two people stand for.

Who reports is configuration of a mode. A report that is filed is kept with the case byte for byte,
under its hash, before it is proposed; what was sent to the authority can be shown for ever.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection

from sakk.core import attachment as attachments
from sakk.core import goaml
from sakk.core.attachment import Attachment
from sakk.core.case import Case, Outcome, Settings
from sakk.core.errors import ParameterInvalid, UnexpectedState
from sakk.core.goaml import Client, Entity, Movement, Report
from sakk.core.network import Currency
from sakk.core.person import Actor
from sakk.flow.case_subject import Matter, find_matter
from sakk.flow.case_work import Plan, propose_locked, put_attachment
from sakk.flow.context import Parts
from sakk.flow.officer import Officer, case_officer
from sakk.store import account as accounts
from sakk.store import case as store
from sakk.store import network as networks

USD = "usd"


@dataclass(frozen=True, slots=True)
class Words:
    """What a person writes of a report: why, what was done, by which of the indicators."""

    reason: str
    action: str
    indicators: Sequence[str]


def configure(parts: Parts, document: dict[str, Any], *, actor: Actor, livemode: bool) -> Settings:
    """Say who reports to its authority, in a mode; ParameterInvalid names what is wrong."""
    entity = goaml.read_entity(document)
    now = parts.clock()
    with parts.database.begin() as connection:
        by = case_officer(connection, actor, livemode=livemode)
        before = store.find_settings(connection, livemode=livemode)
        settings = Settings(
            livemode=livemode,
            one_person=before is not None and before.one_person,
            reporting_entity=goaml.entity_document(entity),
            changed_by=by.name,
            changed_at=now,
        )
        store.put_settings(connection, settings)
    return settings


def draft(
    connection: Connection, identifier: str, words: Words, *, livemode: bool, now: datetime
) -> bytes:
    """The report as XML, not kept. Raises UnexpectedState where it can not be made."""
    matter = find_matter(connection, identifier, livemode=livemode)
    return _render(connection, matter, words, now=now)


def file(
    parts: Parts,
    identifier: str,
    words: Words,
    *,
    actor: Actor,
    livemode: bool,
    attachment_id: str,
) -> tuple[Case, Attachment]:
    """Keep the report with the case, and propose that it is filed; another person confirms it.

    The same again under the same id is the same.
    """
    now = parts.clock()
    with parts.database.begin() as connection:
        matter = find_matter(connection, identifier, livemode=livemode, lock=True)
        kept = store.find_attachment(connection, attachment_id)
        if kept is not None:
            return matter.case, kept
        by = case_officer(connection, actor, livemode=livemode)
        content = _render(connection, matter, words, now=now)
        kept = _kept(connection, matter, content, by=by, attachment_id=attachment_id, now=now)
        fresh = find_matter(connection, matter.case.id, livemode=livemode, lock=True)
        plan = Plan(Outcome.file, note=words.reason, attachment=kept.id, sha256=kept.sha256)
        return propose_locked(connection, fresh, plan, by=by, now=now), kept


def _kept(
    connection: Connection,
    matter: Matter,
    content: bytes,
    *,
    by: Officer,
    attachment_id: str,
    now: datetime,
) -> Attachment:
    row = Attachment(
        id=attachment_id,
        case_id=matter.case.id,
        livemode=matter.case.livemode,
        author=by.name,
        name=f"{matter.case.id}.goaml.xml",
        media_type=attachments.REPORT_MEDIA_TYPE,
        size_bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        created=now,
    )
    return put_attachment(connection, matter.case, row, content, by=by, now=now)


def _render(connection: Connection, matter: Matter, words: Words, *, now: datetime) -> bytes:
    goaml.check_report(words.reason, words.action, words.indicators)
    settings = store.find_settings(connection, livemode=matter.case.livemode)
    if settings is None or settings.reporting_entity is None:
        raise UnexpectedState(
            "Nobody is named who reports: an officer says it under Settings, Who reports"
            " suspicions."
        )
    entity = goaml.read_entity(settings.reporting_entity)
    movement = _movement(connection, matter, entity)
    report = Report(
        reference=matter.case.id,
        submitted=now,
        reason=words.reason,
        action=words.action,
        indicators=tuple(words.indicators),
        client=_client(connection, matter, entity),
        movement=movement,
    )
    return goaml.render(report, entity)


def _client(connection: Connection, matter: Matter, entity: Entity) -> Client:
    account = (
        None
        if matter.case.account_id is None
        else accounts.find_account(connection, matter.case.account_id)
    )
    if account is None:
        raise UnexpectedState("This case is about no merchant's transfer: nothing is reported.")
    return Client(
        name=account.name or account.id,
        # Thirty characters are what the schema takes: the id without its prefix.
        number=account.id.rpartition("_")[2],
        opened=account.created,
        country_code=account.country or entity.location.country_code,
    )


def _movement(connection: Connection, matter: Matter, entity: Entity) -> Movement:
    currencies = {each.currency: each for each in networks.list_currencies(connection)}
    if matter.payin is not None:
        row = matter.payin
        if row.currency is None or row.amount is None or row.decimals is None:
            raise UnexpectedState("This token is on no list: there is nothing to report it by.")
        return Movement(
            number=row.id,
            is_incoming=True,
            at=datetime.fromtimestamp(row.block_timestamp, row.created.tzinfo),
            network=row.network,
            currency=row.currency,
            amount=Decimal(row.amount).scaleb(-row.decimals),
            rate=_rate(currencies, row.currency, entity),
            sender=row.sender,
            receiver=row.address,
            tx_hash=row.tx_hash,
        )
    if matter.payout is not None:
        sent = matter.payout
        return Movement(
            number=sent.id,
            is_incoming=False,
            at=sent.created,
            network=sent.network,
            currency=sent.currency,
            amount=Decimal(sent.amount).scaleb(-sent.decimals),
            rate=_rate(currencies, sent.currency, entity),
            sender=sent.account_id,
            receiver=sent.destination,
            tx_hash=sent.tx_hash,
        )
    raise UnexpectedState(
        "A case of kind {kind} holds no transfer to report.", kind=matter.case.kind
    )


def _rate(currencies: dict[str, Currency], currency: str, entity: Entity) -> Decimal:
    """What one coin is worth in the local currency, by the prices that are configured."""
    worth = []
    for name in (currency, entity.currency.lower()):
        found = currencies.get(name)
        if name == USD:
            worth.append(Decimal(1))
            continue
        if found is None or found.usd_numerator is None or found.usd_denominator is None:
            raise ParameterInvalid(
                "{name} has no price: sakk currencies price {name} says it.",
                param="currency",
                name=name,
            )
        worth.append(Decimal(found.usd_numerator) / Decimal(found.usd_denominator))
    return (worth[0] / worth[1]).quantize(Decimal("0.00000001"))
