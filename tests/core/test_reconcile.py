"""Reconciliation, as arithmetic: chain = ledger + in flight, or it is a break and says so."""

from dataclasses import replace

import pytest
from tests.core.test_escrow_channel import CHANNEL

from sakk.core.reconcile import (
    AssetProof,
    ChannelProof,
    EscrowProof,
    InFlight,
    NetworkProof,
    Proof,
    about_to_follow,
)

ASSET = "eip155:84532/erc20:0x036cbd53842c5426634e7929541ec2318f3dcf7e"


def flying(units: int) -> InFlight:
    return InFlight(row="pin_1", asset=ASSET, units=units, why="payin seen")


@pytest.mark.parametrize(
    ("chain", "ledger", "in_flight", "difference"),
    [
        (0, 0, [], 0),
        (5, 5, [], 0),
        (7, 5, [2], 0),
        (3, 5, [-2], 0),
        (5, 5, [2, -2], 0),
        (6, 5, [], 1),
        (4, 5, [], -1),
        (5, 5, [1], -1),
    ],
)
def test_difference(chain: int, ledger: int, in_flight: list[int], difference: int) -> None:
    proof = AssetProof(ASSET, chain, ledger, [flying(units) for units in in_flight])
    assert proof.expected_units == ledger + sum(in_flight)
    assert proof.difference == difference


def _proof(asset: AssetProof, *row_breaks: str) -> Proof:
    network = NetworkProof("eip155:84532", 9, "0xab", 3, [asset])
    return Proof(networks=[network], row_breaks=row_breaks, journal_sequence=4)


def test_it_holds() -> None:
    proof = _proof(AssetProof(ASSET, 7, 5, [flying(2)]))
    assert proof.ok
    assert proof.to_document() == {
        "ok": True,
        "journal_sequence": 4,
        "networks": [
            {
                "network": "eip155:84532",
                "block_number": 9,
                "block_hash": "0xab",
                "addresses": 3,
                "assets": [
                    {
                        "asset": ASSET,
                        "chain_units": "7",
                        "ledger_units": "5",
                        "in_flight": [{"row": "pin_1", "units": "2", "why": "payin seen"}],
                        "difference": "0",
                    }
                ],
                "escrows": [],
            }
        ],
        "breaks": [],
    }


def test_a_difference_is_said_in_words() -> None:
    proof = _proof(AssetProof(ASSET, 7, 5))
    assert not proof.ok
    assert proof.breaks == [
        f"{ASSET}: the chain holds 7, the ledger expects 5, difference 2",
    ]


def test_rows_that_disagree_break_it_too() -> None:
    proof = _proof(AssetProof(ASSET, 5, 5), "po_1: the row says 3")
    assert not proof.ok
    assert proof.to_document()["breaks"] == ["po_1: the row says 3"]


@pytest.mark.parametrize(
    ("chain", "ledger", "in_flight", "foreign", "difference"),
    [(5, 5, 0, 0, 0), (5, 7, -2, 0, 0), (9, 5, 0, 4, 0), (4, 5, 0, 0, -1), (5, 5, 1, 0, -1)],
)
def test_a_channel_in_escrow(
    chain: int, ledger: int, in_flight: int, foreign: int, difference: int
) -> None:
    proof = ChannelProof("ech_1", chain, ledger, in_flight)
    assert (proof.foreign_units, proof.difference) == (foreign, difference)


def _with_escrow(escrow: EscrowProof) -> Proof:
    return Proof([NetworkProof("eip155:84532", 9, "0xab", 3, [], [escrow])])


def test_what_others_deposited_is_no_break_and_what_is_missing_is() -> None:
    foreign = ChannelProof("ech_1", 9, 5)
    held = EscrowProof(ASSET, chain_units=11, ledger_units=5, in_flight=[flying(2)])
    assert _with_escrow(EscrowProof(ASSET, 11, 5, [flying(2)], [foreign])).ok
    assert _with_escrow(held).breaks == [
        f"{ASSET} in escrow: the contract holds 11, the ledger expects 7, difference 4"
    ]
    missing = EscrowProof(ASSET, 4, 5, [], [ChannelProof("ech_2", 4, 5)])
    proof = _with_escrow(missing)
    assert proof.breaks == [
        "ech_2: the escrow holds 4, the books expect 5, difference -1",
        f"{ASSET} in escrow: the contract holds 4, the ledger expects 5, difference -1",
    ]
    assert proof.to_document()["networks"][0]["escrows"] == [
        {
            "asset": ASSET,
            "chain_units": "4",
            "ledger_units": "5",
            "in_flight": [],
            "foreign_units": "0",
            "channels": [
                {
                    "channel": "ech_2",
                    "chain_units": "4",
                    "ledger_units": "5",
                    "in_flight_units": "0",
                    "foreign_units": "0",
                    "difference": "-1",
                }
            ],
            "difference": "-1",
        }
    ]
    in_flight = EscrowProof(ASSET, 7, 5, [flying(2)])
    assert in_flight.to_document()["in_flight"] == [
        {"row": "pin_1", "units": "2", "why": "payin seen"}
    ]


@pytest.mark.parametrize(
    ("gone", "withdrawing", "difference", "undone", "following"),
    [
        (0, 0, -5, False, 0),
        (0, 5, -5, False, -5),
        (0, 4, -5, False, 0),
        (5, 0, -5, False, -5),
        (5, 0, -3, False, -3),
        (0, 5, 5, False, 0),
        (0, 0, 5, True, 5),
        (0, 0, 0, False, 0),
    ],
)
def test_what_the_books_are_about_to_follow(
    gone: int, withdrawing: int, difference: int, undone: bool, following: int
) -> None:
    row = replace(CHANNEL, gone_units=gone, withdraw_units=withdrawing)
    assert about_to_follow(row, difference, undone=undone) == following
