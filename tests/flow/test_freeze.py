"""Freezes: what goes out stops at every step, pay-ins go on, and nothing is lost when it ends."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.chain import StartChain
from tests.flow.conftest import MakeWorld
from tests.flow.harness import World
from tests.flow.hubs import collect_all, deposited, pay_again, use_hub
from tests.flow.money import (
    BENEFICIARY,
    credit,
    nonce_at,
    payout_now,
    pending_in_pool,
    rich,
    send_rpc,
    transaction_of,
    units_at,
)
from tests.flow.wiring import WHOLE_TOKEN
from typer.testing import CliRunner

from sakk.cli.app import make_app
from sakk.core.errors import ParameterInvalid, ResourceMissing
from sakk.core.freeze import Freeze, FreezeOrigin
from sakk.core.payout import Payout
from sakk.core.transaction import REBROADCAST_AFTER_MAX
from sakk.flow import freeze as flow
from sakk.flow import sign
from sakk.flow.freeze import FreezeOrder
from sakk.rails.evm.rail import EvmRail
from sakk.signing.client import SignerClient
from sakk.signing.freeze import request_unfreeze
from sakk.signing.protocol import FreezeRequest, Reason, SignerRefused, SignerUnavailable, Status
from sakk.store import freeze as store
from sakk.store.identity import new_id

OTHER = "0x" + "71" * 20
# Up to which stage a payout goes before the freeze, and the status in which it then stays.
STEPS = [
    ((), "requested"),
    (("payout.screen", "payout.decide"), "approved"),
    (("payout.screen", "payout.decide", "payout.build"), "approved"),
    (("payout.screen", "payout.decide", "payout.build", "transaction.sign"), "signed"),
]


def freeze(world: World, **scope: Any) -> Freeze:
    with world.database.begin() as connection:
        return flow.freeze(
            connection,
            FreezeOrder(reason="drill", **scope),
            identifier=new_id("frz"),
            origin=FreezeOrigin.cli,
            now=world.clock(),
        )


def lift(world: World, identifier: str | None = None) -> list[Freeze]:
    """Both halves, as the command does it."""
    request_unfreeze(world.directory, "drill over", freeze=identifier)
    with world.database.begin() as connection:
        return flow.lift(connection, identifier, reason="drill over", now=world.clock())


def in_force(world: World) -> list[Freeze]:
    with world.database.begin() as connection:
        return store.list_in_force(connection)


def finish(world: World, *rows: Payout) -> None:
    world.run()
    world.finalize()
    assert {payout_now(world, row).status for row in rows} == {"posted"}
    world.check()


@pytest.mark.parametrize(("before", "status"), STEPS)
def test_wherever_a_payout_is_it_goes_no_further_out(
    world: World, before: tuple[str, ...], status: str
) -> None:
    rich(world, 100)
    row = world.payout(WHOLE_TOKEN, address=BENEFICIARY)
    world.run_only(*before)
    frozen = freeze(world)
    nonce = nonce_at(world, world.treasury)
    world.finalize()
    world.finalize()
    assert payout_now(world, row).status == {"requested": "approved"}.get(status, status)
    assert pending_in_pool(world) == 0
    assert (units_at(world, BENEFICIARY), nonce_at(world, world.treasury)) == (0, nonce)
    signed = [each for each in world.transactions() if each.raw is not None]
    assert len(signed) == (status == "signed")
    assert world.parts.signer_client().status().frozen
    assert lift(world, frozen.id)[0].lift_reason == "drill over"
    finish(world, row)
    assert units_at(world, BENEFICIARY) == WHOLE_TOKEN
    told = [each.type for each in world.events(operator=True, about=frozen.id)]
    assert told == ["freeze.created", "freeze.lifted"]


def test_pay_ins_are_credited_and_payouts_accepted_meanwhile(make_world: MakeWorld) -> None:
    world = make_world(sweep=True)
    rich(world, 100)
    before = len(world.transactions())
    freeze(world)
    credit(world, 50)
    row = world.payout(WHOLE_TOKEN, address=BENEFICIARY)
    world.finalize()
    assert world.balance() == 149 * WHOLE_TOKEN
    assert len(world.transactions()) == before
    lift(world)
    finish(world, row)


def test_what_a_node_was_given_is_given_to_it_again_unless_that_is_held_too(world: World) -> None:
    rich(world, 100)
    row = world.payout(WHOLE_TOKEN, address=BENEFICIARY)
    world.run_only(
        "payout.screen",
        "payout.decide",
        "payout.build",
        "transaction.sign",
        "transaction.broadcast",
    )
    freeze(world, holds_rebroadcasts=True)
    send_rpc(world, "anvil_dropAllTransactions")
    world.clock.advance(REBROADCAST_AFTER_MAX)
    world.run()
    assert pending_in_pool(world) == 0
    lift(world)
    freeze(world)
    world.run()
    assert pending_in_pool(world) == 1
    # Even so it is followed to its end: the chain had it before the freeze.
    finish(world, row)


def test_an_accounts_freeze_lets_the_others_be_paid(world: World) -> None:
    rich(world, 100)
    other = world.merchant()
    credit(world, 100, account=other)
    theirs = world.payout(WHOLE_TOKEN, address=BENEFICIARY, account=other)
    world.run_only("payout.screen", "payout.decide", "payout.build")
    built = transaction_of(world, theirs)
    frozen = freeze(world, account_id=other)
    ours = world.payout(2 * WHOLE_TOKEN, address=OTHER)
    world.run()
    world.finalize()
    # The nonce that it had been given went to the next.
    assert transaction_of(world, ours).nonce == built.nonce
    assert payout_now(world, ours).status == "posted"
    assert (payout_now(world, theirs).status, payout_now(world, theirs).hold) == (
        "approved",
        "held",
    )
    assert not world.parts.signer_client().status().frozen
    lift(world, frozen.id)
    finish(world, theirs)


def test_a_network_and_an_asset_alone(make_world: MakeWorld, start_chain: StartChain) -> None:
    second = start_chain()
    world = make_world(more_chains=[second])
    rich(world, 100)
    world.pay(world.treasury, "usdt", 100 * WHOLE_TOKEN)
    world.pay(world.intent(2_000, currencies=["usdt"]), "usdt")
    world.pay(world.treasury, "usdc", 100 * WHOLE_TOKEN, chain=second)
    world.finalize()
    freeze(world, network=second.network)
    freeze(world, asset=world.asset("usdt"))
    with pytest.raises(ParameterInvalid) as caught:
        freeze(world, network="eip155:1")
    assert caught.value.param == "network"
    free = world.payout(WHOLE_TOKEN, address=BENEFICIARY)
    by_network = world.payout(WHOLE_TOKEN, address=BENEFICIARY, network=second.network)
    by_asset = world.payout(WHOLE_TOKEN, "usdt", address=BENEFICIARY)
    world.run()
    world.finalize()
    statuses = [payout_now(world, row).status for row in (free, by_network, by_asset)]
    assert statuses == ["posted", "approved", "approved"]
    assert len(world.parts.signer_client().status().freezes) == 2
    lift(world)
    finish(world, by_network, by_asset)


def test_between_two_of_a_batch(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The batch is claimed, the first is sent, and then it is frozen."""
    rich(world, 100)
    rows = [world.payout(WHOLE_TOKEN, address=BENEFICIARY) for _ in range(3)]
    world.run_except("transaction.broadcast")
    sent = []
    real = EvmRail.broadcast

    def broadcast(rail: EvmRail, raw: bytes) -> Any:
        answer = real(rail, raw)
        sent.append(raw)
        freeze(world)
        return answer

    monkeypatch.setattr(EvmRail, "broadcast", broadcast)
    world.run_only("transaction.broadcast")
    world.run_only("transaction.broadcast")
    monkeypatch.undo()
    assert (len(sent), pending_in_pool(world)) == (1, 1)
    world.finalize()
    assert [payout_now(world, row).status for row in rows] == ["posted", "signed", "signed"]
    lift(world)
    finish(world, *rows)
    assert units_at(world, BENEFICIARY) == 3 * WHOLE_TOKEN


def test_between_the_claim_and_the_signature(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another worker's freeze is seen by the one that has the row already."""
    rich(world, 100)
    row = world.payout(WHOLE_TOKEN, address=BENEFICIARY)
    world.run_only("payout.screen", "payout.decide", "payout.build")
    real = sign._is_wanted

    def is_wanted(*arguments: Any) -> bool:
        freeze(world, account_id=world.account)
        return real(*arguments)

    monkeypatch.setattr(sign, "_is_wanted", is_wanted)
    world.run_only("transaction.sign")
    monkeypatch.undo()
    assert [each.status for each in world.transactions()] == ["refused"]
    assert payout_now(world, row).transaction is None
    lift(world)
    finish(world, row)


def test_the_database_alone_is_frozen_and_the_signer_follows(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    rich(world, 100)

    def away(*_: Any) -> Status:
        raise SignerUnavailable("no answer")

    monkeypatch.setattr(SignerClient, "freeze", away)
    freeze(world)
    assert world.run_only("freeze.agree") == [0]
    assert [each.signer_at for each in in_force(world)] == [None]
    row = world.payout(WHOLE_TOKEN, address=BENEFICIARY)
    world.run()
    assert world.transactions() == []
    monkeypatch.undo()
    world.run()
    assert [each.signer_at is not None for each in in_force(world)] == [True]
    assert world.parts.signer_client().status().frozen
    lift(world)
    finish(world, row)


def test_the_signer_alone_is_frozen_and_the_stages_follow(world: World) -> None:
    rich(world, 100)
    row = world.payout(WHOLE_TOKEN, address=BENEFICIARY)
    world.run_only("payout.screen", "payout.decide", "payout.build", "transaction.sign")
    client = world.parts.signer_client()
    identifier = new_id("frz")
    client.freeze(FreezeRequest("PostgreSQL is down", freeze=identifier))
    world.run_only("freeze.agree")
    [adopted] = in_force(world)
    assert (adopted.id, adopted.origin, adopted.reason) == (
        identifier,
        "signer",
        "PostgreSQL is down",
    )
    world.finalize()
    assert payout_now(world, row).status == "signed"
    with pytest.raises(SignerRefused) as caught:
        client.find(row.id)
    assert caught.value.reason is Reason.frozen
    with pytest.raises(ResourceMissing):
        lift(world, new_id("frz"))
    lift(world, identifier)
    assert not client.status().frozen
    finish(world, row)


def test_a_lift_of_one_half_alone_is_not_undone_and_not_completed_by_itself(world: World) -> None:
    rich(world, 100)
    frozen = freeze(world)
    world.run()
    with world.database.begin() as connection:
        flow.lift(connection, None, reason="only here", now=world.clock())
    row = world.payout(WHOLE_TOKEN, address=BENEFICIARY)
    world.run()
    # The keys decide: the signer's half is still there, and the database does not freeze again.
    assert in_force(world) == []
    assert payout_now(world, row).status == "approved"
    request_unfreeze(world.directory, "here too", freeze=frozen.id)
    with world.database.begin() as connection:
        flow.lift(connection, None, reason="again", now=world.clock())
    finish(world, row)


@pytest.mark.parametrize(
    ("away", "code"), [("nothing", 0), ("database", 3), ("signer", 0), ("both", 3)]
)
def test_the_command_reaches_what_is_there_and_says_what_is_not(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, away: str, code: int
) -> None:
    (tmp_path / "signer").mkdir(mode=0o700)
    socket = tmp_path / "none" if away in ("signer", "both") else world.directory / "signer.sock"
    url = "postgresql://nobody@127.0.0.1:1/none"
    monkeypatch.setenv("SAKK_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("SAKK_SIGNER_ADDRESS", f"unix:{socket}")
    monkeypatch.setenv("DATABASE_URL", url if away in ("database", "both") else world.database.url)
    done = CliRunner().invoke(make_app("freeze"), ["freeze", "drill", "--json"])
    said = json.loads(done.stdout)
    assert done.exit_code == code, done.stdout
    assert said["database"].startswith("NOT REACHED") == (away in ("database", "both"))
    assert len(in_force(world)) == (away in ("nothing", "signer"))
    assert world.parts.signer_client().status().frozen == (away in ("nothing", "database"))
    # A signer that does not answer finds what it missed at its start.
    assert (tmp_path / "signer" / "freeze").exists() == (away in ("signer", "both"))
    lifted = CliRunner().invoke(make_app("unfreeze"), ["unfreeze", "over", "--yes", "--json"])
    assert lifted.exit_code == code
    assert in_force(world) == []
    assert (tmp_path / "signer" / "unfreeze").exists()


def test_an_assets_freeze_lets_others_be_collected(make_world: MakeWorld) -> None:
    world = make_world(sweep=True)
    use_hub(world)
    addresses = deposited(world, 2)
    pay_again(world, addresses, token="usdt", whole=3)
    # Chosen and built before it, and not signed.
    world.run_only("sweep.collect", "collect.build")
    frozen = freeze(world, asset=world.asset("usdc"))
    collect_all(world, 30)
    ends = {(row.asset, row.status) for row in world.sweeps()}
    assert ends == {(world.asset("usdc"), "approved"), (world.asset("usdt"), "posted")}
    assert units_at(world, world.treasury) == 0
    world.check()
    lift(world, frozen.id)
    collect_all(world)
    assert {row.status for row in world.sweeps()} == {"posted"}
    world.check()
