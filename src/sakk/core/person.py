"""Persons: the operator's people, and what each of them may do.

A person has roles. Whose API key acts is who acts: two keys of one person are one person.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

PREFIX: Final = "per"
# A rule of a policy that asks for it is satisfied by the operator's key without a person too.
OPERATOR: Final = "operator"


class Role(StrEnum):
    """What a person is there for; one may have several."""

    admin = "admin"
    treasurer = "treasurer"
    approver = "approver"
    compliance = "compliance"
    viewer = "viewer"


ROLES_THAT_APPROVE: Final = (Role.admin, Role.treasurer, Role.approver, Role.compliance)


class PersonState(StrEnum):
    """A proposed one may do nothing until another admin approves; a suspended one never again."""

    proposed = "proposed"
    active = "active"
    suspended = "suspended"


@dataclass(frozen=True, slots=True)
class Person:
    """One of the operator's people, in one mode.

    ``proposal``: what another admin has to approve, and who asked for it. ``totp_secret`` is
    sealed; ``totp_step`` the last step whose code was used. ``public_key``: Ed25519, hexadecimal.
    """

    id: str
    livemode: bool
    name: str
    email: str
    roles: list[str]
    state: str
    proposal: dict[str, Any] | None
    public_key: str | None
    totp_secret: bytes | None
    totp_confirmed: bool
    totp_step: int
    totp_failures: int
    totp_locked_until: datetime | None
    proposed_by: str | None
    approved_by: str | None
    created: datetime
