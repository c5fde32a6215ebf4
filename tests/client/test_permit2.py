"""Coins without EIP-3009: what is signed is the official client's, and the approval comes first."""

from typing import Any

import httpx2
import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data
from tests.client.node import NODES, Node, buying
from tests.client.selling import PAYEE, PRICE, URL, Seller, offer
from tests.client.test_wallet_escrow import EscrowSeller, escrow_offer
from x402.mechanisms.evm.batch_settlement.constants import BATCH_PERMIT2_WITNESS_TYPES
from x402.mechanisms.evm.constants import PERMIT2_ADDRESS, PERMIT2_WITNESS_TYPES

from sakk.client.permit2 import DEPOSIT_COLLECTOR, EXACT_PROXY, PERMIT2
from sakk.client.wallet import NoWayToPay, Wallet
from sakk.client.wallet_policy import Policy
from sakk.client.x402 import Payment

KEY = "0x" + "56" * 32
EXTRA = {"assetTransferMethod": "permit2"}


def signer_of(permit: dict[str, Any], types: Any, witness: dict[str, Any], signature: str) -> str:
    """Who signed, by the types of x402's own package."""
    message = {
        "permitted": {
            "token": permit["permitted"]["token"],
            "amount": int(permit["permitted"]["amount"]),
        },
        "spender": permit["spender"],
        "nonce": int(permit["nonce"]),
        "deadline": int(permit["deadline"]),
        "witness": witness,
    }
    domain = {"name": "Permit2", "chainId": 84532, "verifyingContract": PERMIT2_ADDRESS}
    signable = encode_typed_data(domain, types, message)
    return str(Account.recover_message(signable, signature=signature))


def take(seller: Seller, request: httpx2.Request, payment: Payment) -> httpx2.Response:
    permit = payment.payload["permit2Authorization"]
    witness = permit["witness"]
    assert (witness["to"], permit["spender"]) == (PAYEE, EXACT_PROXY)
    signed = {"to": witness["to"], "validAfter": int(witness["validAfter"])}
    signer = signer_of(permit, PERMIT2_WITNESS_TYPES, signed, payment.payload["signature"])
    assert signer == permit["from"] == Account.from_key(KEY).address
    seller.taken[permit["nonce"]] = (signer, int(permit["permitted"]["amount"]))
    payment.payload["authorization"] = permit
    return seller.serve(payment)


def test_a_payment_by_permit2_is_signed_once_it_is_approved() -> None:
    wallet, node = Wallet(KEY, Policy(nodes=NODES)), Node(allowance=PRICE - 1)
    seller = Seller(offer(extra=EXTRA), misbehave=take)
    with buying(wallet, seller, node) as http:
        with pytest.raises(NoWayToPay, match=f"approve it once, by approve.{PERMIT2}, amount"):
            http.get(URL)
        assert seller.headers_seen == []
        node.is_away = True
        with pytest.raises(NoWayToPay, match="does not say whether Permit2 is approved"):
            http.get(URL)
        node.is_away = False
        node.words["allowance"] = PRICE
        assert http.get(URL).status_code == 200
    assert seller.revenue == PRICE
    # Where another way is open, it is taken.
    node.words["allowance"] = 0
    other = Seller(offer(extra=EXTRA), offer())
    with buying(wallet, other, node) as http:
        assert http.get(URL).status_code == 200
    assert PERMIT2 == PERMIT2_ADDRESS


def test_a_deposit_by_permit2_needs_its_approval_and_a_voucher_none() -> None:
    seller = EscrowSeller(escrow_offer(extra=EXTRA | {"name": None, "version": None}))
    deposits: list[dict[str, Any]] = []

    def look(_: Seller, request: httpx2.Request, payment: Payment) -> None:
        if payment.payload["type"] == "deposit":
            found = payment.payload["deposit"]["authorization"]["permit2Authorization"]
            deposits.append(found)

    seller.misbehave = look
    wallet, node = Wallet(KEY, Policy(nodes=NODES)), Node(allowance=PRICE)
    with buying(wallet, seller, node) as http:
        # The deposit is more than the price.
        with pytest.raises(NoWayToPay, match="and 50000 are needed"):
            http.get(URL)
        node.words["allowance"] = 50_000
        assert http.get(URL).status_code == 200
        node.words["allowance"] = 0
        assert http.get(URL).status_code == 200
    [permit] = deposits
    channel = {"channelId": bytes.fromhex(permit["witness"]["channelId"][2:])}
    signer = signer_of(permit, BATCH_PERMIT2_WITNESS_TYPES, channel, permit["signature"])
    assert signer == permit["from"] == Account.from_key(KEY).address
    assert permit["spender"] == DEPOSIT_COLLECTOR
