"""Explanations: the words that an approver reads, of the bytes when there are some."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.networks import a_network, a_token

from sakk.core import abi, evm, ids
from sakk.core.approval import Approval
from sakk.core.bank_account import BankAccount
from sakk.core.explanation import (
    BatchLine,
    Built,
    Circumstances,
    Judgement,
    batch_words,
    explain,
    explain_sending,
    grouped,
    line_words,
    order_words,
    recovery_words,
    withdrawal_words,
)
from sakk.core.network import Asset
from sakk.core.payout import Payout
from sakk.core.recovery import Recovery
from sakk.core.treasury import Vault
from sakk.core.withdrawal import Withdrawal
from sakk.core.withdrawal import approvable as withdrawal_approvable

NOW = datetime(2026, 1, 2, tzinfo=UTC)
BASE = "eip155:8453"
CONTRACT = "0x833589fcd6edb6e08f4c7c32d4f71b54bda02913"
USDC = f"{BASE}/erc20:{CONTRACT}"
ACME = "0x8ba1f109551bd432803012645ac136ddd64dba72"
TREASURY = "0x70997970c51812dc3a010c7d01b50e0d17dc79c8"
GWEI = 10**9


def asset(identifier: str, contract: str | None, symbol: str, decimals: int) -> Asset:
    return a_token(
        identifier,
        network=BASE,
        contract=contract,
        currency=symbol.lower(),
        symbol=symbol,
        decimals=decimals,
        sweep_minimum=1,
        created=NOW,
    )


COIN = asset(f"{BASE}/slip44:60", None, "ETH", 18)
NETWORK = a_network(
    BASE,
    name="Base",
    livemode=True,
    poll_milliseconds=1,
    native_asset=COIN.asset,
    created=NOW,
    max_fee_per_gas_max=200 * GWEI,
)
PAYOUT = Payout(
    id="po_1",
    account_id="acct_1",
    livemode=True,
    amount=1_250_000_000,
    fee=0,
    currency="usdc",
    decimals=6,
    network=BASE,
    asset=USDC,
    token_amount=1_250_000_000,
    destination=ACME,
    fee_mode="sender",
    status="screened",
    hold="held",
    policy_version="pol_4",
    rule="large payouts",
    approvals_needed=2,
    approver_role="approver",
    decided_at=NOW,
    metadata={},
    created=NOW,
)
JUDGEMENT = Judgement(
    under_review=False,
    is_judged=True,
    awaiting=True,
    version=4,
    approvals=[],
    names={"per_1": "Jane Doe"},
)
KNOWN = Circumstances(
    asset=asset(USDC, CONTRACT, "USDC", 6),
    network=NETWORK,
    native=COIN,
    treasury=TREASURY,
    beneficiary=("Acme", NOW),
    paid_before=3,
    judgement=JUDGEMENT,
    built=None,
)


def judged(**changes: Any) -> Circumstances:
    return replace(KNOWN, judgement=replace(JUDGEMENT, **changes))


def built(**changes: Any) -> Built:
    """A transaction of a transfer, as the builder makes it."""
    fields: dict[str, Any] = {
        "chain_id": 8453,
        "nonce": 1,
        "max_priority_fee_per_gas": GWEI,
        "max_fee_per_gas": 10 * GWEI,
        "gas_limit": 100_000,
        "to": CONTRACT,
        "value": 0,
        "data": abi.encode_transfer(ACME, 1_250_000_000),
    }
    transaction = evm.Transaction(**(fields | changes))
    return Built(
        unsigned=evm.encode_unsigned(transaction), sender=TREASURY, explanation="payout po_1"
    )


def test_what_an_approver_reads() -> None:
    explained = explain(PAYOUT, KNOWN)
    given = approval(explained["digest"])
    assert explain(PAYOUT, judged(approvals=[given]))["text"] == (
        "Send 1,250.00 USDC (token 0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913 on Base,"
        " eip155:8453) to 0x8ba1f109551bD432803012645Ac136ddd64DBA72 (beneficiary 'Acme', in the"
        " address book since 2026-01-02, paid 3 times before), from treasury"
        " 0x70997970C51812dc3A010C7d01b50e0d17dc79C8; network fee at most 200.00 gwei for each"
        " unit of gas; policy version 4, rule 'large payouts' asks for 2 approvals of approver,"
        " 1 given by Jane Doe."
    )
    assert explained["awaiting_approvals"] is True
    assert (explained["decoded"], explained["warning"], explained["signed"]) == (False, None, None)
    assert explained["message"].splitlines()[0] == "sakk approval v1"


def approval(digest: str, actor: str = "per_1") -> Approval:
    return Approval(
        id="apr_1",
        account_id="acct_1",
        livemode=True,
        subject="po_1",
        verdict="approve",
        actor=actor,
        key="key_1",
        role="approver",
        method="totp",
        digest=digest,
        public_key=None,
        signature=None,
        comment=None,
        created=NOW,
    )


WORDS: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "stranger": ({}, {"beneficiary": None, "paid_before": 0}, "(not in the address book, never"),
    "once": ({}, {"paid_before": 1}, "paid once before"),
    "no treasury": ({}, {"treasury": None}, "from the treasury;"),
    "under review": ({}, {"judgement": {"under_review": True}}, "compliance decides first."),
    "not judged": ({}, {"judgement": {"is_judged": False}}, "no policy has judged it yet."),
    "no rule": (
        {"rule": None, "approvals_needed": 1},
        {"judgement": {"version": None}},
        "no policy is in force, no rule fits, so it asks for 1 approval of approver, 0 given.",
    ),
    "allowed": ({"approvals_needed": 0}, {}, "policy version 4, rule 'large payouts' decided it."),
}


@pytest.mark.parametrize(("payout", "known", "words"), WORDS.values(), ids=WORDS)
def test_words(payout: dict[str, Any], known: dict[str, Any], words: str) -> None:
    circumstances = judged(**known.pop("judgement", {}))
    assert words in explain(replace(PAYOUT, **payout), replace(circumstances, **known))["text"]


def test_a_name_that_is_not_known_is_the_id() -> None:
    digest = explain(PAYOUT, KNOWN)["digest"]
    known = judged(approvals=[approval(digest, "operator"), approval("00")])
    assert explain(PAYOUT, known)["text"].endswith("1 given by operator.")


def test_bytes_are_told_as_they_are() -> None:
    explained = explain(PAYOUT, replace(KNOWN, built=built()))
    assert (explained["decoded"], explained["warning"]) == (True, None)
    assert "network fee at most 0.001 ETH;" in explained["text"]
    assert explained["signed"] == "payout po_1"
    known = replace(KNOWN, built=built(), native=None)
    assert "gwei for each unit" in explain(PAYOUT, known)["text"]


@pytest.mark.parametrize(
    "changes",
    [
        {"data": abi.encode_transfer(ACME, 1)},
        {"data": abi.encode_transfer(TREASURY, 1_250_000_000)},
        {"to": TREASURY},
        {"chain_id": 1},
    ],
)
def test_bytes_that_do_otherwise_are_shouted_about(changes: dict[str, Any]) -> None:
    explained = explain(PAYOUT, replace(KNOWN, built=built(**changes)))
    assert "DOES NOT DO WHAT THE PAYOUT SAYS" in explained["warning"]


def test_native_coin() -> None:
    payout = replace(PAYOUT, asset=COIN.asset, token_amount=5 * 10**17)
    paid = built(to=ACME, value=5 * 10**17, data=b"")
    explained = explain(payout, replace(KNOWN, asset=COIN, built=paid))
    assert explained["warning"] is None
    assert explained["text"].startswith("Send 0.50 ETH (native coin on Base, eip155:8453) to 0x8ba")


@pytest.mark.parametrize(
    "transaction",
    [
        replace(built(), unsigned=b"\x02\xff"),
        replace(built(), unsigned=b""),
        built(data=b"\x12\x34"),
        built(to=None),
    ],
    ids=["no transaction", "one of many", "another call", "a new contract"],
)
def test_what_is_no_single_transfer_is_told_by_the_row(transaction: Built) -> None:
    explained = explain(PAYOUT, replace(KNOWN, built=transaction))
    assert (explained["decoded"], explained["warning"]) == (False, None)


@pytest.mark.parametrize(
    ("units", "decimals", "text"),
    [
        (1_250_000_000, 6, "1,250.00"),
        (1, 6, "0.000001"),
        (1_234_567, 0, "1,234,567"),
        (15, 1, "1.5"),
        (10**24, 18, "1,000,000.00"),
        (120_000, 6, "0.12"),
    ],
)
def test_amounts_are_grouped_and_never_rounded(units: int, decimals: int, text: str) -> None:
    assert grouped(units, decimals) == text


def test_words_of_a_withdrawal() -> None:
    row = Withdrawal(
        id="wd_1",
        livemode=True,
        network=BASE,
        asset=USDC,
        destination=ACME,
        token_amount=1_250_000_000,
        currency="usdc",
        decimals=6,
        amount=1_250_000_000,
        status="screened",
        rule="vaults",
        approvals_needed=1,
        approver_role="approver",
        created=NOW,
    )
    listed = asset(USDC, CONTRACT, "USDC", 6)
    vault = Vault(BASE, ACME, "cold", "bank", NOW)
    words = withdrawal_words(row, vault, listed, NETWORK, TREASURY)
    explained = explain_sending(withdrawal_approvable(row), words, JUDGEMENT, signed=None)
    assert explained["text"] == (
        "Send 1,250.00 USDC (token 0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913 on Base,"
        " eip155:8453) to 0x8ba1f109551bD432803012645Ac136ddd64DBA72 (vault 'bank', cold), from"
        " treasury 0x70997970C51812dc3A010C7d01b50e0d17dc79C8; network fee at most 200.00 gwei for"
        " each unit of gas; policy version 4, rule 'vaults' asks for 1 approval of approver,"
        " 0 given."
    )
    assert (explained["subject"], explained["payout"]) == ("wd_1", None)
    gone = withdrawal_words(row, None, listed, NETWORK, None)
    assert "(A VAULT NO MORE), from the treasury;" in gone


def test_words_of_a_recovery() -> None:
    row = Recovery(
        id=ids.encode("rec", 7),
        livemode=True,
        network=BASE,
        asset=f"{BASE}/slip44:60",
        address=ACME,
        key_index=3,
        token_amount=10**18,
        symbol="ETH",
        decimals=18,
        source="adopted",
        account_id=None,
        payment_intent=None,
        payin=None,
        status="pending",
        destination=TREASURY,
        created=NOW,
    )
    assert recovery_words(row, NETWORK) == (
        "Send 1.00 ETH (native coin on Base, eip155:8453; adopted in the books) back from deposit"
        " address 0x8ba1f109551bD432803012645Ac136ddd64DBA72 to"
        " 0x70997970C51812dc3A010C7d01b50e0d17dc79C8, which the payer gave under the claim link;"
        " network fee at most 200.00 gwei for each unit of gas"
    )


def batch_line(units: int, to: str, paid_before: int = 0, **changes: Any) -> BatchLine:
    listed = changes.pop("asset", asset(USDC, CONTRACT, "USDC", 6))
    return BatchLine(
        payout=replace(PAYOUT, token_amount=units, destination=to, asset=listed.asset),
        asset=listed,
        network=NETWORK,
        beneficiary=changes.pop("beneficiary", None),
        paid_before=paid_before,
    )


def test_words_of_a_batch() -> None:
    lines = [
        batch_line(1_250_000_000, ACME, 2, beneficiary=("Acme", NOW)),
        batch_line(2_000_000_000, ACME, 2),
        batch_line(500_000, TREASURY),
        batch_line(10**17, ACME, asset=COIN),
    ]
    assert line_words(lines[0]) == (
        "1,250.00 USDC to 0x8ba1f109551bD432803012645Ac136ddd64DBA72 (beneficiary 'Acme', in the"
        " address book since 2026-01-02, paid 2 times before)"
    )
    assert batch_words("pob_1", lines) == (
        "Approve 4 payouts of pob_1:"
        " 3,250.50 USDC (token 0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913 on Base, eip155:8453)"
        " to 2 addresses, 1 of them never paid before, the largest 2,000.00 USDC to"
        " 0x8ba1f109551bD432803012645Ac136ddd64DBA72, network fee at most 200.00 gwei for each unit"
        " of gas;"
        " 0.10 ETH (native coin on Base, eip155:8453) to 1 address, 1 of them never paid before,"
        " the largest 0.10 ETH to 0x8ba1f109551bD432803012645Ac136ddd64DBA72, network fee at most"
        " 200.00 gwei for each unit of gas."
    )
    assert batch_words("pob_1", []) == "No payout of pob_1 waits for your approval."


def test_words_of_an_order_to_a_bank() -> None:
    place = BankAccount(
        id="ba_1",
        account_id="acct_1",
        livemode=True,
        role="payee",
        holder="Anna",
        country="DE",
        currency="eur",
        decimals=2,
        iban="DE89370400440532013000",
        usable_at=datetime(2026, 11, 1, tzinfo=UTC),
        metadata={},
        created=datetime(2026, 11, 1, tzinfo=UTC),
    )
    row = replace(PAYOUT, amount=123_456, currency="eur", decimals=2)
    assert order_words(row, place, 1) == (
        "Have a bank pay 1,234.56 EUR to 'Anna', account DE89370400440532013000 in DE (ba_1, here"
        " since 2026-11-01, paid once before)"
    )
    local = replace(place, iban=None, number="123", bank_code="026", country="US")
    assert "account 123 at 026 in US" in order_words(row, local, 0)
