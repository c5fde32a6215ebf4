"""What stands in a claim stays text on its page: each field, in each step and language."""

from dataclasses import replace
from datetime import UTC, datetime
from itertools import product

import pytest

from sakk.api.claim_page import FAULTS, Entered, render
from sakk.core.claim import Claim, ClaimNetwork, ClaimStatus
from sakk.pages.language import LANGUAGES
from tests.hostile import HOSTILE, TURNING, Reader

ADDRESS = "0x" + "5b" * 20
CLAIM = Claim(
    status=ClaimStatus.open,
    merchant="Shop",
    amount=25_000_001,
    amount_decimal="25.000001",
    currency="usdc",
    networks=[ClaimNetwork("eip155:84532", "Base Sepolia", "USDC")],
    network="eip155:84532",
    network_name="Base Sepolia",
    address=ADDRESS,
    tx_hash="0x" + "ab" * 32,
    expires_at=datetime(2026, 5, 4, 12, tzinfo=UTC),
    livemode=False,
)
# Whoever runs the network or the shop wrote these, or who sends the form.
POISONED = {
    "merchant": replace(CLAIM, merchant=HOSTILE),
    "name of a network": replace(CLAIM, networks=[ClaimNetwork("eip155:84532", HOSTILE, "USDC")]),
    "name of what was given": replace(CLAIM, networks=[], network_name=HOSTILE),
    "network": replace(CLAIM, networks=[ClaimNetwork(HOSTILE, "Base", "USDC")], network=HOSTILE),
    "symbol": replace(CLAIM, networks=[ClaimNetwork("eip155:84532", "Base", HOSTILE)]),
    "currency": replace(CLAIM, currency=HOSTILE, networks=[]),
    "transaction": replace(CLAIM, tx_hash=HOSTILE),
}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_field_stays_text(language: str) -> None:
    typed = Entered(HOSTILE, HOSTILE)
    pages = [
        render(replace(claim, status=status), language=language, path="/refund_claims/x")
        for claim, status in product(POISONED.values(), ClaimStatus)
    ]
    blank = replace(CLAIM, network=None, address=None)
    pages += [
        render(blank, language=language, path="/refund_claims/x", entered=typed, fault=fault)
        for fault in FAULTS
    ]
    assert len(pages) == len(POISONED) * len(ClaimStatus) + len(FAULTS)
    shown = 0
    for page in pages:
        html = page.decode()
        reader = Reader()
        reader.feed(html)
        assert reader.found == []
        assert TURNING.search(html) is None
        assert html.count("<html") == 1
        shown += any("<x-evil>" in each for each in reader.shown)
    # It is shown for what it is wherever the step shows the field.
    assert shown >= len(ClaimStatus)


def test_a_network_that_was_given_is_said_by_its_name() -> None:
    given = replace(CLAIM, status=ClaimStatus.given, networks=[])
    page = render(given, language="en", path="/refund_claims/x").decode()
    assert '<bdi class="name">Base Sepolia</bdi>' in page
