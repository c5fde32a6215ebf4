"""Legal Entity Identifiers and registers."""

import pytest

from sakk.core.lei import check_digits, is_lei, is_registration_authority


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("506700GE1G29325QX363", True),  # GLEIF itself
        ("5493001KJTIIGC8Y1R12", True),  # Bloomberg Finance L.P.
        ("213800WSGIIZCXF1P572", True),  # Jaguar Land Rover
        ("506700GE1G29325QX364", False),
        ("560700GE1G29325QX363", False),  # two characters changed places
        ("506700ge1g29325qx363", False),
        ("506700GE1G29325QX36", False),
        ("506700GE1G29325QX3A3", False),
        ("", False),
    ],
)
def test_lei(text: str, good: bool) -> None:
    assert is_lei(text) is good


def test_check_digits() -> None:
    assert check_digits("506700GE1G29325QX3") == "63"
    assert is_lei("SAKK0000000000TEST" + check_digits("SAKK0000000000TEST"))
    # Digits below ten are written with their zero.
    assert {len(check_digits(f"{number:018}")) for number in range(200)} == {2}


@pytest.mark.parametrize(
    ("code", "good"),
    [
        ("RA000001", True),
        ("RA000628", True),
        ("RA777777", True),
        ("RA001200", True),
        ("RA000000", False),
        ("RA000191", False),
        ("ra000628", False),
        ("RA628", False),
    ],
)
def test_registers(code: str, good: bool) -> None:
    assert is_registration_authority(code) is good
