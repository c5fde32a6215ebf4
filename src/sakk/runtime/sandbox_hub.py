"""The sandbox's hub: deposits are collected by it as on a chain of the world outside.

Its cold key is one of the sandbox's own, which everyone knows.
"""

from collections.abc import Sequence

import msgspec
from eth_account import Account

from sakk.core import evm
from sakk.core.authorization import FileHeader, file_header, file_line
from sakk.core.hub import Alone, Hub
from sakk.flow.authorization import import_authorizations
from sakk.rails.evm.contract import contract_address, deployment
from sakk.rails.evm.hub import delegate_of
from sakk.rails.sandbox.chain import SandboxChain, derive_private_key, mine_until
from sakk.rails.sandbox.wallet import Wallet
from sakk.signing.keystore import Keystore
from sakk.signing.policy import Policy
from sakk.signing.protocol import Branch
from sakk.store import hub as hubs
from sakk.store.database import Database
from sakk.store.identity import now

COLD_INDEX = 3
DELAY_SECONDS = 86_400
DEPLOY_GAS_LIMIT = 3_000_000
# Addresses beyond these are collected by their keys.
AUTHORISED = 512
AGE_SECONDS_MAX = 3_600
COST_PERCENT_MAX = 100


def hub_address(keystore: Keystore) -> str:
    """Where the sandbox's hub stands on each of its chains."""
    return contract_address("Hub", *_arguments(keystore))


def allow_hub(policy: Policy, address: str) -> Policy:
    """The signer's policy with the hub and its delegate on every network."""
    delegate = delegate_of(address)
    networks = tuple(
        msgspec.structs.replace(rule, hub=address, delegate=delegate) for rule in policy.networks
    )
    return msgspec.structs.replace(policy, networks=networks)


def set_up_hub(database: Database, chains: Sequence[SandboxChain], keystore: Keystore) -> None:
    """Create the hub on every chain, authorise deposit addresses for it, and let it collect."""
    address = hub_address(keystore)
    delegate = delegate_of(address)
    for chain in chains:
        _deploy(chain, address, keystore)
    header = FileHeader(xpub=keystore.xpub, delegate=delegate)
    signed = (
        file_line(index, keystore.sign_authorization(index, delegate))
        for index in range(AUTHORISED)
    )
    import_authorizations(database, [file_header(header), *signed], now=now())
    with database.begin() as connection:
        for chain in chains:
            hubs.put(
                connection,
                Hub(
                    network=chain.network,
                    address=address,
                    delegate=delegate,
                    treasury=keystore.address(Branch.treasury, 0),
                    wait_seconds=0,
                    age_seconds_max=AGE_SECONDS_MAX,
                    cost_percent_max=COST_PERCENT_MAX,
                    # One transaction instead of two: who tries the sandbox waits for it.
                    alone=Alone.hub.value,
                    enabled=True,
                    created=now(),
                ),
            )


def _deploy(chain: SandboxChain, address: str, keystore: Keystore) -> None:
    with Wallet(chain.rpc_url, chain.payer_private_key) as payer:
        calls = (
            deployment("Hub", *_arguments(keystore)),
            deployment("DepositDelegate", address),
        )
        sent = [
            payer.send_data(evm.CREATE2_DEPLOYER, data, gas_limit=DEPLOY_GAS_LIMIT)
            for data in calls
        ]
        for each in sent:
            mine_until(payer, each)


def _arguments(keystore: Keystore) -> tuple[str, str, str, int]:
    """Treasury, collector, cold key, delay."""
    treasury = evm.checksum_address(keystore.address(Branch.treasury, 0))
    cold = str(Account.from_key(derive_private_key(COLD_INDEX)).address)
    return treasury, treasury, cold, DELAY_SECONDS
