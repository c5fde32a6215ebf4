"""What the resources share: paths under a root, parameters, and answers decoded into objects."""

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, Final, Generic, Literal, TypedDict, TypeVar
from urllib.parse import quote

import msgspec

from sakk.client.decoding import decoder
from sakk.client.errors import ApiError
from sakk.client.objects import Resource
from sakk.client.page import Page, PageBody
from sakk.client.transport import Transport

T = TypeVar("T", bound=Resource)
V = TypeVar("V")


class _Unset(Enum):
    unset = "unset"


UNSET: Final = _Unset.unset
Unset = Literal[_Unset.unset]

# Seconds since 1970: that second exactly, or bounds by gt, gte, lt, lte.
Created = int | Mapping[Literal["gt", "gte", "lt", "lte"], int]


class ListOptions(TypedDict, total=False):
    """What every list takes."""

    limit: int
    starting_after: str
    ending_before: str
    created: Created
    expand: Sequence[str]


class Endpoint(Generic[T]):
    """What the resources share: paths under one root, decoded into one kind of object."""

    root: str
    kind: type[T]

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def _path(self, *parts: str) -> str:
        return join(self.root, *parts)

    def _get(self, kind: type[V], path: str, **query: Any) -> V:
        return decode(self._transport.request("GET", path, query=present(query)), kind)

    def _post(
        self, kind: type[V], path: str, body: Mapping[str, Any], idempotency_key: str | None
    ) -> V:
        answer = self._transport.request("POST", path, body=body, idempotency_key=idempotency_key)
        return decode(answer, kind)

    def _delete(self, kind: type[V], path: str, idempotency_key: str | None) -> V:
        answer = self._transport.request("DELETE", path, idempotency_key=idempotency_key)
        return decode(answer, kind)

    def _list(self, path: str, kind: type[V], query: Mapping[str, Any]) -> Page[Any]:
        body_kind: Any = PageBody[kind]  # type: ignore[valid-type]

        def fetch(wanted: dict[str, Any]) -> Page[Any]:
            answer = self._transport.request("GET", path, query=wanted)
            return Page(decode(answer, body_kind), wanted, fetch)

        return fetch(present(query))


class Retrievable(Endpoint[T]):
    def retrieve(self, id: str, *, expand: Sequence[str] | None = None) -> T:
        """One object by its id; raises `ResourceMissingError`."""
        return self._get(self.kind, self._path(id), expand=expand)


def join(root: str, *parts: str) -> str:
    """A path under a root; ValueError for an empty part: `/v1/payouts/` would be the list."""
    if not all(parts):
        raise ValueError("an id may not be empty")
    return "/".join((root, *(quote(part, safe="") for part in parts)))


def decode(body: bytes, kind: type[V]) -> V:
    """Read an answer; raises `ApiError` if it is not what the API promises."""
    try:
        return decoder(kind).decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ApiError(f"The server's answer cannot be read: {error}.") from error


def present(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Without what is None."""
    return {name: value for name, value in fields.items() if value is not None}


def given(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Without what was not given; None stays, and unsets."""
    return {name: value for name, value in fields.items() if value is not UNSET}
