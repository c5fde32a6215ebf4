"""Providers: payouts to banks that a provider carries out, one call at a time.

The discipline of all that acts outside: what may have been done is written down before it is asked
for, under a key that follows from the row. An order that a freeze stops is not placed.
"""

from dataclasses import replace
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy import Connection, select

from sakk.core import bank_event as news
from sakk.core import provider_order as rules
from sakk.core.bank_account import BankAccount, read_terms
from sakk.core.errors import ParameterInvalid, ResourceMissing
from sakk.core.event import NewEvent
from sakk.core.provider_order import (
    Answer,
    ProviderOrder,
    ProviderOrderStatus,
    Standing,
    Step,
)
from sakk.flow import bank_payment
from sakk.flow.bank_account import rail_of
from sakk.flow.context import Parts
from sakk.flow.stage import Stage, wake
from sakk.rails.bank.provider import (
    ProviderRail,
    ProviderRefused,
    ProviderUnknown,
    ProviderUnreachable,
    Wanted,
)
from sakk.rails.bank.rail import BankUnreachable
from sakk.store import bank_account as bank_accounts
from sakk.store import bank_payment as payments
from sakk.store import event as events
from sakk.store import freeze as freezes
from sakk.store import payout as payouts
from sakk.store import provider_order as store
from sakk.store.database import update_records
from sakk.store.failpoint import failpoint
from sakk.store.identity import new_id
from sakk.store.lease import (
    claim,
    claimable,
    give_back,
    given_back_on_error,
    retry_delay,
    settle,
)
from sakk.store.lease_length import lease_length
from sakk.store.vault import Vault

BATCH_MAX = 20
STAGE = "bank.provider"

log = structlog.get_logger(__name__)

_due = claimable(
    store.provider_orders,
    ProviderOrder,
    store.UNDER_WAY,
    limit=BATCH_MAX,
    longest_due=True,
)


def provider_stage(parts: Parts) -> Stage:
    """The stage that takes each order one step further."""

    def run() -> int:
        token = new_id("lease")
        with parts.database.begin() as connection:
            rows = claim(connection, _due, token=token, now=parts.clock())
            own = bank_accounts.list_by_ids(connection, [row.bank_account for row in rows])
            orders = payments.list_by_ids(connection, [row.payment for row in rows])
            places = bank_accounts.list_by_ids(
                connection, [each.destination for each in orders.values()]
            )
            going = payouts.list_by_ids(connection, [row.payout for row in rows])
        ids = [row.id for row in rows]
        until = parts.clock() + lease_length() / 2
        silent: set[str] = set()
        with given_back_on_error(parts.database, store.provider_orders, ids, token=token):
            for place, row in enumerate(rows):
                if parts.clock() >= until:
                    # Answers were slow: what is left is due for longest, and is taken up next.
                    with parts.database.begin() as connection:
                        give_back(connection, store.provider_orders, ids[place:], token=token)
                    break
                order = orders[row.payment]
                wanted = Wanted(
                    units=row.units,
                    currency=row.currency,
                    payee=bank_payment.party_of(places[order.destination]),
                    end_to_end_id=order.end_to_end_id,
                    remittance=bank_payment.remittance_of(going[row.payout]),
                )
                _step(parts, row, own[row.bank_account], wanted, silent, token=token)
        return len(rows)

    return Stage(STAGE, run, due=(_due,), idle_seconds=2.0)


def _step(
    parts: Parts,
    row: ProviderOrder,
    account: BankAccount,
    wanted: Wanted,
    silent: set[str],
    *,
    token: str,
) -> None:
    """One order's next step. ``silent``: accounts whose provider does not answer in this run."""
    try:
        if account.id in silent:
            raise ProviderUnreachable("the provider does not answer")
        after = _asked(parts, account, row, wanted, token=token)
    except ProviderUnknown as error:
        if isinstance(error, ProviderUnreachable):
            silent.add(account.id)
        log.warning("provider.unknown", order=row.id, why=str(error))
        _record(parts, row, None, why=str(error), token=token)
    except ProviderRefused as refused:
        # To a quote or a place: nothing of it was done.
        over = refused.is_quote
        ended = rules.next_round(row) if over else rules.failed(row, refused.code, refused.reason)
        _record(parts, row, ended, token=token)
    except Exception as error:
        # A connector's own mistake keeps no other order from its turn, and says nothing of this.
        why = f"the connector failed ({type(error).__name__})"
        log.error("provider.failed", order=row.id, why=why)
        _record(parts, row, None, why=why, token=token)
    else:
        _record(parts, row, after, token=token)


def _rail(parts: Parts, account: BankAccount) -> ProviderRail:
    """The way to an account's provider; ProviderUnreachable."""
    try:
        rail: object = rail_of(parts, account)
    except BankUnreachable as error:
        raise ProviderUnreachable(str(error)) from error
    if not isinstance(rail, ProviderRail):
        raise ProviderUnreachable("this worker has no way to the provider")
    return rail


def _asked(
    parts: Parts, account: BankAccount, row: ProviderOrder, wanted: Wanted, *, token: str
) -> ProviderOrder | None:
    """The order after one call; None where nothing was asked."""
    rail = _rail(parts, account)
    match rules.step(row, parts.clock()):
        case Step.quote:
            row = rules.next_round(row) if row.quote is not None else row
            limit = read_terms(account.terms or {}).fee_limit(row.units)
            return rules.locked(row, rail.quote(wanted), fee_limit=limit)
        case Step.place:
            return _placed(parts, rail, account, row, wanted, token=token)
        case Step.look:
            found = _found(rail, row)
            now = parts.clock()
            if found is not None:
                return rules.told(row, found, now)
            if rules.is_over(row, now + rules.LOCK_MARGIN):
                return rules.not_found(row, now)
            return _placed_again(parts, rail, account, row, wanted, token=token)
        case Step.poll:
            row = _send_answers(parts, rail, row)
            found = _found(rail, row)
            if found is None:
                # It had it: a provider that has forgotten is a person's work, not another order.
                raise ProviderUnknown("the provider no longer knows the order")
            return rules.told(row, found, parts.clock())
        case Step.nothing:
            return None


def _placed(
    parts: Parts,
    rail: ProviderRail,
    account: BankAccount,
    row: ProviderOrder,
    wanted: Wanted,
    *,
    token: str,
) -> ProviderOrder | None:
    """The order after it was placed under its key; None while a freeze stops it, and where the
    account's provider is gone to otherwise since it was read."""
    if not _may_be_placed(parts, account, row, token=token):
        return None
    assert row.quote is not None
    failpoint("provider.place.before")
    standing = rail.place(row.key, row.quote["id"], wanted)
    failpoint("provider.place.after")
    return rules.told(row, standing, parts.clock())


def _placed_again(
    parts: Parts,
    rail: ProviderRail,
    account: BankAccount,
    row: ProviderOrder,
    wanted: Wanted,
    *,
    token: str,
) -> ProviderOrder | None:
    """The same, of what was tried before: a no to this one says nothing of that one, which may
    still be on its way. When the quote is over it is looked up once more, and ended or begun anew.
    """
    try:
        return _placed(parts, rail, account, row, wanted, token=token)
    except ProviderRefused as refused:
        raise ProviderUnknown(
            f"it is refused ({refused.reason}); what was sent before may yet arrive"
        ) from refused


def _found(rail: ProviderRail, row: ProviderOrder) -> Standing | None:
    """Where an order stands. A no to the question says nothing of the order."""
    try:
        return rail.find(row.key, row.reference)
    except ProviderRefused as refused:
        raise ProviderUnknown(f"it is not told: {refused.reason}") from refused


def _may_be_placed(parts: Parts, account: BankAccount, row: ProviderOrder, *, token: str) -> bool:
    """Write down that the provider may have it from now on, unless a freeze stops it.

    With the account as it is: an address that two people change meanwhile is another provider's,
    which this order is placed at in its next turn, or the change waits for the order's end.
    """
    table = payouts.payouts
    free = select(table.c.id).where(table.c.id == row.payout, freezes.payout_may_go())
    with parts.database.begin() as connection:
        now = bank_accounts.share_one(connection, account.id)
        is_same = now is not None and now.terms == account.terms
        if not is_same or connection.execute(free).first() is None:
            return False
        change = {
            "id": row.id,
            "lease_token": token,
            "status": ProviderOrderStatus.placing.value,
        }
        return bool(
            update_records(connection, store.provider_orders, [change], "lease_token")
        ) and bank_payment.priced(connection, row.payment, fee_units=row.fee_units)


def _send_answers(parts: Parts, rail: ProviderRail, row: ProviderOrder) -> ProviderOrder:
    """The order after what officers answered was sent. Whatever becomes of an answer, where the
    order stands is asked all the same: it may be paid without."""
    with parts.database.begin() as connection:
        waiting = store.unsent(connection, row.id)
    for each in waiting:
        file = None
        if each.sealed is not None:
            if parts.vault is None:
                log.error("provider.no_vault", order=row.id)
                continue
            content = parts.vault.open_bytes(each.sealed, each.id)
            file = (each.file_name or "file", content)
        try:
            rail.answer(row.key, each.question, each.text, file)
        except ProviderRefused as refused:
            row = _answer_refused(parts, row, each, refused)
        except ProviderUnknown as error:
            log.warning("provider.answer_unknown", order=row.id, why=str(error))
        else:
            with parts.database.begin() as connection:
                store.sent(connection, each.id, now=parts.clock())
    return row


def _answer_refused(
    parts: Parts, row: ProviderOrder, answer: Answer, refused: ProviderRefused
) -> ProviderOrder:
    """Of the order it says nothing: its question is open again, and the operator is told why."""
    now = parts.clock()
    with parts.database.begin() as connection:
        current = store.find(connection, row.id, livemode=row.livemode, lock=True)
        assert current is not None
        after = rules.answer_refused(current, answer.id, refused.reason)
        store.refused(connection, answer, after, now=now)
        events.append(connection, [_event(after)], now=now)
    return replace(row, questions=after.questions)


def _record(
    parts: Parts,
    row: ProviderOrder,
    after: ProviderOrder | None,
    *,
    why: str | None = None,
    token: str,
) -> None:
    now = parts.clock()
    with parts.database.begin() as connection:
        current = store.find(connection, row.id, livemode=row.livemode, lock=True)
        assert current is not None
        is_news = current.hints != row.hints
        if after is None:
            failures = row.failures + 1 if why is not None else row.failures
            delay = rules.poll_after(row, now)
            if why is not None:
                delay = max(delay, retry_delay(row.failures))
            change: dict[str, Any] = {
                "id": row.id,
                "failures": failures,
                "retry_at": None if is_news else now + delay,
            }
            if why is not None:
                change["reason"] = why[: rules.TEXT_LENGTH_MAX]
            settle(connection, store.provider_orders, [change], token=token)
            return
        # A quote that was refused is asked for anew in a while: so may the next one be.
        stays = after.status == row.status or after.round != row.round
        if after.status == ProviderOrderStatus.failed and after.ended_at is None:
            after = replace(after, ended_at=now)
        names = ("status", "round", "quote", "fee_units", "reference", "reason_code", "ended_at")
        change = {name: getattr(after, name) for name in names}
        change |= {"id": row.id, "reason": after.reason if after.reason_code else None}
        waits = stays and not is_news
        change["retry_at"] = now + rules.poll_after(after, now) if waits else None
        if len(after.questions) != len(row.questions):
            # What was answered meanwhile stands.
            fresh = after.questions[len(row.questions) :]
            change["questions"] = [*current.questions, *fresh]
        if not settle(connection, store.provider_orders, [change], token=token):
            return
        _follow(connection, row, after, now=now)
        wake(connection, STAGE)


def _follow(
    connection: Connection, before: ProviderOrder, after: ProviderOrder, *, now: datetime
) -> None:
    """What the payment and its payout become by it, and who is told."""
    if after.status == ProviderOrderStatus.failed:
        bank_payment.refused(
            connection, after.payment, code=after.reason_code, reason=after.reason, now=now
        )
    elif after.reference is not None and (
        before.reference is None or after.fee_units != before.fee_units
    ):
        bank_payment.carried(connection, after.payment, fee_units=after.fee_units, now=now)
    if len(after.questions) != len(before.questions):
        events.append(connection, [_event(after)], now=now)


def answer(
    connection: Connection,
    identifier: str,
    *,
    answer_id: str,
    question: str,
    text: str,
    file: tuple[str, bytes] | None,
    by: str,
    livemode: bool,
    vault: Vault,
    now: datetime,
) -> ProviderOrder:
    """Answer what a provider asks; it is sent a moment later, and once.

    ResourceMissing, UnexpectedState, ParameterInvalid.
    """
    row = store.find(connection, identifier, livemode=livemode, lock=True)
    if row is None:
        raise ResourceMissing(
            "No such provider order: {identifier}", param="id", identifier=repr(identifier)
        )
    if file is not None and not 0 < len(file[1]) <= rules.ATTACHMENT_BYTES_MAX:
        raise ParameterInvalid(
            "A file has 1 to {most} bytes.", param="file", most=rules.ATTACHMENT_BYTES_MAX
        )
    after = rules.answered(row, question, answer_id, text=text, has_file=file is not None)
    given = Answer(
        id=answer_id,
        livemode=livemode,
        order_id=row.id,
        question=question,
        text=text,
        file_name=None if file is None else file[0],
        sealed=None if file is None else vault.seal_bytes(file[1], answer_id),
        answered_by=by,
        created=now,
    )
    store.put_answer(connection, given, after)
    wake(connection, STAGE)
    return replace(after, retry_at=None)


def _event(row: ProviderOrder) -> NewEvent:
    return NewEvent(
        account_id=None,
        livemode=row.livemode,
        type=news.PROVIDER_ORDER_INFORMATION_REQUIRED,
        object_id=row.id,
        object=rules.public(row),
    )
