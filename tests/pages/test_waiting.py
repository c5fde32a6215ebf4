"""Why something waits is told in every language, whichever stage wrote it down."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from sakk.console.waiting import SENTENCES, said
from sakk.pages.language import LANGUAGES, words

SOURCES = Path(__file__).resolve().parents[2] / "src/sakk"
MAKERS = {"Waits", "NoTurn", "FeesAboveCap", "TransferWouldFail", "WouldDoMore"}


def test_every_reason_that_a_stage_writes_down_is_known() -> None:
    known = {re.sub(r"{\w+}", "{}", each) for each in SENTENCES}
    files = [
        path for floor in ("core", "flow", "rails") for path in (SOURCES / floor).rglob("*.py")
    ]
    written = {text for path in files for text in _reasons(path)}
    assert written - known == set()
    assert len(written) > 25


def _reasons(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        match node:
            case ast.Call(func=ast.Name(id=name), args=[ast.Constant(value=str(text)), *_]):
                if name in MAKERS:
                    yield text
            case ast.Call(func=ast.Name(id=name), args=[ast.JoinedStr(values=values), *_]):
                if name in MAKERS:
                    yield "".join(
                        str(each.value) if isinstance(each, ast.Constant) else "{}"
                        for each in values
                    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("the lease was lost", "租约已失效"),
        (
            "0xab is frozen: replaced by 0xcd: find out who did it",
            "\u20680xab\u2069 已冻结：\u2068replaced by 0xcd: find out who did it\u2069",
        ),
        (
            "the signer refuses: over_limit: 5 of 3",
            "签名服务拒绝：\u2068over_limit\u2069：\u20685 of 3\u2069",
        ),
    ],
)
def test_it_is_told_in_the_readers_language_with_what_it_is_about(text: str, told: str) -> None:
    assert said(words("zh-Hans"), text) == told
    assert said(words("en"), text) is None


def test_what_a_node_says_is_left_as_it_was_said() -> None:
    for language in LANGUAGES:
        assert said(words(language), "execution reverted: the lease was lost?") is None


def test_each_sentence_is_read_as_itself() -> None:
    for sentence in SENTENCES:
        filled = re.sub(r"{\w+}", "0xab", sentence)
        expected = words("ar").gettext(
            sentence, **dict.fromkeys(re.findall(r"{(\w+)}", sentence), "0xab")
        )
        assert said(words("ar"), filled) == expected
