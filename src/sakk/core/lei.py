"""Legal Entity Identifiers (ISO 17442), and the codes of the registers that GLEIF lists.

An LEI is 18 letters and digits and two check digits: read as one number with A as 10 to Z as 35,
the remainder by 97 is 1 (ISO 7064, MOD 97-10).
"""

import re
from typing import Final

_LEI = re.compile(r"[0-9A-Z]{18}[0-9]{2}")
_AUTHORITY = re.compile(r"RA([0-9]{6})")
# Numbers below the newest that GLEIF's Registration Authorities List (2025) gives to no register.
_UNUSED: Final = frozenset(
    {0, 191, 194, 198, 211, 212, 223, 237, 248, 254, 256, 264, 265, 270, 292, 294, 312, 318, 323}
    | {326, 327, 330, 335, 340, 341, 357, 359, 360, 361, 366, 367, 380, 440, 445, 448, 450, 465}
    | {490, 491, 492, 496, 501, 505, 506, 507, 688, 724, 755, 796, 803, 859, 866, 899, 924}
)


def is_lei(text: str) -> bool:
    """Has it an LEI's form, and do its check digits hold?"""
    return _LEI.fullmatch(text) is not None and _number(text) % 97 == 1


def check_digits(first: str) -> str:
    """The two digits that make an LEI of its first 18 characters."""
    return f"{98 - _number(f'{first}00') % 97:02}"


def is_registration_authority(code: str) -> bool:
    """May GLEIF's list hold this code? The list grows: numbers above its newest are let pass."""
    found = _AUTHORITY.fullmatch(code)
    return found is not None and int(found[1]) not in _UNUSED


def _number(text: str) -> int:
    return int("".join(str(int(each, 36)) for each in text))
