"""How the chart's names become the ledger's numbers, and how a caller's numbers never meet them.

Two worlds share one ledger: the chart's accounts, which the flows post to, and those that the
operator opens over HTTP. Units and ids say which is which by two bits each:

=====================  =====================  =====================================================
whose                  unit (64 bits)         id (128 bits): the two top bits of the ninth byte
=====================  =====================  =====================================================
the chart              0…                     0… (a hash whose bit is cleared)
the operator's, live   10…                    10, as in every UUID (RFC 9562 section 4.1: variant)
the operator's, test   11…                    11, which no UUID of a caller has
=====================  =====================  =====================================================

So whoever posts over HTTP can neither name an account of the chart nor take an id that a flow will
use, and test can not take an id of live. A transfer needs both accounts in its own unit.
"""

import hashlib

from sakk.core.ids import digest128

UNIT_ID_MASK = (1 << 63) - 1
OPERATOR_BIT = 1 << 63
TEST_BIT = 1 << 62
LEDGER_MAX = TEST_BIT - 1


def unit_id(name: str) -> int:
    """The 63-bit number of a unit: ``unit_id("usdc")``, or of an asset's CAIP-19 name.

    The first 8 bytes of BLAKE2b of the name with the top bit cleared. Never zero, which the
    ledger reserves.
    """
    digest = hashlib.blake2b(name.encode()).digest()
    return (int.from_bytes(digest[:8], "big") & UNIT_ID_MASK) or 1


def account_id(name: str, *, shard: int = 0) -> int:
    """The 128-bit id of the chart's account ``name`` (``merchant:acct_…:available``)."""
    return digest128("ledger-account", shard, name) & ~OPERATOR_BIT


def transfer_id(row_id: str, step: str, *, leg: int, attempt: int) -> int:
    """The 128-bit id of one leg that a flow posts: posting twice is posting once."""
    return digest128("ledger-transfer", row_id, step, leg, attempt) & ~OPERATOR_BIT


def operator_unit(ledger: int, *, livemode: bool) -> int:
    """The unit of a ledger that the operator numbers, 1 to ``LEDGER_MAX``; 0 stays 0."""
    if not ledger:
        return 0
    return ledger | OPERATOR_BIT | (0 if livemode else TEST_BIT)


def ledger_of_unit(unit: int) -> int | None:
    """The operator's number of a unit, or None for a unit of the chart."""
    return unit & LEDGER_MAX if unit & OPERATOR_BIT else None


def is_uuid(identifier: int) -> bool:
    """Has a 128-bit number the variant of RFC 9562, as UUIDs of every version have?"""
    return identifier & (OPERATOR_BIT | TEST_BIT) == OPERATOR_BIT


def is_charts(identifier: int) -> bool:
    """Is it an id that only the flows make?"""
    return not identifier & OPERATOR_BIT


def stored_id(identifier: int, *, livemode: bool) -> int:
    """The ledger's id behind a caller's UUID; an id of the chart, and 0, stand for themselves."""
    return identifier | TEST_BIT if is_uuid(identifier) and not livemode else identifier


def shown_id(identifier: int) -> int:
    """The caller's UUID behind the ledger's id."""
    return identifier & ~TEST_BIT if identifier & OPERATOR_BIT else identifier
