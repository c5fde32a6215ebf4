"""The doctor's findings that need nothing around them."""

from dataclasses import replace

import pytest
from tests.flow.policing import Desk
from tests.networks import a_network, a_token

from sakk.ledger import machine
from sakk.runtime.doctor import examine_machine, examine_policy, examine_providers
from sakk.store.database import Database
from sakk.store.identity import now
from sakk.store.network import put_asset, put_network

LIVE = a_network(
    "eip155:8453",
    name="Base",
    livemode=True,
    rpc_urls=["http://127.0.0.1:1"],
    confirmations=2,
    created=now(),
)


def test_the_doctor_says_which_machine_serves_and_how_to_get_the_fast_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = examine_machine()
    assert found.ok
    assert found.message == "the compiled machine serves"
    monkeypatch.setattr(machine, "IS_BUILT", False)
    found = examine_machine()
    assert not found.ok
    assert "make setup" in found.message


def test_the_doctor_tells_what_real_money_waits_for(database: Database) -> None:
    assert list(examine_policy(database)) == []
    with database.begin() as connection:
        put_network(connection, LIVE)
    assert [(each.ok, each.subject) for each in examine_policy(database)] == [
        (False, "persons"),
        (False, "policy"),
    ]
    desk = Desk(database, "acct_1")
    desk.admins(livemode=True)
    desk.enact(livemode=True)
    found = list(examine_policy(database))
    assert [(each.ok, each.subject) for each in found] == [(True, "persons"), (True, "policy")]
    with database.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE api_keys SET person = NULL WHERE person = (SELECT min(person) FROM api_keys)"
        )
    [*_, loose] = examine_policy(database)
    assert (loose.ok, loose.message) == (
        False,
        "1 live keys of the operator belong to no person: revoke them",
    )


def test_the_doctor_tells_of_what_waits_for_a_second_provider(database: Database) -> None:
    token = a_token(f"{LIVE.network}/erc20:0x{1:040x}", compare_above=5, created=now())
    two = replace(LIVE, rpc_urls=[*LIVE.rpc_urls, "http://127.0.0.1:2"])
    found = []
    for network in (two, LIVE):
        with database.begin() as connection:
            put_network(connection, network)
            put_asset(connection, token)
        found.append([(each.ok, each.subject) for each in examine_providers(database)])
    assert found == [[], [(False, token.asset)]]
