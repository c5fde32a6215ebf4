"""Payouts: what was sent out, what waits for people, and asking for one."""

from datetime import UTC, datetime
from typing import Any, Final, Literal

from sqlalchemy import Connection, and_

from sakk.console.route import ROOT, Menu, Screen
from sakk.console.visit import Page, Redirect, Rejected, Visit
from sakk.core import approval as approvals
from sakk.core.beneficiary import Wanted
from sakk.core.errors import ParameterInvalid, ResourceMissing
from sakk.core.money import parse_decimal
from sakk.core.payout import (
    Initiator,
    Payout,
    PayoutPurpose,
    PayoutRequest,
    PayoutStatus,
    is_awaiting_approvals,
    is_cancelable,
)
from sakk.flow import approval, payout
from sakk.flow.explanation import explanation
from sakk.flow.word import Word
from sakk.pages.form import Form
from sakk.pages.language import mark
from sakk.store import beneficiary as beneficiaries
from sakk.store import payout as store
from sakk.store import transaction as transactions
from sakk.store.page import PageRequest, fetch_page

PATH: Final = f"{ROOT}/payouts"
PAYOUTS_SHOWN: Final = 50
BENEFICIARIES_SHOWN_MAX: Final = 100
# What each status is called, and its tone.
STATUSES: Final = {
    PayoutStatus.requested: (mark("Requested"), "wait"),
    PayoutStatus.screened: (mark("Screened"), "wait"),
    PayoutStatus.approved: (mark("Approved"), "wait"),
    PayoutStatus.signed: (mark("Signed"), "wait"),
    PayoutStatus.broadcast: (mark("Sent"), "wait"),
    PayoutStatus.unknown: (mark("Sent, not seen yet"), "warn"),
    PayoutStatus.confirmed: (mark("Confirmed"), "good"),
    PayoutStatus.posted: (mark("Paid out"), "good"),
    PayoutStatus.rejected: (mark("Rejected"), "bad"),
    PayoutStatus.canceled: (mark("Canceled"), "plain"),
    PayoutStatus.failed: (mark("Failed"), "bad"),
}
# The parameters of commands, as the form names them.
_FIELDS: Final = {
    "currency": "route",
    "destination": "address",
    "destination[address]": "address",
    "destination[network]": "route",
    "destination[beneficiary]": "beneficiary",
}


class ListQuery(Form):
    """Which payouts; ``after`` and ``before`` are ids."""

    show: Literal["all", "waiting"] = "all"
    after: str | None = None
    before: str | None = None


class CreateForm(Form):
    """A payout; ``route`` is a network and a currency, ``amount`` in whole units of it."""

    route: str
    amount: str
    address: str | None = None
    beneficiary: str | None = None
    fee_mode: Literal["sender", "receiver"] = "sender"
    description: str | None = None


class ApproveForm(Form):
    """A yes to the content that was shown."""

    digest: str
    comment: str | None = None


class RejectForm(Form):
    """Why not; the merchant reads it."""

    reason: str | None = None


def list_payouts(visit: Visit, query: ListQuery) -> Page:
    """The payouts, newest first; those that carry refunds are seen as refunds."""
    columns = store.payouts.c
    filters = [columns.purpose == PayoutPurpose.payout.value]
    if query.show == "waiting":
        filters.append(
            and_(columns.status == PayoutStatus.screened.value, columns.decided_at.is_not(None))
        )
    page = PageRequest(
        PAYOUTS_SHOWN,
        # The cursors exclude each other; the later page was asked for last.
        starting_after=query.after,
        ending_before=None if query.after else query.before,
    )
    with visit.database.read() as connection:
        rows, has_more = fetch_page(
            connection,
            store.payouts,
            Payout,
            account_id=visit.account_id,
            livemode=visit.livemode,
            page=page,
            filters=filters,
        )
    has_newer = bool(query.after) or (bool(query.before) and has_more)
    has_older = bool(page.ending_before) or has_more
    address = f"{PATH}?show={query.show}"
    values = {
        "payouts": [_shown(visit, row) for row in rows],
        "show": query.show,
        "newer": f"{address}&before={rows[0].id}" if rows and has_newer else "",
        "older": f"{address}&after={rows[-1].id}" if rows and has_older else "",
    }
    return Page("console/payout_list.html", values)


def show(visit: Visit, payout: str) -> Page:
    """One payout: how far it is, what carries it, and what people are asked to approve."""
    return _detail(visit, payout, None)


def again(visit: Visit, rejected: Rejected, payout: str) -> Page:
    """The payout once more, with why a word on it did not count."""
    return _detail(visit, payout, rejected)


def draft(visit: Visit) -> Page:
    """An empty form."""
    return _form(visit, {}, {}, None)


def draft_again(visit: Visit, rejected: Rejected) -> Page:
    """The form as it was sent, with what is wrong with it."""
    faults = {_FIELDS.get(name, name): text for name, text in rejected.faults.items()}
    return _form(visit, rejected.values, faults, rejected.message)


def create(visit: Visit, form: CreateForm) -> Redirect:
    """Ask for a payout; the policy decides who approves it."""
    account = visit.account()
    network, _, code = form.route.partition(" ")
    with visit.database.read() as connection:
        offer = payout.read_offer(connection, livemode=visit.livemode)
    currency = offer.terms.currencies.get(code)
    if currency is None:
        raise ParameterInvalid(visit.words.gettext("Choose one from the list."), param="route")
    try:
        amount = parse_decimal(form.amount, currency.decimals)
    except ValueError:
        told = visit.words.gettext("Write an amount as 1250.00, without signs between the digits.")
        raise ParameterInvalid(told, param="amount") from None
    if amount <= 0:
        raise ParameterInvalid(visit.words.gettext("More than nothing."), param="amount")
    if (form.address is None) == (form.beneficiary is None):
        told = visit.words.gettext("Give an address, or choose one from the address book.")
        raise ParameterInvalid(told, param="address")
    request = PayoutRequest(
        amount=amount,
        currency=code,
        destination=Wanted(address=form.address, network=network, beneficiary=form.beneficiary),
        fee_mode=form.fee_mode,
        description=form.description,
        initiator=Initiator(visit.actor.key, visit.actor.person),
    )
    made = payout.create(
        visit.parts,
        request,
        identifier=visit.object_id("po"),
        account_id=account,
        livemode=visit.livemode,
        request_id=visit.request_id,
        offer=offer,
    ).run(visit.database)
    return Redirect(f"{PATH}/{made.id}", visit.words.gettext("The payout is asked for."))


def cancel(visit: Visit, payout: str) -> Redirect:
    """Call it off before a transaction carries it."""
    _call_off(visit, payout)
    return Redirect(f"{PATH}/{payout}", visit.words.gettext("The payout is called off."))


def approve(visit: Visit, payout: str, form: ApproveForm) -> Redirect:
    """Say yes; whoever asked for it can not."""
    row = _found(visit, payout)
    word = Word(visit.actor, visit.step_up, form.digest, form.comment)
    approval.approve(
        visit.parts,
        row.id,
        word,
        approval_id=visit.object_id(approvals.PREFIX),
        livemode=visit.livemode,
    )
    return Redirect(f"{PATH}/{payout}", visit.words.gettext("Your approval counts."))


def reject(visit: Visit, payout: str, form: RejectForm) -> Redirect:
    """Say no; its money is available again."""
    row = _found(visit, payout)
    approval.reject(
        visit.parts,
        row.id,
        Word(visit.actor, comment=form.reason),
        approval_id=visit.object_id(approvals.PREFIX),
        livemode=visit.livemode,
    )
    return Redirect(f"{PATH}/{payout}", visit.words.gettext("The payout is rejected."))


def _call_off(visit: Visit, identifier: str) -> None:
    row = _found(visit, identifier)
    payout.cancel(
        visit.parts,
        row.id,
        account_id=row.account_id,
        livemode=visit.livemode,
        request_id=visit.request_id,
    )


def _found(visit: Visit, identifier: str) -> Payout:
    """A payout that they may see: within their account, or anywhere for all accounts."""
    with visit.database.read() as connection:
        row = store.find(
            connection, identifier, account_id=visit.account_id, livemode=visit.livemode
        )
    if row is None or (row.purpose != PayoutPurpose.payout and not visit.is_operator):
        raise ResourceMissing("There is no such payout.")
    return row


def _detail(visit: Visit, identifier: str, rejected: Rejected | None) -> Page:
    row = _found(visit, identifier)
    is_approver = visit.is_operator and visit.may("approvals", "write")
    waits = is_awaiting_approvals(row)
    with visit.database.read() as connection:
        explained = (
            explanation(connection, row.id, livemode=visit.livemode)
            if visit.may("approvals")
            else None
        )
        transaction, attempts = _carried(visit, connection, row)
    values = {
        **_shown(visit, row),
        "explained": explained,
        "words": [] if explained is None else _words_of(explained),
        "transaction": transaction,
        "attempts": attempts,
        "steps": _steps(row),
        "may_cancel": visit.may("payouts", "write") and is_cancelable(row),
        "may_decide": is_approver and waits,
        "is_maker": row.initiator_person == visit.person.id,
        "fault": None if rejected is None else rejected.message,
    }
    return Page("console/payout.html", values)


def _carried(visit: Visit, connection: Connection, row: Payout) -> tuple[Any, list[Any]]:
    """The transaction that carries it and its attempts, for who may see them."""
    if row.transaction is None or not visit.may("chain_transactions"):
        return None, []
    found = transactions.find(connection, row.transaction)
    return found, list(transactions.list_attempts(connection, [row.transaction])[row.transaction])


def _words_of(explained: dict[str, Any]) -> list[dict[str, Any]]:
    """What people said so far, with its time as pages show it."""
    return [
        {**each, "at": datetime.fromtimestamp(each["created"], UTC)}
        for each in explained["approvals"]
    ]


def _steps(row: Payout) -> list[tuple[str, Any]]:
    """What happened when, oldest first."""
    told = (
        ("requested", row.created),
        ("screened", row.screened_at),
        ("decided", row.decided_at),
        ("confirmed", row.confirmed_at),
        ("posted", row.posted_at),
        ("canceled", row.canceled_at),
    )
    return [(name, at) for name, at in told if at is not None]


def _shown(visit: Visit, row: Payout) -> dict[str, Any]:
    if row.under_review:
        name, tone = visit.words.gettext("Under review"), "warn"
    elif is_awaiting_approvals(row):
        name, tone = visit.words.gettext("Waits for approval"), "warn"
    else:
        word, tone = STATUSES[PayoutStatus(row.status)]
        name = visit.words.gettext(word)
    return {"payout": row, "status": name, "tone": tone}


def _form(visit: Visit, given: Any, faults: Any, message: str | None) -> Page:
    account = visit.account()
    with visit.database.read() as connection:
        terms = payout.read_terms(
            connection, account_id=account, livemode=visit.livemode, now=visit.now
        )
        book = beneficiaries.list_entries(
            connection,
            PageRequest(BENEFICIARIES_SHOWN_MAX),
            account_id=account,
            livemode=visit.livemode,
        )[0]
    routes = [
        {
            "value": f"{network} {code}",
            "network": terms.networks[network].name,
            "currency": terms.currencies[code],
            "fee": None if terms.fees is None else terms.fees.get(asset.asset),
            "is_free": terms.fees is None,
        }
        for (network, code), asset in sorted(terms.assets.items())
        if network in terms.networks and code in terms.currencies
    ]
    values = {
        "routes": routes,
        "book": book,
        "given": given,
        "faults": faults,
        "message": message,
        "now": visit.now,
    }
    return Page("console/payout_new.html", values)


SCREENS = (
    Screen("GET", PATH, list_payouts, "payouts", menu=Menu(mark("Money"), mark("Payouts"))),
    Screen("GET", f"{PATH}/new", draft, "payouts", "write"),
    Screen("POST", f"{PATH}/new", create, "payouts", step_up=True, again=draft_again),
    Screen("GET", f"{PATH}/{{payout}}", show, "payouts"),
    Screen("POST", f"{PATH}/{{payout}}/cancel", cancel, "payouts", again=again),
    Screen(
        "POST",
        f"{PATH}/{{payout}}/approve",
        approve,
        "approvals",
        step_up=True,
        operator_only=True,
        again=again,
    ),
    Screen(
        "POST", f"{PATH}/{{payout}}/reject", reject, "approvals", operator_only=True, again=again
    ),
)
