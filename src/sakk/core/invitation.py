"""Invitations: a link that is shown once, by which a person comes in for the first time.

It has 256 random bits, is good for a week and once, and does nothing for a person who was not
approved. Opening it changes nothing, so that who looks at links before people do uses none up.

Who has a link is who comes in. Among the operator's people that must not be up to one admin, who
could come in as a second person: the link is shown to the admin who made it, a code to another, and
both are needed.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

PREFIX: Final = "inv"
GOOD_FOR: Final = timedelta(days=7)
CODE_BYTES: Final = 5
# Of a code with 40 bits, after which the link is worth nothing.
FAILURES_MAX: Final = 5


class InvitationKind(StrEnum):
    """``welcome``: to choose how to sign in. ``enter``: signed in at once, in a sandbox alone."""

    welcome = "welcome"
    enter = "enter"


@dataclass(frozen=True, slots=True)
class Invitation:
    """A row."""

    id: str
    livemode: bool
    person: str
    kind: str
    token_hash: bytes
    created_by: str
    created: datetime
    expires_at: datetime
    used_at: datetime | None = None
    revoked_at: datetime | None = None
    # Where the link alone does not do: the word that another admin gives the person besides.
    needs_code: bool = False
    code_digest: bytes | None = None
    failures: int = 0


def is_open(invitation: Invitation, now: datetime) -> bool:
    """May it still be taken?"""
    return (
        invitation.used_at is None and invitation.revoked_at is None and now < invitation.expires_at
    )
