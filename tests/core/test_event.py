"""The registry of event types, and who is told of what."""

import pytest

from sakk.core import event, event_type
from sakk.core.errors import ParameterInvalid
from sakk.core.event import EVENT_TYPES, NewEvent, check_enabled_events, wants


def test_every_type_is_its_noun_and_a_verb_and_is_described() -> None:
    for name, kind in EVENT_TYPES.items():
        assert name.startswith(f"{kind.noun}.")
        assert kind.description.endswith(".")


@pytest.mark.parametrize("name", ["payin.held", "payin.seized", "screening.created", "case.opened"])
def test_what_would_tip_off_is_the_operators(name: str) -> None:
    assert EVENT_TYPES[name].audience == "operator"
    assert not wants(["*"], name)
    assert not wants(["payin.*", name], name)
    with pytest.raises(ParameterInvalid, match="not an event type"):
        check_enabled_events([name])


@pytest.mark.parametrize(
    ("enabled_events", "name", "expected"),
    [
        (["*"], "payout.confirmed", True),
        (["payout.*"], "payout.confirmed", True),
        (["payout.confirmed"], "payout.confirmed", True),
        (["payin.*", "payout.created"], "payout.confirmed", False),
        ([], "payout.confirmed", False),
        (["pay.*"], "payout.confirmed", False),
    ],
)
def test_wants(enabled_events: list[str], name: str, expected: bool) -> None:
    assert wants(enabled_events, name) is expected


def test_enabled_events_lose_duplicates_and_keep_their_order() -> None:
    assert check_enabled_events(["payout.*", "*", "payout.*"]) == ["payout.*", "*"]


@pytest.mark.parametrize(
    ("entries", "param"),
    [
        ([], "enabled_events"),
        (["payout.*", "payout.nothing"], "enabled_events[1]"),
        (["case.*"], "enabled_events[0]"),
        (["**"], "enabled_events[0]"),
        ([f"x.{number}" for number in range(event.ENABLED_EVENTS_MAX + 1)], "enabled_events"),
    ],
)
def test_enabled_events_that_are_wrong_name_the_entry(entries: list[str], param: str) -> None:
    with pytest.raises(ParameterInvalid) as raised:
        check_enabled_events(entries)
    assert raised.value.param == param


def test_an_unknown_type_is_an_error() -> None:
    with pytest.raises(ValueError, match="unknown event type"):
        NewEvent("acct_1", False, "payment_intent.exploded", "pi_1", {})
    with pytest.raises(ValueError, match="unknown event type"):
        wants(["*"], "payment_intent.exploded")


def test_a_merchants_event_needs_an_account() -> None:
    with pytest.raises(ValueError, match="needs an account_id"):
        NewEvent(None, False, event.PAYOUT_CREATED, "po_1", {})
    assert NewEvent(None, False, event.NETWORK_LAGGING, "eip155:1", {}).audience == "operator"


def test_a_type_is_registered_once() -> None:
    with pytest.raises(ValueError, match="registered twice"):
        event_type.register("payout", "created", "Again.")
