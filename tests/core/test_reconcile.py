"""Reconciliation, as arithmetic: chain = ledger + in flight, or it is a break and says so."""

import pytest

from sakk.core.reconcile import AssetProof, InFlight, NetworkProof, Proof

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
