"""The test wallet behind the checkout's button, in the sandbox alone.

The local node sends in the name of the payer's address, so no key is loaded in the API's process.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from sakk.core.abi import encode_transfer
from sakk.core.errors import Unavailable
from sakk.rails.sandbox.rpc import LocalRpc
from sakk.store.database import Database
from sakk.store.network import find_network

PAYER_NAME: Final = "sandbox_payer"
GAS_LIMIT: Final = 150_000


def wallet_of(database: Database, folder: Path) -> Callable[[str, str, str, int], None]:
    """What sends units of a token on a network to an address, and does not wait for a block."""

    def pay(network: str, contract: str, to: str, units: int) -> None:
        payer = (folder / PAYER_NAME).read_text()
        with database.begin() as connection:
            found = find_network(connection, network)
        if found is None:
            raise Unavailable(f"There is no network {network}.")
        rpc = LocalRpc(found.rpc_urls[0])
        rpc.call("anvil_impersonateAccount", payer)
        data = "0x" + encode_transfer(to.lower(), units).hex()
        sent = {"from": payer, "to": contract, "data": data, "gas": hex(GAS_LIMIT)}
        rpc.call("eth_sendTransaction", sent)

    return pay
