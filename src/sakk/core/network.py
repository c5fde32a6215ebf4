"""Networks, assets and currencies: what money may arrive in, and when it is final."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from sakk.core.evm import checksum_address
from sakk.core.gas_price import (
    MAX_FEE_CAP_WEI,
    PRIORITY_FEE_CAP_WEI,
    REPLACE_AFTER_SECONDS,
    Caps,
)
from sakk.core.money import Rate

# Two share what every transaction costs; a lone payout stays one plain transfer.
DISPERSE_MIN = 2
# Longer than any block takes to reach a node after the time that stands in it.
BLOCK_DELAY_MAX: Final = timedelta(seconds=30)


class CurrencyKind(StrEnum):
    fiat = "fiat"
    coin = "coin"


class Quirk(StrEnum):
    """How a token departs from ERC-20 (EIP-20)."""

    no_return_value = "no_return_value"
    fee_on_transfer = "fee_on_transfer"
    pausable = "pausable"
    deny_listed = "deny_listed"


class DepositMethod(StrEnum):
    """What a deposit address is: of a key (the same on every EVM network), or a factory's clone."""

    key = "key"
    clone = "clone"


@dataclass(frozen=True, slots=True)
class Currency:
    """A unit of account. ``usd_numerator/usd_denominator``: USD for one whole unit, if known."""

    currency: str
    name: str
    kind: str
    decimals: int
    usd_numerator: int | None
    usd_denominator: int | None
    updated: datetime


@dataclass(frozen=True, slots=True)
class Network:
    """A chain by CAIP-2. Final when the head is at least a block's number + confirmations.

    ``bloom``: how far a block's bloom proves its logs complete, ``exact``, ``suspicious`` or
    ``none`` (see ``rails.evm.watch``). ``max_fee_per_gas_max`` and ``max_priority_fee_per_gas_max``
    are the most that is offered, in wei per gas. What no block has taken for
    ``replace_after_seconds`` is offered again for more. With ``exposure`` every transfer of its
    listed tokens is kept, to say where money came from. ``topup_wei_per_day_max``: how much gas
    deposit addresses are given in 24 hours, None for no limit but the signer's.
    ``deposit_factory``: whose clones are given out from now on, None for the addresses of keys.
    """

    network: str
    name: str
    family: str
    livemode: bool
    enabled: bool
    rpc_urls: list[str]
    confirmations: int
    block_seconds: int
    poll_milliseconds: int
    start_block: int | None
    native_asset: str
    bloom: str
    created: datetime
    max_fee_per_gas_max: int = MAX_FEE_CAP_WEI
    max_priority_fee_per_gas_max: int = PRIORITY_FEE_CAP_WEI
    replace_after_seconds: int = REPLACE_AFTER_SECONDS
    exposure: bool = False
    topup_wei_per_day_max: int | None = None
    deposit_factory: str | None = None

    @property
    def deposit_method(self) -> DepositMethod:
        """Which addresses are given out for it from now on."""
        return DepositMethod.key if self.deposit_factory is None else DepositMethod.clone

    @property
    def fee_caps(self) -> Caps:
        return Caps(self.max_fee_per_gas_max, self.max_priority_fee_per_gas_max)


@dataclass(frozen=True, slots=True)
class Asset:
    """A token on a network by CAIP-19, listed by the operator. A symbol is never an identity.

    A pay-in or payout of ``compare_above`` atomic units and more is confirmed when two providers
    say so.
    ``sweep_minimum`` and ``payout_minimum`` in atomic units: less is not worth its gas.
    ``disperse_min`` payouts and more that are due together go in one transaction; 0: never.
    """

    asset: str
    network: str
    contract: str | None
    currency: str
    symbol: str
    decimals: int
    quirks: list[str]
    payin_enabled: bool
    payout_enabled: bool
    sweep_minimum: int
    eip712_name: str | None
    eip712_version: str | None
    created: datetime
    compare_above: int | None = None
    payout_minimum: int = 0
    disperse_min: int = DISPERSE_MIN

    @property
    def is_native(self) -> bool:
        return self.contract is None


def unit_rate(source: Currency, target: Currency) -> Rate | None:
    """Smallest units of ``target`` for one smallest unit of ``source``; None without a price."""
    if source.currency == target.currency:
        return Rate(1, 1)
    if (
        source.usd_numerator is None
        or source.usd_denominator is None
        or target.usd_numerator is None
        or target.usd_denominator is None
    ):
        return None
    return Rate(
        source.usd_numerator * target.usd_denominator * 10**target.decimals,
        source.usd_denominator * target.usd_numerator * 10**source.decimals,
    )


def is_final(*, block_number: int, head_number: int, confirmations: int) -> bool:
    """Has the chain built enough on this block for money to be moved?"""
    return head_number >= block_number + confirmations


def public_currency(currency: Currency, assets: list[Asset]) -> dict[str, Any]:
    """The API's object ``currency``."""
    return {
        "id": currency.currency,
        "object": "currency",
        "name": currency.name,
        "kind": currency.kind,
        "decimals": currency.decimals,
        "usd_rate": None
        if currency.usd_numerator is None
        else {
            "numerator": str(currency.usd_numerator),
            "denominator": str(currency.usd_denominator),
        },
        "assets": [asset.asset for asset in assets if asset.currency == currency.currency],
        "created": int(currency.updated.timestamp()),
        "metadata": {},
    }


@dataclass(frozen=True, slots=True)
class Followed:
    """How far a network was read: the time of the newest block (Unix seconds).

    ``looked``: when that block was last seen to be the newest; None while others wait to be read.
    """

    block_timestamp: int
    looked: datetime | None

    def is_past(self, moment: datetime) -> bool:
        """Was every block read whose time is not after that second?

        A younger block says so. A clock alone does not: a block comes after the time that stands in
        it, so only of a network that has been silent for long enough none is still to come.
        """
        if self.block_timestamp > int(moment.timestamp()):
            return True
        return self.looked is not None and self.looked >= moment + BLOCK_DELAY_MAX


def public_network(
    network: Network, assets: list[Asset], *, head_number: int | None, operator: bool = False
) -> dict[str, Any]:
    """The API's object ``network``. RPC addresses are the operator's and not shown.

    ``operator``: which deposit addresses are given out is the operator's alone.
    """
    factory = network.deposit_factory if operator else None
    return {
        "id": network.network,
        "object": "network",
        "network": network.network,
        "name": network.name,
        "family": network.family,
        "livemode": network.livemode,
        "enabled": network.enabled,
        "confirmations": network.confirmations,
        "block_seconds": network.block_seconds,
        "deposit_factory": None if factory is None else checksum_address(factory),
        "deposit_method": network.deposit_method.value if operator else None,
        "head_block_number": head_number,
        "native_asset": network.native_asset,
        "tokens": [
            {
                "asset": asset.asset,
                "currency": asset.currency,
                "symbol": asset.symbol,
                "contract": asset.contract,
                "decimals": asset.decimals,
                "payin_enabled": asset.payin_enabled,
                "payout_enabled": asset.payout_enabled,
                "payout_minimum": str(asset.payout_minimum),
            }
            for asset in assets
            if asset.network == network.network and asset.contract is not None
        ],
        "created": int(network.created.timestamp()),
        "metadata": {},
    }
