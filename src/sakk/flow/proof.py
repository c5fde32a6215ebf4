"""Proofs: how a person shows who they are, or that they are still there."""

from dataclasses import replace

from sakk.core.person import Actor
from sakk.core.sign_in import SignInMethod
from sakk.flow import sign_in as sign_ins
from sakk.flow.context import Parts
from sakk.flow.sign_in import SignedIn
from sakk.flow.step_up import StepUp, check, count_try
from sakk.store import person as persons
from sakk.store import sign_in as store


def step_up(parts: Parts, signed_in: SignedIn, *, code: str) -> tuple[SignedIn, str]:
    """The sign-in of who proved to be there, and its new token; StepUpFailed, RateLimited.

    The code is used up, and the token that was there before is worth nothing.
    """
    sign_in, person = signed_in.sign_in, signed_in.person
    given = StepUp(code=code)
    count_try(parts, Actor(sign_in.id, person.id), given, livemode=person.livemode)
    now = parts.clock()
    with parts.database.begin() as connection:
        locked = persons.find(connection, person.id, livemode=person.livemode, lock=True)
        assert locked is not None
        check(parts, connection, locked, given, message=None, now=now)
        proved = {"stepped_up_at": now, "step_up_method": SignInMethod.code.value}
        store.change(connection, sign_in.id, proved)
        token = sign_ins.rotate(connection, sign_in)
    stepped_up = replace(sign_in, stepped_up_at=now, step_up_method=SignInMethod.code.value)
    return replace(signed_in, sign_in=stepped_up), token
