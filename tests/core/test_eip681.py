"""EIP-681 URIs by vector."""

import pytest

from sakk.core.eip681 import payment_uri

TOKEN = "0x036CbD53842c5426634e7929541eC2318f3dCF7e"
TO = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"


@pytest.mark.parametrize(
    ("asset", "units", "uri"),
    [
        (
            f"eip155:84532/erc20:{TOKEN.lower()}",
            25_000_000,
            f"ethereum:{TOKEN}@84532/transfer?address={TO}&uint256=25000000",
        ),
        ("eip155:1/slip44:60", 10**18, f"ethereum:{TO}@1?value=1000000000000000000"),
        ("eip155:1/slip44:60", 0, f"ethereum:{TO}@1?value=0"),
    ],
)
def test_vectors(asset: str, units: int, uri: str) -> None:
    assert payment_uri(asset=asset, address=TO.lower(), units=units) == uri


@pytest.mark.parametrize(
    ("asset", "address", "units"),
    [
        ("eip155:1/slip44:60", TO, -1),
        ("eip155:1/slip44:60", TO, 1 << 256),
        ("eip155:1/slip44:60", "0x12", 1),
        ("eip155:1/slip44:0", TO, 1),
        ("tron:0x2b6653dc/slip44:195", TO, 1),
    ],
)
def test_what_no_wallet_could_pay_is_refused(asset: str, address: str, units: int) -> None:
    with pytest.raises(ValueError):
        payment_uri(asset=asset, address=address, units=units)
