"""Every message is said in every language, and what is filled in keeps its direction to itself."""

from functools import cache
from pathlib import Path

import pytest

from sakk.core.errors import ResourceMissing
from sakk.pages import messages
from sakk.pages.language import (
    DEFAULT,
    LANGUAGES,
    LOCALES,
    Words,
    choose,
    choose_language,
    isolated,
    mark_in,
    words,
)
from sakk.pages.raised import raised

ROOT = Path(__file__).resolve().parents[2]
OTHERS = [language for language in LANGUAGES if language != DEFAULT]


@cache
def said() -> dict[messages.Key, set[str]]:
    """What all pages say: read once."""
    return messages.said()


@pytest.mark.parametrize("language", OTHERS)
def test_every_message_is_translated(language: str) -> None:
    assert list(messages.faults(language, said())) == []


@pytest.mark.parametrize("language", OTHERS)
def test_catalogues_stand_as_the_command_writes_them(language: str) -> None:
    wanted = said()
    for noun, catalogue in messages.update(language, wanted).items():
        path = LOCALES / language / f"{noun}.po"
        assert path.read_text("utf-8") == messages.text_of(language, catalogue), path.name


def test_a_message_that_is_missing_or_wrong_is_found() -> None:
    wanted = said()
    unknown: messages.Key = (None, "Nobody has said this yet")
    told = list(messages.faults("ar", {**wanted, unknown: {"shared"}}))
    assert told == ["ar: 'Nobody has said this yet' is in no catalogue; make messages"]
    some = next(key for key in wanted if key == (None, "Copied"))
    rest = {key: nouns for key, nouns in wanted.items() if key != some}
    assert "no page says this any more" in next(messages.faults("ar", rest))
    assert messages.placeholders("{a} of {number}") == {"a"}


def test_templates_and_modules_are_both_looked_at() -> None:
    found = said()
    assert found[None, "Skip to content"] == {"shared"}
    assert "claim" in found[None, "Choose one of the networks."]
    assert "claim" in found[None, "Say where this refund is to be sent."]


def test_what_screens_may_meet_is_said_by_constants() -> None:
    """An error whose text is put together where it is raised could be told in English alone."""
    assert [each for each in raised() if each.text is None] == []
    texts = {each.text for each in raised()}
    # From a screen over a flow and its rules, and by a method of what a command is given.
    assert "scheduled_at is past. Leave it out to pay at once." in texts
    assert "No such payment_intent: {identifier}." in texts
    assert "You do not have this scope." not in texts


@pytest.mark.parametrize(
    ("language", "told"),
    [
        ("en", "No such customer: 'cus'"),
        ("zh-Hans", "没有这个客户：\u2068'cus'\u2069"),
        ("ar", "لا يوجد عميل كهذا: \u2068'cus'\u2069"),
    ],
)
def test_an_error_is_told_in_the_pages_language(language: str, told: str) -> None:
    """In English as the API says it, elsewhere with what is filled in kept to itself; in none does
    it turn what stands after it."""
    message = "No such customer: {customer_id}"
    assert words(language).error(ResourceMissing(message, customer_id="'\u202ecus'")) == told
    unknown = ResourceMissing("Nobody translated {this}.", this="one")
    assert "Nobody translated" in words(language).error(unknown)
    assert words(language).error(ResourceMissing("")) == ""


def test_what_is_filled_in_is_isolated_and_can_not_turn_the_rest() -> None:
    text = words("ar").gettext("from {merchant}", merchant="\u202eevil\u2069\u202c")
    assert text == "من \u2068evil\u2069"
    assert isolated("a\u2066b") == "\u2068ab\u2069"
    assert Words("en").ngettext("{number} file", "{number} files", 2) == "\u20682\u2069 files"


def test_a_word_that_means_two_things_says_which() -> None:
    told = [words("zh-Hans").gettext(mark_in(each, "Open")) for each in ("case", "channel")]
    assert told == ["待处理", "已开通"]
    assert words("en").gettext(mark_in("channel", "Open")) == "Open"


def test_the_table_of_words_is_what_pages_say() -> None:
    lines = (ROOT / "docs/concepts/words.md").read_text("utf-8").splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if "|" in line]
    assert len(rows) > 40
    for message, *told, _ in rows[2:]:
        assert told == [words(language).gettext(message) for language in OTHERS], message


@pytest.mark.parametrize(
    ("accept", "language"),
    [
        (None, "en"),
        ("", "en"),
        ("fr", "en"),
        ("fr, zh;q=0.8", "zh-Hans"),
        ("zh-CN,zh;q=0.9", "zh-Hans"),
        ("zh-TW", "zh-Hant"),
        ("zh-Hant-HK", "zh-Hant"),
        ("ar-EG,en;q=0.5", "ar"),
        ("en;q=0.1, ar;q=0.2", "ar"),
        ("ar;q=0, en", "en"),
        ("ar;q=x, zh", "zh-Hans"),
    ],
)
def test_the_language_is_the_one_that_is_asked_for(accept: str | None, language: str) -> None:
    assert choose_language(accept) == language


def test_what_is_asked_goes_before_what_was_set_and_that_before_the_browser() -> None:
    assert choose(asked="ar", stored="zh-Hans", accept="en") == "ar"
    assert choose(asked="fr", stored="zh-Hans", accept="en") == "zh-Hans"
    assert choose(asked="../../etc", stored="", accept="zh-TW") == "zh-Hant"
