"""Lists: a page at a time, or every object in turn."""

from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

import msgspec

from sakk.client.objects import Resource

T = TypeVar("T", bound=Resource)


class PageBody(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """A page as it arrives."""

    data: list[T]
    has_more: bool


class Page(Generic[T]):
    """One page, newest first. Iterating over a page gives its own objects only."""

    def __init__(
        self, body: PageBody[T], query: dict[str, Any], fetch: "Callable[[dict[str, Any]], Page[T]]"
    ) -> None:
        self.data = body.data
        self.has_more = body.has_more
        self._query = query
        self._fetch = fetch

    def __iter__(self) -> Iterator[T]:
        return iter(self.data)

    def __len__(self) -> int:
        return len(self.data)

    def next_page(self) -> "Page[T] | None":
        """The page that follows in the direction of the request, or None at the end."""
        if not self.has_more or not self.data:
            return None
        query = dict(self._query)
        if "ending_before" in query:
            query["ending_before"] = self.data[0].id
        else:
            query["starting_after"] = self.data[-1].id
        return self._fetch(query)

    def auto_paging_iter(self) -> Iterator[T]:
        """Every object from this page on, newest first; with ``ending_before`` oldest first.

        Objects that are created meanwhile do not shift the pages: they hang on ids.
        """
        page: Page[T] | None = self
        while page is not None:
            yield from reversed(page.data) if "ending_before" in page._query else page.data
            page = page.next_page()
