"""Parameters: the models that handlers declare, and what is wrong with a request in Stripe's words.

JSON is taken strictly (``"5"`` is not a number); form bodies and query strings hold only strings,
so there numbers and booleans are read from them. Whatever is not declared is refused.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints
from pydantic import ValidationError as PydanticValidationError
from pydantic_core import ErrorDetails

from sakk.core import metadata as metadata_rules
from sakk.core.errors import (
    InvalidRequest,
    ParameterInvalid,
    ParameterMissing,
    ParameterUnknown,
)
from sakk.core.money import UNITS_MAX
from sakk.store.page import LIMIT_DEFAULT, LIMIT_MAX, PageRequest

TIMESTAMP_MAX = 253_370_764_799  # the last second of the year 9998
EXPAND_MAX = 20
MESSAGE_INPUT_MAX = 60

Identifier = Annotated[str, StringConstraints(min_length=1, max_length=100)]
ShortText = Annotated[str, StringConstraints(min_length=1, max_length=255)]
TokenUnits = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,78}$")]
LongText = Annotated[str, StringConstraints(min_length=1, max_length=1_000)]
CurrencyCode = Annotated[
    str, StringConstraints(min_length=2, max_length=12, pattern=r"^[a-zA-Z][a-zA-Z0-9]*$")
]
Amount = Annotated[int, Field(ge=1, le=UNITS_MAX)]
Timestamp = Annotated[int, Field(ge=0, le=TIMESTAMP_MAX)]
MetadataValue = Annotated[str, StringConstraints(max_length=metadata_rules.VALUE_LENGTH_MAX)]
MetadataKey = Annotated[
    str, StringConstraints(min_length=1, max_length=metadata_rules.KEY_LENGTH_MAX)
]
Metadata = Annotated[
    dict[MetadataKey, MetadataValue | None], Field(max_length=metadata_rules.KEYS_MAX)
]

M = TypeVar("M", bound="Strict")


class Strict(BaseModel):
    """A part of the parameters: nothing undeclared, nothing changed afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Parameters(Strict):
    """The parameters of a request; ``expand`` may stand on every one."""

    expand: Annotated[list[Identifier], Field(max_length=EXPAND_MAX)] | None = None

    def given(self, *names: str) -> dict[str, Any]:
        """Those of the named fields that the caller sent, ``None`` included (unset it)."""
        return {name: getattr(self, name) for name in names if name in self.model_fields_set}


class NoParameters(Parameters):
    """A request without parameters of its own."""


class TimeRange(Strict):
    """Bounds of a time, seconds since 1970."""

    gt: Timestamp | None = None
    gte: Timestamp | None = None
    lt: Timestamp | None = None
    lte: Timestamp | None = None

    def whole_seconds(self) -> tuple[int | None, int | None]:
        """The first second within, and the first one after; rows have fractions, bounds do not."""
        firsts = [self.gte, None if self.gt is None else self.gt + 1]
        ends = [self.lt, None if self.lte is None else self.lte + 1]
        return (
            max((bound for bound in firsts if bound is not None), default=None),
            min((bound for bound in ends if bound is not None), default=None),
        )


def _exactly(value: Any) -> Any:
    """``created=1700000000`` means that very second."""
    if isinstance(value, str | int) and not isinstance(value, bool):
        return {"gte": value, "lte": value}
    return value


class ListParameters(Parameters):
    """The parameters of every list, newest first."""

    limit: Annotated[int, Field(ge=1, le=LIMIT_MAX)] = LIMIT_DEFAULT
    starting_after: Identifier | None = None
    ending_before: Identifier | None = None
    created: Annotated[TimeRange | None, BeforeValidator(_exactly)] = None

    def page(self) -> PageRequest:
        """The page asked for; ParameterInvalid when both cursors are given."""
        if self.starting_after is not None and self.ending_before is not None:
            raise ParameterInvalid(
                "Give starting_after or ending_before, not both.", param="ending_before"
            )
        first, end = (self.created or TimeRange()).whole_seconds()
        return PageRequest(
            limit=self.limit,
            starting_after=self.starting_after,
            ending_before=self.ending_before,
            created_gte=moment(first),
            created_lt=moment(end),
        )


def moment(seconds: int | None) -> datetime | None:
    """Seconds since 1970 as a time in UTC."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def validate(model: type[M], tree: dict[str, Any], *, strict: bool) -> M:
    """Check a parsed body or query; raises ParameterUnknown, ParameterMissing, ParameterInvalid."""
    try:
        return model.model_validate(tree, strict=strict)
    except PydanticValidationError as error:
        raise _worded(error.errors(include_url=False, include_context=True)) from None


def bracketed(location: Sequence[str | int]) -> str:
    """A place in the parameters as Stripe writes it: ``destination[address]``, ``networks[0]``."""
    head, *rest = location or ("",)
    return str(head) + "".join(f"[{part}]" for part in rest)


# Of several faults the first kind here is told: a typo explains a missing parameter, not the
# other way round.
_PRECEDENCE = {"extra_forbidden": 0, "missing": 1}
_KEY_MARK = re.compile(r"^\[key\]$")


def _worded(details: Sequence[ErrorDetails]) -> InvalidRequest:
    fault = min(details, key=lambda detail: _PRECEDENCE.get(detail["type"], 2))
    location = [part for part in fault["loc"] if not _KEY_MARK.match(str(part))]
    param = bracketed(location)
    if fault["type"] == "extra_forbidden":
        return ParameterUnknown(
            f"Received unknown parameter: {param}. Remove it, or correct its name.", param=param
        )
    if fault["type"] == "missing":
        return ParameterMissing(f"Missing required parameter: {param}.", param=param)
    if fault["input"] is None:
        return ParameterInvalid(f"{param} may not be empty.", param=param)
    message = f"Invalid {param}: {fault['msg'][0].lower()}{fault['msg'][1:]}"
    if isinstance(fault["input"], str | int):
        message += f" (received {_shortened(fault['input'])})"
    return ParameterInvalid(f"{message}.", param=param)


def _shortened(value: str | int) -> str:
    if isinstance(value, int) and value.bit_length() > 256:
        return "a number that is too large"
    text = repr(value)
    return text if len(text) <= MESSAGE_INPUT_MAX else f"{text[:MESSAGE_INPUT_MAX]}…"
