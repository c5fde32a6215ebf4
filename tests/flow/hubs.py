"""A world that collects by a hub: what stands on its chain, in its policy and in its database."""

from collections.abc import Sequence
from typing import Any

import msgspec
from tests.chain import Chain
from tests.flow.harness import World
from tests.flow.money import let_pass
from tests.flow.wiring import WHOLE_TOKEN
from tests.hub import DeployedHub, deploy_hub

from sakk.core import evm
from sakk.core.authorization import FileHeader, file_header, file_line
from sakk.core.hub import Alone
from sakk.flow.authorization import import_authorizations
from sakk.flow.hub import put_hub
from sakk.signing.policy import load_policy, write_policy

AUTHORISED = 256


def use_hub(
    world: World,
    *,
    chain: Chain | None = None,
    authorised: int = AUTHORISED,
    alone: Alone = Alone.hub,
    wait_seconds: int = 0,
    **settings: Any,
) -> DeployedHub:
    """Deploy a hub that pays the treasury, name it in the policy, and import authorisations."""
    chain = chain or world.chain
    treasury = evm.checksum_address(world.treasury)
    deployed = deploy_hub(chain, treasury=treasury, collector=treasury)
    allow_hub(world, deployed)
    header = FileHeader(xpub=world.keystore.xpub, delegate=deployed.delegate)
    signed = [
        file_line(index, world.keystore.sign_authorization(index, deployed.delegate))
        for index in range(authorised)
    ]
    import_authorizations(world.database, [file_header(header), *signed], now=world.clock())
    put_hub(
        world.parts,
        chain.network,
        deployed.address,
        alone=alone,
        wait_seconds=wait_seconds,
        **settings,
    )
    return deployed


def allow_hub(world: World, deployed: DeployedHub, **rules: Any) -> None:
    """Name a hub and its delegate in the signer's policy."""
    path = world.directory / "policy.toml"
    policy, _ = load_policy(path)
    networks = tuple(
        msgspec.structs.replace(rule, hub=deployed.address, delegate=deployed.delegate, **rules)
        if rule.network == deployed.chain.network
        else rule
        for rule in policy.networks
    )
    write_policy(path, msgspec.structs.replace(policy, networks=networks))


def deposited(world: World, count: int, *, whole: int = 5, token: str = "usdc") -> list[str]:
    """Customers' addresses, each paid so many whole tokens, credited and not swept yet."""
    addresses = [world.customer_address(world.customer()) for _ in range(count)]
    pay_again(world, addresses, whole=whole, token=token)
    return addresses


def pay_again(
    world: World, addresses: Sequence[str], *, whole: int = 5, token: str = "usdc"
) -> None:
    for address in addresses:
        world.pay(address, token, whole * WHOLE_TOKEN)
    world.mine(3)
    world.run_except("sweep.collect")


def collect_all(world: World, rounds: int = 3) -> None:
    """Everything runs until what is collected is final and booked."""
    for _ in range(rounds):
        let_pass(world, 3)
        world.mine()
    world.mine(2)
    let_pass(world, 3)
