"""The buyer's wallet: what it pays, what it refuses, and that it pays once."""

import asyncio
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import httpx2
import msgspec
import pytest
import requests
from tests.client.selling import NETWORK, PAYEE, PRICE, URL, USDC, Seller, offer, serving

from sakk.client.wallet import NoWayToPay, PaymentRefused, PaymentUnknown, Wallet, WalletError
from sakk.client.wallet_log import BudgetExceeded, Limits, PaymentLog, Receipt, State, receipt_from
from sakk.client.wallet_policy import Asset, Policy
from sakk.client.wallet_requests import WalletAdapter
from sakk.client.wallet_transport import RECEIPT, VALUE_MAX, AsyncWalletTransport, WalletTransport
from sakk.client.x402 import PAYMENT_RESPONSE, Payment, Settlement, encode_header

KEY = "0x" + "11" * 32


@pytest.fixture
def wallet() -> Iterator[Wallet]:
    with_defaults = Wallet(KEY)
    yield with_defaults
    with_defaults.close()


def buying(wallet: Wallet, seller: Seller) -> httpx2.Client:
    paying: Any = WalletTransport(wallet, seller.transport())
    return httpx2.Client(transport=paying)


def receipt_of(answer: Any) -> Receipt:
    receipt: Receipt = answer.extensions[RECEIPT]
    return receipt


def test_a_request_is_paid_once_and_its_receipt_says_all(wallet: Wallet) -> None:
    seller = Seller()
    with buying(wallet, seller) as http:
        answer = http.get(URL)
    assert (answer.status_code, answer.text) == (200, "the goods")
    assert list(seller.taken.values()) == [(wallet.address, PRICE)]
    receipt = receipt_of(answer)
    assert (receipt.state, receipt.amount, receipt.value) == (State.paid, PRICE, PRICE)
    assert (receipt.payee, receipt.payer, receipt.network) == (PAYEE, wallet.address, NETWORK)
    assert receipt.transaction == "0x" + "ab" * 32
    assert [choice["taken"] for choice in receipt.route] == [True]
    [line] = wallet.log.export()
    assert receipt_from(line) == receipt
    assert json.loads(line)["state"] == "paid"


def test_what_is_free_is_not_paid_for(wallet: Wallet) -> None:
    def free(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, text="free")

    paying: Any = WalletTransport(wallet, httpx2.MockTransport(free))
    with httpx2.Client(transport=paying) as http:
        answer = http.get(URL)
    assert answer.text == "free"
    assert RECEIPT not in answer.extensions
    assert wallet.log.receipts() == []


@pytest.mark.parametrize(
    ("policy", "offered", "reason"),
    [
        (Policy(), offer(scheme="upto"), "scheme is not one"),
        (Policy(schemes={"session"}), offer(), "scheme is not one"),
        (Policy(networks={"eip155:8453"}), offer(), "network is not in the policy"),
        (Policy(), offer(asset=PAYEE), "coin is not one"),
        (Policy(), offer(network="eip155:8453"), "coin is not one"),
        (Policy(), offer(amount="1.5"), "whole number in digits"),
        (Policy(), offer(amount="-1"), "whole number in digits"),
        (Policy(hosts={"other.example"}), offer(), "seller is not in the policy"),
        (Policy(limits=Limits(per_call=PRICE - 1)), offer(), r"more than a call may cost \(999\)"),
        (Policy(limits=Limits(total=PRICE - 1)), offer(), r"more than total leaves \(999\)"),
        (Policy(limits=Limits(per_period=((60, 1),))), offer(), r"more than per_period\[60 s\]"),
        (Policy(limits=Limits(per_host=1)), offer(), "more than per_host leaves"),
        (Policy(), offer(extra={}), "EIP-712 domain"),
        (Policy(), offer(extra={"assetTransferMethod": "barter"}), "transfer method 'barter'"),
        (Policy(), offer(extra={"assetTransferMethod": "permit2"}), "name a node of eip155:84532"),
        (Policy(), offer(pay_to="0x0"), "payTo is no address"),
        (Policy(), offer(pay_to="0x" + "0" * 40), "payTo is no address"),
        (Policy(), offer(pay_to="0x" + "z" * 40), "payTo is no address"),
        (Policy(), offer(max_timeout_seconds=0), "leaves no time"),
        (
            Policy(assets=[Asset("solana:abc", USDC, "usdc", 6)]),
            offer(network="solana:abc"),
            "no EVM chain",
        ),
    ],
)
def test_what_the_policy_does_not_allow_is_not_signed(
    policy: Policy, offered: Any, reason: str
) -> None:
    wallet, seller = Wallet(KEY, policy), Seller(offered)
    with buying(wallet, seller) as http, pytest.raises(NoWayToPay, match=reason) as caught:
        http.get(URL)
    assert [choice.refused is None for choice in caught.value.choices] == [False]
    assert seller.headers_seen == []
    assert wallet.log.receipts() == []


def test_the_cheapest_way_is_taken_and_the_receipt_says_why(wallet: Wallet) -> None:
    base = offer(network="eip155:8453", asset="0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913")
    dear, cheap = offer(amount="3000"), msgspec.structs.replace(base, amount="2000")
    seller = Seller(offer(scheme="upto"), dear, cheap, offer(amount="2000"))
    with buying(wallet, seller) as http:
        receipt = receipt_of(http.get(URL))
    assert (receipt.network, receipt.amount) == ("eip155:8453", 2_000)
    assert [choice["taken"] for choice in receipt.route] == [False, False, True, False]
    assert [choice["value"] for choice in receipt.route] == [None, 3_000, 2_000, 2_000]
    assert [choice["left"] for choice in receipt.route] == [None, *[10_000_000] * 3]
    assert "scheme" in receipt.route[0]["refused"]


def test_a_way_that_was_slow_is_left_for_a_dearer_one_when_waiting_costs(wallet: Wallet) -> None:
    policy = Policy(waiting_micro_usd=1_000)
    wallet = Wallet(KEY, policy)
    base = offer(network="eip155:8453", asset="0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913")
    seller = Seller(offer(amount="1000"), msgspec.structs.replace(base, amount="1500"))
    host = "shop.example"
    for network, ms in ((NETWORK, 4_000), ("eip155:8453", 100)):
        wallet._latencies.saw(host, "exact", network, ms)
    with buying(wallet, seller) as http:
        receipt = receipt_of(http.get(URL))
    assert receipt.network == "eip155:8453"
    assert [(c["value"], c["waiting"]) for c in receipt.route] == [(1_000, 4_000), (1_500, 100)]


def test_a_seller_that_takes_and_asks_again_is_paid_once(wallet: Wallet) -> None:
    """The double payment that hostile sellers try for: a second 402 after the first was taken."""

    def again(seller: Seller, request: httpx2.Request, payment: Payment) -> httpx2.Response:
        seller.take(payment)
        return seller.demand("please pay once more")

    seller = Seller(misbehave=again)
    with buying(wallet, seller) as http, pytest.raises(PaymentRefused, match="once more") as caught:
        http.get(URL)
    assert len(seller.headers_seen) == len(seller.taken) == 1
    assert caught.value.receipt is not None
    assert caught.value.receipt.state is State.refused
    # What was signed may have been taken, so it counts.
    assert wallet.log.spent() == PRICE


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"status_code": 500}, "failed with status 500 after"),
        ({"status_code": 503, "json": {"message": "no\x1b[2J node"}}, r"503 \(no\[2J node\)"),
        ({"status_code": 503, "json": ["no node"]}, "failed with status 503 after"),
    ],
)
def test_a_seller_that_fails_after_it_was_paid_leaves_it_open(
    wallet: Wallet, answer: dict[str, Any], said: str
) -> None:
    seller = Seller(misbehave=lambda *_: httpx2.Response(**answer))
    with buying(wallet, seller) as http, pytest.raises(PaymentUnknown, match=said):
        http.get(URL)
    assert [one.state for one in wallet.log.receipts()] == [State.unknown]
    assert wallet.log.spent() == PRICE


def test_no_answer_is_followed_by_the_same_bytes_under_the_same_key(wallet: Wallet) -> None:
    def lose_the_first(
        seller: Seller, request: httpx2.Request, payment: Payment
    ) -> httpx2.Response | None:
        if len(seller.headers_seen) == 1:
            raise httpx2.ReadTimeout("lost")
        return None

    seller = Seller(misbehave=lose_the_first)
    headers = {"Idempotency-Key": "order-1"}
    with buying(wallet, seller) as http:
        with pytest.raises(PaymentUnknown, match="same Idempotency-Key"):
            http.post(URL, headers=headers, content=b"order")
        answer = http.post(URL, headers=headers, content=b"order")
    assert answer.text == "the goods"
    assert len(seller.headers_seen) == 2
    assert len(set(seller.headers_seen)) == len(seller.taken) == 1
    assert receipt_of(answer).state is State.paid
    assert wallet.log.spent() == PRICE


def test_the_same_key_on_another_request_is_another_payment(wallet: Wallet) -> None:
    seller, headers = Seller(), {"Idempotency-Key": "order-1"}
    with buying(wallet, seller) as http:
        http.post(URL, headers=headers, content=b"one")
        http.post(URL, headers=headers, content=b"two")
        http.post(URL + "/b", headers=headers, content=b"two")
    assert len(seller.taken) == 3


def test_a_paid_request_sent_again_is_not_paid_again(wallet: Wallet) -> None:
    seller, headers = Seller(), {"Idempotency-Key": "order-1"}
    with buying(wallet, seller) as http:
        http.get(URL, headers=headers)
        with pytest.raises(PaymentRefused, match="nonce_already_used") as caught:
            http.get(URL, headers=headers)
    assert len(seller.taken) == 1
    assert caught.value.receipt is not None
    assert caught.value.receipt.state is State.paid
    assert wallet.log.spent() == PRICE


def test_many_threads_with_one_key_sign_once(tmp_path: Path) -> None:
    seller, headers = Seller(), {"Idempotency-Key": "order-1"}
    wallets = [Wallet(KEY, log=tmp_path / "payments.db") for _ in range(2)]

    def buy(at: int) -> int:
        with buying(wallets[at % 2], seller) as http:
            try:
                return http.get(URL, headers=headers).status_code
            except PaymentRefused:
                return 402

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(buy, range(16)))
    assert answers.count(200) == 1
    assert len(set(seller.headers_seen)) == len(seller.taken) == seller.served == 1
    assert wallets[0].log.spent() == PRICE
    for wallet in wallets:
        wallet.close()


def test_wallets_that_share_a_file_share_the_budget_to_the_unit(tmp_path: Path) -> None:
    seller = Seller()
    policy = Policy(limits=Limits(per_call=None, total=10 * PRICE + PRICE - 1))
    wallets = [Wallet(KEY, policy, log=tmp_path / "payments.db") for _ in range(4)]

    def buy(at: int) -> bool:
        with buying(wallets[at % 4], seller) as http:
            try:
                return http.get(URL).status_code == 200
            except (NoWayToPay, BudgetExceeded):
                return False

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(buy, range(40))) == 10
    assert seller.revenue == 10 * PRICE == wallets[0].log.spent()
    assert wallets[3].left() == {"total": PRICE - 1}
    for wallet in wallets:
        wallet.close()


def test_a_crash_after_signing_is_followed_by_the_same_bytes(tmp_path: Path) -> None:
    """The file is all that a new process has: what was signed is sent, and nothing else."""
    path, headers = tmp_path / "payments.db", {"Idempotency-Key": "order-1"}
    lost = Seller(misbehave=lambda *_: (_ for _ in ()).throw(httpx2.ConnectError("died")))
    first = Wallet(KEY, log=path)
    with buying(first, lost) as http, pytest.raises(PaymentUnknown):
        http.get(URL, headers=headers)
    first.close()
    seller = Seller()
    with buying(second := Wallet(KEY, log=path), seller) as http:
        assert http.get(URL, headers=headers).text == "the goods"
    assert seller.headers_seen == lost.headers_seen
    assert seller.asked == 1
    second.close()


def test_what_one_request_may_cost_can_be_bounded(wallet: Wallet) -> None:
    seller = Seller()
    with buying(wallet, seller) as http:
        with pytest.raises(NoWayToPay, match="more than a call may cost"):
            http.get(URL, extensions={VALUE_MAX: PRICE - 1})
        assert http.get(URL, extensions={VALUE_MAX: PRICE}).text == "the goods"
    assert seller.revenue == PRICE


def test_a_receipt_that_names_another_payer_is_marked(wallet: Wallet) -> None:
    def of_another(seller: Seller, request: httpx2.Request, payment: Payment) -> httpx2.Response:
        said = Settlement(success=True, transaction="0x1", network=NETWORK, payer=PAYEE)
        return httpx2.Response(200, headers={PAYMENT_RESPONSE: encode_header(said)})

    with buying(wallet, Seller(misbehave=of_another)) as http:
        assert receipt_of(http.get(URL)).is_verified is False


@pytest.mark.parametrize("header", [None, "no base64", encode_header(["?"])])
def test_goods_without_a_receipt_leave_the_payment_open(wallet: Wallet, header: str | None) -> None:
    headers = {} if header is None else {PAYMENT_RESPONSE: header}
    seller = Seller(misbehave=lambda *_: httpx2.Response(200, text="goods", headers=headers))
    with buying(wallet, seller) as http:
        answer = http.get(URL)
    assert answer.text == "goods"
    assert receipt_of(answer).state is State.unknown
    assert wallet.log.spent() == PRICE


def test_a_body_that_streams_is_not_paid_for(wallet: Wallet) -> None:
    seller = Seller()
    with buying(wallet, seller) as http, pytest.raises(WalletError, match="send it as bytes"):
        http.post(URL, content=iter([b"one", b"two"]))
    assert seller.headers_seen == []


def test_a_challenge_that_can_not_be_read_is_an_error(wallet: Wallet) -> None:
    def odd(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(402, text="pay!")

    paying: Any = WalletTransport(wallet, httpx2.MockTransport(odd))
    with httpx2.Client(transport=paying) as http, pytest.raises(WalletError, match="can not be"):
        http.get(URL)


def test_an_error_before_anything_is_paid_is_the_callers_own(wallet: Wallet) -> None:
    def away(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError("away")

    paying: Any = WalletTransport(wallet, httpx2.MockTransport(away))
    with httpx2.Client(transport=paying) as http, pytest.raises(httpx2.ConnectError):
        http.get(URL)


async def in_parallel(wallet: Wallet, seller: Seller, count: int) -> list[Any]:
    paying: Any = AsyncWalletTransport(wallet, seller.transport())
    async with httpx2.AsyncClient(transport=paying) as http:
        return await asyncio.gather(*(http.get(URL) for _ in range(count)))


def test_the_same_under_an_event_loop(wallet: Wallet) -> None:
    seller = Seller()
    answers = asyncio.run(in_parallel(wallet, seller, 8))
    assert {receipt_of(answer).state for answer in answers} == {State.paid}
    assert len(seller.taken) == 8
    assert seller.revenue == 8 * PRICE == wallet.log.spent()


def test_the_same_under_httpx(wallet: Wallet) -> None:
    seller = Seller()

    def as_httpx(request: httpx.Request) -> httpx.Response:
        answer = seller(httpx2.Request(request.method, str(request.url), headers=request.headers))
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)

    paying: Any = WalletTransport(wallet, httpx.MockTransport(as_httpx))
    with httpx.Client(transport=paying) as http:
        assert receipt_of(http.get(URL)).state is State.paid
    assert seller.revenue == PRICE == wallet.log.spent()


def test_the_same_under_requests_and_over_a_socket(wallet: Wallet) -> None:
    seller = Seller()
    with serving(seller) as url:
        with requests.Session() as session:
            session.mount("http://", WalletAdapter(wallet))
            answer: Any = session.post(url, data=b"order")
            assert (answer.text, answer.sakk_receipt.state) == ("the goods", State.paid)
            with pytest.raises(WalletError, match="send it as bytes"):
                session.post(url, data=iter([b"order"]))
        with wallet.client() as http:
            assert http.post(url, content=b"order").text == "the goods"
    assert seller.revenue == 2 * PRICE == wallet.log.spent()


def test_receipts_of_calls_inside_a_step_take_nothing_more(wallet: Wallet) -> None:
    log = PaymentLog()
    call = Receipt("pay_1", "GET", URL, "session", "sakk:1", "usdc", 5, 5, "acct_1", "0x1",
                   State.paid, created_ms=1, expires_ms=0, counts=False)  # fmt: skip
    log.note(call)
    assert log.receipts() == [call]
    assert log.spent() == 0
    log.close()


def test_a_key_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes, in hex"):
        Wallet("0x12")
