"""The bench of a whole decision with tiny sizes: it decides, seals and proves what it measured."""

from sakk.bench import screening_decision as bench
from sakk.bench.screening_rescreen import rescreens


def test_a_payouts_decision_is_measured_and_its_log_proves() -> None:
    lines = bench.decisions(lambda _: None, labels=50, singles=3, batch=4, batches=2)
    assert [(line["name"], line["unit"]) for line in lines] == [
        ("payout_decision", "ms"),
        ("payout_decision_batch", "ms/payout"),
        ("audit_seal", "ms/entry"),
    ]
    assert all(line["median"] > 0 for line in lines)


def test_a_change_of_lists_judges_again_exactly_what_it_touches() -> None:
    [line] = rescreens(lambda _: None, labels=50, count=500, touched=20)
    assert (line["name"], line["unit"]) == ("rescreen_list_change", "s")
