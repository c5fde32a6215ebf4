"""What stands around every screen: the navigation, the account that is looked at, the way out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from sqlalchemy import Connection

from sakk.console.route import ROOT, Screen
from sakk.console.visit import Page, Redirect, Visit
from sakk.core.account import Account
from sakk.core.role import HOME, OWN, may
from sakk.flow import person as people
from sakk.flow import sign_in as flow
from sakk.pages.form import Form
from sakk.pages.language import mark
from sakk.store import account as accounts

ACCOUNTS_SHOWN_MAX: Final = 50
GROUPS: Final = (
    mark("Payments"),
    mark("Money"),
    mark("Risk"),
    mark("Agents"),
    mark("Developers"),
    mark("Organisation"),
    mark("Settings"),
)


@dataclass(frozen=True, slots=True)
class MenuItem:
    """One link of the navigation."""

    path: str
    label: str
    is_current: bool


class LookQuery(Form):
    """Which accounts are shown to choose from."""

    q: str | None = None


class LookForm(Form):
    """The account to look at; nothing: all of them."""

    account: str | None = None


class PreferencesForm(Form):
    """How pages speak and look."""

    language: Literal["en", "zh-Hans", "zh-Hant", "ar"] | None = None
    time_zone: str | None = None
    theme: Literal["light", "dark"] | None = None


def menu(visit: Visit, screens: Sequence[Screen]) -> list[tuple[str, list[MenuItem]]]:
    """The navigation as this person may use it, by groups; what has none comes first."""
    seen: dict[str, list[MenuItem]] = {"": [], **{group: [] for group in GROUPS}}
    for screen in screens:
        if screen.menu is None or not may_see(visit, screen):
            continue
        is_current = visit.path == screen.path or (
            screen.path != ROOT and visit.path.startswith(f"{screen.path}/")
        )
        item = MenuItem(screen.path, visit.words.gettext(screen.menu.label), is_current)
        seen[screen.menu.group].append(item)
    return [
        (visit.words.gettext(group) if group else "", items)
        for group, items in seen.items()
        if items
    ]


def may_see(visit: Visit, screen: Screen) -> bool:
    """Is this screen for them, where they look?

    What is the operator's own takes a role among the operator's people: one that an account gave
    to somebody who looks at it does not reach so far.
    """
    if screen.operator_only:
        return may(visit.person.roles, screen.resource, screen.access)
    return visit.may(screen.resource, screen.access)


def choose(visit: Visit, query: LookQuery) -> Page:
    """The accounts that they may look at."""
    own = [each.account_id for each in visit.signed_in.memberships]
    with visit.database.read() as connection:
        found = _accounts(connection, query.q, None if visit.is_operator else own)
    return Page("console/look.html", {"accounts": found, "q": query.q or ""})


def look(visit: Visit, form: LookForm) -> Redirect:
    """Look at another account from now on."""
    flow.look_at(visit.parts, visit.signed_in, form.account)
    return Redirect(ROOT)


def prefer(visit: Visit, form: PreferencesForm) -> Redirect:
    """Keep how they want pages."""
    people.prefer(
        visit.parts,
        visit.person.id,
        livemode=visit.livemode,
        language=form.language,
        time_zone=form.time_zone,
        theme=form.theme,
    )
    return Redirect(f"{ROOT}/security", visit.words.gettext("Kept."))


def _accounts(connection: Connection, q: str | None, only: Sequence[str] | None) -> list[Account]:
    return accounts.search(connection, q, only=only, limit=ACCOUNTS_SHOWN_MAX)


SCREENS = (
    Screen("GET", f"{ROOT}/look", choose, HOME),
    Screen("POST", f"{ROOT}/look", look, OWN),
    Screen("POST", f"{ROOT}/preferences", prefer, OWN),
)
