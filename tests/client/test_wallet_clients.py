"""The wallet under each HTTP client, over a socket: one request is paid once, whatever is lost."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import httpx2
import pytest
import requests
from tests.client.selling import PRICE, Gone, Misbehave, Seller, serving

from sakk.client.wallet import PaymentUnknown, Wallet
from sakk.client.wallet_log import Receipt, State
from sakk.client.wallet_requests import WalletAdapter
from sakk.client.wallet_transport import RECEIPT, AsyncWalletTransport, WalletTransport
from sakk.client.x402 import PAYMENT_RESPONSE, Payment, Settlement, encode_header

KEY = "0x" + "11" * 32
HEADERS = {"Idempotency-Key": "order-1"}

# A request by a client of its own: the text of the answer, and the receipt.
Buy = Callable[[Wallet, str], tuple[str, Receipt | None]]


def by_httpx2(wallet: Wallet, url: str) -> tuple[str, Receipt | None]:
    with wallet.client() as http:
        answer = http.post(url, headers=HEADERS, content=b"order")
        return answer.text, answer.extensions.get(RECEIPT)


def by_httpx(wallet: Wallet, url: str) -> tuple[str, Receipt | None]:
    paying: Any = WalletTransport(wallet, httpx.HTTPTransport())
    with httpx.Client(transport=paying) as http:
        answer = http.post(url, headers=HEADERS, content=b"order")
        return answer.text, answer.extensions.get(RECEIPT)


def by_requests(wallet: Wallet, url: str) -> tuple[str, Receipt | None]:
    with requests.Session() as session:
        session.mount("http://", WalletAdapter(wallet))
        answer: Any = session.post(url, headers=HEADERS, data=b"order")
        return answer.text, answer.sakk_receipt


async def _in_loop(http: Any, url: str) -> tuple[str, Receipt | None]:
    async with http:
        answer = await http.post(url, headers=HEADERS, content=b"order")
        return answer.text, answer.extensions.get(RECEIPT)


def by_httpx2_async(wallet: Wallet, url: str) -> tuple[str, Receipt | None]:
    return asyncio.run(_in_loop(wallet.async_client(), url))


def by_httpx_async(wallet: Wallet, url: str) -> tuple[str, Receipt | None]:
    paying: Any = AsyncWalletTransport(wallet, httpx.AsyncHTTPTransport())
    return asyncio.run(_in_loop(httpx.AsyncClient(transport=paying), url))


CLIENTS = [by_httpx2, by_httpx2_async, by_httpx, by_httpx_async, by_requests]
every_client = pytest.mark.parametrize("buy", CLIENTS)


@pytest.fixture
def wallet() -> Iterator[Wallet]:
    with contextlib.closing(Wallet(KEY)) as wallet:
        yield wallet


def gone(seller: Seller, payment: Payment) -> httpx2.Response:
    raise Gone


def broken(seller: Seller, payment: Payment) -> httpx2.Response:
    """Half of what a failing seller says."""
    headers = {"content-type": "application/json", "content-length": "500"}
    return httpx2.Response(503, headers=headers, content=b'{"message": "no n')


def first_time(lost: Callable[[Seller, Payment], httpx2.Response]) -> Misbehave:
    """The seller takes the coins; then its answer is lost. The same bytes again are served."""

    def misbehave(
        seller: Seller, request: httpx2.Request, payment: Payment
    ) -> httpx2.Response | None:
        if seller.take(payment):
            return lost(seller, payment)
        assert len(seller.headers_seen) == 2
        return seller.serve(payment)

    return misbehave


@every_client
@pytest.mark.parametrize("lost", [gone, broken])
def test_what_was_lost_is_sent_again_and_not_paid_again(
    wallet: Wallet, buy: Buy, lost: Callable[[Seller, Payment], httpx2.Response]
) -> None:
    seller = Seller(misbehave=first_time(lost))
    with serving(seller) as url:
        with pytest.raises(PaymentUnknown, match="same Idempotency-Key") as caught:
            buy(wallet, url)
        assert caught.value.receipt is not None
        assert caught.value.receipt.state is State.unknown
        text, receipt = buy(wallet, url)
    assert text == "the goods"
    assert receipt is not None
    assert (receipt.id, receipt.state) == (caught.value.receipt.id, State.paid)
    assert len(set(seller.headers_seen)) == len(seller.taken) == 1
    assert seller.revenue == PRICE == wallet.log.spent()


@every_client
def test_a_receipt_of_something_else_is_told_from_a_true_one(wallet: Wallet, buy: Buy) -> None:
    def lie(seller: Seller, request: httpx2.Request, payment: Payment) -> httpx2.Response:
        seller.take(payment)
        said = Settlement(
            success=True,
            transaction="0x" + "ab" * 32,
            network="eip155:1",
            payer=payment.payload["authorization"]["from"],
        )
        return httpx2.Response(200, text="", headers={PAYMENT_RESPONSE: encode_header(said)})

    with serving(Seller(misbehave=lie)) as url:
        _, receipt = buy(wallet, url)
    assert receipt is not None
    assert receipt.is_verified is False
    assert wallet.log.spent() == PRICE


@pytest.mark.parametrize("library", [httpx, httpx2])
def test_a_task_that_is_cancelled_has_paid_at_most_once(wallet: Wallet, library: Any) -> None:
    """A timeout of the caller's own, around the whole request, while the seller holds its coins."""
    taken, let_go = threading.Event(), threading.Event()

    def slow(seller: Seller, request: httpx2.Request, payment: Payment) -> httpx2.Response:
        if seller.take(payment):
            taken.set()
            let_go.wait(30)
        return seller.serve(payment)

    seller = Seller(misbehave=slow)

    def client() -> Any:
        paying = AsyncWalletTransport(wallet, library.AsyncHTTPTransport())
        return library.AsyncClient(transport=paying)

    async def scenario(url: str) -> tuple[str, Receipt | None]:
        first = asyncio.create_task(_in_loop(client(), url))
        await asyncio.to_thread(taken.wait, 30)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        let_go.set()
        return await _in_loop(client(), url)

    with serving(seller) as url:
        text, receipt = asyncio.run(scenario(url))
    assert text == "the goods"
    assert receipt is not None
    assert receipt.state is State.paid
    assert len(set(seller.headers_seen)) == len(seller.taken) == 1
    assert seller.revenue == PRICE == wallet.log.spent()
