"""Payments that are asked about together: each has its own answer, as if it had come alone."""

from typing import Any

import pytest
from eth_account import Account
from tests.flow.harness import World
from tests.flow.paying import Till

from sakk.core.evm import checksum_address
from sakk.core.x402 import Reason, Settled
from sakk.flow.facilitator import Asked, Waiting


@pytest.fixture
def till(world: World) -> Till:
    return Till(world)


def asked(till: Till, *payloads: Any, key: str | None = None) -> list[Asked]:
    return [Asked(till.request(each), idempotency_key=key) for each in payloads]


def reasons(told: list[Any]) -> list[str | None]:
    return [
        None
        if isinstance(each, Waiting)
        else each.error_reason
        if isinstance(each, Settled)
        else each.invalid_reason
        for each in told
    ]


def test_each_has_its_own_answer(world: World, till: Till) -> None:
    listed, broke = "0x" + "61" * 32, "0x" + "62" * 32
    for key in (listed, broke):
        units = 4_000 if key == listed else 10
        to = checksum_address(Account.from_key(key).address)
        world.chain.payer.transfer(world.contract("usdc"), to, units)
    world.mine()
    world.import_list(Account.from_key(listed).address)
    good, other = till.authorized(), till.authorized()
    forged = {**till.authorized(), "signature": "0x" + "11" * 64 + "1b"}
    group = [
        *(good, good, forged, till.authorized(key=listed)),
        *(till.authorized(key=broke), other),
    ]
    expected = [
        *(None, Reason.nonce_used, Reason.invalid_signature, Reason.declined),
        *(Reason.insufficient_balance, None),
    ]
    assert reasons(till.facilitator.verify(asked(till, *group))) == expected
    # What was refused is nobody's, and what is good is reserved.
    assert [row.status for row in till.rows()] == ["reserved", "reserved"]
    fresh = till.authorized()
    begun = till.facilitator.begin(asked(till, good, good, forged, group[3], other, fresh))
    assert reasons(begun) == [
        *(None, Reason.nonce_used, Reason.invalid_signature, Reason.declined),
        *(None, None),
    ]
    world.run()
    world.mine()
    world.run()
    told = [till.outcome(each) for each in begun if isinstance(each, Waiting)]
    assert [each is not None and each.success for each in told] == [True, True, True]
    world.finalize()
    assert world.balance("usdc") == 3_000
    world.check()


def test_copies_under_one_key_are_one_settlement(till: Till) -> None:
    payload = till.authorized()
    for _ in range(2):
        first, second = till.facilitator.begin(asked(till, payload, payload, key="call"))
        assert isinstance(first, Waiting)
        assert first == second
    verified = till.authorized()
    assert till.verify(verified).is_valid
    first, second = till.facilitator.begin(asked(till, verified, verified, key="other"))
    assert isinstance(first, Waiting)
    assert first == second
    assert len(till.rows()) == 2


def test_coins_cover_those_that_came_first(world: World, till: Till) -> None:
    key = "0x" + "63" * 32
    to = checksum_address(Account.from_key(key).address)
    world.chain.payer.transfer(world.contract("usdc"), to, 2_500)
    world.mine()
    group = [till.authorized(key=key) for _ in range(3)]
    poor = Reason.insufficient_balance
    assert reasons(till.facilitator.verify(asked(till, *group))) == [None, None, poor]
    assert len(till.rows(status="reserved")) == 2


def test_another_payment_under_a_nonce_that_was_verified_is_refused(till: Till) -> None:
    payload = till.authorized()
    assert till.verify(payload).is_valid
    changed = till.authorized(nonce=payload["authorization"]["nonce"], validAfter="1")
    [told] = till.facilitator.begin(asked(till, changed))
    assert reasons([told]) == [Reason.nonce_used]
    assert [row.status for row in till.rows()] == ["reserved"]
