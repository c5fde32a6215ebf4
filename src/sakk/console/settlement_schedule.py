"""Settlement schedules: when an account's periods end, what is set aside, and where it is paid."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, Final, Literal

from pydantic import Field, StringConstraints
from sqlalchemy import Connection

from sakk.console.amount import ppm_of
from sakk.console.route import ROOT, Menu, Screen
from sakk.console.visit import Page, Redirect, Rejected, Visit
from sakk.core import settlement as rules
from sakk.core.errors import ParameterInvalid, ResourceMissing
from sakk.core.money import format_decimal
from sakk.core.payout import Initiator
from sakk.core.settlement import Interval, SettlementTerms, read_terms
from sakk.flow import settlement as flow
from sakk.pages.amount import plain, read_amount
from sakk.pages.form import Form
from sakk.pages.language import mark
from sakk.store import account as accounts
from sakk.store import beneficiary as beneficiaries
from sakk.store import network as networks
from sakk.store import settlement as store
from sakk.store.page import LIMIT_MAX, PageRequest, fetch_page

PATH: Final = f"{ROOT}/settlement_schedules"
BENEFICIARIES_SHOWN_MAX: Final = 200
AMOUNTS_LENGTH_MAX: Final = 2_000
INTERVALS: Mapping[str, str] = {
    Interval.daily: mark("Every day"),
    Interval.weekly: mark("Every week"),
    Interval.threshold: mark("When so much is there"),
    Interval.manual: mark("When somebody asks"),
}
WEEKDAYS: Final = (
    mark("Monday"),
    mark("Tuesday"),
    mark("Wednesday"),
    mark("Thursday"),
    mark("Friday"),
    mark("Saturday"),
    mark("Sunday"),
)
_AMOUNTS: Final = ("minimum", "threshold", "reserve_fixed")
# The parameters of the command, as the form names them.
_FIELDS: Final = {
    "destination[beneficiary]": "beneficiary",
    "destination[bank_account]": "bank_account",
    "reserve_ppm": "reserve_percent",
}

Amounts = Annotated[str, Field(max_length=AMOUNTS_LENGTH_MAX)]
Identifier = Annotated[str, Field(max_length=255)]


class TermsForm(Form):
    """The terms as people write them: amounts as ``USDC 100.00``, a currency a line."""

    interval: Interval
    cutoff: Annotated[str, StringConstraints(pattern=r"^[0-2][0-9]:[0-5][0-9]$")] = "00:00"
    timezone: Annotated[str, Field(max_length=64)] = "UTC"
    weekday: Annotated[int, Field(ge=0, le=6)] = 0
    delay_days: Annotated[int, Field(ge=0, le=rules.DELAY_DAYS_MAX)] = 0
    calendar: Annotated[str, Field(max_length=20)] | None = None
    minimum: Amounts | None = None
    threshold: Amounts | None = None
    reserve_percent: Annotated[str, Field(max_length=12)] | None = None
    reserve_days: Annotated[int, Field(ge=0, le=rules.RESERVE_DAYS_MAX)] = 0
    reserve_fixed: Amounts | None = None
    beneficiary: Identifier | None = None
    network: Identifier | None = None
    bank_account: Identifier | None = None
    currency: Annotated[str, Field(max_length=20)] | None = None


class HoldForm(Form):
    """Whether anything is paid."""

    state: Literal["hold", "release"]


def index(visit: Visit) -> Page:
    """The schedule of the account that is looked at, or those of all."""
    if visit.account_id is not None:
        return _detail(visit, visit.account_id, None)
    with visit.database.read() as connection:
        rows, has_more = fetch_page(
            connection,
            store.settlement_schedules,
            rules.SettlementSchedule,
            account_id=None,
            livemode=visit.livemode,
            page=PageRequest(LIMIT_MAX),
        )
        names = accounts.names(connection, {row.account_id for row in rows})
    values = {"rows": rows, "has_more": has_more, "names": names, "intervals": INTERVALS}
    return Page("console/settlement_schedules.html", values)


def show(visit: Visit, account: str) -> Page:
    """One account's schedule, and a form to change it."""
    return _detail(visit, account, None)


def again(visit: Visit, rejected: Rejected, account: str) -> Page:
    """The form as it was sent, with what is wrong with it."""
    return _detail(visit, account, rejected)


def put(visit: Visit, account: str, form: TermsForm) -> Redirect:
    """Settle the account so from now on; what the form does not say stays as it is."""
    with visit.database.begin() as connection:
        _account(connection, visit, account)
        before = store.find_schedule(
            connection, account_id=account, livemode=visit.livemode, lock=True
        )
        terms = SettlementTerms() if before is None else read_terms(before.terms)
        flow.put_schedule(
            connection,
            replace(terms, **_read(connection, visit, form)),
            identifier=visit.object_id(rules.SCHEDULE_PREFIX),
            account_id=account,
            livemode=visit.livemode,
            held=before is not None and before.held,
            now=visit.now,
            initiator=Initiator(visit.actor.key, visit.actor.person),
        )
    return Redirect(f"{PATH}/{account}", visit.words.gettext("It is saved."))


def hold(visit: Visit, account: str, form: HoldForm) -> Redirect:
    """Pay nothing of it until it is let go; periods are closed all the same."""
    with visit.database.begin() as connection:
        before = store.find_schedule(
            connection, account_id=account, livemode=visit.livemode, lock=True
        )
        if before is None:
            raise ResourceMissing("This account has no settlement schedule.")
        flow.put_schedule(
            connection,
            read_terms(before.terms),
            identifier=before.id,
            account_id=account,
            livemode=visit.livemode,
            held=form.state == "hold",
            now=visit.now,
            initiator=Initiator(visit.actor.key, visit.actor.person),
        )
    gettext = visit.words.gettext
    told = (
        gettext("Nothing is paid until you let it go.")
        if form.state == "hold"
        else gettext("What is due is paid now.")
    )
    return Redirect(f"{PATH}/{account}", told)


def _account(connection: Connection, visit: Visit, identifier: str) -> Any:
    """The account, where it may be looked at."""
    found = accounts.find_account(connection, identifier)
    if found is None or visit.account_id not in (None, identifier):
        raise ResourceMissing("There is no such account.")
    return found


def _detail(visit: Visit, identifier: str, rejected: Rejected | None) -> Page:
    with visit.database.read() as connection:
        account = _account(connection, visit, identifier)
        row = store.find_schedule(connection, account_id=identifier, livemode=visit.livemode)
        decimals = {each.currency: each.decimals for each in networks.list_currencies(connection)}
        rails = networks.list_networks(connection, livemode=visit.livemode)
        book, _ = beneficiaries.list_entries(
            connection,
            PageRequest(BENEFICIARIES_SHOWN_MAX),
            account_id=identifier,
            livemode=visit.livemode,
        )
    terms = SettlementTerms() if row is None else read_terms(row.terms)
    shown = _shown(terms, decimals)
    given: Mapping[str, Any] = shown if rejected is None else rejected.values
    faults = {} if rejected is None else rejected.faults
    gettext = visit.words.gettext
    nothing = ("", gettext("Nowhere: it stays on the balance"))
    names = {each.id: each.name for each in book}
    # Where it is paid now can be chosen, whether the page has its name or not.
    places = {each: each for each in [given.get("beneficiary")] if each} | names
    values = {
        "account": account,
        "row": row,
        "terms": terms,
        "shown": shown,
        "given": given,
        "faults": {_field(name): text for name, text in faults.items()},
        "message": None if rejected is None else rejected.message,
        "may_change": visit.is_operator and visit.may("settlement_schedules", "write"),
        "intervals": INTERVALS,
        "weekday": gettext(WEEKDAYS[terms.weekday]),
        "book": names,
        "rails": {each.network: each.name for each in rails},
        "choices": {
            "interval": [(value, gettext(text)) for value, text in INTERVALS.items()],
            "weekday": [(str(day), gettext(text)) for day, text in enumerate(WEEKDAYS)],
            "beneficiary": [nothing, *places.items()],
            "network": [("", "–"), *((each.network, each.name) for each in rails)],
            "currency": [
                ("", visit.words.pgettext("currency", "What came in")),
                *((each, each.upper()) for each in decimals),
            ],
        },
    }
    return Page("console/settlement_schedule.html", values)


def _field(param: str) -> str:
    """The field of the form that a parameter of the command stands in."""
    return _FIELDS.get(param, param.partition("[")[0])


def _shown(terms: SettlementTerms, decimals: Mapping[str, int]) -> dict[str, Any]:
    """The terms as the form's fields have them."""
    destination = terms.destination or {}
    amounts = {
        name: "\n".join(
            f"{currency.upper()} {plain(format_decimal(units, decimals[currency]))}"
            for currency, units in sorted(getattr(terms, name).items())
        )
        for name in _AMOUNTS
    }
    return {
        "interval": terms.interval.value,
        "cutoff": terms.cutoff,
        "timezone": terms.timezone,
        "weekday": str(terms.weekday),
        "delay_days": terms.delay_days,
        "calendar": terms.calendar or "",
        "reserve_percent": format_decimal(terms.reserve_ppm, 4).rstrip("0").rstrip("."),
        "reserve_days": terms.reserve_days,
        "beneficiary": destination.get("beneficiary", ""),
        "network": destination.get("network", ""),
        "bank_account": destination.get("bank_account", ""),
        "currency": terms.currency or "",
        **amounts,
    }


def _read(connection: Connection, visit: Visit, form: TermsForm) -> dict[str, Any]:
    """The form's fields as terms; ParameterInvalid names the one that can not be read."""
    decimals = {each.currency: each.decimals for each in networks.list_currencies(connection)}
    destination = None
    if form.bank_account is not None:
        destination = {"bank_account": form.bank_account}
    elif form.beneficiary is not None:
        if form.network is None:
            told = visit.words.gettext("Choose one from the list.")
            raise ParameterInvalid(told, param="network")
        destination = {"beneficiary": form.beneficiary, "network": form.network}
    return {
        "interval": form.interval,
        "cutoff": form.cutoff,
        "timezone": form.timezone,
        "weekday": form.weekday,
        "delay_days": form.delay_days,
        "calendar": None if form.calendar is None else form.calendar.upper(),
        "reserve_ppm": ppm_of(form.reserve_percent, param="reserve_percent"),
        "reserve_days": form.reserve_days,
        "destination": destination,
        "currency": None if form.currency is None else form.currency.lower(),
        **{name: _amounts(getattr(form, name), name, decimals) for name in _AMOUNTS},
    }


def _amounts(text: str | None, param: str, decimals: Mapping[str, int]) -> dict[str, int]:
    """Amounts by currency out of lines as ``USDC 100.00``."""
    found: dict[str, int] = {}
    for line in (text or "").splitlines():
        if not line.strip():
            continue
        code, _, written = line.strip().partition(" ")
        currency = code.lower()
        try:
            if currency not in decimals or currency in found:
                raise ValueError(line)
            found[currency] = read_amount(written, decimals[currency])
        except ValueError:
            raise ParameterInvalid(
                "Write a currency and an amount a line, as USDC 100.00. This is not so: {line}",
                param=param,
                line=line.strip()[:80],
            ) from None
    return found


SCREENS: tuple[Screen, ...] = (
    Screen(
        "GET",
        PATH,
        index,
        "settlement_schedules",
        menu=Menu("Settings", mark("Settlement schedule")),
    ),
    Screen("GET", f"{PATH}/{{account}}", show, "settlement_schedules"),
    Screen(
        "POST",
        f"{PATH}/{{account}}",
        put,
        "settlement_schedules",
        step_up=True,
        operator_only=True,
        again=again,
    ),
    Screen(
        "POST",
        f"{PATH}/{{account}}/hold",
        hold,
        "settlement_schedules",
        step_up=True,
        operator_only=True,
        again=again,
    ),
)
