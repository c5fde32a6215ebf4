"""Fees: what was charged and by which rule, and the schedules that price it, by version."""

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

from pydantic import Field
from sqlalchemy import ColumnElement, Connection

from sakk.console.listing import Exact, ListQuery, created_within, csv_file, listing, options
from sakk.console.route import ROOT, Menu, Screen
from sakk.console.visit import Download, Page, Redirect, Rejected, Visit
from sakk.core import fee as rules
from sakk.core.errors import ParameterInvalid, ResourceMissing
from sakk.core.fee import Fee, FeeKind, FeeRule, FeeSchedule, Movement
from sakk.core.money import format_decimal
from sakk.flow import account as account_flow
from sakk.flow import fee as flow
from sakk.pages import amount as amounts
from sakk.pages.form import Form
from sakk.pages.language import mark
from sakk.store import account as accounts
from sakk.store import fee as store
from sakk.store import network as networks
from sakk.store import person as persons
from sakk.store.page import LIMIT_MAX, PageRequest, Window, fetch_page, fetch_window

PATH: Final = f"{ROOT}/fees"
SCHEDULES: Final = f"{ROOT}/fee_schedules"
TEXT_LENGTH_MAX: Final = 200_000
ACCOUNTS_SHOWN_MAX: Final = 50
KINDS: Mapping[str, str] = {
    FeeKind.payin: mark("Payment"),
    FeeKind.payout: mark("Payout"),
    FeeKind.refund: mark("Refund"),
    FeeKind.conversion: mark("Conversion"),
}
REASONS: Mapping[str, tuple[str, str]] = {
    "charged": (mark("Charged"), "plain"),
    "returned": (mark("Given back with a refund"), "good"),
    "reversed": (mark("Undone"), "warn"),
}
RETURNS: Mapping[str, str] = {
    "kept": mark("Kept when it is refunded"),
    "returned": mark("Given back when it is refunded"),
}
_EXAMPLE: Final = '[\n  {"kind": "payin", "currency": "usdc", "percent_ppm": 10000}\n]'
_FIELDS: Final = {"fee_schedule": "amount", "effective_at": "rules"}

Name = Annotated[str, Field(max_length=100)]
Text = Annotated[str, Field(max_length=TEXT_LENGTH_MAX)]
Code = Annotated[str, Field(max_length=20)]
Amount = Annotated[str, Field(max_length=100)]


class FeeQuery(ListQuery):
    """Which fees."""

    kind: FeeKind | None = None


class ScheduleForm(Form):
    """A name, and the rules of the first version as JSON."""

    name: Name
    rules: Text


class VersionForm(Form):
    """The rules of the next version as JSON."""

    rules: Text


class AssignForm(Form):
    """Whom it prices from now on."""

    account: Annotated[str, Field(max_length=255)]


class TryQuery(Form):
    """A movement that is priced to see what comes of it, in whole units of its currency."""

    kind: FeeKind | None = None
    amount: Amount | None = None
    currency: Code | None = None
    network: Annotated[str, Field(max_length=100)] | None = None
    volume: Amount | None = None


def index(visit: Visit, query: FeeQuery) -> Page | Download:
    """What was charged, newest first."""
    with visit.database.read() as connection:
        window = _window(connection, visit, query)
        if query.is_file:
            return _file(window.rows)
        names = accounts.names(connection, {row.account_id for row in window.rows})
    values = {
        "list": listing(visit, query, window, window.rows),
        "names": names,
        "kinds": KINDS,
        "reasons": REASONS,
        "choices": {"kind": options(visit, KINDS)},
    }
    return Page("console/fees.html", values)


def schedules(visit: Visit) -> Page:
    """The schedules, newest first."""
    return _schedules(visit, None)


def schedules_again(visit: Visit, rejected: Rejected) -> Page:
    """The same with what was wrong in the form."""
    return _schedules(visit, rejected)


def create(visit: Visit, form: ScheduleForm) -> Redirect:
    """Write a schedule down; it prices nobody until it is assigned."""
    identifier = visit.object_id(rules.SCHEDULE_PREFIX)
    with visit.database.begin() as connection:
        if store.find_schedule(connection, identifier) is None:
            flow.create_schedule(
                connection,
                identifier=identifier,
                name=form.name,
                written=read_written(form.rules),
                effective_at=None,
                metadata={},
                by=visit.person.id,
                now=visit.now,
            )
    told = visit.words.gettext("It is written down. It charges nobody until it is assigned.")
    return Redirect(f"{SCHEDULES}/{identifier}", told)


def show(visit: Visit, fee_schedule: str, query: TryQuery) -> Page:
    """One schedule: its rules, its versions, and what a movement would cost."""
    return _schedule(visit, fee_schedule, query, None)


def again(visit: Visit, rejected: Rejected, fee_schedule: str) -> Page:
    """The same with what was wrong in a form."""
    return _schedule(visit, fee_schedule, TryQuery(), rejected)


def change(visit: Visit, fee_schedule: str, form: VersionForm) -> Redirect:
    """Add a version, in force from now on."""
    with visit.database.begin() as connection:
        flow.add_version(
            connection,
            fee_schedule,
            read_written(form.rules),
            effective_at=None,
            livemode=visit.livemode,
            by=visit.person.id,
            now=visit.now,
        )
    told = visit.words.gettext("The new version is in force. What was charged stays charged.")
    return Redirect(f"{SCHEDULES}/{fee_schedule}", told)


def assign(visit: Visit, fee_schedule: str, form: AssignForm) -> Redirect:
    """Price an account by it from now on."""
    return _assign(visit, fee_schedule, form.account, fee_schedule)


def unassign(visit: Visit, fee_schedule: str, form: AssignForm) -> Redirect:
    """Charge an account nothing from now on."""
    return _assign(visit, fee_schedule, form.account, None)


def _assign(visit: Visit, shown: str, account: str, schedule: str | None) -> Redirect:
    with visit.database.begin() as connection:
        account_flow.update(
            connection,
            account,
            {"fee_schedule": schedule},
            livemode=visit.livemode,
            by_operator=True,
            now=visit.now,
            request_id=visit.request_id,
        )
    return Redirect(f"{SCHEDULES}/{shown}", visit.words.gettext("It is saved."))


def _window(connection: Connection, visit: Visit, query: FeeQuery) -> Window[Fee]:
    c = store.fees.c
    mode = c.livemode == visit.livemode
    bound: list[ColumnElement[bool]] = []
    filters = created_within(visit, query, store.fees)
    if visit.account_id is None:
        filters.append(mode)
    else:
        bound += [c.account_id == visit.account_id, mode]
    if query.kind is not None:
        filters.append(c.kind == query.kind.value)
    if query.q is not None and query.q.startswith(f"{rules.SCHEDULE_PREFIX}_"):
        filters.append(c.schedule == query.q)
    elif query.q is not None and query.q.startswith(f"{rules.PREFIX}_"):
        bound.append(c.id == query.q)
    elif query.q is not None:
        bound.append(c.source == query.q)
    return fetch_window(
        connection,
        store.fees,
        Fee,
        bound=bound,
        filters=filters,
        limit=query.limit,
        **query.place,
    )


def _file(rows: list[Fee]) -> Download:
    def plain(name: str) -> tuple[str, Any]:
        return name, lambda row: getattr(row, name)

    def exact(name: str) -> tuple[str, Any]:
        return name, lambda row: Exact(format_decimal(getattr(row, name), row.decimals))

    return csv_file(
        "fees.csv",
        [
            *(plain(name) for name in ("id", "created", "account_id", "kind", "reason", "source")),
            *(exact(name) for name in ("basis", "amount")),
            *(plain(name) for name in ("currency", "schedule", "version", "rule")),
        ],
        rows,
    )


def _schedules(visit: Visit, rejected: Rejected | None) -> Page:
    with visit.database.read() as connection:
        rows, has_more = fetch_page(
            connection,
            store.fee_schedules,
            FeeSchedule,
            account_id=None,
            livemode=None,
            page=PageRequest(LIMIT_MAX),
        )
        versions = store.list_versions(connection, [row.id for row in rows])
    values = {
        "rows": [
            (row, rules.in_force(versions.get(row.id, []), visit.now), len(versions[row.id]))
            for row in rows
        ],
        "has_more": has_more,
        "may_change": visit.may("fee_schedules", "write"),
        "given": {"rules": _EXAMPLE} if rejected is None else rejected.values,
        "faults": faults_of(rejected),
        "message": None if rejected is None else rejected.message,
    }
    return Page("console/fee_schedules.html", values)


def _schedule(visit: Visit, identifier: str, query: TryQuery, rejected: Rejected | None) -> Page:
    faults = faults_of(rejected)
    with visit.database.read() as connection:
        schedule = store.find_schedule(connection, identifier)
        if schedule is None:
            raise ResourceMissing("There is no such fee schedule.")
        versions = store.list_versions(connection, [identifier]).get(identifier, [])
        current = rules.in_force(versions, visit.now)
        scales = {each.currency: each.decimals for each in networks.list_currencies(connection)}
        rails = networks.list_networks(connection, livemode=visit.livemode)
        assigned = accounts.with_schedule(connection, identifier, limit=ACCOUNTS_SHOWN_MAX)
        names = persons.names(connection, [each.created_by for each in versions if each.created_by])
        tried = None
        if query.amount is not None:
            try:
                tried = _tried(connection, visit, identifier, query, scales)
            except ParameterInvalid as error:
                faults[_FIELDS.get(error.param or "", error.param or "")] = visit.words.error(error)
    written = [] if current is None else current.rules
    kinds = [(value, visit.words.gettext(text)) for value, text in KINDS.items()]
    values = {
        "schedule": schedule,
        "current": current,
        "versions": [
            (each, [line_of(visit, rule, scales) for rule in each.rules]) for each in versions[::-1]
        ],
        "names": names,
        "assigned": assigned,
        "tried": tried,
        "query": query,
        "may_change": visit.may("fee_schedules", "write"),
        "may_assign": visit.may("accounts", "write") and visit.may("fee_schedules", "write"),
        "given": {"rules": json.dumps([shorten(each) for each in written], indent=2)}
        if rejected is None
        else rejected.values,
        "faults": faults,
        "message": None if rejected is None else rejected.message,
        "returns": RETURNS,
        "choices": {
            "kind": kinds,
            "currency": [(each, each.upper()) for each in sorted(scales)],
            "network": [("", "–"), *((each.network, each.name) for each in rails)],
        },
    }
    return Page("console/fee_schedule.html", values)


def _tried(
    connection: Connection,
    visit: Visit,
    schedule: str,
    query: TryQuery,
    scales: Mapping[str, int],
) -> dict[str, Any]:
    """What a movement would cost now; ParameterInvalid for an amount that is none."""
    currency = (query.currency or "").lower()
    if currency not in scales:
        told = visit.words.gettext("Choose one from the list.")
        raise ParameterInvalid(told, param="currency")
    movement = Movement(
        query.kind or FeeKind.payin,
        currency,
        query.network,
        _units(visit, query.amount, scales[currency], "amount"),
        0 if query.volume is None else _units(visit, query.volume, scales[currency], "volume"),
    )
    priced = flow.simulate(connection, movement, schedule=schedule, written=None, at=visit.now)
    shown = rules.public_simulation(movement, priced, decimals=scales[currency])
    parts = [(part_of(visit, each["label"]), each["amount"]) for each in shown["parts"]]
    return shown | {"decimals": scales[currency], "parts": parts}


def _units(visit: Visit, text: str | None, decimals: int, param: str) -> int:
    try:
        return amounts.read_amount(text or "", decimals)
    except ValueError:
        told = visit.words.gettext("Write an amount as 1250.00, without signs between the digits.")
        raise ParameterInvalid(told, param=param) from None


def part_of(visit: Visit, label: str) -> str:
    """What a part of a price is called."""
    gettext = visit.words.gettext
    match label:
        case "fixed":
            return gettext("Fixed part")
        case "minimum":
            return gettext("Raised to the minimum")
        case "cap":
            return gettext("Cut at the maximum")
        case _:
            ppm = int(label.removeprefix("percent_").removesuffix("ppm"))
            return percent(ppm)


def percent(ppm: int) -> str:
    """Parts per million as a percentage, exactly."""
    return f"{format_decimal(ppm, 4).rstrip('0').rstrip('.')} %"


def line_of(visit: Visit, rule: Mapping[str, Any], scales: Mapping[str, int]) -> dict[str, Any]:
    """A rule as a table shows it; amounts in its currency."""
    currency = rule["currency"]

    def shown(units: int) -> Any:
        return amounts.units(units, scales.get(currency or "", 0), currency or "", visit.language)

    return {
        "kind": None if rule["kind"] is None else visit.words.gettext(KINDS[rule["kind"]]),
        "currency": currency,
        "network": rule["network"],
        "percent": percent(rule["percent_ppm"]) if rule["percent_ppm"] else None,
        "fixed": shown(rule["fixed"]) if rule["fixed"] else None,
        "minimum": shown(rule["minimum"]) if rule["minimum"] else None,
        "maximum": None if rule["maximum"] is None else shown(rule["maximum"]),
        "tiers": [
            (shown(each["volume_from"]), percent(each["percent_ppm"])) for each in rule["tiers"]
        ],
        "on_refund": rule["on_refund"],
    }


def shorten(rule: Mapping[str, Any]) -> dict[str, Any]:
    """A rule as people write it: what has its default is left out."""
    blank = FeeRule().document()
    return {name: value for name, value in rule.items() if value != blank[name]}


def read_written(text: str) -> Sequence[FeeRule]:
    """Rules out of a form, as people write them in JSON; ParameterInvalid."""
    try:
        document = json.loads(text)
        # Half of a character can be written in JSON, and kept nowhere.
        json.dumps(document, ensure_ascii=False).encode()
        return rules.parse_rules(document)
    except (ValueError, RecursionError) as error:
        raise ParameterInvalid(
            "The rules can not be read: {why}.", param="rules", why=str(error)
        ) from None


def faults_of(rejected: Rejected | None) -> dict[str, str]:
    """What is wrong by field; of a rule, with its place."""
    found: dict[str, str] = {}
    for name, text in ({} if rejected is None else rejected.faults).items():
        is_rule = name.startswith("rules[")
        found["rules" if is_rule else _FIELDS.get(name, name)] = (
            f"{name}: {text}" if is_rule else text
        )
    return found


def _post(path: str, handler: Any, resource: str = "fee_schedules") -> Screen:
    return Screen(
        "POST",
        f"{SCHEDULES}/{{fee_schedule}}{path}",
        handler,
        resource,
        step_up=True,
        operator_only=True,
        again=again,
    )


SCREENS: tuple[Screen, ...] = (
    Screen("GET", PATH, index, "fees", menu=Menu("Money", mark("Fees"))),
    Screen(
        "GET",
        SCHEDULES,
        schedules,
        "fee_schedules",
        operator_only=True,
        menu=Menu("Settings", mark("Fee schedules")),
    ),
    Screen(
        "POST",
        SCHEDULES,
        create,
        "fee_schedules",
        step_up=True,
        operator_only=True,
        again=schedules_again,
    ),
    Screen("GET", f"{SCHEDULES}/{{fee_schedule}}", show, "fee_schedules", operator_only=True),
    _post("", change),
    # Whom a schedule prices is an account's own row, as over the API.
    _post("/assign", assign, "accounts"),
    _post("/unassign", unassign, "accounts"),
)
