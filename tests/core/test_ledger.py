"""Numbers of units and accounts are the same on every machine, for ever; two worlds never meet."""

import uuid

import pytest

from sakk.core.ledger import (
    LEDGER_MAX,
    account_id,
    is_charts,
    is_uuid,
    ledger_of_unit,
    operator_unit,
    shown_id,
    stored_id,
    transfer_id,
    unit_id,
)


def test_numbers_are_fixed_for_ever() -> None:
    assert unit_id("usdc") == 0x70CBDEFC0FFFE65A
    assert account_id("custody:hot#usdc") == 0x25B924E42DCDCBF01F0E73D6CDA7C0FF
    # This name's hash has the bit that the chart's ids keep clear.
    assert account_id("fee:revenue#usdc") == 0x14E58DBBBE0A30AD3093697433D9F6E2
    assert transfer_id("pin_1", "post", leg=0, attempt=0) == 0x896E4E850ED7002B35B2C050201C43F7


def test_names_and_shards_differ() -> None:
    assert unit_id("usdc") != unit_id("test/usdc")
    assert account_id("a") != account_id("a", shard=1)
    assert 0 < unit_id("eur") < 2**63


def test_what_flows_make_is_never_what_a_caller_may_name() -> None:
    names = [f"merchant:acct_{number}:available#usdc" for number in range(64)]
    made = [account_id(name) for name in names]
    made += [transfer_id(name, "post", leg=leg, attempt=0) for name in names for leg in range(2)]
    assert all(is_charts(identifier) and not is_uuid(identifier) for identifier in made)
    assert all(unit_id(name) < 2**63 <= operator_unit(1, livemode=True) for name in names)


@pytest.mark.parametrize("made", [uuid.uuid1, uuid.uuid4, lambda: uuid.uuid5(uuid.uuid4(), "a")])
def test_every_uuid_has_a_place_in_each_mode(made: object) -> None:
    assert callable(made)
    value = made().int
    assert is_uuid(value)
    live, test = (stored_id(value, livemode=livemode) for livemode in (True, False))
    assert live == value != test
    assert shown_id(live) == shown_id(test) == value
    assert not is_charts(live)
    assert not is_charts(test)
    # A caller can not name test's id of an id: it is no UUID.
    assert not is_uuid(test)


@pytest.mark.parametrize("value", [0, 1, account_id("a"), 2**128 - 1])
def test_what_is_no_uuid_stands_for_itself(value: int) -> None:
    assert not is_uuid(value)
    assert stored_id(value, livemode=True) == stored_id(value, livemode=False) == value


@pytest.mark.parametrize("ledger", [1, 700, LEDGER_MAX])
def test_ledgers_have_units_of_their_own_in_each_mode(ledger: int) -> None:
    live, test = (operator_unit(ledger, livemode=livemode) for livemode in (True, False))
    assert live != test
    assert 2**63 < live < 2**63 + 2**62 < test < 2**64
    assert ledger_of_unit(live) == ledger_of_unit(test) == ledger


def test_no_ledger_is_no_unit() -> None:
    assert operator_unit(0, livemode=True) == operator_unit(0, livemode=False) == 0
    assert ledger_of_unit(unit_id("usdc")) is None
