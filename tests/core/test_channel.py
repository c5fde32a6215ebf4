"""What may be done with a channel, and where its money goes."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from sakk.core import channel as rules
from sakk.core import chart
from sakk.core.channel import Channel, ChannelKind, ChannelStatus
from sakk.core.chart import TransferCode
from sakk.core.errors import ParameterInvalid, UnexpectedState
from sakk.core.ledger import transfer_id
from sakk.core.money import UNITS_MAX
from sakk.core.posting import Posting

NOW = datetime(2026, 11, 26, tzinfo=UTC)
CHANNEL = Channel(
    id="ch_01jd8k00000000000000000001",
    account_id="acct_1",
    payee="acct_2",
    livemode=False,
    kind=ChannelKind.balance.value,
    status=ChannelStatus.open.value,
    currency="usdc",
    decimals=6,
    signer="0x8ba1f109551bd432803012645ac136ddd64dba72",
    mandate=None,
    amount_min=None,
    amount_max=None,
    ceiling=50_000,
    funded=50_000,
    returned=0,
    spent=1_000,
    charges=1,
    head=b"\x01" * 32,
    head_ns=5,
    drains=0,
    expires_at=NOW + timedelta(days=1),
    used_at=NOW,
    closed_at=None,
    metadata={},
    created=NOW,
)
PAYER = chart.merchant("acct_1", "available", "test/usdc")
PAYEE = chart.merchant("acct_2", "available", "test/usdc")
OWN = chart.channel(CHANNEL.id, "test/usdc", payer="acct_1")


@pytest.mark.parametrize("status", [ChannelStatus.opening, ChannelStatus.open])
def test_a_channel_is_raised_while_it_is_open(status: ChannelStatus) -> None:
    rules.check_raise(replace(CHANNEL, status=status.value), UNITS_MAX, now=NOW)


@pytest.mark.parametrize("status", [ChannelStatus.closing, ChannelStatus.closed])
def test_a_channel_that_ends_is_not_raised(status: ChannelStatus) -> None:
    with pytest.raises(UnexpectedState, match=status.value):
        rules.check_raise(replace(CHANNEL, status=status.value), 60_000, now=NOW)


def test_a_channel_whose_time_is_over_is_not_raised() -> None:
    with pytest.raises(UnexpectedState, match="time is over"):
        rules.check_raise(CHANNEL, 60_000, now=CHANNEL.expires_at)


def test_a_ceiling_fits_the_ledger() -> None:
    with pytest.raises(ParameterInvalid):
        rules.check_raise(CHANNEL, UNITS_MAX + 1, now=NOW)


@pytest.mark.parametrize(("seconds", "life"), [(None, timedelta(days=30)), (60, timedelta(0, 60))])
def test_how_long_a_channel_lives(seconds: int | None, life: timedelta) -> None:
    assert rules.life_of(seconds) == life


@pytest.mark.parametrize("seconds", [0, 59, 366 * 86_400 + 1])
def test_a_channel_does_not_live_longer(seconds: int) -> None:
    with pytest.raises(ParameterInvalid, match="expires_in"):
        rules.life_of(seconds)


@pytest.mark.parametrize(
    ("status", "life", "used", "over"),
    [
        (ChannelStatus.open, timedelta(seconds=1), timedelta(0), False),
        (ChannelStatus.open, timedelta(0), timedelta(0), True),
        (ChannelStatus.open, timedelta(days=9), rules.IDLE_MAX - timedelta(seconds=1), False),
        (ChannelStatus.open, timedelta(days=9), rules.IDLE_MAX, True),
        (ChannelStatus.opening, timedelta(days=9), timedelta(minutes=59), False),
        (ChannelStatus.opening, timedelta(days=9), timedelta(minutes=60), True),
    ],
)
def test_a_channel_ends_with_its_time_or_when_nobody_uses_it(
    status: ChannelStatus, life: timedelta, used: timedelta, over: bool
) -> None:
    channel = replace(CHANNEL, status=status.value, expires_at=NOW + life)
    assert rules.is_over(channel, used_at=NOW - used, now=NOW) is over


def test_what_gave_its_rest_back_is_found_again() -> None:
    found = rules.drain_ids(CHANNEL.id, 2)
    assert len(set(found)) == 3
    assert found[0] == transfer_id(CHANNEL.id, "drain", leg=0, attempt=0)
    assert found[-1] == transfer_id(CHANNEL.id, "revoked", leg=0, attempt=0)


def test_where_money_goes() -> None:
    assert CHANNEL.ledger_account == OWN
    assert (CHANNEL.payer_account, CHANNEL.payee_account) == (PAYER, PAYEE)
    assert rules.funding(CHANNEL, 5) == Posting(PAYER, OWN, 5, TransferCode.channel_funded)
    assert rules.returning(CHANNEL, 5) == Posting(OWN, PAYER, 5, TransferCode.channel_closed)


def test_an_escrows_charges_are_not_available_before_they_are_redeemed() -> None:
    escrow = replace(CHANNEL, kind=ChannelKind.escrow.value, account_id=None, livemode=True)
    assert escrow.payee_account == chart.merchant("acct_2", "incoming", "usdc")
    assert escrow.ledger_account.owner is None
    with pytest.raises(AssertionError, match="on its chain"):
        escrow.payer_account.name  # noqa: B018


def test_what_is_shown() -> None:
    shown = rules.public_channel(CHANNEL, available=49_000)
    assert (shown["available"], shown["ceiling_decimal"]) == (49_000, "0.050000")
    assert (shown["payer"], shown["payee"]) == ("acct_1", "acct_2")
    assert shown["signer"] == "0x8ba1f109551bD432803012645Ac136ddd64DBA72"
    assert shown["closed_at"] is None
    bare = rules.public_channel(replace(CHANNEL, signer=None, closed_at=NOW))
    assert (bare["signer"], bare["available"]) == (None, None)
    assert bare["closed_at"] == int(NOW.timestamp())
