"""The benches with tiny sizes: they finish, check what they measured, and print what is promised.

What the figures are is not looked at: a busy machine may be as slow as it likes.
"""

import json
import os
import shutil
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from tests.chain import Chain
from typer.testing import CliRunner

from sakk.bench import (
    agent,
    agent_gas,
    api,
    checkout,
    console,
    gas,
    gas_sweep,
    ingest,
    payin,
    payout,
    screening,
    screening_address,
    screening_exposure,
    settle,
)
from sakk.bench.chromium import start_chromium
from sakk.bench.figures import percentile
from sakk.bench.stack import Stack, start_stack
from sakk.cli.app import make_app

LINE = {"name", "unit", "median", "p99", "repeats", "baseline", "ratio"}


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """One system for the benches that need one: the one of pay-ins goes first."""
    with start_stack("--no-sweep") as started:
        yield started


def by_name(results: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The lines by their names; each is complete, and none is empty."""
    for line in results:
        assert line.keys() == LINE
        assert line["median"] > 0
        assert line["p99"] > 0
        assert (line["baseline"] is None) == (line["ratio"] is None)
    return {line["name"]: line for line in results}


def test_the_console_answers_over_many_payments() -> None:
    lines = by_name(console.run(payments=200, repeats=1, warm=0)["results"])
    assert {
        "home",
        "payments",
        "payments_search",
        "payments_filter",
        "payments_one",
        "mall",
    } <= set(lines)
    assert {line["unit"] for line in lines.values()} == {"ms"}


@pytest.mark.skipif(shutil.which("chromium") is None, reason="there is no Chromium here")
def test_checkout_tells_what_its_page_weighs_and_when_it_can_be_used(stack: Stack) -> None:
    with start_chromium() as browser:
        lines = by_name(checkout.measure(stack, browser, repeats=1, warm=0))
    assert {name: line["unit"] for name, line in lines.items()} == {
        "checkout_phone_bytes": "bytes",
        "checkout_phone_interactive": "ms",
        "checkout_desk_bytes": "bytes",
        "checkout_desk_interactive": "ms",
    }
    # All of it was counted: the page, its styles and its scripts.
    assert 10_000 < lines["checkout_phone_bytes"]["median"] < 100_000
    assert lines["checkout_phone_interactive"]["median"] > 0


def test_settle_finds_every_unit_and_every_injected_fault() -> None:
    found = settle.run(merchants=2, lines=10, matched=10_000, only=["settle", "match"])
    lines = by_name(found["results"])
    assert {"settled_2_merchants_20_lines", "matched_10000"} <= set(lines)
    assert lines["month_errors_found"]["median"] > 0


def test_payin_tells_times_after_finality_in_flight_and_at_rest(stack: Stack) -> None:
    lines = by_name(payin.measure(stack, payments=4, rounds=1, singles=1))
    assert {name: line["unit"] for name, line in lines.items()} == {
        "payin_4_stages": "ms",
        "payin_at_rest_stages": "ms",
        "payin_4_after_finality": "ms",
        "payin_at_rest_after_finality": "ms",
        "payin_4_from_block": "ms",
        "payin_cpu": "ms/payment",
    }
    after, whole = lines["payin_4_after_finality"], lines["payin_4_from_block"]
    assert 0 < lines["payin_4_stages"]["median"] < whole["median"]
    assert after["median"] < whole["median"]


def test_gas_tells_what_a_payout_costs_beside_a_transfer(chain: Chain) -> None:
    chain.set_automine(True)
    lines = by_name(gas.measure(chain.contracts, chain.payer, [1, 5], say=lambda _: None))
    assert {line["unit"] for line in lines.values()} == {"gas/payout"}
    # Alone it is dearer, and even five share what every transaction costs: gas is exact.
    assert lines["payout_disperse_1_used"]["ratio"] > 1
    assert lines["payout_disperse_5_fresh"]["ratio"] < 0.7
    assert lines["payout_disperse_5_used"]["ratio"] < 0.6


def test_gas_tells_what_a_deposit_costs_by_each_way(chain: Chain) -> None:
    chain.set_automine(True)
    found = gas_sweep.measure_sweeps(chain.contracts, chain.payer, [1, 3], say=lambda _: None)
    lines = by_name(found)
    assert {line["unit"] for line in lines.values()} == {"gas/deposit"}
    for way in ("hub", "clone"):
        first, again = (lines[f"sweep_{way}_3_{when}"]["median"] for when in ("first", "again"))
        assert again < first < lines[f"sweep_{way}_1_first"]["median"]
    assert lines["sweep_hub_3_first"]["ratio"] < 0.75


def test_api_tells_rate_latency_and_costs_beside_an_empty_route(stack: Stack) -> None:
    lines = by_name(api.measure(stack, requests=40, connections=2, repeats=1, warm_up=4))
    assert {name: line["unit"] for name, line in lines.items()} == {
        "api_payment_intents_2": "requests/s",
        "api_payment_intents_2_latency": "ms",
        "api_client_cpu": "% of a core",
        "api_cpu_api": "ms/request",
        "api_cpu_postgres": "ms/request",
    }
    assert lines["api_payment_intents_2"]["baseline"] > 0


def test_payout_tells_acceptance_and_the_way_to_a_node(stack: Stack) -> None:
    lines = by_name(payout.measure(stack, payouts=5, rounds=1, singles=2, plain=3))
    assert {name: line["unit"] for name, line in lines.items()} == {
        "accept_5": "s",
        "accepted_to_broadcast": "payouts/s",
        "single_p99": "ms",
        "payout_cpu": "ms/payout",
        "plain_1_treasury": "payouts/s",
    }


def test_ingest_tells_rate_beside_web3_and_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = partial(
        ingest.run, transfers=4_000, baseline_transfers=4_000, addresses=1_000, repeats=1
    )
    monkeypatch.setattr(ingest, "run", tiny)
    printed = CliRunner().invoke(make_app("bench"), ["bench", "ingest", "--json"])
    assert printed.exit_code == 0, printed.output
    document = json.loads(printed.stdout)
    assert document.keys() == {"machine", "results"}
    assert document["machine"].keys() == {"cores", "background_cpu_percent"}
    lines = by_name(document["results"])
    assert {name: line["unit"] for name, line in lines.items()} == {
        "ingest_transfers": "transfers/s",
        "ingest_memory_peak": "MB",
    }
    assert lines["ingest_transfers"]["ratio"] > 0


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [
        ([3.0], 50, 3.0),
        ([3.0], 99, 3.0),
        ([4.0, 1.0, 3.0, 2.0], 50, 2.0),
        ([float(each) for each in range(1, 101)], 99, 99.0),
        ([float(each) for each in range(1, 202)], 99, 199.0),
    ],
)
def test_percentile_is_the_nearest_rank(
    values: list[float], percent: float, expected: float
) -> None:
    assert percentile(values, percent) == expected


def test_screening_tells_of_addresses_and_of_money_that_is_traced() -> None:
    scale = screening_exposure.Scale(
        addresses=500,
        transfers=3_000,
        small_walk=2_000,
        large_walk=4_000,
        repeats=2,
        questions=20,
        compared=500,
    )
    report = screening.run(
        measures=(
            partial(screening_exposure.streaming, scale=scale),
            partial(screening_exposure.walks, scale=scale),
            partial(screening_address.lookups, labels=200, asked=400, repeats=2),
        )
    )
    lines = by_name(report["results"])
    assert {name: line["unit"] for name, line in lines.items()} == {
        "ingest_streaming": "transfers/s",
        "ingest_streaming_state": "MB",
        "exposure_row": "µs",
        "exposure_walk_1m": "ms",
        "exposure_walk_10m": "ms",
        "address_lookup": "lookups/s",
        "address_lookup_time": "µs",
    }


@pytest.mark.skipif("SAKK_SOAK" not in os.environ, reason="a minute of processes: make soak")
def test_agent_tells_paid_calls_beside_unpaid_ones_and_checks_every_unit(stack: Stack) -> None:
    lines = agent.measure(stack, requests=64, paced_requests=32, repeats=1, warm_up=16)
    assert {line["name"] for line in lines} == {
        "session_relative",
        "session_relative_many",
        "session_relative_bare",
        "session_latency",
        "smallest_price",
        "session_cpu_ledger",
        "session_cpu_postgres",
        "session_cpu_service",
        "session_cpu_service_unpaid",
    }
    assert all(line.keys() == LINE for line in lines)
    assert {line["name"]: line["median"] for line in lines}["smallest_price"] == 1


@pytest.mark.parametrize("words", [["agent", "--only", "nothing"], ["api", "--only", "session"]])
def test_a_part_that_a_bench_does_not_have_is_refused(words: list[str]) -> None:
    refused = CliRunner().invoke(make_app("bench"), ["bench", *words])
    assert refused.exit_code == 2
    assert "has no part" in refused.output


def test_a_call_of_a_long_channel_costs_less_gas_than_it_may() -> None:
    lines = agent_gas.measure(lambda _: None, calls=(10_000,))
    assert [line["name"] for line in lines] == ["gas_per_call_10000", "gas_per_call_10000_alone"]
    assert all(line.keys() == LINE for line in lines)
    together, alone = (line["median"] for line in lines)
    # What the docs say of ten channels a redemption; a node counts gas the same everywhere.
    assert together < 20 < alone < 30
