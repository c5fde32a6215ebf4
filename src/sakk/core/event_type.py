"""A type of event: what it tells, and who may see it. `sakk.core.event` registers them all."""

from typing import Literal, NamedTuple

Audience = Literal["merchant", "operator"]


class EventType(NamedTuple):
    """One line of the registry; ``noun`` is the kind of object that ``data.object`` holds."""

    description: str
    audience: Audience
    noun: str


EVENT_TYPES: dict[str, EventType] = {}


def register(noun: str, verb: str, description: str, audience: Audience = "merchant") -> str:
    """Add a type; its name, ``noun.verb``."""
    name = f"{noun}.{verb}"
    if name in EVENT_TYPES:
        raise ValueError(f"event type registered twice: {name}")
    EVENT_TYPES[name] = EventType(description, audience, noun)
    return name
