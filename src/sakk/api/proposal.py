"""Proposals: how a second person says yes over the API to what another proposed."""

from sakk.api.context import Context
from sakk.api.parameters import Parameters
from sakk.api.person import Code, Hash
from sakk.flow.step_up import StepUp
from sakk.flow.word import Word


class Confirmation(Parameters):
    """The ``digest`` of what was shown, and a fresh ``code`` of the person who says yes."""

    digest: Hash
    code: Code | None = None


def yes_to(context: Context, body: Confirmation) -> Word:
    """The caller's word on what has this digest."""
    return Word(context.actor, StepUp(code=body.code), body.digest)
