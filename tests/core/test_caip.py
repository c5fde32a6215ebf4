"""CAIP-2 and CAIP-19 names."""

import pytest

from sakk.core import caip, evm

TOKEN = "0x036CbD53842c5426634e7929541eC2318f3dCF7e"
USDC = f"eip155:84532/erc20:{TOKEN.lower()}"


def test_names_of_an_evm_network() -> None:
    assert caip.evm_network(84532) == "eip155:84532"
    assert caip.chain_id("eip155:84532") == 84532
    assert caip.native_asset("eip155:84532") == "eip155:84532/slip44:60"
    assert caip.erc20_asset("eip155:84532", TOKEN) == USDC
    assert caip.erc20_contract(USDC) == TOKEN.lower()
    assert caip.erc20_contract("eip155:84532/slip44:60") is None
    assert caip.asset_network(USDC) == "eip155:84532"


def test_an_asset_is_read_into_its_canonical_form() -> None:
    asset = caip.parse_asset(f"eip155:84532/erc20:{TOKEN}")
    assert asset == caip.Asset("eip155:84532", "erc20", TOKEN.lower())
    assert str(asset) == USDC


@pytest.mark.parametrize(
    "text", ["tron:0x2b6653dc", "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp", "cosmos:cosmoshub-4"]
)
def test_other_families_parse_and_have_no_chain_id(text: str) -> None:
    assert ":".join(caip.parse_network(text)) == text
    with pytest.raises(ValueError, match="not an EVM network"):
        caip.chain_id(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "eip155",
        "eip155:",
        ":1",
        "eip155:1\n",
        "EIP155:1",
        "eip155:01",
        "eip155:0",
        "eip155:-1",
        "eip155:0x1",
        "eip155:" + "9" * 32,
        "toolongname:1",
        "tron:" + "a" * 33,
    ],
)
def test_malformed_networks_are_refused(text: str) -> None:
    with pytest.raises(ValueError):
        caip.parse_network(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "eip155:1",
        "eip155:1/erc20",
        "eip155:1/erc20:",
        "eip155:1/erc20:0x12",
        "eip155:1/erc20:0x" + "00" * 20,
        f"eip155:1/erc20:{TOKEN[:-1]}E",
        f"eip155:01/erc20:{TOKEN}",
        f"eip155:1/erc20:{TOKEN}/7",
    ],
)
def test_malformed_assets_are_refused(text: str) -> None:
    with pytest.raises(ValueError):
        caip.parse_asset(text)


@pytest.mark.parametrize(
    "text", ["eip155:1/erc721:0x06012c8cf97BEaD5deAe237070F9587f8E7A266d", "eip155:1/slip44:0"]
)
def test_other_kinds_of_asset_have_no_erc20_contract(text: str) -> None:
    with pytest.raises(ValueError, match="neither"):
        caip.erc20_contract(text)


@pytest.mark.parametrize("chain_id", [0, -1, evm.CHAIN_ID_MAX + 1])
def test_chain_ids_out_of_range_are_refused(chain_id: int) -> None:
    with pytest.raises(ValueError, match="out of range"):
        caip.evm_network(chain_id)
