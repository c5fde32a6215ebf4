"""EIP-681 payment URIs: what a wallet reads from a QR code.

``ethereum:<token>@<chain id>/transfer?address=<to>&uint256=<units>`` for a token, and
``ethereum:<to>@<chain id>?value=<wei>`` for the native coin. Amounts are whole atomic units:
EIP-681 also allows ``2.5e6``, which wallets round differently.
"""

from sakk.core import caip, evm


def payment_uri(*, asset: str, address: str, units: int) -> str:
    """Ask for ``units`` of a CAIP-19 asset at ``address``; ValueError if either is malformed."""
    if not 0 <= units <= evm.UINT256_MAX:
        raise ValueError(f"not an unsigned 256-bit amount: {units}")
    chain_id = caip.chain_id(caip.asset_network(asset))
    contract = caip.erc20_contract(asset)
    to = evm.checksum_address(evm.parse_address(address))
    if contract is None:
        return f"ethereum:{to}@{chain_id}?value={units}"
    token = evm.checksum_address(contract)
    return f"ethereum:{token}@{chain_id}/transfer?address={to}&uint256={units}"
