"""What a block shows of our addresses' conduct, whatever others write into it."""

from typing import Any

import pytest

from sakk.core.trial import APPROVAL_FOR_ALL_TOPIC, APPROVAL_TOPIC
from sakk.rails.evm.conduct import granted, sent
from sakk.rails.evm.raw import RawAuthorization, RawLog, RawTransaction
from sakk.rails.rail import BlockRef
from tests.hub import authorize

NETWORK = "eip155:1"
REF = BlockRef(7, "0x" + "bb" * 32, "0x" + "aa" * 32, 0)
TOKEN, SPENDER = "0x" + "70" * 20, "0x" + "5e" * 20
KEY = "0x" + "4b" * 32
HASH = "0x" + "cc" * 32


def word(address: str) -> str:
    return "0x" + address[2:].rjust(64, "0")


OWNER = "0x" + "0e" * 20


def log(topic: str, *, units: int = 1, more: tuple[str, ...] = (), **fields: Any) -> RawLog:
    return RawLog(
        **{
            "address": TOKEN,
            "topics": (topic, word(OWNER), word(SPENDER), *more),
            "data": f"0x{units:064x}",
            "block_hash": REF.hash,
            "transaction_hash": HASH,
            "log_index": "0x3",
            **fields,
        }
    )


@pytest.mark.parametrize(
    ("seen", "kind", "units"),
    [
        (log(APPROVAL_TOPIC, units=2**256 - 1), "approval", 2**256 - 1),
        (log(APPROVAL_FOR_ALL_TOPIC), "operator", None),
        (log(APPROVAL_TOPIC, more=(word(TOKEN),), data="0x"), "approval", 1),
        (log(APPROVAL_TOPIC, units=0), None, None),
        (log(APPROVAL_FOR_ALL_TOPIC, units=0), None, None),
        (log(APPROVAL_TOPIC, removed=True), None, None),
        (log(APPROVAL_TOPIC, topics=(APPROVAL_TOPIC, word(OWNER))), None, None),
    ],
)
def test_what_is_granted(seen: RawLog, kind: str | None, units: int | None) -> None:
    acts = granted(NETWORK, REF, [seen])
    assert [(each.kind, each.units) for each in acts] == ([] if kind is None else [(kind, units)])
    for each in acts:
        assert (each.address, each.other, each.place) == (OWNER, SPENDER, 3)
        assert each.asset == f"{NETWORK}/erc20:{TOKEN}"


def _authorization(**fields: str) -> RawAuthorization:
    signed = authorize(KEY, SPENDER, nonce=3)
    return RawAuthorization(
        **{
            "chain_id": "0x0",
            "address": SPENDER,
            "nonce": "0x3",
            "r": hex(signed.signature.r),
            "s": hex(signed.signature.s),
            "y_parity": hex(signed.signature.y_parity),
            **fields,
        }
    )


def test_a_delegation_is_its_signers_whoever_sends_it() -> None:
    from eth_account import Account

    signer = str(Account.from_key(KEY).address).lower()
    carried = RawTransaction(
        hash=HASH,
        transaction_index="0x0",
        value="0x0",
        sender=SPENDER,
        to=TOKEN,
        authorization_list=[_authorization(), _authorization(nonce="0x4")],
    )
    acts = sent(NETWORK, REF, [carried], {signer}.__contains__)
    assert [(each.kind, each.address, each.other, each.place) for each in acts] == [
        ("delegation", signer, SPENDER, 0)
    ]


@pytest.mark.parametrize(
    "fields",
    [
        {"r": "0x0"},
        {"r": "no number"},
        {"s": "0x" + "ff" * 40},
        {"y_parity": "0xfff"},
        {"y_parity": "-0x1"},
        {"nonce": "0x" + "ff" * 9},
        {"address": "0x12"},
        {"chain_id": ""},
    ],
)
def test_nonsense_in_an_authorization_is_nobodys(fields: dict[str, str]) -> None:
    carried = RawTransaction(
        hash=HASH,
        transaction_index="0x0",
        value="0x0",
        sender=SPENDER,
        authorization_list=[_authorization(**fields)],
    )
    assert sent(NETWORK, REF, [carried], {OWNER}.__contains__) == []


def test_a_transaction_of_ours_is_seen_even_if_it_creates_a_contract() -> None:
    created = RawTransaction(hash=HASH, transaction_index="0x5", value="0x0", sender=OWNER, to=None)
    [act] = sent(NETWORK, REF, [created], {OWNER}.__contains__)
    assert (act.kind, act.other, act.tx_hash) == ("transaction", "0x" + "00" * 20, HASH)
