"""Senders: which of the treasury's addresses a payment leaves from, and how many at once.

Each address sends its nonces one after the other, so several send in parallel. The one that has the
coins and the shortest queue is next; coins that transactions are about to take are not counted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from sakk.core.transaction import PLAIN, Purpose

# Plain payments of one sender that may wait for their signatures side by side: as many as one run
# of the stage builds, which then rests a moment.
UNSIGNED_MAX: Final = 20
# Transactions of one sender that no block holds: one that is stuck holds up no more than these.
IN_FLIGHT_MAX: Final = 64


class TreasuryRole(StrEnum):
    """What a treasury address does. ``gas`` orders gas and collections, and pays nobody;
    ``capture`` carries out what payers signed, and pays nobody.

    A rotation makes a ``successor`` of it before it pays, or has it ``leaving`` when it pays no
    more, and at last ``retired``. A successor whose rotation was called off is ``unused`` until the
    policy file names it. All are watched and reconciled for ever.
    """

    pay = "pay"
    gas = "gas"
    capture = "capture"
    successor = "successor"
    leaving = "leaving"
    retired = "retired"
    unused = "unused"


@dataclass(frozen=True, slots=True)
class Standing:
    """An address, what it can spend of one asset now, and what waits in its queue.

    ``spare_units`` and ``spare_wei`` are what the chain shows at its head, less what transactions
    of ours are about to take. ``is_busy``: one of them has a nonce and no signature yet.
    """

    address: str
    key_index: int
    spare_units: int
    spare_wei: int
    in_flight: int
    is_busy: bool = False
    frozen_reason: str | None = None
    role: str = TreasuryRole.pay.value

    @property
    def is_frozen(self) -> bool:
        return self.frozen_reason is not None


def has_turn(purpose: str, unsigned: Sequence[str]) -> bool:
    """May a sender take another nonce, beside what it has unsigned (each one's purpose)?

    Plain payments may, a few at a time: each is let go and built again by itself where one before
    it is refused. Everything else waits for its turn alone.
    """
    if not unsigned:
        return True
    plain = all(Purpose(each) in PLAIN for each in (purpose, *unsigned))
    return plain and len(unsigned) < UNSIGNED_MAX


def choose(standings: Sequence[Standing], *, units: int) -> Standing | None:
    """The sender of so many units: able, then idle, then with the shortest queue and most coins.

    None where all are frozen. Where none is able, the richest: it says what it waits for.
    """
    usable = [each for each in standings if not each.is_frozen]
    able = [each for each in usable if each.spare_units >= units and each.spare_wei > 0]
    if able:
        return min(able, key=_order)
    return max(usable, key=lambda each: (each.spare_units, -each.key_index), default=None)


def _order(each: Standing) -> tuple[bool, int, int, int]:
    return each.is_busy, each.in_flight, -each.spare_units, each.key_index
