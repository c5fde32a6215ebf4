"""Every table of the ledger names the shard; where rows are numbered by shard, it comes first."""

from sakk.store import journal, ledger

# An account stands on one shard, and its id is its own everywhere.
BY_ACCOUNT = {"ledger_accounts", "ledger_entries", "ledger_balances", "ledger_account_names"}


def test_every_table_of_the_ledger_names_its_shard() -> None:
    for table in (*journal.TABLES, *ledger.TABLES):
        key = [column.name for column in table.primary_key]
        if table.name in BY_ACCOUNT:
            assert key[0] in ("id", "account_id")
            assert "shard" in table.columns or table.name == "ledger_account_names"
        else:
            assert key[0] == "shard", table.name
