"""Branding: how an account's pages look, and where its payers get help."""

from typing import Annotated, Any, Final

from pydantic import Field, StringConstraints

from sakk.console.route import ROOT, Menu, Screen
from sakk.console.visit import Page, Redirect, Rejected, Visit
from sakk.core import branding as rules
from sakk.flow import branding as flow
from sakk.pages.form import Form, Upload
from sakk.pages.language import mark
from sakk.store import branding as store

PATH: Final = f"{ROOT}/branding"
# The parameters of the command, as the form names them.
_FIELDS: Final = {f"embed_origins[{place}]": "origins" for place in range(rules.ORIGINS_MAX)}

Email = Annotated[str, StringConstraints(pattern=rules.EMAIL)]
Phone = Annotated[str, StringConstraints(pattern=rules.PHONE)]


class BrandingForm(Form):
    """All of it: what is empty is taken away, but for the logo, which has a tick for that."""

    logo: Upload | None = None
    remove_logo: bool = False
    color: Annotated[str, Field(max_length=20)] | None = None
    support_email: Email | None = None
    support_url: Annotated[str, Field(max_length=2_048)] | None = None
    support_phone: Phone | None = None
    origins: Annotated[str, Field(max_length=5_000)] | None = None


def show(visit: Visit) -> Page:
    """What there is."""
    return _page(visit, None)


def again(visit: Visit, rejected: Rejected) -> Page:
    """The form as it was sent, with what is wrong with it."""
    return _page(visit, rejected)


def change(visit: Visit, form: BrandingForm) -> Redirect:
    """Change it for every page that payers open from now on."""
    changes: dict[str, Any] = form.model_dump(exclude={"logo", "remove_logo", "origins"})
    changes["origins"] = (form.origins or "").split()
    if form.logo is not None:
        changes["logo"] = form.logo.content
    elif form.remove_logo:
        changes["logo"] = None
    with visit.database.begin() as connection:
        flow.change(connection, visit.account(), changes, livemode=visit.livemode, now=visit.now)
    return Redirect(PATH, visit.words.gettext("It is saved."))


def _page(visit: Visit, rejected: Rejected | None) -> Page:
    with visit.database.read() as connection:
        found = store.find(connection, visit.account())
    given = {
        "color": "" if found is None or found.color is None else f"#{found.color}",
        "support_email": "" if found is None else found.support_email or "",
        "support_url": "" if found is None else found.support_url or "",
        "support_phone": "" if found is None else found.support_phone or "",
        "origins": "" if found is None else "\n".join(found.origins),
    }
    faults: dict[str, str] = {}
    if rejected is not None:
        given = {name: str(rejected.values.get(name) or "") for name in given}
        faults = {_FIELDS.get(name, name): text for name, text in rejected.faults.items()}
    return Page(
        "console/branding.html",
        {
            "logo": None
            if found is None or found.logo_hash is None
            else rules.logo_path(found.logo_hash),
            "style": None
            if found is None or found.color is None
            else rules.color_path(found.color),
            "given": given,
            "faults": faults,
            "message": None if rejected is None else rejected.message,
            "may_change": visit.may("branding", "write"),
        },
    )


SCREENS: tuple[Screen, ...] = (
    Screen("GET", PATH, show, "branding", menu=Menu("Organisation", mark("Branding"))),
    Screen("POST", PATH, change, "branding", again=again),
)
