"""Small requests asked as one: each event comes to what it would have come to alone."""

from contextlib import closing

import pytest

from sakk.ledger.calls import Op
from sakk.ledger.joint import JOINED_BYTES_MAX, is_joinable, shares
from sakk.ledger.record import (
    RECORD_SIZE,
    encode_accounts,
    encode_ids,
    encode_roots,
    encode_transfers,
)
from sakk.ledger.types import Account, AccountFlags, Transfer, TransferFlags
from sakk.ledger.writer import open_ledger

LINKED = TransferFlags.linked
PLAIN = Transfer(10, 1, 2, 5, unit=7, code=3)
CHAINED = Transfer(11, 1, 2, 5, unit=7, code=3, flags=LINKED)


@pytest.mark.parametrize(
    ("op", "body", "joins"),
    [
        (Op.create_transfers, encode_transfers([PLAIN]), True),
        (Op.create_transfers, encode_transfers([CHAINED, PLAIN]), True),
        (Op.create_transfers, encode_transfers([PLAIN, CHAINED]), False),
        (Op.create_transfers, b"", False),
        (Op.create_transfers, encode_transfers([PLAIN])[:-1], False),
        (Op.create_transfers, encode_transfers([PLAIN]) * 33, False),
        (Op.create_accounts, encode_accounts([Account(1, unit=7, code=1)]), True),
        (
            Op.create_accounts,
            encode_accounts([Account(1, unit=7, code=1, flags=AccountFlags.linked)]),
            False,
        ),
        (Op.create_roots, encode_roots([]), False),
        (Op.lookup_accounts, encode_ids([1] * 8), False),
    ],
)
def test_what_joins(op: Op, body: bytes, joins: bool) -> None:
    assert is_joinable(op, body) is joins
    assert JOINED_BYTES_MAX == 32 * RECORD_SIZE


def test_together_is_as_apart(database_url: str) -> None:
    """Duplicates, refusals, chains and what follows from one another: in both ways the same."""
    frozen = AccountFlags.debits_must_not_exceed_credits
    accounts = [Account(1, unit=7, code=1), Account(2, unit=7, code=1, flags=frozen)]
    requests = [
        encode_transfers(each)
        for each in (
            [Transfer(20, 2, 1, 5, unit=7, code=3)],  # refused: 2 has nothing yet
            [Transfer(21, 1, 2, 5, unit=7, code=3)],
            [Transfer(22, 2, 1, 5, unit=7, code=3)],  # goes, because of the one before
            [Transfer(21, 1, 2, 5, unit=7, code=3)],  # exists
            [
                Transfer(23, 1, 2, 1, unit=7, code=3, flags=LINKED),
                Transfer(24, 2, 1, 9, unit=7, code=3),
            ],
            [Transfer(25, 1, 9, 1, unit=7, code=3)],
        )
    ]
    assert all(is_joinable(Op.create_transfers, each) for each in requests)

    def asked(shard: int, bodies: list[bytes]) -> list[bytes]:
        with closing(open_ledger(database_url, shard=shard)) as ledger:
            ledger.create_accounts(accounts)
            return [ledger.calls.call(Op.create_transfers, body) for body in bodies]

    apart = asked(0, requests)
    [together] = asked(1, [b"".join(requests)])
    parts = list(shares(together, requests))
    statuses = [part[8 * (len(part) // 9) :] for part in parts]
    assert statuses == [part[8 * (len(part) // 9) :] for part in apart]
    # The repeated one is told the time of the first.
    assert parts[3][:8] == parts[1][:8]
    times = [int.from_bytes(part[:8], "little") for part in (*parts[:3], *parts[4:])]
    assert times == sorted(times)
