"""What stands in a charge's ids and records."""

import pytest

from sakk.core import charge
from sakk.core.charge import Op, Operation, Reason, Result, Step
from sakk.core.ledger import is_charts
from sakk.core.session import NONCE_MAX

HANDLE_MAX = (1 << 62) - 1
SESSION = bytes(range(16))
RESERVE = Operation(Op.reserve, SESSION, 7, 1_000, 60, b"\x01" * 32, b"\x02" * 32, b"usdc", 0)


@pytest.mark.parametrize("handle", [0, 1, HANDLE_MAX])
@pytest.mark.parametrize("nonce", [0, 1, NONCE_MAX])
def test_ids_are_read_back_and_are_the_charts(handle: int, nonce: int) -> None:
    found = {charge.charge_id(handle, nonce, step): step for step in Step}
    assert len(found) == len(Step)
    for identifier, step in found.items():
        assert charge.read_charge_id(identifier) == (handle, nonce, step)
        assert identifier >> 128 == 0
        assert is_charts(identifier)


def test_units_are_said_even_where_there_are_none() -> None:
    assert charge.units_data(0) != 0
    assert charge.read_units(charge.units_data(0)) == 0
    assert charge.read_units(charge.units_data(charge.UNITS_MAX)) == charge.UNITS_MAX


def test_operations_are_read_as_they_were_written() -> None:
    commit = RESERVE._replace(op=Op.commit, amount=400, units=4, request_hash=bytes(32))
    release = RESERVE._replace(op=Op.release)
    body = b"".join(charge.encode_operation(each) for each in (RESERVE, commit, release))
    assert len(body) == 3 * 128
    first, second, third = charge.read_operations(body)
    assert first == RESERVE._replace(currency=b"usdc".ljust(16, b"\0"))
    assert (second.op, second.amount, second.units) == (Op.commit, 400, 4)
    assert (third.op, third.units) == (Op.release, 0)
    unsaid = charge.encode_operation(RESERVE._replace(timeout_seconds=0))
    assert charge.read_operations(unsaid)[0].timeout_seconds == charge.TIMEOUT_SECONDS_DEFAULT


@pytest.mark.parametrize("length", [0, 127, 129, 128 * (charge.OPERATIONS_MAX + 1)])
def test_a_body_is_whole_and_not_too_long(length: int) -> None:
    with pytest.raises(ValueError, match="operations of 128 bytes"):
        charge.read_operations(bytes(length))


@pytest.mark.parametrize(
    ("operation", "fits"),
    [
        (RESERVE, True),
        (RESERVE._replace(nonce=NONCE_MAX), True),
        (RESERVE._replace(nonce=NONCE_MAX + 1), False),
        (RESERVE._replace(amount=0), False),
        (RESERVE._replace(amount=charge.AMOUNT_WHOLE), False),
        (RESERVE._replace(timeout_seconds=3_600), True),
        (RESERVE._replace(timeout_seconds=3_601), False),
        (RESERVE._replace(op=Op.commit), True),
        (RESERVE._replace(op=Op.commit, amount=charge.AMOUNT_WHOLE), True),
        (RESERVE._replace(op=Op.commit, amount=0), False),
        (RESERVE._replace(op=Op.release, amount=0), True),
        (RESERVE._replace(op=0), False),
        (RESERVE._replace(op=4), False),
    ],
)
def test_what_fits(operation: Operation, fits: bool) -> None:
    assert charge.is_well_formed(operation) is fits


def test_results_are_read_as_they_were_written() -> None:
    done = Result(Reason.done, b"\x03" * 20, 5, 6, b"\x04" * 32, b"\x05" * 16)
    refused = Result(Reason.nonce_used)
    body = charge.encode_result(done) + charge.encode_result(refused)
    assert len(body) == 2 * 96
    assert charge.decode_results(body) == [done, refused]
    with pytest.raises(ValueError, match="96 bytes"):
        charge.decode_results(body[:-1])


def test_a_line_has_an_id_of_its_own_and_its_events_are_read_in_order() -> None:
    committed = charge.charge_id(9, 7, Step.committed).to_bytes(16, "big")
    line = int.from_bytes(charge.line_id(committed), "big")
    assert line not in {charge.charge_id(9, 7, step) for step in Step}
    assert charge.read_charge_id(line)[:2] == (9, 7)
    reserved = charge.charge_id(9, 7, Step.reserved)
    assert charge.reservation_of(int.from_bytes(committed, "big")) == reserved
    fields = committed, (5).to_bytes(16, "little"), bytes(15) + b"\1", bytes(15) + b"\2", 3, 4, 6
    packed = charge.EVENT.pack(*fields)
    assert len(packed) == 80
    event = charge.Event(int.from_bytes(committed, "big"), 5, 1, 2, 3, 4, 6)
    assert charge.read_events(packed * 2) == [event, event]
    with pytest.raises(ValueError, match="80 bytes each, not 79"):
        charge.read_events(packed[1:])
