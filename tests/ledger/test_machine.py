"""The rules, one case a row, and every status reached; a peer's bugs; chains; time-outs."""

from dataclasses import replace

import pytest
from tests.ledger.bench import (
    BALANCING_CREDIT,
    BALANCING_DEBIT,
    CLOSING_CREDIT,
    CLOSING_DEBIT,
    LINKED,
    PENDING,
    POST,
    SECOND,
    VOID,
    A,
    Bench,
    S,
    holds,
    move,
    settle,
)

from sakk.ledger.group import EXPIRED_MAX, Kind, Request
from sakk.ledger.machine import Make
from sakk.ledger.record import (
    account_results,
    decode_id,
    encode_accounts,
    encode_id,
    encode_transfers,
    split,
    transfer_results,
)
from sakk.ledger.snapshot import state_hash
from sakk.ledger.types import (
    AMOUNT_MAX,
    ID_MAX,
    TIMESTAMP_MAX,
    TRANSIENT,
    Account,
    AccountFlags,
    CreateAccountStatus,
    CreateTransferStatus,
    Transfer,
    TransferFlags,
)


@pytest.fixture(params=list(Make), autouse=True)
def machine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test here runs on each machine."""
    monkeypatch.setattr(Bench, "make", request.param)


CASES: list[tuple[CreateTransferStatus, Transfer]] = [
    (S.created, move(1000, 1, 2, 5)),
    (S.created, move(1000, 1, 2, 5, effective_at=TIMESTAMP_MAX)),
    (S.created, move(1000, 3, 2, 60)),  # 100 held, 40 of them on hold
    (S.exists, move(504, 1, 2, 10)),
    (S.exists, settle(511, POST, 501, 10)),
    (S.exists, settle(512, VOID, 502, 0)),
    (S.linked_event_chain_open, move(1000, 1, 2, 5, flags=LINKED)),
    (S.timestamp_must_be_zero, move(1000, 1, 2, 5, timestamp=1)),
    (S.timestamp_must_be_zero, move(504, 1, 2, 10, timestamp=1)),
    (S.reserved_flag, move(1000, 1, 2, 5, flags=1 << 8)),
    (S.id_must_not_be_zero, move(0, 1, 2, 5)),
    (S.id_must_not_be_int_max, move(ID_MAX, 1, 2, 5)),
    (S.exists_with_different_flags, move(504, 1, 2, 11, flags=PENDING)),
    (S.exists_with_different_pending_id, settle(511, POST, 500, 11)),
    (S.exists_with_different_timeout_seconds, move(503, 9, 9, 10, flags=PENDING)),
    (S.exists_with_different_debit_account_id, move(504, 3, 3, 10)),
    (S.exists_with_different_credit_account_id, move(504, 1, 3, 11)),
    (S.exists_with_different_amount, move(504, 1, 2, 11, user_data=1)),
    (S.exists_with_different_user_data, move(504, 1, 2, 10, user_data=1, unit=8)),
    (S.exists_with_different_unit, move(504, 1, 2, 10, unit=8, code=2)),
    (S.exists_with_different_code, move(504, 1, 2, 10, code=2, effective_at=1)),
    (S.exists_with_different_effective_at, move(504, 1, 2, 10, effective_at=1)),
    (S.exceeds_credits, move(600, 8, 2, 1)),  # remembered
    (S.id_already_failed, move(600, 1, 2, 1)),
    (S.flags_are_mutually_exclusive, settle(1000, POST | VOID, 500, 1)),
    (S.flags_are_mutually_exclusive, settle(1000, POST | PENDING, 500, 1)),
    (S.flags_are_mutually_exclusive, settle(1000, VOID | BALANCING_DEBIT, 500, 1)),
    (S.flags_are_mutually_exclusive, settle(1000, POST | CLOSING_CREDIT, 500, 1)),
    (S.debit_account_id_must_not_be_zero, move(1000, 0, 0, 5)),
    (S.debit_account_id_must_not_be_int_max, move(1000, ID_MAX, 0, 5)),
    (S.credit_account_id_must_not_be_zero, move(1000, 1, 0, 5)),
    (S.credit_account_id_must_not_be_int_max, move(1000, 1, ID_MAX, 5)),
    (S.accounts_must_be_different, move(1000, 1, 1, 5, pending_id=3)),
    (S.pending_id_must_be_zero, move(1000, 1, 2, 5, pending_id=500, timeout_seconds=1)),
    (S.pending_id_must_not_be_zero, settle(1000, POST, 0, 5)),
    (S.pending_id_must_not_be_int_max, settle(1000, VOID, ID_MAX, 0)),
    (S.pending_id_must_be_different, settle(1000, POST, 1000, 5)),
    (S.timeout_reserved_for_pending_transfer, move(1000, 1, 2, 0, timeout_seconds=1)),
    (S.timeout_reserved_for_pending_transfer, settle(1000, POST, 500, 0, timeout_seconds=1)),
    (S.closing_transfer_must_be_pending, move(1000, 1, 2, 0, flags=CLOSING_DEBIT)),
    (S.amount_must_not_be_zero, move(1000, 1, 2, 0, unit=0)),
    (S.amount_must_not_be_zero, settle(1000, POST, 500, 0)),
    (S.unit_must_not_be_zero, move(1000, 1, 2, 5, unit=0, code=0)),
    (S.code_must_not_be_zero, move(1000, 1, 2, 5, code=0, effective_at=TIMESTAMP_MAX + 1)),
    (S.effective_at_out_of_range, move(1000, 99, 2, 5, effective_at=TIMESTAMP_MAX + 1)),
    (S.effective_at_out_of_range, settle(1000, POST, 99, 5, effective_at=TIMESTAMP_MAX + 1)),
    (S.debit_account_not_found, move(1000, 98, 99, 5)),
    (S.credit_account_not_found, move(1000, 1, 99, 5)),
    (S.accounts_must_have_the_same_unit, move(1000, 1, 5, 5, unit=9)),
    (S.transfer_must_have_the_same_unit_as_accounts, move(1000, 1, 6, 5, unit=9)),
    (S.pending_transfer_not_found, settle(1000, POST, 999, 5)),
    (S.pending_transfer_not_pending, settle(1000, POST, 504, 5)),
    (
        S.pending_transfer_has_different_debit_account_id,
        settle(1000, POST, 500, 40, debit_account_id=1, credit_account_id=1),
    ),
    (
        S.pending_transfer_has_different_credit_account_id,
        settle(1000, POST, 500, 40, credit_account_id=1, unit=8),
    ),
    (S.pending_transfer_has_different_unit, settle(1000, POST, 500, 40, unit=8, code=2)),
    (S.pending_transfer_has_different_code, settle(1000, POST, 500, 41, code=2)),
    (S.exceeds_pending_transfer_amount, settle(1000, POST, 500, 41)),
    (S.exceeds_pending_transfer_amount, settle(1000, VOID, 500, AMOUNT_MAX)),
    (S.pending_transfer_has_different_amount, settle(1000, VOID, 500, 39)),
    (S.pending_transfer_already_posted, settle(1000, POST, 501, 10)),
    (S.pending_transfer_already_posted, settle(1000, VOID, 501, 0)),
    (S.pending_transfer_already_voided, settle(1000, VOID, 502, 0)),
    (S.pending_transfer_already_voided, settle(1000, POST, 502, 10)),
    (S.pending_transfer_expired, settle(1000, POST, 503, 10)),
    (S.pending_transfer_expired, settle(1000, VOID, 503, 0)),
    (S.debit_account_frozen, move(1000, 6, 1, 5)),
    (S.credit_account_frozen, move(1000, 1, 6, 5)),
    (S.overflows_debits_pending, move(1000, 7, 2, AMOUNT_MAX - 1, flags=PENDING)),
    (S.overflows_credits_posted, move(1000, 2, 7, 301)),
    (S.overflows_debits_posted, move(1000, 1, 9, AMOUNT_MAX - 1)),
    (S.overflows_timeout, move(1000, 1, 2, 5, flags=PENDING, timeout_seconds=2**32 - 1)),
    (S.exceeds_credits, move(1000, 3, 2, 61)),
    (S.exceeds_credits, move(1000, 3, 2, 61, flags=PENDING)),
    (S.exceeds_credits, move(1000, 3, 4, 101)),
    (S.exceeds_debits, move(1000, 1, 4, 101)),
    (S.exceeds_credits, move(1000, 8, 2, 5, flags=BALANCING_DEBIT)),
    (S.exceeds_debits, move(1000, 1, 7, 5, flags=BALANCING_CREDIT)),
]


@pytest.mark.parametrize(
    ("status", "transfer"), CASES, ids=[f"{i}-{status.name}" for i, (status, _) in enumerate(CASES)]
)
def test_a_transfer_answers_its_first_broken_rule_and_moves_nothing(
    status: CreateTransferStatus, transfer: Transfer
) -> None:
    bench = Bench()
    if status == S.overflows_debits_pending:
        assert bench.transfers(move(900, 7, 9, 5, flags=PENDING)) == [S.created]
    if status == S.overflows_timeout:
        bench.now = TIMESTAMP_MAX - 10 * SECOND
    before = [bench.totals(i) for i in range(1, 10)]
    assert bench.transfers(transfer) == [status]
    if status not in (S.created, S.overflows_timeout):  # time ran on: 505 was released
        assert [bench.totals(i) for i in range(1, 10)] == before
    if status != S.created:
        assert bench.transfers(transfer) == [status]


def test_the_rarer_overflows() -> None:
    bench = Bench()
    bench.accounts(*(Account(i, unit=7, code=1) for i in range(20, 26)))
    most = AMOUNT_MAX - 10
    assert bench.transfers(
        move(700, 20, 21, most, flags=PENDING),
        move(701, 22, 21, 11, flags=PENDING),  # credits pending of 21
        move(702, 20, 23, 11),  # debits pending and posted of 20
        move(703, 24, 21, 11),  # credits pending and posted of 21
    ) == [
        S.created,
        S.overflows_credits_pending,
        S.overflows_debits,
        S.overflows_credits,
    ]


def test_a_hold_that_ran_out_but_was_not_released_yet_is_refused() -> None:
    bench = Bench()
    bench.machine.apply([], bench.now + 1)
    # 505 ends within this very batch: after its first events, before its last.
    started = bench.transfer(505).timestamp
    count = 100
    records = encode_transfers(
        [move(2000 + k, 1, 2, 1) for k in range(count - 1)] + [settle(3000, POST, 505, 10)]
    )
    outcome = bench.machine.apply(
        [Request(Kind.create_transfers, records)], started + SECOND + count // 2
    )
    assert outcome.expired == b""
    assert transfer_results(outcome.outcomes[0].results)[-1].status == S.pending_transfer_expired
    assert bench.machine.apply([], started + SECOND + count).expired == encode_id(505)


REACHED_ELSEWHERE = {
    S.linked_event_failed,
    S.id_repeated_in_chain,
    S.overflows_credits_pending,
    S.overflows_debits,
    S.overflows_credits,
}


def test_every_status_of_a_transfer_is_reached() -> None:
    assert {status for status, _ in CASES} | REACHED_ELSEWHERE == set(CreateTransferStatus)


def test_statuses_are_numbered_without_gaps_and_say_whether_they_pass() -> None:
    assert [status.value for status in CreateTransferStatus] == list(range(62))
    assert [status.value for status in CreateAccountStatus] == list(range(21))
    assert {status for status in CreateTransferStatus if status.transient} == TRANSIENT
    assert not any(status.transient for status in CreateAccountStatus)
    assert [s for s in CreateTransferStatus if s.accepted] == [S.created, S.exists]
    assert [s for s in CreateAccountStatus if s.accepted] == [A.created, A.exists]


FREE = Account(30, unit=7, code=1)
ACCOUNT_CASES: list[tuple[CreateAccountStatus, Account]] = [
    (A.created, FREE),
    (A.created, replace(FREE, flags=AccountFlags.history | AccountFlags.frozen)),
    (A.exists, Account(1, unit=7, code=1)),
    (A.linked_event_chain_open, replace(FREE, flags=AccountFlags.linked)),
    (A.timestamp_must_be_zero, replace(FREE, timestamp=1, flags=AccountFlags(1 << 9))),
    (A.reserved_flag, replace(FREE, id=0, flags=AccountFlags(1 << 9))),
    (A.reserved_flag, replace(FREE, flags=AccountFlags(1 << 4))),
    (A.id_must_not_be_zero, replace(FREE, id=0)),
    (A.id_must_not_be_int_max, replace(FREE, id=ID_MAX)),
    (A.exists_with_different_flags, Account(1, unit=8, code=2, flags=AccountFlags.history)),
    (A.exists_with_different_user_data, Account(1, unit=8, code=2, user_data=1)),
    (A.exists_with_different_unit, Account(1, unit=8, code=2)),
    (A.exists_with_different_code, Account(1, unit=7, code=2)),
    (A.flags_are_mutually_exclusive, replace(FREE, unit=0, flags=AccountFlags(6))),
    (A.debits_pending_must_be_zero, replace(FREE, debits_pending=1, debits_posted=1)),
    (A.debits_posted_must_be_zero, replace(FREE, debits_posted=1, credits_posted=1)),
    (A.credits_pending_must_be_zero, replace(FREE, credits_pending=1, credits_posted=1)),
    (A.credits_posted_must_be_zero, replace(FREE, credits_posted=1, unit=0)),
    (A.unit_must_not_be_zero, replace(FREE, unit=0, code=0)),
    (A.code_must_not_be_zero, replace(FREE, code=0)),
]


@pytest.mark.parametrize(
    ("status", "account"),
    ACCOUNT_CASES,
    ids=[f"{i}-{status.name}" for i, (status, _) in enumerate(ACCOUNT_CASES)],
)
def test_an_account_answers_its_first_broken_rule(
    status: CreateAccountStatus, account: Account
) -> None:
    bench = Bench()
    assert bench.accounts(account) == [status]
    is_there = status in (A.created, A.exists) or account.id == 1
    assert bool(bench.machine.lookup_account(encode_id(account.id))) is is_there


def test_chains_of_accounts_stand_or_fall_together() -> None:
    linked = AccountFlags.linked
    bench = Bench()
    good = [replace(FREE, flags=linked), replace(FREE, id=31)]
    bad = [replace(FREE, id=32, flags=linked), replace(FREE, id=33, code=0)]
    assert bench.accounts(*good, *bad) == [
        A.created, A.created, A.linked_event_failed, A.code_must_not_be_zero,
    ]  # fmt: skip
    assert bench.accounts(*good) == [A.exists, A.exists]
    assert bench.accounts(good[0], replace(FREE, id=34)) == [A.exists, A.linked_event_failed]
    twice = replace(FREE, id=35, flags=linked)
    assert bench.accounts(twice, replace(twice, flags=AccountFlags.none)) == [
        A.linked_event_failed,
        A.id_repeated_in_chain,
    ]
    assert bench.accounts(replace(FREE, id=35)) == [A.created]


def test_a_reserved_field_of_an_account_must_be_zero() -> None:
    bench = Bench()
    record = encode_accounts([FREE])[:-1] + b"\x01"
    outcome = bench.machine.apply([Request(Kind.create_accounts, record)], bench.now + 2)
    assert account_results(outcome.outcomes[0].results)[0].status == A.reserved_field


def test_every_status_of_an_account_is_reached() -> None:
    elsewhere = {A.linked_event_failed, A.id_repeated_in_chain, A.reserved_field}
    assert {status for status, _ in ACCOUNT_CASES} | elsewhere == set(CreateAccountStatus)


# Chains


def test_a_chain_that_fails_leaves_nothing_and_answers_the_same_again() -> None:
    bench = Bench()
    before = state_without_refusals(bench)
    chain = [
        move(1000, 1, 3, 50, flags=LINKED),
        move(1001, 3, 2, 110, flags=LINKED),  # passes only because 1000 came first
        settle(1002, VOID | LINKED, 500, 0),
        move(1003, 3, 2, 1_000_000, flags=LINKED),
        move(1004, 1, 2, 1),
    ]
    expected = [
        S.linked_event_failed,
        S.linked_event_failed,
        S.linked_event_failed,
        S.exceeds_credits,
        S.linked_event_failed,
    ]
    assert bench.transfers(*chain) == expected
    assert state_without_refusals(bench) == before
    assert bench.transfers(*chain) == expected
    assert bench.transfers(*reversed(chain))[-1] == S.linked_event_failed
    assert state_without_refusals(bench) == before


def test_a_repeated_chain_exists_and_a_mixed_one_fails() -> None:
    bench = Bench()
    chain = [move(1000, 1, 2, 5, flags=LINKED), move(1001, 2, 1, 3)]
    assert bench.transfers(*chain) == [S.created, S.created]
    before = [bench.totals(i) for i in (1, 2)]
    assert bench.transfers(*chain) == [S.exists, S.exists]
    assert bench.transfers(chain[0], move(1002, 1, 2, 9)) == [S.exists, S.linked_event_failed]
    new = move(1003, 1, 2, 9, flags=LINKED)
    assert bench.transfers(new, chain[1]) == [S.linked_event_failed, S.exists]
    assert [bench.totals(i) for i in (1, 2)] == before


def test_an_id_twice_in_a_chain_fails_it() -> None:
    bench = Bench()
    chain = [move(1000, 1, 2, 5, flags=LINKED), move(1000, 1, 2, 5)]
    assert bench.transfers(*chain) == [S.linked_event_failed, S.id_repeated_in_chain]
    assert bench.machine.lookup_transfer(encode_id(1000)) == b""


def test_an_id_twice_in_a_batch_exists() -> None:
    bench = Bench()
    assert bench.transfers(move(1000, 1, 2, 5), move(1000, 1, 2, 5)) == [S.created, S.exists]


def test_an_open_chain_fails_whole() -> None:
    bench = Bench()
    chain = [move(1000, 1, 2, 5, flags=LINKED), move(1001, 1, 2, 5, flags=LINKED)]
    assert bench.transfers(*chain) == [S.linked_event_failed, S.linked_event_chain_open]


def test_a_hold_may_be_made_and_settled_in_one_chain() -> None:
    bench = Bench()
    assert bench.transfers(
        move(1000, 1, 2, 5, flags=PENDING | LINKED), settle(1001, POST, 1000, 3)
    ) == [S.created, S.created]
    failing = [
        move(1002, 1, 2, 5, flags=PENDING | LINKED),
        settle(1003, POST | LINKED, 1002, 3),
        move(1004, 1, 99, 1),
    ]
    assert bench.transfers(*failing)[2] == S.credit_account_not_found
    assert bench.transfers(settle(1005, POST, 1002, 5)) == [S.pending_transfer_not_found]


def state_without_refusals(bench: Bench) -> tuple[object, ...]:
    return (
        list(bench.machine.account_records()),
        list(bench.machine.transfer_records()),
        holds(bench.machine),
    )


def test_an_exchange_is_two_moves_that_stand_or_fall_together() -> None:
    """Units never mix: what is sold goes to one account of the dealer, what is bought comes from
    another."""
    bench = Bench()
    bench.accounts(Account(40, unit=8, code=1), Account(41, unit=8, code=1))
    sold, bought = move(1000, 3, 9, 50, flags=LINKED), move(1001, 5, 40, 45, unit=8)
    assert bench.transfers(sold, bought) == [S.created, S.created]
    assert (bench.totals(3), bench.totals(40)) == ((40, 50, 0, 100), (0, 0, 0, 45))
    too_much = move(1002, 3, 9, 50, flags=LINKED), move(1003, 5, 40, 45, unit=8)
    assert bench.transfers(*too_much) == [S.exceeds_credits, S.linked_event_failed]
    assert bench.transfers(move(1004, 3, 40, 1)) == [S.accounts_must_have_the_same_unit]
    assert (bench.totals(3), bench.totals(40)) == ((40, 50, 0, 100), (0, 0, 0, 45))


# Holds


def test_a_part_is_posted_and_the_rest_released() -> None:
    bench = Bench()
    assert bench.totals(3) == (40, 0, 0, 100)
    assert bench.transfers(settle(1000, POST, 500, 15)) == [S.created]
    assert bench.totals(3) == (0, 15, 0, 100)
    posted = bench.transfer(1000)
    assert (posted.debit_account_id, posted.credit_account_id) == (3, 2)
    assert (posted.amount, posted.unit, posted.code, posted.user_data) == (15, 7, 1, 77)


@pytest.mark.parametrize(
    ("flag", "amount"), [(POST, AMOUNT_MAX), (POST, 40), (VOID, 0), (VOID, 40)]
)
def test_the_whole_of_a_hold_is_posted_or_voided(flag: TransferFlags, amount: int) -> None:
    bench = Bench()
    assert bench.transfers(settle(1000, flag, 500, amount)) == [S.created]
    assert bench.totals(3) == (0, 40 if flag == POST else 0, 0, 100)
    assert bench.transfer(1000).amount == 40
    assert bench.transfers(settle(1000, flag, 500, amount)) == [S.exists]


def test_holds_count_against_the_limit() -> None:
    """A peer's holds ignored other holds."""
    bench = Bench()
    assert bench.transfers(
        move(1000, 3, 2, 60, flags=PENDING),
        move(1001, 3, 2, 1, flags=PENDING),
        move(1002, 3, 2, 1),
    ) == [S.created, S.exceeds_credits, S.exceeds_credits]


def test_a_refused_hold_cannot_be_committed() -> None:
    """A peer committed holds that it had rejected."""
    bench = Bench()
    assert bench.transfers(
        move(1000, 8, 2, 5, flags=PENDING),
        settle(1001, POST, 1000, 5),
        settle(1002, VOID, 1000, 0),
    ) == [S.exceeds_credits, S.pending_transfer_not_found, S.pending_transfer_not_found]
    assert bench.totals(8) == (0, 0, 0, 0)


def test_nothing_is_settled_twice() -> None:
    """A peer voided twice, and refunded twice."""
    bench = Bench()
    assert bench.transfers(
        settle(1000, VOID, 500, 0),
        settle(1001, VOID, 500, 0),
        settle(1002, POST, 500, 40),
        settle(1003, POST, 501, 10),
        settle(1004, VOID, 501, 0),
    ) == [
        S.created,
        S.pending_transfer_already_voided,
        S.pending_transfer_already_voided,
        S.pending_transfer_already_posted,
        S.pending_transfer_already_posted,
    ]
    assert bench.totals(3) == (0, 0, 0, 100)


def test_a_second_part_is_refused_and_moves_nothing() -> None:
    """A peer answered 409 to a second refund and moved the money all the same."""
    bench = Bench()
    assert bench.transfers(settle(1000, POST, 500, 15)) == [S.created]
    before = bench.totals(3)
    assert bench.transfers(settle(1001, POST, 500, 25)) == [S.pending_transfer_already_posted]
    assert bench.totals(3) == before


def test_time_releases_holds_in_the_order_of_their_ends() -> None:
    bench = Bench()
    bench.transfers(
        move(1000, 1, 2, 5, flags=PENDING, timeout_seconds=20),
        move(1001, 1, 2, 6, flags=PENDING, timeout_seconds=10),
        move(1002, 1, 2, 7, flags=PENDING),
    )
    pending = bench.totals(1)[0]
    expiry = bench.machine.next_expiry()
    assert expiry == bench.transfer(505).timestamp + SECOND
    outcome = bench.machine.apply([], bench.now + 30 * SECOND)
    assert split(outcome.expired, 16) == [encode_id(i) for i in (505, 1001, 1000)]
    assert bench.totals(1)[0] == pending - 10 - 5 - 6
    assert bench.machine.next_expiry() is None


def test_releases_before_a_group_are_bounded() -> None:
    bench = Bench()
    count = EXPIRED_MAX + 5
    holds = [move(10_000 + k, 2, 9, 1, flags=PENDING, timeout_seconds=10) for k in range(count)]
    bench.transfers(*holds[:5])
    bench.transfers(*holds[5:])
    later = bench.now + 60 * SECOND
    assert len(bench.machine.apply([], later).expired) // 16 == EXPIRED_MAX
    assert len(bench.machine.apply([], later + 1).expired) // 16 == 6  # with 505


# Freezing and balancing


def test_a_closing_hold_freezes_and_its_void_thaws() -> None:
    bench = Bench()
    closing = PENDING | CLOSING_DEBIT
    assert bench.transfers(
        move(1000, 3, 9, 0, flags=closing),
        move(1001, 3, 2, 1),
        move(1002, 1, 3, 1),
        settle(1003, POST, 500, 40),
        settle(1004, POST, 1000, AMOUNT_MAX),
        settle(1005, VOID, 500, 0),
    ) == [
        S.created,
        S.debit_account_frozen,
        S.credit_account_frozen,
        S.debit_account_frozen,
        S.debit_account_frozen,
        S.created,
    ]
    assert bench.flags(3) & AccountFlags.frozen
    assert bench.transfers(settle(1006, VOID, 1000, 0), move(1007, 3, 2, 1)) == [
        S.created,
        S.created,
    ]
    assert not bench.flags(3) & AccountFlags.frozen


def test_a_closing_hold_thaws_when_it_runs_out_or_its_chain_fails() -> None:
    bench = Bench()
    closing = PENDING | CLOSING_CREDIT
    assert bench.transfers(move(1000, 1, 9, 5, flags=closing, timeout_seconds=1)) == [S.created]
    assert bench.flags(9) & AccountFlags.frozen
    bench.machine.apply([], bench.now + 2 * SECOND)
    bench.now += 2 * SECOND
    assert not bench.flags(9) & AccountFlags.frozen
    bench.transfers(move(1001, 1, 9, 5, flags=closing | LINKED), move(1002, 1, 99, 1))
    assert not bench.flags(9) & AccountFlags.frozen


def test_a_transfer_may_post_into_its_frozen_hold_no_more_on_the_credit_side() -> None:
    bench = Bench()
    bench.transfers(move(1000, 1, 2, 0, flags=PENDING | CLOSING_CREDIT))
    assert bench.transfers(settle(1001, POST, 500, 40)) == [S.credit_account_frozen]


def test_balancing_moves_at_most_what_is_left() -> None:
    bench = Bench()
    assert bench.transfers(move(1000, 3, 1, AMOUNT_MAX, flags=BALANCING_DEBIT)) == [S.created]
    assert bench.transfer(1000).amount == 60
    assert bench.totals(3) == (40, 60, 0, 100)
    assert bench.transfers(move(1000, 3, 1, AMOUNT_MAX, flags=BALANCING_DEBIT)) == [S.exists]
    assert bench.transfers(move(1000, 3, 1, 60, flags=BALANCING_DEBIT)) == [
        S.exists_with_different_amount
    ]
    assert bench.transfers(move(1001, 1, 4, 30, flags=BALANCING_CREDIT)) == [S.created]
    assert bench.transfer(1001).amount == 30
    both = BALANCING_CREDIT | BALANCING_DEBIT | PENDING
    assert bench.transfers(move(1002, 7, 4, AMOUNT_MAX, flags=both)) == [S.created]
    assert bench.totals(4) == (0, 100, 70, 30)


# Purity


def test_the_same_history_gives_the_same_bytes() -> None:
    first, second = Bench(), Bench()
    assert state_hash(first.machine) == state_hash(second.machine)
    first.transfers(move(1000, 1, 2, 5))
    assert state_hash(first.machine) != state_hash(second.machine)


def test_time_must_advance() -> None:
    bench = Bench()
    with pytest.raises(ValueError, match="must advance"):
        bench.machine.apply([], bench.now)
    requests = [Request(Kind.create_transfers, encode_transfers([move(1, 1, 2, 1)] * 3))]
    with pytest.raises(ValueError, match="must advance"):
        bench.machine.apply(requests, bench.machine.timestamp + 2)


def test_every_event_has_a_time_of_its_own_and_keeps_it() -> None:
    bench = Bench()
    records = encode_transfers([move(1000, 1, 2, 5), move(1001, 1, 99, 5), move(1002, 1, 2, 5)])
    now = bench.now + 100
    results = bench.machine.apply([Request(Kind.create_transfers, records)], now).outcomes[0]
    first = [result.timestamp for result in transfer_results(results.results)]
    assert first == [now - 2, now - 1, now]
    assert bench.transfer(1002).timestamp == now
    again = bench.machine.apply([Request(Kind.create_transfers, records)], now + 50).outcomes[0]
    assert [result.timestamp for result in transfer_results(again.results)] == first
    assert [bench.machine.lookup_result(encode_id(i)) for i in (1000, 1001, 9999)] == [
        (S.created, now - 2),
        (S.credit_account_not_found, now - 1),
        None,
    ]


def test_ids_are_compared_whole() -> None:
    bench = Bench()
    assert decode_id(encode_id(2**127 + 1)) == 2**127 + 1
    bench.accounts(Account(2**127 + 1, unit=7, code=1))
    assert bench.transfers(move(2**127 + 1000, 2**127 + 1, 1, 5)) == [S.created]
    assert bench.totals(2**127 + 1) == (0, 5, 0, 0)
