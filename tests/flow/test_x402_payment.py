"""Payments by ``exact``: carried out once, told once, and what goes wrong on the way."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from eth_account import Account
from tests.chain import Chain
from tests.core.x402ing import body
from tests.flow.conftest import MakeWorld
from tests.flow.harness import World
from tests.flow.paying import Till, shown
from tests.rails.lying_node import lying_node

from sakk.core.evm import checksum_address
from sakk.core.permit2 import EXACT_PROXY, PERMIT2
from sakk.core.sender import TreasuryRole
from sakk.core.transaction import ChainTransaction
from sakk.core.x402 import Reason, Settled, read_request
from sakk.flow.facilitator import Asked, Waiting
from sakk.signing.policy import load_policy, write_policy
from sakk.store.address import list_captors, put_treasury
from sakk.store.x402_resource import find


@pytest.fixture
def till(world: World) -> Till:
    return Till(world)


def test_a_payment_is_verified_settled_and_becomes_a_payin(world: World, till: Till) -> None:
    payload = till.authorized()
    good = till.verify(payload)
    assert (good.is_valid, good.invalid_reason) == (True, None)
    waiting = till.asked(payload)
    world.run()
    assert till.outcome(waiting) is None
    world.mine()
    world.run()
    told = till.outcome(waiting)
    assert told is not None
    assert (told.success, told.amount) == (True, "1000")
    [row] = till.rows()
    assert (row.status, row.tx_hash) == ("settled", told.transaction)
    world.finalize()
    [row] = till.rows()
    assert row.status == "posted"
    [payin] = world.payins()
    assert (payin.role, payin.tx_hash, payin.log_index) == ("receiving", row.tx_hash, row.log_index)
    assert payin.status == "posted"
    assert world.balance("usdc") == 1000
    world.check()


def settle(world: World, till: Till, *waiting: Waiting) -> list[Settled | None]:
    """Build, sign and send, mine one block, and see what those who wait are told."""
    world.run()
    world.mine()
    world.run()
    return [till.outcome(each) for each in waiting]


def captures(world: World) -> list[ChainTransaction]:
    return [row for row in world.transactions() if row.purpose == "capture"]


def test_of_six_copies_one_is_good_and_one_is_settled(world: World, till: Till) -> None:
    payload = till.authorized()
    with ThreadPoolExecutor(6) as threads:
        verified = list(threads.map(lambda _: till.verify(payload), range(6)))
        assert sorted(each.is_valid for each in verified) == [False] * 5 + [True]
        assert {each.invalid_reason for each in verified} == {None, Reason.nonce_used.value}
        begun = list(threads.map(lambda _: till.begin(payload), range(6)))
    [waiting] = [each for each in begun if isinstance(each, Waiting)]
    others = [each for each in begun if isinstance(each, Settled)]
    assert {each.error_reason for each in others} == {Reason.nonce_used.value}
    [told] = settle(world, till, waiting)
    assert told is not None
    assert told.success
    # It is told once, and a copy afterwards learns that it was used.
    assert till.outcome(waiting) is None
    again = till.begin(payload)
    assert (again.success, again.error_reason) == (False, Reason.nonce_used.value)
    assert not till.verify(payload).is_valid
    [sent] = captures(world)
    world.finalize()
    assert [row.succeeded for row in captures(world)] == [True]
    assert sent.token_amount == 1000
    assert world.balance("usdc") == 1000


def test_many_go_in_one_transaction_and_one_that_fails_stops_no_other(
    world: World, till: Till
) -> None:
    payloads = [till.authorized(units) for units in (1, 20, 300)]
    stranger = Account.from_key("0x" + "31" * 32)
    # Funded when it was built, and gone before it is mined.
    fund(world, stranger.address, 4_000)
    poor = till.authorized(4_000, key=stranger.key.hex())
    waiting = [till.asked(each, units) for each, units in zip(payloads, (1, 20, 300), strict=True)]
    late = till.asked(poor, 4_000)
    world.run_except("transaction.broadcast")
    [built] = captures(world)
    assert built.token_amount == 4_321
    wallet = world.chain.wallet("0x" + "31" * 32)
    world.chain.rpc.call("anvil_setBalance", stranger.address, hex(10**18))
    wallet.transfer(world.contract("usdc"), checksum_address(till.payer), 4_000)
    world.mine()
    told = settle(world, till, *waiting)
    assert [each is not None and each.success for each in told] == [True] * 3
    assert till.outcome(late) is None
    world.finalize()
    failed = till.outcome(late)
    assert failed is not None
    assert (failed.success, failed.error_reason) == (False, Reason.failed.value)
    [row] = captures(world)
    assert (row.succeeded, row.status) == (True, "posted")
    assert world.balance("usdc") == 321
    assert sum(each.token_amount for each in till.rows(status="posted")) == 321
    assert sum(each.token_amount for each in world.payins()) == 321
    world.check()


def test_garbage_takes_nobodys_nonce(world: World, till: Till) -> None:
    good = till.authorized()
    forged = {**good, "signature": "0x" + "11" * 64 + "1b"}
    other = till.authorized(key="0x" + "55" * 32)
    stolen = {**other, "authorization": {**other["authorization"], "from": till.payer}}
    for bad in (forged, stolen, {**good, "signature": "0x"}, {**good, "signature": "0x1234"}):
        assert not till.verify(bad).is_valid
        answer = till.begin(bad)
        assert isinstance(answer, Settled)
        assert not answer.success
    assert till.rows() == []
    assert till.verify(good).is_valid


def test_each_refusal_has_its_official_reason(world: World, till: Till) -> None:
    now = int(world.clock().timestamp())
    broke = "0x" + "51" * 32
    cases: list[tuple[Any, dict[str, Any], Reason]] = [
        (till.authorized(validBefore=str(now + 3)), {}, Reason.expired),
        (till.authorized(validAfter=str(now + 60)), {}, Reason.not_yet_valid),
        (till.authorized(), {"network": "eip155:1"}, Reason.invalid_network),
        (till.authorized(), {"asset": "0x" + "77" * 20}, Reason.asset_unknown),
        (till.authorized(), {"units": 1001}, Reason.value_mismatch),
        (till.authorized(), {"extra": {}}, Reason.missing_domain),
        (till.authorized(), {"extra": {"name": "USD", "version": "2"}}, Reason.name_mismatch),
        (till.authorized(domain=("USD", "2")), {}, Reason.invalid_signature),
        (till.authorized(network="eip155:1"), {}, Reason.invalid_signature),
        (till.authorized(key=broke), {}, Reason.insufficient_balance),
        (till.authorized(to="0x" + "78" * 20), {}, Reason.recipient_mismatch),
        (till.permitted(key=broke), {}, Reason.insufficient_balance),
        (till.permitted(), {}, Reason.permit2_allowance),
    ]
    for payload, wanted, reason in cases:
        verified = till.verify(payload, wanted.pop("units", 1000), **wanted)
        assert verified.invalid_reason == reason.value, verified
    assert till.rows() == []
    elsewhere = till.authorized(to="0x" + "78" * 20)
    refused = till.verify(elsewhere, payTo="0x" + "78" * 20)
    assert refused.invalid_reason == Reason.recipient_mismatch.value
    anyone = Till(world, any_recipient=True)
    assert anyone.verify(elsewhere, payTo="0x" + "78" * 20).is_valid


def test_coins_are_not_promised_twice(world: World, till: Till) -> None:
    key = "0x" + "32" * 32
    fund(world, Account.from_key(key).address, 1_500)
    first, second = (till.authorized(key=key) for _ in range(2))
    assert till.verify(first).is_valid
    assert till.verify(second).invalid_reason == Reason.insufficient_balance.value
    # What was refused before anything was sent may be tried again.
    fund(world, Account.from_key(key).address, 500)
    assert till.verify(second).is_valid


def test_a_payer_on_a_list_is_declined_and_nobody_told_why(world: World, till: Till) -> None:
    payload = till.authorized()
    assert till.verify(payload).is_valid
    world.import_list(till.payer)
    late = till.begin(payload)
    assert (late.success, late.error_reason) == (False, Reason.declined.value)
    told = till.verify(till.authorized())
    assert (told.is_valid, told.invalid_reason) == (False, Reason.declined.value)
    assert "sanction" not in shown(told).lower()
    world.run()
    assert captures(world) == []


def test_a_retry_is_told_from_a_copy_by_its_key(world: World, till: Till) -> None:
    payload = till.authorized()
    waiting = till.asked(payload, key="call 1")
    assert till.asked(payload, key="call 1") == waiting
    for key in ("call 2", None):
        assert till.begin(payload, key=key).error_reason == Reason.nonce_used.value
    [told] = settle(world, till, waiting)
    assert told is not None
    assert told.success
    assert till.begin(payload, key="call 1") == told
    assert till.begin(payload, key="call 2").error_reason == Reason.nonce_used.value


def test_an_unclear_outcome_is_held_and_never_signed_again(world: World, till: Till) -> None:
    payload = till.authorized()
    waiting = till.asked(payload)
    world.run()
    pending = till.facilitator.give_up(waiting.payment, is_there=True)
    [sent] = captures(world)
    assert (pending.success, pending.error_reason) == (False, Reason.pending.value)
    assert pending.transaction == sent.hash
    # The next one takes the waiting over, and only one of them does.
    again = till.asked(payload)
    assert till.begin(payload).error_reason == Reason.nonce_used.value
    [told] = settle(world, till, again)
    assert told is not None
    assert (told.success, told.transaction) == (True, sent.hash)
    assert len(captures(world)) == 1


def test_who_went_away_is_told_the_next_time(world: World, till: Till) -> None:
    payload = till.authorized()
    waiting = till.asked(payload)
    world.run()
    world.mine()
    world.run()
    till.facilitator.give_up(waiting.payment, is_there=False)
    told = till.begin(payload)
    assert isinstance(told, Settled)
    assert told.success
    assert till.begin(payload).error_reason == Reason.nonce_used.value


def test_what_was_not_sent_in_time_is_called_off(world: World, till: Till) -> None:
    payload = till.authorized()
    waiting = till.asked(payload)
    told = till.facilitator.give_up(waiting.payment, is_there=True)
    assert (told.success, told.error_reason) == (False, Reason.unavailable_settle.value)
    world.run()
    assert captures(world) == []
    # The payer's coins did not move, so the same payment may be tried again.
    assert settle(world, till, till.asked(payload))[0] is not None


def test_a_reorganisation_takes_a_settled_payment_back_and_it_is_mined_again(
    world: World, till: Till
) -> None:
    waiting = till.asked(till.authorized())
    [told] = settle(world, till, waiting)
    assert told is not None
    world.chain.reorg(1)
    world.run()
    assert [row.status for row in till.rows()] == ["sent"]
    world.advance(timedelta(seconds=10))
    world.run()
    world.finalize()
    assert [row.status for row in till.rows()] == ["posted"]
    assert world.balance("usdc") == 1000
    world.check()


def test_a_node_that_is_away_is_no_verdict(make_world: MakeWorld, chain: Chain) -> None:
    with lying_node(chain.rpc_url) as node:
        world = make_world(rpc_urls=[node.url])
        till = Till(world)
        payload = till.authorized()
        assert till.verify(till.authorized()).is_valid
        node.status = 503
        away = till.verify(payload)
        assert (away.is_valid, away.invalid_reason) == (False, Reason.unavailable_verify.value)
        node.honest()
        assert till.verify(payload).is_valid


def test_permit2_goes_through_x402s_proxy(world: World, till: Till) -> None:
    approve = ("approve(address,uint256)", checksum_address(PERMIT2), 10**12)
    world.chain.payer.call_contract(world.contract("usdc"), *approve)
    world.mine()
    payload = till.permitted(2_000)
    assert till.verify(payload, 2_000).is_valid
    [told] = settle(world, till, till.asked(payload, 2_000))
    assert told is not None
    assert told.success
    [sent] = captures(world)
    assert sent.destination == EXACT_PROXY
    world.finalize()
    assert world.balance("usdc") == 2_000
    assert till.verify(payload, 2_000).invalid_reason == Reason.nonce_used.value
    world.check()


def test_several_keys_send_at_once_and_pay_nobody(world: World, till: Till) -> None:
    path = world.directory / "policy.toml"
    policy, _ = load_policy(path)
    changed = msgspec.structs.replace(policy, capture_indexes=(7, 8), capture_for_anyone=False)
    write_policy(path, changed)
    named = world.parts.signer_client().public().capture_addresses
    with world.database.begin() as connection:
        role = TreasuryRole.capture
        put_treasury(connection, named, livemode=False, now=world.clock(), role=role)
        keys = [each.address for each in list_captors(connection)]
    for each in keys:
        world.chain.rpc.call("anvil_setBalance", each, hex(10**18))
    # One permit and one authorization can not share a transaction, so each key takes one.
    approve = ("approve(address,uint256)", checksum_address(PERMIT2), 10**12)
    world.chain.payer.call_contract(world.contract("usdc"), *approve)
    world.mine()
    waiting = [till.asked(till.authorized()), till.asked(till.permitted())]
    told = settle(world, till, *waiting)
    assert [each is not None and each.success for each in told] == [True, True]
    assert {row.sender for row in captures(world)} == set(keys)
    world.finalize()
    assert world.balance("usdc") == 2_000


def fund(world: World, address: str, units: int) -> None:
    world.chain.payer.transfer(world.contract("usdc"), checksum_address(address), units)
    world.mine()


def test_what_its_own_seller_declares_is_found(world: World, till: Till) -> None:
    def asked(url: str, account: str | None) -> None:
        declared = {"bazaar": {"info": {"input": {"type": "http"}}}}
        message = body(
            till.authorized(), wanted=till.wanted(), resource={"url": url}, extensions=declared
        )
        [begun] = till.facilitator.begin([Asked(read_request(message), account_id=account)])
        assert isinstance(begun, Waiting)

    asked("https://evil.example", None)
    asked("https://other.example", world.operator)
    asked("https://shop.example", world.account)
    with world.database.begin() as connection:
        found, total = find(connection, type="http", limit=10, offset=0)
        assert find(connection, type="mcp", limit=10, offset=0) == ([], 0)
    assert ([each.resource for each in found], total) == (["https://shop.example"], 1)
