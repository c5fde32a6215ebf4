"""What is known of a party as a form has it: every field of a legal entity and of a person."""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from sakk.core.errors import ParameterInvalid
from sakk.core.profile import TEXT_LENGTH_MAX
from sakk.pages.form import Form
from sakk.pages.language import Words

Line = Annotated[str, Field(max_length=TEXT_LENGTH_MAX)]
Lines = Annotated[str, Field(max_length=20_000)]
Country = Annotated[str, Field(pattern=r"^[A-Z]{2}$")]
Day = Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$")]
_PLACE: Final = ("line1", "line2", "city", "region", "postal_code", "country")
_PAPER: Final = ("kind", "number", "country", "expires_on")
_SINGLE: Final = {
    "legal_entity": (
        *("legal_name", "legal_form", "lei", "incorporated_on", "industry", "website"),
        "description",
    ),
    "individual": ("full_name", "birth_date", "birth_place", "residence", "occupation"),
}
_OWN_LISTS: Final = {
    "legal_entity": ("trading_names", "native_names"),
    "individual": ("aliases", "native_names", "nationalities"),
}
# An address of the form: which of the profile it is, and before its fields' names.
_PLACES: Final = {
    "legal_entity": {"registered_address": "registered", "operating_address": "operating"},
    "individual": {"address": "home"},
}


class DetailsForm(Form):
    """Fields of either kind. Lists stand one a line; of a paper the parts by commas."""

    legal_name: Line | None = None
    trading_names: Lines | None = None
    native_names: Lines | None = None
    legal_form: Line | None = None
    lei: Annotated[str, Field(max_length=20)] | None = None
    registration_number: Line | None = None
    registration_country: Country | None = None
    registration_authority: Line | None = None
    incorporated_on: Day | None = None
    industry: Line | None = None
    website: Line | None = None
    description: Line | None = None
    registered_line1: Line | None = None
    registered_line2: Line | None = None
    registered_city: Line | None = None
    registered_region: Line | None = None
    registered_postal_code: Line | None = None
    registered_country: Country | None = None
    operating_line1: Line | None = None
    operating_line2: Line | None = None
    operating_city: Line | None = None
    operating_region: Line | None = None
    operating_postal_code: Line | None = None
    operating_country: Country | None = None
    full_name: Line | None = None
    aliases: Lines | None = None
    birth_date: Day | None = None
    birth_place: Line | None = None
    nationalities: Lines | None = None
    residence: Country | None = None
    home_line1: Line | None = None
    home_line2: Line | None = None
    home_city: Line | None = None
    home_region: Line | None = None
    home_postal_code: Line | None = None
    home_country: Country | None = None
    papers: Lines | None = None
    exposed: Literal["yes", "no"] | None = None
    occupation: Line | None = None


def told(form: DetailsForm, kind: str, words: Words) -> dict[str, Any]:
    """The details as the command takes them; ParameterInvalid names a field of the form."""
    values = form.model_dump()
    name = "legal_name" if kind == "legal_entity" else "full_name"
    if values[name] is None:
        raise ParameterInvalid(words.gettext("This is needed."), param=name)
    details: dict[str, Any] = {each: values[each] for each in _SINGLE[kind]}
    for each in _OWN_LISTS[kind]:
        apart = (values[each] or "").replace(",", "\n" if each == "nationalities" else ",")
        details[each] = [line.strip() for line in apart.splitlines() if line.strip()] or None
    for each, prefix in _PLACES[kind].items():
        details[each] = _place(values, prefix, words)
    if kind == "legal_entity":
        details["registration"] = _registration(values, words)
    else:
        details["identifications"] = _papers(values["papers"], words)
        details["exposed"] = None if form.exposed is None else form.exposed == "yes"
    return {each: value for each, value in details.items() if value is not None}


def shown(kind: str, details: Mapping[str, Any]) -> dict[str, Any]:
    """What is known, as the form's fields hold it."""
    values: dict[str, Any] = {each: details.get(each) for each in _SINGLE[kind]}
    for each in _OWN_LISTS[kind]:
        values[each] = "\n".join(details.get(each) or ())
    for each, prefix in _PLACES[kind].items():
        place = details.get(each) or {}
        values |= {f"{prefix}_{part}": place.get(part) for part in _PLACE}
    for part in ("number", "country", "authority"):
        values[f"registration_{part}"] = (details.get("registration") or {}).get(part)
    values["papers"] = "\n".join(
        ", ".join(paper[part] for part in _PAPER if paper.get(part))
        for paper in details.get("identifications") or ()
    )
    exposed = details.get("exposed")
    values["exposed"] = None if exposed is None else "yes" if exposed else "no"
    return values


def field_of(param: str) -> str:
    """As the command names what is wrong, and as the form calls it."""
    path = [part.rstrip("]") for part in param.split("[")][1:]
    if not path:
        return param
    for places in _PLACES.values():
        if path[0] in places:
            return f"{places[path[0]]}_{path[1] if len(path) > 1 else 'line1'}"
    if path[0] == "registration":
        return f"registration_{path[1] if len(path) > 1 else 'number'}"
    return "papers" if path[0] == "identifications" else path[0]


def _place(values: Mapping[str, Any], prefix: str, words: Words) -> dict[str, Any] | None:
    place = {part: values[f"{prefix}_{part}"] for part in _PLACE}
    given = {part: value for part, value in place.items() if value is not None}
    if not given:
        return None
    for part in ("line1", "city", "country"):
        if part not in given:
            told_why = words.gettext("An address has a street, a town and a country.")
            raise ParameterInvalid(told_why, param=f"{prefix}_{part}")
    return given


def _registration(values: Mapping[str, Any], words: Words) -> dict[str, Any] | None:
    given = {
        part: values[f"registration_{part}"]
        for part in ("number", "country", "authority")
        if values[f"registration_{part}"] is not None
    }
    for part in ("number", "country"):
        if given and part not in given:
            told_why = words.gettext("A registration has a number and a country.")
            raise ParameterInvalid(told_why, param=f"registration_{part}")
    return given or None


def _papers(text: str | None, words: Words) -> list[dict[str, str]] | None:
    papers = []
    for line in (text or "").splitlines():
        parts = [part.strip() for part in line.split(",")]
        if not any(parts):
            continue
        if not 3 <= len(parts) <= len(_PAPER) or not all(parts):
            told_why = words.gettext("Write each as: passport, X123456, HK, 2030-01-31.")
            raise ParameterInvalid(told_why, param="papers")
        papers.append(dict(zip(_PAPER, parts, strict=False)))
    return papers or None
