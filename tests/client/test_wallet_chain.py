"""What sellers say, held against a real chain: a true receipt, false ones, and open ends."""

from typing import Any

import httpx2
import pytest
from tests.chain import Chain
from tests.client.selling import PAYEE, PRICE, URL, Seller, offer

from sakk.client.permit2 import EXACT_PROXY, PERMIT2
from sakk.client.wallet import NoWayToPay, PaymentRefused, PaymentUnknown, Wallet
from sakk.client.wallet_chain import ChainError, reconcile, verify
from sakk.client.wallet_log import Receipt, State
from sakk.client.wallet_policy import Asset, Policy
from sakk.client.wallet_transport import RECEIPT, WalletTransport
from sakk.client.x402 import PAYMENT_RESPONSE, Payment, Settlement, encode_header

TRANSFER = "transferWithAuthorization(address,address,uint256,uint256,uint256,bytes32,bytes)"


def settle(chain: Chain, payment: Payment) -> str:
    """Move the coins on chain, as a facilitator does; the transaction's hash."""
    signed = payment.payload["authorization"]
    sent: str = chain.issuer.call_contract(
        payment.accepted.asset,
        TRANSFER,
        signed["from"],
        signed["to"],
        int(signed["value"]),
        int(signed["validAfter"]),
        int(signed["validBefore"]),
        bytes.fromhex(signed["nonce"][2:]),
        bytes.fromhex(payment.payload["signature"][2:]),
    )
    chain.mine()
    return sent


def settling(chain: Chain, said: str | None = None) -> Seller:
    """A seller that settles on chain; ``said``: and names another transaction."""

    def take(seller: Seller, request: httpx2.Request, payment: Payment) -> httpx2.Response:
        settled = settle(chain, payment)
        told = Settlement(success=True, transaction=said or settled, network=chain.network)
        return httpx2.Response(200, headers={PAYMENT_RESPONSE: encode_header(told)})

    return Seller(offer(asset=chain.contracts.usdc.contract), misbehave=take)


@pytest.fixture
def wallet(chain: Chain) -> Wallet:
    return Wallet(chain.contracts.payer_private_key)


def buy(wallet: Wallet, seller: Seller) -> Receipt:
    paying: Any = WalletTransport(wallet, seller.transport())
    with httpx2.Client(transport=paying) as http:
        receipt: Receipt = http.get(URL).extensions[RECEIPT]
    return receipt


def holds(chain: Chain, wallet: Wallet, receipt: Receipt) -> bool:
    header = wallet.log.header_of(receipt.id)
    assert header is not None
    return verify(receipt, header, chain.rpc_url)


def test_a_true_receipt_is_told_from_a_false_one(chain: Chain, wallet: Wallet) -> None:
    usdc = chain.contracts.usdc.contract
    before = chain.payer.balance_of(usdc, PAYEE)
    true = buy(wallet, settling(chain))
    assert holds(chain, wallet, true)
    assert chain.payer.balance_of(usdc, PAYEE) == before + PRICE
    # A real transaction, that of somebody else's payment; and one that no block has.
    assert true.transaction is not None
    assert not holds(chain, wallet, buy(wallet, settling(chain, true.transaction)))
    assert not holds(chain, wallet, buy(wallet, settling(chain, "0x" + "00" * 32)))


def test_what_the_chain_knows_ends_what_was_open(chain: Chain, wallet: Wallet) -> None:
    def take_and_fail(seller: Seller, request: httpx2.Request, payment: Payment) -> httpx2.Response:
        settle(chain, payment)
        return httpx2.Response(502)

    coin = offer(asset=chain.contracts.usdc.contract)
    with pytest.raises(PaymentUnknown):
        buy(wallet, Seller(coin, misbehave=take_and_fail))
    with pytest.raises(PaymentRefused):
        buy(wallet, Seller(coin, misbehave=lambda seller, *_: seller.demand("no, thanks")))
    assert wallet.log.spent() == 2 * PRICE
    nodes = {chain.network: chain.rpc_url}

    [paid] = reconcile(wallet.log, nodes)
    assert (paid.state, wallet.log.spent()) == (State.paid, 2 * PRICE)
    # The refused one can be taken until it expires, by the chain's clock and no other.
    chain.rpc.call("evm_increaseTime", 601)
    chain.mine()
    [released] = reconcile(wallet.log, nodes)
    assert (released.state, wallet.log.spent()) == (State.released, PRICE)
    assert reconcile(wallet.log, nodes) == []


def test_a_node_that_does_not_say_ends_nothing(chain: Chain, wallet: Wallet) -> None:
    coin = offer(asset=chain.contracts.usdc.contract)
    with pytest.raises(PaymentRefused):
        buy(wallet, Seller(coin, misbehave=lambda seller, *_: seller.demand("no, thanks")))
    with pytest.raises(ChainError, match="does not answer"):
        reconcile(wallet.log, {chain.network: "http://127.0.0.1:1"})
    assert reconcile(wallet.log, {}) == []
    assert wallet.log.spent() == PRICE


SETTLE = "settle(((address,uint256),uint256,uint256),address,(address,uint256),bytes)"


def test_a_coin_without_eip_3009_is_paid_by_permit2(chain: Chain) -> None:
    """Approved, signed, and moved by x402's proxy; the chain is asked before and afterwards."""
    usdt = chain.contracts.usdt.contract
    approve = ("approve(address,uint256)", PERMIT2, PRICE)
    chain.payer.call_contract(usdt, *approve)
    chain.mine()

    def take(seller: Seller, request: httpx2.Request, payment: Payment) -> httpx2.Response:
        signed = payment.payload["permit2Authorization"]
        permitted, witness = signed["permitted"], signed["witness"]
        sent: str = chain.issuer.call_contract(
            EXACT_PROXY,
            SETTLE,
            (
                (permitted["token"], int(permitted["amount"])),
                int(signed["nonce"]),
                int(signed["deadline"]),
            ),
            signed["from"],
            (witness["to"], int(witness["validAfter"])),
            bytes.fromhex(payment.payload["signature"][2:]),
        )
        chain.mine()
        if is_silent:
            return httpx2.Response(502)
        told = Settlement(success=True, transaction=sent, network=chain.network)
        return httpx2.Response(200, headers={PAYMENT_RESPONSE: encode_header(told)})

    def serve(request: httpx2.Request) -> httpx2.Response:
        if str(request.url).startswith(chain.rpc_url):
            headers = {"content-type": "application/json"}
            return httpx2.post(chain.rpc_url, content=request.content, headers=headers)
        return seller(request)

    coin = offer(asset=usdt, network=chain.network, extra={"assetTransferMethod": "permit2"})
    seller = Seller(coin, misbehave=take)
    policy = Policy(
        assets=[Asset(chain.network, usdt, "usdt", 6)], nodes={chain.network: chain.rpc_url}
    )
    wallet = Wallet(chain.contracts.payer_private_key, policy)
    paying: Any = WalletTransport(wallet, httpx2.MockTransport(serve))
    is_silent = False
    before = chain.payer.balance_of(usdt, PAYEE)
    with httpx2.Client(transport=paying) as http:
        receipt: Receipt = http.get(URL).extensions[RECEIPT]
        assert holds(chain, wallet, receipt)
        with pytest.raises(NoWayToPay, match="approve it once"):
            http.get(URL)
        # Tether's own rule: an approval is set to nothing before it is set to something else.
        for units in (0, 10 * PRICE):
            chain.payer.call_contract(usdt, "approve(address,uint256)", PERMIT2, units)
            chain.mine()
        is_silent = True
        with pytest.raises(PaymentUnknown) as caught:
            http.get(URL)
    # The seller did not say; the chain did, at once.
    assert caught.value.receipt is not None
    assert caught.value.receipt.state is State.paid
    assert chain.payer.balance_of(usdt, PAYEE) == before + 2 * PRICE
    assert reconcile(wallet.log, {chain.network: chain.rpc_url}) == []
