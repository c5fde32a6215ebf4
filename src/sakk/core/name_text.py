"""Names as tokens: one spelling for what is written in many scripts and many ways.

Unicode NFKD without marks, case folded; Arabic by its letters, since vowels are not written; the
rest of the world's scripts to Latin by the ``anyascii`` table (ISO 9, pinyin, Hepburn and so on).
Han characters become a token each, so that order and spacing of syllables do not matter. What a
name has in common with thousands of others (titles, legal forms, particles) is told apart, because
it says little about whose name it is.
"""

import re
import unicodedata
from dataclasses import dataclass
from enum import Enum, StrEnum
from functools import lru_cache
from typing import Final

from anyascii import anyascii

from sakk.core.entity import EntityKind

TOKENS_MAX: Final = 24
TOKEN_LENGTH_MAX: Final = 40
# A shorter Arabic word that begins with "al" is a name of its own, as Ali is.
ARTICLE_WORD_LENGTH: Final = 4


class Script(StrEnum):
    """The scripts that need care of their own; all others are read as Latin."""

    latin = "latin"
    arabic = "arabic"
    cyrillic = "cyrillic"
    han = "han"
    hebrew = "hebrew"


class TokenRole(Enum):
    """What a token is in its name."""

    word = "word"
    initial = "initial"
    number = "number"
    particle = "particle"
    title = "title"
    form = "form"


@dataclass(frozen=True, slots=True, eq=False)
class Token:
    """A word of a name in Latin letters. The same word of the same role is the same object.

    ``sound`` are its consonants by class, the same however it is romanised; ``bones`` those that
    Arabic and Hebrew write. ``is_abjad`` is set where vowels were not written.
    """

    text: str
    role: TokenRole
    sound: str
    bones: str
    is_abjad: bool = False


@dataclass(frozen=True, slots=True)
class Name:
    """A name as it is compared: without titles, unless too little would be left of it."""

    text: str
    tokens: tuple[Token, ...]
    is_han: bool = False


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


# Arabic letters with those that Persian, Urdu, Pashto and Kurdish add (romanised as BGN does, but
# for what carries a vowel only).
_ARABIC: Final = {
    "ا": "a", "أ": "a", "إ": "i", "آ": "a", "ٱ": "a", "ء": "", "ؤ": "u", "ئ": "i", "ى": "a",
    "ب": "b", "پ": "p", "ت": "t", "ٹ": "t", "ټ": "t", "ث": "th", "ج": "j", "چ": "ch", "څ": "ts",
    "ځ": "dz", "ح": "h", "خ": "kh", "د": "d", "ڈ": "d", "ډ": "d", "ذ": "dh", "ر": "r", "ڑ": "r",
    "ړ": "r", "ز": "z", "ژ": "zh", "ږ": "zh", "س": "s", "ش": "sh", "ښ": "sh", "ص": "s", "ض": "d",
    "ط": "t", "ظ": "z", "ع": "a", "غ": "gh", "ف": "f", "ڤ": "v", "ق": "q", "ك": "k", "ک": "k",
    "ګ": "g", "گ": "g", "ل": "l", "م": "m", "ن": "n", "ڼ": "n", "ں": "n", "ه": "h", "ہ": "h",
    "ھ": "h", "ە": "a", "ة": "a", "ۀ": "a", "و": "w", "ي": "y", "ی": "y", "ې": "e", "ے": "e",
    "ۍ": "y", "ـ": "",
}  # fmt: skip
# Hebrew romanises badly letter by letter: bet, vav, kaf, pe and shin have two sounds.
_HEBREW: Final = {
    "א": "a", "ב": "b", "ג": "g", "ד": "d", "ה": "h", "ו": "w", "ז": "z", "ח": "h", "ט": "t",
    "י": "y", "כ": "k", "ך": "k", "ל": "l", "מ": "m", "ם": "m", "נ": "n", "ן": "n", "ס": "s",
    "ע": "a", "פ": "p", "ף": "p", "צ": "ts", "ץ": "ts", "ק": "k", "ר": "r", "ש": "sh", "ת": "t",
}  # fmt: skip
# Surnames whose character has another reading elsewhere.
_HAN_SURNAMES: Final = {
    "曾": "zeng", "单": "shan", "單": "shan", "解": "xie", "仇": "qiu", "区": "ou", "區": "ou",
    "查": "zha", "盖": "ge", "蓋": "ge", "朴": "piao", "冼": "xian", "繁": "po", "黑": "he",
    "重": "chong", "召": "shao", "翟": "zhai", "幺": "yao", "折": "she", "员": "yun",
}  # fmt: skip
_HAN_DOUBLE: Final = {"尉迟": "yuchi", "尉遲": "yuchi", "万俟": "moqi", "长孙": "zhangsun"}

_FORMS: Final = {
    "ltd": "ltd limited ltda limitada",
    "llc": "llc ooo too doo dooel tov gmbh srl sarl sro spzoo eurl bhd uab oue osauhing",
    "corp": "corp corporation",
    "inc": "inc incorporated",
    "co": "co company cie compania companhia compagnie cia sherkat sharikat sharika shirkat",
    "jsc": "jsc ojsc cjsc pjsc ao oao pao zao sa sae saog spa ag aktiengesellschaft akg nv ab as"
    " asa oyj plc tbk pcl saic sal psc kgaa se",
    "lp": "lp llp kg ohg kommanditgesellschaft",
    "pte": "pte pty pvt",
    "group": "group groupe gruppe holding holdings",
    "fze": "fze fzco fzc fzllc dmcc",
    "kk": "kk kaisha",
    "sas": "sas sasu bv bvba oy aps asbl ev est establishment etablissement",
}
# What a form is called in full, in the words of its own country; longest first.
_FULL_FORMS: Final = (
    ("общество с ограниченной ответственностью", "llc"),
    ("товариство з обмеженою відповідальністю", "llc"),
    ("публичное акционерное общество", "jsc"),
    ("открытое акционерное общество", "jsc"),
    ("закрытое акционерное общество", "jsc"),
    ("акционерное общество", "jsc"),
    ("obshchestvo s ogranichennoy otvetstvennostyu", "llc"),
    ("societatea cu raspundere limitata", "llc"),
    ("societate cu raspundere limitata", "llc"),
    ("gesellschaft mit beschrankter haftung", "llc"),
    ("societe a responsabilite limitee", "llc"),
    ("sociedad de responsabilidad limitada", "llc"),
    ("public joint stock company", "jsc"),
    ("private joint stock company", "jsc"),
    ("closed joint stock company", "jsc"),
    ("open joint stock company", "jsc"),
    ("joint stock company", "jsc"),
    ("limited liability company", "llc"),
    ("limited liability partnership", "lp"),
    ("private limited company", "ltd"),
    ("public limited company", "jsc"),
    ("limited partnership", "lp"),
    ("company limited", "ltd"),
    ("private limited", "pte"),
    ("sociedad anonima", "jsc"),
    ("societe anonyme", "jsc"),
    ("societa per azioni", "jsc"),
    ("naamloze vennootschap", "jsc"),
    ("besloten vennootschap", "sas"),
    ("anonim sirketi", "jsc"),
    ("sendirian berhad", "llc"),
    ("kabushiki kaisha", "kk"),
    ("sp z o o", "llc"),
    ("sp z oo", "llc"),
    ("s r o", "llc"),
    ("شركة", "co"),
)
_HAN_FORMS: Final = (
    ("股份有限公司", " jsc "), ("有限責任公司", " llc "), ("有限责任公司", " llc "),
    ("有限公司", " ltd "), ("株式会社", " kk "), ("公司", " co "), ("集团", " group "),
    ("集團", " group "), ("주식회사", " kk "),
)  # fmt: skip
_FORM_OF: Final = {word: form for form, words in _FORMS.items() for word in words.split()}
_TITLES: Final = _set(
    "mr mrs ms miss dr prof professor sir dame lord lady herr frau monsieur madame mme senor senora"
    " sheikh shaikh shaykh cheikh haji hajji hadji hajj mullah mulla maulavi mawlawi maulana mufti"
    " qari sayyid sayyed sayid syed general gen colonel col major maj captain capt lieutenant lt"
    " brigadier admiral commander president minister ambassador engineer eng ing father imam"
    " ayatollah hojatoleslam ustad ustadh jr sr junior senior"
)
_VESSEL_TITLES: Final = frozenset({"mv", "ms", "mt", "ss", "mts", "msc"})
_PARTICLES: Final = _set(
    "al el ul il as ad ar at az an ash ud ur us bin bn ben ibn bint bte binti van von der den dem"
    " de del della da do dos das di du la le les lo y e i of the and for und et ter ten zu zum"
)
_LINKED_ABD: Final = re.compile(r"(abd)(?:[aeiou]{1,2}[lrszdtn]|[aeou])(?=[a-z]{3,})")
_ABD: Final = frozenset({"abd", "abdul", "abdel", "abdal", "abdol", "abdur", "abdu", "abdoul"})
_ARTICLES: Final = frozenset({"al", "el", "ul", "ur", "ar", "as", "ad", "us", "il"})
_DOTTED: Final = re.compile(r"\b(?:[^\W\d_]\.){2,}(?:[^\W\d_]\b)?")
_SPLIT: Final = re.compile(r"[^a-z0-9]+")
_APOSTROPHES: Final = re.compile(r"['’‘`ʼʿʾ´′]")
_POSSESSIVE: Final = re.compile(r"['’]s\b")
_ALPHANUMERIC: Final = re.compile(r"(?<=[a-z])(?=\d)|(?<=\d)(?=[a-z])")

_SOUNDS: Final = (
    ("shch", "S"), ("tsch", "C"), ("sch", "S"), ("tch", "C"), ("sh", "S"), ("ch", "C"),
    ("zh", "J"), ("dzh", "J"), ("dj", "J"), ("kh", "x"), ("gh", "g"), ("ph", "f"), ("th", "t"),
    ("dh", "d"), ("ck", "k"), ("ts", "c"), ("tz", "c"), ("cz", "C"), ("sz", "S"), ("rz", "J"),
    ("qu", "k"), ("q", "k"), ("c", "k"), ("j", "J"), ("w", "v"), ("ff", "v"),
)  # fmt: skip
_VOWELS: Final = "aeiouy"


def script_of(text: str) -> Script:
    """The script of the first letter that is of one of ours; Latin for all else."""
    for character in text:
        point = ord(character)
        if 0x0600 <= point <= 0x06FF or 0xFB50 <= point <= 0xFDFF or 0xFE70 <= point <= 0xFEFC:
            return Script.arabic
        if 0x0400 <= point <= 0x052F:
            return Script.cyrillic
        if 0x0590 <= point <= 0x05FF:
            return Script.hebrew
        if _is_han(point):
            return Script.han
    return Script.latin


def _is_han(point: int) -> bool:
    return 0x3400 <= point <= 0x9FFF or 0xF900 <= point <= 0xFAFF or 0x20000 <= point <= 0x323AF


@lru_cache(maxsize=65_536)
def read_name(text: str, kind: EntityKind = EntityKind.unknown) -> Name:
    """A name in tokens. ``kind`` says which words are titles and which are legal forms."""
    script = script_of(text)
    folded = _folded(text, script, kind)
    words = [word for part in _SPLIT.split(folded) for word in _ALPHANUMERIC.split(part) if word]
    if script is Script.arabic:
        words = [part for word in words for part in _article(word)]
    if kind is not EntityKind.person:
        words = _with_forms(words)
    words = _with_abd(words[:TOKENS_MAX])
    is_abjad = script in (Script.arabic, Script.hebrew)
    words = [word[:TOKEN_LENGTH_MAX] for word in words]
    tokens = tuple(token_of(word, _role(word, kind), is_abjad) for word in words)
    return Name(" ".join(words), _without_titles(tokens), script is Script.han)


def _folded(text: str, script: Script, kind: EntityKind) -> str:
    """Lower case in ASCII, with what divides words still there."""
    text = unicodedata.normalize("NFKC", text).casefold()
    text = _POSSESSIVE.sub("s", text)
    if kind is not EntityKind.person:
        # S.A.R.L. is one word; J.R. Smith are three.
        text = _DOTTED.sub(lambda match: match[0].replace(".", "") + " ", text)
    if script is Script.han:
        text = _han(text)
    plain = []
    for character in unicodedata.normalize("NFKD", text):
        if character in _ARABIC:
            plain.append(_ARABIC[character])
        elif character in _HEBREW:
            plain.append(_HEBREW[character])
        elif not unicodedata.category(character).startswith("M") or ord(character) > 0x06FF:
            plain.append(character)
    return _APOSTROPHES.sub("", anyascii("".join(plain)).lower())


def _han(text: str) -> str:
    """A space around each character, so that a syllable is a token; forms and surnames first."""
    for form, word in _HAN_FORMS:
        text = text.replace(form, word)
    for surname, reading in _HAN_DOUBLE.items():
        if text.startswith(surname):
            text = f"{reading} {text[len(surname) :]}"
    if text[:1] in _HAN_SURNAMES:
        text = f"{_HAN_SURNAMES[text[0]]} {text[1:]}"
    return "".join(f" {each} " if _is_han(ord(each)) else each for each in text)


def _article(word: str) -> tuple[str, ...]:
    """Arabic writes its article as part of the word."""
    is_written = word.startswith("al") and len(word) > ARTICLE_WORD_LENGTH
    return ("al", word[2:]) if is_written else (word,)


def _with_forms(words: list[str]) -> list[str]:
    """Legal forms in one word each: what a form is called in full, and what it is called abroad."""
    text = f" {' '.join(words)} "
    for phrase, form in _phrases():
        if phrase in text:
            text = text.replace(phrase, f" {form} ")
    return text.split()


@lru_cache(maxsize=1)
def _phrases() -> tuple[tuple[str, str], ...]:
    kind = EntityKind.person
    return tuple(
        (f" {' '.join(_SPLIT.split(_folded(phrase, script_of(phrase), kind)))} ", form)
        for phrase, form in _FULL_FORMS
    )


def _with_abd(words: list[str]) -> list[str]:
    """Abd al-Rahman, Abdul Rahman and Abdurrahman are one name of one word."""
    found: list[str] = []
    position = 0
    while position < len(words):
        word = words[position]
        after = position + 1
        if word in _ABD:
            if after < len(words) - 1 and words[after] in _ARTICLES:
                after += 1
            if after < len(words) and len(words[after]) > 2:
                found.append("abd" + words[after].removeprefix("al"))
                position = after + 1
                continue
        found.append(_LINKED_ABD.sub(r"\1", word) if word.startswith("abd") else word)
        position += 1
    return found


def _without_titles(tokens: tuple[Token, ...]) -> tuple[Token, ...]:
    """Some titles are given as names too: of a name of two words none is left out."""
    kept = tuple(token for token in tokens if token.role is not TokenRole.title)
    return kept if sum(token.role is TokenRole.word for token in kept) > 1 else tokens


@lru_cache(maxsize=1 << 18)
def token_of(word: str, role: TokenRole, is_abjad: bool = False) -> Token:
    """The one object of a word in a role, so that what is known of it is found by identity."""
    return Token(word, role, sound_of(word), bones_of(word), is_abjad)


def _role(word: str, kind: EntityKind) -> TokenRole:
    if word.isdigit():
        return TokenRole.number
    if kind is not EntityKind.person and word in _FORM_OF:
        return TokenRole.form
    if kind is not EntityKind.organization and word in _TITLES:
        return TokenRole.title
    if kind is EntityKind.vessel and word in _VESSEL_TITLES:
        return TokenRole.title
    # "y", "e" and "i" join the words of a firm's name, and are initials in a person's.
    if word in _PARTICLES and (len(word) > 1 or kind is EntityKind.organization):
        return TokenRole.particle
    if len(word) == 1:
        return TokenRole.initial
    return TokenRole.word


def form_of(word: str) -> str | None:
    """The class of a legal form, the same for what is the same abroad."""
    return _FORM_OF.get(word) or (word if word in _FORMS else None)


def sound_of(word: str) -> str:
    """The consonants of a word by class, doubled ones once; a vowel in front is one vowel."""
    head = "a" if word[:1] in _VOWELS else ""
    for letters, sound in _SOUNDS:
        word = word.replace(letters, sound)
    return head + _once("".join(each for each in word if each not in _VOWELS))


def bones_of(word: str) -> str:
    """The letters that an alphabet without vowels writes: no w or y but in front, no h at the end.

    Sounds that Arabic has and Latin writes in many ways are one.
    """
    head = "a" if word[:1] in "aeiou" else word[:1] if word[:1] in "wy" else ""
    for letters, sound in _SOUNDS:
        word = word.replace(letters, sound)
    body = "".join(each for each in word[bool(head) :] if each not in _VOWELS + "v")
    body = body.translate(_BONES)
    return head + _once(body.removesuffix("h") if len(body) > 1 else body)


_BONES = str.maketrans({"p": "b", "J": "j", "x": "k", "z": "s", "c": "s", "C": "j"})


def _once(text: str) -> str:
    return "".join(each for before, each in zip(" " + text, text, strict=False) if each != before)
