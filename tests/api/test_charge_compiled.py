"""Charges in compiled code: byte for byte what the code that is read says."""

import random
from collections.abc import Iterator

import pytest

from sakk.api import charge
from sakk.api.charge import Held, judge, outcomes, transfer_record
from sakk.api.compiled.charge import Session, ask, hash_by_machine
from sakk.core.charge import (
    AMOUNT_WHOLE,
    Op,
    Operation,
    Reason,
    encode_operation,
    encode_result,
    read_operations,
)
from sakk.core.session import call_mac

NOW = 1_000.0
AMOUNTS = [0, 1, 5, 2**64, 2**64 - 1, 2**127, AMOUNT_WHOLE - 1, AMOUNT_WHOLE]
TABLES = charge._RESERVE_TABLE, charge._END_TABLE


def held(chance: random.Random) -> Held:
    return Held(
        key=chance.randbytes(32),
        session=chance.randbytes(16),
        handle=chance.getrandbits(62),
        channel=chance.randbytes(16),
        payer=chance.randbytes(20),
        payee=chance.randbytes(16),
        payee_id=chance.choice(["acct_us", "acct_us", "acct_us", "acct_others"]),
        livemode=chance.random() < 0.9,
        currency=chance.choice([b"usdc", b"eurc"]).ljust(16, b"\0"),
        debit=chance.randbytes(16),
        credit=chance.randbytes(16),
        unit=chance.getrandbits(63),
        amount_min=chance.choice([0, 2]),
        amount_max=chance.choice([AMOUNT_WHOLE, AMOUNT_WHOLE, 2**64 - 1]),
        expires_at=chance.choice([NOW, NOW + 1, NOW + 1]),
        until=NOW,
    )


def operation(chance: random.Random, known: Held) -> Operation:
    nonce, amount = chance.getrandbits(63), chance.choice(AMOUNTS)
    request = chance.randbytes(32)
    mac = call_mac(
        known.key, known.session, nonce=nonce, amount=amount, payee=known.payee, request=request
    )
    if chance.random() < 0.1:
        mac = mac[:-1] + bytes((mac[-1] ^ 1,))
    return Operation(
        chance.choice([0, *Op, *Op, *Op, Op.reserve, 9]),
        known.session,
        nonce | chance.choice([0, 0, 0, 1 << 63]),
        amount,
        chance.choice([0, 1, 60, 3_600, 3_601]),
        request,
        mac,
        b"usdc".ljust(16, b"\0"),
        chance.choice([0, 1, 2**64 - 1]),
    )


@pytest.fixture
def by_machine(request: pytest.FixtureRequest) -> Iterator[None]:
    """Hashes are by the processor's instructions, where it has them, or by none of them."""
    hash_by_machine(request.param)
    yield
    hash_by_machine(True)


@pytest.mark.usefixtures("by_machine")
@pytest.mark.parametrize("by_machine", [True, False], indirect=True)
@pytest.mark.parametrize("seed", range(20))
def test_both_ways_ask_and_answer_the_same(seed: int) -> None:
    chance = random.Random(seed)
    known = {each.session: each for each in (held(chance) for _ in range(6))}
    body = b"".join(
        encode_operation(operation(chance, chance.choice(list(known.values()))))
        for _ in range(chance.randrange(1, 200))
    )
    slots: list[tuple[Operation, Held | None, int]] = []
    records: list[bytes] = []
    for each in read_operations(body):
        found = known[each.session]
        if found.payee_id != "acct_us" or not found.livemode:
            slots.append((each, None, Reason.session_unknown))
            continue
        reason = judge(each, found, NOW)
        slots.append((each, found, reason))
        if not reason:
            records.append(transfer_record(each, found))
    asked = ask(body, {k: Session(v) for k, v in known.items()}, "acct_us", True, NOW, *TABLES)
    assert asked is not None
    assert asked.records == b"".join(records)
    times = [chance.getrandbits(63).to_bytes(8, "little") for _ in records]
    statuses = bytes(chance.choice([0, 0, 0, 1, 40, 46, 48, 51, 60]) for _ in records)
    results = b"".join(times) + statuses
    assert asked.answer(results) == b"".join(map(encode_result, outcomes(slots, results)))
    if records:
        with pytest.raises(ValueError, match="results of 9 bytes"):
            asked.answer(results[1:])


def test_what_is_not_remembered_or_too_old_is_not_asked() -> None:
    chance = random.Random(1)
    known = held(chance)
    body = encode_operation(operation(chance, known))
    sessions = {known.session: Session(known)}
    assert ask(body, sessions, "acct_us", True, NOW, *TABLES) is not None
    assert ask(body, {}, "acct_us", True, NOW, *TABLES) is None
    assert ask(body, sessions, "acct_us", True, NOW + 1, *TABLES) is None
    with pytest.raises(ValueError, match="operations 128"):
        ask(body[1:], sessions, "acct_us", True, NOW, *TABLES)
