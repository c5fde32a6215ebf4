"""Hold what sellers said of payments against the chain.

Reads two facts of EIP-3009: the event ``AuthorizationUsed`` beside the token's ``Transfer`` in the
transaction that a seller names, and ``authorizationState`` of what was signed. Ethereum's JSON-RPC
(ethereum.org/developers/docs/apis/json-rpc) over HTTP, to a node that the buyer trusts.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

import httpx2
from eth_utils.crypto import keccak

from sakk.client.exact import NAME as EXACT
from sakk.client.wallet_escrow import NAME as BATCH_SETTLEMENT
from sakk.client.wallet_escrow import deposit_nonce
from sakk.client.wallet_log import PaymentLog, Receipt, State
from sakk.client.x402 import Payment, decode_header

TIMEOUT_SECONDS: Final = 10.0
OPEN_STATES: Final = (State.signed, State.unknown, State.refused)
_TRANSFER: Final = "0x" + keccak(text="Transfer(address,address,uint256)").hex()
_USED: Final = "0x" + keccak(text="AuthorizationUsed(address,bytes32)").hex()
_STATE: Final = keccak(text="authorizationState(address,bytes32)")[:4].hex()


class ChainError(Exception):
    """The node did not answer, or its answer can not be read."""


def verify(receipt: Receipt, header: str, rpc: str) -> bool:
    """Did this authorisation move this amount from the payer to the payee in that transaction?

    True only where the transaction succeeded and is in a block; raises ChainError where the node
    does not say.
    """
    if receipt.scheme != EXACT or receipt.transaction is None:
        return False
    found = _call(rpc, "eth_getTransactionReceipt", [receipt.transaction])
    if not isinstance(found, dict) or found.get("status") != "0x1":
        return False
    logs = [
        log
        for log in found.get("logs", [])
        if str(log.get("address", "")).lower() == receipt.asset.lower()
    ]
    nonce = _authorization(header)["nonce"].lower()
    used = [_USED, _topic(receipt.payer), nonce]
    moved = [_TRANSFER, _topic(receipt.payer), _topic(receipt.payee)]
    return any(_topics(log) == used for log in logs) and any(
        _topics(log) == moved and int(str(log.get("data")), 16) == receipt.amount for log in logs
    )


def reconcile(log: PaymentLog, rpcs: Mapping[str, str]) -> list[Receipt]:
    """End what is open: paid where the chain says so, released where it can not be taken any more.

    Only the chain's own clock says that an authorisation has expired. Gives what changed; raises
    ChainError where a node does not say, with what came before it recorded.
    """
    changed: list[Receipt] = []
    for receipt in _open(log.receipts()):
        rpc = rpcs.get(receipt.network)
        header = log.header_of(receipt.id)
        if rpc is None or not header:
            continue
        authorization = _authorization(header)
        data = "0x" + _STATE + _topic(receipt.payer)[2:] + authorization["nonce"][2:]
        block = _call(rpc, "eth_getBlockByNumber", ["latest", False])
        at = {"to": receipt.asset, "data": data}
        used = int(_call(rpc, "eth_call", [at, block["number"]]), 16)
        if used:
            changed.append(log.update(replace(receipt, state=State.paid, is_verified=True)))
        elif int(block["timestamp"], 16) >= int(authorization["validBefore"]):
            changed.append(log.update(replace(receipt, state=State.released, is_verified=True)))
    return changed


def _open(receipts: Iterable[Receipt]) -> list[Receipt]:
    """What a signed authorisation may still move: exact payments, and deposits."""
    schemes = (EXACT, BATCH_SETTLEMENT)
    return [
        one for one in receipts if one.scheme in schemes and one.counts and one.state in OPEN_STATES
    ]


def _authorization(header: str) -> dict[str, str]:
    """Nonce and end of what was signed."""
    payload = decode_header(header, Payment).payload
    if "deposit" not in payload:
        authorization: dict[str, str] = payload["authorization"]
        return authorization
    signed = payload["deposit"]["authorization"]["erc3009Authorization"]
    nonce = deposit_nonce(payload["voucher"]["channelId"], bytes.fromhex(signed["salt"][2:]))
    return {"nonce": "0x" + nonce.hex(), "validBefore": signed["validBefore"]}


def _topic(address: str) -> str:
    return "0x" + address[2:].lower().rjust(64, "0")


def _topics(log: Mapping[str, Any]) -> list[str]:
    return [str(topic).lower() for topic in log.get("topics", [])]


def _call(rpc: str, method: str, params: list[Any]) -> Any:
    asked = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    try:
        answer = httpx2.post(rpc, json=asked, timeout=TIMEOUT_SECONDS)
        document = answer.raise_for_status().json()
    except (httpx2.HTTPError, ValueError) as error:
        raise ChainError(f"the node at {rpc} does not answer {method}: {error}") from error
    if not isinstance(document, dict) or "error" in document or "result" not in document:
        raise ChainError(f"the node at {rpc} refuses {method}: {str(document)[:200]}")
    return document["result"]
