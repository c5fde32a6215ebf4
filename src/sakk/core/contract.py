"""Contracts of ours on real chains: each at one address everywhere, which its code alone decides.

CREATE2 (EIP-1014) through the public deployer: the address follows from the deployer, the salt and
the hash of the creation code. The signer carries these hashes and deploys nothing else.
"""

from dataclasses import dataclass

from sakk.core import evm

SALT = bytes(32)


@dataclass(frozen=True, slots=True)
class Contract:
    """A contract by the Keccak-256 of its creation code, constructor arguments included."""

    name: str
    code_hash: str

    @property
    def address(self) -> str:
        """Where it stands on every chain on which it is deployed: lower-case hex."""
        return evm.create2_address_of(bytes.fromhex(self.code_hash[2:]), salt=SALT)


# The artefact of the same name gives this hash; a test holds them together.
DISPERSE = Contract(
    "Disperse", "0x12c2b16fc820d1a9c854f147083d01ae127f5ff7109f1b66d92afe7ae79a0275"
)
CAPTURE = Contract("Capture", "0x5ea0f321b3a0e294657ad2bb7502ffe09c507e79012b2511b661d9b2c09cb982")
CONTRACTS = {each.name: each for each in (DISPERSE, CAPTURE)}


def deployed_by(data: bytes) -> Contract:
    """The contract that calldata of the public deployer creates; ValueError if it is not ours."""
    salt, creation_code = data[: len(SALT)], data[len(SALT) :]
    if salt != SALT:
        raise ValueError("the salt is not the one of our contracts")
    code_hash = "0x" + evm.keccak256(creation_code).hex()
    for contract in CONTRACTS.values():
        if contract.code_hash == code_hash:
            return contract
    raise ValueError(f"code of hash {code_hash} is none of our contracts")
