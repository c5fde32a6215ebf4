"""Withdrawals: coins of the hot treasury go to a vault of the operator's own, as people approve."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any, Final

from pydantic import Field

from sakk.console.failure import FAILURES
from sakk.console.listing import ListQuery, created_within, csv_file, fields, listing, options
from sakk.console.payout import STATUSES
from sakk.console.route import ROOT, Screen
from sakk.console.team import ROLES
from sakk.console.visit import Download, Page, Redirect, Rejected, Visit
from sakk.core import approval as approvals
from sakk.core.errors import ParameterInvalid, ResourceMissing
from sakk.core.money import parse_decimal
from sakk.core.withdrawal import Withdrawal, WithdrawalStatus, may_be_rejected
from sakk.flow import withdrawal as flow
from sakk.flow.explanation import explain_withdrawal
from sakk.flow.word import Word
from sakk.pages.form import Form
from sakk.pages.language import mark
from sakk.store import network as networks
from sakk.store import treasury as vaults
from sakk.store import withdrawal as store
from sakk.store.page import fetch_window

PATH: Final = f"{ROOT}/withdrawals"
TIERS: Final = {"cold": mark("Cold"), "warm": mark("Warm")}
_FIELDS: Final = {"destination": "vault", "token_amount": "amount", "asset": "vault"}


class WithdrawalQuery(ListQuery):
    """Which withdrawals."""

    status: WithdrawalStatus | None = None


class CreateForm(Form):
    """What goes to which vault: ``vault`` is an asset and the vault's address on its network."""

    vault: Annotated[str, Field(max_length=400)]
    amount: Annotated[str, Field(max_length=80)]


class ApproveForm(Form):
    """A yes to the content that was shown."""

    digest: Annotated[str, Field(max_length=64)]
    comment: Annotated[str, Field(max_length=500)] | None = None


class RejectForm(Form):
    """Why not."""

    reason: Annotated[str, Field(max_length=500)] | None = None


def index(visit: Visit, query: WithdrawalQuery) -> Page | Download:
    """The withdrawals, newest first."""
    return _listed(visit, query, None)


def index_again(visit: Visit, rejected: Rejected) -> Page:
    """The same with what was wrong in the form."""
    shown = _listed(visit, WithdrawalQuery(), rejected)
    assert isinstance(shown, Page)
    return shown


def create(visit: Visit, form: CreateForm) -> Redirect:
    """Ask for it; the policy says who approves it, and whoever asks does not."""
    asset_name, _, destination = form.vault.partition(" ")
    with visit.database.read() as connection:
        asset = networks.find_asset(connection, asset_name)
    if asset is None:
        raise ParameterInvalid(visit.words.gettext("Choose one from the list."), param="vault")
    try:
        units = parse_decimal(form.amount, asset.decimals)
    except ValueError:
        told = visit.words.gettext("Write an amount as 1250.00, without signs between the digits.")
        raise ParameterInvalid(told, param="amount") from None
    row = flow.withdraw(
        visit.parts,
        asset_name=asset.asset,
        units=units,
        destination=destination,
        actor=visit.actor,
        livemode=visit.livemode,
        identifier=visit.object_id("wd"),
    )
    return Redirect(f"{PATH}/{row.id}", visit.words.gettext("The move is asked for."))


def show(visit: Visit, withdrawal: str) -> Page:
    """One withdrawal: what will be signed, and who said what."""
    return _detail(visit, withdrawal, None)


def again(visit: Visit, rejected: Rejected, withdrawal: str) -> Page:
    """The same with why a word did not count."""
    return _detail(visit, withdrawal, rejected)


def approve(visit: Visit, withdrawal: str, form: ApproveForm) -> Redirect:
    """Say yes; whoever asked for it can not."""
    flow.approve(
        visit.parts,
        withdrawal,
        Word(visit.actor, visit.step_up, form.digest, form.comment),
        approval_id=visit.object_id(approvals.PREFIX),
        livemode=visit.livemode,
    )
    return Redirect(f"{PATH}/{withdrawal}", visit.words.gettext("Your approval counts."))


def reject(visit: Visit, withdrawal: str, form: RejectForm) -> Redirect:
    """Say no: the coins stay."""
    flow.reject(
        visit.parts,
        withdrawal,
        Word(visit.actor, comment=form.reason),
        # Of its own: the page's other form is no repetition of this one.
        approval_id=visit.object_id(approvals.PREFIX, 1),
        livemode=visit.livemode,
    )
    return Redirect(f"{PATH}/{withdrawal}", visit.words.gettext("Rejected: the coins stay."))


def _listed(visit: Visit, query: WithdrawalQuery, rejected: Rejected | None) -> Page | Download:
    c = store.withdrawals.c
    filters = [*created_within(visit, query, store.withdrawals), c.livemode == visit.livemode]
    if query.q is not None:
        filters.append((c.id == query.q) | (c.destination == query.q.lower()))
    if query.status is not None:
        filters.append(c.status == query.status.value)
    with visit.database.read() as connection:
        window = fetch_window(
            connection,
            store.withdrawals,
            Withdrawal,
            bound=[],
            filters=filters,
            limit=query.limit,
            **query.place,
        )
        rails = {
            each.network: each
            for each in networks.list_networks(connection, livemode=visit.livemode)
        }
        assets = {each.asset: each for each in networks.list_assets(connection)}
        known = vaults.list_vaults(connection)
    if query.is_file:
        names = ("id", "created", "status", "network", "asset", "token_amount", "destination")
        return csv_file("withdrawals.csv", fields(*names, "tx_hash", "posted_at"), window.rows)
    labels = {(each.network, each.address): each.label for each in known}
    offered = [
        (
            f"{asset.asset} {vault.address}",
            f"{asset.symbol} · {rails[asset.network].name} → {vault.label}"
            f" ({visit.words.gettext(TIERS[vault.tier])})",
        )
        for vault in known
        for asset in assets.values()
        if asset.network == vault.network and asset.network in rails
    ]
    faults = {} if rejected is None else rejected.faults
    values: dict[str, Any] = {
        "list": listing(visit, query, window, window.rows),
        "status_of": status_of(visit),
        "assets": assets,
        "labels": labels,
        "offered": offered,
        "may_ask": visit.may("withdrawals", "write"),
        "choices": {"status": options(visit, STATUSES)},
        "sent": {} if rejected is None else rejected.values,
        "faults": {_FIELDS.get(name, name): text for name, text in faults.items()},
        "message": None if rejected is None else rejected.message,
    }
    return Page("console/withdrawals.html", values)


def _detail(visit: Visit, identifier: str, rejected: Rejected | None) -> Page:
    with visit.database.read() as connection:
        row = store.find(connection, identifier)
        if row is None or row.livemode is not visit.livemode:
            raise ResourceMissing("There is no such withdrawal.")
        explained = explain_withdrawal(connection, row.id, livemode=visit.livemode)
        asset = networks.find_asset(connection, row.asset)
        network = networks.find_network(connection, row.network)
        vault = vaults.find_vault(connection, row.network, row.destination)
    status, tone = status_of(visit)(row)
    values: dict[str, Any] = {
        "row": row,
        "status": status,
        "tone": tone,
        "explained": explained,
        "said": [
            {**each, "at": datetime.fromtimestamp(each["created"], UTC)}
            for each in explained["approvals"]
        ],
        "asset": asset,
        "network": network,
        "vault": vault,
        "may_decide": visit.may("approvals", "write") and row.status == WithdrawalStatus.screened,
        "may_reject": visit.may("approvals", "write") and may_be_rejected(row),
        "failures": FAILURES,
        "roles": ROLES,
        "is_maker": row.initiator_person == visit.person.id,
        "fault": None if rejected is None else rejected.message,
    }
    return Page("console/withdrawal.html", values)


def status_of(visit: Visit) -> Callable[[Withdrawal], tuple[str, str]]:
    """The status of a withdrawal in words, with its tone."""

    def words(row: Withdrawal) -> tuple[str, str]:
        if row.status == WithdrawalStatus.screened:
            return visit.words.gettext("Waits for approval"), "warn"
        word, tone = STATUSES[row.status]
        return visit.words.gettext(word), tone

    return words


SCREENS: tuple[Screen, ...] = (
    Screen("GET", PATH, index, "withdrawals", operator_only=True),
    Screen(
        "POST",
        PATH,
        create,
        "withdrawals",
        step_up=True,
        operator_only=True,
        again=index_again,
    ),
    Screen("GET", f"{PATH}/{{withdrawal}}", show, "withdrawals", operator_only=True),
    Screen(
        "POST",
        f"{PATH}/{{withdrawal}}/approve",
        approve,
        "approvals",
        step_up=True,
        operator_only=True,
        again=again,
    ),
    Screen(
        "POST",
        f"{PATH}/{{withdrawal}}/reject",
        reject,
        "approvals",
        operator_only=True,
        again=again,
    ),
)
