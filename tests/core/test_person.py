"""Persons: what roles may do, which codes are right once, and what can not be written."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pyotp
import pytest

from sakk.core.errors import ParameterInvalid
from sakk.core.person import (
    FAILURES_MAX,
    LOCKED_FOR,
    STEP_SECONDS,
    Actor,
    Person,
    check_details,
    check_key_hash,
    check_public_key,
    counted,
    is_locked,
    proposal_digest,
    public_person,
    totp_step,
    totp_uri,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
JANE = Person(
    id="per_1",
    livemode=False,
    name="Jane Doe",
    email="jane@example.com",
    roles=["approver"],
    state="active",
    proposal=None,
    public_key=None,
    totp_secret=b"sealed",
    totp_confirmed=True,
    totp_step=-1,
    totp_failures=0,
    totp_locked_until=None,
    proposed_by=None,
    approved_by=None,
    created=NOW,
)


def code(step_away: int, *, at: datetime = NOW) -> str:
    return pyotp.TOTP(SECRET).generate_otp(int(at.timestamp()) // STEP_SECONDS + step_away)


def test_the_secret_and_codes_are_those_of_rfc_6238() -> None:
    """Appendix B, SHA-1, the last six of its eight digits."""
    secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
    for seconds, digits in ((59, "287082"), (1_111_111_109, "081804"), (2_000_000_000, "279037")):
        moment = datetime.fromtimestamp(seconds, UTC)
        assert totp_step(secret, digits, now=moment, used=-1) == seconds // 30


@pytest.mark.parametrize(("away", "is_right"), [(-2, 0), (-1, 1), (0, 1), (1, 1), (2, 0)])
def test_a_code_is_right_a_step_early_or_late(away: int, is_right: int) -> None:
    found = totp_step(SECRET, code(away), now=NOW, used=-1)
    assert (found is not None) == bool(is_right)


@pytest.mark.parametrize("wrong", ["", "abcdef", "12345", "1234567", "٠٠٠٠٠٠"])
def test_what_is_no_code(wrong: str) -> None:
    assert totp_step(SECRET, wrong, now=NOW, used=-1) is None


def test_a_code_is_right_once() -> None:
    step = totp_step(SECRET, code(0), now=NOW, used=-1)
    assert step is not None
    assert totp_step(SECRET, code(0), now=NOW, used=step) is None
    # Nor is the one before it, which was seen over a shoulder.
    assert totp_step(SECRET, code(-1), now=NOW, used=step) is None
    assert totp_step(SECRET, code(1), now=NOW, used=step) == step + 1


def test_guessing_is_slow() -> None:
    person = JANE
    for tries in range(1, FAILURES_MAX):
        failures, locked = counted(person, NOW)
        assert (failures, locked) == (tries, None)
        person = replace(person, totp_failures=failures, totp_locked_until=locked)
        assert not is_locked(person, NOW)
    failures, locked = counted(person, NOW)
    person = replace(person, totp_failures=failures, totp_locked_until=locked)
    assert (failures, is_locked(person, NOW)) == (0, True)
    assert is_locked(person, NOW + LOCKED_FOR - timedelta(seconds=1))
    assert not is_locked(person, NOW + LOCKED_FOR)


def test_two_keys_of_a_person_are_one() -> None:
    assert Actor("key_1", "per_1").name == Actor("key_2", "per_1").name == "per_1"
    assert Actor("key_1").name == Actor("key_2").name == "operator"
    assert Actor("key_1", "per_1").signature == "per_1/key_1"
    assert Actor("key_1").signature == "key_1"


def test_what_an_app_reads() -> None:
    uri = totp_uri(SECRET, "jane@example.com")
    assert uri.startswith("otpauth://totp/Sakk:jane%40example.com?")
    assert f"secret={SECRET}" in uri


@pytest.mark.parametrize(
    ("name", "email", "param"),
    [
        ("", "a@b", "name"),
        ("a\n", "a@b", "name"),
        ("x" * 101, "a@b", "name"),
        ("Jane", "jane", "email"),
        ("Jane", "jane@ example", "email"),
    ],
)
def test_details_that_can_not_be(name: str, email: str, param: str) -> None:
    with pytest.raises(ParameterInvalid) as caught:
        check_details(name, email)
    assert caught.value.param == param
    check_details("Jane", "jane@example.com")


def test_hashes_and_public_keys() -> None:
    right = "0a" * 32
    assert (check_key_hash(right), check_public_key(right)) == (right, right)
    for wrong in (right.upper(), right[1:], ""):
        with pytest.raises(ParameterInvalid):
            check_key_hash(wrong)
        with pytest.raises(ParameterInvalid):
            check_public_key(wrong)


def test_what_is_shown_holds_no_secret() -> None:
    proposal: dict[str, Any] = {
        "by": "per_2",
        "roles": ["admin"],
        "key_hash": "ab",
        "key_last4": "cdef",
    }
    shown = public_person(replace(JANE, proposal=proposal))
    assert shown["proposal"] == {
        "by": "per_2",
        "roles": ["admin"],
        "new_key": True,
        "public_key": None,
        "resets": False,
        "digest": proposal_digest(replace(JANE, proposal=proposal)),
    }
    assert shown["second_factor"] is True
    assert "sealed" not in repr(shown)
    assert public_person(JANE)["proposal"] is None
    proposals = [
        proposal,
        proposal | {"by": "per_3"},
        proposal | {"roles": ["viewer"]},
        proposal | {"key_hash": "ac"},
        proposal | {"public_key": "ad"},
        proposal | {"resets": True},
    ]
    assert proposal_digest(JANE) is None
    digests = {proposal_digest(replace(JANE, proposal=each)) for each in proposals}
    assert len(digests) == len(proposals)


def test_who_owns_administers_too_and_who_stands_in_accounts_has_no_power() -> None:
    assert replace(JANE, roles=["owner"]).powers == {"owner", "admin"}
    assert replace(JANE, roles=[]).powers == frozenset()
