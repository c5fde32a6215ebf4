"""Which shard of the ledger has whose accounts.

A shard is one writer, one journal and one sequence. An account stands on one shard, and so does a
whole ledger of a tenant: accounts that may ever meet in a transfer are together, and a chain never
crosses. The map is explicit, a line for each ledger that does not stand on the first shard, and no
hash of a name: to move a ledger is to change one line after its accounts were carried over, and
nothing else moves; nor does a second shard move what the first one has.

Every key, sequence and cursor names its shard already (``store/journal.py``, ``store/ledger.py``),
and so does the id of an account of the chart (``core/ledger.py``). What crosses shards one day
will be a transfer on each, under ids that name the shard, against clearing accounts that must come
to zero together.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from sakk.core.errors import Misconfigured

FIRST_SHARD = 0
SHARDS_MAX = 1_024
# Who runs this installation; everybody's money is in the operator's ledgers.
OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class LedgerKey:
    """A ledger of a tenant: ``chart`` for the flows' own, else the operator's number of it."""

    tenant: str
    ledger: str


CHART = LedgerKey(OPERATOR, "chart")


@dataclass(frozen=True, slots=True)
class ShardMap:
    """Where each ledger stands; one that is not named stands on the first shard."""

    placed: Mapping[LedgerKey, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for key, shard in self.placed.items():
            if not FIRST_SHARD <= shard < SHARDS_MAX:
                raise Misconfigured(
                    f"{key.tenant}/{key.ledger} is on shard {shard};"
                    f" shards are {FIRST_SHARD} to {SHARDS_MAX - 1}"
                )

    def shard_of(self, key: LedgerKey) -> int:
        """The shard whose writer answers for this ledger."""
        return self.placed.get(key, FIRST_SHARD)

    @property
    def shards(self) -> frozenset[int]:
        """Every shard that has a ledger, or gets those that nobody placed."""
        return frozenset((FIRST_SHARD, *self.placed.values()))


# All that there is today. A second shard is a second entry here, and a role ``ledger`` for it.
SHARD_MAP = ShardMap()
