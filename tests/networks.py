"""A network and a token as tests need them: what a test is about, it says."""

from typing import Any

from sakk.core.network import Asset, Network


def a_network(identifier: str, /, **told: Any) -> Network:
    """A test network of the EVM, by its CAIP-2 name; ``created`` has no usual value."""
    usual: dict[str, Any] = {
        "name": "Base Sepolia",
        "family": "eip155",
        "livemode": False,
        "enabled": True,
        "rpc_urls": [],
        "confirmations": 1,
        "block_seconds": 2,
        "poll_milliseconds": 100,
        "start_block": None,
        "native_asset": f"{identifier}/slip44:60",
        "bloom": "none",
    }
    return Network(network=identifier, **(usual | told))


def a_token(asset: str, /, **told: Any) -> Asset:
    """USDC, by its CAIP-19 name; ``created`` has no usual value."""
    usual: dict[str, Any] = {
        "network": asset.partition("/")[0],
        "contract": asset.partition("/erc20:")[2] or None,
        "currency": "usdc",
        "symbol": "USDC",
        "decimals": 6,
        "quirks": [],
        "payin_enabled": True,
        "payout_enabled": True,
        "sweep_minimum": 0,
        "eip712_name": None,
        "eip712_version": None,
    }
    return Asset(asset=asset, **(usual | told))
