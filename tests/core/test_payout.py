"""Payouts, as rules: what is reserved, what settles it, what may be called off, what is shown."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.networks import a_network, a_token

from sakk.core import chart
from sakk.core.beneficiary import Destination, Wanted
from sakk.core.chart import TransferCode
from sakk.core.errors import AmountTooSmall, InvalidRequest, ParameterInvalid, Unavailable
from sakk.core.fee import FeeKind, FeeRule, FeeVersion, Pricing
from sakk.core.network import Currency
from sakk.core.payout import (
    POLICY_BLOCKED,
    SCHEDULE_MAX,
    HoldStatus,
    Payout,
    PayoutRequest,
    PayoutStatus,
    Terms,
    approved_content,
    debited,
    decided,
    delivered,
    draft,
    facts_of,
    is_cancelable,
    is_unsigned,
    may_be_sent,
    promised,
    public,
)
from sakk.core.payout_posting import (
    fee_postings,
    hold_posting,
    owed_posting,
    settlement_postings,
    undone_fee,
    undone_posting,
)
from sakk.core.policy import Action, Decision
from sakk.core.posting import Posting, reversed_postings
from sakk.core.quote import Quote

ASSET = "eip155:84532/erc20:0x036cbd53842c5426634e7929541ec2318f3dcf7e"
DESTINATION = "0x70997970c51812dc3a010c7d01b50e0d17dc79c8"
MOMENT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
UNIT = "test/usdc"


def payout(**changes: Any) -> Payout:
    row = Payout(
        id="po_1",
        account_id="acct_1",
        livemode=False,
        amount=5_000_000,
        fee=0,
        currency="usdc",
        decimals=6,
        network="eip155:84532",
        asset=ASSET,
        token_amount=5_000_000,
        destination=DESTINATION,
        fee_mode="sender",
        status="requested",
        hold="none",
        metadata={"order": "7"},
        created=MOMENT,
    )
    return replace(row, **changes)


def test_a_draft_has_the_price_of_the_schedule() -> None:
    rule = FeeRule(kind=FeeKind.payout, currency="usdc", fixed=500_000)
    version = FeeVersion("fsch_1", 1, [rule.document()], MOMENT, MOMENT, None)
    row = drafted(request(), pricing=Pricing(FeeKind.payout, version, {}))
    assert row.service_fee == 500_000
    assert row.fee_terms is not None
    assert (row.fee_terms["schedule"], row.fee_terms["rule"]) == ("fsch_1", 1)
    assert drafted(request()).fee_terms is None
    settling = request(is_settlement=True)
    assert drafted(settling, pricing=Pricing(FeeKind.payout, version, {})).service_fee == 0


def test_what_a_quote_promised_of_just_this_amount_is_charged() -> None:
    made = Quote(
        id="qt_1",
        account_id="acct_1",
        livemode=False,
        kind="payout",
        network="eip155:84532",
        asset=ASSET,
        currency="usdc",
        decimals=6,
        fee=7,
        network_fee=7,
        gas=65_000,
        gas_price=1,
        metadata={},
        expires_at=MOMENT + timedelta(minutes=10),
        created=MOMENT,
        amount=5_000_000,
        service_fee=3,
        fee_terms={"schedule": "fsch_1"},
    )

    def quoted(**changes: Any) -> Payout:
        asked = request(quote="qt_1", **changes)
        kept = promised(terms(), asked, place(), {"qt_1": made}, now=MOMENT)
        return drafted(asked, fees=kept.fees, service=kept.service)

    row = quoted()
    assert (row.fee, row.service_fee, row.fee_terms) == (7, 3, {"schedule": "fsch_1"})
    assert (quoted(amount=6_000_000).service_fee, quoted(is_settlement=True).service_fee) == (0, 0)


def test_a_platforms_fee_is_on_top_and_its_own() -> None:
    row = payout(application_fee=250_000, application_terms={"platform": "acct_2"})
    assert (debited(row), delivered(row)) == (5_250_000, 5_000_000)
    flies, platform = chart.payout_in_flight(UNIT), chart.merchant("acct_2", "available", UNIT)
    taken = Posting(flies, platform, 250_000, TransferCode.application_fee_payout)
    assert fee_postings(row) == [taken]
    # What the platform has spent of it, it owes.
    [undo] = reversed_postings([taken], TransferCode.transaction_undone)
    assert undone_fee(undo).debit == chart.receivable("acct_2", UNIT)
    shown = public(row, operator=False)
    assert (shown["application"], shown["application_fee_amount"]) == ("acct_2", 250_000)


def test_a_schedules_fee_is_on_top_and_a_transfer_of_its_own() -> None:
    row = payout(fee=20_000, fee_mode="receiver", service_fee=500_000, fee_returned=7)
    assert (debited(row), delivered(row)) == (5_500_000, 4_980_000)
    flies, earned = chart.payout_in_flight(UNIT), chart.fee_revenue(UNIT)
    balance = chart.merchant("acct_1", "available", UNIT)
    charged = Posting(flies, earned, 500_000, TransferCode.payout_fee)
    back = Posting(earned, balance, 7, TransferCode.fee_returned)
    assert fee_postings(row) == [charged, back]
    assert fee_postings(payout()) == []
    assert fee_postings(payout(source="suspense", service_fee=1)) == []
    # What undoes it asks no balance.
    undo = [
        undone_fee(each)
        for each in reversed_postings([charged, back], TransferCode.transaction_undone)
    ]
    assert [each.debit for each in undo] == [chart.receivable("acct_1", UNIT), earned]


@pytest.mark.parametrize(
    ("fee_mode", "fee", "taken", "sent"),
    [
        ("sender", 0, 5_000_000, 5_000_000),
        ("receiver", 0, 5_000_000, 5_000_000),
        ("sender", 20_000, 5_020_000, 5_000_000),
        ("receiver", 20_000, 5_000_000, 4_980_000),
    ],
)
def test_who_bears_the_fee(fee_mode: str, fee: int, taken: int, sent: int) -> None:
    row = payout(fee_mode=fee_mode, fee=fee)
    assert (debited(row), delivered(row)) == (taken, sent)
    assert debited(row) == delivered(row) + fee


def test_the_hold_is_what_the_balance_gives() -> None:
    assert hold_posting(payout(fee=20_000)) == Posting(
        debit=chart.merchant("acct_1", "available", UNIT),
        credit=chart.payout_in_flight(UNIT),
        amount=5_020_000,
        code=TransferCode.payout_hold,
    )


def test_live_money_is_held_in_its_own_unit() -> None:
    assert hold_posting(payout(livemode=True)).debit.unit == "usdc"


@pytest.mark.parametrize("fee_mode", ["sender", "receiver"])
@pytest.mark.parametrize("fee", [0, 20_000])
def test_settlement_empties_what_is_in_flight(fee_mode: str, fee: int) -> None:
    row = payout(fee_mode=fee_mode, fee=fee, token_amount=77)
    postings = settlement_postings(row)
    in_flight = chart.payout_in_flight(UNIT)
    assert sum(each.amount for each in postings if each.debit == in_flight) == debited(row)
    coins = [each for each in postings if each.credit == chart.custody(ASSET, "hot")]
    assert [(each.debit, each.amount) for each in coins] == [(chart.conversion_asset(ASSET), 77)]
    fees = [each.amount for each in postings if each.credit == chart.fee_revenue(UNIT)]
    assert fees == ([fee] if fee else [])
    assert {each.code for each in postings} == {TransferCode.payout}


@pytest.mark.parametrize("status", list(PayoutStatus))
@pytest.mark.parametrize("transaction", [None, "tx_1"])
def test_it_is_called_off_only_before_a_transaction(
    status: PayoutStatus, transaction: str | None
) -> None:
    early = {PayoutStatus.requested, PayoutStatus.screened, PayoutStatus.approved}
    row = payout(status=status.value, transaction=transaction, hold=HoldStatus.held.value)
    assert is_cancelable(row) is (status in early and transaction is None)


def test_it_is_not_called_off_while_its_reservation_is_being_made() -> None:
    assert not is_cancelable(payout(hold=HoldStatus.none.value))


def test_what_is_shown() -> None:
    shown = public(payout(screening="scr_1", tx_hash="0xab", under_review=True), operator=False)
    assert shown["destination"] == {
        "network": "eip155:84532",
        "address": "0x70997970C51812dc3A010C7d01b50e0d17dc79C8",
        "bank_account": None,
        "beneficiary": None,
    }
    assert shown["amount_decimal"] == "5.000000"
    assert shown["token_amount"] == "5000000"
    assert shown["metadata"] == {"order": "7"}
    assert shown["created"] == int(MOMENT.timestamp())
    assert shown["under_review"] is True


def test_a_screening_is_shown_to_the_operator_alone() -> None:
    row = payout(screening="scr_1")
    assert public(row, operator=False)["screening"] is None
    assert public(row, operator=True)["screening"] == "scr_1"


def test_what_the_chain_undid_goes_back_to_the_balance() -> None:
    assert undone_posting(payout(fee=20_000)) == Posting(
        debit=chart.payout_in_flight(UNIT),
        credit=chart.merchant("acct_1", "available", UNIT),
        amount=5_020_000,
        code=TransferCode.payout_void,
    )


def test_what_the_chain_did_after_all_is_owed() -> None:
    assert owed_posting(payout(fee=20_000)) == Posting(
        debit=chart.receivable("acct_1", UNIT),
        credit=chart.payout_in_flight(UNIT),
        amount=5_020_000,
        code=TransferCode.payout,
    )


def decision(action: Action) -> Decision:
    needed = action is Action.approve
    return Decision(
        action=action,
        rule="large",
        index=0,
        approvals=2 if needed else 0,
        role="approver" if needed else None,
        passed=(),
    )


@pytest.mark.parametrize(
    ("action", "was_approved", "status", "failure"),
    [
        (Action.allow, False, "approved", None),
        (Action.approve, False, "screened", None),
        (Action.approve, True, "approved", None),
        (Action.block, False, "rejected", "policy_blocked"),
    ],
)
def test_a_policys_decision(
    action: Action, was_approved: bool, status: str, failure: str | None
) -> None:
    waiting = payout(status="screened")
    after = decided(
        waiting, decision(action), version="pol_1", was_approved=was_approved, now=MOMENT
    )
    assert (after.status, after.failure_code) == (status, failure)
    assert (after.policy_version, after.rule, after.decided_at) == ("pol_1", "large", MOMENT)
    merchant, operator = public(after, operator=False), public(after, operator=True)
    assert merchant["awaiting_approvals"] is (status == "screened")
    assert not public(waiting, operator=False)["awaiting_approvals"]
    # Which rule it was is nothing for the merchant, nor whom it waits for.
    told = ("rule", "policy_version", "approvals_needed", "approver_role", "initiator")
    assert {merchant[name] for name in told} == {None}
    assert (operator["rule"], operator["policy_version"]) == ("large", "pol_1")
    assert operator["approvals_needed"] == (2 if action is Action.approve else 0)
    assert merchant["failure_message"] == (POLICY_BLOCKED if failure else None)


def test_what_a_policy_and_its_approvers_see() -> None:
    row = payout(initiator="key_1", initiator_person="per_1")
    facts = facts_of(row, ["finance"])
    assert (facts.amount, facts.decimals, facts.currency) == (row.amount, 6, "usdc")
    assert (facts.key, facts.person, facts.roles) == ("key_1", "per_1", frozenset({"finance"}))
    assert facts_of(row).roles == frozenset()
    assert public(row, operator=True)["initiator"] == "per_1"
    assert approved_content(row).decode().splitlines()[1:] == [
        "po_1",
        "payout",
        row.network,
        ASSET,
        DESTINATION,
        str(row.token_amount),
    ]


def terms(**changes: Any) -> Terms:
    """One network with USDC at 6 decimals, and a coarse token of 2 for ``usdt``."""
    network = a_network("eip155:84532", confirmations=2, created=MOMENT)
    usdc = a_token(ASSET, sweep_minimum=1, created=MOMENT, payout_minimum=1_000)
    coarse = replace(usdc, asset="eip155:84532/erc20:0xc0", contract="0xc0", currency="usdt")
    coarse = replace(coarse, symbol="USDT", decimals=2, payout_minimum=0)
    found = Terms(
        networks={network.network: network},
        assets={(network.network, "usdc"): usdc, (network.network, "usdt"): coarse},
        currencies={
            code: Currency(code, code.upper(), "coin", 6, 1, 1, MOMENT) for code in ("usdc", "usdt")
        },
        contracts={network.network: frozenset({str(usdc.contract), "0xc0"})},
        treasury=frozenset({"0x" + "aa" * 20}),
    )
    return replace(found, **changes)


def request(**changes: Any) -> PayoutRequest:
    wanted = Wanted(network="eip155:84532", address=DESTINATION)
    return replace(PayoutRequest(5_000_000, "usdc", wanted), **changes)


def place(network: str = "eip155:84532", address: str = DESTINATION) -> Destination:
    return Destination(network, address, None)


def drafted(asked: PayoutRequest, **changes: Any) -> Payout:
    return draft(
        asked,
        changes.pop("to", place()),
        terms(**changes),
        identifier="po_1",
        account_id="acct_1",
        livemode=False,
        now=MOMENT,
    )


def test_a_request_becomes_a_payout() -> None:
    assert drafted(request(metadata={"order": "7"})) == payout()
    assert drafted(request()).metadata == {}


def test_a_draft_knows_its_line_and_its_time() -> None:
    later = MOMENT + timedelta(days=30)
    row = draft(
        request(reference="INV-1", scheduled_at=later),
        replace(place(), beneficiary="ben_1"),
        terms(),
        identifier="po_1",
        account_id="acct_1",
        livemode=False,
        now=MOMENT,
        batch="pob_1",
        line=3,
    )
    assert (row.batch, row.line, row.reference, row.scheduled_at) == ("pob_1", 3, "INV-1", later)
    assert row.beneficiary == "ben_1"
    shown = public(row, operator=False)
    assert (shown["batch"], shown["line"], shown["reference"]) == ("pob_1", 3, "INV-1")
    assert shown["scheduled_at"] == int(later.timestamp())


@pytest.mark.parametrize(
    ("to", "says"),
    [
        (place("eip155:1"), "not an enabled network"),
        (place(address=ASSET.partition("erc20:")[2]), "own contract"),
        (place(address="0x" + "aa" * 20), "treasury"),
        (ParameterInvalid("no such", param="destination[address]"), "no such"),
    ],
)
def test_where_nothing_is_sent(to: Destination | InvalidRequest, says: str) -> None:
    with pytest.raises(ParameterInvalid, match=says) as caught:
        drafted(request(), to=to)
    assert caught.value.param == "destination[address]"


@pytest.mark.parametrize(
    ("changes", "param", "says"),
    [
        ({"currency": "eur"}, "currency", "It offers: usdc, usdt"),
        ({"currency": "usdt", "amount": 12_345}, "amount", "2 decimal places"),
        ({"amount": 999}, "amount", "0.000999 usdc would arrive.*0.001000 usdc"),
        ({"scheduled_at": MOMENT}, "scheduled_at", "past"),
        ({"scheduled_at": MOMENT + SCHEDULE_MAX * 2}, "scheduled_at", "more than 366 days"),
    ],
)
def test_what_can_not_be_asked_for(changes: dict[str, Any], param: str, says: str) -> None:
    with pytest.raises(InvalidRequest, match=says) as caught:
        drafted(request(**changes))
    assert caught.value.param == param


def test_a_network_may_offer_nothing() -> None:
    with pytest.raises(ParameterInvalid, match="It offers: nothing"):
        drafted(request(), assets={})


def test_the_fee_is_locked_in() -> None:
    assert drafted(request(), fees={ASSET: 20_000}).fee == 20_000
    receiver = drafted(request(fee_mode="receiver"), fees={ASSET: 20_000})
    assert (receiver.amount, receiver.fee, receiver.token_amount) == (5_000_000, 20_000, 4_980_000)


def test_a_fee_that_is_not_known_is_neither_charged_nor_waived() -> None:
    with pytest.raises(Unavailable, match="is not known now"):
        drafted(request(), fees={})


@pytest.mark.parametrize(("amount", "says"), [(20_000, "takes the whole"), (20_999, "least")])
def test_a_fee_that_eats_the_payout_is_refused(amount: int, says: str) -> None:
    with pytest.raises(AmountTooSmall, match=says) as caught:
        drafted(request(amount=amount, fee_mode="receiver"), fees={ASSET: 20_000})
    assert caught.value.param == "amount"


def test_coins_in_suspense_go_back_as_they_came_and_cost_the_merchant_nothing() -> None:
    row = payout(purpose="refund", source="suspense", token_amount=7)
    stands, flies = chart.suspense(ASSET), chart.payout_in_flight(ASSET)
    assert debited(row) == 0
    assert hold_posting(row) == Posting(stands, flies, 7, TransferCode.payout_hold)
    assert settlement_postings(row) == [
        Posting(flies, chart.custody(ASSET, "hot"), 7, TransferCode.payout)
    ]
    assert undone_posting(row) == Posting(flies, stands, 7, TransferCode.payout_void)
    # Suspense has no limit: what happened already is taken from where it stood.
    assert owed_posting(row) == Posting(stands, flies, 7, TransferCode.payout)


def test_an_approval_of_a_refund_is_not_one_of_a_payout() -> None:
    row = payout()
    words = approved_content(replace(row, purpose="refund"))
    assert b"\nrefund\n" in words
    assert words != approved_content(row)


@pytest.mark.parametrize(
    ("status", "carried_by", "expected", "unsigned"),
    [
        ("requested", None, False, False),
        ("screened", None, True, True),
        ("approved", None, True, True),
        ("approved", "tx_1", False, True),
        ("signed", "tx_1", False, False),
        ("posted", None, False, False),
    ],
)
def test_what_may_still_be_held_back(
    status: str, carried_by: str | None, expected: bool, unsigned: bool
) -> None:
    row = payout(status=status, transaction=carried_by)
    assert (may_be_sent(row), is_unsigned(row)) == (expected, unsigned)
