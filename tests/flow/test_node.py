"""Every node of a network is asked, and one that tells another chain is found."""

from dataclasses import replace

from tests.chain import Chain
from tests.console.desk import configure
from tests.flow.policing import NETWORK
from tests.rails.lying_node import lying_node

from sakk.flow.context import Parts
from sakk.flow.node import look
from sakk.runtime.wiring import make_rail
from sakk.store import network as networks
from sakk.store.database import Database
from sakk.store.network import Block


def test_nodes_are_held_against_what_was_followed(module_database: Database, chain: Chain) -> None:
    chain.mine(5)
    with module_database.begin() as connection:
        configure(connection)
        found = networks.find_network(connection, NETWORK)
    assert found is not None
    with lying_node(chain.rpc_url) as node:
        urls = [chain.rpc_url, node.url, "http://127.0.0.1:9"]
        rail = make_rail(replace(found, rpc_urls=urls))
        parts = Parts(module_database, rail=lambda _: rail)
        try:
            seen = look(parts, found)
            assert [each.state for each in seen.nodes] == ["well", "well", "silent"]
            head = seen.nodes[0].head
            assert head is not None
            assert seen.height == head - found.confirmations
            assert "127.0.0.1:9" in (seen.nodes[2].why or "")
            # One forges the block that is compared, and its head is as it was.
            forged = "0x" + "66" * 32
            node.answer(
                "eth_getBlockByNumber",
                lambda params, result: (
                    result if params[0] == "latest" else {**result, "hash": forged}
                ),
            )
            assert [each.state for each in look(parts, found).nodes][:2] == ["well", "differs"]
            # Both say alike, and not what we followed.
            with module_database.begin() as connection:
                block = Block(NETWORK, "0x" + "77" * 32, seen.height, "0x", 0, canonical=True)
                networks.insert_blocks(connection, [block])
            node.honest()
            assert [each.state for each in look(parts, found).nodes][:2] == ["differs", "differs"]
            node.answer(
                "eth_getBlockByNumber",
                lambda params, result: result if params[0] == "latest" else None,
            )
            again = look(parts, found).nodes[1]
            assert (again.state, again.why) == ("silent", f"it has no block {seen.height}")
        finally:
            rail.rpc.close()
        dead = make_rail(replace(found, rpc_urls=["http://127.0.0.1:9"]))
        try:
            alone = look(Parts(module_database, rail=lambda _: dead), found)
            assert ([each.state for each in alone.nodes], alone.height) == (["silent"], None)
        finally:
            dead.rpc.close()
