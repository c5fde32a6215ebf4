"""The drill of docs/operating/backup-and-restore.md: a stale database is brought in line.

A backup is taken, the house goes on, and the backup is restored. The chain and the signer's log are
those of the present. Nothing is paid twice, nothing is lost, and the books prove it.
"""

import dataclasses
import itertools
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url
from tests.flow.clones import use_factory
from tests.flow.conftest import MakeWorld
from tests.flow.harness import World
from tests.flow.hubs import collect_all, deposited, use_hub
from tests.flow.money import (
    BENEFICIARY,
    let_pass,
    nonce_at,
    payout_now,
    rich,
    transaction_of,
    units_at,
)
from tests.flow.test_recovery import claim, now_of, offer, unlisted
from tests.flow.test_rotation import announce
from tests.flow.test_treasury import name_vault
from tests.flow.wiring import WHOLE_TOKEN, Calls, watchers

from sakk.core import ids
from sakk.core.payout import Payout
from sakk.core.person import Actor
from sakk.core.recovery import Recovery
from sakk.core.restore import Head, Restore
from sakk.core.withdrawal import Withdrawal
from sakk.flow import imported
from sakk.flow import restore as flow
from sakk.flow import rotation as rotating
from sakk.flow.book import Books
from sakk.flow.restore import Evidence
from sakk.flow.sign_request import sign_request
from sakk.flow.transaction import ask
from sakk.flow.withdrawal import withdraw
from sakk.ledger.projection import Projector, wait_projected
from sakk.ledger.writer import open_ledger
from sakk.runtime.restore import read_anchor, write_anchor
from sakk.runtime.worker import pipeline
from sakk.screening.engine import Engine
from sakk.store import freeze as freezes
from sakk.store import restore as store
from sakk.store import withdrawal as withdrawals
from sakk.store.address import put_treasury
from sakk.store.database import open_database
from sakk.store.identity import new_id
from sakk.store.lease_length import LEASE_SECONDS_DEFAULT

GAP = 40
ONE, TWO, THREE = (f"0x{digit * 40}" for digit in "123")

Back = Callable[[World, Path], World]


def backup(world: World, file: Path) -> Path:
    """As the page says it."""
    if shutil.which("pg_dump") is None or shutil.which("pg_restore") is None:
        pytest.skip("pg_dump and pg_restore are not installed (Debian: postgresql-client)")
    wait_projected(world.database.url)
    url = world.database.url
    subprocess.run(["pg_dump", "--format=custom", f"--file={file}", url], check=True)
    return file


@pytest.fixture
def go_back(cluster_url: str) -> Iterator[Back]:
    """Open the house on what a backup holds: the same chain, signer and clock."""
    with ExitStack() as stack:

        def go_back(world: World, file: Path) -> World:
            name = f"restored_{file.stem}"
            url = make_url(world.database.url).set(database=name)
            text = url.render_as_string(hide_password=False)
            with psycopg.connect(cluster_url, autocommit=True) as admin:
                admin.execute(f'CREATE DATABASE "{name}"')
            stack.callback(_drop, cluster_url, name)
            subprocess.run(["pg_restore", "--exit-on-error", f"--dbname={text}", file], check=True)
            database = open_database(text)
            stack.callback(database.close)
            projector = Projector(text)
            stack.callback(projector.close)
            ledger = open_ledger(text, on_append=projector.wake)
            stack.callback(ledger.close)
            parts = dataclasses.replace(
                world.parts,
                database=database,
                ledger_books=Books(database, ledger),
                screening=Engine(database),
            )
            # Whoever followed the chains when the backup was made is gone.
            world.clock.advance(timedelta(seconds=2 * LEASE_SECONDS_DEFAULT))
            stages = {stage.name: stage for stage in [*watchers(parts), *pipeline(parts)]}
            calls = stack.enter_context(closing(Calls(database, world.clock)))
            return dataclasses.replace(world, parts=parts, calls=calls, stages=stages)

        yield go_back


def _drop(cluster_url: str, name: str) -> None:
    with psycopg.connect(cluster_url, autocommit=True) as admin:
        admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def evidence(world: World, *, journal: Head | None = None, index: int | None = None) -> Evidence:
    with world.database.begin() as connection:
        lines, head, at_anchor = flow.read_signer_log(connection, world.directory / "log.jsonl")
    return Evidence(lines, head, at_anchor, journal, index)


def begin(world: World, known: Evidence) -> Restore:
    with world.database.begin() as connection:
        return flow.begin(connection, known, reason="drill", gap=GAP, now=world.clock())


def names(world: World, known: Evidence) -> list[str]:
    with world.database.begin() as connection:
        found = flow.staleness(connection, world.database.url, known)
    return [each.code for each in found]


def test_the_drill(world: World, go_back: Back, tmp_path: Path) -> None:
    rich(world, 100)
    old = world.intent(1_000)
    mined, held_back, waiting = (
        world.payout(amount * WHOLE_TOKEN, address=address)
        for amount, address in ((1, ONE), (2, TWO), (4, BENEFICIARY))
    )
    world.run_except("payout.build")
    dump = backup(world, tmp_path / "drill.dump")

    # The house goes on: one payout is mined, one is signed and not sent, and one is new.
    with world.database.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE payouts SET retry_at = now() + interval '1 day' WHERE id = %s", (waiting.id,)
        )
    forgotten = world.payout(8 * WHOLE_TOKEN, address=THREE)
    for _ in range(3):
        world.run_except("transaction.broadcast")
        world.clock.advance(timedelta(seconds=1))
    assert payout_now(world, held_back).status == "signed"
    sendable = [each.id for each in (mined, forgotten)]
    _send_only(world, sendable)
    world.pay(old)
    lost = world.intent(500)
    world.pay(lost)
    world.finalize()
    signatures = world.parts.signer_client().status().signed_total
    anchor = tmp_path / "anchor.json"
    write_anchor(world.database, anchor, at=world.clock())
    kept = read_anchor(anchor)
    assert kept is not None

    restored = go_back(world, dump)
    known = evidence(
        restored, journal=Head(kept.journal_sequence, kept.journal_hash), index=kept.address_index
    )
    assert {"signatures.unknown", "journal.behind"} <= set(names(restored, known))
    restore = begin(restored, known)
    assert restore.imported == 3
    assert [note["code"] for note in restore.notes] == ["payout.forgotten"]
    # Two rows that the backup holds as approved are known to be signed; the third is not.
    assert [payout_now(restored, row).status for row in (mined, held_back, waiting)] == [
        "unknown",
        "unknown",
        "approved",
    ]
    restored.run()
    restored.finalize()
    assert restored.parts.signer_client().status().signed_total == signatures
    assert payout_now(restored, mined).status == "posted"
    assert units_at(restored, TWO) == units_at(restored, BENEFICIARY) == 0
    assert restored.facts(old)[0] == "succeeded"
    # The forgotten payout's bytes wait behind the one that is held back; its coins are still ours.
    assert restored.suspense() == 5 * WHOLE_TOKEN

    still, left = flow.check(restored.parts, evidence(restored))
    assert sorted(each.code for each in left) == ["address.lost", "payout.forgotten"]
    with restored.database.begin() as connection:
        flow.acknowledge(connection, [each.name for each in left])
    done, left = flow.check(restored.parts, evidence(restored))
    assert (done.id, done.status, left) == (still.id, "finished", [])
    _end(restored, [(mined, ONE, 1), (held_back, TWO, 2), (waiting, BENEFICIARY, 4)])
    assert units_at(restored, THREE) == 8 * WHOLE_TOKEN
    assert restored.suspense() == (5 - 8) * WHOLE_TOKEN
    # Addresses from here on are nobody's: those that may have been given out are skipped.
    fresh = restored.intent(700)
    assert fresh.address not in {old.address, lost.address}
    assert _index(restored, fresh.address) >= restore.next_index


def _send_only(world: World, identifiers: list[str]) -> None:
    """Broadcast these payouts' transactions and leave the others signed."""
    with world.database.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE transactions SET retry_at = now() + interval '1 day'"
            " WHERE status = 'signed' AND NOT subject = ANY(%s)",
            (identifiers,),
        )
    world.run()


def _end(world: World, paid: list[tuple[Payout, str, int]]) -> None:
    world.run()
    world.finalize()
    for row, address, amount in paid:
        assert payout_now(world, row).status == "posted"
        assert units_at(world, address) == amount * WHOLE_TOKEN
    world.check()


def _index(world: World, address: str) -> int:
    with world.database.begin() as connection:
        row = connection.exec_driver_sql(
            "SELECT key_index FROM addresses WHERE address = %s", (address,)
        ).one()
    return int(row.key_index)


def test_a_database_in_line_is_not_stale_even_after_a_crash(world: World) -> None:
    """The signer wrote a signature that no worker recorded: that is a crash, not a backup."""
    rich(world, 100)
    world.payout(WHOLE_TOKEN, address=BENEFICIARY)
    world.run_except("transaction.sign", "transaction.broadcast")
    [built] = world.transactions()
    world.parts.signer_client().sign(sign_request(built))
    assert names(world, evidence(world)) == []
    world.run()
    world.finalize()
    assert names(world, evidence(world)) == []
    world.check()


def test_a_log_that_was_cut_is_noticed_and_nothing_goes_out_until_a_person_has_seen_it(
    world: World, tmp_path: Path
) -> None:
    rich(world, 100)
    row = world.payout(WHOLE_TOKEN, address=BENEFICIARY)
    world.run()
    world.finalize()
    whole = (world.directory / "log.jsonl").read_bytes().splitlines(keepends=True)
    cut = tmp_path / "cut.jsonl"
    cut.write_bytes(b"".join(whole[:-1]))
    with world.database.begin() as connection:
        lines, head, at_anchor = flow.read_signer_log(connection, cut)
        anchor = store.find_anchor(connection)
    assert anchor is not None
    assert anchor.sequence == len(whole)
    known = Evidence(lines, head, at_anchor)
    assert names(world, known) == ["signer_log.behind"]
    begin(world, known)
    later = world.payout(WHOLE_TOKEN, address=ONE)
    world.run()
    assert payout_now(world, later).status == "approved"
    assert nonce_at(world, world.treasury) == 1
    _, left = flow.check(world.parts, known)
    assert [each.code for each in left] == ["signer_log.behind"]
    with world.database.begin() as connection:
        flow.acknowledge(connection, [each.name for each in left])
        assert [each.origin for each in freezes.list_in_force(connection)] == ["restore"]
    done, left = flow.check(world.parts, known)
    assert (done.status, left) == ("finished", [])
    _end(world, [(row, BENEFICIARY, 1), (later, ONE, 1)])


def test_sweeps_and_their_gas_that_were_forgotten_are_ours_again(
    make_world: MakeWorld, go_back: Back, tmp_path: Path
) -> None:
    world = make_world(sweep=True)
    rich(world, 100)
    world.finalize()
    intent = world.intent(2_000)
    dump = backup(world, tmp_path / "sweeps.dump")
    world.pay(intent)
    for _ in range(2):
        world.finalize()
        let_pass(world, 60)
    world.finalize()
    assert {each.status for each in world.sweeps()} == {"posted"}
    restored = go_back(world, dump)
    restore = begin(restored, evidence(restored))
    assert (restore.imported >= 2, restore.notes) == (True, [])
    restored.run()
    restored.finalize()
    assert restored.facts(intent)[0] == "succeeded"
    done, left = flow.check(restored.parts, evidence(restored))
    assert (done.status, left) == ("finished", [])
    restored.run()
    restored.finalize()
    restored.check()
    # What was given for gas stands in the tank again, less what it paid for.
    given = [each for each in restored.transactions() if each.purpose == "topup"]
    assert given
    assert all(each.destination_index is not None for each in given)
    assert restored.balance() == 120 * WHOLE_TOKEN
    assert len(restored.sweeps()) == len(world.sweeps())


def _everything_happens(world: World, vault: str, recovery: Recovery) -> tuple[Withdrawal, Payout]:
    """One transaction of each kind, signed and mined after the backup."""
    collect_all(world)
    claim(world, recovery)
    withdrawal = withdraw(
        world.parts,
        asset_name=world.asset("usdc"),
        units=9 * WHOLE_TOKEN,
        destination=vault,
        actor=Actor("key_operator"),
    )
    for _ in range(4):
        let_pass(world, 30)
        world.finalize()
    canceled = world.payout(3 * WHOLE_TOKEN, address=THREE)
    world.run()
    ask(world.parts, transaction_of(world, canceled).id, "cancel", livemode=False)
    let_pass(world, 30)
    world.finalize()
    rotation = announce(world)
    rotating.begin(world.parts, rotation.id)
    for _ in range(4):
        let_pass(world, 3)
        world.finalize()
    return withdrawal, canceled


def test_every_kind_of_transaction_is_imported(
    make_world: MakeWorld, go_back: Back, tmp_path: Path
) -> None:
    """A backup before a collection, a withdrawal, a recovery, an allowance, a cancel, a rotation.

    What the rows of the backup hold is tied, what came later is made again, and what nobody can
    know is said.
    """
    world = make_world(sweep=True, disperse_min=2)
    use_hub(world)
    rich(world, 100)
    world.finalize()
    vault = name_vault(world)
    contract = unlisted(world)
    lost = world.intent(2_500)
    world.pay(lost, contract, 7 * WHOLE_TOKEN)
    addresses = deposited(world, 2)
    recovery = offer(world, lost.address, world.payin(lost).asset)
    held = [world.payout(WHOLE_TOKEN, address=each) for each in (ONE, TWO)]
    world.run_except("payout.build", "sweep.collect", "collect.build")
    dump = backup(world, tmp_path / "kinds.dump")

    withdrawal, canceled = _everything_happens(world, vault, recovery)
    kinds = {each.purpose for each in world.transactions() if each.status == "posted"}
    assert kinds >= {"collect", "withdrawal", "recovery", "topup", "allowance", "rotation"}
    assert {payout_now(world, row).status for row in held} == {"posted"}
    assert payout_now(world, canceled).status == "failed"
    signatures = world.parts.signer_client().status().signed_total

    restored = go_back(world, dump)
    restore = begin(restored, evidence(restored))
    # As every worker does at its start: the signer's policy names the successor.
    named = restored.parts.signer_client().public().treasury_addresses
    with restored.database.begin() as connection:
        put_treasury(connection, named, livemode=False, now=restored.clock())
    codes = {note["code"] for note in restore.notes}
    assert codes == {"payout.forgotten", "rotation.forgotten"}, restore.notes
    for _ in range(3):
        restored.run()
        restored.finalize()
    assert restored.parts.signer_client().status().signed_total == signatures
    _, left = flow.check(restored.parts, evidence(restored))
    assert {each.code for each in left} <= {*codes, "address.lost"}, left
    with restored.database.begin() as connection:
        flow.acknowledge(connection, [each.name for each in left])
    done, left = flow.check(restored.parts, evidence(restored))
    assert (done.status, left) == ("finished", [])
    with restored.database.begin() as connection:
        again = withdrawals.find(connection, withdrawal.id)
    assert again is not None
    assert (again.status, again.token_amount) == ("posted", 9 * WHOLE_TOKEN)
    assert now_of(restored, recovery).status == "succeeded"
    assert {each.status for each in restored.sweeps()} == {"posted"}
    assert {each.address for each in restored.sweeps()} >= set(addresses)
    assert {payout_now(restored, row).status for row in held} == {"posted"}
    restored.check()


def test_what_clones_paid_is_imported(
    make_world: MakeWorld, go_back: Back, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A backup before a factory's collection and recovery, and before a clone was given out.

    The ids of one millisecond are in any order, here the one that is worst: the last one first.
    """
    world = make_world(sweep=True)
    made = use_factory(world)
    rich(world, 100)
    collect_all(world)
    contract = unlisted(world)
    asked = world.intent(2_500)
    world.pay(asked, contract, 7 * WHOLE_TOKEN)
    places = deposited(world, 2)
    recovery = offer(world, asked.address, world.payin(asked).asset)
    dump = backup(world, tmp_path / "clones.dump")

    [late] = deposited(world, 1, whole=9)
    claim(world, recovery)
    collect_all(world, 6)
    assert now_of(world, recovery).status == "succeeded"
    assert {each.status for each in world.sweeps()} == {"posted"}
    held = units_at(world, world.treasury)
    _, last = ids.decode(new_id("sw"))
    numbers = itertools.count(last, -1)
    monkeypatch.setattr(imported, "new_id", lambda prefix: ids.encode(prefix, next(numbers)))

    restored = go_back(world, dump)
    restore = begin(restored, evidence(restored))
    assert (restore.imported, restore.notes) == (2, [])
    for _ in range(3):
        restored.run()
        restored.finalize()
    done, left = flow.check(restored.parts, evidence(restored))
    # A clone that was given out and forgotten is watched: whose it is a person finds out.
    assert {each.name for each in left} == {f"address.lost:{late}"}
    with restored.database.begin() as connection:
        flow.acknowledge(connection, [each.name for each in left])
    done, left = flow.check(restored.parts, evidence(restored))
    assert (done.status, left) == ("finished", [])
    assert now_of(restored, recovery).status == "succeeded"
    ends = {(each.address, each.method, each.factory, each.status) for each in restored.sweeps()}
    assert ends >= {(each, "clone", made.address, "posted") for each in (*places, late)}
    assert (asked.address, "recovery", made.address, "posted") in ends
    assert units_at(restored, restored.treasury) == held
    restored.check()
