"""Step-up at the console: a form that moves money carries a proof that the person is there.

It is good for five minutes and for this sign-in alone, which gets another token by it. What was
sent goes along through the page that asks for it, its files in base64: nothing of it is kept here.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass, replace
from typing import Any, Final

from sakk.console.route import ROOT, Screen
from sakk.console.visit import Data, Visit
from sakk.core.errors import InvalidRequest, UnexpectedState
from sakk.core.passkey import Purpose
from sakk.core.role import OWN
from sakk.core.sign_in import csrf_token
from sakk.flow import passkey as passkeys
from sakk.flow import proof as flow
from sakk.pages.form import Upload, Values
from sakk.store import passkey as store

CODE: Final = "_code"
PASSKEY: Final = "_passkey"
FILE: Final = "_file."
# A larger file is chosen again after the proof.
FILE_BYTES_MAX: Final = 4 << 20
OPTIONS: Final = f"{ROOT}/step-up/options"


@dataclass(frozen=True, slots=True)
class Proof:
    """A one-time code, or what a passkey answered (JSON)."""

    code: str | None
    passkey: str | None


def kept(given: Values) -> list[tuple[str, str]]:
    """A form's fields as the page that asks for a proof carries them."""
    found = []
    for name, value in given.items():
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, str):
                found.append((name, each))
            elif len(each.content) <= FILE_BYTES_MAX:
                content = urlsafe_b64encode(each.content).decode()
                found.append((FILE + name, f"{content}:{each.name}"))
    return found


def read_proof(given: Values) -> tuple[Proof | None, Values]:
    """The proof in a form, if there is one, and the rest of it, with the files that it carries."""
    code, passkey = (
        value if isinstance(value, str) else None for value in (given.get(CODE), given.get(PASSKEY))
    )
    rest: Values = {}
    for name, value in given.items():
        if name.startswith(FILE):
            carried = value if isinstance(value, list) else [value]
            files = [_read_file(each) for each in carried if isinstance(each, str)]
            if files:
                rest[name.removeprefix(FILE)] = files[0] if len(files) == 1 else [*files]
        elif name not in (CODE, PASSKEY):
            rest[name] = value
    return (None if code is None and passkey is None else Proof(code, passkey)), rest


def _read_file(carried: str) -> Upload:
    content, _, name = carried.partition(":")
    try:
        return Upload(name, urlsafe_b64decode(content))
    except ValueError:
        raise InvalidRequest("A file did not come back whole. Choose it again.") from None


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
