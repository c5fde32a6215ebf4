"""XML of strangers, read as a stream of records; each is a small tree, and the rest is never kept.

The parser is expat. Nothing that is read here needs a document type, so one is refused where it
begins, and with it every entity: what expands, what refers to a file or an address, and what nests
in itself. Depth, a record's size and a tag's have maxima, so memory is that of one record.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final
from xml.parsers import expat

DEPTH_MAX: Final = 32
NODES_MAX: Final = 50_000
RECORD_CHARACTERS_MAX: Final = 8 << 20
ATTRIBUTES_MAX: Final = 64
# What the parser may hold of a tag or comment that does not end.
TOKEN_BYTES_MAX: Final = 1 << 20


@dataclass(slots=True)
class Node:
    """An element: its name without a namespace, its attributes and its own text."""

    name: str
    line: int
    attributes: dict[str, str] = field(default_factory=dict)
    children: list["Node"] = field(default_factory=list)
    text: str = ""

    def all(self, *path: str) -> list["Node"]:
        """The elements at a path of names below this one."""
        found = [self]
        for name in path:
            found = [child for node in found for child in node.children if child.name == name]
        return found

    def words(self, *path: str) -> list[str]:
        """The texts at a path that are not empty, white space folded."""
        return [word for node in self.all(*path) if (word := " ".join(node.text.split()))]

    def word(self, *path: str) -> str:
        """The first text at a path; empty if there is none."""
        return next(iter(self.words(*path)), "")


# What is raised for a file that is not read: given what is wrong, and in which line.
Refuse = Callable[[str, int], Exception]


def read_records(
    chunks: Iterable[bytes],
    *,
    root: str,
    names: frozenset[str],
    refuse: Refuse,
    marks: frozenset[str] = frozenset(),
    encoding: str | None = None,
) -> Iterator[Node]:
    """Yield each element of one of the ``names``, whole, as soon as it ends.

    Records do not nest: within one, the names are parts of it. An element of one of the ``marks``
    outside of records is yielded without its content, where it begins. ``encoding``: what the text
    is known to be in, whatever it declares. Raises a refusal for what is not XML, ends early, has
    another root, or is larger than a record can be.
    """
    reader = _Reader(root, names, marks, refuse, encoding)
    for chunk in chunks:
        yield from reader.feed(chunk)
    yield from reader.feed(b"", is_last=True)


class _Reader:
    def __init__(
        self,
        root: str,
        names: frozenset[str],
        marks: frozenset[str],
        refuse: Refuse,
        encoding: str | None,
    ) -> None:
        self._root = root
        self._names = names
        self._marks = marks
        self._refuse = refuse
        self._depth = 0
        self._stack: list[Node] = []
        self._pieces: list[list[str]] = []
        self._nodes = 0
        self._characters = 0
        self._done: list[Node] = []
        self._fed = 0
        # A separator makes expat resolve prefixes, so that a name is told without them.
        self._parser = expat.ParserCreate(encoding, " ")
        self._parser.buffer_text = True
        self._parser.StartDoctypeDeclHandler = self._doctype
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._data

    def feed(self, chunk: bytes, *, is_last: bool = False) -> list[Node]:
        """Parse a piece and return the records that ended in it."""
        self._fed += len(chunk)
        try:
            self._parser.Parse(chunk, is_last)
        except expat.ExpatError as error:
            problem = expat.ErrorString(error.code)
            raise self._refuse(f"not XML: {problem}", error.lineno) from error
        except (LookupError, ValueError) as error:
            # What the codecs raise where the file declares characters that there are not.
            raise self._refusal("its characters are in no encoding that is read") from error
        if self._fed - self._parser.CurrentByteIndex > TOKEN_BYTES_MAX:
            raise self._refusal(f"a tag or comment is longer than {TOKEN_BYTES_MAX} bytes")
        done, self._done = self._done, []
        return done

    def _doctype(self, name: str, *_: object) -> None:
        raise self._refusal("a document type (<!DOCTYPE …>) is refused; none is needed")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        local = name.rpartition(" ")[2]
        self._depth += 1
        if self._depth == 1 and local != self._root:
            raise self._refusal(f"the root is <{local[:40]}>, and <{self._root}> was expected")
        if self._depth > DEPTH_MAX:
            raise self._refusal(f"nested deeper than {DEPTH_MAX}")
        if not self._stack:
            if local in self._marks:
                self._done.append(Node(local, self._parser.CurrentLineNumber))
            if local not in self._names:
                return
            self._nodes = self._characters = 0
        self._nodes += 1
        self._characters += sum(map(len, attributes.values()))
        if len(attributes) > ATTRIBUTES_MAX:
            raise self._refusal(f"an element has more than {ATTRIBUTES_MAX} attributes")
        self._check_size()
        named = {key.rpartition(" ")[2]: value for key, value in attributes.items()}
        node = Node(local, self._parser.CurrentLineNumber, named)
        if self._stack:
            self._stack[-1].children.append(node)
        self._stack.append(node)
        self._pieces.append([])

    def _data(self, text: str) -> None:
        if self._stack:
            self._characters += len(text)
            self._check_size()
            self._pieces[-1].append(text)

    def _end(self, name: str) -> None:
        self._depth -= 1
        if not self._stack:
            return
        node = self._stack.pop()
        node.text = "".join(self._pieces.pop())
        if not self._stack:
            self._done.append(node)

    def _check_size(self) -> None:
        if self._nodes > NODES_MAX or self._characters > RECORD_CHARACTERS_MAX:
            raise self._refusal(
                f"a record has more than {NODES_MAX} elements or {RECORD_CHARACTERS_MAX} characters"
            )

    def _refusal(self, problem: str) -> Exception:
        return self._refuse(problem, self._parser.CurrentLineNumber)
