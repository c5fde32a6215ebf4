from datetime import UTC, datetime, timedelta

import pytest

from sakk.core.label import (
    BITCOIN,
    EVM,
    KNOWN_TOKENS,
    SANCTIONS_AGE_SECONDS_MAX,
    SOLANA,
    TRON,
    Category,
    LabelList,
    ListKind,
    base58check,
    category_of,
    family_of_network,
    is_reserved,
    locate_address,
    normalise_address,
    public_list,
    worst,
)

MIXED = "0x098B716B8Aaf21512996dC57EB0615e2383E2f96"
TRON_ADDRESS = "TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t"
P2PKH = "134r8iHv69xdT6p5qVKTsHrcUEuBVZAYak"
SEGWIT = "bc1q84ue52z2p6mxz7080f5wcfr4hfmdscvng8kydr"
MINT = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"


@pytest.mark.parametrize(
    ("family", "text", "expected"),
    [
        (EVM, MIXED, MIXED.lower()),
        (EVM, f" {MIXED} ", MIXED.lower()),
        (TRON, TRON_ADDRESS, TRON_ADDRESS),
        (BITCOIN, P2PKH, P2PKH),
        (BITCOIN, SEGWIT, SEGWIT),
        (BITCOIN, SEGWIT.upper(), SEGWIT),
        (SOLANA, MINT, MINT),
        ("other:xmr", "any printable word", "any printable word"),
    ],
)
def test_an_address_has_one_spelling(family: str, text: str, expected: str) -> None:
    assert normalise_address(family, text) == expected


@pytest.mark.parametrize(
    ("family", "text"),
    [
        (EVM, MIXED[:-1]),
        (EVM, MIXED + "0"),
        (EVM, MIXED[2:]),
        (EVM, "0x" + "g" * 40),
        (EVM, "0x" + "\N{FULLWIDTH DIGIT ONE}" * 40),
        (TRON, TRON_ADDRESS.lower()),
        (TRON, TRON_ADDRESS[:-1] + "u"),
        (TRON, P2PKH),
        (TRON, "T" + P2PKH[1:]),
        (BITCOIN, P2PKH.lower()),
        (BITCOIN, "1Mn386ue8o3mW9866octLNP8HFqcYsphJCV"),
        (BITCOIN, SEGWIT[:20] + SEGWIT[20:].upper()),
        (BITCOIN, ""),
        (BITCOIN, "1" * 1000),
        (BITCOIN, "1111"),
        (SOLANA, MINT[:-4]),
        (SOLANA, "0" * 44),
        (SOLANA, "1" * 1000),
        ("other:xmr", ""),
        ("other:xmr", "a" * 257),
        ("other:xmr", "a\x00b"),
        ("other:xmr", "é"),
    ],
)
def test_what_is_no_address_of_its_family_is_refused(family: str, text: str) -> None:
    with pytest.raises(ValueError, match="not an address"):
        normalise_address(family, text)


@pytest.mark.parametrize(
    ("ticker", "text", "family"),
    [
        ("ETH", MIXED, EVM),
        ("BSC", MIXED, EVM),
        ("eip155:8453", MIXED, EVM),
        ("USDT", MIXED, EVM),
        (None, MIXED, EVM),
        ("USDT", TRON_ADDRESS, TRON),
        ("XBT", TRON_ADDRESS, TRON),
        ("tron:0x2b6653dc", TRON_ADDRESS, TRON),
        ("XBT", P2PKH, BITCOIN),
        ("bip122", SEGWIT, BITCOIN),
        ("SOL", MINT, SOLANA),
        ("XMR", "48iVBYd8rHfH4aTKffWXwpTqpo83dKUthimYZ", "other:xmr"),
    ],
)
def test_the_shape_says_where_an_address_lives(ticker: str | None, text: str, family: str) -> None:
    assert locate_address(ticker, text)[0] == family


@pytest.mark.parametrize(
    ("ticker", "text"),
    [
        ("ETH", "0x1234"),
        ("TRX", P2PKH),
        ("BTC", "bc1"),
        (None, P2PKH),
        ("", "0x1234"),
        ("eip155:1", P2PKH),
        ("\n\0", "address"),
    ],
)
def test_an_address_that_its_ticker_does_not_allow_is_refused(
    ticker: str | None, text: str
) -> None:
    with pytest.raises(ValueError, match=r"not an address|where it lives"):
        locate_address(ticker, text)


# From BIP-173, BIP-350, EIP-55 and the coins' own chains.
MIXED_EIP55 = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
GENESIS = "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa"
TAPROOT = "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0"


@pytest.mark.parametrize(
    ("ticker", "text", "address"),
    [
        ("btc", GENESIS, GENESIS),
        (
            "btc",
            "BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4",
            "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
        ),
        ("btc", TAPROOT, TAPROOT),
        ("btc", "bc1zw508d6qejxtdg4y5r3zarvaryvaxxpcs", "bc1zw508d6qejxtdg4y5r3zarvaryvaxxpcs"),
        ("ltc", "LNf2JDiuunBz7GMDKFYHN4rq5meXWxiwfb", "LNf2JDiuunBz7GMDKFYHN4rq5meXWxiwfb"),
        ("dash", "XnPFsRWTaSgiVauosEwQ6dEitGYXgwznz2", "XnPFsRWTaSgiVauosEwQ6dEitGYXgwznz2"),
        ("zec", "t1MMXtBrSp1XG38Lx9cePcNUCJj5vdWfUWL", "t1MMXtBrSp1XG38Lx9cePcNUCJj5vdWfUWL"),
        ("eth", "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", MIXED_EIP55.lower()),
        ("eth", MIXED_EIP55.upper().replace("0X", "0x"), MIXED_EIP55.lower()),
    ],
)
def test_an_address_with_its_networks_checksum(ticker: str, text: str, address: str) -> None:
    assert locate_address(ticker, text)[1] == address


@pytest.mark.parametrize(
    ("ticker", "text"),
    [
        # One character in another case is another number.
        ("btc", "1A1zP1eP5QGefi2DMPTfTL5SLmv7Divfna"),
        ("btc", GENESIS.lower()),
        ("btc", "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t5"),
        # BIP-350: version 1 with the checksum of version 0, an unknown character, a length.
        ("btc", "bc1p38j9r5y49hruaue7wxjce0updqjuyyx0kh56v8s25huc6995vvpql3jow4"),
        ("btc", "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqh2y7hd"),
        ("btc", "bc1pw5dgrnzv"),
        ("btc", "bc1qr508d6qejxtdg4y5r3zarvaryv98gj9p"),
        ("btc", "bc1qqqqqqqq"),
        ("btc", "bc1" + "q" * 88),
        # A private key has a checksum too.
        ("btc", "5HueCGU8rMjxEXxiPuD5BDku4MkFqeZyd4dZ1jvhTVqvbTLvyTJ"),
        # A coin's address under another coin's name.
        ("dash", "LNf2JDiuunBz7GMDKFYHN4rq5meXWxiwfb"),
        ("eth", "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1Beaed"),
        ("eip155:1", "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1Beaed"),
    ],
)
def test_an_address_whose_checksum_is_wrong(ticker: str, text: str) -> None:
    with pytest.raises(ValueError, match=r"not an address|EIP-55"):
        locate_address(ticker, text)


@pytest.mark.parametrize(
    "address",
    [
        "0x" + "0" * 40,
        "0x" + "1".rjust(40, "0"),
        "0x0000000000000000000000000000018148086009",
        "0x000000000000000000000000000000000000dead",
        "0x" + "e" * 40,
        "0x4200000000000000000000000000000000000006",
    ],
)
def test_places_that_nobody_holds_are_reserved(address: str) -> None:
    assert is_reserved(EVM, address)


def test_an_address_that_someone_can_hold_is_not_reserved() -> None:
    assert not is_reserved(EVM, MIXED.lower())
    assert not is_reserved(EVM, "0x0000000000000000000000010000000000000000")
    assert not is_reserved(TRON, TRON_ADDRESS)


def test_known_tokens_are_in_the_spelling_that_is_compared() -> None:
    for address in KNOWN_TOKENS:
        assert locate_address(None, address)[1] == address


def test_the_words_of_public_sources_are_read() -> None:
    assert category_of("service_hack") is Category.theft
    assert category_of(" Mixing-Service ") is Category.mixer
    assert category_of("etherscan-phish-hack-list") is Category.scam
    assert category_of("black_list") is Category.frozen_by_issuer
    assert category_of("nonsense") is None


def test_the_worst_of_several_words_decides() -> None:
    assert worst([Category.other, Category.sanctions, Category.mixer]) is Category.sanctions
    with pytest.raises(ValueError, match="empty"):
        worst([])


def test_base58check_proves_the_checksum() -> None:
    assert base58check(P2PKH) is not None
    assert base58check("1" + P2PKH) is None


def test_the_family_of_a_network_is_its_namespace() -> None:
    assert family_of_network("eip155:84532") == EVM


@pytest.mark.parametrize(
    ("kind", "age_seconds", "retired", "stale"),
    [
        (ListKind.sanctions, SANCTIONS_AGE_SECONDS_MAX, False, False),
        (ListKind.sanctions, SANCTIONS_AGE_SECONDS_MAX + 1, False, True),
        (ListKind.sanctions, SANCTIONS_AGE_SECONDS_MAX + 1, True, False),
        (ListKind.labels, SANCTIONS_AGE_SECONDS_MAX + 1, False, False),
    ],
)
def test_a_sanctions_list_is_stale_after_a_day(
    kind: ListKind, age_seconds: int, retired: bool, stale: bool
) -> None:
    imported = datetime(2026, 1, 1, tzinfo=UTC)
    row = LabelList(
        id="lst_1",
        name="one",
        source=None,
        kind=kind,
        format="ofac",
        version=1,
        row_count=1,
        sha256="",
        imported_at=imported,
        retired_at=imported if retired else None,
    )
    now = imported + timedelta(seconds=age_seconds)
    assert row.age_seconds(now) == age_seconds
    assert row.is_stale(now) is stale


def test_what_is_told_of_a_list() -> None:
    row = LabelList(
        id="lst_1",
        name="UN",
        source=None,
        kind="sanctions",
        format="un",
        version=3,
        row_count=0,
        sha256="",
        imported_at=datetime(2026, 1, 1, tzinfo=UTC),
        retired_at=None,
        entity_count=7,
    )
    shown = public_list(row, now=datetime(2026, 1, 3, tzinfo=UTC))
    assert (shown["name"], shown["names"], shown["age_seconds"]) == ("UN", 7, 172_800)
