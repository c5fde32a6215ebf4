"""Conversion terms: at what spread, for how long and up to how much accounts convert."""

from typing import Annotated, Any, Final, Literal

from pydantic import Field

from sakk.console.amount import ppm_of
from sakk.console.conversion import PATH as CONVERSIONS
from sakk.console.fee import percent
from sakk.console.route import ROOT, Screen
from sakk.console.visit import Page, Redirect, Rejected, Visit
from sakk.core import conversion as rules
from sakk.core.errors import ParameterInvalid
from sakk.core.money import format_decimal, parse_decimal
from sakk.flow import conversion as flow
from sakk.pages.form import Form
from sakk.store import conversion as store

PATH: Final = f"{ROOT}/conversion_terms"
# The parameters of the command, as the form names them.
_FIELDS: Final = {
    "spread_ppm": "spread",
    "usd_cents_max": "most",
    "usd_cents_per_day_max": "most_a_day",
}
Typed = Annotated[str, Field(max_length=30)]


class TermsForm(Form):
    """The terms as people write them: a percentage, seconds, and US dollars."""

    state: Literal["on", "off"]
    spread: Typed
    lock_seconds: Annotated[int, Field(ge=1, le=rules.LOCK_SECONDS_MAX)]
    most: Typed
    most_a_day: Typed


def index(visit: Visit) -> Page:
    """The terms of the account that is looked at, or of all that have none of their own."""
    return _shown(visit, None)


def again(visit: Visit, rejected: Rejected) -> Page:
    """The form as it was sent, with what is wrong with it."""
    return _shown(visit, rejected)


def put(visit: Visit, form: TermsForm) -> Redirect:
    """Convert so from now on; a price that was promised holds."""
    with visit.database.begin() as connection:
        flow.put_terms(
            connection,
            visit.account_id or "",
            livemode=visit.livemode,
            now=visit.now,
            enabled=form.state == "on",
            spread_ppm=ppm_of(form.spread, param="spread"),
            lock_seconds=form.lock_seconds,
            usd_cents_max=_cents(form.most, "most"),
            usd_cents_per_day_max=_cents(form.most_a_day, "most_a_day"),
        )
    told = visit.words.gettext("It is saved. Prices that were promised before hold.")
    return Redirect(PATH, told)


def _shown(visit: Visit, rejected: Rejected | None) -> Page:
    with visit.database.read() as connection:
        own = store.find_terms(connection, visit.account_id or "", livemode=visit.livemode)
        terms = own or flow.terms_of(connection, "", livemode=visit.livemode, now=visit.now)
    faults = {} if rejected is None else rejected.faults
    given: dict[str, Any] = {
        "state": "on" if terms.enabled else "off",
        "spread": percent(terms.spread_ppm).removesuffix(" %"),
        "lock_seconds": terms.lock_seconds,
        "most": format_decimal(terms.usd_cents_max, 2),
        "most_a_day": format_decimal(terms.usd_cents_per_day_max, 2),
    }
    values = {
        "terms": terms,
        "is_own": own is not None,
        "spread": percent(terms.spread_ppm),
        "given": given if rejected is None else rejected.values,
        "faults": {_FIELDS.get(name, name): text for name, text in faults.items()},
        "message": None if rejected is None else rejected.message,
        "may_write": visit.may("conversions", "write"),
        "conversions": CONVERSIONS,
    }
    return Page("console/conversion_terms.html", values)


def _cents(text: str, param: str) -> int:
    try:
        return parse_decimal(text.strip(), 2)
    except ValueError:
        raise ParameterInvalid(
            "Give US dollars with up to two decimal places, such as 1000 or 0.50.", param=param
        ) from None


SCREENS: tuple[Screen, ...] = (
    Screen("GET", PATH, index, "conversions", operator_only=True),
    Screen("POST", PATH, put, "conversions", step_up=True, operator_only=True, again=again),
)
