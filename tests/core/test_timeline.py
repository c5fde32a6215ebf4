"""The steps of a pay-in for every status."""

from datetime import UTC, datetime

import pytest

from sakk.core.payin import PayIn, PayInStatus
from sakk.core.timeline import After, timeline

AT = datetime(2026, 3, 1, tzinfo=UTC)
LATER = datetime(2026, 3, 2, tzinfo=UTC)


def _payin(status: PayInStatus) -> PayIn:
    return PayIn(
        id="pin_1",
        livemode=False,
        network="eip155:1",
        asset="eip155:1/erc20:0x1",
        token_amount=1,
        address="0x1",
        sender="0x2",
        tx_hash="0x3",
        log_index=0,
        block_number=1,
        block_hash="0x4",
        block_timestamp=1,
        status=status.value,
        confirmed_at=AT,
        screened_at=AT,
        posted_at=AT,
        created=AT,
    )


@pytest.mark.parametrize(
    ("status", "steps"),
    [
        (PayInStatus.seen, "done current ahead ahead ahead ahead"),
        (PayInStatus.confirmed, "done done current ahead ahead ahead"),
        (PayInStatus.held, "done done review ahead ahead ahead"),
        (PayInStatus.screened, "done done done current ahead ahead"),
        (PayInStatus.posted, "done done done done current ahead"),
        (PayInStatus.released, "done done done done current ahead"),
        (PayInStatus.returned, "done done stopped ahead ahead ahead"),
        (PayInStatus.seized, "done done stopped ahead ahead ahead"),
        (PayInStatus.orphaned, "done stopped ahead ahead ahead ahead"),
        (PayInStatus.reversed, "done done done stopped ahead ahead"),
    ],
)
def test_every_status_has_its_place_on_the_way(status: PayInStatus, steps: str) -> None:
    shown = timeline(_payin(status), After(is_told=True))
    assert " ".join(each.state for each in shown) == steps
    assert all(each.at is None for each in shown if each.state != "done")


def test_what_followed_is_told_where_there_is_somebody_to_tell() -> None:
    told = timeline(_payin(PayInStatus.posted), After(True, True, LATER, LATER))
    assert [(each.name, each.state, each.at) for each in told[-2:]] == [
        ("notified", "done", LATER),
        ("swept", "done", LATER),
    ]
    silent = timeline(_payin(PayInStatus.posted), After())
    assert [each.name for each in silent][-2:] == ["posted", "swept"]
    # Its first event was taken, but it is not posted yet.
    early = timeline(_payin(PayInStatus.screened), After(True, True, LATER))
    assert early[4].state == "ahead"
