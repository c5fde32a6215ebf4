"""Likeness of two names: what is one name, and what only looks like it."""

import pytest

from sakk.core.entity import EntityKind
from sakk.core.name import NAME_SCORE_MIN, Pair, compare_names, token_likeness
from sakk.core.name_text import Token, TokenRole, read_name, token_of

PERSON, FIRM, VESSEL = EntityKind.person, EntityKind.organization, EntityKind.vessel

SAME = [
    (PERSON, "Ivan Petrov", "PETROV, Ivan"),
    (PERSON, "Ivan Petrov", "PETROV, Ivan Sergeyevich"),
    (PERSON, "Iwan Petrow", "Ivan Petrov"),
    (PERSON, "Иван Петров", "PETROV, Ivan"),
    (PERSON, "Mohammed al Said", "MUHAMMAD AS-SAID"),
    (PERSON, "محمد السعيد", "Muhammad al-Said"),
    (PERSON, "قصي صدام حسين التكريتي", "AL-TIKRITI, Qusay Saddam Hussein"),
    (PERSON, "李家超", "LI Jiachao"),
    (PERSON, "Li Jia Chao", "李家超"),
    (PERSON, "J. Example-Smith", "John Example-Smith"),
    (PERSON, "Usama binladen", "BIN LADEN, Usama"),
    (PERSON, "Usama Bin Laden", "USAMA BINLADEN"),
    (PERSON, "Abdul Rahman Example", "EXAMPLE, Abdurrahman"),
    (PERSON, "Dr. Hans Beispiel", "BEISPIEL, Hans"),
    (FIRM, "Beispiel GmbH", "OOO Beispiel"),
    (FIRM, "Example Trading Limited", "EXAMPLE TRADING CO., LTD."),
    (FIRM, "Exmaple Trading", "Example Trading"),
    (VESSEL, "Sea Sample 7", "SEA SAMPLE 7"),
]
OTHER = [
    (PERSON, "Ivan Petrov", "Ivan Sidorov"),
    (PERSON, "Ivan Petrov", "Olga Petrova"),
    (PERSON, "Ayman Sabawi Hasan al-Dulaimi", "Ayman Sabawi Hasan al-Tikriti"),
    (PERSON, "Kim Yong Chol", "Kim Yong Sun"),
    (PERSON, "محمد", "Ahmad"),
    (PERSON, "لي", "Lo"),
    (FIRM, "Sweden Trading Limited", "Finland Trading Limited"),
    (FIRM, "Limited", "Company"),
    (VESSEL, "FU YUAN YU 7622", "FU YUAN YU 8697"),
    (PERSON, "...", "Ivan Petrov"),
    (PERSON, "...", "..."),
]


@pytest.mark.parametrize(("kind", "one", "other"), SAME)
def test_one_name(kind: EntityKind, one: str, other: str) -> None:
    assert compare_names(read_name(one, kind), read_name(other, kind)).score >= NAME_SCORE_MIN


@pytest.mark.parametrize(("kind", "one", "other"), OTHER)
def test_two_names(kind: EntityKind, one: str, other: str) -> None:
    assert compare_names(read_name(one, kind), read_name(other, kind)).score < NAME_SCORE_MIN


def test_what_was_matched_and_what_was_left() -> None:
    found = compare_names(read_name("Ivan Petrow Smith", PERSON), read_name("PETROV, Ivan J"))
    assert found.pairs == (Pair("ivan", "ivan", 1000), Pair("petrow", "petrov", 952))
    assert (found.query_left, found.listed_left) == (("smith",), ("j",))


def test_a_rare_word_weighs_more() -> None:
    query, listed = read_name("Ivan Quirk", PERSON), read_name("Ivan Example", PERSON)
    plain = compare_names(query, listed)
    frequent = {"ivan": 0.2}
    weighed = compare_names(query, listed, weigh=lambda token: frequent.get(token.text, 1.0))
    assert weighed.score < plain.score


@pytest.mark.parametrize(
    ("one", "other", "likeness"),
    [
        (("smith", TokenRole.word), ("smith", TokenRole.title), 1.0),
        (("7", TokenRole.number), ("8", TokenRole.number), 0.0),
        (("ooo", TokenRole.form), ("gmbh", TokenRole.form), 0.95),
        (("ooo", TokenRole.form), ("corp", TokenRole.form), 0.0),
        (("ooo", TokenRole.form), ("word", TokenRole.word), 0.0),
        (("j", TokenRole.initial), ("john", TokenRole.word), 0.9),
        (("k", TokenRole.initial), ("john", TokenRole.word), 0.0),
        (("abcdef", TokenRole.word), ("zyxwvu", TokenRole.word), 0.0),
        # One consonant is no sound of a name.
        (("lee", TokenRole.word), ("ola", TokenRole.word), 0.0),
    ],
)
def test_words(one: tuple[str, TokenRole], other: tuple[str, TokenRole], likeness: float) -> None:
    assert token_likeness(token_of(*one), token_of(*other)) == likeness
    assert token_likeness(token_of(*other), token_of(*one)) == likeness


def test_words_without_vowels_are_held_against_bones() -> None:
    def written(word: str) -> Token:
        return token_of(word, TokenRole.word, True)

    assert token_likeness(written("hsyn"), token_of("hussein", TokenRole.word)) > 0.9
    near = token_likeness(written("slymanwf"), token_of("suleymanov", TokenRole.word))
    assert 0.7 < near < 0.86
    assert token_likeness(written("hsyn"), token_of("hasib", TokenRole.word)) == 0.0


def test_a_word_is_matched_once() -> None:
    found = compare_names(read_name("Mohammed Mohamed", PERSON), read_name("Mohamed", PERSON))
    assert found.pairs == (Pair("mohamed", "mohamed", 1000),)
    assert found.query_left == ("mohammed",)


def test_two_consonants_are_a_sound_where_the_vowels_agree() -> None:
    near, far = token_of("kareem", TokenRole.word), token_of("krum", TokenRole.word)
    karim = token_of("karim", TokenRole.word)
    assert token_likeness(karim, near) > token_likeness(karim, far)
    short = token_of("anna", TokenRole.word), token_of("yinyin", TokenRole.word)
    assert short[0].sound == short[1].sound
    assert token_likeness(*short) == 0.0
