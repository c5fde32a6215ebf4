"""The shapes that answers share, for the documentation: answers are not validated as they go."""

from typing import Annotated, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

ObjectMetadata = Annotated[
    dict[str, str], Field(description="What the caller wrote on the object.")
]
Created = Annotated[int, Field(description="When it was created, in seconds since 1970.")]
Livemode = Annotated[bool, Field(description="Whether it belongs to the live mode.")]

T = TypeVar("T")


class Shape(BaseModel):
    """A documented object."""

    model_config = ConfigDict(extra="forbid")


class ErrorDetail(Shape):
    """What went wrong, and what to do."""

    type: Literal[
        "invalid_request_error",
        "idempotency_error",
        "api_error",
        "authentication_error",
        "permission_error",
        "rate_limit_error",
    ]
    code: Annotated[str, Field(description="A name for programs; it never changes.")]
    message: Annotated[str, Field(description="A sentence for people that says what to do.")]
    param: Annotated[str | None, Field(description="The parameter that is wrong.")] = None
    doc_url: str
    request_id: str


class Error(Shape):
    """The body of every answer with a status of 400 or more."""

    error: ErrorDetail


class Page(Shape, Generic[T]):
    """One page of a list, newest first."""

    object: Literal["list"]
    url: str
    has_more: bool
    data: list[T]
