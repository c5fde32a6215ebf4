"""Many payouts in one transaction: each ends as its own line did, and none is paid twice."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from tests.chain import Chain
from tests.flow.conftest import MakeWorld
from tests.flow.harness import CONFIRMATIONS, WHOLE_TOKEN, World
from tests.flow.money import (
    fund_treasury,
    hold_total,
    let_pass,
    payout_now,
    rich,
    send_rpc,
    units_at,
    wei_at,
)
from tests.rails.lying_node import lying_node
from tests.screening.conftest import enact

from sakk.core import chart, evm
from sakk.core.abi import encode_address, encode_allowance, encode_uint
from sakk.core.contract import DISPERSE
from sakk.core.disperse import FAILED_TOPIC, LINES_MAX, topic_of
from sakk.core.evm import keccak256
from sakk.core.payout import Payout
from sakk.core.transaction import ChainTransaction
from sakk.flow.stage import Stage
from sakk.flow.transaction import ask
from sakk.signing.policy import load_policy, write_policy
from sakk.store.database import update_records
from sakk.store.transaction import transactions

PAID = WHOLE_TOKEN
TOLD = [
    "payout.created",
    "payout.approved",
    "payout.signed",
    "payout.broadcast",
    "payout.confirmed",
    "payout.posted",
]


def payee(place: int) -> str:
    return f"0x{0xBEEF_0000_0000 + place:040x}"


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    """A world where two payouts that are due together share a transaction."""
    return make_world(disperse_min=2)


def allowed(world: World, whole: int = 100, token: str = "usdc") -> None:
    """A rich merchant, and a treasury whose allowance stands: ordered by two payouts."""
    rich(world, whole + 2)
    first = [world.payout(PAID, address=payee(1_000 + place)) for place in range(2)]
    settle(world)
    assert statuses(world, first) == {"posted"}


def settle(world: World, rounds: int = 2) -> None:
    for _ in range(rounds):
        let_pass(world, 1)
        world.finalize()


def statuses(world: World, rows: list[Payout]) -> set[str]:
    return {payout_now(world, row).status for row in rows}


def dispersals(world: World) -> list[ChainTransaction]:
    return [row for row in world.transactions() if row.purpose == "disperse"]


def carrier(world: World, row: Payout) -> ChainTransaction:
    [found] = [
        each for each in world.transactions() if each.id == payout_now(world, row).transaction
    ]
    return found


def blacklist(world: World, address: str) -> None:
    world.chain.issuer.call_contract(world.contract("usdc"), "blacklist(address)", address)


def before_it_is_mined(world: World, row: Payout, signature: str, *arguments: str) -> None:
    """The issuer acts while the dispersal is on its way; then it is mined, and final."""
    send_rpc(world, "anvil_dropTransaction", carrier(world, row).hash)
    world.chain.issuer.call_contract(world.contract("usdc"), signature, *arguments)
    world.mine()
    let_pass(world, 6)
    world.finalize()
    let_pass(world, 1)


def set_allowance(world: World, token: str, units: int) -> None:
    """Write the treasury's allowance of our contract into the Tether-like token's storage."""
    slot = 7
    outer = keccak256(encode_address(world.treasury) + encode_uint(slot))
    place = keccak256(encode_address(DISPERSE.address) + outer)
    word = "0x" + encode_uint(units).hex()
    send_rpc(world, "anvil_setStorageAt", token, "0x" + place.hex(), word)
    world.mine()
    data = "0x" + encode_allowance(world.treasury, DISPERSE.address).hex()
    found = send_rpc(world, "eth_call", {"to": token, "data": data}, "latest")
    assert int(found, 16) == units, "the slot of the allowances is another"


def check_books(world: World) -> None:
    assert world.custody(world.native, "hot") == wei_at(world, world.treasury)
    assert world.ledger(chart.payout_in_flight("test/usdc")) == 0
    world.check()


def test_the_first_two_order_the_allowance_and_then_share_a_transaction(world: World) -> None:
    rich(world, 100)
    rows = [world.payout(PAID, address=payee(place)) for place in range(2)]
    world.run()
    [ordered] = world.transactions()
    assert (ordered.purpose, ordered.status, ordered.account_id) == ("allowance", "broadcast", None)
    assert statuses(world, rows) == {"approved"}
    assert all("allowance" in (payout_now(world, row).waits_for or "") for row in rows)
    settle(world)
    [together] = dispersals(world)
    assert statuses(world, rows) == {"posted"}
    assert [payout_now(world, row).transaction_line for row in rows] == [0, 1]
    assert {payout_now(world, row).tx_hash for row in rows} == {together.hash}
    assert (together.status, together.token_amount, together.failed_lines) == (
        "posted",
        2 * PAID,
        None,
    )
    assert together.explanation is not None
    assert f"payout {rows[1].id}: {PAID} units to {payee(1)}" in together.explanation
    for row in rows:
        assert world.event_types(about=row.id) == TOLD
        assert units_at(world, row.destination) == PAID
    assert (world.balance(), hold_total(world)) == (98 * WHOLE_TOKEN, 0)
    check_books(world)
    # The gas of both transactions is booked once.
    spent = -world.ledger(chart.fee_network("test/eth"))
    assert spent == sum(row.gas_cost or 0 for row in world.transactions())


def test_a_lone_payout_is_one_plain_transfer_at_once(world: World) -> None:
    rich(world, 100)
    row = world.payout(PAID, address=payee(0))
    world.run()
    assert statuses(world, [row]) == {"broadcast"}
    world.finalize()
    [alone] = world.transactions()
    assert (alone.purpose, alone.subject, alone.destination) == ("payout", row.id, payee(0))
    assert payout_now(world, row).transaction_line is None
    check_books(world)


def test_a_deny_listed_recipient_among_fifty_is_parked_and_fails_alone(world: World) -> None:
    # As if the issuer denied it just after it was screened: no rule asks before.
    enact(world.database)
    allowed(world)
    blacklist(world, payee(17))
    world.mine()
    rows = [world.payout(PAID, address=payee(place)) for place in range(50)]
    settle(world)
    denied = rows.pop(17)
    assert statuses(world, rows) == {"posted"}
    assert len(dispersals(world)) == 2
    assert payout_now(world, denied).status == "approved"
    assert payout_now(world, denied).alone
    for _ in range(6):
        let_pass(world, 10)
    done = payout_now(world, denied)
    assert (done.status, done.failure_code, done.hold) == (
        "failed",
        "transfer_would_fail",
        "voided",
    )
    assert "Blacklistable" in (done.failure_message or "")
    assert world.balance() == 51 * WHOLE_TOKEN
    check_books(world)


def test_one_that_is_deny_listed_after_it_was_signed_fails_by_proof(world: World) -> None:
    allowed(world)
    rows = [world.payout(PAID, address=payee(place)) for place in (0, 1, 1, 2)]
    world.run()
    assert statuses(world, rows) == {"broadcast"}
    before_it_is_mined(world, rows[0], "blacklist(address)", payee(1))
    done = [payout_now(world, row) for row in rows]
    assert [each.status for each in done] == ["posted", "failed", "failed", "posted"]
    assert {each.failure_code for each in done} == {None, "transfer_failed"}
    assert done[1].failure_message == (
        "The token did not make this transfer: Blacklistable: account is blacklisted."
    )
    assert [each.hold for each in done] == ["posted", "voided", "voided", "posted"]
    assert world.event_types(about=rows[1].id)[-1] == "payout.failed"
    assert "payout.confirmed" not in world.event_types(about=rows[1].id)
    sent = carrier(world, rows[0])
    assert (sent.status, sent.arrived_units) == ("posted", 2 * PAID)
    assert set(sent.failed_lines or {}) == {"1", "2"}
    assert (world.balance(), hold_total(world)) == (98 * WHOLE_TOKEN, 0)
    check_books(world)


def test_a_paused_token_fails_every_line_and_gives_all_back(world: World) -> None:
    allowed(world)
    rows = [world.payout(PAID, address=payee(place)) for place in range(5)]
    world.run()
    before_it_is_mined(world, rows[0], "pause()")
    assert statuses(world, rows) == {"failed"}
    assert carrier(world, rows[0]).status == "posted"
    assert (world.balance(), hold_total(world)) == (100 * WHOLE_TOKEN, 0)
    # Those that are requested meanwhile wait together, and are when the token is back.
    later = [world.payout(PAID, address=payee(place)) for place in range(2)]
    world.run()
    assert {payout_now(world, row).alone for row in later} == {False}
    assert "Each of them would fail" in (payout_now(world, later[0]).waits_for or "")
    world.chain.issuer.call_contract(world.contract("usdc"), "unpause()")
    settle(world, 3)
    assert statuses(world, later) == {"posted"}
    assert carrier(world, later[0]).id == carrier(world, later[1]).id
    check_books(world)


def test_where_all_fail_for_long_each_ends_with_a_reason_of_its_own(world: World) -> None:
    """Two deny-listed recipients look like a paused token, for as long as nobody asks each."""
    enact(world.database)
    allowed(world)
    for place in (0, 1):
        blacklist(world, payee(place))
    world.mine()
    rows = [world.payout(PAID, address=payee(place)) for place in (0, 1)]
    world.run()
    assert {payout_now(world, row).alone for row in rows} == {False}
    for _ in range(12):
        let_pass(world, 10)
    done = [payout_now(world, row) for row in rows]
    assert {(row.alone, row.status, row.failure_code) for row in done} == {
        (True, "failed", "transfer_would_fail")
    }
    assert "Blacklistable" in (done[0].failure_message or "")
    # The next payment to one of them goes with others again: what was wrong is right by now.
    world.chain.issuer.call_contract(
        world.contract("usdc"), "unBlacklist(address)", evm.checksum_address(payee(0))
    )
    world.mine()
    again = [world.payout(PAID, address=payee(place)) for place in (0, 2)]
    settle(world)
    assert statuses(world, again) == {"posted"}
    assert carrier(world, again[0]).id == carrier(world, again[1]).id
    assert world.balance() == 98 * WHOLE_TOKEN
    check_books(world)


def test_out_of_gas_on_the_way_pays_nobody_more_and_says_so(world: World) -> None:
    allowed(world)
    rows = [world.payout(PAID, address=payee(place)) for place in range(3)]
    world.run_only("payout.screen", "payout.decide", "payout.build")
    [built] = [row for row in dispersals(world) if row.status == "built"]
    # Enough for the contract to begin, and not for a payment.
    poor = replace(evm.decode_unsigned(built.unsigned), gas_limit=110_000)
    change = {"id": built.id, "gas_limit": 110_000, "unsigned": evm.encode_unsigned(poor)}
    with world.database.begin() as connection:
        update_records(connection, transactions, [change])
    settle(world)
    assert statuses(world, rows) == {"failed"}
    assert "gas was used up" in (payout_now(world, rows[0]).failure_message or "")
    assert carrier(world, rows[0]).arrived_units == 0
    assert (world.balance(), hold_total(world)) == (100 * WHOLE_TOKEN, 0)
    check_books(world)


def test_a_token_that_takes_a_fee_goes_alone_and_is_held(world: World) -> None:
    rich(world, 20)
    world.pay(world.treasury, "usdt", 100 * WHOLE_TOKEN)
    world.pay(world.intent(2_000, currencies=["usdt"]), "usdt")
    world.finalize()
    world.chain.issuer.call_contract(
        world.contract("usdt"), "setParams(uint256,uint256)", 10, 10, gas_limit=200_000
    )
    world.mine()
    rows = [world.payout(PAID, "usdt", address=payee(place)) for place in range(3)]
    settle(world)
    assert {payout_now(world, row).alone for row in rows} == {False}
    for _ in range(5):
        let_pass(world, 10)
    assert {payout_now(world, row).alone for row in rows} == {True}
    assert statuses(world, rows) == {"approved"}
    assert all("would change by 999000" in (payout_now(world, row).waits_for or "") for row in rows)
    assert not dispersals(world)
    world.check()


def test_tether_passes_through_nothing_to_its_allowance(world: World) -> None:
    """It changes no allowance into another, and answers nothing to a transfer."""
    rich(world, 20)
    world.pay(world.treasury, "usdt", 100 * WHOLE_TOKEN)
    world.pay(world.intent(2_000, currencies=["usdt"]), "usdt")
    world.finalize()
    # A remainder of an earlier allowance, which is too small.
    usdt = world.contract("usdt")
    set_allowance(world, usdt, 1)
    rows = [world.payout(PAID, "usdt", address=payee(place)) for place in range(3)]
    settle(world, 3)
    assert statuses(world, rows) == {"posted"}
    assert [units_at(world, payee(place), "usdt") for place in range(3)] == [PAID] * 3
    ordered = [row.token_amount for row in world.transactions() if row.purpose == "allowance"]
    assert ordered == [0, evm.UINT256_MAX]
    world.check()


def test_more_than_a_transaction_holds_go_in_several_in_flight_together(world: World) -> None:
    allowed(world, 500)
    rows = [world.payout(PAID, address=payee(place)) for place in range(LINES_MAX + 50)]
    let_pass(world, 1)
    assert statuses(world, rows) == {"broadcast"}
    sent = dispersals(world)[1:]
    assert sorted(row.token_amount // PAID for row in sent) == [50, LINES_MAX]
    assert len({row.nonce for row in sent}) == 2
    world.finalize()
    assert statuses(world, rows) == {"posted"}
    assert (world.balance(), hold_total(world)) == (250 * WHOLE_TOKEN, 0)
    check_books(world)


def test_what_the_coins_do_not_cover_waits_and_stops_nobody(world: World) -> None:
    rich(world, 100, liquidity=10)
    first = [world.payout(PAID, address=payee(1_000 + place)) for place in range(2)]
    settle(world)
    assert statuses(world, first) == {"posted"}
    rows = [
        world.payout(amount * PAID, address=payee(place))
        for place, amount in enumerate((3, 6, 2, 1))
    ]
    settle(world)
    done = [payout_now(world, row) for row in rows]
    assert [each.status for each in done] == ["posted", "approved", "posted", "posted"]
    assert "do not cover" in (done[1].waits_for or "")
    fund_treasury(world, 10)
    settle(world)
    assert statuses(world, rows) == {"posted"}
    check_books(world)


def test_two_workers_on_every_stage(world: World) -> None:
    allowed(world)
    rows = [world.payout(PAID, address=payee(place)) for place in range(30)]
    names = [name for name in world.stages if name.startswith(("payout.", "transaction."))]
    for _ in range(8):
        with ThreadPoolExecutor(2) as pool:
            for name in names:
                together = threading.Barrier(2)

                def run(stage: Stage, at_once: threading.Barrier) -> int:
                    at_once.wait()
                    return stage.run()

                both = [pool.submit(run, world.stages[name], together) for _ in range(2)]
                assert [each.exception() for each in both] == [None, None]
        let_pass(world, 1)
        world.finalize()
    assert statuses(world, rows) == {"posted"}
    assert [units_at(world, payee(place)) for place in range(30)] == [PAID] * 30
    sent = [row for row in world.transactions() if row.status != "refused"]
    nonces = sorted(row.nonce for row in sent)
    assert nonces == list(range(nonces[0], nonces[0] + len(sent)))
    assert [world.event_types(about=row.id) for row in rows] == [TOLD] * 30
    check_books(world)


def test_a_reorg_after_the_books_were_closed_sends_the_same_bytes(world: World) -> None:
    allowed(world)
    rows = [world.payout(PAID, address=payee(place)) for place in range(4)]
    settle(world, 1)
    first = carrier(world, rows[0])
    assert first.status == "posted"
    world.chain.reorg(CONFIRMATIONS + 1)
    world.run()
    assert carrier(world, rows[0]).orphaned
    world.reconcile()
    let_pass(world, 6)
    world.finalize()
    done = carrier(world, rows[0])
    assert (done.raw, done.orphaned, done.status) == (first.raw, False, "posted")
    assert statuses(world, rows) == {"posted"}
    assert [world.event_types(about=row.id) for row in rows] == [TOLD] * 4
    assert [units_at(world, payee(place)) for place in range(4)] == [PAID] * 4
    check_books(world)


def test_a_line_that_goes_the_other_way_on_the_other_branch(world: World) -> None:
    """Paid before and refused now, and the other way round: only those lines' books follow."""
    allowed(world)
    rows = [world.payout(PAID, address=payee(place)) for place in range(3)]
    world.run()
    before_it_is_mined(world, rows[0], "blacklist(address)", payee(0))
    assert [payout_now(world, row).status for row in rows] == ["failed", "posted", "posted"]
    world.chain.reorg(CONFIRMATIONS + 1)
    world.chain.issuer.call_contract(
        world.contract("usdc"), "unBlacklist(address)", payee(0), gas_limit=100_000
    )
    blacklist(world, payee(1))
    world.mine()
    world.run()
    let_pass(world, 6)
    world.finalize()
    let_pass(world, 1)
    assert [payout_now(world, row).status for row in rows] == ["posted", "failed", "posted"]
    assert [units_at(world, payee(place)) for place in range(3)] == [PAID, 0, PAID]
    # The first one's money had been given back: it is owed. The second's is given back now.
    assert (world.balance(), world.receivable()) == (99 * WHOLE_TOKEN, PAID)
    assert [len(world.event_types(about=row.id)) for row in rows] == [6, 7, 6]
    check_books(world)


def test_a_dropped_dispersal_is_sent_again_byte_for_byte(world: World) -> None:
    allowed(world)
    rows = [world.payout(PAID, address=payee(place)) for place in range(3)]
    world.run()
    first = carrier(world, rows[0])
    send_rpc(world, "anvil_dropTransaction", first.hash)
    world.run()
    let_pass(world, 6)
    world.finalize()
    done = carrier(world, rows[0])
    assert (done.raw, done.status, done.broadcasts) == (first.raw, "posted", 2)
    assert statuses(world, rows) == {"posted"}
    check_books(world)


def test_what_the_signer_does_not_allow_ends_and_the_others_go_on(world: World) -> None:
    """One above its limit is rejected, one beyond the day's waits, the rest is paid at once."""
    allowed(world)
    path = world.directory / "policy.toml"
    policy, _ = load_policy(path)
    rule = next(each for each in policy.assets if each.asset == world.asset("usdc"))
    tight = msgspec.structs.replace(
        rule, per_transaction_max=str(4 * PAID), per_day_max=str(9 * PAID)
    )
    others = tuple(each for each in policy.assets if each.asset != rule.asset)
    write_policy(path, msgspec.structs.replace(policy, assets=(tight, *others)))
    amounts = (1, 5, 2, 3, 2)
    rows = [
        world.payout(amount * PAID, address=payee(place)) for place, amount in enumerate(amounts)
    ]
    settle(world, 1)
    done = [payout_now(world, row) for row in rows]
    # Two were spent by the payouts that ordered the allowance: seven are left.
    assert [each.status for each in done] == ["posted", "rejected", "posted", "posted", "approved"]
    assert done[1].failure_code == "signer_over_limit"
    assert done[4].transaction is None
    assert "24 hours" in (done[4].waits_for or "")
    assert hold_total(world) == 2 * PAID
    world.check()


def test_a_receipt_that_contradicts_itself_settles_nothing(
    make_world: MakeWorld, chain: Chain
) -> None:
    """A node that leaves a Transfer out, or adds a failure, is asked again until it is honest."""
    with lying_node(chain.rpc_url) as node:
        world = make_world(disperse_min=2, rpc_urls=[node.url])
        allowed(world)
        rows = [world.payout(PAID, address=payee(place)) for place in range(3)]
        world.run()
        sent = carrier(world, rows[0])

        def without_one(params: list[Any], receipt: Any) -> Any:
            if params == [sent.hash] and receipt is not None:
                receipt["logs"] = receipt["logs"][1:]
            return receipt

        def with_a_failure(params: list[Any], receipt: Any) -> Any:
            if params == [sent.hash] and receipt is not None:
                told = dict(receipt["logs"][0], address=DISPERSE.address, logIndex="0x63")
                told["topics"] = [FAILED_TOPIC, topic_of(world.treasury)]
                told["data"] = "0x" + bytes(96).hex()
                receipt["logs"] = [*receipt["logs"], told]
            return receipt

        for lie in (without_one, with_a_failure):
            node.answer("eth_getTransactionReceipt", lie)
            world.mine(1 + CONFIRMATIONS)
            let_pass(world, 1)
            assert statuses(world, rows) == {"broadcast"}
            assert hold_total(world) == 3 * PAID
        node.honest()
        settle(world, 1)
        assert statuses(world, rows) == {"posted"}
        check_books(world)


def test_a_stuck_dispersal_is_offered_for_more_and_pays_once(world: World) -> None:
    allowed(world)
    rows = [world.payout(PAID, address=payee(place)) for place in range(3)]
    world.run()
    first = carrier(world, rows[0])
    send_rpc(world, "anvil_setNextBlockBaseFeePerGas", hex(first.max_fee_per_gas * 2))
    world.mine()
    let_pass(world, 61)
    again = carrier(world, rows[0])
    assert (again.replacements, again.nonce) == (1, first.nonce)
    assert again.hash != first.hash
    settle(world)
    assert statuses(world, rows) == {"posted"}
    assert {payout_now(world, row).tx_hash for row in rows} == {again.hash}
    assert [units_at(world, payee(place)) for place in range(3)] == [PAID] * 3
    check_books(world)


def test_a_dispersal_that_is_canceled_gives_every_line_back(world: World) -> None:
    allowed(world)
    rows = [world.payout(PAID, address=payee(place)) for place in range(3)]
    world.run()
    sent = carrier(world, rows[0])
    ask(world.parts, sent.id, "cancel", livemode=False)
    settle(world)
    assert statuses(world, rows) == {"failed"}
    assert "nonce was used up" in (payout_now(world, rows[0]).failure_message or "")
    assert (world.balance(), hold_total(world)) == (100 * WHOLE_TOKEN, 0)
    assert units_at(world, payee(0)) == 0
    check_books(world)
