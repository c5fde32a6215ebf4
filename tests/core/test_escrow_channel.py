"""Vouchers judged, and what deposits, refunds and losses of a channel move."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sakk.core.chart import TransferCode
from sakk.core.escrow import AMOUNT_MAX, ChannelState, channel_id
from sakk.core.escrow_channel import (
    EscrowChannel,
    Refusal,
    Totals,
    chain_extra,
    charge_id,
    charge_name,
    deposit_postings,
    disputed_posting,
    gone_postings,
    gone_step,
    judge,
    leaving_posting,
    parse_charge_name,
    public,
    raise_id,
    read_voucher_data,
    refund_postings,
    state_extra,
    staying_posting,
    taken_posting,
    uncharging_postings,
    unclaimed,
    unsigning_postings,
    voucher_data,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ASSET = "eip155:84532/erc20:0x036cbd53842c5426634e7929541ec2318f3dcf7e"
CHANNEL = EscrowChannel(
    id="ech_00000000000000000000000001",
    account_id="acct_00000000000000000000000002",
    livemode=False,
    network="eip155:84532",
    asset=ASSET,
    currency="usdc",
    channel="0x" + "ab" * 32,
    payer="0x" + "11" * 20,
    payer_authorizer="0x" + "22" * 20,
    receiver="0x" + "33" * 20,
    receiver_authorizer="0x" + "44" * 20,
    token="0x036cbd53842c5426634e7929541ec2318f3dcf7e",
    withdraw_delay=900,
    salt=bytes(32),
    status="open",
    created=NOW,
)
STANDING = Totals(signed=50, charged=30, reserved=10, deposit=100)


@pytest.mark.parametrize(
    ("ceiling", "amount", "expected"),
    [
        # The official client's: what was charged, what is being served, and the price.
        (50, 10, 0),
        (60, 20, 10),
        # Signed further than it is charged, as by a wallet that pays several calls at once.
        (150, 1, 100),
        (45, 10, 0),
        # Not one unit more than what was signed.
        (50, 11, Refusal.amount_mismatch),
        (60, 21, Refusal.amount_mismatch),
        (151, 1, Refusal.exceeds_balance),
        (0, 1, Refusal.payload),
        (60, 0, Refusal.payload),
        (AMOUNT_MAX + 1, 1, Refusal.payload),
    ],
)
def test_a_voucher_is_judged(ceiling: int, amount: int, expected: int | Refusal) -> None:
    assert judge(STANDING, ceiling=ceiling, amount=amount) == expected


@given(
    st.lists(
        st.tuples(st.integers(1, 60), st.integers(1, 30), st.sampled_from(["take", "part", "free"]))
    )
)
def test_what_is_charged_never_exceeds_what_was_signed_or_deposited(
    presented: list[tuple[int, int, str]],
) -> None:
    totals, highest = Totals(0, 0, 0, 200), 0
    for ceiling, amount, end in presented:
        rise = judge(totals, ceiling=ceiling, amount=amount)
        if isinstance(rise, Refusal):
            continue
        highest = max(highest, ceiling)
        totals = totals.after(rise, amount)
        assert totals.charged + totals.reserved <= totals.signed == highest
        assert totals.balance == 200
        assert totals.deposit >= 0
        used = {"take": amount, "part": amount // 2, "free": 0}[end]
        totals = totals.ended(amount, used)


def test_ids_follow_from_the_voucher() -> None:
    made = [
        raise_id(CHANNEL, 10, 0),
        raise_id(CHANNEL, 11, 0),
        raise_id(CHANNEL, 10, 1),
        charge_id(CHANNEL, 10, 0),
        charge_id(CHANNEL, 10, 1),
        charge_id(CHANNEL, 10, 0, "commit"),
        charge_id(replace(CHANNEL, id="ech_00000000000000000000000003"), 10, 0),
    ]
    assert len(set(made)) == len(made)
    assert made[0] == raise_id(CHANNEL, 10, 0)


def test_a_charge_has_a_name() -> None:
    assert parse_charge_name(charge_name(CHANNEL, 1_000, 2)) == (CHANNEL.id, 1_000, 2)


@pytest.mark.parametrize(
    "name",
    [
        "",
        CHANNEL.id,
        f"{CHANNEL.id}:1",
        f"{CHANNEL.id}:x:0",
        f"{CHANNEL.id}:1:-1",
        "po_00000000000000000000000001:1:0",
        "no id:1:0",
    ],
)
def test_another_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError):
        parse_charge_name(name)


def moves(postings: list[object]) -> list[tuple[str, str, int, TransferCode]]:
    return [
        (each.debit.path, each.credit.path, each.amount, each.code)  # type: ignore[attr-defined]
        for each in postings
    ]


OWN, LEAVING = f"channel:{CHANNEL.id}:deposit", f"channel:{CHANNEL.id}:leaving"
BRIDGE, ESCROW = f"conversion:{ASSET}", f"escrow:{ASSET}"


def test_a_deposit_is_coins_in_the_escrow_owed_to_the_channel() -> None:
    assert moves([*deposit_postings(CHANNEL, 7)]) == [
        (ESCROW, BRIDGE, 7, TransferCode.escrow_deposited),
        (BRIDGE, OWN, 7, TransferCode.channel_funded),
    ]


def test_what_goes_back_is_set_aside_first() -> None:
    assert moves([leaving_posting(CHANNEL, 7), staying_posting(CHANNEL, 7)]) == [
        (OWN, LEAVING, 7, TransferCode.channel_closed),
        (LEAVING, OWN, 7, TransferCode.channel_funded),
    ]
    assert moves([*refund_postings(CHANNEL, 7)]) == [
        (BRIDGE, ESCROW, 7, TransferCode.escrow_withdrawn),
        (LEAVING, BRIDGE, 7, TransferCode.escrow_withdrawn),
    ]


def test_what_is_gone_and_was_charged_is_the_payees_loss() -> None:
    out = TransferCode.escrow_withdrawn
    assert moves([taken_posting(CHANNEL.deposit_account, CHANNEL, 4)]) == [(OWN, BRIDGE, 4, out)]
    assert moves([*gone_postings(CHANNEL, 7, taken=7)]) == [(BRIDGE, ESCROW, 7, out)]
    assert moves([*gone_postings(CHANNEL, 7, taken=4)]) == [
        (BRIDGE, ESCROW, 7, out),
        (f"receivable:{CHANNEL.account_id}", BRIDGE, 3, out),
    ]
    # Each loss that its row tells of is booked once, under a step of its own.
    assert gone_step(CHANNEL) != gone_step(replace(CHANNEL, attempt=CHANNEL.attempt + 1))


def test_a_channel_names_itself() -> None:
    assert CHANNEL.chain_id == 84_532
    assert CHANNEL.number == 1
    assert CHANNEL.signed_account.path == f"channel:{CHANNEL.id}"
    assert CHANNEL.incoming.path == f"merchant:{CHANNEL.account_id}:incoming"
    assert len(channel_id(CHANNEL.config, CHANNEL.chain_id)) == 32


def test_what_is_told_of_a_channel() -> None:
    assert state_extra(CHANNEL, STANDING, charged=None) == {
        "channelId": CHANNEL.channel,
        "balance": "150",
        "totalClaimed": "0",
        "withdrawRequestedAt": 0,
        "refundNonce": "0",
    }
    leaving = replace(CHANNEL, withdraw_ends_at=NOW)
    told = state_extra(leaving, STANDING, charged=30, refund_nonce=2)
    assert told["chargedCumulativeAmount"] == "30"
    assert told["withdrawRequestedAt"] == int(NOW.timestamp()) - 900
    assert told["refundNonce"] == "2"
    assert chain_extra("0x", ChannelState(9, 4, 3, 77, 2)) == {
        "channelId": "0x",
        "balance": "9",
        "totalClaimed": "4",
        "withdrawRequestedAt": 77,
        "refundNonce": "2",
    }
    assert public(CHANNEL, STANDING)["withdraw_ends_at"] is None
    shown = public(leaving, STANDING)
    assert shown["withdraw_ends_at"] == int(NOW.timestamp())
    assert (shown["signed"], shown["charged"], shown["reserved"]) == (50, 30, 10)


def test_what_a_call_did_not_use_is_there_again() -> None:
    assert STANDING.ended(10, 4) == Totals(signed=50, charged=34, reserved=0, deposit=100)


def test_what_goes_back_is_signed_for_no_more() -> None:
    """The base of raises only grows; what a call still holds does not go back."""
    back = STANDING._replace(signed=40, deposit=110, unsigned=10)
    assert (STANDING.base, STANDING.free) == (50, 110)
    assert (back.base, back.balance, back.free) == (50, 150, 110)
    legs = unsigning_postings(CHANNEL, 10)
    assert [(leg.debit, leg.credit) for leg in legs] == [
        (CHANNEL.signed_account, CHANNEL.unsigned_account),
        (CHANNEL.unsigned_account, CHANNEL.deposit_account),
    ]
    assert {leg.amount for leg in legs} == {10}


@pytest.mark.parametrize(
    ("ceiling", "attempt"), [(1, 0), (AMOUNT_MAX >> 7, 127), (AMOUNT_MAX, 0), (5, 128)]
)
def test_a_charge_says_which_voucher_paid_it(ceiling: int, attempt: int) -> None:
    data = voucher_data(ceiling, attempt)
    fits = ceiling < 1 << 121 and attempt < 128
    assert read_voucher_data(data) == ((ceiling, attempt) if fits else (0, 0))


def test_what_is_uncharged_is_signed_for_again() -> None:
    first, second = uncharging_postings(CHANNEL, 7)
    assert (first.debit, second.credit) == (CHANNEL.incoming, CHANNEL.signed_account)
    assert first.credit == second.debit == CHANNEL.refunded_account
    assert {(each.amount, each.code) for each in (first, second)} == {
        (7, TransferCode.channel_refunded)
    }
    held = disputed_posting(CHANNEL, 7)
    assert (held.debit, held.credit, held.amount) == (
        CHANNEL.available,
        CHANNEL.refunded_account,
        7,
    )


@pytest.mark.parametrize(
    ("giving_back", "claimed", "left"), [(0, 0, 30), (5, 0, 25), (5, 20, 5), (0, 30, 0), (5, 30, 0)]
)
def test_only_what_nobody_claims_is_uncharged(giving_back: int, claimed: int, left: int) -> None:
    assert unclaimed(STANDING, giving_back=giving_back, claimed=claimed) == left
