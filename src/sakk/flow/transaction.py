"""Chain transactions: what their receipts say that they did."""

from sakk.core.abi import TRANSFER_TOPIC
from sakk.core.caip import erc20_contract
from sakk.core.transaction import ChainTransaction
from sakk.rails.evm.status import ReceiptLog


def arrived_units(row: ChainTransaction, logs: tuple[ReceiptLog, ...]) -> int:
    """What the receipt says reached the destination, in atomic units (EIP-20 Transfer logs)."""
    contract = erc20_contract(row.asset)
    if contract is None:
        return row.token_amount
    receiver = "0x" + row.destination[2:].rjust(64, "0")
    return sum(
        int(each.data, 16)
        for each in logs
        if each.contract == contract
        and len(each.topics) == 3
        and each.topics[0] == TRANSFER_TOPIC
        and each.topics[2] == receiver
    )
