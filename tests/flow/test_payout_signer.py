"""Payouts and a signer that refuses, waits or is away: nothing is paid that its policy forbids."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import text
from tests.flow.harness import World
from tests.flow.money import (
    BENEFICIARY,
    hold_total,
    let_pass,
    nonce_at,
    payout_now,
    rich,
    transaction_of,
    units_at,
)
from tests.flow.policing import Desk, Member
from tests.flow.wiring import WHOLE_TOKEN

from sakk.core.approval import content_digest
from sakk.core.beneficiary import Wanted
from sakk.core.payout import PayoutRequest, approved_content
from sakk.core.payout_batch import Line
from sakk.core.policy import Action, Rule
from sakk.core.transaction import ChainTransaction
from sakk.flow import payout as flow
from sakk.flow import payout_batch, person
from sakk.flow.approval_batch import approve_batch, explain_batch
from sakk.flow.payout_batch import BatchRequest
from sakk.flow.sign import sign_stage
from sakk.flow.step_up import StepUp
from sakk.flow.word import Word
from sakk.signing.client import SignerClient
from sakk.signing.policy import AssetRule, Policy, SignerRule, load_policy, write_policy
from sakk.signing.protocol import SignerUnavailable
from sakk.store import payout as payouts
from sakk.store.identity import new_id

PAID = 30 * WHOLE_TOKEN
OTHER = "0x" + "71" * 20


def change_policy(world: World, change: Callable[[Policy], Policy]) -> None:
    path = world.directory / "policy.toml"
    policy, _ = load_policy(path)
    write_policy(path, change(policy))


def change_asset(world: World, **changes: Any) -> None:
    """Change the signer's rule for USDC."""

    def change(policy: Policy) -> Policy:
        rules: list[AssetRule] = [
            msgspec.structs.replace(rule, **changes) if rule.asset == world.asset("usdc") else rule
            for rule in policy.assets
        ]
        return msgspec.structs.replace(policy, assets=tuple(rules))

    change_policy(world, change)


def refused(world: World) -> list[ChainTransaction]:
    return [row for row in world.transactions() if row.status == "refused"]


def test_over_its_limit_is_rejected_and_the_nonce_goes_to_the_next(world: World) -> None:
    rich(world, 100)
    change_asset(world, per_transaction_max=str(20 * WHOLE_TOKEN))
    first_nonce = nonce_at(world, world.treasury)
    large = world.payout(PAID, address=BENEFICIARY)
    small = world.payout(WHOLE_TOKEN, address=BENEFICIARY)
    world.run()
    world.finalize()
    done = payout_now(world, large)
    assert (done.status, done.failure_code, done.hold) == (
        "rejected",
        "signer_over_limit",
        "voided",
    )
    # The small one had the nonce after it: it was let go unsigned, and built again with this one.
    over, behind = sorted(refused(world), key=lambda row: row.nonce)
    assert (over.subject, over.nonce) == (large.id, first_nonce)
    assert (behind.subject, behind.nonce, behind.raw) == (small.id, first_nonce + 1, None)
    assert transaction_of(world, small).nonce == first_nonce
    assert payout_now(world, small).status == "posted"
    assert nonce_at(world, world.treasury) == first_nonce + 1
    assert (world.balance(), hold_total(world)) == (99 * WHOLE_TOKEN, 0)
    assert world.event_types(about=large.id)[-1] == "payout.rejected"
    world.check()


def test_a_destination_outside_its_list_is_rejected(world: World) -> None:
    rich(world, 100)
    change_asset(world, destinations=(OTHER,))
    no = world.payout(PAID, address=BENEFICIARY)
    yes = world.payout(PAID, address=OTHER)
    world.run()
    world.finalize()
    assert payout_now(world, no).failure_code == "signer_destination_not_allowed"
    assert payout_now(world, yes).status == "posted"
    assert (units_at(world, BENEFICIARY), units_at(world, OTHER)) == (0, PAID)
    world.check()


@pytest.mark.parametrize(
    "tampering",
    [
        f"UPDATE transactions SET destination = '{OTHER}'",
        "UPDATE transactions SET token_amount = 1",
        "UPDATE transactions SET asset = 'eip155:84532/slip44:60'",
        "UPDATE transactions SET key_branch = 'deposit', key_index = 1",
    ],
)
def test_a_row_that_was_tampered_with_is_not_signed(world: World, tampering: str) -> None:
    rich(world, 100)
    row = world.payout(PAID, address=BENEFICIARY)
    world.run_only("payout.screen", "payout.decide", "payout.build")
    with world.database.begin() as connection:
        connection.execute(text(tampering))
    world.run()
    assert payout_now(world, row).status == "rejected"
    assert refused(world) == world.transactions()
    assert (world.balance(), hold_total(world)) == (100 * WHOLE_TOKEN, 0)


def test_a_payout_row_that_was_tampered_with_is_seen_before_it_is_signed(world: World) -> None:
    """The database says another destination after the transaction was built."""
    rich(world, 100)
    row = world.payout(PAID, address=BENEFICIARY)
    world.run_only("payout.screen", "payout.decide", "payout.build")
    with world.database.begin() as connection:
        connection.execute(text(f"UPDATE payouts SET destination = '{OTHER}'"))
    proof = world.reconcile(ok=False)
    assert any(row.id in found for found in proof.breaks)


def test_a_signer_that_is_away_is_waited_for(world: World) -> None:
    rich(world, 100)
    with SignerClient(world.directory / "nobody.sock") as nobody:
        away = sign_stage(replace(world.parts, signer=nobody))
        row = world.payout(PAID, address=BENEFICIARY)
        for _ in range(3):
            world.run_except("transaction.sign")
            with pytest.raises(SignerUnavailable):
                away.run()
            world.advance(timedelta(minutes=1))
    [built] = world.transactions()
    assert (built.status, payout_now(world, row).status) == ("built", "approved")
    world.reconcile()
    world.run()
    world.finalize()
    assert payout_now(world, row).status == "posted"
    assert transaction_of(world, row).id == built.id
    world.check()


def test_frozen_it_signs_nothing_and_goes_on_after(world: World) -> None:
    rich(world, 100)
    change_policy(world, lambda policy: msgspec.structs.replace(policy, frozen=True))
    rows = [world.payout(WHOLE_TOKEN, address=BENEFICIARY) for _ in range(2)]
    world.run()
    let_pass(world, 60)
    waiting = {each.subject: each for each in world.transactions()}
    assert {each.status for each in waiting.values()} == {"built"}
    assert waiting.keys() == {row.id for row in rows}
    assert units_at(world, BENEFICIARY) == 0
    change_policy(world, lambda policy: msgspec.structs.replace(policy, frozen=False))
    let_pass(world, 400)
    world.finalize()
    assert {payout_now(world, row).status for row in rows} == {"posted"}
    assert [transaction_of(world, row).id for row in rows] == [waiting[row.id].id for row in rows]
    world.check()


def test_a_new_destination_waits_out_its_time_lock_and_holds_nobody_up(world: World) -> None:
    rich(world, 100)
    known = world.payout(WHOLE_TOKEN, address=OTHER)
    world.run()
    world.finalize()
    assert payout_now(world, known).status == "posted"
    lock = timedelta(hours=2)
    change_policy(
        world,
        lambda policy: msgspec.structs.replace(
            policy, destination_time_lock_seconds=int(lock.total_seconds())
        ),
    )
    new = world.payout(PAID, address=BENEFICIARY)
    old = world.payout(WHOLE_TOKEN, address=OTHER)
    world.run()
    world.finalize()
    assert payout_now(world, old).status == "posted"
    waiting = payout_now(world, new)
    assert (waiting.status, waiting.transaction) == ("approved", None)
    assert hold_total(world) == PAID
    for _ in range(4):
        let_pass(world, 20 * 60)
    assert payout_now(world, new).status == "approved"
    for _ in range(5):
        let_pass(world, 20 * 60)
    world.finalize()
    assert payout_now(world, new).status == "posted"
    assert units_at(world, BENEFICIARY) == PAID
    assert len(refused(world)) < 20
    nonces = [row.nonce for row in world.transactions() if row.status == "posted"]
    assert sorted(nonces) == list(range(min(nonces), min(nonces) + len(nonces)))
    world.check()


def test_over_the_days_limit_waits_for_the_next_day_and_can_be_called_off(world: World) -> None:
    rich(world, 100)
    change_asset(world, per_day_max=str(40 * WHOLE_TOKEN))
    first = world.payout(PAID, address=BENEFICIARY)
    second = world.payout(PAID, address=BENEFICIARY)
    third = world.payout(WHOLE_TOKEN, address=BENEFICIARY)
    world.run()
    let_pass(world, 30)
    world.finalize()
    assert payout_now(world, first).status == "posted"
    assert payout_now(world, second).status == "approved"
    assert payout_now(world, third).status == "posted"
    flow.cancel(world.parts, second.id, account_id=world.account, livemode=False)
    again = world.payout(PAID, address=BENEFICIARY)
    world.run()
    assert payout_now(world, again).status == "approved"
    for _ in range(3):
        let_pass(world, 12 * 3600)
    world.finalize()
    assert payout_now(world, again).status == "posted"
    assert units_at(world, BENEFICIARY) == 2 * PAID + WHOLE_TOKEN
    world.check()


def approver(world: World) -> tuple[Desk, Member, Ed25519PrivateKey]:
    """Someone whose signature the server asks for, and the signer too, for every payout."""
    key = Ed25519PrivateKey.from_private_bytes(b"\x05" * 32)
    public = key.public_key().public_bytes_raw().hex()
    asks = SignerRule(name="one of us", action=Action.approve, approvals=1)
    rules = {"approvers": (public,), "approvals_min": 1, "rules": (asks,)}
    change_policy(world, lambda policy: msgspec.structs.replace(policy, **rules))
    desk = Desk(world.database, world.account, now=world.clock())
    one = desk.member("carl", "approver")
    person.set_public_key(
        desk.parts,
        one.id,
        actor=one.actor,
        livemode=False,
        public_key=public,
        step_up=StepUp(code=one.code()),
    )
    desk.enact(Rule(name="look", action=Action.approve, approvals=1, role="approver"))
    return desk, one, key


def test_the_signer_checks_the_signatures_that_the_server_collected(world: World) -> None:
    """What a person signed travels to the signer; a server that says so by itself gets nothing."""
    rich(world, 100)
    desk, one, key = approver(world)
    honest = world.payout(PAID, address=BENEFICIARY)
    forged = world.payout(PAID, address=BENEFICIARY)
    world.run()
    waiting = payout_now(world, honest)
    assert (waiting.status, waiting.rule) == ("screened", "look")
    signed = key.sign(approved_content(waiting)).hex()
    desk.approve(waiting, one, step_up=StepUp(signature=signed), digest=None)
    with world.database.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE payouts SET status = 'approved' WHERE id = %s", (forged.id,)
        )
        connection.exec_driver_sql(
            "INSERT INTO approvals SELECT 'apr_forged', account_id, livemode, %s, verdict, actor,"
            " key, role, method, %s, public_key, signature, comment, created FROM approvals",
            (forged.id, content_digest(approved_content(payout_now(world, forged)))),
        )
    world.run()
    world.finalize()
    assert payout_now(world, honest).status == "posted"
    lied = payout_now(world, forged)
    assert (lied.status, lied.failure_code) == ("rejected", "signer_approval_invalid")
    assert units_at(world, BENEFICIARY) == PAID
    world.check()


def test_a_line_that_is_altered_after_its_batch_was_approved_is_not_signed(world: World) -> None:
    """One signature is for all lines as they were shown; who writes the database moves none."""
    rich(world, 100)
    desk, one, key = approver(world)
    payees = [f"0x{0xA11E0000 + number:040x}" for number in range(6)]
    lines = [
        Line(
            number,
            PayoutRequest(WHOLE_TOKEN, "usdc", Wanted(network=world.chain.network, address=payee)),
        )
        for number, payee in enumerate(payees, 1)
    ]
    batch, _ = payout_batch.create(
        world.parts,
        BatchRequest(lines=lines),
        identifier=new_id("pob"),
        account_id=world.account,
        livemode=False,
    )
    world.run()
    with world.database.begin() as connection:
        shown = explain_batch(connection, batch.id, actor=one.actor, livemode=False)
    assert shown["count"] == len(payees)
    signature = key.sign(shown["message"].encode()).hex()
    made = [new_id("apr") for _ in range(10)]
    done = approve_batch(
        desk.parts,
        batch.id,
        Word(one.actor, StepUp(signature=signature)),
        approval_id=made.__getitem__,
        livemode=False,
    )
    assert done["approved"] == len(payees)
    with world.database.begin() as connection:
        for line, change in ((2, f"destination = '{OTHER}'"), (5, "token_amount = 2000000")):
            connection.exec_driver_sql(f"UPDATE payouts SET {change} WHERE line = {line}")
    world.run()
    world.finalize()
    with world.database.begin() as connection:
        rows = payouts.list_batch(connection, batch.id)
    # What was signed is of other lines than these, which nobody approved.
    altered = [row.line for row in rows if row.failure_code == "signer_approvals_required"]
    assert altered == [2, 5]
    assert [row.line for row in rows if row.status == "posted"] == [1, 3, 4, 6]
    paid = [units_at(world, payee) for payee in (*payees, OTHER)]
    assert paid == [WHOLE_TOKEN, 0, WHOLE_TOKEN, WHOLE_TOKEN, 0, WHOLE_TOKEN, 0]
    assert world.balance() == 96 * WHOLE_TOKEN
