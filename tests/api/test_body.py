"""Reading bodies: brackets, strict JSON, and what two readers could understand differently."""

from typing import Any

import pytest

from sakk.api.body import ARRAY_INDEX_MAX, DEPTH_MAX, FIELDS_MAX, canonical, read_body, read_form
from sakk.core.errors import InvalidRequest, MediaTypeUnsupported, ParameterInvalid

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    ("form", "tree"),
    [
        (b"a=1", {"a": "1"}),
        (b"a=1&&b=2&", {"a": "1", "b": "2"}),
        (b"a", {"a": None}),
        (b"a=", {"a": None}),
        (b"a=b=c", {"a": "b=c"}),
        (b"a=x+y%20z%2B", {"a": "x y z+"}),
        (b"a=%E2%82%AC", {"a": "€"}),
        (b"metadata[order]=7", {"metadata": {"order": "7"}}),
        (b"metadata%5Border%5D=7", {"metadata": {"order": "7"}}),
        (b"metadata[]=7", {"metadata": ["7"]}),
        (b"a[]=x&a[]=y", {"a": ["x", "y"]}),
        (b"a[0]=x&a[1]=y", {"a": ["x", "y"]}),
        (b"a[1]=y&a[0]=x", {"a": ["x", "y"]}),
        (b"a[5]=y&a[9]=z", {"a": ["y", "z"]}),
        (b"a[0][b]=1&a[0][c]=2&a[1][b]=3", {"a": [{"b": "1", "c": "2"}, {"b": "3"}]}),
        (b"a[0][0]=1&a[0][1]=2", {"a": [["1", "2"]]}),
        (b"p[crypto][networks][0]=eip155:1", {"p": {"crypto": {"networks": ["eip155:1"]}}}),
        (b"p[crypto][networks][]=eip155:1", {"p": {"crypto": {"networks": ["eip155:1"]}}}),
        (b"", {}),
    ],
)
def test_forms(form: bytes, tree: dict[str, Any]) -> None:
    assert read_form(form) == tree


@pytest.mark.parametrize(
    ("form", "param"),
    [
        (b"a=1&a=2", "a"),
        (b"a[b]=1&a[b]=2", "a[b]"),
        (b"a[0]=1&a[0]=2", "a[0]"),
        (b"a=1&a[b]=2", "a[b]"),
        (b"a[b]=2&a=1", "a"),
        (b"a[b]=1&a[0]=2", "a[0]"),
        (b"a[0]=1&a[b]=2", "a[b]"),
        (b"a[][b]=1&a[][c]=2", "a[][b]"),
        (b"a[%d]=1" % (ARRAY_INDEX_MAX + 1), f"a[{ARRAY_INDEX_MAX + 1}]"),
        (b"a[99999999999999999999]=1", "a[99999999999999999999]"),
        (b"=1", ""),
        (b"a[b=1", "a[b"),
        (b"a]=1", "a]"),
        (b"[a]=1", "[a]"),
        (b"a[b]c=1", "a[b]c"),
        (b"a[b]=x%00y", "a[b]"),
    ],
)
def test_forms_that_are_refused(form: bytes, param: str) -> None:
    with pytest.raises(ParameterInvalid) as caught:
        read_form(form)
    assert caught.value.param == param


@pytest.mark.parametrize(
    "form",
    [
        b"a=%FF",
        b"%C3%28=1",
        b"a" + b"[b]" * DEPTH_MAX + b"=1",
        b"&".join(b"a%d=1" % number for number in range(FIELDS_MAX + 1)),
    ],
)
def test_forms_that_no_parameter_can_be_named_of(form: bytes) -> None:
    with pytest.raises(InvalidRequest):
        read_form(form)


@pytest.mark.parametrize(
    ("body", "tree"),
    [
        (b'{"a":1,"b":[true,null,{"c":"d"}]}', {"a": 1, "b": [True, None, {"c": "d"}]}),
        (b'{"a":340282366920938463463374607431768211455}', {"a": (1 << 128) - 1}),
        (b'{"a":"\\u20ac \\ud83d\\ude00"}', {"a": "€ 😀"}),
        ('{"a":"😀"}'.encode(), {"a": "😀"}),
    ],
)
def test_json(body: bytes, tree: dict[str, Any]) -> None:
    assert read_body(body, JSON) == (tree, True)


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b"1",
        b"null",
        b"{",
        b"{'a':1}",
        b'{"a":1,}',
        b'{"a":NaN}',
        b'{"a":-Infinity}',
        b'{"a":"\xff"}',
        b'\xef\xbb\xbf{"a":1}',
        b'{"a":"\x00"}',
        b'{"a":' + b"9" * 5_000 + b"}",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"a":' * (DEPTH_MAX + 1) + b"1" + b"}" * (DEPTH_MAX + 1),
        b'{"a":' + b"[" * DEPTH_MAX + b"[1]" + b"]" * DEPTH_MAX + b"}",
    ],
)
def test_json_that_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        read_body(body, JSON)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b'{"a":1,"a":2}', "a"),
        (b'{"a":{"b":1,"b":1}}', "b"),
        (b'{"a":"\\u0000"}', "a"),
        (b'{"a":["\\ud800"]}', "a[0]"),
        (b'{"m":{"k\\u0000":"v"}}', "m[k]"),
    ],
)
def test_json_with_a_parameter_that_is_refused(body: bytes, param: str) -> None:
    with pytest.raises(ParameterInvalid) as caught:
        read_body(body, JSON)
    assert caught.value.param == param


def test_depth_is_allowed_up_to_its_limit() -> None:
    body = b'{"a":' * DEPTH_MAX + b"1" + b"}" * DEPTH_MAX
    assert read_body(body, JSON)[1]
    form = b"a" + b"[b]" * (DEPTH_MAX - 1) + b"=1"
    assert read_form(form)


@pytest.mark.parametrize(
    "content_type", [JSON, "application/json; charset=utf-8", 'Application/JSON;charset="UTF-8"']
)
def test_json_types(content_type: str) -> None:
    assert read_body(b"{}", content_type) == ({}, True)


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "",
        "text/plain",
        "application/xml",
        "multipart/form-data; boundary=x",
        "application/json; charset=utf-16",
        "application/json; charset=latin-1",
    ],
)
def test_types_that_are_not_read(content_type: str | None) -> None:
    with pytest.raises(MediaTypeUnsupported):
        read_body(b"{}", content_type)


def test_an_empty_body_has_no_type() -> None:
    assert read_body(b"", None) == ({}, True)
    assert read_body(b"", "text/plain") == ({}, True)


def test_a_form_says_that_its_values_have_no_types() -> None:
    assert read_body(b"a=1", FORM) == ({"a": "1"}, False)


def test_equal_parameters_have_one_spelling() -> None:
    one, _ = read_body(b'{"a":1,"b":{"c":2,"d":3}}', JSON)
    two, _ = read_body(b'{ "b": {"d":3, "c":2}, "a":1 }', JSON)
    three, _ = read_body(b'{"a":"1","b":{"c":2,"d":3}}', JSON)
    assert canonical(one) == canonical(two) != canonical(three)
