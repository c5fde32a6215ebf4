"""The way to a provider that pays out: quote, lock, questions, payout.

A connector is of this kind. ``place`` is safe to repeat under one key: a provider that has an order
of it answers with that one. After the time of its quote a provider takes no order by it.
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from sakk.core.provider_order import Quote, Standing
from sakk.rails.bank.pain001 import Party


class ProviderUnknown(Exception):
    """Nothing is known by it of what was asked for: it may have been done, and is looked up."""


class ProviderUnreachable(ProviderUnknown):
    """The same, and nobody is asked for the moment: no answer, none that can be read, too often.

    Its other orders of this account wait as well.
    """


class ProviderRefused(Exception):
    """A definite no: nothing of what was asked was done. ``is_quote``: for the quote alone."""

    def __init__(self, code: str, reason: str, *, is_quote: bool = False) -> None:
        super().__init__(reason)
        self.code, self.reason, self.is_quote = code, reason, is_quote


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is to be paid out; ``end_to_end_id`` is on the provider's statement."""

    units: int
    currency: str
    payee: Party
    end_to_end_id: str
    remittance: str | None = None


@runtime_checkable
class ProviderRail(Protocol):
    """One account's provider."""

    def quote(self, wanted: Wanted) -> Quote:
        """Lock a price; ProviderUnknown, ProviderRefused."""

    def place(self, key: str, quote: str, wanted: Wanted) -> Standing:
        """Order it under a key by a locked quote; ProviderUnknown, ProviderRefused."""

    def find(self, key: str, reference: str | None = None) -> Standing | None:
        """The order of a key; None where the provider says that there is none, and where one that
        is there was not set going: it is placed again under its key. ``reference``: its own, where
        it is known. ProviderUnknown."""

    def answer(self, key: str, question: str, text: str, file: tuple[str, bytes] | None) -> None:
        """Answer what it asks, once however often; ProviderUnknown, ProviderRefused."""
