"""A keystore, files in a private directory, and factories for requests and signers."""

import dataclasses
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sakk.core import abi, caip, evm
from sakk.signing.keystore import SCRYPT_N_MIN, Keystore, create_keystore
from sakk.signing.policy import Policy, sandbox_policy, write_policy
from sakk.signing.protocol import Branch, KeyReference, Purpose, SignRequest
from sakk.signing.server import SignerFiles, signer_files
from sakk.signing.signer import Signer

NETWORK = "eip155:84532"
TOKEN = "0x036cbd53842c5426634e7929541ec2318f3dcf7e"
USDC = f"{NETWORK}/erc20:{TOKEN}"
NATIVE = f"{NETWORK}/slip44:60"
PAYEE = "0x" + "ab" * 20
SEED = bytes(range(32))
PASSPHRASE = "correct horse battery staple"
START = datetime(2026, 1, 1, tzinfo=UTC)


@dataclasses.dataclass
class Clock:
    """A clock that moves when it is told to."""

    now: datetime = START

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **span: float) -> None:
        self.now += timedelta(**span)


@pytest.fixture(scope="session")
def keystore(tmp_path_factory: pytest.TempPathFactory) -> Keystore:
    path = tmp_path_factory.mktemp("keystore") / "keystore.json"
    return create_keystore(path, PASSPHRASE, now=START, seed=SEED, scrypt_n=SCRYPT_N_MIN)


@pytest.fixture
def policy() -> Policy:
    return sandbox_policy([NETWORK], {USDC: 6, NATIVE: 18})


@pytest.fixture
def files(tmp_path: Path, keystore: Keystore, policy: Policy) -> SignerFiles:
    """A data directory with keystore and policy."""
    files = signer_files(tmp_path)
    files.directory.mkdir(mode=0o700)
    files.keystore.touch(mode=0o600)
    files.keystore.write_bytes(keystore.path.read_bytes())
    write_policy(files.policy, policy)
    return files


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def open_signer(
    files: SignerFiles, keystore: Keystore, clock: Clock
) -> Iterator[Callable[[], Signer]]:
    """Open the signer of the data directory, as at a start of its process."""
    opened: list[Signer] = []

    def open_signer() -> Signer:
        while opened:
            opened.pop().close()
        signer = Signer(
            keystore=keystore, policy_path=files.policy, log_path=files.log, clock=clock
        )
        opened.append(signer)
        return signer

    yield open_signer
    while opened:
        opened.pop().close()


@pytest.fixture
def make_request(keystore: Keystore) -> Callable[..., SignRequest]:
    """A request that is true to itself; ``fields`` change the transaction, the rest the claims."""

    def make_request(
        *,
        asset: str = USDC,
        destination: str = PAYEE,
        amount: int = 25_000_000,
        branch: Branch = Branch.treasury,
        index: int = 0,
        fields: dict[str, Any] | None = None,
        **claims: Any,
    ) -> SignRequest:
        contract = caip.erc20_contract(asset)
        transaction = evm.Transaction(
            chain_id=84532,
            nonce=0,
            max_priority_fee_per_gas=10**9,
            max_fee_per_gas=2 * 10**9,
            gas_limit=100_000,
            to=contract or destination,
            value=0 if contract else amount,
            data=abi.encode_transfer(destination, amount) if contract else b"",
        )
        transaction = dataclasses.replace(transaction, **(fields or {}))
        request = SignRequest(
            intent_id="po_1",
            purpose=Purpose.payout,
            network=NETWORK,
            key=KeyReference(branch, index),
            unsigned=evm.encode_unsigned(transaction),
            asset=asset,
            destination=destination,
            token_amount=str(amount),
        )
        return msgspec.structs.replace(request, **claims)

    return make_request
