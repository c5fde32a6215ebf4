"""What a node answers, as far as it is read: blocks, transactions, receipts and logs."""

import msgspec


class RawLog(msgspec.Struct, rename="camel", gc=False):
    address: str
    topics: tuple[str, ...]
    data: str
    block_hash: str
    transaction_hash: str
    log_index: str
    removed: bool = False


class RawAuthorization(msgspec.Struct, rename="camel", gc=False):
    chain_id: str
    address: str
    nonce: str
    r: str
    s: str
    y_parity: str = "0x0"


class RawTransaction(msgspec.Struct, rename="camel", gc=False):
    hash: str
    transaction_index: str
    value: str
    sender: str = msgspec.field(name="from")
    to: str | None = None
    authorization_list: list[RawAuthorization] = []


class RawHeader(msgspec.Struct, rename="camel"):
    number: str
    hash: str
    parent_hash: str
    timestamp: str
    gas_used: str
    logs_bloom: str = ""


class RawBlock(RawHeader):
    transactions: list[RawTransaction] = []


class RawReceipt(msgspec.Struct, rename="camel"):
    block_hash: str
    status: str | None = None
    contract_address: str | None = None
    logs: list[RawLog] = []
