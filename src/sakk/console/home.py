"""The first page: what came in, what waits for a person, and whether the rails run."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from markupsafe import Markup
from sqlalchemy import Connection

from sakk.console.payin import exceptional
from sakk.console.route import ROOT, Menu, Screen
from sakk.console.visit import Page, Visit
from sakk.core.money import format_decimal
from sakk.core.role import HOME, Role
from sakk.core.volume import Day, beginning, by_day, last_days
from sakk.pages import amount as amounts
from sakk.pages.chart import Point, Words, bars
from sakk.pages.language import mark
from sakk.pages.moment import zone_of
from sakk.store import connected_account as connected_accounts
from sakk.store import home as store
from sakk.store import information_request as questions
from sakk.store import label as labels
from sakk.store import network as networks
from sakk.store import projection
from sakk.store import volume as volumes

DAYS: Final = 30
CHARTS_MAX: Final = 4
# A network that was not looked at for so long, or is so many of its blocks behind, lags.
LATE_SECONDS: Final = 60
LATE_BLOCKS: Final = 20
# What the ledger's rows do not show for so long, nobody reads of.
LEDGER_LATE_SECONDS: Final = 60


@dataclass(frozen=True, slots=True)
class Waiting:
    """Something that waits for a person: how much, where to go, and how much it matters.

    ``path`` is None for what has no screen: it is worked on by the API and the command line.
    """

    label: str
    count: str
    path: str | None
    tone: str


@dataclass(frozen=True, slots=True)
class Rail:
    """How far a network was followed. ``state``: a word of ``STATES``."""

    name: str
    network: str
    head: int | None
    followed: int | None
    lag: int | None
    block_at: datetime | None
    checked: datetime | None
    state: str


STATES: Mapping[str, tuple[str, str]] = {
    "well": (mark("Followed"), "good"),
    "behind": (mark("Behind"), "warn"),
    "silent": (mark("Nobody follows it"), "bad"),
    "off": (mark("Switched off"), "plain"),
}


def show(visit: Visit) -> Page:
    """The first page."""
    with visit.database.read() as connection:
        values: dict[str, Any] = {
            "charts": _charts(connection, visit),
            "waiting": _waiting(connection, visit),
            "rails": rails(connection, visit),
        }
    return Page("console/home.html", values | {"states": STATES, "days": DAYS})


def rails(connection: Connection, visit: Visit) -> list[Rail]:
    """The networks of the mode, and how they are followed."""
    cursors = {each.network: each for each in networks.list_cursors(connection)}
    found = []
    for network in networks.list_networks(connection, livemode=visit.livemode):
        cursor = cursors.get(network.network)
        head = None if cursor is None else cursor.head_number
        followed = None if cursor is None else cursor.block_number
        checked = None if cursor is None else cursor.checked
        at = None if cursor is None else cursor.block_timestamp
        lag = None if head is None or followed is None else max(0, head - followed)
        if not network.enabled:
            state = "off"
        elif checked is None or (visit.now - checked).total_seconds() > LATE_SECONDS:
            state = "silent"
        else:
            state = "behind" if lag is None or lag > LATE_BLOCKS else "well"
        found.append(
            Rail(
                name=network.name,
                network=network.network,
                head=head,
                followed=followed,
                lag=lag,
                block_at=None if at is None else datetime.fromtimestamp(at, UTC),
                checked=checked,
                state=state,
            )
        )
    return found


def _charts(connection: Connection, visit: Visit) -> list[dict[str, Any]]:
    zone = zone_of(visit.time_zone)
    days = last_days(visit.now, DAYS, zone)
    counted = volumes.list_volumes(
        connection,
        account_id=visit.account_id,
        livemode=visit.livemode,
        since=beginning(days[0], zone),
        zone=zone.key,
    )
    scales = {each.currency: each.decimals for each in networks.list_currencies(connection)}
    busiest = sorted(
        by_day(counted, days, zone).items(),
        key=lambda each: (-sum(day.payins for day in each[1]), each[0]),
    )
    return [
        _chart(visit, currency, found, scales.get(currency, 0), index)
        for index, (currency, found) in enumerate(busiest[:CHARTS_MAX])
    ]


def _chart(
    visit: Visit, currency: str, days: Sequence[Day], decimals: int, index: int
) -> dict[str, Any]:
    gettext = visit.words.gettext

    def shown(units: int) -> Markup:
        return amounts.units(units, decimals, currency, visit.language)

    points = [Point(each.day.isoformat(), each.amount, shown(each.amount)) for each in days]
    total = sum(each.amount for each in days)
    title = gettext("Credited in {currency}, by day", currency=currency.upper())
    return {
        "currency": currency,
        "total": shown(total),
        "today": shown(days[-1].amount),
        "payins": sum(each.payins for each in days),
        "drawing": bars(
            points,
            Words(
                title=title,
                description=gettext(
                    "The last {days} days; the highest is {amount}.",
                    days=len(days),
                    amount=amounts.plain(
                        format_decimal(max(each.amount for each in days), decimals)
                    ),
                ),
                of=gettext("Day"),
                how_much=gettext("Amount"),
            ),
            name=f"volume-{index}",
            direction=visit.words.direction,
        ),
    }


def _waiting(connection: Connection, visit: Visit) -> list[Waiting]:
    gettext = visit.words.gettext
    account_id, livemode = visit.account_id, visit.livemode
    found: list[Waiting] = []

    def add(count: int, label: str, path: str | None, tone: str = "warn") -> None:
        if count:
            shown = f"{store.COUNT_MAX - 1}+" if count >= store.COUNT_MAX else str(count)
            found.append(Waiting(label, shown, path, tone))

    if visit.is_operator and visit.may("approvals"):
        waiting = store.count_approvals(connection, account_id=account_id, livemode=livemode)
        add(waiting, gettext("Payouts to approve"), "/console/payouts?show=waiting")
    if visit.is_operator and visit.may("bank_lines", "write"):
        _add_finance(connection, visit, add)
    if visit.is_operator and visit.may("cases"):
        _add_cases(connection, visit, add)
        _add_compliance(connection, visit, add)
    if visit.may("payins"):
        condition = exceptional(visit, None)
        exceptions = store.count_exceptions(
            connection, condition, account_id=account_id, livemode=livemode
        )
        add(exceptions, gettext("Exceptions among the newest pay-ins"), "/console/exceptions")
    if visit.account_id is not None and visit.may("information_requests"):
        asked = questions.count_open(
            connection, account_id=visit.account_id, livemode=livemode, limit=store.COUNT_MAX
        )
        add(asked, gettext("Questions that wait for your answer"), "/console/questions?status=open")
    if visit.account_id is not None and visit.may("connected_accounts"):
        platforms = connected_accounts.list_asked(
            connection, visit.account_id, livemode=livemode, limit=store.COUNT_MAX
        )
        path = "/console/connected_accounts?side=account&status=pending"
        add(len(platforms), gettext("Platforms that ask to act for you"), path)
    if visit.may("webhook_endpoints"):
        failing = store.count_failing(connection, account_id=account_id, livemode=livemode)
        add(failing, gettext("Webhook endpoints that take nothing"), "/console/webhooks", "bad")
    if visit.is_operator:
        _add_house(connection, visit, add)
    return found


Add = Callable[..., None]


def _add_cases(connection: Connection, visit: Visit, add: Add) -> None:
    """Cases, for who works on them by what there is to do."""
    gettext = visit.words.gettext
    found = store.count_cases(
        connection,
        account_id=visit.account_id,
        livemode=visit.livemode,
        now=visit.now,
        person=visit.person.id,
    )
    add(found.late, gettext("Cases past their deadline"), "/console/cases?late=yes", "bad")
    if Role.compliance in visit.person.powers:
        path = "/console/cases?status=awaiting_second"
        add(found.second, gettext("Outcomes of cases to confirm"), path)
        add(found.mine, gettext("Cases of yours"), "/console/cases?owner=me")
        add(found.nobodys, gettext("Cases that nobody took"), "/console/cases?owner=nobody")
    add(found.open, gettext("Open cases"), "/console/cases", "plain")


def _add_house(connection: Connection, visit: Visit, add: Add) -> None:
    """What the house itself lacks: gas, and rows of its ledger."""
    gettext = visit.words.gettext
    if visit.may("treasury"):
        for name in store.low_tanks(connection, livemode=visit.livemode):
            add(1, gettext("Gas runs low on {network}", network=name), "/console/treasury", "bad")
    if visit.may("ledger"):
        since = projection.waits_since(connection)
        late = 0.0 if since is None else (visit.now - since).total_seconds()
        if late > LEDGER_LATE_SECONDS:
            label = gettext("Minutes by which statements are behind the ledger")
            add(int(late // 60), label, "/console/ledger", "bad")


def _add_finance(connection: Connection, visit: Visit, add: Add) -> None:
    """What waits for a finance officer, in the order of a morning."""
    gettext = visit.words.gettext
    found = store.count_finance(connection, account_id=visit.account_id, livemode=visit.livemode)
    path = "/console/provider_orders?status=information_required"
    add(found.questions, gettext("Questions of providers about payouts"), path)
    lines = gettext("Lines of bank statements that wait for a person")
    add(found.lines, lines, "/console/bank_lines")
    path = "/console/bank_files?status=awaiting"
    add(found.files, gettext("Files of banks to release"), path)
    add(found.bank_accounts, gettext("Accounts at banks to approve"), "/console/banks")
    add(found.orders, gettext("Orders to approve"), "/console/orders?status=awaiting")
    hedges = gettext("Proposals of when positions are closed")
    add(found.hedges, hedges, "/console/hedge_policies")
    path = "/console/withdrawals?status=screened"
    add(found.withdrawals, gettext("Moves to vaults to approve"), path)
    breaks = gettext("Breaks that no reconciliation has ended")
    add(found.breaks, breaks, "/console/breaks", "bad")


def _add_compliance(connection: Connection, visit: Visit, add: Add) -> None:
    """What else waits for an officer: parties, transfers, rules and lists."""
    gettext = visit.words.gettext
    whose: dict[str, Any] = {"account_id": visit.account_id, "livemode": visit.livemode}
    if visit.may("parties"):
        known = store.count_parties(connection, now=visit.now, **whose)
        path = "/console/parties"
        add(known.submitted, gettext("Parties to decide on"), f"{path}?status=submitted")
        likeness = gettext("Parties with likenesses to decide on")
        add(known.likeness, likeness, f"{path}?due=likeness")
        add(known.review, gettext("Parties to review"), f"{path}?due=review")
    if visit.may("travel_rule"):
        untold = store.count_untold(connection, now=visit.now, **whose)
        path = "/console/travel_rules"
        late = gettext("Transfers past the Travel Rule's deadline")
        add(untold.late, late, f"{path}?due=late", "bad")
        lacking = gettext("Transfers that lack something by the Travel Rule")
        add(untold.required, lacking, f"{path}?status=required")
        asked = gettext("Questions of other institutions")
        add(untold.asked, asked, f"{path}?direction=incoming&status=pending")
    if visit.may("screening_rules", "write"):
        proposed = store.count_proposed_rules(
            connection, livemode=visit.livemode, person=visit.person.id
        )
        add(proposed, gettext("Screening rules to put in force"), "/console/rules")
    if visit.may("lists"):
        stale = sum(each.is_stale(visit.now) for each in labels.list_lists(connection))
        add(stale, gettext("Lists that were not imported for a day"), "/console/lists", "bad")


SCREENS: tuple[Screen, ...] = (Screen("GET", ROOT, show, HOME, menu=Menu("", mark("Home"))),)
