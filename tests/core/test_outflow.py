"""Outflows, as rules: coins that left without us leave custody, and someone has work."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from sakk.core import chart
from sakk.core.chart import TransferCode
from sakk.core.outflow import Outflow, postings, public, reversal
from sakk.core.posting import Posting

ASSET = "eip155:84532/erc20:0x036cbd53842c5426634e7929541ec2318f3dcf7e"
OUTFLOW = Outflow(
    id="out_1",
    livemode=False,
    network="eip155:84532",
    asset=ASSET,
    token_amount=1_000,
    address="0x70997970c51812dc3a010c7d01b50e0d17dc79c8",
    place="deposit",
    receiver="0x3c44cdddb6a900fa2b585dd299e03d12fa4293bc",
    tx_hash="0xab",
    log_index=3,
    block_number=9,
    block_hash="0xcd",
    status="seen",
    created=datetime(2026, 1, 2, tzinfo=UTC),
)


@pytest.mark.parametrize("place", ["deposit", "hot", "cold"])
def test_it_leaves_the_custody_that_it_left(place: chart.Custody) -> None:
    row = replace(OUTFLOW, place=place)
    suspense, custody = chart.suspense(ASSET), chart.custody(ASSET, place)
    assert postings(row) == [Posting(suspense, custody, 1_000, TransferCode.outflow)]
    assert reversal(row) == [Posting(custody, suspense, 1_000, TransferCode.outflow_reversed)]


def test_what_is_shown() -> None:
    shown = public(OUTFLOW)
    assert shown["address"] == "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
    assert shown["receiver"] == "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"
    assert (shown["token_amount"], shown["status"]) == ("1000", "seen")
    assert (shown["tx_hash"], shown["block_number"]) == ("0xab", 9)
