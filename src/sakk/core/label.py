"""Labels: what is said about an address, by which list, in which family of networks.

A label speaks of a key, not of one chain: whoever holds an EVM address holds it on every EVM
network, so labels are kept by *family*. Families are CAIP-2 namespaces (``eip155``, ``tron``,
``solana``, ``bip122`` for Bitcoin and its kin) and ``other:<ticker>`` for all that has none here.
"""

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from sakk.core.evm import checksum_address

EVM = "eip155"
TRON = "tron"
BITCOIN = "bip122"
SOLANA = "solana"
OTHER_PREFIX = "other:"

ADDRESS_LENGTH_MAX = 256
CONFIDENCE_MAX = 100
SANCTIONS_AGE_SECONDS_MAX = 24 * 3600

_EVM_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")
_BECH32_ADDRESS = re.compile(r"(bc|tb|bcrt|ltc|tltc)1([ac-hj-np-z02-9]{8,87})")
_BECH32_LENGTH_MAX = 90
_BECH32 = {character: value for value, character in enumerate("qpzry9x8gf2tvdw0s3jn54khce6mua7l")}
# BIP-173's checksum for witness version 0, BIP-350's for all later ones.
_BECH32_CONSTANT = 1
_BECH32M_CONSTANT = 0x2BC830A3
_BECH32_GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_WITNESS_VERSION_MAX = 16
# What begins an address of Bitcoin and its kin, by ticker: of keys, of scripts, of test networks.
# Anything else that Base58Check may hold (a private key, an extended key) is no address.
_BASE58_VERSIONS: Final[dict[str, frozenset[bytes]]] = {
    ticker: frozenset(bytes.fromhex(version) for version in versions.split())
    for ticker, versions in {
        "btc": "00 05 6f c4",
        "xbt": "00 05 6f c4",
        "ltc": "30 32 05 6f 3a c4",
        "doge": "1e 16 71 c4",
        "dash": "4c 10 8c 13",
        "btg": "26 17 6f c4",
        "zec": "1cb8 1cbd 1d25 1cba",
    }.items()
}
_KEY_HASH_BYTES = 20
_TICKER = re.compile(r"[a-z0-9][a-z0-9 ._-]{0,31}")
_BASE58 = {
    character: value
    for value, character in enumerate("123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz")
}
_BASE58_LENGTH_MAX = 128
_CHECKSUM_BYTES = 4
_TRON_VERSION = 0x41
_TRON_BYTES = 21
_SOLANA_BYTES = 32


class ListKind(StrEnum):
    """Who speaks: a state, a collector of labels, the operator; ``countries`` are no addresses."""

    sanctions = "sanctions"
    labels = "labels"
    operator = "operator"
    countries = "countries"


class Category(StrEnum):
    """What an address is said to be. Rules speak of these, never of a source's own words."""

    sanctions = "sanctions"
    terrorism = "terrorism"
    child_abuse = "child_abuse"
    ransomware = "ransomware"
    theft = "theft"
    scam = "scam"
    mixer = "mixer"
    darknet_market = "darknet_market"
    extortion = "extortion"
    frozen_by_issuer = "frozen_by_issuer"
    gambling = "gambling"
    exchange = "exchange"
    defi = "defi"
    bridge = "bridge"
    miner = "miner"
    service = "service"
    wallet = "wallet"
    other = "other"
    known_good = "known_good"


@dataclass(frozen=True, slots=True)
class LabelList:
    """A list as it stands; ``version`` is the lists version at which it last changed.

    ``row_count`` is how many labels it has, ``entity_count`` how many entries with names;
    ``stale_told_at`` is when the operator was told that it is stale, until it is imported again.
    """

    id: str
    name: str
    source: str | None
    kind: str
    format: str
    version: int
    row_count: int
    sha256: str
    imported_at: datetime
    retired_at: datetime | None
    entity_count: int = 0
    stale_told_at: datetime | None = None

    def age_seconds(self, now: datetime) -> int:
        """Seconds since the list was last imported."""
        return int((now - self.imported_at).total_seconds())

    def is_stale(self, now: datetime) -> bool:
        """Is this a sanctions list in use that nobody refreshed for a day?"""
        return (
            self.kind == ListKind.sanctions
            and self.retired_at is None
            and self.age_seconds(now) > SANCTIONS_AGE_SECONDS_MAX
        )


def public_list(row: LabelList, *, now: datetime) -> dict[str, Any]:
    """The event's object ``list``."""
    return {
        "id": row.id,
        "object": "list",
        "name": row.name,
        "kind": row.kind,
        "version": row.version,
        "addresses": row.row_count,
        "names": row.entity_count,
        "imported_at": int(row.imported_at.timestamp()),
        "age_seconds": row.age_seconds(now),
    }


@dataclass(frozen=True, slots=True)
class Label:
    """One statement of a list about one address.

    Valid time (``valid_from`` until before ``valid_to``) is when it is true in the world; recorded
    time is when we knew. A statement that a list no longer makes is closed, never deleted.
    """

    list_id: str
    family: str
    address: str
    category: str
    confidence: int
    entity: str | None
    actor: str | None
    source: str | None
    valid_from: datetime | None
    valid_to: datetime | None
    recorded_from: datetime
    recorded_to: datetime | None
    opened_version: int
    closed_version: int | None


# The words of the public sources (INTERPOL Dark Web and Virtual Assets Taxonomy as used by
# GraphSense TagPacks; Etherscan's label cloud as used by Forta) in terms of ours.
CATEGORY_WORDS: dict[str, Category] = {
    **{category.value: category for category in Category},
    "sanction": Category.sanctions,
    "sanctioned": Category.sanctions,
    "sdn": Category.sanctions,
    "ofac": Category.sanctions,
    "terrorist": Category.terrorism,
    "terrorist_financing": Category.terrorism,
    "csam": Category.child_abuse,
    "child_sexual_abuse": Category.child_abuse,
    "service_hack": Category.theft,
    "hack": Category.theft,
    "hacker": Category.theft,
    "heist": Category.theft,
    "exploit": Category.theft,
    "stolen_funds": Category.theft,
    "etherscan_exploit_list": Category.theft,
    "etherscan_heist_list": Category.theft,
    "phishing": Category.scam,
    "phish_hack": Category.scam,
    "etherscan_phish_hack_list": Category.scam,
    "fraud": Category.scam,
    "ponzi_scheme": Category.scam,
    "pyramid_scheme": Category.scam,
    "investment_fraud": Category.scam,
    "rug_pull": Category.scam,
    "sextortion": Category.extortion,
    "blackmail": Category.extortion,
    "mixing_service": Category.mixer,
    "coinjoin": Category.mixer,
    "shared_wallet_mixer": Category.mixer,
    "darknet": Category.darknet_market,
    # Etherscan's "market" is mostly shops for art; what a state closed has its own tag.
    "market": Category.service,
    "marketplace": Category.service,
    "black_list": Category.frozen_by_issuer,
    "blacklist": Category.frozen_by_issuer,
    "blacklisted": Category.frozen_by_issuer,
    "defi_dex": Category.defi,
    "defi_lending": Category.defi,
    "defi_bridge": Category.bridge,
    "wallet_service": Category.wallet,
    "hosted_wallet": Category.wallet,
    "user": Category.other,
    "organization": Category.other,
    "unknown": Category.other,
}

# Worst first: of several words on one tag the worst decides what the tag says.
CATEGORY_ORDER: tuple[Category, ...] = tuple(Category)

EVM_TICKERS = frozenset({"eth", "etc", "arb", "bsc", "bep20", "op", "base"})
BITCOIN_TICKERS = frozenset({"btc", "xbt", "ltc", "doge", "dash", "btg", "zec"})
TRON_TICKERS = frozenset({"trx"})
SOLANA_TICKERS = frozenset({"sol"})

# Addresses that nobody holds: a label on one would hold every mint, burn or native transfer.
# Below 2**64 lie the zero address, the precompiles (EIP-1352) and system contracts of L2s.
_RESERVED_MAX = 1 << 64
_RESERVED = frozenset(
    {
        "0xeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee",
        "0xffffffffffffffffffffffffffffffffffffffff",
        "0xdead000000000000000042069420694206942069",
    }
)
# Predeploys of the OP Stack: 0x4200000000000000000000000000000000000000 to …07ff.
_PREDEPLOY_FIRST = 0x42 << 152
_PREDEPLOY_COUNT = 0x800

# Contracts of the large stablecoins and wrapped coins, by whoever issues them. The operator's own
# allow-list of assets is added at import.
KNOWN_TOKENS = frozenset(
    {
        "0xdac17f958d2ee523a2206206994597c13d831ec7",  # USDT, Ethereum
        "0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48",  # USDC, Ethereum
        "0x6b175474e89094c44da98b954eedeac495271d0f",  # DAI, Ethereum
        "0xc02aaa39b223fe8d0a0e5c4f27ead9083c756cc2",  # WETH, Ethereum
        "0x2260fac5e5542a773aa44fbcfedf7c193bc2c599",  # WBTC, Ethereum
        "0x1abaea1f7c830bd89acc67ec4af516284b1bc33c",  # EURC, Ethereum
        "0x833589fcd6edb6e08f4c7c32d4f71b54bda02913",  # USDC, Base
        "0xaf88d065e77c8cc2239327c5edb3a432268e5831",  # USDC, Arbitrum
        "0xfd086bc7cd5c481dcc9c85ebe478a1c0b69fcbb9",  # USDT, Arbitrum
        "0x3c499c542cef5e3811e1192ce70d8cc03d5c3359",  # USDC, Polygon
        "0xc2132d05d31c914a87c6611c10748aeb04b58e8f",  # USDT, Polygon
        "0x0b2c639c533813f4aa9d7837caf62653d097ff85",  # USDC, Optimism
        "0xb97ef9ef8734c71904d8002f8b6bc66dd9c48a6e",  # USDC, Avalanche
        "0x55d398326f99059ff775485246999027b3197955",  # BSC-USD, BNB Smart Chain
        "0x8ac76a51cc950d9822d68b83fe1ad97b32cd580d",  # USDC, BNB Smart Chain
        "TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t",  # USDT, Tron
        "TEkxiTehnzSmSe2XqrBj4w32RUN966rdz8",  # USDC, Tron
    }
)


def category_of(word: str) -> Category | None:
    """Read a source's word for a category; None if it is not known."""
    return CATEGORY_WORDS.get(word.strip().lower().replace("-", "_").replace(" ", "_"))


def worst(categories: list[Category]) -> Category:
    """The gravest of several categories; ValueError if there is none."""
    return min(categories, key=CATEGORY_ORDER.index)


def family_of_network(network: str) -> str:
    """The family of a CAIP-2 network: its namespace."""
    return network.partition(":")[0]


def base58check(text: str) -> bytes | None:
    """Decode Base58Check to version and payload; None if a character or the checksum is wrong."""
    if not text or len(text) > _BASE58_LENGTH_MAX:
        return None
    raw = _base58(text)
    if raw is None or len(raw) <= _CHECKSUM_BYTES:
        return None
    body, checksum = raw[:-_CHECKSUM_BYTES], raw[-_CHECKSUM_BYTES:]
    digest = hashlib.sha256(hashlib.sha256(body).digest()).digest()
    return body if digest[:_CHECKSUM_BYTES] == checksum else None


def normalise_address(family: str, text: str) -> str:
    """The one spelling of an address in its family; ValueError if it cannot be one.

    EVM and bech32 addresses in lower case; Base58 ones exactly as they are, for a Base58 address in
    another case is another address, or none. The checksums of bech32 and Base58Check are proven.
    """
    text = text.strip()
    if family == EVM:
        if _EVM_ADDRESS.fullmatch(text):
            return text.lower()
    elif family == TRON:
        if _is_tron(text):
            return text
    elif family == BITCOIN:
        if _is_base58_address(text, _EVERY_BASE58_VERSION):
            return text
        if text in (text.lower(), text.upper()) and _is_segwit(text.lower()):
            return text.lower()
    elif family == SOLANA:
        if len(text) <= _BASE58_LENGTH_MAX and len(_base58(text) or b"") == _SOLANA_BYTES:
            return text
    elif 0 < len(text) <= ADDRESS_LENGTH_MAX and text.isascii() and text.isprintable():
        return text
    raise ValueError(f"not an address of {family}: {text[:80]!r}")


def locate_address(ticker: str | None, text: str) -> tuple[str, str]:
    """Find the family of an address by its shape, and by its coin's ticker where shapes overlap.

    Lists name tokens that live on many networks (``USDT``), and get networks wrong: a Tron address
    stands among OFAC's bitcoin ones. The shape cannot lie. A CAIP-2 name is a ticker too. Returns
    (family, address); ValueError if the address is none that its ticker allows, or is written with
    an EIP-55 checksum that is wrong: then a digit of it is.
    """
    text = text.strip()
    word = (ticker or "").strip().lower()
    if ":" in word:
        family = family_of_network(word)
        if family == EVM and _EVM_ADDRESS.fullmatch(text):
            _check_case(text)
        return family, normalise_address(family, text)
    if _EVM_ADDRESS.fullmatch(text):
        _check_case(text)
        return EVM, text.lower()
    if _is_tron(text):
        return TRON, text
    family = EVM if not word and text.startswith("0x") else _family_of_ticker(word)
    versions = _BASE58_VERSIONS.get(word)
    is_segwit = family == BITCOIN and text.lower().startswith(_SEGWIT_PREFIXES)
    if versions is not None and not is_segwit and not _is_base58_address(text, versions):
        raise ValueError(f"not an address of {word}: {text[:80]!r}")
    return family, normalise_address(family, text)


def is_reserved(family: str, address: str) -> bool:
    """Is this a place that nobody holds: the zero address, a precompile, a system contract?"""
    if family != EVM:
        return False
    value = int(address, 16)
    return (
        value < _RESERVED_MAX
        or address in _RESERVED
        or _PREDEPLOY_FIRST <= value < _PREDEPLOY_FIRST + _PREDEPLOY_COUNT
    )


def _family_of_ticker(word: str) -> str:
    if word in EVM_TICKERS or word == EVM:
        return EVM
    if word in BITCOIN_TICKERS or word == BITCOIN:
        return BITCOIN
    if word in TRON_TICKERS or word == TRON:
        return TRON
    if word in SOLANA_TICKERS or word == SOLANA:
        return SOLANA
    if not _TICKER.fullmatch(word):
        raise ValueError("neither the address's shape nor a network says where it lives")
    return OTHER_PREFIX + word


def _check_case(text: str) -> None:
    """An EVM address in mixed case is written with its checksum (EIP-55)."""
    body = text[2:]
    if body not in (body.lower(), body.upper()) and text != checksum_address(text):
        raise ValueError(f"the checksum of the address is wrong (EIP-55): {text[:80]!r}")


_EVERY_BASE58_VERSION = frozenset().union(*_BASE58_VERSIONS.values())
_SEGWIT_PREFIXES = ("bc1", "tb1", "bcrt1", "ltc1", "tltc1")


def _is_base58_address(text: str, versions: frozenset[bytes]) -> bool:
    body = base58check(text)
    return body is not None and body[:-_KEY_HASH_BYTES] in versions


def _is_segwit(text: str) -> bool:
    """Is this a segregated witness address (BIP-173, BIP-350), in lower case?"""
    match = _BECH32_ADDRESS.fullmatch(text)
    if match is None or len(text) > _BECH32_LENGTH_MAX:
        return False
    values = [_BECH32[character] for character in match[2]]
    version, program = values[0], values[1:-6]
    constant = _BECH32M_CONSTANT if version else _BECH32_CONSTANT
    size, spare = divmod(len(program) * 5, 8)
    padding = program[-1] & ((1 << spare) - 1)
    return (
        version <= _WITNESS_VERSION_MAX
        and spare < 5
        and padding == 0
        and (size in (20, 32) if version == 0 else 2 <= size <= 40)
        and _bech32_checksum(match[1], values) == constant
    )


def _bech32_checksum(prefix: str, values: list[int]) -> int:
    expanded = [ord(each) >> 5 for each in prefix] + [0] + [ord(each) & 31 for each in prefix]
    checksum = 1
    for value in (*expanded, *values):
        top = checksum >> 25
        checksum = (checksum & 0x1FFFFFF) << 5 ^ value
        for place, generator in enumerate(_BECH32_GENERATOR):
            checksum ^= generator if top >> place & 1 else 0
    return checksum


def _is_tron(text: str) -> bool:
    if len(text) != 34 or text[0] != "T":
        return False
    body = base58check(text)
    return body is not None and len(body) == _TRON_BYTES and body[0] == _TRON_VERSION


def _base58(text: str) -> bytes | None:
    value = 0
    for character in text:
        digit = _BASE58.get(character)
        if digit is None:
            return None
        value = value * 58 + digit
    zeros = len(text) - len(text.lstrip("1"))
    return bytes(zeros) + value.to_bytes((value.bit_length() + 7) // 8, "big")
