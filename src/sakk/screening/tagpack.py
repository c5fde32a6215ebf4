"""GraphSense TagPacks: YAML whose header fields hold for every tag that does not say otherwise.

https://github.com/graphsense/graphsense-tagpack-tool: a header (`title`, `creator`, `currency`,
`label`, `category`, `abuse`, …) and a list `tags`. The file is read as a stream of events, so that
no object is ever built from a tag and nothing is expanded: anchors, aliases and explicit YAML tags
are refused, which ends every YAML bomb.
"""

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import yaml

from sakk.screening.formats import CONFIDENCE_WORDS, Notes, Statement
from sakk.screening.source import Source

TAGPACK_BYTES_MAX = 64 << 20
DEPTH_MAX = 16
FIELDS_MAX = 64

Fields = dict[str, str | tuple[str, ...]]

_PARSER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# What a tag takes over from the header when it does not say it itself.
_INHERITED = frozenset(
    {
        "currency",
        "network",
        "label",
        "source",
        "category",
        "abuse",
        "concepts",
        "confidence",
        "actor",
    }
)


def parse_tagpack(source: Source, notes: Notes) -> Iterator[Statement]:
    """Yield a statement a tag. The header must stand above ``tags``, as in every published pack."""
    source.limit(TAGPACK_BYTES_MAX)
    events = _Events(source)
    events.begin()
    header: Fields = {}
    found = False
    while (name := events.key()) is not None:
        if name == "tags":
            if found:
                raise source.refusal("'tags' stands twice", line=events.line)
            found = True
            yield from _tags(events, header)
        elif found and name in _INHERITED:
            raise source.refusal(f"{name!r} must stand above 'tags'", line=events.line)
        elif name in _INHERITED:
            header[name] = events.value()
        else:
            events.skip()
    if not found:
        raise source.refusal("has no 'tags'; is it a TagPack? (an ActorPack is not a list)")
    events.end()


def _tags(events: "_Events", header: Fields) -> Iterator[Statement]:
    event = events.next()
    if not isinstance(event, yaml.SequenceStartEvent):
        raise events.refusal("'tags' must be a list")
    while not isinstance(event := events.next(), yaml.SequenceEndEvent):
        if not isinstance(event, yaml.MappingStartEvent):
            raise events.refusal("a tag must be a mapping with 'address'")
        line = events.line
        fields = dict(header)
        count = 0
        while (name := events.key()) is not None:
            count += 1
            if count > FIELDS_MAX:
                raise events.refusal(f"a tag has more than {FIELDS_MAX} fields")
            if name in _INHERITED or name == "address":
                fields[name] = events.value()
            else:
                events.skip()
        yield _statement(events, line, fields)


def _statement(events: "_Events", line: int, fields: Fields) -> Statement:
    def text(name: str) -> str | None:
        value = fields.get(name)
        if isinstance(value, tuple):
            raise events.source.refusal(f"{name!r} must be a single value", line=line)
        return value or None

    address = text("address")
    if address is None:
        raise events.source.refusal("the tag has no address", line=line)
    concepts = fields.get("concepts", ())
    words = [text("abuse"), text("category")]
    words.extend(concepts if isinstance(concepts, tuple) else (concepts,))
    if _is_sanctions_notice(text("source")):
        words.append("sanctions")
    return Statement(
        line=line,
        address=address,
        ticker=text("network") or text("currency"),
        words=tuple(word for word in words if word),
        confidence=CONFIDENCE_WORDS.get(
            (text("confidence") or "unknown").lower(), CONFIDENCE_WORDS["unknown"]
        ),
        entity=text("label"),
        actor=text("actor"),
        source=text("source"),
    )


def _is_sanctions_notice(source: str | None) -> bool:
    """Does the source lie in the US Treasury's pages on sanctions?

    The packs that copy OFAC's list say of its addresses only that they are a ``user`` or a
    ``mixing_service``; that they are sanctioned stands in the source alone.
    """
    if source is None:
        return False
    try:
        parts = urlsplit(source)
        host = (parts.hostname or "").removeprefix("www.")
    except ValueError:
        return False
    if host == "ofac.treasury.gov":
        return True
    path = parts.path.lower()
    return host.endswith("treasury.gov") and ("ofac" in path or "sanctions" in path)


class _Events:
    """The events of one YAML document, with everything refused that a list does not need."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.line = 1
        self._parser: Any = _PARSER(source)
        self._depth = 0

    def refusal(self, problem: str) -> Exception:
        return self.source.refusal(problem, line=self.line)

    def next(self) -> Any:
        try:
            event = self._parser.get_event()
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            problem = getattr(error, "problem", None) or "unreadable"
            line = mark.line + 1 if mark else self.line
            raise self.source.refusal(f"not YAML: {problem}", line=line) from error
        self.line = event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise self.refusal("YAML anchors and aliases are refused; write the values out")
        if isinstance(event, yaml.CollectionStartEvent):
            self._depth += 1
            if self._depth > DEPTH_MAX:
                raise self.refusal(f"nested deeper than {DEPTH_MAX}")
        elif isinstance(event, yaml.CollectionEndEvent):
            self._depth -= 1
        if isinstance(event, yaml.NodeEvent) and getattr(event, "tag", None):
            raise self.refusal("explicit YAML tags ('!…') are refused")
        return event

    def begin(self) -> None:
        """Enter the document, which must be a mapping."""
        self.next()
        if not isinstance(self.next(), yaml.DocumentStartEvent):
            raise self.refusal("is empty")
        if not isinstance(self.next(), yaml.MappingStartEvent):
            raise self.refusal("is not a TagPack: expected a mapping with 'title' and 'tags'")

    def end(self) -> None:
        """Leave the document; nothing may follow it."""
        self.next()
        if not isinstance(self.next(), yaml.StreamEndEvent):
            raise self.refusal("more than one YAML document")

    def key(self) -> str | None:
        """The next key of the mapping that we are in; None at its end."""
        event = self.next()
        if isinstance(event, yaml.MappingEndEvent):
            return None
        if not isinstance(event, yaml.ScalarEvent):
            raise self.refusal("a key must be a word")
        return str(event.value)

    def value(self) -> str | tuple[str, ...]:
        """A scalar, or a list of scalars."""
        event = self.next()
        if isinstance(event, yaml.ScalarEvent):
            return _scalar(event)
        if not isinstance(event, yaml.SequenceStartEvent):
            raise self.refusal("expected a value or a list of values")
        values: list[str] = []
        while not isinstance(event := self.next(), yaml.SequenceEndEvent):
            if not isinstance(event, yaml.ScalarEvent) or len(values) >= FIELDS_MAX:
                raise self.refusal(f"expected a list of at most {FIELDS_MAX} words")
            values.append(_scalar(event))
        return tuple(values)

    def skip(self) -> None:
        """Pass over one value of any shape."""
        depth = self._depth
        self.next()
        while self._depth > depth:
            self.next()


def _scalar(event: Any) -> str:
    if event.style is None and event.value in ("", "~", "null", "Null", "NULL"):
        return ""
    return str(event.value).strip()
