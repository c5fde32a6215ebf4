"""Hold what sellers said of payments against the chain.

Reads the token's ``Transfer`` in the transaction that a seller names, beside EIP-3009's
``AuthorizationUsed`` where that was signed, and whether what was signed was used
(``wallet_fact.py``). Ethereum's JSON-RPC (ethereum.org/developers/docs/apis/json-rpc) over HTTP, to
a node that the buyer trusts.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import httpx2
from eth_utils.crypto import keccak

from sakk.client.wallet_fact import EXACT, is_open, signed_of
from sakk.client.wallet_log import PaymentLog, Receipt
from sakk.client.wallet_node import Call, NodeAway, body_of, results_of

TIMEOUT_SECONDS: Final = 10.0
_TRANSFER: Final = "0x" + keccak(text="Transfer(address,address,uint256)").hex()
_USED: Final = "0x" + keccak(text="AuthorizationUsed(address,bytes32)").hex()


class ChainError(Exception):
    """The node did not answer, or its answer can not be read."""


def verify(receipt: Receipt, header: str, rpc: str) -> bool:
    """Did this authorisation move this amount from the payer to the payee in that transaction?

    True only where the transaction succeeded and is in a block; raises ChainError where the node
    does not say.
    """
    if receipt.scheme != EXACT or receipt.transaction is None:
        return False
    [found] = _ask(rpc, [Call("eth_getTransactionReceipt", [receipt.transaction])])
    if not isinstance(found, dict) or found.get("status") != "0x1":
        return False
    logs = [
        log
        for log in found.get("logs", [])
        if str(log.get("address", "")).lower() == receipt.asset.lower()
    ]
    signed = signed_of(receipt, header)
    used = [_USED, _topic(receipt.payer), f"0x{signed.nonce:064x}"]
    moved = [_TRANSFER, _topic(receipt.payer), _topic(receipt.payee)]
    # Permit2 has no event of its own: that it moved these coins is what the transfer says.
    return (signed.by_permit2 or any(_topics(log) == used for log in logs)) and any(
        _topics(log) == moved and int(str(log.get("data")), 16) == receipt.amount for log in logs
    )


def reconcile(log: PaymentLog, rpcs: Mapping[str, str]) -> list[Receipt]:
    """End what is open: paid where the chain says so, released where it can not be taken any more.

    Only the chain's own clock says that an authorisation has expired. Gives what changed; raises
    ChainError where a node does not say, with what came before it recorded.
    """
    changed: list[Receipt] = []
    for receipt in (one for one in log.unfinished() if is_open(one)):
        rpc = rpcs.get(receipt.network)
        header = log.header_of(receipt.id)
        if rpc is None or not header:
            continue
        signed = signed_of(receipt, header)
        try:
            state = signed.state(*_ask(rpc, signed.calls))
        except ValueError as error:
            raise ChainError(f"the node at {rpc} answers what can not be read: {error}") from error
        if state is not None:
            changed.append(log.update(replace(receipt, state=state, is_verified=True)))
    return changed


def _topic(address: str) -> str:
    return "0x" + address[2:].lower().rjust(64, "0")


def _topics(log: Mapping[str, Any]) -> list[str]:
    return [str(topic).lower() for topic in log.get("topics", [])]


def _ask(rpc: str, calls: list[Call]) -> list[Any]:
    headers = {"content-type": "application/json"}
    try:
        answer = httpx2.post(rpc, content=body_of(calls), headers=headers, timeout=TIMEOUT_SECONDS)
        return results_of(rpc, answer.raise_for_status().content, len(calls))
    except httpx2.HTTPError as error:
        raise ChainError(f"the node at {rpc} does not answer: {error}") from error
    except NodeAway as error:
        raise ChainError(str(error)) from error
