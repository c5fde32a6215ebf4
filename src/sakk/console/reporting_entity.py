"""Who reports suspicions to the authority, and what goAML calls things there."""

from collections.abc import Mapping
from typing import Annotated, Any, Final

from pydantic import Field

from sakk.console.case_page import may_work
from sakk.console.route import ROOT, Menu, Screen
from sakk.console.visit import Page, Redirect, Rejected, Visit
from sakk.flow import case_report as flow
from sakk.pages.form import Form
from sakk.pages.language import mark
from sakk.store import case as store
from sakk.store import person as persons

PATH: Final = f"{ROOT}/reporting_entity"
# Each field as goAML has it: its label, and where an authority's table says what it may be.
FIELDS: Final[Mapping[str, str]] = {
    "rentity_id": mark("The number that your authority gave you"),
    "name": mark("Name of the institution"),
    "branch": mark("Branch"),
    "swift": mark("BIC"),
    "first_name": mark("First name of who reports"),
    "last_name": mark("Family name of who reports"),
    "email": mark("E-mail address of who reports"),
    "occupation": mark("What they are"),
    "address": mark("Street and number"),
    "city": mark("City"),
    "country_code": mark("Country"),
    "currency": mark("Local currency"),
}
# Codes of the authority's own tables; what is left empty is as goAML's public schema has it.
CODES: Final[Mapping[str, str]] = {
    "report_code": mark("Code of the report"),
    "transmode_code": mark("Code of a transfer of coins"),
    "funds_code": mark("Code of coins"),
    "address_type": mark("Code of a business address"),
    "account_type": mark("Code of a business account"),
    "account_status": mark("Code of an active account"),
    "unknown_country": mark("Country of who is not known"),
}
_OF: Final = {
    "person": ("first_name", "last_name", "email", "occupation"),
    "location": ("address", "city", "country_code"),
}
_PLACES: Final = {name: part for part, names in _OF.items() for name in names}

Text = Annotated[str, Field(max_length=255)]
Code = Annotated[str, Field(max_length=20)]


class EntityForm(Form):
    """The reporting entity; what is left empty is not said."""

    rentity_id: Annotated[int, Field(ge=1, lt=10**18)]
    name: Text
    branch: Text | None = None
    swift: Code
    first_name: Text
    last_name: Text
    email: Text
    occupation: Text
    address: Text
    city: Text
    country_code: Code
    currency: Code
    report_code: Code | None = None
    transmode_code: Code | None = None
    funds_code: Code | None = None
    address_type: Code | None = None
    account_type: Code | None = None
    account_status: Code | None = None
    unknown_country: Code | None = None


def show(visit: Visit) -> Page:
    """Who reports."""
    return _page(visit, None)


def again(visit: Visit, rejected: Rejected) -> Page:
    """The same with what was wrong in the form."""
    return _page(visit, rejected)


def change(visit: Visit, form: EntityForm) -> Redirect:
    """Say who reports from now on; reports that are kept stay as they are."""
    document: dict[str, Any] = {}
    for name, value in form.model_dump(exclude_none=True).items():
        part = _PLACES.get(name)
        (document if part is None else document.setdefault(part, {}))[name] = value
    flow.configure(visit.parts, document, actor=visit.actor, livemode=visit.livemode)
    return Redirect(PATH, visit.words.gettext("It is saved."))


def _page(visit: Visit, rejected: Rejected | None) -> Page:
    with visit.database.read() as connection:
        settings = store.find_settings(connection, livemode=visit.livemode)
        people = [] if settings is None or settings.changed_by is None else [settings.changed_by]
        names = persons.names(connection, people)
    known: dict[str, Any] = {}
    if settings is not None and settings.reporting_entity is not None:
        for name, value in settings.reporting_entity.items():
            known |= value if isinstance(value, dict) else {name: value}
    gettext = visit.words.gettext
    values = {
        "settings": settings if known else None,
        "names": names,
        "fields": [(name, gettext(text), name != "branch") for name, text in FIELDS.items()],
        "codes": [(name, gettext(text)) for name, text in CODES.items()],
        "given": known if rejected is None else rejected.values,
        "faults": {}
        if rejected is None
        else {name.rpartition(".")[2]: text for name, text in rejected.faults.items()},
        "message": None if rejected is None else rejected.message,
        "may_write": may_work(visit),
    }
    return Page("console/reporting_entity.html", values)


SCREENS = (
    Screen(
        "GET",
        PATH,
        show,
        "cases",
        operator_only=True,
        menu=Menu("Settings", mark("Who reports suspicions")),
    ),
    Screen("POST", PATH, change, "cases", step_up=True, operator_only=True, again=again),
)
