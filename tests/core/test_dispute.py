"""What may become of a dispute."""

from dataclasses import replace

import pytest
from tests.core.test_channel import CHANNEL, NOW

from sakk.core import dispute as rules
from sakk.core.dispute import Dispute, DisputeStatus, Outcome
from sakk.core.errors import UnexpectedState

DISPUTE = Dispute(
    id="cdp_1",
    account_id="acct_1",
    payee="acct_2",
    livemode=False,
    channel_id=CHANNEL.id,
    session_id="ses_1",
    nonce=7,
    amount=1_000,
    currency="usdc",
    decimals=6,
    reason="The answer was empty.",
    records={},
    is_held=True,
    status=DisputeStatus.open.value,
    outcome=None,
    note=None,
    created=NOW,
    ended_at=None,
)


def test_one_that_is_open_may_be_decided() -> None:
    rules.check_open(DISPUTE)


@pytest.mark.parametrize(
    ("status", "outcome"),
    [(each, None) for each in DisputeStatus if each is not DisputeStatus.open]
    + [(DisputeStatus.open, Outcome.reject)],
)
def test_one_that_is_over_may_not(status: DisputeStatus, outcome: Outcome | None) -> None:
    decided = replace(DISPUTE, status=status.value, outcome=outcome)
    with pytest.raises(UnexpectedState):
        rules.check_open(decided)


def test_every_outcome_ends_it() -> None:
    ends = {rules.status_after(outcome) for outcome in Outcome}
    assert ends == {DisputeStatus.refunded, DisputeStatus.rejected, DisputeStatus.withdrawn}


def test_what_is_shown() -> None:
    shown = rules.public_dispute(DISPUTE)
    assert (shown["held"], shown["ended_at"], shown["nonce"]) == (True, None, "7")
    assert rules.public_dispute(replace(DISPUTE, ended_at=NOW))["ended_at"] == int(NOW.timestamp())
