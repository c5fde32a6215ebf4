"""A till is paired once, within a day."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from sakk.core import pos_device as rules
from sakk.core.pos_device import PAIRING_TIME, PosDevice

NOW = datetime(2026, 5, 4, tzinfo=UTC)
DEVICE = PosDevice(
    id="pos_1",
    account_id="acct_1",
    livemode=False,
    name="Stall",
    active=True,
    currency="usd",
    decimals=2,
    networks=None,
    currencies=["usdc"],
    pairing_hash="00",
    pairing_until=NOW + PAIRING_TIME,
    token_hash=None,
    paired_at=None,
    metadata={},
    created=NOW,
)


@pytest.mark.parametrize(
    ("device", "at", "may"),
    [
        (DEVICE, NOW, True),
        (DEVICE, NOW + PAIRING_TIME, False),
        (replace(DEVICE, active=False), NOW, False),
        (replace(DEVICE, pairing_until=None), NOW, False),
    ],
)
def test_a_pairing_link_is_good_for_a_day(device: PosDevice, at: datetime, may: bool) -> None:
    assert rules.may_pair(device, at) is may


def test_what_is_shown() -> None:
    shown = rules.public(replace(DEVICE, paired_at=NOW + timedelta(hours=1)))
    assert shown["paired_at"] == int(NOW.timestamp()) + 3_600
    assert (shown["pairing_url"], rules.public(DEVICE)["paired_at"]) == (None, None)
    assert "token_hash" not in shown
    assert rules.pairing_path("x") == "/pos/pair/x"
