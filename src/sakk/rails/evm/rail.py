"""One EVM network as a rail: the parts of this folder behind the rails' protocol."""

from dataclasses import dataclass, field

from sakk.core import caip, evm, hd
from sakk.core.gas_price import Caps, Fees
from sakk.rails.evm import gas_price, send
from sakk.rails.evm.rpc import Rpc
from sakk.rails.evm.send import Broadcast
from sakk.rails.evm.status import TransactionStatus, status
from sakk.rails.evm.watch import AddressSet, EvmWatcher
from sakk.rails.rail import BlockRef, Follow, KnownHash, TransferSeen


@dataclass(frozen=True, slots=True)
class TransferIntent:
    """One transfer to be built. ``asset`` is CAIP-19; fees in wei per gas."""

    sender: str
    receiver: str
    asset: str
    units: int
    nonce: int
    caps: Caps = field(default_factory=Caps)


@dataclass(frozen=True, slots=True)
class TransactionReference:
    """A transaction that was signed, with the hashes of all its attempts; see ``status.status``."""

    hashes: tuple[str, ...]
    sender: str
    nonce: int
    since_block: int
    confirmations: int
    agreed: bool = False


class EvmRail:
    """A network's watcher and sender over one ``Rpc``; implements ``Rail``."""

    def __init__(self, network: str, rpc: Rpc, watcher: EvmWatcher) -> None:
        self.network = network
        self.rpc = rpc
        self.watcher = watcher

    def head(self) -> BlockRef:
        """The newest block that the node knows."""
        return self.watcher.head()

    def watch(
        self,
        cursor: BlockRef | None,
        *,
        until: int,
        blocks_max: int,
        known_hash: KnownHash,
        start: int | None = None,
    ) -> Follow:
        """Blocks after the cursor, or a reorg; see ``EvmWatcher.next``."""
        return self.watcher.next(
            cursor, until=until, blocks_max=blocks_max, known_hash=known_hash, start=start
        )

    def confirm(self, transfer: TransferSeen, *, takes_fee: bool) -> None:
        """Ask two providers of a transfer to an address of ours; see ``EvmWatcher.confirm``."""
        addresses = AddressSet([transfer.receiver])
        EvmWatcher(self.network, self.rpc, addresses).confirm(transfer, takes_fee=takes_fee)

    def address(self, xpub: str, index: int) -> str:
        """The deposit address at an index, the same on every EVM network."""
        return hd.deposit_address(xpub, index)

    def fees(self, caps: Caps) -> Fees:
        """What to offer for gas now; FeesAboveCap while the network asks more than the caps."""
        return gas_price.fees(self.rpc, caps)

    def call_of(self, receiver: str, contract: str | None, units: int) -> tuple[str, int, bytes]:
        """What a transfer calls, with which value in wei and which calldata."""
        return send.transfer_call(receiver, contract, units)

    def build(self, intent: TransferIntent) -> evm.Transaction:
        """Price a transfer and give its unsigned fields. TransferWouldFail, FeesAboveCap."""
        contract = caip.erc20_contract(intent.asset)
        return send.build_transfer(
            chain_id=caip.chain_id(self.network),
            nonce=intent.nonce,
            fees=self.fees(intent.caps),
            gas_limit=send.estimate_transfer(
                self.rpc,
                sender=intent.sender,
                receiver=intent.receiver,
                contract=contract,
                units=intent.units,
            ),
            receiver=intent.receiver,
            contract=contract,
            units=intent.units,
        )

    def broadcast(self, signed: bytes) -> Broadcast:
        """Hand signed bytes to the network."""
        return send.broadcast(self.rpc, signed)

    def status(self, reference: TransactionReference) -> TransactionStatus:
        """What became of a signed transaction."""
        return status(
            self.rpc,
            reference.hashes,
            sender=reference.sender,
            nonce=reference.nonce,
            since_block=reference.since_block,
            confirmations=reference.confirmations,
            agreed=reference.agreed,
        )
