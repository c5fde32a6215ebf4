"""Small requests asked as one: a thousand callers with a transfer each cost the writer one call.

Chains do not reach across requests, so only those join that end no chain open: then what each event
comes to is the same, in the same order, as if every request had come alone.
"""

from collections.abc import Iterator, Sequence

from sakk.ledger.calls import Op
from sakk.ledger.record import RECORD_SIZE

# Longer requests cost more to copy than to carry alone.
JOINED_BYTES_MAX = 32 * RECORD_SIZE
LINKED = 1
# Where the lower byte of a record's flags stands, from its end.
_FLAGS = {Op.create_accounts: 114 - RECORD_SIZE, Op.create_transfers: 126 - RECORD_SIZE}


def is_joinable(op: Op, records: bytes) -> bool:
    """May others be asked in the same request, before it and after it?"""
    flags = _FLAGS.get(op)
    return (
        flags is not None
        and 0 < len(records) <= JOINED_BYTES_MAX
        and not len(records) % RECORD_SIZE
        and not records[flags] & LINKED
    )


def shares(results: bytes, requests: Sequence[bytes]) -> Iterator[bytes]:
    """Each request's part of the answer to all of them; see ``encode_results``."""
    count = len(results) // 9
    first = 0
    for records in requests:
        end = first + len(records) // RECORD_SIZE
        yield (results[8 * first : 8 * end] + results[8 * count + first : 8 * count + end])
        first = end
