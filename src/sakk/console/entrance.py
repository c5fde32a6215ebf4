"""Entrances: the few pages of the console for who is not signed in yet.

They have a table of their own, since no role opens them. A form there is sent from a page of this
origin alone, and carries a token of a cookie that was set with that page.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal

from sakk.console.visit import Answer, ConsoleSettings, Page
from sakk.flow.context import Parts
from sakk.flow.sign_in import Begun, Device
from sakk.pages.form import Values
from sakk.pages.language import Words, words

SIGN_IN: Final = "/console/sign-in"


@dataclass(frozen=True, slots=True)
class Arrival:
    """One request of who is not signed in, as an entrance sees it.

    ``token``: of a sign-in that this browser has, if any, which ends as another begins.
    """

    parts: Parts
    settings: ConsoleSettings
    now: datetime
    language: str
    csrf: str = field(repr=False)
    path: str
    query: Values
    form: Values
    device: Device
    token: str | None = field(repr=False)
    request_id: str
    host: str

    @property
    def words(self) -> Words:
        """Messages in the visitor's language."""
        return words(self.language)


@dataclass(frozen=True, slots=True)
class SignedInNow:
    """Somebody came in: the browser is given the token, and goes on to ``path`` or sees a page."""

    begun: Begun
    path: str
    page: Page | None = None


EntranceAnswer = Answer | SignedInNow


@dataclass(frozen=True, slots=True)
class Entrance:
    """One address of the console that needs no sign-in."""

    method: Literal["GET", "POST"]
    path: str
    handler: Callable[..., EntranceAnswer]
    pattern: re.Pattern[str] = field(init=False)

    def __post_init__(self) -> None:
        pattern = re.sub(r"{(\w+)}", r"(?P<\1>[^/]{1,255})", self.path)
        object.__setattr__(self, "pattern", re.compile(pattern))
