"""Sign-ins: when they end, what is counted, and what a browser says of itself."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from sakk.core.errors import ParameterInvalid
from sakk.core.invitation import GOOD_FOR, Invitation, is_open
from sakk.core.membership import Membership, roles_in
from sakk.core.sign_in import (
    IDLE_MAX,
    LOCKED_FOR,
    LOCKED_FOR_MAX,
    SIGN_IN_MAX,
    STEP_UP_FOR,
    TRIES_KEPT_FOR,
    TRIES_MAX,
    SignIn,
    Tries,
    check_password,
    clean_user_agent,
    counted,
    csrf_token,
    device,
    is_live,
    is_locked,
    is_stepped_up,
    token_hash,
    tries_name,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
HERE = SignIn(
    id="sgn_1",
    person="per_1",
    livemode=False,
    token_hash=token_hash("token"),
    method="passkey",
    user_agent="Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) CriOS/150.0 Safari/604.1",
    address="203.0.113.7",
    account_id=None,
    created=NOW,
    seen_at=NOW,
    expires_at=NOW + SIGN_IN_MAX,
)


def test_a_sign_in_ends() -> None:
    assert is_live(HERE, NOW + IDLE_MAX - SECOND)
    assert not is_live(HERE, NOW + IDLE_MAX)
    used = replace(HERE, seen_at=NOW + SIGN_IN_MAX - SECOND)
    assert is_live(used, NOW + SIGN_IN_MAX - SECOND)
    assert not is_live(used, NOW + SIGN_IN_MAX)
    assert not is_live(replace(HERE, ended_at=NOW), NOW)


def test_a_proof_is_good_for_a_moment() -> None:
    assert not is_stepped_up(HERE, NOW)
    proved = replace(HERE, stepped_up_at=NOW)
    assert is_stepped_up(proved, NOW + STEP_UP_FOR - SECOND)
    assert not is_stepped_up(proved, NOW + STEP_UP_FOR)


def test_tokens_and_what_follows_from_them() -> None:
    assert len(token_hash("token")) == 32
    assert csrf_token("token") != csrf_token("other")
    assert len(csrf_token("token")) == 64


def test_tries_are_counted_by_person_and_network_together() -> None:
    name = tries_name("Jane@Example.com ", "203.0.113.7", livemode=True)
    assert name == tries_name("jane@example.com", "203.0.113.99", livemode=True)
    assert name != tries_name("jane@example.com", "198.51.100.7", livemode=True)
    assert name != tries_name("jane@example.com", "203.0.113.7", livemode=False)
    assert name != tries_name("john@example.com", "203.0.113.7", livemode=True)


def test_guessing_gets_slower() -> None:
    tries: Tries | None = None
    assert not is_locked(tries, NOW)
    for failures in range(1, TRIES_MAX):
        tries = counted(tries, "name", NOW)
        assert (tries.failures, tries.locked_until) == (failures, None)
        assert not is_locked(tries, NOW)
    waits = []
    for _ in range(8):
        tries = counted(tries, "name", NOW)
        assert tries.locked_until is not None
        waits.append(tries.locked_until - NOW)
        assert is_locked(tries, NOW)
        assert not is_locked(tries, tries.locked_until)
    assert waits[:3] == [LOCKED_FOR, 2 * LOCKED_FOR, 4 * LOCKED_FOR]
    assert waits[-1] == LOCKED_FOR_MAX
    assert counted(tries, "name", NOW + TRIES_KEPT_FOR + SECOND).failures == 1


@pytest.mark.parametrize(
    ("user_agent", "shown"),
    [
        (HERE.user_agent, "Chrome, iPhone"),
        (
            "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
            "Firefox, Linux",
        ),
        ("Mozilla/5.0 (Windows NT 10.0) AppleWebKit Chrome/150.0 Edg/150.0", "Edge, Windows"),
        ("Lynx on Linux", "Linux"),
        ("curl/8.5.0", "curl"),
        ("", "?"),
    ],
)
def test_what_a_browser_calls_itself(user_agent: str, shown: str) -> None:
    assert device(user_agent) == shown
    assert replace(HERE, user_agent=user_agent).device == shown


def test_a_browsers_name_is_kept_short_and_printable() -> None:
    assert clean_user_agent(None) == ""
    assert clean_user_agent("a\x00b\u202ec" + "d" * 400) == "abc" + "d" * 297


def test_an_invitation_is_open_once_and_for_a_while() -> None:
    made = Invitation("inv_1", False, "per_1", "welcome", b"", "per_2", NOW, NOW + GOOD_FOR)
    assert is_open(made, NOW + GOOD_FOR - SECOND)
    assert not is_open(made, NOW + GOOD_FOR)
    assert not is_open(replace(made, used_at=NOW), NOW)
    assert not is_open(replace(made, revoked_at=NOW), NOW)


def test_roles_in_an_account() -> None:
    own = [Membership("per_1", "acct_a", False, ["finance"], "per_2", NOW)]
    assert roles_in(own, "acct_a") == ["finance"]
    assert roles_in(own, "acct_b") == []
    assert roles_in(own, None) == []


def test_passwords_that_can_be_guessed() -> None:
    check_password("correct horse battery", "Jane jane@example.com")
    for wrong in ("short", "a" * 257, "aaaabbbbaaaabbbb", "JANE@example.com"):
        with pytest.raises(ParameterInvalid):
            check_password(wrong, "Jane jane@example.com")


def test_a_sandboxs_link_is_a_proof_for_good() -> None:
    assert is_stepped_up(replace(HERE, method="link"), NOW + SIGN_IN_MAX)
