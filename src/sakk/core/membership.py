"""Memberships: the roles of a person in one account.

Who has roles everywhere is one of the operator's people; who has them in accounts alone sees and
does what they allow there, and nothing of anybody else's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sakk.core.role import Role

# What one sees of a person who may manage the people of an account.
MANAGERS: Final = frozenset({Role.owner.value, Role.admin.value})
ACCOUNTS_MAX: Final = 1_000


@dataclass(frozen=True, slots=True)
class Membership:
    """A row. ``granted_by``: the person who gave these roles."""

    person: str
    account_id: str
    livemode: bool
    roles: list[str]
    granted_by: str
    created: datetime


def roles_in(memberships: Sequence[Membership], account_id: str | None) -> list[str]:
    """Somebody's roles in an account; none where they have nothing to do."""
    return next((each.roles for each in memberships if each.account_id == account_id), [])
