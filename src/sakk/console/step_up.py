"""Step-up at the console: a form that moves money carries a proof that the person is there.

It is good for five minutes and for this sign-in alone, which gets another token by it.
"""

from dataclasses import dataclass, replace
from typing import Any, Final

from sakk.console.route import ROOT, Screen
from sakk.console.visit import Data, Visit
from sakk.core.errors import UnexpectedState
from sakk.core.passkey import Purpose
from sakk.core.role import OWN
from sakk.core.sign_in import csrf_token
from sakk.flow import passkey as passkeys
from sakk.flow import proof as flow
from sakk.pages.form import Values
from sakk.store import passkey as store

CODE: Final = "_code"
PASSKEY: Final = "_passkey"
OPTIONS: Final = f"{ROOT}/step-up/options"


@dataclass(frozen=True, slots=True)
class Proof:
    """A one-time code, or what a passkey answered (JSON)."""

    code: str | None
    passkey: str | None


def read_proof(given: Values) -> tuple[Proof | None, Values]:
    """The proof in a form, if there is one, and the rest of it."""
    code, passkey = (
        value if isinstance(value, str) else None for value in (given.get(CODE), given.get(PASSKEY))
    )
    rest = {name: value for name, value in given.items() if name not in (CODE, PASSKEY)}
    return (None if code is None and passkey is None else Proof(code, passkey)), rest


def prove(visit: Visit, proof: Proof) -> tuple[Visit, str]:
    """The visit of who proved to be there, and their new token; StepUpFailed, StepUpRequired."""
    signed_in, token = flow.step_up(
        visit.parts,
        visit.signed_in,
        site=visit.settings.site,
        code=proof.code,
        passkey=proof.passkey,
    )
    return replace(visit, signed_in=signed_in, csrf=csrf_token(token)), token


def ways(visit: Visit) -> dict[str, Any]:
    """By what they can prove it."""
    with visit.database.read() as connection:
        own = store.of_person(connection, visit.person.id)
    return {
        "by_passkey": bool(own) and visit.settings.site is not None,
        "by_code": visit.person.totp_confirmed,
    }


def options(visit: Visit) -> Data:
    """What the browser asks the person's passkeys by."""
    site = visit.settings.site
    if site is None:
        raise UnexpectedState("Passkeys can not be used at this address.")
    asked = passkeys.authentication_options(
        visit.parts,
        site,
        purpose=Purpose.step_up,
        owner=visit.signed_in.sign_in.id,
        person=visit.person.id,
    )
    return Data(asked)


SCREENS = (Screen("POST", OPTIONS, options, OWN),)
