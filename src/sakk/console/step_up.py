"""Step-up at the console: a form that moves money carries a proof that the person is there.

It is good for five minutes and for this sign-in alone, which gets another token by it.
"""

from dataclasses import replace
from typing import Final

from sakk.console.visit import Visit
from sakk.core.sign_in import csrf_token
from sakk.flow import proof as flow
from sakk.pages.form import Values

CODE: Final = "_code"


def read_proof(given: Values) -> tuple[str | None, Values]:
    """The one-time code in a form, if there is one, and the rest of it."""
    code = given.get(CODE)
    rest = {name: value for name, value in given.items() if name != CODE}
    return (code if isinstance(code, str) else None), rest


def prove(visit: Visit, code: str) -> tuple[Visit, str]:
    """The visit of who proved to be there, and their new token; StepUpFailed."""
    signed_in, token = flow.step_up(visit.parts, visit.signed_in, code=code)
    return replace(visit, signed_in=signed_in, csrf=csrf_token(token)), token
