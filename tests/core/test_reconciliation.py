"""Reconciliations, as rules: what a proof finds, and by which key it is known again."""

import hashlib
from datetime import UTC, datetime, timedelta

from sakk.core import ids
from sakk.core import reconciliation as rules
from sakk.core.reconcile import (
    AssetProof,
    ChannelProof,
    EscrowProof,
    InFlight,
    NetworkProof,
    Proof,
)
from sakk.core.reconciliation import BreakKind, Reconciliation, Suspended, findings_of

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
ASSET = "eip155:1/erc20:0xaa"
NATIVE = "eip155:1/slip44:60"
SUSPENDED = [Suspended(f"suspense:{ASSET}#{ASSET}", ASSET, 4)]


def row(days: int) -> str:
    """A payout that began so many days ago."""
    milliseconds = int((NOW - timedelta(days=days)).timestamp() * 1_000)
    return ids.encode("po", ids.uuid7(now_ms=milliseconds, random=bytes(10)))


def proof(*breaks: str) -> Proof:
    old, new = row(3), row(0)
    return Proof(
        networks=[
            NetworkProof(
                network="eip155:1",
                block_number=7,
                block_hash="0x01",
                addresses=2,
                assets=[
                    AssetProof(ASSET, 105, 100, [InFlight(old, ASSET, 2, "payout broadcast")]),
                    AssetProof(NATIVE, 90, 100, [InFlight("nonsense", NATIVE, -1, "?")]),
                    AssetProof("eip155:1/erc20:0xbb", 5, 5),
                ],
                escrows=[
                    EscrowProof(
                        ASSET,
                        10,
                        12,
                        [InFlight(new, ASSET, -1, "redemption signed")],
                        [ChannelProof("ech_1", 4, 5)],
                    ),
                    EscrowProof(NATIVE, 1, 1),
                ],
            )
        ],
        row_breaks=breaks,
        journal_sequence=9,
    )


def test_what_a_proof_finds() -> None:
    old = row(3)
    payout = f"{old}: the ledger moved 5, the row says 6"
    found = findings_of(
        proof(payout, "units of usdc do not add up: 3"), SUSPENDED, rows=True, now=NOW
    )
    assert [(each.kind, each.scope, each.subject, each.unit, each.units) for each in found] == [
        (BreakKind.chain_without_ledger, "chain:eip155:1", ASSET, ASSET, 3),
        (BreakKind.in_flight, "chain:eip155:1", old, ASSET, 2),
        (BreakKind.ledger_without_chain, "chain:eip155:1", NATIVE, NATIVE, -9),
        (BreakKind.escrow_differs, "chain:eip155:1", ASSET, ASSET, -1),
        (BreakKind.row_differs, "rows", old, None, 0),
        (BreakKind.row_differs, "rows", None, None, 0),
        (BreakKind.suspense, "suspense", f"suspense:{ASSET}#{ASSET}", ASSET, 4),
    ]
    assert "payout broadcast since 2026-02-27 12:00 UTC" in found[1].detail
    # Rows are told of in one mode alone.
    assert not [
        each for each in findings_of(proof(payout), [], rows=False, now=NOW) if not each.unit
    ]


def test_a_row_that_disagrees_is_the_same_break_whatever_its_numbers() -> None:
    old = row(3)
    texts = [f"{old}: it says {n} and {n} moved" for n in (5, 66)] + [f"{old}: it is gone"]
    keys = [findings_of(proof(text), [], rows=True, now=NOW)[-1].key for text in texts]
    assert keys[0] == keys[1] != keys[2]
    # Found twice in one run, it is one finding.
    assert len(findings_of(Proof([], texts), [], rows=True, now=NOW)) == 2


def test_a_run_is_told() -> None:
    document = {"b": ["1"], "a": {"d": "2", "c": True}}
    assert rules.canonical(document) == b'{"a":{"c":true,"d":"2"},"b":["1"]}'
    run = Reconciliation(
        id="recon_1",
        livemode=False,
        status="balanced",
        scopes=["rows"],
        breaks=0,
        journal_sequence=9,
        document=document,
        sha256=rules.sha256_of(document),
        why=None,
        started=NOW,
        created=NOW,
    )
    told = rules.public_detail(run)
    assert (told["object"], told["document"]) == ("reconciliation", document)
    assert told["sha256"] == hashlib.sha256(rules.canonical(document)).hexdigest()
