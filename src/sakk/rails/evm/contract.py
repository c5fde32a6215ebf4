"""Our contracts on real chains: their creation code, and where CREATE2 puts them on every chain.

``contracts/build.mjs`` writes the artefacts; ``contracts/README.md`` says what each is for.
"""

import json
from functools import cache
from importlib import resources
from typing import Any

from sakk.core import evm

# One salt for all: the address follows from the code and its arguments alone.
SALT = bytes(32)


def creation_code(name: str, *arguments: Any) -> bytes:
    """The code that creates a contract, with its constructor's arguments."""
    # Imported at the first use: it costs every process a third of its start.
    from eth_abi.abi import encode

    found = artifact(name)
    types = [
        parameter["type"]
        for entry in found["abi"]
        if entry["type"] == "constructor"
        for parameter in entry["inputs"]
    ]
    return bytes.fromhex(found["bytecode"][2:]) + encode(types, list(arguments))


def contract_address(name: str, *arguments: Any) -> str:
    """Where a contract with these arguments stands or will stand: lower-case hex."""
    return evm.create2_address(creation_code(name, *arguments), salt=SALT)


def deployment(name: str, *arguments: Any) -> bytes:
    """Calldata for ``evm.CREATE2_DEPLOYER`` that creates a contract."""
    return SALT + creation_code(name, *arguments)


@cache
def artifact(name: str) -> dict[str, Any]:
    """ABI and bytecode as the build wrote them."""
    file = resources.files("sakk.rails.evm") / "artifacts" / f"{name}.json"
    found: dict[str, Any] = json.loads(file.read_text())
    return found
