"""The ingest bench on a small scale: its shape, and that it verifies what it measures."""

import warnings
from typing import Any

import pytest

from sakk.bench import ingest
from sakk.rails.evm.watch import EvmWatcher


def test_ingest_measures_both_readers_on_the_same_payments() -> None:
    said: list[str] = []
    with warnings.catch_warnings():
        # web3.py's own imports.
        warnings.simplefilter("ignore")
        report = ingest.run(
            transfers=8_000, baseline_transfers=4_000, addresses=1_000, repeats=1, say=said.append
        )
    assert report["machine"]["cores"] >= 1
    rate, memory = report["results"]
    keys = {"name", "unit", "median", "p99", "repeats", "baseline", "ratio"}
    assert rate.keys() == memory.keys() == keys
    assert (rate["name"], rate["unit"]) == (ingest.RATE_NAME, "transfers/s")
    assert rate["median"] > 0
    assert rate["baseline"] > 0
    assert memory["median"] > 0
    assert len(said) == 4


def test_a_reader_that_misses_a_payment_fails_the_bench(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = EvmWatcher._match_logs

    def careless(self: EvmWatcher, ref: Any, logs: Any) -> Any:
        hits, grants = honest(self, ref, logs)
        return hits[:-1], grants

    monkeypatch.setattr(EvmWatcher, "_match_logs", careless)
    with pytest.raises(ingest.WrongPayments, match="the watcher found"):
        ingest.run(transfers=4_000, addresses=1_000, repeats=1)
