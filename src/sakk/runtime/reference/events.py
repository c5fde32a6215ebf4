"""The page of events, from the registry."""

import re
from pathlib import Path

import sakk
from sakk.core import event
from sakk.core.event import EVENT_TYPES, EventType
from sakk.runtime.reference.markdown import code, page, sentence, table

# Where types are registered, each under a constant: `core/event.py` names the modules of the rest.
REGISTRIES = (event, *(each for name, each in vars(event).items() if name.endswith("_event")))


def events_page() -> str:
    """Every type of event: what happened, and who is told."""
    sent = sent_types()
    merchant = {name: kind for name, kind in EVENT_TYPES.items() if kind.audience == "merchant"}
    operator = {name: kind for name, kind in EVENT_TYPES.items() if kind.audience == "operator"}
    return page(
        "Events",
        "An event is written in the same transaction as the change that it tells of. Its body is "
        "what a webhook carries and what `GET /v1/events` lists; `data.object` is the object as it "
        "was after the change. How events are delivered: [events](../concepts/events.md).",
        '```json\n{"id": "evt_…", "object": "event", "type": "payment_intent.succeeded", '
        '"created": 1767225600,\n'
        f' "livemode": false, "api_version": "{event.API_VERSION}", "data": {{"object": {{…}}}}}}'
        "\n```",
        "## Merchants and the operator",
        "These reach the account's list, its webhook endpoints, and the operator's list.",
        _table(merchant, sent),
        "## The operator alone",
        "What would tip a suspect off, or is about the house itself. Never in a merchant's list, "
        "never in a webhook.",
        _table(operator, sent),
        "## Reserved",
        "Names that are registered for parts that are still to come. They may be subscribed to; "
        "nothing sends them yet.",
        table(
            ["type", "meaning"],
            [
                [code(name), sentence(kind.description)]
                for name, kind in EVENT_TYPES.items()
                if name not in sent
            ],
        ),
    )


def sent_types() -> set[str]:
    """The types whose constant some code outside the registry names."""
    root = Path(sakk.__path__[0])
    constants = {name: value for each in REGISTRIES for name, value in vars(each).items()}
    registries = {Path(each.__file__ or "") for each in REGISTRIES}
    names: set[str] = set()
    for path in root.rglob("*.py"):
        if path not in registries and "migrations" not in path.parts:
            names |= set(re.findall(r"\b[A-Z][A-Z_]+\b", path.read_text("utf-8")))
    values = {constants.get(name) for name in names - {"EVENT_TYPES"}}
    return {value for value in values if isinstance(value, str) and value in EVENT_TYPES}


def _table(types: dict[str, EventType], sent: set[str]) -> str:
    return table(
        ["type", "object", "meaning"],
        [
            [code(name), code(kind.noun), sentence(kind.description)]
            for name, kind in types.items()
            if name in sent
        ],
    )
