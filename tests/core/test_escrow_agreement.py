"""Does a call of x402's escrow move there what its transaction's transfers say?"""

import pytest
from tests.core.test_agreement import ASSET, NATIVE, escrow_call

from sakk.core.agreement import transaction_break


@pytest.mark.parametrize(
    ("units", "moved", "agrees"),
    [(0, {}, True), (1_000, {ASSET: 1_000}, True), (1_000, {}, False), (0, {ASSET: -1}, False)],
)
def test_a_call_of_the_escrow_moves_there_what_it_says(
    units: int, moved: dict[str, int], agrees: bool
) -> None:
    found = transaction_break(
        escrow_call(),
        custody={NATIVE: -50},
        native_asset=NATIVE,
        escrowed=moved,
        escrow_units=units,
    )
    assert (found is None) is agrees
    failed = transaction_break(
        escrow_call(status="failed", succeeded=False),
        custody={NATIVE: -50},
        native_asset=NATIVE,
        escrow_units=units,
    )
    assert failed is None
