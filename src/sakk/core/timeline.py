"""The way of a pay-in as people read it: seen, confirmed, screened, posted, notified, swept.

Where screening holds it nobody but the operator reads why: it is under review, and later it was
accepted or declined.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from sakk.core.payin import PayIn, PayInStatus


class StepName(StrEnum):
    """A step of the way, in its order."""

    seen = "seen"
    confirmed = "confirmed"
    screened = "screened"
    posted = "posted"
    notified = "notified"
    swept = "swept"


class StepState(StrEnum):
    """Where a step stands. ``review``: a person looks. ``stopped``: the way ended here."""

    done = "done"
    current = "current"
    review = "review"
    ahead = "ahead"
    stopped = "stopped"


@dataclass(frozen=True, slots=True)
class Step:
    """One step, with the time at which it was done where that is known."""

    name: StepName
    state: StepState
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class After:
    """What followed the posting: when the last endpoint took its event, and the collection.

    ``is_told``: there are endpoints to tell. ``was_told``: all of them took it.
    """

    is_told: bool = False
    was_told: bool = False
    told_at: datetime | None = None
    swept_at: datetime | None = None


_ORDER: Final = tuple(StepName)
# Where a pay-in of a status stands: the step, and how.
_AT: Final[dict[PayInStatus, tuple[StepName, StepState]]] = {
    PayInStatus.seen: (StepName.confirmed, StepState.current),
    PayInStatus.confirmed: (StepName.screened, StepState.current),
    PayInStatus.held: (StepName.screened, StepState.review),
    PayInStatus.screened: (StepName.posted, StepState.current),
    PayInStatus.posted: (StepName.notified, StepState.current),
    PayInStatus.released: (StepName.notified, StepState.current),
    PayInStatus.returned: (StepName.screened, StepState.stopped),
    PayInStatus.seized: (StepName.screened, StepState.stopped),
    PayInStatus.orphaned: (StepName.confirmed, StepState.stopped),
    PayInStatus.reversed: (StepName.posted, StepState.stopped),
}


def timeline(payin: PayIn, after: After) -> Sequence[Step]:
    """The steps of a pay-in as it stands. What nobody is told of has no step for it."""
    name, state = _AT[PayInStatus(payin.status)]
    times = {
        StepName.seen: payin.created,
        StepName.confirmed: payin.confirmed_at,
        StepName.screened: payin.screened_at,
        StepName.posted: payin.posted_at,
    }
    steps = []
    for each in _ORDER[:4]:
        if _ORDER.index(each) < _ORDER.index(name):
            steps.append(Step(each, StepState.done, times[each]))
        elif each is name:
            steps.append(Step(each, state))
        else:
            steps.append(Step(each, StepState.ahead))
    is_over = name is StepName.notified
    if after.is_told:
        waiting = StepState.current if is_over else StepState.ahead
        told = StepState.done if after.was_told and is_over else waiting
        steps.append(Step(StepName.notified, told, after.told_at if after.was_told else None))
    swept = StepState.ahead if after.swept_at is None else StepState.done
    steps.append(Step(StepName.swept, swept, after.swept_at))
    return steps
