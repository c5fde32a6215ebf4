"""A wallet's sessions and its budget, where the authority fails as gateways do."""

import base64
import json
from typing import Any

import httpx2
import pytest

from sakk.client.wallet import NoWayToPay, Wallet, WalletError
from sakk.client.wallet_log import Limits, State
from sakk.client.wallet_policy import Policy
from sakk.client.wallet_transport import WalletTransport
from sakk.client.x402 import PAYMENT_RESPONSE, PAYMENT_SIGNATURE, Settlement, encode_header

from .selling import PRICE, URL, Seller, offer

KEY = "0x" + "44" * 32
AUTHORITY = "https://sakk.example"
NETWORK = "sakk:test"
SESSION = "ses_01jdqx4c2af6b8n3w9v7k5m2h1"


class Street:
    """A Sakk that opens channels, and a shop; ``failures``: what the Sakk says after it did so."""

    def __init__(self, *failures: int | None) -> None:
        self.failures = list(failures)
        self.opened: list[dict[str, Any]] = []
        self.shop = Seller(
            offer(
                scheme="session",
                network=NETWORK,
                asset="usdc",
                pay_to="acct_01jdqx4c2af6b8n3w9v7k5m2h1",
                extra={"authority": AUTHORITY},
            )
        )
        self.sold = 0

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        if request.url.host != "sakk.example":
            return self._sell(request)
        failure = self.failures.pop(0) if self.failures else None
        if failure is None and request.url.path == "/x402/sessions/query":
            return httpx2.Response(200, json={"channels": []})
        asked = json.loads(request.content)
        if failure != 0 and asked not in self.opened:
            self.opened.append(asked)
        if failure == 0:
            raise httpx2.ConnectError("nobody is there")
        if failure is not None:
            return httpx2.Response(failure)
        return httpx2.Response(
            200,
            json={
                "channel": "ch_1",
                "session": SESSION,
                "key": base64.urlsafe_b64encode(bytes(32)).decode().rstrip("="),
                "ceiling": asked["ceiling"],
                "available": str(int(asked["ceiling"]) - PRICE * self.sold),
                "spent": str(PRICE * self.sold),
                "charges": str(self.sold),
                "head": "00" * 32,
                "session_expires_at": 1 << 40,
            },
        )

    def _sell(self, request: httpx2.Request) -> httpx2.Response:
        scheme = self.shop.offers[0].scheme
        if scheme != "session" or PAYMENT_SIGNATURE not in request.headers:
            return self.shop(request)
        self.sold += 1
        paid = Settlement(success=True, transaction=SESSION, network=NETWORK)
        return httpx2.Response(200, headers={PAYMENT_RESPONSE: encode_header(paid)})


def wallet_of(**limits: Any) -> Wallet:
    return Wallet(KEY, Policy(limits=Limits(**limits), step=PRICE, authorities={AUTHORITY: ""}))


def buy(wallet: Wallet, street: Street) -> httpx2.Response:
    paying: Any = WalletTransport(wallet, httpx2.MockTransport(street))
    with httpx2.Client(transport=paying) as http:
        return http.get(URL)


def test_what_a_seller_had_by_session_counts_at_the_seller() -> None:
    street, wallet = Street(), wallet_of(per_host=PRICE)
    assert buy(wallet, street).status_code == 200
    assert wallet.left("shop.example")["per_host"] == 0
    assert wallet.left("sakk.example")["per_host"] == PRICE
    street.shop.offers = [offer()]
    with pytest.raises(NoWayToPay, match="more than per_host leaves"):
        buy(wallet, street)
    assert street.shop.revenue == 0


def test_a_step_that_a_gateway_lost_counts_and_is_asked_for_again() -> None:
    # The query is answered; what opens is done each time, and the answer is lost.
    street, wallet = Street(None, 502, 502, 502), wallet_of(total=PRICE)
    with pytest.raises(WalletError, match="no session could be opened"):
        buy(wallet, street)
    assert wallet.log.spent() == PRICE
    assert [receipt.state for receipt in wallet.log.receipts()] == [State.signed]
    assert buy(wallet, street).status_code == 200
    # The same bytes, so that there are not two channels, and one step.
    assert len(street.opened) == 1
    assert wallet.log.spent() == PRICE


def test_a_sakk_that_is_away_does_not_use_up_the_budget() -> None:
    street, wallet = Street(*[None, 0, 0, 0] * 3), wallet_of(total=PRICE)
    for _ in range(3):
        with pytest.raises(WalletError, match="no session could be opened"):
            buy(wallet, street)
    assert buy(wallet, street).status_code == 200
    assert wallet.log.spent() == PRICE


def test_a_voucher_that_a_gateway_lost_is_one_step() -> None:
    street, wallet = Street(None, None, 500, 502, 504), wallet_of(total=2 * PRICE)
    assert buy(wallet, street).status_code == 200
    with pytest.raises(WalletError, match="no session could be opened"):
        buy(wallet, street)
    assert buy(wallet, street).status_code == 200
    assert [asked["ceiling"] for asked in street.opened] == [str(PRICE), str(2 * PRICE)]
    assert wallet.log.spent() == 2 * PRICE
