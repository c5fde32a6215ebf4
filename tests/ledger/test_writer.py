"""The writer: durable before it answers, the same after every restart, alone on its shard."""

from sakk.ledger.types import (
    Account,
    CreateTransferStatus,
    Transfer,
)
from sakk.ledger.writer import open_ledger


def test_what_was_acknowledged_is_there_after_a_restart(database_url: str) -> None:
    ledger = open_ledger(database_url)
    ledger.create_accounts([Account(id=1, unit=7, code=1), Account(id=2, unit=7, code=1)])
    transfers = [
        Transfer(id=k, debit_account_id=1, credit_account_id=2, amount=k, unit=7, code=1)
        for k in range(1, 101)
    ]
    first = ledger.create_transfers(transfers)
    ledger.close()
    again = open_ledger(database_url)
    second = again.create_transfers(transfers)
    found = again.lookup_accounts([1, 2, 3])
    again.close()
    assert {result.status for result in first} == {CreateTransferStatus.created}
    assert {result.status for result in second} == {CreateTransferStatus.exists}
    assert [r.timestamp for r in first] == [r.timestamp for r in second]
    assert found[0] is not None
    assert found[0].debits_posted == 5050
    assert found[2] is None
