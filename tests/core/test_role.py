"""Roles: what each may do, everywhere and in one account."""

import re
from pathlib import Path

import pytest

from sakk.api.app import ROUTES
from sakk.core.errors import ParameterInvalid, PermissionDenied
from sakk.core.role import (
    ACCOUNT_ROLES,
    OPERATORS,
    OWN,
    RESOURCES,
    Role,
    check_gift,
    check_grant,
    current,
    may,
    powers,
    read_account_roles,
    read_roles,
)


@pytest.mark.parametrize(
    ("roles", "resource", "allowed"),
    [
        (["owner"], "persons", True),
        (["admin"], "persons", True),
        (["admin"], "accounts", True),
        (["finance"], "payouts", True),
        (["finance"], "persons", False),
        (["finance"], "api_keys", False),
        (["approver"], "approvals", True),
        (["approver"], "policies", True),
        (["approver"], "payouts", False),
        (["approver", "finance"], "payouts", True),
        (["compliance"], "payins", True),
        (["compliance"], "policies", False),
        (["developer"], "api_keys", True),
        (["developer"], "payouts", False),
        (["support"], "payment_links", True),
        (["support"], "refunds", False),
        (["viewer"], "approvals", False),
        (["viewer"], OWN, True),
        ([], "payouts", False),
        ([], OWN, True),
    ],
)
def test_what_roles_may_write(roles: list[str], resource: str, allowed: bool) -> None:
    assert may(roles, resource, "write") is allowed


@pytest.mark.parametrize(
    ("role", "resource", "allowed"),
    [
        ("viewer", "cases", True),
        ("developer", "cases", False),
        ("developer", "persons", False),
        ("developer", "requests", True),
        ("support", "requests", False),
        ("support", "payouts", True),
        ("support", "parties", False),
    ],
)
def test_what_roles_may_read(role: str, resource: str, allowed: bool) -> None:
    assert may([role], resource, "read") is allowed


def test_who_stands_in_an_account_sees_nothing_of_the_operators() -> None:
    for role in Role:
        for resource in OPERATORS:
            assert not may([role], resource, "read", everywhere=False)
            assert not may([role], resource, "write", everywhere=False)
    assert may(["owner"], "payouts", "write", everywhere=False)
    assert may(["viewer"], "home", "read", everywhere=False)
    assert not may([], "home", "read", everywhere=False)


def test_a_word_that_the_table_does_not_have_is_nobodys() -> None:
    with pytest.raises(KeyError):
        may(["owner"], "teapots", "read")


def test_the_table_has_every_word_of_the_api() -> None:
    assert {route.resource for route in ROUTES} <= RESOURCES


def test_a_treasurer_is_finance_now() -> None:
    assert (current("treasurer"), current("admin"), current("king")) == ("finance", "admin", "king")
    assert read_roles(["viewer", "treasurer", "viewer"]) == ["finance", "viewer"]


def test_roles_that_there_are() -> None:
    for roles, param in ((["admin", "king"], "roles[1]"), ([], "roles")):
        with pytest.raises(ParameterInvalid) as caught:
            read_roles(roles)
        assert caught.value.param == param
    assert read_account_roles(list(ACCOUNT_ROLES)) == sorted(ACCOUNT_ROLES)
    for role in ("compliance", "approver"):
        with pytest.raises(ParameterInvalid):
            read_account_roles([role])


def test_an_owner_is_an_admin_too() -> None:
    assert powers(["owner"]) == {"owner", "admin"}
    assert powers(["viewer"]) == {"viewer"}


def test_owners_are_made_by_owners() -> None:
    check_grant(["owner"], [], ["owner"])
    check_grant(["admin"], ["owner"], ["owner", "viewer"])
    check_grant(["admin"], [], ["admin"])
    for before, after in (([], ["owner"]), (["owner"], ["admin"])):
        with pytest.raises(PermissionDenied):
            check_grant(["admin"], before, after)


def test_nobody_gives_a_key_what_they_may_not() -> None:
    check_gift(["developer"], ["customers:write", "payouts:read"])
    check_gift(["admin"], ["payouts:write"])
    for scope in ("payouts:write", "cases:read"):
        with pytest.raises(PermissionDenied, match=scope):
            check_gift(["developer"], ["customers:write", scope])


def test_the_page_names_the_roles_that_there_are() -> None:
    page = Path(__file__).parents[2].joinpath("docs/operating/people.md").read_text("utf-8")
    rows = re.findall(r"^\| `(\w+)` \| yes \| (yes|no) \|$", page, re.MULTILINE)
    assert rows == [(role, "yes" if role in ACCOUNT_ROLES else "no") for role in Role]
