"""A process that posts transfers until it is killed, and prints each id after it was acknowledged.

A thread that gets no answer prints ``stopped`` and the error's code instead, and ends.
Called as ``python flood.py DATABASE_URL FIRST_ID THREADS``.
"""

import sys
import threading

import structlog

from sakk.core.errors import Unavailable
from sakk.ledger.types import Account, Ledger, OutcomeUnknown, Transfer
from sakk.ledger.writer import open_ledger

BATCH = 5
print_lock = threading.Lock()


def flood(ledger: Ledger, first: int) -> None:
    identifier = first
    while True:
        batch = [
            Transfer(identifier + k, 1, 2, identifier + k, unit=7, code=1) for k in range(BATCH)
        ]
        try:
            results = ledger.create_transfers(batch)
        except (OutcomeUnknown, Unavailable) as error:
            with print_lock:
                print("stopped", error.code, flush=True)
            return
        with print_lock:
            for transfer, result in zip(batch, results, strict=True):
                print(transfer.id, result.status.name, result.timestamp, flush=False)
            sys.stdout.flush()
        identifier += BATCH


def main() -> None:
    # The lines on stdout are the acknowledgements.
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    url, first, threads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    ledger = open_ledger(url)
    ledger.create_accounts([Account(1, unit=7, code=1), Account(2, unit=7, code=1)])
    print("ready", flush=True)
    for number in range(threads):
        start = first + number * 1_000_000
        threading.Thread(target=flood, args=(ledger, start), daemon=True).start()
    threading.Event().wait()


if __name__ == "__main__":
    main()
