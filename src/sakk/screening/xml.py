"""XML lists: `sakk.core.xml` over a list's file, whose refusals say where."""

from collections.abc import Iterator

from sakk.core import xml
from sakk.core.xml import Node
from sakk.screening.source import Source

__all__ = ["Node", "read_records"]


def read_records(source: Source, *, root: str, names: frozenset[str]) -> Iterator[Node]:
    """Yield each element of one of the ``names`` of a list, whole, as soon as it ends."""
    return xml.read_records(
        source.chunks(),
        root=root,
        names=names,
        refuse=lambda problem, line: source.refusal(problem, line=line),
        # The source has proven it, whatever the file declares.
        encoding="utf-8",
    )
