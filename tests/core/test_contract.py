import json
from importlib import resources

import pytest

from sakk.core.contract import CAPTURE, CONTRACTS, DISPERSE, SALT, deployed_by


def test_the_address_follows_from_the_code() -> None:
    # Made with eth-utils from EIP-1014's formula.
    assert DISPERSE.address == "0x84e583a26bf1e27fbd5666d44db2c84ed350e7eb"
    assert CONTRACTS == {"Disperse": DISPERSE, "Capture": CAPTURE}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "the salt is not the one of our contracts"),
        (b"\x01" * 32 + b"code", "the salt is not the one of our contracts"),
        (SALT + b"code", "is none of our contracts"),
    ],
)
def test_other_code_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        deployed_by(data)


@pytest.mark.parametrize("name", CONTRACTS)
def test_our_own_code_is_known(name: str) -> None:
    artifact = resources.files("sakk.rails.evm") / "artifacts" / f"{name}.json"
    code = bytes.fromhex(json.loads(artifact.read_text())["bytecode"].removeprefix("0x"))
    assert deployed_by(SALT + code) == CONTRACTS[name]
