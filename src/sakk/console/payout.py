"""Payouts: what was sent out, what waits for people, and asking for one."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

from pydantic import Field
from sqlalchemy import Connection

from sakk.console.approval import asked_for
from sakk.console.failure import FAILURES
from sakk.console.listing import (
    Exact,
    ListQuery,
    created_within,
    csv_file,
    listing,
    options,
)
from sakk.console.route import ROOT, Menu, Screen
from sakk.console.visit import Download, Page, Redirect, Rejected, Visit
from sakk.core import approval as approvals
from sakk.core import bank_account as bank_rules
from sakk.core import money
from sakk.core.bank_account import BankAccount
from sakk.core.beneficiary import Wanted
from sakk.core.errors import ParameterInvalid, ResourceMissing, SakkError
from sakk.core.evm import checksum_address
from sakk.core.money import parse_decimal
from sakk.core.payout import (
    BANK,
    Initiator,
    Payout,
    PayoutPurpose,
    PayoutRequest,
    PayoutStatus,
    is_awaiting_approvals,
    is_cancelable,
)
from sakk.core.search import read_search
from sakk.flow import approval, payout
from sakk.flow import bank_account as bank_accounts
from sakk.flow.explanation import batch_lines, explanation
from sakk.flow.payout_trial import try_payout
from sakk.flow.word import Word
from sakk.pages.form import Form
from sakk.pages.language import mark
from sakk.store import bank_account as banks
from sakk.store import bank_payment as bank_payments
from sakk.store import beneficiary as beneficiaries
from sakk.store import network as networks
from sakk.store import payout as store
from sakk.store import payout_search as search
from sakk.store import provider_order as provider_orders
from sakk.store import transaction as transactions
from sakk.store.page import PageRequest, Window, fetch_window

PATH: Final = f"{ROOT}/payouts"
BENEFICIARIES_SHOWN_MAX: Final = 100
# What each status is called, and its tone.
STATUSES: Final[Mapping[str, tuple[str, str]]] = {
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
SHOWN: Final[Mapping[str, str]] = {
    "waiting": mark("Waits for approval"),
    "review": mark("Under review"),
}
BANK_PAYMENTS: Final[Mapping[str, tuple[str, str]]] = {
    "ordered": (mark("Ordered"), "wait"),
    "sent": (mark("Sent"), "wait"),
    "accepted": (mark("Accepted by the bank"), "wait"),
    "booked": (mark("Booked"), "good"),
    "rejected": (mark("Refused by the bank"), "bad"),
    "returned": (mark("Came back"), "bad"),
}
# What a trial came to, and its tone.
OUTCOMES: Final[Mapping[str, tuple[str, str]]] = {
    "exact": (mark("It would move exactly this, and nothing else of ours."), "good"),
    "would_fail": (mark("It would fail."), "bad"),
    "would_do_more": (mark("It would do more than it is for. Do not approve it."), "bad"),
    "unknown": (mark("It could not be tried out now."), "warn"),
}
# The parameters of commands, as the form names them.
_FIELDS: Final = {
    "currency": "route",
    "destination": "address",
    "destination[address]": "address",
    "destination[network]": "route",
    "destination[beneficiary]": "beneficiary",
    "destination[bank_account]": "beneficiary",
}


class PayoutQuery(ListQuery):
    """Which payouts; ``show`` waiting: those that wait for people."""

    show: Literal["waiting", "review"] | None = None
    status: PayoutStatus | None = None
    currency: Annotated[str, Field(max_length=20)] | None = None
    network: Annotated[str, Field(max_length=100)] | None = None


class CreateForm(Form):
    """A payout; ``route`` is a network and a currency, ``amount`` in whole units of it.

    ``beneficiary``: an entry of the address book, or a payee's account at a bank.
    """

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


def index(visit: Visit, query: PayoutQuery) -> Page | Download:
    """The payouts, newest first; those that carry refunds are seen as refunds."""
    with visit.database.read() as connection:
        window = _window(connection, visit, query)
        if query.is_file:
            return payout_file("payouts.csv", window.rows)
        currencies = networks.list_currencies(connection)
        rails = networks.list_networks(connection, livemode=visit.livemode)
        places = payees_of(connection, window.rows)
    bank = visit.words.gettext("Bank")
    return Page(
        "console/payouts.html",
        {
            "list": listing(visit, query, window, window.rows),
            "status_of": status_of(visit),
            "names": {BANK: bank} | {each.network: each.name for each in rails},
            "places": places,
            "choices": {
                "status": options(visit, STATUSES),
                "show": options(visit, SHOWN),
                "currency": [(each.currency, each.currency.upper()) for each in currencies],
                "network": [*((each.network, each.name) for each in rails), (BANK, bank)],
            },
        },
    )


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
    chosen = form.beneficiary or ""
    is_bank = chosen.startswith(bank_rules.PREFIX + "_")
    if is_bank is not (network == BANK):
        told = visit.words.gettext(
            "An account at a bank is paid by bank, and an address on its network."
        )
        raise ParameterInvalid(told, param="route")
    request = PayoutRequest(
        amount=amount,
        currency=code,
        destination=Wanted(bank_account=chosen)
        if is_bank
        else Wanted(address=form.address, network=network, beneficiary=form.beneficiary),
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
        # Of its own: the page's other form is no repetition of this one.
        approval_id=visit.object_id(approvals.PREFIX, 1),
        livemode=visit.livemode,
    )
    return Redirect(f"{PATH}/{payout}", visit.words.gettext("The payout is rejected."))


def trial(visit: Visit, payout: str) -> Page:
    """Try the transfer out, as it would be signed now; asked for by the payout's page."""
    row = _found(visit, payout)
    with visit.database.read() as connection:
        asset = networks.find_asset(connection, row.asset)
    tried = try_payout(visit.parts, row)
    reason = tried.reason
    values = {
        "payout": row,
        "asset": asset,
        "tried": tried,
        "reason": visit.words.error(reason) if isinstance(reason, SakkError) else reason,
        "outcomes": OUTCOMES,
    }
    return Page("console/payout_trial.html", values, fragment="console/payout_tried.html")


def _call_off(visit: Visit, identifier: str) -> None:
    row = _found(visit, identifier)
    payout.cancel(
        visit.parts,
        row.id,
        account_id=row.account_id,
        livemode=visit.livemode,
        request_id=visit.request_id,
        by_operator=visit.is_operator,
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
        by_bank = row.network == BANK
        is_shown = explained is not None and not by_bank
        [line] = batch_lines(connection, [row]) if is_shown else [None]
        paid_before = store.paid_before(connection, [row])[row.id] if by_bank else 0
        place = payees_of(connection, [row]).get(row.destination)
        order = bank_payments.of_payout(connection, row.id) if by_bank else None
        asked_by = provider_orders.of_payout(connection, row.id) if by_bank else None
        asked = asked_for(connection, visit, [row]) if row.decided_at is not None else []
        transaction, attempts = _carried(visit, connection, row)
    status, tone = status_of(visit)(row)
    values = {
        "payout": row,
        "status": status,
        "tone": tone,
        "explained": explained,
        "line": line,
        "place": place,
        "paid_before": paid_before,
        "order": order,
        "orders": BANK_PAYMENTS,
        "provider_order": asked_by,
        "asked": asked,
        "is_unsent": row.transaction is None and is_cancelable(row) and not by_bank,
        "words": [] if explained is None else _words_of(explained),
        "transaction": transaction,
        "attempts": attempts,
        "steps": _steps(row),
        "may_cancel": visit.may("payouts", "write") and is_cancelable(row),
        "may_decide": is_approver and waits,
        "is_maker": row.initiator_person == visit.person.id,
        "failures": FAILURES,
        "fault": None if rejected is None else rejected.message,
    }
    return Page("console/payout.html", values)


def payees_of(connection: Connection, rows: Sequence[Payout]) -> dict[str, BankAccount]:
    """The accounts at banks that payouts go to, by their ids."""
    return banks.list_by_ids(connection, {row.destination for row in rows if row.network == BANK})


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


def status_of(visit: Visit) -> Callable[[Payout], tuple[str, str]]:
    """The status of a payout in words, with its tone."""

    def words(row: Payout) -> tuple[str, str]:
        if row.under_review:
            return visit.words.gettext(SHOWN["review"]), "warn"
        if is_awaiting_approvals(row):
            return visit.words.gettext(SHOWN["waiting"]), "warn"
        word, tone = STATUSES[row.status]
        return visit.words.gettext(word), tone

    return words


def payout_file(name: str, rows: Sequence[Payout]) -> Download:
    """Payouts as a file for spreadsheets."""
    return csv_file(
        name,
        [
            ("id", lambda row: row.id),
            ("created", lambda row: row.created),
            ("status", lambda row: row.status),
            ("amount", lambda row: Exact(money.format_decimal(row.amount, row.decimals))),
            ("fee", lambda row: Exact(money.format_decimal(row.fee, row.decimals))),
            ("currency", lambda row: row.currency),
            ("network", lambda row: row.network),
            ("address", _written),
            ("beneficiary", lambda row: row.beneficiary),
            ("reference", lambda row: row.reference),
            ("description", lambda row: row.description),
            ("batch", lambda row: row.batch),
            ("line", lambda row: row.line),
            ("tx_hash", lambda row: row.tx_hash),
            ("posted_at", lambda row: row.posted_at),
            ("failure", lambda row: row.failure_message),
        ],
        rows,
    )


def _written(row: Payout) -> str:
    """Where a payout goes: an address, or the id of an account at a bank."""
    return row.destination if row.network == BANK else checksum_address(row.destination)


def _window(connection: Connection, visit: Visit, query: PayoutQuery) -> Window[Payout]:
    c = store.payouts.c
    whose: dict[str, Any] = {"account_id": visit.account_id, "livemode": visit.livemode}
    found = search.find(connection, read_search(query.q or ""), **whose)
    filters = [
        c.purpose == PayoutPurpose.payout.value,
        c.livemode == visit.livemode,
        *found.filters,
        *created_within(visit, query, store.payouts),
    ]
    for name in ("status", "currency", "network"):
        value = getattr(query, name)
        if value is not None:
            filters.append(c[name] == str(value))
    match query.show:
        case "waiting":
            filters += [c.status == PayoutStatus.screened.value, c.decided_at.is_not(None)]
        case "review":
            filters.append(c.under_review)
        case None:
            pass
    return fetch_window(
        connection,
        store.payouts,
        Payout,
        bound=[*search.bound(**whose), *search.found_bound(found)],
        filters=filters,
        limit=query.limit,
        **query.place,
    )


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
        payees = banks.list_payees(
            connection, account, livemode=visit.livemode, limit=BENEFICIARIES_SHOWN_MAX
        )
        by_bank = bank_accounts.currencies_paid(connection, livemode=visit.livemode)
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
    ] + [
        {
            "value": f"{BANK} {code}",
            "network": visit.words.gettext("Bank"),
            "currency": terms.currencies[code],
            "fee": None,
            "is_free": True,
        }
        for code in by_bank
    ]
    values = {
        "routes": routes,
        "book": book,
        "payees": payees,
        "given": given,
        "faults": faults,
        "message": message,
        "now": visit.now,
    }
    return Page("console/payout_new.html", values)


SCREENS = (
    Screen("GET", PATH, index, "payouts", menu=Menu(mark("Money"), mark("Payouts"))),
    Screen("GET", f"{PATH}/new", draft, "payouts", "write"),
    Screen("POST", f"{PATH}/new", create, "payouts", step_up=True, again=draft_again),
    Screen("GET", f"{PATH}/{{payout}}", show, "payouts"),
    Screen("GET", f"{PATH}/{{payout}}/trial", trial, "approvals", operator_only=True),
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
