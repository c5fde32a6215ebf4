"""The API's rates: what one currency is worth in another."""

from typing import Unpack

from sakk.client.endpoint import ListOptions, Retrievable
from sakk.client.objects import Resource
from sakk.client.page import Page


class Rate(Resource, frozen=True, kw_only=True):
    """A price in the quote currency for one whole unit of the base, as decimals."""

    base: str
    quote: str
    bid: str
    ask: str
    mid: str | None = None
    path: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    stopped_on: str | None = None


class Rates(Retrievable[Rate]):
    """What currencies are worth in one another now."""

    root = "/v1/rates"
    kind = Rate

    def list(self, *, base: str | None = None, **options: Unpack[ListOptions]) -> Page[Rate]:
        """The rates that are known directly, or all of one base currency."""
        return self._list(self.root, Rate, {"base": base, **options})
