"""Regimes: choosing one for a mode, and reading the one in force."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from sakk.core import event
from sakk.core.errors import ParameterInvalid
from sakk.core.event import NewEvent
from sakk.core.ivms101 import Person, read, require, write
from sakk.core.network import Currency
from sakk.core.regime import NONE, Choice, Regime, preset, public_choice, read_regime
from sakk.store import event as events
from sakk.store import network
from sakk.store import regime as store


def choose(
    connection: Connection,
    wanted: str | Mapping[str, Any],
    institution: Mapping[str, Any] | None,
    *,
    identifier: str,
    livemode: bool,
    chosen_by: str | None,
    now: datetime,
) -> Choice:
    """Put a regime in force: a preset by its name, one that is written out, or ``none``.

    ``institution``: who we are, as IVMS101; None keeps what was said before. Transfers that wait
    already are judged by it when something of them is told. Raises ParameterInvalid.
    """
    before = store.find_active(connection, livemode=livemode)
    if institution is None and before is not None:
        institution = before.institution
    ours = None if institution is None else _institution(institution, now)
    regime = None if wanted == NONE else _regime(connection, wanted)
    if regime is not None and ours is None:
        raise ParameterInvalid(
            "Say who you are with institution: an IVMS101 person, which other institutions are"
            " told.",
            param="institution",
        )
    choice = Choice(
        id=identifier,
        livemode=livemode,
        name=NONE if regime is None else regime.name,
        regime=None if regime is None else regime.model_dump(mode="json"),
        institution=None if ours is None else write(ours),
        chosen_by=chosen_by,
        created=now,
    )
    store.insert(connection, choice)
    told = NewEvent(
        account_id=None,
        livemode=livemode,
        type=event.TRAVEL_RULE_REGIME_CHOSEN,
        object_id=choice.id,
        object=public_choice(choice),
    )
    events.append(connection, [told], now=now)
    return choice


def in_force(connection: Connection, *, livemode: bool) -> tuple[Regime, Person] | None:
    """The regime that was chosen for a mode, and who we are; None where none applies."""
    choice = store.find_active(connection, livemode=livemode)
    if choice is None or choice.regime is None or choice.institution is None:
        return None
    return read_regime(choice.regime), read(Person, choice.institution, param="institution")


def _regime(connection: Connection, wanted: str | Mapping[str, Any]) -> Regime:
    if not isinstance(wanted, str):
        return read_regime(wanted)
    found = network.list_currencies(connection)
    return preset(
        wanted,
        {each.currency: each.decimals for each in found},
        dollars={each.currency for each in found if _is_dollar(each)},
    )


def _is_dollar(currency: Currency) -> bool:
    return currency.usd_numerator is not None and (
        currency.usd_numerator == currency.usd_denominator
    )


def _institution(document: Mapping[str, Any], now: datetime) -> Person:
    person = read(Person, dict(document), param="institution")
    return require(person, today=now.date(), param="institution")
