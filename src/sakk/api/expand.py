"""``expand[]``: an object in the place of its id."""

from collections.abc import Sequence

from sakk.api.context import Context, Document
from sakk.api.route import Route
from sakk.core.errors import ParameterInvalid

LIST_PREFIX = "data."


def check(route: Route, paths: Sequence[str]) -> None:
    """Raise ParameterInvalid for a field that cannot be expanded; before anything is executed."""
    known = sorted(LIST_PREFIX + name if route.is_list else name for name in route.expands)
    for index, path in enumerate(paths):
        if path not in known:
            raise ParameterInvalid(
                f"This property cannot be expanded: {path}. Here can be: "
                f"{', '.join(known) or '(none)'}.",
                param=f"expand[{index}]",
            )


def expand(route: Route, context: Context, document: Document, paths: Sequence[str]) -> None:
    """Replace ids in a document, or in the data of a list (``data.customer``), by their objects.

    An id whose object is gone stays.
    """
    objects = document["data"] if route.is_list else [document]
    for path in paths:
        name = path.removeprefix(LIST_PREFIX) if route.is_list else path
        ids = sorted({found for each in objects if isinstance(found := each.get(name), str)})
        if not ids:
            continue
        expanded = route.expands[name](context, ids)
        for each in objects:
            if isinstance(each.get(name), str):
                each[name] = expanded.get(each[name], each[name])
