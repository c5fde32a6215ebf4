"""Proposals: how a second person says yes at the console to what a page showed."""

from typing import Annotated

from pydantic import Field

from sakk.console.visit import Visit
from sakk.flow.word import Word
from sakk.pages.form import Form


class ConfirmForm(Form):
    """The digest of what was shown."""

    digest: Annotated[str, Field(max_length=64)]


def yes_to(visit: Visit, form: ConfirmForm) -> Word:
    """The person's word on what has this digest."""
    return Word(visit.actor, visit.step_up, form.digest)
