"""The sandbox's hub and factory: deposits are collected as on a chain of the world outside.

Their cold key is one of the sandbox's own, which everyone knows. Clones are collected on every
network and given out on none, until `sakk networks deposits` says so.
"""

from collections.abc import Sequence

import msgspec
from eth_account import Account

from sakk.core import evm
from sakk.core.authorization import FileHeader, file_header, file_line
from sakk.core.clone import Factory
from sakk.core.hub import Alone, Hub
from sakk.flow.authorization import import_authorizations
from sakk.rails.evm.clone import factory_deployment, factory_of
from sakk.rails.evm.contract import contract_address, deployment
from sakk.rails.evm.hub import delegate_of
from sakk.rails.sandbox.chain import SandboxChain, derive_private_key, mine_until
from sakk.rails.sandbox.wallet import Wallet
from sakk.signing.keystore import Keystore
from sakk.signing.policy import Policy
from sakk.signing.protocol import Branch
from sakk.store import clone as clones
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


def factory_address(keystore: Keystore) -> str:
    """Where the sandbox's factory of clones stands on each of its chains."""
    return factory_of(hub_address(keystore), _treasury(keystore))


def allow_hub(policy: Policy, keystore: Keystore) -> Policy:
    """The signer's policy with the hub, its delegate and the factory on every network."""
    address = hub_address(keystore)
    named = {"hub": address, "delegate": delegate_of(address)}
    factories = (factory_address(keystore),)
    networks = tuple(
        msgspec.structs.replace(rule, **named, factories=factories) for rule in policy.networks
    )
    return msgspec.structs.replace(policy, networks=networks)


def set_up_hub(database: Database, chains: Sequence[SandboxChain], keystore: Keystore) -> None:
    """Create hub and factory on every chain, authorise deposit addresses, and let them collect."""
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
            clones.put(connection, _factory(chain, keystore))


def _factory(chain: SandboxChain, keystore: Keystore) -> Factory:
    return Factory(
        network=chain.network,
        address=factory_address(keystore),
        hub=hub_address(keystore),
        treasury=keystore.address(Branch.treasury, 0),
        recoverer=keystore.address(Branch.treasury, 0),
        wait_seconds=0,
        age_seconds_max=AGE_SECONDS_MAX,
        cost_percent_max=COST_PERCENT_MAX,
        enabled=True,
        created=now(),
    )


def _deploy(chain: SandboxChain, address: str, keystore: Keystore) -> None:
    with Wallet(chain.rpc_url, chain.payer_private_key) as payer:
        calls = (
            deployment("Hub", *_arguments(keystore)),
            deployment("DepositDelegate", address),
            factory_deployment(address, _treasury(keystore)),
        )
        sent = [
            payer.send_data(evm.CREATE2_DEPLOYER, data, gas_limit=DEPLOY_GAS_LIMIT)
            for data in calls
        ]
        for each in sent:
            mine_until(payer, each)


def _arguments(keystore: Keystore) -> tuple[str, str, str, int]:
    """Treasury, collector, cold key, delay."""
    treasury = _treasury(keystore)
    cold = str(Account.from_key(derive_private_key(COLD_INDEX)).address)
    return treasury, treasury, cold, DELAY_SECONDS


def _treasury(keystore: Keystore) -> str:
    return evm.checksum_address(keystore.address(Branch.treasury, 0))
