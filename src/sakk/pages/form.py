"""Forms: what a browser sends, read into a model, and what is wrong with it in the person's words.

A field that was left empty is one that was not sent; names that stand several times are lists; a
file is an `Upload`. What a model does not declare is passed over.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar, get_origin
from urllib.parse import unquote_to_bytes

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from sakk.core.errors import InvalidRequest, MediaTypeUnsupported
from sakk.pages.language import Words, mark

FIELDS_MAX: Final = 500
_BOUNDARY = re.compile(r"boundary=(?:\"([^\"]{1,70})\"|([^\s;\"]{1,70}))", re.IGNORECASE)
_PART_NAME = re.compile(r";\s*name=\"([^\"]*)\"", re.IGNORECASE)
_FILE_NAME = re.compile(r";\s*filename=\"([^\"]*)\"", re.IGNORECASE)
_SURROGATE = re.compile("[\ud800-\udfff\0]")


@dataclass(frozen=True, slots=True)
class Upload:
    """A file as it came."""

    name: str
    content: bytes


Values = dict[str, str | Upload | list[str | Upload]]
F = TypeVar("F", bound="Form")


class Form(BaseModel):
    """The fields of a form, or of a query string."""

    model_config = ConfigDict(
        extra="ignore", frozen=True, str_strip_whitespace=True, arbitrary_types_allowed=True
    )


class Faulty(Exception):
    """What is wrong with a form: a text a field."""

    def __init__(self, faults: Mapping[str, str]) -> None:
        super().__init__("; ".join(f"{name}: {text}" for name, text in faults.items()))
        self.faults = dict(faults)


def read_form(body: bytes, content_type: str | None) -> Values:
    """A form's fields; InvalidRequest, MediaTypeUnsupported."""
    if not body:
        return {}
    match (content_type or "").partition(";")[0].strip().lower():
        case "application/x-www-form-urlencoded":
            return read_query(body)
        case "multipart/form-data":
            return _gathered(_parts(body, content_type or ""))
        case other:
            raise MediaTypeUnsupported(
                "Content-Type {media_type} is no form's.", media_type=repr(other or "(none)")
            )


def read_query(query: bytes) -> Values:
    """The fields of a query string; InvalidRequest."""
    pairs: list[tuple[str, str | Upload]] = []
    for pair in query.split(b"&", FIELDS_MAX) if query else ():
        name, _, value = pair.partition(b"=")
        pairs.append((_decoded(name), _decoded(value)))
    return _gathered(pairs)


def validate(model: type[F], values: Values, words: Words) -> F:
    """A form as its model has it; Faulty says what is wrong, in the language of ``words``."""
    tree: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        if (value := values.get(name)) is None:
            continue
        is_list = get_origin(field.annotation) is list
        if isinstance(value, list):
            tree[name] = value if is_list else value[-1]
        else:
            tree[name] = [value] if is_list else value
    try:
        return model.model_validate(tree)
    except ValidationError as error:
        details = error.errors(include_url=False)
        raise Faulty({str(each["loc"][0]): _worded(each, words) for each in details}) from None


# By the kind of fault, as pydantic calls it; the placeholder is a word of its context.
_FAULTS: Final = {
    "missing": mark("This is needed."),
    "string_too_long": mark("At most {max_length} characters."),
    "string_too_short": mark("At least {min_length} characters."),
    "string_pattern_mismatch": mark("This is not written as it has to be."),
    "int_parsing": mark("Write a whole number."),
    "int_from_float": mark("Write a whole number."),
    "greater_than": mark("More than {gt}."),
    "greater_than_equal": mark("At least {ge}."),
    "less_than": mark("Less than {lt}."),
    "less_than_equal": mark("At most {le}."),
    "literal_error": mark("Choose one from the list."),
    "enum": mark("Choose one from the list."),
    "date_from_datetime_parsing": mark("Write a date as 2026-01-31."),
    "date_parsing": mark("Write a date as 2026-01-31."),
    "datetime_from_date_parsing": mark("Write a date and a time as 2026-01-31 12:00."),
}
_OTHER: Final = mark("This can not be right. Look at it again.")


def _worded(detail: ErrorDetails, words: Words) -> str:
    context = detail.get("ctx", {})
    if detail["type"] == "value_error":
        # Of a validator of ours, in its own words.
        return str(context.get("error", ""))
    text = _FAULTS.get(detail["type"], _OTHER)
    return words.gettext(text, **context) if "{" in text else words.gettext(text)


def _gathered(pairs: list[tuple[str, str | Upload]]) -> Values:
    found: Values = {}
    for name, value in pairs:
        if value == "" or (isinstance(value, Upload) and not value.name and not value.content):
            continue
        before = found.get(name)
        if before is None:
            found[name] = value
        elif isinstance(before, list):
            before.append(value)
        else:
            found[name] = [before, value]
    if len(pairs) > FIELDS_MAX:
        raise InvalidRequest("There are more than {fields_max} fields.", fields_max=FIELDS_MAX)
    return found


def _parts(body: bytes, content_type: str) -> list[tuple[str, str | Upload]]:
    """The parts of a form of several (RFC 7578)."""
    boundary = _BOUNDARY.search(content_type)
    if boundary is None:
        raise InvalidRequest("The Content-Type of a form of several parts names its boundary.")
    delimiter = b"\r\n--" + (boundary[1] or boundary[2]).encode("latin-1")
    _, *parts = (b"\r\n" + body).split(delimiter, FIELDS_MAX + 1)
    if not parts or not parts[-1].startswith(b"--"):
        raise InvalidRequest("The form has no end. Send it again, whole.")
    found: list[tuple[str, str | Upload]] = []
    for part in parts[:-1]:
        head, separator, content = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        told = head.decode("utf-8", "replace")
        name = _PART_NAME.search(told)
        if not separator or name is None:
            raise InvalidRequest("A part of the form has no name.")
        file = _FILE_NAME.search(told)
        if file is None:
            found.append((name[1], _text(content)))
        else:
            found.append((name[1], Upload(_SURROGATE.sub("\ufffd", file[1]), content)))
    return found


def _decoded(text: bytes) -> str:
    return _text(unquote_to_bytes(text.replace(b"+", b" ")))


def _text(content: bytes) -> str:
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidRequest("The form is not valid UTF-8.") from None
    if _SURROGATE.search(text):
        raise InvalidRequest("The form has characters that are none.")
    return text
