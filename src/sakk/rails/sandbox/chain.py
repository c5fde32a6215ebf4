"""What stands on every local chain: the real USDC, a Tether-like token, our own contracts,
Multicall3, Permit2 and x402's proxy for it, and the escrow of x402's channels.

``deploy`` puts them at the same addresses on every chain and is safe to call again. Others' code
is placed by ``anvil_setCode`` at its canonical address; everything that a contract remembers is
written by its own calls, as on a public chain. Addresses here carry their EIP-55 checksum.
"""

import hashlib
import json
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib import resources
from typing import Any

from bip32 import BIP32
from eth_abi.abi import encode
from eth_account import Account

from sakk.core import caip, evm
from sakk.core.contract import CONTRACTS, SALT
from sakk.core.errors import Misconfigured
from sakk.rails.sandbox.node import MNEMONIC, NATIVE_COINS_EACH
from sakk.rails.sandbox.rpc import Call
from sakk.rails.sandbox.wallet import Receipt, Wallet, encode_call

PAYER_INDEX = 0
# Owns, mints and governs the tokens.
ISSUER_INDEX = 1
# Administers USDC's proxy and nothing else: a proxy forwards no call of its administrator.
PROXY_ADMIN_INDEX = 2
DECIMALS = 6
PAYER_UNITS = 1_000_000_000 * 10**DECIMALS
ISSUER_TETHER_UNITS = 1_000_000_000_000 * 10**DECIMALS
MINTER_ALLOWANCE = 1 << 255
CREATE2_SALT = bytes(32)
# keccak256("org.zeppelinos.proxy.implementation") and ("….admin"), where Circle's proxy keeps them.
IMPLEMENTATION_SLOT = "0x7050c9e0f4ca769c69bd3a8ef740bc37934f8e2c036e5a723fd8ee048ed3f8c3"
ADMIN_SLOT = "0x10d6a54a4754c8869d6886b5f5d7fbfa5b4522237ea5c60d11bc4e7a1ff9390b"
INITIALIZE = "initialize(string,string,string,uint8,address,address,address,address)"
# Code that stands where it stands on public chains, others' and what takes the place of others'.
PLACED = (
    "FiatTokenProxy",
    "FiatTokenV2_2",
    "SignatureChecker",
    "Multicall3",
    "Permit2",
    "BatchSettlement",
    "Erc3009DepositCollector",
    "Permit2DepositCollector",
    "ExactPermit2Proxy",
)
# Enough for the dearest step, the creation of the Tether-like token.
SETUP_GAS_LIMIT = 3_000_000


class TokenKind(StrEnum):
    """How a token behaves: which contract it is."""

    fiat = "fiat"  # Circle's FiatToken V2.2
    tether = "tether"  # no return values, optional fee, deny-list, pause
    plain = "plain"  # an ordinary ERC-20, which anyone mints and burns
    gross_fee = "gross_fee"  # credits less than its Transfer event says


@dataclass(frozen=True, slots=True)
class Eip712Domain:
    """Name and version by which a token's signed messages are separated (EIP-712)."""

    name: str
    version: str


@dataclass(frozen=True, slots=True)
class SandboxToken:
    """A token on a local chain."""

    currency: str
    contract: str
    decimals: int
    kind: TokenKind
    eip712: Eip712Domain | None = None


@dataclass(frozen=True, slots=True)
class SandboxChain:
    """A local chain that is ready to be paid on."""

    network: str
    chain_id: int
    rpc_url: str
    usdc: SandboxToken
    usdt: SandboxToken
    multicall3: str
    permit2: str
    payer_address: str
    payer_private_key: str
    issuer_private_key: str

    @property
    def tokens(self) -> tuple[SandboxToken, ...]:
        """The tokens that every sandbox network has."""
        return (self.usdc, self.usdt)


def deploy(rpc_url: str, network: str) -> SandboxChain:
    """Put the contracts on an anvil chain, with coins for the payer; again: nothing happens.

    Misconfigured when another network than ``network`` answers at ``rpc_url``.
    """
    payer, issuer = derive_private_key(PAYER_INDEX), derive_private_key(ISSUER_INDEX)
    chain = SandboxChain(
        network=network,
        chain_id=caip.chain_id(network),
        rpc_url=rpc_url,
        usdc=_usdc(),
        usdt=_usdt(),
        multicall3=_address("Multicall3"),
        permit2=_address("Permit2"),
        payer_address=key_address(payer),
        payer_private_key=payer,
        issuer_private_key=issuer,
    )
    with Wallet(rpc_url, issuer) as wallet:
        found = int(wallet.rpc.call("eth_chainId"), 16)
        if found != chain.chain_id:
            raise Misconfigured(
                f"{rpc_url} is eip155:{found} and not {network}: start the node with that chain id"
            )
        # The last thing that the set-up makes: where it stands, all of it stands.
        if wallet.rpc.call("eth_getCode", chain.usdt.contract, "latest") == "0x":
            wallet.rpc.batch(_placements(chain))
            _run(wallet, _setup(chain, issuer=wallet.address))
    return chain


def deploy_token(
    chain: SandboxChain,
    kind: TokenKind,
    *,
    name: str,
    symbol: str,
    decimals: int,
    fee_basis_points: int = 0,
) -> SandboxToken:
    """Create one more token at a new address, and mine it; nobody holds any yet.

    ``fee_basis_points`` is for ``gross_fee`` alone; a Tether-like token's fee is its owner's
    ``setParams``. There is one FiatToken on a chain, the USDC.
    """
    issuer = key_address(chain.issuer_private_key)
    match kind:
        case TokenKind.plain:
            contract = deploy_contract(chain, "TestToken", name, symbol, decimals)
        case TokenKind.tether:
            supply = ISSUER_TETHER_UNITS
            contract = deploy_contract(chain, "TetherLike", name, symbol, decimals, supply, issuer)
        case TokenKind.gross_fee:
            contract = deploy_contract(
                chain, "GrossFeeToken", name, symbol, decimals, fee_basis_points, issuer
            )
        case TokenKind.fiat:
            raise ValueError("a chain has one FiatToken: use chain.usdc")
    return SandboxToken(currency=symbol.lower(), contract=contract, decimals=decimals, kind=kind)


def deploy_contract(chain: SandboxChain, name: str, *arguments: Any) -> str:
    """Create one of our contracts (contracts/src/sandbox) at a new address, and mine it."""
    with Wallet(chain.rpc_url, chain.issuer_private_key) as issuer:
        receipt = mine_until(issuer, issuer.create(_creation_code(name, arguments)))
    return evm.checksum_address(str(receipt["contractAddress"]))


def mint(chain: SandboxChain, token: SandboxToken, to: str, units: int) -> str:
    """Give an address atomic units of a token, and mine it; the transaction's hash.

    Tether-like tokens are given by their issuer, less the fee while one is set.
    """
    match token.kind:
        case TokenKind.fiat | TokenKind.plain | TokenKind.gross_fee:
            signature = "mint(address,uint256)"
        case TokenKind.tether:
            signature = "transfer(address,uint256)"
    with Wallet(chain.rpc_url, chain.issuer_private_key) as issuer:
        transaction = issuer.call_contract(token.contract, signature, to, units)
        mine_until(issuer, transaction)
    return transaction


def mine_until(wallet: Wallet, transaction_hash: str) -> Receipt:
    """Mine until a transaction is in a block, whatever else waits; its receipt, if it succeeded."""
    receipt = wallet.rpc.call("eth_getTransactionReceipt", transaction_hash)
    if receipt is None:
        wallet.rpc.call("evm_mine")
    return wallet.wait(transaction_hash)


def derive_private_key(index: int) -> str:
    """The key of the sandbox mnemonic's account, m/44'/60'/0'/0/index: 0x-hex."""
    key: bytes = _root().get_privkey_from_path(f"m/44'/60'/0'/0/{index}")
    return "0x" + key.hex()


@cache
def _root() -> BIP32:
    # BIP-39: 2048 rounds, the salt is "mnemonic" and an empty passphrase.
    return BIP32.from_seed(hashlib.pbkdf2_hmac("sha512", MNEMONIC.encode(), b"mnemonic", 2048))


def key_address(private_key: str) -> str:
    return str(Account.from_key(private_key).address)


@cache
def _artifact(name: str, rail: str = "sandbox") -> dict[str, Any]:
    """ABI and code as `contracts/build.mjs` wrote them."""
    file = resources.files("sakk.rails") / rail / "artifacts" / f"{name}.json"
    artifact: dict[str, Any] = json.loads(file.read_text())
    return artifact


def _address(name: str) -> str:
    return str(_artifact(name)["address"])


def _creation_code(name: str, arguments: tuple[Any, ...]) -> bytes:
    artifact = _artifact(name)
    types = [
        parameter["type"]
        for entry in artifact["abi"]
        if entry["type"] == "constructor"
        for parameter in entry["inputs"]
    ]
    return bytes.fromhex(artifact["bytecode"][2:]) + encode(types, list(arguments))


def _own_code(name: str) -> bytes:
    """The creation code of a contract of ours that stands on real chains too."""
    return bytes.fromhex(_artifact(name, "evm")["bytecode"][2:])


def _usdc() -> SandboxToken:
    return SandboxToken(
        currency="usdc",
        contract=_address("FiatTokenProxy"),
        decimals=DECIMALS,
        kind=TokenKind.fiat,
        eip712=Eip712Domain(name="USDC", version="2"),
    )


@cache
def _usdt() -> SandboxToken:
    """The Tether-like token at its CREATE2 address (EIP-1014)."""
    contract = evm.create2_address(_tether_creation_code(), salt=CREATE2_SALT)
    return SandboxToken(
        currency="usdt",
        contract=evm.checksum_address(contract),
        decimals=DECIMALS,
        kind=TokenKind.tether,
    )


@cache
def _tether_creation_code() -> bytes:
    issuer = key_address(derive_private_key(ISSUER_INDEX))
    return _creation_code(
        "TetherLike", ("Tether USD", "USDT", DECIMALS, ISSUER_TETHER_UNITS, issuer)
    )


def _placements(chain: SandboxChain) -> list[Call]:
    """What is written into the chain's state directly: code, USDC's two proxy slots, coins."""
    code: list[Call] = [
        ("anvil_setCode", [_address(name), _artifact(name)["runtime"]]) for name in PLACED
    ]
    admin = key_address(derive_private_key(PROXY_ADMIN_INDEX))
    slots: list[Call] = [
        ("anvil_setStorageAt", [chain.usdc.contract, slot, "0x" + address[2:].lower().zfill(64)])
        for slot, address in (
            (IMPLEMENTATION_SLOT, _address("FiatTokenV2_2")),
            (ADMIN_SLOT, admin),
        )
    ]
    # A node that was not started by us has other funded accounts.
    coins: list[Call] = [
        ("anvil_setBalance", [key_address(key), hex(NATIVE_COINS_EACH * 10**18)])
        for key in (chain.payer_private_key, chain.issuer_private_key)
    ]
    return code + slots + coins


def _setup(chain: SandboxChain, *, issuer: str) -> list[tuple[str, bytes]]:
    """The issuer's calls in order, as (contract, calldata): USDC's life so far, then USDT."""
    usdc, usdt, payer = chain.usdc.contract, chain.usdt.contract, chain.payer_address
    names = ("USDC", "USDC", "USD", DECIMALS)
    transfer = encode_call("transfer(address,uint256)", payer, PAYER_UNITS)
    return [
        (usdc, encode_call(INITIALIZE, *names, issuer, issuer, issuer, issuer)),
        (usdc, encode_call("initializeV2(string)", "USDC")),
        (usdc, encode_call("initializeV2_1(address)", issuer)),
        (usdc, encode_call("initializeV2_2(address[],string)", [], "USDC")),
        (usdc, encode_call("configureMinter(address,uint256)", issuer, MINTER_ALLOWANCE)),
        (usdc, encode_call("mint(address,uint256)", payer, PAYER_UNITS)),
        *((evm.CREATE2_DEPLOYER, SALT + _own_code(name)) for name in CONTRACTS),
        (evm.CREATE2_DEPLOYER, CREATE2_SALT + _tether_creation_code()),
        (usdt, transfer),
    ]


def _run(wallet: Wallet, calls: list[tuple[str, bytes]]) -> None:
    """Send the calls in order and mine them."""
    hashes = [
        wallet.send_data(contract, data, gas_limit=SETUP_GAS_LIMIT) for contract, data in calls
    ]
    for transaction in hashes:
        mine_until(wallet, transaction)
