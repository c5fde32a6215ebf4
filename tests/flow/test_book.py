"""The books, over a real ledger."""

from contextlib import closing

from sakk.core import chart
from sakk.core.chart import TransferCode
from sakk.core.posting import Posting
from sakk.flow.book import Books, PostingSet
from sakk.ledger.types import BATCH_MAX
from sakk.ledger.writer import open_ledger
from sakk.store.database import Database
from sakk.store.identity import new_id

UNIT = "test/usdc"


def test_more_accounts_than_a_batch_holds_are_looked_up(database: Database) -> None:
    """As many as there are: each in its place, and nothing for those that do not exist."""
    many = [chart.merchant(f"acct_{number}", "available", UNIT) for number in range(BATCH_MAX + 2)]
    with closing(open_ledger(database.url)) as ledger:
        books = Books(database, ledger)
        for account, units in ((many[0], 5), (many[-1], 7)):
            posting = Posting(
                chart.equity_operator(UNIT), account, units, TransferCode.book_transfer
            )
            [outcome] = books.post([PostingSet(new_id("tr"), "given", 0, [posting])])
            assert outcome.booked
        balances, totals = books.balances(many), books.totals(many)
    assert (balances[0], balances[-1], sum(balances)) == (5, 7, 12)
    assert (totals[0], totals[-1], len(totals)) == ((5, 0), (7, 0), BATCH_MAX + 2)
