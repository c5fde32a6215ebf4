"""The bytes of records and journal rows: fixed, so that another machine can write the same."""

import hashlib
from dataclasses import replace

import pytest

from sakk.core.errors import ParameterInvalid
from sakk.ledger.group import Kind, Request
from sakk.ledger.journal import decode_group, encode_group, next_row
from sakk.ledger.machine import Machine, Make, new_machine
from sakk.ledger.record import (
    RECORD_SIZE,
    decode_account,
    decode_transfer,
    encode_account,
    encode_accounts,
    encode_ids,
    encode_transfers,
)
from sakk.ledger.replay import apply_row, check_link, genesis
from sakk.ledger.snapshot import state_hash
from sakk.ledger.types import Account, AccountFlags, Transfer, TransferFlags

TRANSFER = Transfer(
    id=0x0102,
    debit_account_id=0x0304,
    credit_account_id=0x0506,
    amount=0x0708,
    unit=0x0D0E,
    code=0x1516,
    flags=TransferFlags.linked | TransferFlags.pending,
    pending_id=0x090A,
    timeout_seconds=0x1314,
    user_data=0x0B0C,
    effective_at=0x0F10,
    timestamp=0x1112,
)
ACCOUNT = Account(
    id=0x0102,
    unit=0x0D0E,
    code=0x1314,
    flags=AccountFlags.history,
    user_data=0x0B0C,
    debits_pending=0x0304,
    debits_posted=0x0506,
    credits_pending=0x0708,
    credits_posted=0x090A,
    timestamp=0x1112,
)


def test_a_transfer_stands_byte_for_byte_as_documented() -> None:
    zeros = bytes(14)
    assert encode_transfers([TRANSFER]) == b"".join(
        [
            zeros + b"\x01\x02",
            zeros + b"\x03\x04",
            zeros + b"\x05\x06",
            b"\x08\x07" + zeros,
            zeros + b"\x09\x0a",
            zeros + b"\x0b\x0c",
            b"\x0e\x0d" + bytes(6),
            b"\x10\x0f" + bytes(6),
            b"\x12\x11" + bytes(6),
            b"\x14\x13\x00\x00",
            b"\x16\x15",
            b"\x03\x00",
        ]
    )
    assert decode_transfer(encode_transfers([TRANSFER])) == TRANSFER


def test_an_account_stands_byte_for_byte_as_documented() -> None:
    zeros = bytes(14)
    assert encode_account(ACCOUNT) == b"".join(
        [
            zeros + b"\x01\x02",
            b"\x04\x03" + zeros,
            b"\x06\x05" + zeros,
            b"\x08\x07" + zeros,
            b"\x0a\x09" + zeros,
            zeros + b"\x0b\x0c",
            b"\x0e\x0d" + bytes(6),
            b"\x12\x11" + bytes(6),
            b"\x14\x13",
            b"\x08\x00",
            bytes(12),
        ]
    )
    assert decode_account(encode_account(ACCOUNT)) == ACCOUNT


def history(make: Make | None = None) -> tuple[Machine, list[bytes]]:
    machine = new_machine(make)
    accounts = [Account(1, unit=7, code=1), Account(2, unit=7, code=1)]
    pending, post = TransferFlags.pending, TransferFlags.post_pending
    transfers = [
        Transfer(10, 1, 2, 5, unit=7, code=1, flags=pending, timeout_seconds=1),
        Transfer(11, 1, 2, 6, unit=7, code=1, flags=pending),
        Transfer(12, 0, 0, 2**128 - 1, 0, 0, post, pending_id=11),
        Transfer(13, 1, 9, 6, unit=7, code=1),
    ]
    groups = [
        [
            Request(Kind.create_accounts, encode_accounts(accounts)),
            Request(Kind.create_transfers, encode_transfers(transfers)),
        ],
        [],
    ]
    payloads = []
    for number, requests in enumerate(groups):
        outcome = machine.apply(requests, (number + 1) * 10_000_000_000)
        payloads.append(encode_group(requests, outcome))
    return machine, payloads


def test_a_payload_reads_back_as_it_was_written() -> None:
    _, payloads = history()
    first, second = (decode_group(payload) for payload in payloads)
    assert [(request.kind, request.count) for request in first.requests] == [
        (Kind.create_accounts, 2),
        (Kind.create_transfers, 4),
    ]
    assert len(first.outcomes[1].resolved) == 20
    assert second.expired == [(10).to_bytes(16, "big")]
    assert second.requests == []


@pytest.mark.parametrize("cut", [0, 4, 11, 20, 200, -1])
def test_a_payload_that_is_cut_short_is_refused(cut: int) -> None:
    _, payloads = history()
    with pytest.raises(ValueError, match="payload"):
        decode_group(payloads[0][:cut])


def test_a_payload_of_another_kind_is_refused() -> None:
    _, payloads = history()
    with pytest.raises(ValueError, match="SKJ1"):
        decode_group(b"XXXX" + payloads[0][4:])
    with pytest.raises(ValueError, match="are described"):
        decode_group(payloads[0] + b"\x00")


@pytest.mark.parametrize("make", Make)
def test_state_and_journal_are_the_same_bytes_for_ever(make: Make) -> None:
    """Changing these hashes means that journals written before can no longer be verified."""
    machine, payloads = history(make)
    assert (
        hashlib.sha256(b"".join(payloads)).hexdigest()
        == "21fdee566b861e0d5923c7c6847a754b1e7b4ffe2b996cfc8f592faa6f66fe14"
    )
    assert (
        state_hash(machine).hex()
        == "7c72dffcba74f7f08cdc730c325200e0630c29398c5b8124baa098dbf53b84da"
    )


def test_one_altered_byte_of_a_row_is_noticed_wherever_it_stands() -> None:
    _, payloads = history()
    row = next_row(genesis(0), epoch=1, timestamp_ns=10, payload=payloads[0], count=6)
    assert check_link(genesis(0), row) is None
    for place in range(len(row.payload)):
        altered = bytearray(row.payload)
        altered[place] ^= 1 << place % 8
        assert check_link(genesis(0), replace(row, payload=bytes(altered))) is not None
    for altered_row in (
        replace(row, shard=1),
        replace(row, sequence=2),
        replace(row, epoch=2),
        replace(row, timestamp_ns=11),
        replace(row, count=7),
        replace(row, hash=bytes(32)),
        replace(row, previous_hash=b"\x01" * 32),
    ):
        assert check_link(genesis(0), altered_row) is not None


@pytest.mark.parametrize("make", Make)
def test_one_altered_byte_of_the_results_is_noticed_even_under_a_good_hash(make: Make) -> None:
    """Whoever can write hashes too cannot make the machine answer otherwise."""
    _, payloads = history()
    results = payloads[0].index(b"\x02\x00\x00\x00\x04") + 12 + 4 * RECORD_SIZE
    for place in range(results, len(payloads[0])):
        altered = bytearray(payloads[0])
        altered[place] ^= 1 << place % 8
        machine = new_machine(make)
        row = next_row(
            genesis(0), epoch=1, timestamp_ns=10_000_000_000, payload=bytes(altered), count=6
        )
        assert check_link(genesis(0), row) is None
        assert apply_row(machine, row) == "the machine gives other results than the row holds"


@pytest.mark.parametrize("bad", [[-1], [1 << 128], ["x"]])
def test_an_id_that_does_not_fit_is_refused(bad: list[int]) -> None:
    with pytest.raises(ParameterInvalid, match="128 bits"):
        encode_ids(bad)


def test_an_account_that_does_not_fit_names_its_field() -> None:
    with pytest.raises(ParameterInvalid, match="unit of event 0") as caught:
        encode_accounts([Account(1, unit=1 << 64, code=1)])
    assert caught.value.param == "unit"
