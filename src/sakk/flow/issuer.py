"""Issuers: what tokens' contracts say of addresses, read before a verdict and outside of any
transaction."""

from collections.abc import Collection
from dataclasses import dataclass, field

import structlog

from sakk.core.caip import asset_network, erc20_contract
from sakk.core.errors import SakkError
from sakk.core.screening import IssuerAnswer, ScreeningRequest, counterparty
from sakk.flow.context import Parts
from sakk.rails.evm.deny_list import denied
from sakk.store import network as networks

log = structlog.get_logger(__name__)

# Which asset's issuer is asked about which address.
Asked = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Asking:
    """What was asked for, and what nodes answered. What is not answered can not be judged."""

    wanted: frozenset[Asked] = frozenset()
    answers: dict[Asked, IssuerAnswer] = field(default_factory=dict)

    def is_answered(self, request: ScreeningRequest) -> bool:
        asked = (request.asset, counterparty(request))
        return asked not in self.wanted or asked in self.answers


def ask_issuers(parts: Parts, wanted: Collection[Asked]) -> Asking:
    """Ask a node of each network once; a network that does not answer leaves its answers out."""
    if not wanted:
        return Asking()
    with parts.database.begin() as connection:
        known = {each.network: each for each in networks.list_networks(connection)}
    answers: dict[Asked, IssuerAnswer] = {}
    for name in sorted({asset_network(asset) for asset, _ in wanted}):
        contracts = {
            asset: contract
            for asset, _ in wanted
            if asset_network(asset) == name and (contract := erc20_contract(asset)) is not None
        }
        asked = [(contracts[asset], address) for asset, address in wanted if asset in contracts]
        try:
            rail = parts.rail_of(known[name])
            block = rail.head().number
            found = denied(rail.rpc, asked, block)
        except SakkError as error:
            log.warning("issuer.unread", network=name, code=error.code, reason=error.message)
            continue
        answers |= {
            (asset, address): IssuerAnswer(block, found[contracts[asset], address])
            for asset, address in wanted
            if asset in contracts
        }
    return Asking(frozenset(wanted), answers)
