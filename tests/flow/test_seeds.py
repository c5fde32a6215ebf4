"""Another seed for deposits: new addresses are its own, old ones are watched and collected."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from tests.chain import Chain
from tests.flow.harness import World, open_world
from tests.flow.money import let_pass, units_at
from tests.flow.test_rotation import until_empty
from tests.flow.wiring import WHOLE_TOKEN

from sakk.core import hd
from sakk.core.authorization import FileHeader, file_header, file_line
from sakk.core.errors import Misconfigured, ParameterInvalid
from sakk.flow import collect
from sakk.flow import rotation as rotating
from sakk.flow.authorization import import_authorizations
from sakk.flow.customer import renew
from sakk.signing.keystore import SCRYPT_N_MIN, First, KeyRing, Keystore, create_keystore
from sakk.signing.policy import RotationRule, load_policy, write_policy
from sakk.signing.protocol import Branch
from sakk.store import address
from sakk.store.database import Database
from sakk.store.identity import new_id

FIRST = First(deposit=5_000, treasury=1)
DELEGATE = "0x" + "de" * 20


@pytest.fixture
def second(world_keystore: Keystore, tmp_path: Path) -> Keystore:
    return create_keystore(
        tmp_path / "keystore-002.json",
        "correct horse battery staple",
        now=datetime(2026, 1, 1, tzinfo=UTC),
        seed=b"\x09" * 32,
        scrypt_n=SCRYPT_N_MIN,
        first=FIRST,
    )


def ring_of(*keystores: Keystore) -> Keystore:
    """Both seeds, for a world that asks for one: it is the signer's, which asks for `Keys`."""
    return cast(Keystore, KeyRing(keystores))


def begin_seed(world: World) -> list[int]:
    """As every worker does at its start."""
    later = world.parts.signer_client().public().later_xpubs
    with world.database.begin() as connection:
        return address.put_seeds(connection, later, now=world.clock())


def index_of(world: World, place: str) -> int:
    with world.database.begin() as connection:
        found = address.find_address(connection, place)
    assert found is not None
    return found.key_index


def readdress(world: World, made: list[dict[str, Any]], old: list[str]) -> None:
    """Nobody is told an address of the stolen seed any more, and what comes there is credited."""
    for below in (0, FIRST.deposit + 1):
        with pytest.raises(ParameterInvalid, match="New addresses begin"):
            renew(world.database, below=below, now=world.clock())
    told: list[int] = []
    first = renew(world.database, below=FIRST.deposit, now=world.clock(), progress=told.append)
    again = renew(world.database, below=FIRST.deposit, now=world.clock())
    assert (first, again, told) == (3, 0, [3])
    network_name = world.chain.network
    for customer, before in zip(made, old, strict=True):
        [event] = [
            each for each in world.events(about=customer["id"]) if each.type == "customer.updated"
        ]
        now_at = event.object["crypto_deposit_addresses"][network_name]["address"].lower()
        assert index_of(world, now_at) > FIRST.deposit
        changed = json.loads(event.body)["data"]["previous_attributes"]
        was = changed["crypto_deposit_addresses"][network_name]["address"]
        assert was.lower() == before


def test_a_stolen_seed_is_left_behind(
    database: Database, chain: Chain, world_keystore: Keystore, second: Keystore
) -> None:
    """New addresses at once, what stands at the old ones by its worth, and another treasury."""
    with open_world(database, [chain], ring_of(world_keystore, second), sweep=True) as world:
        customers = [world.customer() for _ in range(3)]
        old = [world.customer_address(each) for each in customers]
        assert begin_seed(world) == [FIRST.deposit]
        assert begin_seed(world) == []
        fresh = world.customer_address(world.customer())
        assert index_of(world, fresh) == FIRST.deposit
        assert fresh == hd.deposit_address(second.xpub, FIRST.deposit)
        intent = world.intent(1_000)
        assert index_of(world, intent.address) == FIRST.deposit + 1
        readdress(world, customers, old)
        for place, whole in zip([*old, fresh], (3, 9, 5, 2), strict=True):
            world.pay(place, "usdc", whole * WHOLE_TOKEN)
        world.mine(3)
        world.run_except("sweep.collect")
        assert collect.hurry(world.parts, below=FIRST.deposit) == 3
        with world.database.begin() as connection:
            order = connection.exec_driver_sql(
                "SELECT address FROM deposits WHERE address <> %s ORDER BY since", (fresh,)
            )
            assert list(order.scalars()) == [old[1], old[2], old[0]]
        path = world.directory / "policy.toml"
        policy, _ = load_policy(path)
        rule = RotationRule(source=0, target=1)
        write_policy(
            path, msgspec.structs.replace(policy, treasury_indexes=(0, 1), rotations=(rule,))
        )
        rotation = rotating.announce(
            world.parts, source_index=0, target_index=1, reason="theft", identifier=new_id("kr")
        )
        world.watch()
        rotating.begin(world.parts, rotation.id)
        until_empty(world, rotation, rounds=12)
        for _ in range(12):
            if {each.status for each in world.sweeps()} == {"posted"}:
                break
            let_pass(world, 6)
            world.finalize()
        assert {each.status for each in world.sweeps()} == {"posted"}
        treasury = second.address(Branch.treasury, 1)
        assert rotation.target == treasury
        assert units_at(world, treasury) == 19 * WHOLE_TOKEN
        assert [units_at(world, each) for each in (*old, fresh)] == [0] * 4
        world.check()


def test_authorisations_are_of_the_seed_that_has_the_index(
    database: Database, chain: Chain, world_keystore: Keystore, second: Keystore
) -> None:
    with open_world(database, [chain], ring_of(world_keystore, second)) as world:
        begin_seed(world)

        def bring(keystore: Keystore, index: int) -> int:
            heading = file_header(FileHeader(xpub=keystore.xpub, delegate=DELEGATE))
            line = file_line(index, keystore.sign_authorization(index, DELEGATE))
            return import_authorizations(world.database, [heading, line], now=world.clock()).added

        assert bring(world_keystore, 7) == bring(second, FIRST.deposit) == 1
        for keystore, index in ((world_keystore, FIRST.deposit), (second, 7)):
            with pytest.raises(ParameterInvalid, match="signed by"):
                bring(keystore, index)


def test_an_index_is_never_of_two_seeds(
    database: Database, chain: Chain, world_keystore: Keystore, second: Keystore
) -> None:
    with open_world(database, [chain], world_keystore) as world:
        with world.database.begin() as connection:
            assert address.next_seed_index(connection) >= address.SEED_GAP
            connection.exec_driver_sql("SELECT setval('address_index', 6000, false)")
            for first in (FIRST.deposit, 6_000):
                with pytest.raises(Misconfigured, match="was given out before"):
                    address.put_seeds(connection, {first: second.xpub}, now=world.clock())
            address.put_seeds(connection, {9_000: second.xpub}, now=world.clock())
            with pytest.raises(Misconfigured, match="is not the one that was recorded"):
                address.put_seeds(connection, {9_000: world_keystore.xpub}, now=world.clock())
