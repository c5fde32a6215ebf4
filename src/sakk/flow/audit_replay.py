"""Replay: decide old screenings again, and say where the outcome is another one.

What the lists said is read anew, in the version of the lists that was in force; the other facts
are those that were kept with the decision, under the hash that it carries; the rules are those of
its version. The same verdict for the same reasons in the same order is what has to come out.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from sakk.core.audit import canonical
from sakk.core.screening import (
    Reason,
    Screening,
    input_hash,
    reason_to_document,
    request_of,
)
from sakk.flow.context import Parts
from sakk.store import screening as store

PAGE = 500


@dataclass(frozen=True, slots=True)
class Difference:
    """A screening that comes out otherwise: the first thing that is not the same."""

    screening: str
    subject: str
    what: str


@dataclass(slots=True)
class Replay:
    """How many screenings were decided again, and which of them otherwise."""

    replayed: int = 0
    differences: tuple[Difference, ...] = ()


def chosen(
    parts: Parts,
    *,
    subject: str | None = None,
    since: datetime | None = None,
    sample: int | None = None,
) -> Iterator[Screening]:
    """The screenings of a subject, or since a time, or so many of all, oldest first."""
    if sample is not None:
        with parts.database.begin() as connection:
            yield from store.sample_screenings(connection, sample, since=since, subject=subject)
        return
    after = ""
    while True:
        with parts.database.begin() as connection:
            page = store.scan_screenings(
                connection, after=after, since=since, subject=subject, limit=PAGE
            )
        if not page:
            return
        yield from page
        after = page[-1].id


def replay(parts: Parts, screenings: Iterator[Screening], *, differences_max: int = 20) -> Replay:
    """Decide these again; ends early when too many come out otherwise.

    Raises `Unavailable` if the lists or the rules can not be read.
    """
    result = Replay()
    for screening in screenings:
        result.replayed += 1
        what = difference(parts, screening)
        if what is not None:
            found = Difference(screening.id, screening.subject, what)
            result.differences = (*result.differences, found)
            if len(result.differences) >= differences_max:
                break
    return result


def difference(parts: Parts, screening: Screening) -> str | None:
    """The first thing in which a screening comes out otherwise; None if nothing."""
    found = input_hash(request_of(screening), screening.inputs)
    if found != screening.input_hash:
        return f"its inputs have the hash {found}, not {screening.input_hash}"
    try:
        verdict, reasons = parts.screening_engine().replay(screening)
    except ValueError as error:
        return str(error)
    if verdict != screening.verdict:
        return f"it was {screening.verdict}, and is {verdict}"
    for place, (was, now) in enumerate(zip(screening.reasons, reasons, strict=False)):
        if was != now:
            return f"reason {place + 1}: {_unlike(was, now)}"
    if len(reasons) != len(screening.reasons):
        return f"it had {len(screening.reasons)} reasons, and has {len(reasons)}"
    return None


def _unlike(was: Reason, now: Reason) -> str:
    before, after = reason_to_document(was), reason_to_document(now)
    name = next(each for each in before if before[each] != after[each])
    return f"{name} was {canonical(before[name])}, and is {canonical(after[name])}"
