"""Names as tokens: scripts, forms, titles, particles, and what is written in many ways."""

import pytest

from sakk.core.entity import EntityKind
from sakk.core.name_text import (
    TOKENS_MAX,
    Script,
    TokenRole,
    bones_of,
    form_of,
    read_name,
    script_of,
    sound_of,
    token_of,
)

PERSON, FIRM, VESSEL = EntityKind.person, EntityKind.organization, EntityKind.vessel


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("Ivan Petrov", Script.latin),
        ("Αλέξης", Script.latin),
        ("Иван", Script.cyrillic),
        ("محمد", Script.arabic),
        ("ﻣﺤﻤﺪ", Script.arabic),
        ("בנימין", Script.hebrew),
        ("习近平", Script.han),
        ("1 Иван", Script.cyrillic),
        ("", Script.latin),
    ],
)
def test_scripts(text: str, script: Script) -> None:
    assert script_of(text) is script


@pytest.mark.parametrize(
    ("text", "kind", "words"),
    [
        ("SAMPLE, Ivan Petrovich", PERSON, "sample ivan petrovich"),
        ("Zoë Øst-Łódź", PERSON, "zoe ost lodz"),
        ("Straße", PERSON, "strasse"),
        ("ＦＵＬＬ width", PERSON, "full width"),
        ("O'Brien’s", PERSON, "obriens"),
        ("Deutsche Bank's", FIRM, "deutsche banks"),
        ("Владимир Путин", PERSON, "vladimir putin"),
        ("Сергей", PERSON, "sergei"),
        ("محمد بن سلمان", PERSON, "mhmd bn slman"),
        ("مُحَمَّد", PERSON, "mhmd"),
        ("علي البغدادي", PERSON, "aly al bghdady"),
        ("בנימין נתניהו", PERSON, "bnymyn ntnyhw"),
        ("习近平", PERSON, "xi jin ping"),
        ("习 近平", PERSON, "xi jin ping"),
        ("曾国藩", PERSON, "zeng guo fan"),
        ("尉迟恭", PERSON, "yuchi gong"),
        ("华为技术有限公司", FIRM, "hua wei ji shu ltd"),
        ("鴻海精密工業股份有限公司", FIRM, "hong hai jing mi gong ye jsc"),
        ("Αλέξης Τσίπρας", PERSON, "alexis tsipras"),
        ("J.R. Smith", PERSON, "j r smith"),
        ("Bowne, S.A.R.L.", FIRM, "bowne sarl"),
        ("A.B.C. Company", FIRM, "abc company"),
        ("FU YUAN YU 7622", VESSEL, "fu yuan yu 7622"),
        ("Brigade44", FIRM, "brigade 44"),
        ("Gazprom Open Joint Stock Company", FIRM, "gazprom jsc"),
        ('ОБЩЕСТВО С ОГРАНИЧЕННОЙ ОТВЕТСТВЕННОСТЬЮ "БАЙ"', FIRM, "llc bai"),
        ("FABERLIC EUROPE Sp. z o.o.", FIRM, "faberlic europe llc"),
        ("شركة المثال", FIRM, "co al mthal"),
        ("Abd al-Rahman", PERSON, "abdrahman"),
        ("Abdul Rahman", PERSON, "abdrahman"),
        ("Abdurrahman", PERSON, "abdrahman"),
        ("Abdelkader", PERSON, "abdkader"),
        ("Abdi Mohamed", PERSON, "abdi mohamed"),
        ("Abdul", PERSON, "abdul"),
        ("Abd al", PERSON, "abd al"),
        ("...", PERSON, ""),
    ],
)
def test_words(text: str, kind: EntityKind, words: str) -> None:
    assert read_name(text, kind).text == words


def test_a_name_has_so_many_words_and_no_more() -> None:
    assert len(read_name("x " * 100).tokens) == TOKENS_MAX
    (word,) = read_name("x" * 100).tokens
    assert len(word.text) == 40


@pytest.mark.parametrize(
    ("text", "kind", "roles"),
    [
        ("Dr. Ali bin Said J", PERSON, "word particle word initial"),
        # Of a name of two words the title is kept: it may be the name.
        ("General Min", PERSON, "title word"),
        ("Acme Trading Co., Ltd.", FIRM, "word word form form"),
        ("Acme Co", PERSON, "word word"),
        ("Toro y Vega", FIRM, "word particle word"),
        ("Y. Vega", PERSON, "initial word"),
        ("General Motors Company", FIRM, "word word form"),
        ("M/V Sea Star 7", VESSEL, "initial initial word word number"),
        ("MV Sea Star", VESSEL, "word word"),
    ],
)
def test_roles(text: str, kind: EntityKind, roles: str) -> None:
    found = [token.role for token in read_name(text, kind).tokens]
    assert found == [TokenRole(each) for each in roles.split()]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("mohammed", "muhamad"),
        ("yusuf", "youssef"),
        ("sechin", "sietchin"),
        ("shcherbakov", "scherbakov"),
        ("ivanov", "iwanow"),
        ("qasim", "kassem"),
        ("omar", "umar"),
    ],
)
def test_a_sound_is_the_same_however_it_is_romanised(one: str, other: str) -> None:
    assert sound_of(one) == sound_of(other)


@pytest.mark.parametrize(
    ("arabic", "latin"),
    [
        ("محمد", "mohammed"),
        ("أسامة", "usama"),
        ("عمر", "omar"),
        ("يوسف", "yusuf"),
        ("وليد", "walid"),
        ("سعود", "saud"),
        ("חיים", "haim"),
    ],
)
def test_bones_are_what_an_alphabet_without_vowels_writes(arabic: str, latin: str) -> None:
    (token,) = read_name(arabic, PERSON).tokens
    assert token.is_abjad
    assert token.bones == bones_of(latin)


def test_forms_are_the_same_abroad() -> None:
    assert form_of("ooo") == form_of("gmbh") == form_of("llc") == "llc"
    assert form_of("acme") is None


def test_a_word_of_a_role_is_one_object() -> None:
    assert token_of("ivan", TokenRole.word) is token_of("ivan", TokenRole.word)
    first, second = read_name("Ivan"), read_name("IVAN")
    assert first.tokens[0] is second.tokens[0]
