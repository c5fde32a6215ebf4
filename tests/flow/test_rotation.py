"""A treasury key is given up for another on a real chain, deposits that are delegated included."""

import dataclasses
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.flow.conftest import PASSPHRASE, MakeWorld
from tests.flow.harness import World
from tests.flow.hubs import collect_all, deposited, pay_again, use_hub
from tests.flow.money import (
    BENEFICIARY,
    credit,
    let_pass,
    payout_now,
    rich,
    send_rpc,
    units_at,
    wei_at,
)
from tests.flow.wiring import WHOLE_TOKEN
from tests.hub import DAY_SECONDS, DeployedHub
from typer.testing import CliRunner

from sakk.cli.app import make_app
from sakk.core import evm
from sakk.core.errors import Misconfigured, ParameterInvalid, ResourceMissing, UnexpectedState
from sakk.core.freeze import FreezeOrigin
from sakk.core.rotation import Rotation
from sakk.core.sender import TreasuryRole
from sakk.flow import freeze as freezing
from sakk.flow import rotation as flow
from sakk.flow.book import Books
from sakk.flow.context import Parts
from sakk.flow.contract import allowances
from sakk.ledger.remote import connect_ledger
from sakk.signing.approver import create_approver
from sakk.signing.freeze import request_unfreeze
from sakk.signing.keystore import Keystore, open_keystore
from sakk.signing.policy import RotationRule, load_policy, write_policy
from sakk.signing.protocol import Branch
from sakk.store import address
from sakk.store.database import open_database
from sakk.store.identity import new_id

SUCCESSOR = 1


def change_policy(world: World, **changes: Any) -> None:
    path = world.directory / "policy.toml"
    policy, _ = load_policy(path)
    write_policy(path, msgspec.structs.replace(policy, **changes))


def announce(world: World, *, approvals: int = 0, reason: str = "drill") -> Rotation:
    """As `sakk keys rotate` does on the signer's machine: the policy, then the row."""
    rule = RotationRule(source=0, target=SUCCESSOR, approvals=approvals)
    change_policy(world, treasury_indexes=(0, SUCCESSOR), rotations=(rule,))
    made = flow.announce(
        world.parts,
        source_index=0,
        target_index=SUCCESSOR,
        reason=reason,
        identifier=new_id("kr"),
    )
    world.watch()
    return made


def now(world: World, rotation: Rotation) -> Rotation:
    with world.database.begin() as connection:
        return flow.found(connection, rotation.id)


def roles(world: World) -> dict[int, TreasuryRole]:
    with world.database.begin() as connection:
        return {each.key_index: each.treasury_role for each in address.list_treasury(connection)}


def until_empty(world: World, rotation: Rotation, rounds: int = 8) -> None:
    """The worker and the chain go on until nothing is left at the old address."""
    for _ in range(rounds):
        let_pass(world, 3)
        world.finalize()
        if all(held.is_empty for held in flow.holdings(world.parts, rotation)):
            return
    raise AssertionError(flow.holdings(world.parts, rotation))


def retire(world: World, rotation: Rotation) -> Rotation:
    """As the last `--continue` does: the policy pays with the old key no more, then the row."""
    flow.require_empty(world.parts, now(world, rotation))
    change_policy(world, treasury_indexes=(SUCCESSOR,))
    return flow.retire(world.parts, rotation.id)


def moves(world: World, purpose: str = "rotation") -> list[tuple[str, str]]:
    """What was moved, in the order of the transactions: asset and status."""
    return [(each.asset, each.status) for each in world.transactions() if each.purpose == purpose]


def change_hub(world: World, deployed: DeployedHub, fresh: str) -> None:
    """What the cold key does: another collector, the proposal, and after the delay what is due."""
    named = evm.checksum_address(fresh)
    deployed.cold_call("setCollector(address,bool)", named, True)
    deployed.cold_call("propose(address)", named)
    world.advance(timedelta(seconds=DAY_SECONDS + 60))
    world.chain.mine()
    deployed.cold_call("execute()")
    deployed.cold_call("setCollector(address,bool)", evm.checksum_address(world.treasury), False)
    world.run_only("hub.look")


def test_the_emergency_drill(make_world: MakeWorld) -> None:
    """Freeze, rotate, lift: with payouts under way, allowances given and deposits delegated."""
    world = make_world(sweep=True, disperse_min=2)
    deployed = use_hub(world)
    fresh = world.keystore.address(Branch.treasury, SUCCESSOR)
    addresses = deposited(world, 2)
    collect_all(world)
    rich(world, 100)
    fund = [world.payout(WHOLE_TOKEN, address=BENEFICIARY) for _ in range(2)]
    for _ in range(3):
        let_pass(world, 3)
        world.finalize()
    assert {payout_now(world, row).status for row in fund} == {"posted"}
    assert [each.owner for each in allowances(world.parts) if each.units] == [world.treasury]
    under_way = world.payout(2 * WHOLE_TOKEN, address=BENEFICIARY)
    world.run()
    assert payout_now(world, under_way).status == "broadcast"

    with world.database.begin() as connection:
        frozen = freezing.freeze(
            connection,
            freezing.FreezeOrder(reason="a key may be in other hands"),
            identifier=new_id("frz"),
            origin=FreezeOrigin.cli,
            now=world.clock(),
        )
    world.run_only("freeze.agree")
    rotation = announce(world, reason="a key may be in other hands")
    waiting = world.payout(3 * WHOLE_TOKEN, address=BENEFICIARY)
    assert flow.begin(world.parts, rotation.id).status == "moving"
    assert roles(world) == {0: TreasuryRole.leaving, SUCCESSOR: TreasuryRole.pay}
    signed = world.parts.signer_client().status().signed_total
    world.finalize()
    assert world.parts.signer_client().status().signed_total == signed
    change_hub(world, deployed, fresh)

    with world.database.begin() as connection:
        freezing.lift(connection, frozen.id, reason="rotated", now=world.clock())
    request_unfreeze(world.directory, "rotated")
    until_empty(world, rotation)
    assert retire(world, rotation).status == "retired"
    assert roles(world)[0] is TreasuryRole.retired
    # Tokens first, then the allowance, and the native coin last.
    usdc = world.asset("usdc")
    *tokens, last = moves(world)
    assert (set(tokens), last) == ({(usdc, "posted")}, (world.native, "posted"))
    assert [each.owner for each in allowances(world.parts) if each.units] == []
    assert units_at(world, world.treasury) == 0
    # What waited is paid by the successor, and so are deposits that were delegated before.
    for _ in range(3):
        let_pass(world, 3)
        world.finalize()
    assert {payout_now(world, row).status for row in (under_way, waiting)} == {"posted"}
    senders = {each.subject: each.sender for each in world.transactions()}
    assert (senders[under_way.id], senders[waiting.id]) == (world.treasury, fresh)
    pay_again(world, addresses)
    collect_all(world)
    assert {row.destination for row in world.sweeps()[-2:]} == {fresh}
    assert {row.status for row in world.sweeps()} == {"posted"}
    assert units_at(world, fresh) == world.custody("usdc", "hot")
    assert world.event_types(operator=True).count("key_rotation.retired") == 1
    world.check()


def test_coins_that_come_later_are_moved_the_same_way(world: World) -> None:
    rich(world, 10)
    rotation = announce(world)
    flow.begin(world.parts, rotation.id)
    # A payout that was being built from it meanwhile gets no nonce any more.
    with world.database.begin() as connection:
        assert not address.may_send(connection, world.treasury)
        assert address.may_send(connection, rotation.target)
    until_empty(world, rotation)
    assert flow.begin(world.parts, rotation.id).status == "moving"
    first = retire(world, rotation)
    assert retire_again(world, rotation) == first
    fresh = world.keystore.address(Branch.treasury, SUCCESSOR)
    before = units_at(world, fresh)
    # Nothing is left there to pay for gas with.
    send_rpc(world, "anvil_setBalance", world.treasury, "0x0")
    left = wei_at(world, world.treasury)
    world.pay(world.treasury, "usdc", 7 * WHOLE_TOKEN)
    world.finalize()
    assert (left, units_at(world, world.treasury)) == (0, 7 * WHOLE_TOKEN)
    again = flow.begin(world.parts, rotation.id)
    assert (again.status, again.retired_at) == ("moving", first.retired_at)
    until_empty(world, rotation)
    assert flow.retire(world.parts, rotation.id).retired_at == first.retired_at
    assert units_at(world, fresh) - before == 7 * WHOLE_TOKEN
    assert ("topup", world.treasury) in {(t.purpose, t.destination) for t in world.transactions()}


def retire_again(world: World, rotation: Rotation) -> Rotation:
    return flow.retire(world.parts, rotation.id)


def test_it_is_called_off_only_before_money_moved(world: World) -> None:
    rich(world, 10)
    rotation = announce(world)
    assert announce(world).id == rotation.id
    with pytest.raises(UnexpectedState, match="nothing moves yet"):
        flow.retire(world.parts, rotation.id)
    assert roles(world)[SUCCESSOR] is TreasuryRole.successor
    paid = world.payout(WHOLE_TOKEN, address=BENEFICIARY)
    world.run()
    world.finalize()
    assert [each.sender for each in world.transactions() if each.subject == paid.id] == [
        world.treasury
    ]
    flow.begin(world.parts, rotation.id)
    world.run_only("rotation.build")
    assert moves(world) == [(world.asset("usdc"), "built")]
    assert flow.abort(world.parts, rotation.id) == flow.abort(world.parts, rotation.id)
    # It does nothing until the policy file names it, for whatever that says, or it succeeds again.
    assert roles(world) == {0: TreasuryRole.pay, SUCCESSOR: TreasuryRole.unused}
    named = {SUCCESSOR: rotation.target}
    for role in (TreasuryRole.gas, TreasuryRole.pay):
        with world.database.begin() as connection:
            address.set_role(connection, rotation.target, TreasuryRole.unused)
            address.put_treasury(connection, named, livemode=False, now=world.clock(), role=role)
        assert roles(world)[SUCCESSOR] is role
    with world.database.begin() as connection:
        address.set_role(connection, rotation.target, TreasuryRole.unused)
    assert moves(world) == [(world.asset("usdc"), "refused")]
    with pytest.raises(UnexpectedState, match="was aborted"):
        flow.begin(world.parts, rotation.id)
    following = announce(world)
    assert following.id != rotation.id
    flow.begin(world.parts, following.id)
    world.run()
    with pytest.raises(UnexpectedState, match="Money has moved"):
        flow.abort(world.parts, following.id)
    until_empty(world, following)
    world.check()


def test_a_token_that_can_not_be_moved_does_not_hold_up_the_others(world: World) -> None:
    for token in ("usdc", "usdt"):
        world.pay(world.treasury, token, 5 * WHOLE_TOKEN)
    credit(world, 10)
    rotation = announce(world)
    world.chain.issuer.call_contract(world.contract("usdc"), "pause()")
    world.mine()
    flow.begin(world.parts, rotation.id)
    for _ in range(4):
        let_pass(world, 3)
        world.finalize()
    assert (units_at(world, world.treasury), units_at(world, world.treasury, "usdt")) == (
        5 * WHOLE_TOKEN,
        0,
    )
    with pytest.raises(UnexpectedState, match="not empty yet"):
        flow.require_empty(world.parts, now(world, rotation))
    with pytest.raises(ParameterInvalid):
        flow.leave(world.parts, rotation.id, ["eip155:1/erc20:0x" + "11" * 20])
    left = flow.leave(world.parts, rotation.id, [world.asset("usdc")])
    until_empty(world, left)
    assert retire(world, left).status == "retired"
    world.check()


def test_the_signer_decides_who_succeeds_and_who_approves(world: World) -> None:
    with pytest.raises(Misconfigured, match="names no successor"):
        flow.announce(
            world.parts, source_index=0, target_index=1, reason="x", identifier=new_id("kr")
        )
    with pytest.raises(ParameterInvalid, match="Say why"):
        flow.announce(
            world.parts, source_index=0, target_index=1, reason=" ", identifier=new_id("kr")
        )
    approvers = ("ab" * 32, "cd" * 32)
    change_policy(world, approvers=approvers)
    rotation = announce(world, approvals=2)
    with pytest.raises(Misconfigured, match="not by 9"):
        flow.announce(
            world.parts, source_index=0, target_index=9, reason="x", identifier=new_id("kr")
        )
    with pytest.raises(UnexpectedState, match="asks for 2 approvals, 0"):
        flow.begin(world.parts, rotation.id)
    for key in (approvers[0], approvers[0]):
        flow.approve(world.parts, rotation.id, public_key=key, signature="ef" * 64)
    with pytest.raises(UnexpectedState, match="asks for 2 approvals, 1"):
        flow.begin(world.parts, rotation.id)
    with pytest.raises(ResourceMissing):
        flow.begin(world.parts, "kr_nothing")


def test_the_command_drives_it_with_the_signers_files(
    world: World, world_keystore: Keystore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two people approve, the key is marked in its keystore, and the policy pays by it no more."""
    (tmp_path / "signer").symlink_to(world.directory)
    keystore = world.directory / "keystore.json"
    keystore.touch(mode=0o600)
    keystore.write_bytes(world_keystore.path.read_bytes())
    (tmp_path / "passphrase").write_text(PASSPHRASE)
    monkeypatch.setenv("SAKK_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("SAKK_KEYSTORE_PASSPHRASE_FILE", str(tmp_path / "passphrase"))
    monkeypatch.setenv("SAKK_SIGNER_ADDRESS", f"unix:{world.directory / 'signer.sock'}")
    monkeypatch.setenv("SAKK_LEDGER_ADDRESS", f"unix:{tmp_path / 'none'}")
    monkeypatch.setenv("DATABASE_URL", world.database.url)
    monkeypatch.setattr("sakk.runtime.wiring.open_parts", lambda *_, **__: world_parts(world))
    keys = [tmp_path / name for name in ("ann.pem", "ben.pem")]
    change_policy(world, approvers=tuple(create_approver(each, None) for each in keys))

    def rotate(*arguments: str) -> dict[str, Any]:
        done = CliRunner().invoke(make_app("keys"), ["keys", "rotate", *arguments, "--json"])
        assert done.exit_code == 0, (done.output, done.exception)
        shown: dict[str, Any] = json.loads(done.stdout)
        return shown

    rich(world, 10)
    begun = rotate("yearly", "--to", "1", "--approvals", "2")
    assert rotate("yearly", "--to", "1", "--approvals", "2")["id"] == begun["id"]
    assert load_policy(world.directory / "policy.toml.before")[0].rotations == ()
    world.watch()
    for each in keys:
        approved = rotate("--approve", str(each))
    assert len(approved["approvals"]) == 2
    assert rotate("--continue")["status"] == "moving"
    with world.database.begin() as connection:
        rotation = flow.found(connection, begun["id"])
    until_empty(world, rotation)
    assert "retires" in rotate("--status")["next"]
    done = rotate("--continue", "--rotation", begun["id"])
    assert (done["status"], done["networks"][0]["empty"]) == ("retired", True)
    policy, _ = load_policy(world.directory / "policy.toml")
    assert policy.treasury_indexes == (1,)
    assert open_keystore(keystore, PASSPHRASE).is_retired(0)
    again = CliRunner().invoke(make_app("keys"), ["keys", "rotate", "--abort"])
    assert again.exit_code != 0
    world.check()


def world_parts(world: World) -> Parts:
    """The world's parts with what is the command's own: it closes that."""
    database = open_database(world.database.url)
    books = Books(database, connect_ledger("unix:/none"))
    return dataclasses.replace(world.parts, database=database, ledger_books=books)
