"""A world that gives out clones: the factory on its chain, in its policy and in its database."""

from typing import Any

import msgspec
from tests.chain import Chain
from tests.clone import DeployedFactory, deploy_factory
from tests.flow.harness import World
from tests.hub import DeployedHub, deploy_hub

from sakk.core import evm
from sakk.core.network import DepositMethod
from sakk.flow.clone import put_factory, set_deposits
from sakk.signing.policy import load_policy, write_policy


def use_factory(
    world: World,
    *,
    chain: Chain | None = None,
    hub: DeployedHub | None = None,
    give_out: bool = True,
    wait_seconds: int = 0,
    **settings: Any,
) -> DeployedFactory:
    """Deploy a factory whose hub pays the treasury, and name it in the policy; give out clones."""
    chain = chain or world.chain
    treasury = evm.checksum_address(world.treasury)
    deployed = deploy_factory(
        chain, hub or deploy_hub(chain, treasury=treasury, collector=treasury), recoverer=treasury
    )
    allow_factory(world, deployed)
    put_factory(world.parts, chain.network, deployed.address, wait_seconds=wait_seconds, **settings)
    if give_out:
        set_deposits(world.parts, chain.network, DepositMethod.clone, deployed.address)
    return deployed


def allow_factory(world: World, deployed: DeployedFactory) -> None:
    """Name a factory in the signer's policy."""
    path = world.directory / "policy.toml"
    policy, _ = load_policy(path)
    networks = tuple(
        msgspec.structs.replace(rule, factories=(*rule.factories, deployed.address))
        if rule.network == deployed.chain.network
        else rule
        for rule in policy.networks
    )
    write_policy(path, msgspec.structs.replace(policy, networks=networks))
