"""A factory of clones on a local chain, beside the hub of `tests.hub`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sakk.core import clone, evm, hub
from sakk.rails.evm.clone import factory_deployment, factory_of
from tests.chain import Chain
from tests.hub import DEPLOY_GAS_LIMIT, DeployedHub

DEPLOY_FACTORY_GAS_LIMIT = 2 * DEPLOY_GAS_LIMIT


@dataclass(frozen=True, slots=True)
class DeployedFactory:
    """A factory of a test. The cold key is its hub's."""

    chain: Chain
    hub: DeployedHub
    address: str
    recoverer: str

    def cold_call(self, signature: str, *arguments: Any) -> None:
        """A call by the cold key, mined."""
        self.hub.cold_call(signature, *arguments, to=self.address)

    def sweep(self, items: Sequence[clone.Item], **settings: Any) -> dict[str, Any]:
        """Have clones pay, at the call of the payer; the receipt."""
        payer = self.chain.payer
        sent = payer.send_data(
            self.address, clone.encode_sweep(items), gas_limit=hub.TRANSACTION_GAS_MAX
        )
        self.chain.mine()
        return payer.wait(sent, **settings)


def deploy_factory(chain: Chain, deployed: DeployedHub, *, recoverer: str) -> DeployedFactory:
    """Create a factory with CREATE2, and mine it."""
    address = factory_of(deployed.address, recoverer)
    data = factory_deployment(deployed.address, recoverer)
    chain.payer.send_data(evm.CREATE2_DEPLOYER, data, gas_limit=DEPLOY_FACTORY_GAS_LIMIT)
    chain.mine()
    return DeployedFactory(chain, deployed, address, recoverer.lower())
