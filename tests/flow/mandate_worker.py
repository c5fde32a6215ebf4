"""One of several processes that spend under one mandate: says how many of its spends were booked.

Reads from its input the ledger's socket, the database's address, the mandate and how often.
"""

import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from sakk.core.spend import Payee, Spend
from sakk.flow import mandate
from sakk.flow.book import Books, PostingSet
from sakk.ledger.remote import connect_ledger
from sakk.store.database import open_database
from sakk.store.identity import new_id
from sakk.store.mandate import find_any

THREADS = 16
ELSEWHERE = Payee(network="eip155:8453", address="0x" + "11" * 20)


def main() -> None:
    socket, url, identifier, times = sys.stdin.read().split()
    database, ledger = open_database(url), connect_ledger(socket)
    books = Books(database, ledger)
    with database.begin() as connection:
        made = find_any(connection, identifier)
    assert made is not None
    at = datetime.fromtimestamp(made.terms["starts_at"], UTC)
    spend = Spend(amount=1, currency="usdc", payee=ELSEWHERE, scheme="exact", network="eip155:8453")
    legs = mandate.bind(made, spend, at=at)

    def once(_: int) -> bool:
        bound = PostingSet(new_id("spn"), "spend", 0, legs.postings)
        return books.post([*legs.opening, bound])[-1].booked

    with ThreadPoolExecutor(THREADS) as threads:
        print(sum(threads.map(once, range(int(times)))))
    ledger.close()
    database.close()


if __name__ == "__main__":
    main()
