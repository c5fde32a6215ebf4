"""Hedge policies: when open positions are closed, and up to which value by themselves."""

from typing import Annotated, Any, Final

from pydantic import Field

from sakk.console.order import PATH as ORDERS
from sakk.console.proposal import ConfirmForm, yes_to
from sakk.console.route import ROOT, Screen
from sakk.console.visit import Page, Redirect, Rejected, Visit
from sakk.core import hedge_policy as rules
from sakk.core.errors import ParameterInvalid
from sakk.core.money import parse_decimal
from sakk.flow import hedge_policy as flow
from sakk.flow.officer import is_alone
from sakk.pages.form import Form
from sakk.store import hedge_policy as store
from sakk.store import network as networks
from sakk.store import person as persons

PATH: Final = f"{ROOT}/hedge_policies"

Code = Annotated[str, Field(max_length=20)]
Dollars = Annotated[str, Field(max_length=30)]


class WishForm(Form):
    """When a position is closed, in whole US dollars with up to two places."""

    currency: Code
    against: Code
    threshold: Dollars
    auto: Dollars = "0"
    note: Annotated[str, Field(max_length=rules.NOTE_LENGTH_MAX)] | None = None


def index(visit: Visit) -> Page:
    """The policies that there are, and what is proposed."""
    return _listed(visit, None)


def again(visit: Visit, rejected: Rejected, hedge_policy: str | None = None) -> Page:
    """The same with what was wrong."""
    return _listed(visit, rejected)


def propose(visit: Visit, form: WishForm) -> Redirect:
    """Say when a position is closed; what lets more go by itself waits for another person."""
    wish = flow.HedgeWish(
        form.currency,
        form.against,
        _cents(form.threshold, "threshold"),
        _cents(form.auto, "auto"),
        form.note,
    )
    stands, _ = flow.propose(visit.parts, wish, actor=visit.actor, livemode=visit.livemode)
    in_force = stands is not None and (
        stands.against,
        stands.threshold_usd_cents,
        stands.auto_usd_cents,
    ) == (wish.against, wish.threshold_usd_cents, wish.auto_usd_cents)
    if in_force:
        return Redirect(PATH, visit.words.gettext("It is in force."))
    return Redirect(PATH, visit.words.gettext("Proposed: another person confirms it."))


def confirm(visit: Visit, hedge_policy: str, form: ConfirmForm) -> Redirect:
    """Confirm what another person proposed."""
    flow.confirm(visit.parts, hedge_policy, yes_to(visit, form), livemode=visit.livemode)
    return Redirect(PATH, visit.words.gettext("Confirmed: it is in force."))


def decline(visit: Visit, hedge_policy: str) -> Redirect:
    """Refuse what was proposed, or take it back."""
    flow.decline(visit.parts, hedge_policy, actor=visit.actor, livemode=visit.livemode)
    return Redirect(PATH, visit.words.gettext("The proposal is gone."))


def _listed(visit: Visit, rejected: Rejected | None) -> Page:
    with visit.database.read() as connection:
        standing = store.standing(connection, livemode=visit.livemode)
        codes = [each.currency for each in networks.list_currencies(connection)]
        proposers = [waits.proposed_by for _, waits in standing.values() if waits is not None]
        names = persons.names(connection, sorted(set(proposers)))
        alone = is_alone(connection, livemode=visit.livemode)
    faults = {} if rejected is None else dict(rejected.faults)
    for field, name in (("threshold_usd_cents", "threshold"), ("auto_usd_cents", "auto")):
        if field in faults:
            faults.setdefault(name, faults[field])
    values: dict[str, Any] = {
        "policies": [policy for policy, _ in standing.values() if policy is not None],
        "proposals": [(policy, waits) for policy, waits in standing.values() if waits is not None],
        "digests": {
            currency: rules.digest_of(waits, policy)
            for currency, (policy, waits) in standing.items()
            if waits is not None
        },
        "names": names,
        "alone": alone,
        "currencies": [(each, each.upper()) for each in codes],
        "may_write": visit.may("hedge_policies", "write"),
        "orders": ORDERS,
        "message": None if rejected is None else rejected.message,
        "sent": {} if rejected is None else rejected.values,
        "faults": faults,
    }
    return Page("console/hedge_policies.html", values)


def _cents(text: str, param: str) -> int:
    try:
        return parse_decimal(text.strip(), 2)
    except ValueError:
        raise ParameterInvalid(
            "Give US dollars with up to two decimal places, such as 1000 or 0.50.", param=param
        ) from None


SCREENS: tuple[Screen, ...] = (
    Screen("GET", PATH, index, "hedge_policies", operator_only=True),
    Screen("POST", PATH, propose, "hedge_policies", step_up=True, operator_only=True, again=again),
    Screen(
        "POST",
        f"{PATH}/{{hedge_policy}}/confirm",
        confirm,
        "hedge_policies",
        step_up=True,
        operator_only=True,
        again=again,
    ),
    Screen(
        "POST",
        f"{PATH}/{{hedge_policy}}/decline",
        decline,
        "hedge_policies",
        step_up=True,
        operator_only=True,
        again=again,
    ),
)
