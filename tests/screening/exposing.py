"""A token whose transfers are kept, for tests: batches by hand, and labels."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

from tests.networks import a_network, a_token

from sakk.core.caip import erc20_asset
from sakk.core.exposure import BatchKind
from sakk.core.exposure_batch import Transfer, encode_transfers
from sakk.core.label import EVM
from sakk.store import exposure as store
from sakk.store import label as label_store
from sakk.store.database import Database
from sakk.store.label import LabelRow
from sakk.store.network import put_asset, put_network

NOW = datetime(2026, 1, 1, tzinfo=UTC)
NETWORK = "eip155:84532"
CONTRACT = "0x" + "c0" * 20
ASSET = erc20_asset(NETWORK, CONTRACT)


def name(number: int) -> bytes:
    return (0xA0 << 152 | number).to_bytes(20, "big")


def text(number: int) -> str:
    return "0x" + name(number).hex()


def transfer(
    block: int, sender: int | bytes, receiver: int | bytes, units: int, log_index: int = 0
) -> Transfer:
    ends = [end if isinstance(end, bytes) else name(end) for end in (sender, receiver)]
    tx_hash = (block << 32 | log_index).to_bytes(32, "big")
    return Transfer(block, block * 12, log_index, ends[0], ends[1], units, tx_hash)


def tx(block: int, log_index: int = 0) -> str:
    return "0x" + (block << 32 | log_index).to_bytes(32, "big").hex()


@dataclass
class Token:
    """A listed token on a network that is followed."""

    database: Database
    decimals: int = 6
    labels: int = field(default=0)

    def __post_init__(self) -> None:
        with self.database.begin() as connection:
            put_network(
                connection,
                a_network(
                    NETWORK,
                    name="test",
                    rpc_urls=["http://127.0.0.1:1"],
                    block_seconds=1,
                    start_block=0,
                    bloom="exact",
                    created=NOW,
                    exposure=True,
                ),
            )
            put_asset(
                connection,
                a_token(ASSET, contract=CONTRACT, decimals=self.decimals, created=NOW),
            )

    def append(self, *transfers: Transfer, kind: BatchKind = BatchKind.followed) -> int:
        """Append a batch; its height."""
        blocks = [each.block_number for each in transfers]
        return self._append(kind, (min(blocks), max(blocks)), list(transfers))

    def undo(self, last_block: int) -> int:
        """A reorganisation: what was followed above this block is taken back."""
        return self._append(BatchKind.undone, (last_block + 1, last_block), [])

    def _append(self, kind: BatchKind, blocks: tuple[int, int], transfers: list[Transfer]) -> int:
        with self.database.begin() as connection:
            graph = store.lock_graph(connection, NETWORK, ASSET, now=NOW)
            after = store.append_batch(
                connection,
                graph,
                kind=kind,
                blocks=blocks,
                count=len(transfers),
                payload=encode_transfers(transfers),
                now=NOW,
            )
        return after.height

    def label(self, number: int, category: str, *, entity: str | None = None) -> int:
        """Say something of an address in the list ``lst_1``; the lists version."""
        with self.database.begin() as connection:
            label_store.lock_lists(connection)
            return label_store.put_label(
                connection, "lst_1", LabelRow(EVM, text(number), category, 100, entity), now=NOW
            )

    def unlabel(self, number: int, category: str) -> int:
        with self.database.begin() as connection:
            label_store.lock_lists(connection)
            label_store.close_label(
                connection, "lst_1", LabelRow(EVM, text(number), category, 100), now=NOW
            )
            return label_store.lists_version(connection)
