"""Connected accounts: who acts for whom, asked for, agreed to and ended, each on its own screen."""

import json
from collections.abc import Mapping
from typing import Annotated, Final, Literal

from pydantic import Field
from sqlalchemy import ColumnElement, Connection

from sakk.console.amount import ppm_of
from sakk.console.fee import RETURNS, faults_of, line_of, percent, read_written, shorten
from sakk.console.listing import ListQuery, created_within, csv_file, fields, listing, options
from sakk.console.route import ROOT, Menu, Screen
from sakk.console.visit import Download, Page, Redirect, Rejected, Visit
from sakk.core import connected_account as rules
from sakk.core.connected_account import ConnectedAccount, ConnectionStatus, Permission
from sakk.core.errors import ResourceMissing
from sakk.core.fee import FeeKind, FeeRule
from sakk.core.search import SearchKind, read_search
from sakk.flow import connected_account as flow
from sakk.pages.form import Form
from sakk.pages.language import mark
from sakk.store import account as accounts
from sakk.store import connected_account as store
from sakk.store import fee as fees
from sakk.store import network as networks
from sakk.store.page import Window, fetch_window

PATH: Final = f"{ROOT}/connected_accounts"
ASKED_SHOWN_MAX: Final = 20
# So many of an account's newest connections are looked at for what waits for its word.
LOOKED_AT_MAX: Final = 100
RULES_LENGTH_MAX: Final = 200_000
STATUSES: Mapping[str, tuple[str, str]] = {
    "pending": (mark("Asked for"), "wait"),
    "active": (mark("In force"), "good"),
    "ended": (mark("Ended"), "plain"),
}
SIDES: Mapping[str, str] = {
    "platform": mark("Accounts that we act for"),
    "account": mark("Platforms that act for us"),
}
PERMISSIONS: Mapping[str, str] = {
    "payments": mark("Take payments, give them back, and see the balance"),
    "payouts": mark("Pay out of the balance, and see it"),
}
# The parameters of the command, as the form names them.
_FIELDS: Final = {"application_fee_ppm_max": "most", "rules": "percent"}
Percentage = Annotated[str, Field(max_length=12)]


class ConnectionQuery(ListQuery):
    """Which connections; as a platform's, or as those of who is asked."""

    side: Literal["platform", "account"] | None = None
    status: ConnectionStatus | None = None


class AskForm(Form):
    """Whom a platform asks, for what, and what it takes at most and where nothing is named."""

    account: Annotated[str, Field(max_length=255)]
    payments: Literal["true"] | None = None
    payouts: Literal["true"] | None = None
    most: Percentage
    percent: Percentage | None = None


class RulesForm(Form):
    """By which rules the platform takes its fee from now on, as JSON."""

    rules: Annotated[str, Field(max_length=RULES_LENGTH_MAX)]


def index(visit: Visit, query: ConnectionQuery) -> Page | Download:
    """The connections, newest first, and a form to ask for one."""
    return _list(visit, query, None)


def list_again(visit: Visit, rejected: Rejected) -> Page:
    """The same with what was wrong in the form."""
    page = _list(visit, ConnectionQuery(), rejected)
    assert isinstance(page, Page)
    return page


def ask(visit: Visit, form: AskForm) -> Redirect:
    """Ask an account to act for it, as its platform; nothing counts before it agrees."""
    platform = visit.account()
    identifier = visit.object_id(rules.PREFIX)
    wanted = {Permission.payments: form.payments, Permission.payouts: form.payouts}
    taken = ppm_of(form.percent, param="percent")
    with visit.database.begin() as connection:
        found = store.find(connection, identifier, account_id=platform, livemode=visit.livemode)
        if found is None:
            flow.create(
                connection,
                identifier=identifier,
                platform=platform,
                account_id=form.account,
                livemode=visit.livemode,
                permissions=[each.value for each, ticked in wanted.items() if ticked],
                fee_ppm_max=ppm_of(form.most, param="most"),
                written=[FeeRule(kind=FeeKind.payin, percent_ppm=taken)] if taken else [],
                metadata={},
                by=visit.person.id,
                now=visit.now,
            )
    told = visit.words.gettext("Asked. Nothing counts before the account agrees, on this page.")
    return Redirect(f"{PATH}/{identifier}", told)


def show(visit: Visit, connected_account: str) -> Page:
    """One connection."""
    return _detail(visit, connected_account, None)


def again(visit: Visit, rejected: Rejected, connected_account: str) -> Page:
    """The same with what could not be done."""
    return _detail(visit, connected_account, rejected)


def accept(visit: Visit, connected_account: str) -> Redirect:
    """Agree, as the account that is asked."""
    with visit.database.begin() as connection:
        flow.accept(
            connection,
            connected_account,
            account_id=visit.account(),
            livemode=visit.livemode,
            now=visit.now,
        )
    told = visit.words.gettext("Agreed: from now on the platform acts for this account.")
    return Redirect(f"{PATH}/{connected_account}", told)


def revoke(visit: Visit, connected_account: str) -> Redirect:
    """End it, as either side: refuse, withdraw or revoke."""
    with visit.database.begin() as connection:
        flow.revoke(
            connection,
            connected_account,
            account_id=visit.account(),
            livemode=visit.livemode,
            now=visit.now,
        )
    told = visit.words.gettext("Ended. What was asked for before keeps its terms.")
    return Redirect(f"{PATH}/{connected_account}", told)


def change(visit: Visit, connected_account: str, form: RulesForm) -> Redirect:
    """The platform's next rules, in force at once."""
    with visit.database.begin() as connection:
        flow.set_rules(
            connection,
            connected_account,
            read_written(form.rules),
            platform=visit.account(),
            livemode=visit.livemode,
            by=visit.person.id,
            now=visit.now,
        )
    told = visit.words.gettext("The new version is in force. What was charged stays charged.")
    return Redirect(f"{PATH}/{connected_account}", told)


def _list(visit: Visit, query: ConnectionQuery, rejected: Rejected | None) -> Page | Download:
    with visit.database.read() as connection:
        side = query.side or _side(connection, visit)
        window = _window(connection, visit, query, side)
        if query.is_file:
            return _file(window.rows)
        asked = (
            []
            if visit.account_id is None
            else store.list_asked(
                connection, visit.account_id, livemode=visit.livemode, limit=LOOKED_AT_MAX
            )[:ASKED_SHOWN_MAX]
        )
        names = _names(connection, visit, [*window.rows, *asked])
    shown = listing(visit, query, window, window.rows)
    shown.query["side"] = side
    faults = {} if rejected is None else rejected.faults
    values = {
        "list": shown,
        "side": side,
        "asked": asked,
        "names": names,
        "statuses": STATUSES,
        "percent": percent,
        "choices": {"side": options(visit, SIDES), "status": options(visit, STATUSES)},
        "may_ask": visit.may("connected_accounts", "write") and visit.account_id is not None,
        "sent": {"payments": "true"} if rejected is None else rejected.values,
        "faults": {
            _FIELDS.get(name, name.partition("[")[0]): each for name, each in faults.items()
        },
        "message": None if rejected is None else rejected.message,
        "is_sent": rejected is not None,
    }
    return Page("console/connected_accounts.html", values)


def _side(connection: Connection, visit: Visit) -> str:
    """As what an account looks at its connections where it does not say: as what it has any."""
    if visit.account_id is None or store.is_platform(
        connection, visit.account_id, livemode=visit.livemode
    ):
        return "platform"
    return "account"


def _window(
    connection: Connection, visit: Visit, query: ConnectionQuery, side: str
) -> Window[ConnectedAccount]:
    c = store.connected_accounts.c
    mode = c.livemode == visit.livemode
    bound: list[ColumnElement[bool]] = []
    filters = created_within(visit, query, store.connected_accounts)
    if visit.account_id is None:
        filters.append(mode)
    else:
        own = c.platform if side == "platform" else c.account_id
        bound += [own == visit.account_id, mode]
    search = read_search(query.q or "")
    if search is not None and search.kind is SearchKind.id and search.name == rules.PREFIX:
        bound.append(c.id == search.value)
    elif query.q is not None:
        filters.append((c.account_id == query.q) | (c.platform == query.q))
    if query.status is not None:
        filters.append(c.status == query.status.value)
    return fetch_window(
        connection,
        store.connected_accounts,
        ConnectedAccount,
        bound=bound,
        filters=filters,
        limit=query.limit,
        **query.place,
    )


def _file(rows: list[ConnectedAccount]) -> Download:
    plain = ("id", "created", "status", "platform", "account_id")
    return csv_file(
        "connected_accounts.csv",
        [
            *fields(*plain),
            ("permissions", lambda row: " ".join(row.permissions)),
            ("application_fee_ppm_max", lambda row: row.fee_ppm_max),
            *fields("accepted_at", "ended_at", "ended_by"),
        ],
        rows,
    )


def _names(connection: Connection, visit: Visit, rows: list[ConnectedAccount]) -> dict[str, str]:
    """What the sides are called. Who only asks is not told the name of who is asked."""
    wanted = {row.platform for row in rows}
    for row in rows:
        if row.accepted_at is not None or visit.account_id in (None, row.account_id):
            wanted.add(row.account_id)
    return accounts.names(connection, wanted)


def _detail(visit: Visit, identifier: str, rejected: Rejected | None) -> Page:
    with visit.database.read() as connection:
        row = store.find(
            connection, identifier, account_id=visit.account_id, livemode=visit.livemode
        )
        if row is None:
            raise ResourceMissing("There is no such connection.")
        names = _names(connection, visit, [row])
        version = flow.rules_in_force(connection, [row.id], now=visit.now).get(row.id)
        versions = len(fees.list_versions(connection, [row.id]).get(row.id, []))
        scales = {each.currency: each.decimals for each in networks.list_currencies(connection)}
    written = [] if version is None else version.rules
    may_write = visit.may("connected_accounts", "write") and visit.account_id is not None
    stands = row.status != ConnectionStatus.ended
    is_asked = visit.account_id == row.account_id
    given = {"rules": json.dumps([shorten(each) for each in written], indent=2)}
    values = {
        "row": row,
        "names": names,
        "most": percent(row.fee_ppm_max),
        "lines": [line_of(visit, each, scales) for each in written],
        "version": version,
        "versions": versions,
        "returns": RETURNS,
        "permissions": PERMISSIONS,
        "statuses": STATUSES,
        "is_asked": is_asked,
        "is_platform": visit.account_id == row.platform,
        "may_accept": may_write and is_asked and row.status == ConnectionStatus.pending,
        "may_end": may_write and stands,
        "may_change": may_write and stands and visit.account_id == row.platform,
        "given": given if rejected is None or "rules" not in rejected.values else rejected.values,
        "faults": faults_of(rejected),
        "message": None if rejected is None else rejected.message,
    }
    return Page("console/connected_account.html", values)


_ONE: Final = PATH + "/{connected_account}"
SCREENS: tuple[Screen, ...] = (
    Screen(
        "GET",
        PATH,
        index,
        "connected_accounts",
        menu=Menu("Organisation", mark("Connected accounts")),
    ),
    Screen("POST", PATH, ask, "connected_accounts", step_up=True, again=list_again),
    Screen("GET", _ONE, show, "connected_accounts"),
    Screen("POST", f"{_ONE}/accept", accept, "connected_accounts", step_up=True, again=again),
    Screen("POST", f"{_ONE}/revoke", revoke, "connected_accounts", step_up=True, again=again),
    Screen("POST", f"{_ONE}/rules", change, "connected_accounts", step_up=True, again=again),
)
