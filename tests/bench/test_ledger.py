"""``sakk bench ledger`` with small sizes: every figure of the contract is there, and verified."""

from sakk.bench.ledger import Scale, run
from sakk.ledger.machine import serving

SMALL = Scale(
    repeats=1,
    batches={8_000: 1, 1_000: 2, 100: 10},
    reference_batches=1,
    row_transfers=50,
    row_connections=2,
    applied=10_000,
    applied_by_reference=2_000,
    loaded=16_000,
    remembered=16_000,
    accounts=1_000,
    owed=1_000,
    door=False,
    projected_batches=2,
    sustained_batches=50,
    sustained_lag=20_000,
    sustained_seconds=0.2,
)
NAMES = {
    "writer_8000",
    "writer_1000",
    "writer_100",
    "writer_1000_hot",
    "writer_1000_mixed",
    "writer_1000_over_reference",
    "reference_1000",
    "row_locks_2",
    "machine_apply",
    "machine_replay",
    "machine_load_16000",
    "machine_memory_16000",
    "machine_pause_max",
    "projection_burst",
    "projection_sustained",
    "liability_epoch_1000",
}


def test_every_figure_is_measured_on_work_that_was_done() -> None:
    document = run(scale=SMALL)
    assert document["machine"]["ledger_machine"] == serving().value
    lines = {line["name"]: line for line in document["results"]}
    assert lines.keys() >= NAMES
    assert all(line["repeats"] >= 1 for line in lines.values())
    rates = [line for line in lines.values() if line["unit"].endswith("/s")]
    assert all(line["median"] > 0 for line in rates)
    for name in ("writer_1000", "writer_1000_hot", "machine_apply", "projection_sustained"):
        assert lines[name]["ratio"] is not None
