"""Reading bodies and query strings: JSON, and forms with Stripe's brackets.

``metadata[order]=7`` is an object, ``a[]=x`` and ``a[0]=x`` are arrays, and both nest. What two
readers could understand differently is refused: a name given twice, a NUL, half a surrogate pair,
a number that JSON does not have.
"""

import json
import re
from base64 import b64encode
from typing import Any
from urllib.parse import unquote_to_bytes

from sakk.core.errors import InvalidRequest, MediaTypeUnsupported, ParameterInvalid

DEPTH_MAX = 8
FIELDS_MAX = 2_000
ARRAY_INDEX_MAX = 1_000
NAME_LENGTH_MAX = 500

PARTS_MAX = 50

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
CSV = "text/csv"
PARTS = "multipart/form-data"
OCTETS = "application/octet-stream"

Tree = dict[str, Any]

_NAME = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)")
_PART = re.compile(r"\[([^\[\]]*)\]")
_STRING = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_BRACKET = re.compile(r"[\[\]{}]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_BOUNDARY = re.compile(r"boundary=(?:\"([^\"]{1,70})\"|([^\s;\"]{1,70}))", re.IGNORECASE)
_PART_NAME = re.compile(rb";\s*name=\"([^\"]+)\"", re.IGNORECASE)


def read_body(body: bytes, content_type: str | None) -> tuple[Tree, bool]:
    """Parse a body; says whether its values have types (JSON) or are all strings (a form).

    An empty body has no parameters, whatever its type says. Raises InvalidRequest,
    ParameterInvalid, MediaTypeUnsupported.
    """
    if not body:
        return {}, True
    media_type, _, parameters = (content_type or "").partition(";")
    charset = re.search(r"charset\s*=\s*\"?([^\s;\"]+)", parameters, re.IGNORECASE)
    if charset is not None and charset[1].lower() not in ("utf-8", "utf8", "us-ascii"):
        raise MediaTypeUnsupported(f"The charset {charset[1]!r} is not read here. Send UTF-8.")
    match media_type.strip().lower():
        case "application/json":
            return read_json(body), True
        case "application/x-www-form-urlencoded":
            return read_form(body), False
        case other:
            raise MediaTypeUnsupported(
                f"Content-Type {other or '(none)'!r} is not read here. Send {JSON} or {FORM}."
            )


def read_upload(body: bytes, content_type: str | None) -> tuple[Tree, bool]:
    """Parse a body that may be a file: the parameter ``file`` is its bytes in base64.

    A plain CSV is the file alone; a form of several parts (RFC 7578) has it in the part ``file``,
    beside other parameters. Other bodies are read as everywhere.
    """
    match (content_type or "").partition(";")[0].strip().lower():
        case "text/csv":
            return {"file": b64encode(body).decode()}, True
        case "multipart/form-data":
            return _read_parts(body, content_type or ""), False
        case _:
            return read_body(body, content_type)


def _read_parts(body: bytes, content_type: str) -> Tree:
    found = _BOUNDARY.search(content_type)
    if found is None:
        raise InvalidRequest("The Content-Type of a form of several parts names its boundary.")
    delimiter = b"\r\n--" + (found[1] or found[2]).encode("latin-1")
    _, *parts = (b"\r\n" + body).split(delimiter, PARTS_MAX + 1)
    if not parts or not parts[-1].startswith(b"--"):
        raise InvalidRequest(
            f"The form has no end, or more than {PARTS_MAX} parts. Send it again, whole."
        )
    root: Tree = {}
    for part in parts[:-1]:
        head, separator, content = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        name = _PART_NAME.search(head)
        if not separator or name is None:
            raise InvalidRequest("A part of the form has no name.")
        if name[1] == b"file":
            value: str | None = b64encode(content).decode()
        else:
            value = _text(content, name[1].decode("latin-1")) or None
        _place(root, _text(name[1], ""), value)
    return {key: _finished(value) for key, value in root.items()}


def read_json(body: bytes) -> Tree:
    """Parse a JSON object (RFC 8259), strictly."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidRequest("The body is not valid UTF-8.") from None
    if text.startswith("\ufeff"):
        raise InvalidRequest("The body begins with a byte order mark. Send plain UTF-8.")
    _check_depth(text)
    try:
        tree = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except ValueError as error:
        raise InvalidRequest(f"The body is not valid JSON: {error}.") from None
    if not isinstance(tree, dict):
        raise InvalidRequest("The body must be a JSON object.")
    # A JSON text holds NULs and lone surrogates only as escapes.
    if "\\u" in text:
        _check_text(tree, ())
    return tree


def read_form(body: bytes) -> Tree:
    """Parse a form or a query string with brackets; an empty value unsets, so it is None."""
    root: Tree = {}
    pairs = body.split(b"&")
    if len(pairs) > FIELDS_MAX:
        raise InvalidRequest(f"There are more than {FIELDS_MAX} parameters.")
    for pair in pairs:
        if not pair:
            continue
        raw_name, _, raw_value = pair.partition(b"=")
        name = _decoded(raw_name, "")
        _place(root, name, _decoded(raw_value, name) or None)
    return {key: _finished(value) for key, value in root.items()}


def canonical(tree: Tree) -> bytes:
    """One spelling of equal parameters, for telling requests apart."""
    return json.dumps(tree, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


class _Array(dict[int, Any]):
    """An array while it is read: by index, so that order in the body does not matter."""


def _place(root: Tree, name: str, value: str | None) -> None:
    match = _NAME.fullmatch(name)
    if match is None or len(name) > NAME_LENGTH_MAX:
        raise ParameterInvalid(
            f"Not a parameter name: {name[:NAME_LENGTH_MAX]!r}. Write them like metadata[order].",
            param=name[:NAME_LENGTH_MAX],
        )
    parts = [match[1], *_PART.findall(match[2])]
    if len(parts) > DEPTH_MAX:
        raise _too_deep()
    node: Any = root
    for position, part in enumerate(parts):
        last = position == len(parts) - 1
        following: Any = None if last else _container(parts[position + 1])
        key = _key(node, part, name, append=last or isinstance(following, _Array))
        if last:
            if key in node:
                raise ParameterInvalid(f"{name} was given twice. Give it once.", param=name)
            node[key] = value
            return
        child = node.setdefault(key, following)
        if type(child) is not type(following):
            raise ParameterInvalid(f"{name} is given in two different shapes.", param=name)
        node = child


def _container(part: str) -> Any:
    return _Array() if part == "" or (part.isascii() and part.isdigit()) else {}


def _key(node: Any, part: str, name: str, *, append: bool) -> str | int:
    if not isinstance(node, _Array):
        return part
    if part == "":
        # `a[][b]=1&a[][c]=2` is one object or two, depending on the reader.
        if not append:
            raise ParameterInvalid(
                f"Give the objects of an array an index: {name.replace('[]', '[0]', 1)}.",
                param=name,
            )
        return len(node)
    index = int(part) if len(part) <= len(str(ARRAY_INDEX_MAX)) else ARRAY_INDEX_MAX + 1
    if index > ARRAY_INDEX_MAX:
        raise ParameterInvalid(f"An array has at most {ARRAY_INDEX_MAX} elements.", param=name)
    return index


def _finished(value: Any) -> Any:
    if isinstance(value, _Array):
        return [_finished(value[index]) for index in sorted(value)]
    if isinstance(value, dict):
        return {key: _finished(child) for key, child in value.items()}
    return value


def _decoded(raw: bytes, param: str) -> str:
    return _text(unquote_to_bytes(raw.replace(b"+", b" ")), param)


def _text(raw: bytes, param: str) -> str:
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidRequest("The parameters are not valid UTF-8.") from None
    if "\x00" in text:
        raise ParameterInvalid("A parameter holds a NUL character.", param=param)
    return text


def _unique(pairs: list[tuple[str, Any]]) -> Tree:
    tree = dict(pairs)
    if len(tree) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ParameterInvalid(f"{twice!r} was given twice. Give it once.", param=twice)
    return tree


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _check_depth(text: str) -> None:
    """Refuse deep nesting before it is parsed: a parser that recurses could overflow its stack."""
    if text.count("{") + text.count("[") <= DEPTH_MAX:
        return
    depth = 0
    for bracket in _BRACKET.findall(_STRING.sub("", text)):
        depth += 1 if bracket in "{[" else -1
        if depth > DEPTH_MAX:
            raise _too_deep()


def _check_text(value: Any, path: tuple[str | int, ...]) -> None:
    """Refuse text that UTF-8 or PostgreSQL cannot hold."""
    if isinstance(value, str):
        if "\x00" in value or _SURROGATE.search(value):
            raise ParameterInvalid(
                "A parameter holds a NUL character or half a surrogate pair.",
                param=_printable(path),
            )
    elif isinstance(value, dict):
        for key, child in value.items():
            _check_text(key, (*path, key))
            _check_text(child, (*path, key))
    elif isinstance(value, list):
        for index, child in enumerate(value):
            _check_text(child, (*path, index))


def _printable(path: tuple[str | int, ...]) -> str:
    head, *rest = [_SURROGATE.sub("\ufffd", str(part)).replace("\x00", "") for part in path]
    return head + "".join(f"[{part}]" for part in rest)


def _too_deep() -> InvalidRequest:
    return InvalidRequest(f"The parameters are nested more than {DEPTH_MAX} deep.")
