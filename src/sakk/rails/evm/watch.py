"""Follow an EVM chain: every block once, linked by parent hash, with the transfers that touch us.

A block is read by number, its logs by its hash, so a reorg between the two reads cannot mix two
branches. ERC-20 transfers are found by the Transfer event of any contract (EIP-20), because a wrong
token must be seen too; native coins by the block's top-level transactions. A native coin that a
contract sends on (an internal call) has neither log nor transaction and is not seen here: the
reconciliation reads balances and finds it.

The node is not believed blindly. In bloom mode ``exact`` all logs of a block are read and must
explain every bit of the header's bloom, so a node that leaves some out is found; in ``suspicious``
only Transfer logs are read and the proof is made when there are none though the bloom promises
some; ``none`` is for chains whose headers carry no true bloom.
"""

import gc
import re
from collections import Counter, deque
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from typing import Literal

from sakk.core import caip
from sakk.core.abi import TRANSFER_TOPIC
from sakk.core.errors import Misconfigured
from sakk.rails.evm.bloom import BLOOM_BYTES, bloom_of
from sakk.rails.evm.conduct import GRANT_TOPICS, granted, sent
from sakk.rails.evm.flows import pack_flows
from sakk.rails.evm.raw import RawBlock, RawHeader, RawLog, RawReceipt, RawTransaction
from sakk.rails.evm.rpc import (
    Call,
    Rpc,
    RpcDisagreement,
    RpcInconsistent,
    RpcRefused,
    RpcUnavailable,
    parse_data,
    parse_quantity,
)
from sakk.rails.rail import (
    BlockRef,
    BlockSeen,
    Direction,
    Follow,
    KnownHash,
    Reorg,
    TransferSeen,
)

__all__ = [
    "AddressSet",
    "BlockRef",
    "BlockSeen",
    "BloomMode",
    "EvmWatcher",
    "Follow",
    "Reorg",
    "TransferSeen",
]

BloomMode = Literal["exact", "suspicious", "none"]

# Full blocks of the largest chains are 1 to 2 MB of JSON.
BLOCKS_PER_REQUEST = 8
# Requests under way while the one before them is searched: the node and we work at once.
REQUESTS_AHEAD = 2
BLOCKS_PER_STEP_MAX = 64
# A Transfer log costs at least 1,756 gas, so this bounds one answer to about 100,000 logs.
LOGS_GAS_PER_REQUEST = 180_000_000
REORG_DEPTH_MAX = 4_096
_HEADERS_PER_REQUEST = 32
_FREEZE_FROM = 10_000
_NUMBER_MAX = (1 << 63) - 1

_ADDRESS = re.compile(r"0x[0-9a-f]{40}")
_TOPIC = re.compile(r"0x[0-9a-f]{64}")
_TOPIC_PADDING = "0x" + "0" * 24


ReadBlock = tuple[BlockRef, RawHeader, list[RawLog]]


class AddressSet:
    """The addresses that are ours, kept as 32-byte topics so that raw logs match without decoding.

    About 155 bytes each. Adding is safe while another thread matches.
    """

    def __init__(self, addresses: Iterable[str] = ()) -> None:
        self.topics: set[str] = set()
        self.extend(addresses)

    def __len__(self) -> int:
        return len(self.topics)

    def __contains__(self, address: str) -> bool:
        return self.contains(address)

    def contains(self, address: str) -> bool:
        """Is this address (0x-hex) one of ours?"""
        return _TOPIC_PADDING + address[2:].lower() in self.topics

    def add(self, address: str) -> None:
        """Add one address in lower-case 0x-hex; ValueError for anything else."""
        if _ADDRESS.fullmatch(address) is None:
            raise ValueError(f"not an EVM address in lower-case hex: {address!r}")
        self.topics.add(_TOPIC_PADDING + address[2:])

    def extend(self, addresses: Iterable[str]) -> None:
        """Add many addresses.

        After a large load all objects of the process leave the cyclic collector's sight
        (``gc.freeze``), or each collection would walk through them again.
        """
        before = len(self.topics)
        for address in addresses:
            self.add(address)
        if len(self.topics) - before >= _FREEZE_FROM:
            gc.collect()
            gc.freeze()


class EvmWatcher:
    """Follows one network through one ``Rpc``. Holds no position: the caller keeps the cursor.

    ``network`` is CAIP-2. ``skipped`` counts Transfer logs that touch us and are not ERC-20
    transfers, by reason. Of the ``tokens`` (contract in lower-case hex to asset) every transfer is
    handed over, whoever's.
    """

    def __init__(
        self,
        network: str,
        rpc: Rpc,
        addresses: AddressSet,
        *,
        bloom: BloomMode = "exact",
        native: bool = True,
    ) -> None:
        self.network = network
        self.rpc = rpc
        self.addresses = addresses
        self.skipped: Counter[str] = Counter()
        self.tokens: Mapping[str, str] = {}
        self._chain_id = caip.chain_id(network)
        self._native_asset = caip.native_asset(network)
        self._bloom: BloomMode = bloom
        self._native = native
        self._chain_checked = False

    def head(self) -> BlockRef:
        """The newest block that the node knows."""
        block = self._header("latest")
        if block is None:
            raise RpcInconsistent(f"the node of {self.network} knows no latest block")
        return block

    def finalized(self) -> BlockRef | None:
        """The newest block that the chain calls final; None where it has no such tag yet."""
        try:
            return self._header("finalized")
        except RpcRefused:
            return None

    def next(
        self,
        cursor: BlockRef | None,
        *,
        until: int,
        blocks_max: int,
        known_hash: KnownHash,
        start: int | None = None,
    ) -> Follow:
        """Read the blocks after the cursor up to ``until``, at most ``blocks_max`` of them.

        ``known_hash(number)`` reads the hash that the caller stored for a block that it followed;
        it is asked only when the cursor's block has left the chain. Without a cursor, following
        begins with block ``start`` (``until`` when not given). A node that is merely behind the
        cursor gives an empty step; only a block that contradicts ours is a reorg. RpcUnavailable
        and its kinds mean: nothing was learned, call again.
        """
        self._check_chain()
        if cursor is not None and until <= cursor.number:
            return self._stand_still(cursor, until, known_hash)
        first = cursor.number + 1 if cursor else (until if start is None else start)
        last = min(until, first + min(blocks_max, BLOCKS_PER_STEP_MAX) - 1)
        seen: list[BlockSeen] = []
        previous = cursor
        with closing(self._read_ahead(range(first, last + 1))) as blocks:
            try:
                for ref, raw, logs in blocks:
                    if previous is not None and ref.parent_hash != previous.hash:
                        if seen:
                            # The chain moved between two answers: the next step will see how.
                            break
                        return Follow(reorg=self._find_reorg(previous, known_hash))
                    seen.append(self._seen(ref, raw, logs))
                    previous = ref
            except RpcUnavailable:
                # What was read before holds; if the failure lasts, the next step meets it first.
                if not seen:
                    raise
        return Follow(blocks=tuple(seen))

    def confirm(self, transfer: TransferSeen, *, takes_fee: bool = False) -> None:
        """Read a transfer's receipt from two providers: for amounts above the operator's limit.

        ``takes_fee``: the token keeps a part, so the receipt may tell of more. RpcDisagreement when
        they differ or when the receipt does not hold the transfer.
        """
        params = [transfer.tx_hash]
        receipt = self.rpc.compare("eth_getTransactionReceipt", params, RawReceipt)
        where = f"transfer {transfer.tx_hash}:{transfer.log_index}"
        if receipt is None or receipt.block_hash != transfer.block_hash:
            raise RpcDisagreement(f"{where} is not in block {transfer.block_hash}")
        block = BlockRef(transfer.block_number, transfer.block_hash, "", 0)
        if transfer.log_index < 0:
            if receipt.status != "0x1":
                raise RpcDisagreement(f"{where} did not succeed")
            made = self.rpc.compare("eth_getTransactionByHash", params, RawTransaction)
            if made is None or self._native_transfer(block, made, receipt) != transfer:
                raise RpcDisagreement(f"{where} is not what its transaction moved")
            return
        told = self._match_logs(block, receipt.logs)[0]
        if takes_fee:
            told = [
                replace(each, units=transfer.units) for each in told if each.units >= transfer.units
            ]
        if transfer not in told:
            raise RpcDisagreement(f"{where} is not in its receipt")

    def _check_chain(self) -> None:
        """Once per watcher: another chain behind the URL would look like one great reorg."""
        if self._chain_checked:
            return
        actual = parse_quantity(self.rpc.call("eth_chainId", [], str))
        if actual != self._chain_id:
            raise Misconfigured(
                f"the RPC URL of {self.network} leads to chain {actual}; correct the URL",
                param="rpc_urls",
            )
        self._chain_checked = True

    def _header(self, block: int | str) -> BlockRef | None:
        name = hex(block) if isinstance(block, int) else block
        raw = self.rpc.find("eth_getBlockByNumber", [name, False], RawHeader)
        return None if raw is None else _block_ref(raw)

    def _stand_still(self, cursor: BlockRef, until: int, known_hash: KnownHash) -> Follow:
        """The chain is not above the cursor: is the cursor's block, or the head, still ours?"""
        at_cursor = self._header(cursor.number)
        if at_cursor is not None:
            same = at_cursor.hash == cursor.hash
            return Follow() if same else Follow(reorg=self._find_reorg(cursor, known_hash))
        head = self._header(until) if 0 <= until < cursor.number else None
        ours = known_hash(until) if head is not None else None
        if head is None or ours is None or head.hash == ours:
            return Follow()
        return Follow(reorg=self._find_reorg(cursor, known_hash))

    def _read_ahead(self, numbers: Sequence[int]) -> Generator[ReadBlock, None, None]:
        """Blocks of these numbers with their logs, in order, until one is not there yet."""
        runs = [
            numbers[place : place + BLOCKS_PER_REQUEST]
            for place in range(0, len(numbers), BLOCKS_PER_REQUEST)
        ]
        if len(runs) == 1:
            yield from self._read_blocks(runs[0])
            return
        with ThreadPoolExecutor(REQUESTS_AHEAD, "evm-read-ahead") as pool:
            waiting: deque[Future[list[ReadBlock]]] = deque()
            for place, run in enumerate(runs):
                while len(waiting) <= REQUESTS_AHEAD and place + len(waiting) < len(runs):
                    waiting.append(pool.submit(self._read_blocks, runs[place + len(waiting)]))
                blocks = waiting.popleft().result()
                yield from blocks
                if len(blocks) < len(run):
                    return

    def _read_blocks(self, numbers: Sequence[int]) -> list[ReadBlock]:
        """Blocks by number, then their logs by hash; fewer when the node has fewer."""
        calls = [Call("eth_getBlockByNumber", [hex(number), self._native]) for number in numbers]
        answers: Sequence[RawHeader | None] = (
            self.rpc.find_many(calls, RawBlock)
            if self._native
            else self.rpc.find_many(calls, RawHeader)
        )
        blocks: list[tuple[BlockRef, RawHeader]] = []
        for number, raw in zip(numbers, answers, strict=True):
            if raw is None:
                break
            ref = _block_ref(raw)
            if ref.number != number:
                raise RpcInconsistent(f"asked for block {number}, the node sent {ref.number}")
            blocks.append((ref, raw))
        read: list[ReadBlock] = []
        for group in _grouped_by_gas(blocks):
            all_logs = self._logs([ref for ref, _ in group], everything=self._bloom == "exact")
            read.extend((ref, raw, logs) for (ref, raw), logs in zip(group, all_logs, strict=True))
        return read

    def _find_reorg(self, cursor: BlockRef, known_hash: KnownHash) -> Reorg:
        """Walk back until the chain and our stored hashes agree."""
        self._chain_checked = False
        self._check_chain()
        orphaned: list[int] = []
        for ref, ours in self._walk_back(cursor, known_hash):
            if ref is not None and ref.hash == ours:
                return Reorg(orphaned=tuple(reversed(orphaned)), ancestor=ref)
            orphaned.append(cursor.number - len(orphaned))
            if len(orphaned) > REORG_DEPTH_MAX:
                raise RpcInconsistent(
                    f"{self.network} shares none of its last {REORG_DEPTH_MAX} blocks with what was"
                    " followed; check that the node is on the right chain"
                )
        return Reorg(orphaned=tuple(reversed(orphaned)), ancestor=None)

    def _walk_back(
        self, cursor: BlockRef, known_hash: KnownHash
    ) -> Iterator[tuple[BlockRef | None, str]]:
        """The chain's block and our hash, from the cursor's number down, while we have hashes."""
        number = cursor.number
        while number >= 0:
            numbers = range(number, max(number - _HEADERS_PER_REQUEST, -1), -1)
            calls = [Call("eth_getBlockByNumber", [hex(each), False]) for each in numbers]
            headers = self.rpc.find_many(calls, RawHeader)
            for each, header in zip(numbers, headers, strict=True):
                ours = cursor.hash if each == cursor.number else known_hash(each)
                if ours is None:
                    return
                yield (None if header is None else _block_ref(header)), ours
            number = numbers[-1] - 1

    def _seen(self, ref: BlockRef, raw: RawHeader, logs: list[RawLog]) -> BlockSeen:
        """A block's transfers that touch us, and what was done with the rights of ours."""
        hits, grants = self._match_logs(ref, logs)
        self._prove(ref, raw, logs, hits)
        acts = granted(self.network, ref, grants)
        native: list[TransferSeen] = []
        if isinstance(raw, RawBlock):
            native = self._native_transfers(ref, raw)
            acts += sent(self.network, ref, raw.transactions, self.addresses.contains)
        flows = pack_flows(ref, logs, self.tokens)
        return BlockSeen(ref, (*native, *hits), flows, tuple(acts))

    def _logs(self, refs: Sequence[BlockRef], *, everything: bool) -> list[list[RawLog]]:
        """The logs of blocks by their hashes: all of them, or transfers and approvals."""
        topics = {} if everything else {"topics": [[TRANSFER_TOPIC, *sorted(GRANT_TOPICS)]]}
        calls = [Call("eth_getLogs", [{"blockHash": ref.hash, **topics}]) for ref in refs]
        try:
            answers = self.rpc.batch(calls, list[RawLog])
        except RpcRefused as error:
            # The block may have left the chain since it was read: the next call will see that.
            raise RpcInconsistent(f"logs of blocks up to {refs[-1].number}: {error}") from error
        return answers

    def _match_logs(
        self, ref: BlockRef, logs: list[RawLog]
    ) -> tuple[list[TransferSeen], list[RawLog]]:
        """Pick the transfers that touch us, and what lets somebody spend what is ours.

        The hot path: no decoding before a match.
        """
        ours = self.addresses.topics
        block_hash = ref.hash
        hits: list[TransferSeen] = []
        grants: list[RawLog] = []
        for log in logs:
            if log.block_hash != block_hash:
                raise RpcInconsistent(f"a log of block {ref.number} names block {log.block_hash}")
            topics = log.topics
            if not topics or topics[0] != TRANSFER_TOPIC:
                if topics and topics[0] in GRANT_TOPICS:
                    if len(topics) > 1 and topics[1] in ours:
                        grants.append(log)
                elif topics and topics[0].lower() == TRANSFER_TOPIC:
                    raise RpcInconsistent("the node writes topics in upper case, not as specified")
                continue
            if (
                topics[1] in ours or topics[2] in ours
                if len(topics) == 3
                else any(topic in ours for topic in topics)
            ):
                hit = self._transfer(ref, log)
                if hit is not None:
                    hits.append(hit)
        if len({hit.log_index for hit in hits}) != len(hits):
            raise RpcInconsistent(f"block {ref.number} holds one log index twice")
        return hits, grants

    def _transfer(self, ref: BlockRef, log: RawLog) -> TransferSeen | None:
        """Decode a Transfer log that names one of our addresses; None if it moves no ERC-20."""
        if log.removed:
            self.skipped["removed"] += 1
            return None
        if len(log.topics) != 3:
            # ERC-721 indexes the token id too; some early tokens indexed nothing.
            self.skipped["topics"] += 1
            return None
        data = parse_data(log.data)
        sender, receiver = log.topics[1], log.topics[2]
        dirty = not (sender.startswith(_TOPIC_PADDING) and receiver.startswith(_TOPIC_PADDING))
        if (
            len(data) != 32
            or dirty
            or not (_TOPIC.fullmatch(sender) and _TOPIC.fullmatch(receiver))
        ):
            self.skipped["malformed"] += 1
            return None
        units = int.from_bytes(data, "big")
        if units == 0:
            # Anyone can make these in our name (address poisoning); no money moves.
            self.skipped["zero"] += 1
            return None
        contract = log.address.lower()
        if _ADDRESS.fullmatch(contract) is None:
            raise RpcInconsistent(f"a log of block {ref.number} names no contract")
        return TransferSeen(
            network=self.network,
            asset=f"{self.network}/{caip.ERC20_NAMESPACE}:{contract}",
            contract=contract,
            tx_hash=log.transaction_hash,
            log_index=parse_quantity(log.log_index, maximum=_NUMBER_MAX),
            block_number=ref.number,
            block_hash=ref.hash,
            sender="0x" + sender[26:],
            receiver="0x" + receiver[26:],
            units=units,
            direction=_direction(
                sender in self.addresses.topics, receiver in self.addresses.topics
            ),
        )

    def _prove(
        self, ref: BlockRef, raw: RawHeader, logs: list[RawLog], hits: list[TransferSeen]
    ) -> None:
        """Hold the logs against the header's bloom: none left out, and no hit invented."""
        if self._bloom == "none":
            return
        if len(raw.logs_bloom) != 2 + 2 * BLOOM_BYTES:
            raise RpcInconsistent(
                f"block {ref.number} of {self.network} carries no logs bloom; set the network's"
                " bloom mode to 'none' if its headers never do"
            )
        promised = int.from_bytes(parse_data(raw.logs_bloom), "big")
        invented = bloom_of(word for hit in hits for word in _hit_words(hit)) & ~promised
        if invented:
            raise RpcInconsistent(f"block {ref.number} holds a transfer that its bloom excludes")
        if self._bloom == "suspicious":
            transfer_bits = bloom_of((TRANSFER_TOPIC,))
            transfers = any(log.topics[:1] == (TRANSFER_TOPIC,) for log in logs)
            if transfers or promised & transfer_bits != transfer_bits:
                return
            logs = self._logs([ref], everything=True)[0]
            if any(log.topics and log.topics[0] == TRANSFER_TOPIC for log in logs):
                raise RpcInconsistent(f"the node left out transfers of block {ref.number}")
        words = {log.address for log in logs}
        for log in logs:
            words.update(log.topics)
        if promised & ~bloom_of(words):
            raise RpcInconsistent(f"the node left out logs of block {ref.number}")

    def _native_transfers(self, ref: BlockRef, raw: RawBlock) -> list[TransferSeen]:
        """Native coins moved by the block's transactions from or to us, if they succeeded."""
        contains = self.addresses.contains
        hits = [
            transaction
            for transaction in raw.transactions
            if transaction.value != "0x0"
            and (
                contains(transaction.sender)
                or (transaction.to is not None and contains(transaction.to))
            )
        ]
        if not hits:
            return []
        calls = [Call("eth_getTransactionReceipt", [hit.hash]) for hit in hits]
        receipts = self.rpc.find_many(calls, RawReceipt)
        seen = []
        for transaction, receipt in zip(hits, receipts, strict=True):
            if receipt is None or receipt.block_hash != ref.hash or receipt.status is None:
                raise RpcInconsistent(f"no receipt in block {ref.number} for {transaction.hash}")
            if parse_quantity(receipt.status) == 1:
                seen.append(self._native_transfer(ref, transaction, receipt))
        return seen

    def _native_transfer(
        self, ref: BlockRef, transaction: RawTransaction, receipt: RawReceipt
    ) -> TransferSeen:
        sender = transaction.sender.lower()
        receiver = (transaction.to or receipt.contract_address or "").lower()
        if not (_ADDRESS.fullmatch(sender) and _ADDRESS.fullmatch(receiver)):
            raise RpcInconsistent(f"transaction {transaction.hash} names no sender or receiver")
        index = parse_quantity(transaction.transaction_index, maximum=_NUMBER_MAX)
        return TransferSeen(
            network=self.network,
            asset=self._native_asset,
            contract="",
            tx_hash=transaction.hash,
            log_index=-1 - index,
            block_number=ref.number,
            block_hash=ref.hash,
            sender=sender,
            receiver=receiver,
            units=parse_quantity(transaction.value),
            direction=_direction(
                self.addresses.contains(sender), self.addresses.contains(receiver)
            ),
        )


def _block_ref(raw: RawHeader) -> BlockRef:
    if not (_TOPIC.fullmatch(raw.hash) and _TOPIC.fullmatch(raw.parent_hash)):
        raise RpcInconsistent(f"the node sent a block without proper hashes: {raw.hash[:80]!r}")
    return BlockRef(
        number=parse_quantity(raw.number, maximum=_NUMBER_MAX),
        hash=raw.hash,
        parent_hash=raw.parent_hash,
        timestamp=parse_quantity(raw.timestamp, maximum=_NUMBER_MAX),
    )


def _grouped_by_gas(
    blocks: list[tuple[BlockRef, RawHeader]],
) -> Iterator[list[tuple[BlockRef, RawHeader]]]:
    """Cut blocks into runs whose logs fit one answer."""
    group: list[tuple[BlockRef, RawHeader]] = []
    gas = 0
    for block in blocks:
        used = parse_quantity(block[1].gas_used)
        if group and gas + used > LOGS_GAS_PER_REQUEST:
            yield group
            group, gas = [], 0
        group.append(block)
        gas += used
    if group:
        yield group


def _hit_words(hit: TransferSeen) -> tuple[str, ...]:
    sender, receiver = (_TOPIC_PADDING + address[2:] for address in (hit.sender, hit.receiver))
    return (hit.contract, TRANSFER_TOPIC, sender, receiver)


def _direction(from_us: bool, to_us: bool) -> Direction:
    if from_us and to_us:
        return "within"
    return "out" if from_us else "in"
