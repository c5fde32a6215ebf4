"""Screens: one table from which routing, navigation and the sweeping tests are made.

A noun's file ends in ``SCREENS``, which `sakk.console.table` gathers. A handler takes the visit,
the path's parameters by name, and ``query`` (GET) or ``form`` (POST) of a model of
`sakk.pages.form`, and returns an `Answer` or raises from `sakk.core.errors`.
"""

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Literal, get_type_hints

from sakk.console.visit import Answer, Page
from sakk.core.role import RESOURCES, Access
from sakk.pages.form import Form

ROOT: Final = "/console"
BODY_BYTES_MAX: Final = 1 << 20

Handler = Callable[..., Answer]


@dataclass(frozen=True, slots=True)
class Menu:
    """A place in the navigation: the group and the name, both messages."""

    group: str
    label: str


@dataclass(frozen=True, slots=True)
class Screen:
    """One address of the console.

    ``resource`` and ``access`` are words of `sakk.core.role`, which says who may. ``step_up``: the
    person proves to be there first. ``operator_only``: nobody's who stands in an account alone.
    ``again``: shows a form that was rejected once more.
    """

    method: Literal["GET", "POST"]
    path: str
    handler: Handler
    resource: str
    access: Access = "read"
    step_up: bool = False
    operator_only: bool = False
    menu: Menu | None = None
    again: Callable[..., Page] | None = None
    body_bytes_max: int = BODY_BYTES_MAX
    path_parameters: tuple[str, ...] = field(init=False)
    form: type[Form] | None = field(init=False)
    pattern: re.Pattern[str] = field(init=False)

    def __post_init__(self) -> None:
        assert self.path == ROOT or self.path.startswith(f"{ROOT}/"), self.path
        assert self.resource in RESOURCES, f"{self.resource} is not in sakk.core.role"
        if self.method == "POST" and self.access == "read":
            object.__setattr__(self, "access", "write")
        names = tuple(re.findall(r"{(\w+)}", self.path))
        object.__setattr__(self, "path_parameters", names)
        pattern = re.sub(r"{(\w+)}", r"(?P<\1>[^/]{1,255})", self.path)
        object.__setattr__(self, "pattern", re.compile(pattern))
        object.__setattr__(self, "form", self._model())

    @property
    def place(self) -> str:
        """The name of the handler's parameter for what was sent."""
        return "form" if self.method == "POST" else "query"

    def _model(self) -> type[Form] | None:
        expected = {"visit", *self.path_parameters}
        named = set(inspect.signature(self.handler).parameters)
        if not expected <= named or named - expected - {self.place}:
            raise TypeError(f"the handler of {self.path} takes {sorted(expected)} and {self.place}")
        if self.place not in named:
            return None
        model: Any = get_type_hints(self.handler)[self.place]
        if not (isinstance(model, type) and issubclass(model, Form)):
            raise TypeError(f"{self.place} of {self.path} must be a Form")
        return model
